"""Logplex' frames: their entries, and counts that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.drain.content_encoding import BodyTooLarge
from natstream.drain.logplex import parse_logplex
from natstream.drain.parsed import MAX_LINES, NothingTaken, ParsedBody
from natstream.entries.entry import LogEntry
from natstream.entries.fields import Fields
from natstream.entries.fly import Origin
from natstream.entries.level_names import SYSLOG
from natstream.errors import BadBody

# As https://devcenter.heroku.com/articles/log-drains shows them.
STATE = b"<40>1 2012-11-30T06:45:29+00:00 host app web.3 - State changed from starting to up\n"
START = (
    b"<40>1 2012-11-30T06:45:26+00:00 host app web.3 - Starting process with command "
    b"`bundle exec rackup config.ru -p 24405`\n"
)


def framed(*messages: bytes) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def read(body: bytes, **options: Any) -> ParsedBody:
    defaults = {"origin": Origin(), "needs_machine": False, "max_lines": MAX_LINES}
    return parse_logplex(body, **{**defaults, **options})


def entry_of(message: bytes, **options: Any) -> LogEntry:
    (entry,) = read(framed(message), **options).entries
    return entry


def line(text: bytes, *, priority: int = 190, host: bytes = b"host") -> bytes:
    return b"<%d>1 2026-01-02T03:04:05.678901+00:00 %b app web.1 - %b\n" % (priority, host, text)


def test_herokus_own_example_is_read() -> None:
    """App, dyno, time and text of each message are those of its entry."""
    assert framed(STATE, START).startswith(b"83 <40>1")
    one, other = read(framed(STATE, START)).entries
    assert (one.app_name, one.machine_id, one.host) == ("app", "web.3", "")
    assert one.message == "State changed from starting to up"
    assert other.message.endswith("`bundle exec rackup config.ru -p 24405`")
    assert one.timestamp == "2012-11-30T06:45:29+00:00"
    assert one.unix_ns == 1_354_257_929 * 10**9
    assert (one.stream, one.source, one.region) == ("stdout", "drain", "")


@pytest.mark.parametrize("severity", range(8))
@pytest.mark.parametrize("facility", [0, 1, 16, 23])
def test_the_priority_is_the_level(facility: int, severity: int) -> None:
    """The severity in each priority gives the level, whatever the facility is."""
    entry = entry_of(line(b"hello", priority=8 * facility + severity))
    assert entry.level == SYSLOG[severity]


def test_the_apps_own_word_wins_over_info() -> None:
    """Logplex gives info to every line of an app, so a level in the line is used instead of it."""
    assert entry_of(line(b"[ERROR] no route")).level == "error"
    assert entry_of(line(b'{"level":"warn","msg":"slow"}')).level == "warn"
    assert entry_of(line(b"0 errors found")).level == "info"
    assert entry_of(line(b"[ERROR] no route", priority=188)).level == "warn"


def test_the_address_names_the_app() -> None:
    """Logplex writes `app` for every app; the platform's own lines keep its name."""
    origin = Origin("shop", "eu", "nas")
    entry = entry_of(line(b"hello"), origin=origin)
    assert (entry.app_name, entry.region, entry.machine_id) == ("shop", "eu", "web.1")
    entry = entry_of(b"<158>1 2026-01-02T03:04:05Z host heroku router - at=info", origin=origin)
    assert (entry.app_name, entry.machine_id) == ("heroku", "router")
    entry = entry_of(b"<172>1 2026-01-02T03:04:05Z host heroku logplex - Error L10", origin=origin)
    assert (entry.app_name, entry.machine_id, entry.level) == ("heroku", "logplex", "warn")
    assert entry.message == "Error L10"


@pytest.mark.parametrize(
    ("rest", "message", "data"),
    [
        (b"- hello", "hello", None),
        (b"-", "", None),
        (b"", "", None),
        (b"- - item", "- item", None),
        (b"  indented", "  indented", None),
        (b"-   indented", "  indented", None),
        (b"[INFO] started", "[INFO] started", None),
        (b"[a=1] x", "[a=1] x", None),
        (b'[x@1 a="1"]text', '[x@1 a="1"]text', None),
        (b'[x@1 a="1" b="q\\"\\]\\\\n"] text', "text", {"x@1": {"a": "1", "b": 'q"]\\n'}}),
        (b"[x@32473] text", "text", {"x@32473": {}}),
        (b'[x@1 a="1"][y] text', "text", {"x@1": {"a": "1"}, "y": {}}),
        (b"[me@home] text", "[me@home] text", None),
        (b'[x@1 a="1"][y b=""]', "", {"x@1": {"a": "1"}, "y": {"b": ""}}),
        (b"- \xef\xbb\xbfcaf\xc3\xa9 \xff", "café \ufffd", None),
        (b"- two\nlines\r\n", "two\nlines", None),
    ],
)
def test_structured_data_is_read(rest: bytes, message: str, data: Any) -> None:
    """RFC 5424's structured data becomes fields, and a text in brackets stays a text."""
    entry = entry_of(b"<14>1 2026-01-02T03:04:05Z nas cron 4711 ID47 " + rest)
    assert entry.message == message
    assert Fields(entry).get("structured_data") == data
    assert (entry.app_name, entry.machine_id, entry.host) == ("cron", "4711", "nas")
    assert Fields(entry).get("msgid") == "ID47"


def test_logplex_leaves_structured_data_out() -> None:
    """Over HTTPS a dash at the start of an app's line is a part of it, and there is no host."""
    entry = entry_of(line(b"- item"))
    assert (entry.message, entry.host) == ("- item", "")
    assert entry_of(line(b"-")).message == "-"
    assert entry_of(line(b'[job id="7"] done')).message == '[job id="7"] done'
    entry = entry_of(line(b"- text", host=b"d.73ea7440-270a-435a-a0ea-adf50b4e5f5a"))
    assert (entry.message, entry.host) == ("text", ""), "its syslog drains have both"


def test_absent_parts_are_empty() -> None:
    """A dash stands for an absent part, which the arrival and the address replace."""
    entry = entry_of(b"<14>1 - - - - - hello", origin=Origin("shop", "eu", "nas"))
    assert (entry.app_name, entry.machine_id, entry.timestamp) == ("shop", "nas", "")
    with pytest.raises(NothingTaken, match="1 name no machine"):
        read(framed(b"<14>1 - - - - - hello"), needs_machine=True)
    parsed = read(framed(b"<14>1 - - - - - hello", STATE), needs_machine=True)
    assert (len(parsed.entries), parsed.dropped) == (1, {"no_machine": 1})


@pytest.mark.parametrize("at", range(1, len(framed(STATE, START))))
def test_half_a_body_is_refused(at: int) -> None:
    """A body that is cut anywhere but between two messages raises, whether it begins or ends there.

    Between two messages only Logplex-Msg-Count tells that some are missing.
    """
    body = framed(STATE, START)
    boundary = len(framed(STATE))
    if at == boundary:
        assert len(read(body[:at]).entries) == len(read(body[at:]).entries) == 1
        with pytest.raises(BadBody, match="Logplex-Msg-Count"):
            read(body[:at], announced="2")
        return
    with pytest.raises(BadBody):
        read(body[:at])
    # Without the first digit, `83 <40>…` is still a length and a message, but a wrong length.
    with pytest.raises(BadBody):
        read(body[at:])


@pytest.mark.parametrize("difference", [d for d in range(-83, 120) if d])
def test_a_wrong_count_is_refused(difference: int) -> None:
    """A count that is too small or too large by any number refuses the whole body."""
    count = len(STATE) + difference
    for body in (
        b"%d %b%b" % (count, STATE, framed(START)),
        b"%b%d %b" % (framed(START), count, STATE),
        b"%d %b" % (count, STATE),
    ):
        with pytest.raises(BadBody):
            read(body)


@pytest.mark.parametrize(
    "body",
    [
        STATE,
        b" " + framed(STATE),
        b"\n" + framed(STATE),
        framed(STATE) + b"\n",
        b"083 " + STATE,
        b"83\t" + STATE,
        b"-83 " + STATE,
        b"83" + STATE,
        b"9" * 30 + b" " + STATE,
        b"0 ",
        framed(b"hello"),
        framed(b"<14> hello"),
        framed(b"<192>1 - - - - - x"),
        framed(b"<014>1 - - - - - x"),
        framed(b"<14>1 - - - - "),
        framed(b"<14>x - - - - - x"),
        b'{"message":"a"}',
        b"\x00\xff" * 50,
    ],
)
def test_what_is_not_framed_is_refused(body: bytes) -> None:
    """A body without counts, or whose messages are not RFC 5424, raises with a sentence."""
    with pytest.raises(BadBody, match=r"essage 1|essage 2"):
        read(body)


@pytest.mark.parametrize(
    "odd", [b"<14>1 - host  web.1 - x", b"<246>1 - host app web.1 - x", b"no syslog at all\n"]
)
def test_an_odd_message_among_others_is_a_line(odd: bytes) -> None:
    """If the number of messages is right, one that is not RFC 5424 costs the others nothing."""
    body = framed(STATE, odd, START)
    one, other, last = read(body, announced="3", origin=Origin(app="shop")).entries
    assert (other.message, other.app_name) == (odd.decode().rstrip("\n"), "shop")
    assert (one.machine_id, last.machine_id) == ("web.3", "web.3")
    with pytest.raises(BadBody, match="Message 2 is not syslog"):
        read(body)


def test_the_number_of_messages_is_limited() -> None:
    """More messages than allowed refuse the body, and a wrong announcement does too."""
    body = framed(*[STATE] * 10)
    assert len(read(body, max_lines=10, announced="10").entries) == 10
    with pytest.raises(BodyTooLarge, match="more than 9 messages"):
        read(body, max_lines=9)
    for announced in ("9", "11", "x", "0"):
        with pytest.raises(BadBody, match="Logplex-Msg-Count"):
            read(body, announced=announced)
    assert read(b"", announced="0").entries == []


@given(st.lists(st.text(max_size=40), max_size=6))
def test_messages_come_back_as_they_were_sent(texts: list[str]) -> None:
    """Any text, with line breaks, digits or frames in it, is one message."""
    parsed = read(framed(*[line(text.encode()) for text in texts]))
    assert [entry.message for entry in parsed.entries] == [
        text.removesuffix("\r").removeprefix("\ufeff") for text in texts
    ]


@given(st.binary(max_size=80))
def test_no_bytes_raise_another_error(body: bytes) -> None:
    """Any bytes give entries or a BadBody."""
    for each in (body, framed(body), framed(b"<14>1 - h a p m " + body)):
        try:
            read(each)
        except BadBody:
            continue
