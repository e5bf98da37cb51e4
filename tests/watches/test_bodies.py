"""The messages as each receiver wants them: safe, short enough, and with a link to the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.watches.bodies import Body, body, headline, link
from natstream.watches.file import RECEIVERS
from natstream.watches.report import Report, reported
from natstream.watches.tally import MatchedLine

PAGE = "https://logs.example.com"
ENTRY = LogEntry(
    "0e286551c30586",
    "panic: out of cheese",
    "stdout",
    app_name="web",
    region="sjc",
    level="fatal",
    unix_ns=1_700_000_000_000_000_000,
)


def report(*messages: str, **changes: Any) -> Report:
    """Return a report about lines with these messages."""
    lines = [
        MatchedLine(
            f"1700000000000-abc-{number}", 1_700_000_000_000, attrs.evolve(ENTRY, message=m)
        )
        for number, m in enumerate(messages)
    ]
    fields: dict[str, Any] = {
        "watch": "panics",
        "query": "app=web&q=panic",
        "kind": "matched",
        "at_ms": 1_700_000_000_000,
        "count": len(messages),
        "first_id": "1700000000000-abc-0",
        "first_ms": 1_700_000_000_000,
        "lines": tuple(map(reported, lines)),
        **changes,
    }
    return Report(**fields)


def text_of(kind: str, made: Body) -> str:
    """Return the text that people see."""
    if kind == "ntfy":
        return made.content.decode()
    members = json.loads(made.content)
    return str(members["text" if kind == "slack" else "content"])


# --- what each of them gets ------------------------------------------------------------------


def test_slack() -> None:
    """Slack gets a text with the watch, the count, the query, the link and the lines as code."""
    made = body("slack", report("panic: one", "panic: two", suppressed=1_234), PAGE)
    assert made.headers == {"Content-Type": "application/json"}
    assert json.loads(made.content) == {
        "text": "`panics`: 2 lines matched\n"
        "Query: `app=web&amp;q=panic`\n"
        "1,234 more lines have matched since the message before.\n"
        f"<{PAGE}/?app=web&amp;q=panic&amp;since=2023-11-14T22%3A13%3A18Z"
        "#line=1700000000000-abc-0|Open the page>\n"
        "```\n"
        "2023-11-14T22:13:20Z web[0e286551c30586] sjc [fatal] panic: one\n"
        "2023-11-14T22:13:20Z web[0e286551c30586] sjc [fatal] panic: two\n"
        "```",
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_discord() -> None:
    """Discord gets a content that mentions nobody and shows no preview of the link."""
    members = json.loads(body("discord", report("panic: @everyone"), PAGE).content)
    assert members["allowed_mentions"] == {"parse": []}
    assert members["flags"] == 4
    assert members["content"].startswith(
        "`panics`: 1 line matched\nQuery: `app=web&q=panic`\n<http"
    )
    assert members["content"].endswith("] panic: @everyone\n```")


def test_ntfy() -> None:
    """ntfy gets plain text, and the title and the link as headers."""
    made = body("ntfy", report("panic: one"), PAGE)
    assert made.headers["Title"] == "panics: 1 line matched"
    assert made.headers["Click"].startswith(f"{PAGE}/?app=web")
    assert made.content.decode() == (
        "Query: app=web&q=panic\n\n2023-11-14T22:13:20Z web[0e286551c30586] sjc [fatal] panic: one"
    )


def test_our_own_json() -> None:
    """Another server gets JSON with a version, in which each figure and each line is a member."""
    made = body("url", report("panic: one", missed=7), PAGE)
    assert json.loads(made.content) == {
        "version": 1,
        "watch": "panics",
        "kind": "matched",
        "text": "panics: 1 line matched",
        "remarks": ["This watch did not see 7 lines, which may have matched."],
        "query": "app=web&q=panic",
        "at": 1_700_000_000_000,
        "count": 1,
        "suppressed": 0,
        "missed": 7,
        "undelivered": 0,
        "first_id": "1700000000000-abc-0",
        "link": f"{PAGE}/?app=web&q=panic&since=2023-11-14T22%3A13%3A18Z#line=1700000000000-abc-0",
        "lines": [
            {
                "id": "1700000000000-abc-0",
                "timestamp": 1_700_000_000_000,
                "app": "web",
                "region": "sjc",
                "machine": "0e286551c30586",
                "stream": "stdout",
                "level": "fatal",
                "message": "panic: one",
            }
        ],
    }


def test_the_page_shows_our_json() -> None:
    """The example in docs/watches.md has the members of a real message, in their order."""
    page = (Path(__file__).parents[2] / "docs" / "watches.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    made = json.loads(body("url", report("panic: one"), PAGE).content)
    assert list(shown) == list(made)
    assert list(shown["lines"][0]) == list(made["lines"][0])


@pytest.mark.parametrize("kind", RECEIVERS)
def test_without_an_address_of_the_page_there_is_no_link(kind: str) -> None:
    """Without NATSTREAM_PUBLIC_URL, a message has no link."""
    made = body(kind, report("panic: one"), "")
    assert "Click" not in made.headers
    assert b"http" not in made.content
    assert b"#line" not in made.content


def test_the_link_has_the_query() -> None:
    """The link opens the page at the first line, with each part of the watch's query."""
    query = "app=web&app=api&q=a%26b+c&q=%2F%5Epanic%2F&field=status%3E%3D500&not=ü"
    parts = urlsplit(link(report("x", query=query), PAGE))
    assert [pair for pair in parse_qsl(parts.query) if pair[0] != "since"] == parse_qsl(query)
    assert parts.fragment == "line=1700000000000-abc-0"
    assert link(report("x", query=query), PAGE).isascii()


def test_a_link_without_a_line_shows_the_query() -> None:
    """A message about lines that do not come leads to the page with the query."""
    absent = report(kind="absent", first_id="", seconds=300.0)
    assert link(absent, PAGE) == f"{PAGE}/?app=web&q=panic"


def test_a_long_query_is_left_out_of_the_link() -> None:
    """A query that would leave no room for lines is left out, and the line is still there."""
    long = link(report("x", query=f"q={'x' * 1_950}"), PAGE)
    assert len(long) < 200
    assert long.endswith("#line=1700000000000-abc-0")
    query = f"q={'x' * 1_000}"
    assert query.encode() in body("slack", report("x", query=query), PAGE).content
    assert query.encode() not in body("discord", report("x", query=query), PAGE).content


# --- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 1}, "1 line matched"),
        ({"count": 12_345}, "12,345 lines matched"),
        ({"kind": "absent", "seconds": 300.0}, "no line has matched for 5 min"),
        ({"kind": "back", "seconds": 3_725.0}, "lines match again, after 1 h 2 min without one"),
        ({"kind": "back", "seconds": 0.2}, "lines match again, after 1 s without one"),
        (
            {"kind": "unknown", "seconds": 90_000.0, "trouble": "NATS is lost"},
            "no line has come for 1 d 1 h, and it is unknown whether there are any, because NATS "
            "is lost",
        ),
        ({"kind": "test"}, "this is a test message of natstream; nothing has happened"),
    ],
)
def test_what_has_happened(changes: dict[str, Any], words: str) -> None:
    """The first words say what has happened."""
    assert headline(report("x", **changes)) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suppressed": 1}, "1 more line has matched since the message before."),
        (
            {"suppressed": 2, "at_least": True},
            "At least 2 more lines have matched since the message before.",
        ),
        (
            {"missed": 3, "missed_more": True},
            "This watch did not see at least 3 lines, which may have matched.",
        ),
        ({"missed_more": True}, "This watch did not see some lines, which may have matched."),
        ({"undelivered": 1}, "1 earlier message could not be delivered."),
        (
            {"alone": True},
            "The journal did not answer, so other processes may send this too.",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["slack", "discord", "ntfy"])
def test_remarks(kind: str, changes: dict[str, Any], words: str) -> None:
    """Each loss, and each count of other lines, is a sentence of its own."""
    assert f"\n{words}\n" in f"\n{text_of(kind, body(kind, report('x', **changes), ''))}\n"


# --- hostile lines ---------------------------------------------------------------------------


def test_a_line_cannot_mention_people_in_slack() -> None:
    """What Slack reads as a mention or a link is escaped."""
    text = text_of("slack", body("slack", report("<!channel> <@U1> <http://x|y> &lt; a"), ""))
    assert "&lt;!channel&gt; &lt;@U1&gt; &lt;http://x|y&gt; &amp;lt; a" in text
    assert "<" not in text


@pytest.mark.parametrize("kind", ["slack", "discord"])
@pytest.mark.parametrize(
    "message", ["```", "a```b\n```\n@here *x*", "`" * 9, "x`", "``", "`\u200b``"]
)
def test_a_line_cannot_end_the_block_of_code(kind: str, message: str) -> None:
    """The lines are in one block of code, which no line ends."""
    text = text_of(kind, body(kind, report(message, message), ""))
    assert text.count("```") == 2
    assert text.endswith("\n```")


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_a_query_cannot_end_its_code(kind: str) -> None:
    """A query with backticks and mentions stays code."""
    text = text_of(kind, body(kind, report("x", query="q=`@here` <!here>"), ""))
    assert "Query: `q='@here' " in text
    assert "<!here>" not in text or kind == "discord"


CONTROL = "\x1b]0;title\x07\x1b[31mred\x1b[0m \x00\x08\r\n\u202egnp.exe\u200b\u2028\ud800end"


@pytest.mark.parametrize("kind", RECEIVERS)
def test_control_characters_are_made_visible_or_removed(kind: str) -> None:
    """No receiver gets an escape sequence, a control character, or one that reorders text."""
    entry = attrs.evolve(ENTRY, message=CONTROL, app_name=CONTROL, machine_id=CONTROL)
    line = reported(MatchedLine("1-a-1", 1, entry))
    content = body(kind, report(lines=(line,)), PAGE).content.decode()
    for char in "\x1b\x00\x07\x08\r\u202e\u2028":
        assert char not in content
        assert json.dumps(char)[1:-1] not in content
    assert "end" in content


def test_headers_hold_nothing_of_a_line() -> None:
    """Headers are ASCII on one line, whatever the query and the lines hold."""
    made = body("ntfy", report("ü\r\nX: y", query="q=ü\r\nX: y"), PAGE)
    for value in made.headers.values():
        assert value.isascii()
        assert value.isprintable()


@pytest.mark.parametrize("kind", RECEIVERS)
@given(
    messages=st.lists(
        st.text(max_size=3_000)
        | st.sampled_from(["<&>" * 900, "😀" * 2_500, "`" * 3_000, "\n" * 99]),
        min_size=1,
        max_size=5,
    ),
    query=st.text(max_size=400) | st.sampled_from(["😀" * 1_900, "&<" * 900]),
)
def test_every_message_fits(kind: str, messages: list[str], query: str) -> None:
    """No message is longer than its receiver accepts, and each can be sent."""
    query = query.encode("utf-8", "ignore").decode()
    made = body(kind, report(*messages, query=query, suppressed=10**9, missed=10**9), PAGE)
    if kind == "ntfy":
        assert len(made.content) <= 4_000
    elif kind == "url":
        assert len(made.content) < 60_000
    else:
        most = 4_000 if kind == "slack" else 2_000
        assert len(text_of(kind, made).encode("utf-16-le")) // 2 <= most


def test_long_lines_are_cut_and_short_ones_are_not() -> None:
    """Each line gets a fair share of the room, and a short line leaves its share to the others."""
    text = text_of("discord", body("discord", report("short", *["x" * 5_000] * 2), ""))
    lines = text.split("```")[1].strip().split("\n")
    assert lines[0].endswith("short")
    assert [len(line) for line in lines[1:]] == [600, 600]
    assert all(line.endswith("…") for line in lines[1:])


def test_a_message_of_json_is_readable() -> None:
    """A JSON message is shown by its text and its other fields."""
    text = text_of("ntfy", body("ntfy", report('{"msg":"boom","status":500}'), ""))
    assert text.endswith("] boom status=500")
