"""`natstream tail` with the lines around matches, with templates, and for people."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import pytest
import trio
from tests.support.closed import TOKEN, closed_service, grant_text
from tests.support.fake_service import Answer, event_id, line, open_fake_service
from tests.support.service import open_service
from tests.support.tail_process import run, run_on_terminal, running

from natstream.cli.tail_output import template
from natstream.entries.entry import LogEntry
from natstream.errors import BadQuery

ENTRY = LogEntry("m1", "", "stdout", app_name="web", region="sjc", level="info", source="nats")
TEMPLATE = ("--output", "{machine} {message}")


def entries(*texts: str, machine: str = "m1", **fields: Any) -> list[LogEntry]:
    return [attrs.evolve(ENTRY, message=text, machine_id=machine, **fields) for text in texts]


def trace(machine: str = "m1") -> list[LogEntry]:
    """Return a group of four lines."""
    head, *rest = entries("Traceback:", "File a", "File b", "ValueError: no", machine=machine)
    error: dict[str, Any] = {"level": "error", "stream": "stderr"}
    return [
        attrs.evolve(head, **error),
        *(attrs.evolve(each, **error, continues=True) for each in rest),
    ]


def lines_of(done: Any) -> list[str]:
    assert (done.returncode, done.stderr) == (0, b"")
    return str(done.stdout.decode()).splitlines()


async def test_the_lines_around_a_match_are_those_of_its_machine() -> None:
    """With -B and -A, the lines that the other filters hide are shown around each match."""
    async with open_service() as service:
        hub = service.service.core.hub
        for number in range(10):
            hub.publish_nowait(entries(f"a{number}"))
            hub.publish_nowait(entries(f"b{number}", machine="m2"))
        arguments = (service.url, "-n", *TEMPLATE, "--grep", "a5", "-B", "2", "-A", "1")
        assert lines_of(await run(*arguments)) == ["m1 a3", "m1 a4", "m1 a5", "m1 a6"]
        done = await run(service.url, "-n", "--grep", "/[ab]5/", "-C", "1")
        assert [text.rpartition(" ")[2] for text in lines_of(done)] == [
            *["a4", "a5", "--", "b4", "b5", "--", "a6", "--", "b6"],
        ]


async def test_the_last_matches_come_with_lines_from_before_the_stream() -> None:
    """With --tail, the lines before the first match are asked for, however far back they are."""
    async with open_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait(entries("hit 0", "x1", "x2"))
        await hub.publish(entries(*["noise"] * 5_000, machine="m2"))
        hub.publish_nowait(entries("hit 1", "x3", "hit 2", "x4", "x5"))
        done = await run(
            *(service.url, "-n", *TEMPLATE, "--tail", "2", "--grep", "hit", "-B", "2", "-A", "1")
        )
        shown = [text.removeprefix("m1 ") for text in lines_of(done)]
        assert shown == ["x1", "x2", "hit 1", "x3", "hit 2", "x4"]


async def test_a_group_is_shown_whole() -> None:
    """If one line of a stack trace matches, head and members are shown, and no other line."""
    async with open_service() as service:
        hub = service.service.core.hub
        head, *members = trace()
        hub.publish_nowait(
            [*entries("x"), head, members[0], *entries("y"), *members[1:], *entries("z")]
        )
        for word in ("Traceback", "File b", "ValueError"):
            done = await run(service.url, "-n", *TEMPLATE, "--grep", word, "-C", "0")
            assert lines_of(done) == [f"m1 {each.message}" for each in trace()]
        done = await run(service.url, "-n", "--json", "--tail", "1", "--grep", "ValueError", "-B1")
        shown = [json.loads(text) for text in lines_of(done)]
        assert [each["message"] for each in shown] == ["x", *(each.message for each in trace())]
        assert [each.get("continues", False) for each in shown] == [False, False, True, True, True]


async def test_the_lines_after_a_live_match_come_as_they_are_written() -> None:
    """While following, a match is shown at once, and the lines after it when they come."""
    async with open_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait(entries("a1", "a2"))
        async with running(service.url, *TEMPLATE, "--grep", "hit", "-C", "1") as process:
            await service.readers(1)
            assert process.stdout is not None
            with trio.fail_after(30):
                hub.publish_nowait(entries("hit"))
                got = await process.stdout.receive_some()
                assert got == b"m1 a2\nm1 hit\n"
                hub.publish_nowait(entries("a3", "a4"))
                assert await process.stdout.receive_some() == b"m1 a3\n"


async def test_lines_that_cannot_be_had_are_said_to_be_missing() -> None:
    """If the lines before a match cannot be asked for, the match is shown and stderr says so."""
    script = [Answer([line(1, "hit"), line(2, "x")], "end"), Answer(status=500, end="end")]
    async with open_fake_service(*script) as fake:
        done = await run(fake.url, "-n", *TEMPLATE, "--grep", "hit", "-C", "1")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [f"0e286551c30586 {text}" for text in ("hit", "x")]
    assert done.stderr.startswith(b"# Lines before the next match are missing: http://")
    assert fake.requests[1].query[0] == ("around", event_id(1))


async def test_fields_say_which_lines_match() -> None:
    """With --field, the service finds the lines, and with -C, tail finds the same lines."""
    async with open_service() as service:
        texts = ["a", '{"msg":"b","status":502}', "c status=200", 'x | {"id":"7"}']
        service.service.core.hub.publish_nowait(entries(*texts))
        for field, number in (("status>=500", 1), ("status<300", 2), ("id=7", 3)):
            arguments = (service.url, "-n", *TEMPLATE, "--field", field)
            assert lines_of(await run(*arguments)) == [f"m1 {texts[number]}"]
            got = lines_of(await run(*arguments, "-B", "1"))
            assert got == [f"m1 {text}" for text in texts[number - 1 : number + 1]]


async def test_an_excluded_level_says_which_lines_match() -> None:
    """With -B, an excluded app is not shown at all, and a line of an excluded level is no match."""
    async with open_service() as service:
        quiet = [attrs.evolve(entry, level="debug") for entry in entries("a", "b")]
        lines = [*quiet, *entries("c"), *entries("d", machine="m2", app_name="api")]
        service.service.core.hub.publish_nowait(lines)
        arguments = (service.url, "-n", *TEMPLATE, "--level", "-debug", "--app", "-api")
        assert lines_of(await run(*arguments)) == ["m1 c"]
        assert lines_of(await run(*arguments, "-B", "1")) == ["m1 b", "m1 c"]


async def test_a_release_says_which_lines_match() -> None:
    """With -B, --release shows the lines before the first one of a release."""
    async with open_service() as service:
        old, new = entries("a", "b"), entries("c")
        new = [attrs.evolve(entry, group="web", release="43") for entry in new]
        service.service.core.hub.publish_nowait([*old, *new])
        template = ("--output", "{group} {release} {message}")
        done = await run(
            service.url, "-n", *template, "--release", "43", "--group", "web", "-B", "1"
        )
        assert lines_of(done) == ["  b", "web 43 c"]


async def test_a_filter_that_is_wrong_is_a_sentence_here_too() -> None:
    """A filter that is applied by tail itself is refused with the name of its option."""
    for option in (["--grep", "/(/"], ["--min-level", "gold"], ["--field", "=5"]):
        done = await run("http://127.0.0.1:1", *option, "-C", "1")
        assert done.returncode == 2
        assert done.stderr.startswith(f"natstream: {option[0]} ".encode())


async def test_until_ends_it() -> None:
    """With --until, the lines up to that time are shown, and tail ends."""
    async with open_fake_service(Answer([line(1)], "end")) as fake:
        assert len(lines_of(await run(fake.url, "--since", "1h", "--until", "5m"))) == 1
        assert fake.requests[0].query == [("since", "1h"), ("until", "5m")]


PINO = json.dumps({"level": 30, "msg": "served", "req": {"id": 7}, "path": "/a b", "status": 200})


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (PINO, 'served req.id=7 path="/a b" status=200'),
        (f"api | {PINO}", 'api | served req.id=7 path="/a b" status=200'),
        (json.dumps(json.dumps({"event": "in a string", "n": 1})), "in a string n=1"),
        (json.dumps({"n": 1, "ok": True, "list": [1, "x"]}), 'n=1 ok=true list=[1, "x"]'),
        (json.dumps({"msg": "a\u202eb\x1b[2J\u200b", "k": "\x1b[8m\nx"}), 'ab k="\\u001b[8m\\nx"'),
        ("no {json}", "no {json}"),
        ("", ""),
    ],
)
async def test_a_terminal_shows_the_text_of_a_json_message_first(message: str, shown: str) -> None:
    """On a terminal, a JSON message is its text and then its fields; a pipe gets it as it is."""
    body = [line(1, message)]
    async with open_fake_service(Answer(body, "end"), Answer(body, "end")) as fake:
        got = await run_on_terminal(fake.url, "-n", "--color", "never")
        assert got.rstrip("\r\n").endswith(f"[info] {shown}")
        piped = (await run(fake.url, "-n")).stdout.decode()
    if message in (PINO, "no {json}"):
        assert piped.endswith(f"[info] {message}\n")


async def test_the_fields_are_quieter_than_the_text() -> None:
    """With colours, the fields behind the text are faint."""
    async with open_fake_service(Answer([line(1, PINO)], "end")) as fake:
        got = await run_on_terminal(fake.url, "-n")
    assert "served \x1b[2mreq.id=7" in got
    assert re.search(r"status=200\x1b\[0m\r\n$", got)


async def test_output_is_filled_from_the_line_and_its_fields() -> None:
    """A template shows the entry's own values, its fields by path, and nothing for other names."""
    body = [line(1, PINO), line(2, "GET /x\nsecond"), line(3, "\x1b[2Jlevel=warn status=502")]
    async with open_fake_service(Answer(body, "end")) as fake:
        done = await run(fake.url, "-n", "--output", "{app} {level} {status} {req.id}|{text}|{{x}}")
    assert lines_of(done) == [
        "web info 200 7|served|{x}",
        "web info  |GET /x second|{x}",
        "web info 502 |level=warn status=502|{x}",
    ]
    own = template("{time} {app} {machine} {region} {id} {message}", keep_colours=False)
    assert own(attrs.evolve(ENTRY, unix_ns=0, message="a\nb", raw={"id": "1-a-1"})) == (
        "1970-01-01T00:00:00Z web m1 sjc 1-a-1 a\n    b"
    )


@pytest.mark.parametrize("text", ["{", "}", "{}", "{ }", "{app", "{app!r}", "{app:>10}", "{a{b}}"])
async def test_a_template_that_cannot_be_used_is_one_sentence(text: str) -> None:
    """A wrong template is refused with the option's name and an example."""
    with pytest.raises(BadQuery, match=r"^output .* write it as"):
        template(text, keep_colours=False)


async def test_a_wrong_template_ends_with_a_status() -> None:
    """A wrong template, and two formats at once, end with status 2 before anything is read."""
    done = await run("http://127.0.0.1:1", "--output", "{app")
    assert done.returncode == 2
    assert b"--output has a brace without its other half" in done.stderr
    assert (await run("http://127.0.0.1:1", "--output", "x", "--json")).returncode == 2


async def test_a_link_shows_its_part() -> None:
    """`natstream tail LINK` shows the lines of the link, whatever token is set."""
    async with closed_service() as service:
        service.service.core.hub.publish_nowait(
            [*entries("shown"), attrs.evolve(ENTRY, app_name="api", message="hidden")]
        )
        link = f"{service.url}/link#{grant_text(('app', 'web'))}"
        done = await run(link, "-n", *TEMPLATE, environment={"NATSTREAM_TOKEN": TOKEN})
        assert lines_of(done) == ["m1 shown"]
        done = await run(f"{service.url}/link", "-n")
        assert done.returncode == 2
        assert b"This link lacks the part after the #" in done.stderr
