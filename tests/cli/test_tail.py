"""`natstream tail` as people and scripts run it: a process, its output, its exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.support.fake_service import Answer, event_id, line, notice, open_fake_service
from tests.support.service import open_service

from natstream.cli import tail
from natstream.client.client import open_log_stream
from natstream.entries.entry import Gap
from natstream.errors import SourceUnavailable

COMMAND = [sys.executable, "-m", "natstream", "tail"]
# The developer's own settings are not the tests'.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("NATSTREAM_") and name not in ("NO_COLOR", "TERM")
}
LINE = "2022-09-27T20:34:37Z web[0e286551c30586] sjc [info] line {}\n"


async def run(
    *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        [*COMMAND, *arguments],
        env=ENVIRONMENT | dict(environment or {}),
        **{"capture_stdout": True, "capture_stderr": True, "check": False} | options,
    )


@asynccontextmanager
async def running(*arguments: str, **options: Any) -> AsyncIterator[trio.Process]:
    """The process while it runs; gone at the end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    process = await trio.lowlevel.open_process([*COMMAND, *arguments], env=ENVIRONMENT, **options)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def read_until(stream: trio.abc.ReceiveStream | None, text: bytes) -> bytes:
    assert stream is not None
    got = b""
    while text not in got:
        chunk = await stream.receive_some()
        assert chunk, f"ended after {got!r}"
        got += chunk
    return got


async def test_what_is_there_is_shown_and_that_is_all() -> None:
    """With --no-follow, stdout holds the lines, stderr nothing, and the status is 0."""
    async with open_fake_service(Answer([notice(), line(1), line(2)], "end")) as fake:
        done = await run(fake.url, "--no-follow")
    assert done.stdout.decode() == LINE.format(1) + LINE.format(2)
    assert (done.returncode, done.stderr) == (0, b"")
    assert fake.requests[0].query == [("follow", "false")]


async def test_options_are_the_parameters_of_the_api() -> None:
    """What can be said of the lines is said to the service, which alone judges it."""
    async with open_fake_service(Answer([], "end")) as fake:
        await run(
            *("-a", "web", "--app", "api,db", "-r", "sjc", "-m", "m1", "--level", "info"),
            *("--min-level", "warn", "--stream", "stderr", "--grep", "/a|b/", "--grep", "c"),
            *("--not", "d", "--since", "10m", "--tail", "5", "-n"),
            environment={"NATSTREAM_URL": fake.url, "NATSTREAM_TOKEN": "new,old"},
        )
    assert sorted(fake.requests[0].query) == [
        *[("app", "api,db"), ("app", "web"), ("follow", "false"), ("level", "info")],
        *[("machine", "m1"), ("min_level", "warn"), ("not", "d"), ("q", "/a|b/"), ("q", "c")],
        *[("region", "sjc"), ("since", "10m"), ("stream", "stderr"), ("tail", "5")],
    ]
    assert fake.requests[0].headers["authorization"] == "Bearer new"


async def test_json_is_what_the_service_sent() -> None:
    """One object a line, ids included, for jq."""
    async with open_fake_service(Answer([line(1), line(2, "\x9b2J")], "end")) as fake:
        done = await run(fake.url, "--no-tail", "--json")
    first, second = done.stdout.splitlines()
    assert json.loads(first) == json.loads(line(1))
    assert json.loads(second)["message"] == "\x9b2J"
    assert second.isascii()


@pytest.mark.parametrize(
    ("arguments", "environment", "painted"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
async def test_colours_are_for_terminals(
    arguments: list[str], environment: dict[str, str], painted: bool
) -> None:
    """On a terminal lines are painted and keep their colours, unless somebody says no."""
    body = [line(1, "\x1b[32mgreen\x1b[0m \x1b[2J\x1b]0;title\x07bell\x07")]
    master, slave = pty.openpty()
    try:
        async with open_fake_service(Answer(body, "end")) as fake:
            await run(
                *(fake.url, "-n", *arguments),
                environment={"TERM": "xterm"} | environment,
                capture_stdout=False,
                stdout=slave,
            )
        shown = os.read(master, 4096).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).endswith("[info] green bell␇\r\n")
    assert ("\x1b[32mgreen\x1b[0m" in shown) is painted
    assert ("[\x1b[34minfo\x1b[0m]" in shown) is painted


async def test_a_pipe_gets_plain_text() -> None:
    """No colours, whatever the line holds."""
    async with open_fake_service(Answer([line(1, "\x1b[32mgreen\x1b[0m")], "end")) as fake:
        done = await run(fake.url, "-n", environment={"TERM": "xterm"})
    assert done.stdout.decode().endswith("[info] green\n")


async def test_what_was_missed_is_told_on_stderr() -> None:
    """A cut, the way back and a gap: all of it beside the lines, none of it between them."""
    gap = notice("Up to 7 lines are missing here", gap=Gap(7, 5, at_most=True), place=event_id(8))
    script = [Answer([notice(), line(1)], "cut"), Answer([notice(), gap, line(9)])]
    async with (
        open_fake_service(*script) as fake,
        running(fake.url, "--tail", "0") as process,
    ):
        got = await read_until(process.stdout, b"line 9\n")
        told = await read_until(process.stderr, b"missing here\n")
    assert got.decode() == LINE.format(1) + LINE.format(9)
    first, lost, again, missed = told.decode().splitlines()
    assert first == again == "# Connected to log stream"
    assert re.fullmatch(r"# http://127.0.0.1:\d+ was lost: .*; trying again", lost)
    assert missed == "# Up to 7 lines are missing here"
    assert fake.requests[1].headers["last-event-id"] == event_id(1)


async def test_something_of_the_past_is_shown_when_following() -> None:
    """Ten lines, as of any `tail`; none where `--since` says what is wanted."""
    async with open_fake_service(Answer([line(1)], "stay"), Answer([line(1)], "stay")) as fake:
        for arguments in ([], ["--since", "1h"]):
            async with running(fake.url, *arguments) as process:
                await read_until(process.stdout, b"line 1")
    assert [request.query for request in fake.requests] == [[("tail", "10")], [("since", "1h")]]


async def test_ctrl_c_ends_it_quietly() -> None:
    """Status 130, and not a word."""
    async with open_fake_service(Answer([line(1)])) as fake, running(fake.url) as process:
        await read_until(process.stdout, b"line 1")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        assert process.stderr is not None
        assert await process.stderr.receive_some() == b""


def test_without_an_output_there_is_nothing_to_do() -> None:
    """`>&-`: one sentence."""
    command = f"exec {sys.executable} -m natstream tail >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "natstream: Standard output is closed: there is nowhere to show lines.\n",
    )


@pytest.mark.parametrize("body", [[line(1)], [line(1)] * 100_000], ids=["idle", "busy"])
async def test_a_closed_pipe_ends_it_quietly(body: list[bytes]) -> None:
    """`| head -1` ends it with status 0, even where no second line ever comes."""
    async with open_fake_service(Answer(body)) as fake, running(fake.url) as process:
        await read_until(process.stdout, b"line 1")
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.aclose()
        assert await process.wait() == 0
        assert await process.stderr.receive_some() == b""


REFUSED = b'{"error": "since takes 10m, 2h \\u001b[2J or a time", "parameter": "since"}'


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (Answer([REFUSED], "end", 400), 2, r"natstream: --since takes 10m, 2h  or a time\n"),
        (
            Answer([b'{"error": "q is odd", "parameter": "q"}'], "end", 400),
            2,
            r"natstream: --grep is odd",
        ),
        (Answer(status=401, end="end"), 3, r"natstream: http.* wants a token: set NATSTREAM_TOKEN"),
        (Answer(status=500, end="end"), 1, r"natstream: http.* answers 500: Internal Server Error"),
    ],
)
async def test_refusals_are_a_sentence_and_a_status(answer: Answer, status: int, says: str) -> None:
    """Scripts can tell apart whose fault it is; people can read it."""
    async with open_fake_service(answer) as fake:
        done = await run(fake.url, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (status, b"")
    assert re.match(says, done.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["http://127.0.0.1:1"], 1, "http://127.0.0.1:1 cannot be reached: Connection refused"),
        (["ftp://127.0.0.1"], 2, "'ftp://127.0.0.1' is not an address"),
        (["-n", "100"], 2, "For the last 100 lines: --tail 100"),
        (["--tail", "many"], 2, "Invalid value for '--tail'"),
        (["--nonsense"], 2, "No such option"),
    ],
)
async def test_mistakes_are_a_sentence_and_a_status(
    arguments: list[str], status: int, says: str
) -> None:
    """The same where no service is involved."""
    done = await run(*arguments)
    assert done.returncode == status
    assert says in done.stderr.decode()


async def test_a_token_is_not_sent_in_the_open_without_a_word() -> None:
    """Plain http to a public name carries a warning; the token itself is never shown."""
    done = await run("http://nowhere.invalid", environment={"NATSTREAM_TOKEN": "hunter2"})
    assert b"the token goes to nowhere.invalid unencrypted" in done.stderr
    assert b"hunter2" not in done.stderr


async def test_a_token_is_asked_for_on_a_terminal() -> None:
    """Whoever sits there types it, unseen, and the stream starts."""
    script = [Answer(status=401, end="end"), Answer([line(1)])]
    master, slave = pty.openpty()
    try:
        async with (
            open_fake_service(*script) as fake,
            running(fake.url, stdin=slave, stderr=slave, start_new_session=True) as process,
        ):
            while b"Token: " not in (prompt := await trio.to_thread.run_sync(os.read, master, 99)):
                pass
            os.write(master, b"hunter2\n")
            await read_until(process.stdout, b"line 1")
            shown = prompt + os.read(master, 4096)
    finally:
        os.close(master)
        os.close(slave)
    assert fake.requests[1].headers["authorization"] == "Bearer hunter2"
    assert b"hunter2" not in shown


async def test_a_full_service_is_waited_for() -> None:
    """A service that says when to come back is taken at its word, from the start."""
    full = Answer([b'{"error": "all places are taken"}'], "end", 503, {"Retry-After": "1"})
    async with open_fake_service(full, Answer([line(1)], "end")) as fake:
        done = await run(fake.url, "-n")
    assert done.stdout.decode() == LINE.format(1)
    assert b"all places are taken; trying again in 1 s" in done.stderr


async def test_a_service_that_does_not_come_back_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for the end of --no-follow is told that it will not come."""
    monkeypatch.setattr(tail, "PATIENCE", 0.3)
    monkeypatch.setattr(tail, "GLANCE", 0.1)
    async with (
        open_fake_service(Answer([line(1)], "cut")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        with pytest.raises(SourceUnavailable, match="not all has been shown"):
            await tail._copy(entries, str, follow=False)


async def test_a_full_disk_is_a_sentence() -> None:
    """What goes wrong on this side is said as plainly."""
    async with open_fake_service(Answer([line(1)], "end")) as fake:
        with open("/dev/full", "wb") as full:  # noqa: ASYNC230 - opening it does not wait
            done = await run(fake.url, "-n", capture_stdout=False, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"natstream: the output cannot be written: No space left on device\n"


async def test_it_reads_as_the_text_format_does(nats_server: Any) -> None:
    """What a real service's own text form says of real payloads, `tail` says too."""
    rows = (Path(__file__).parents[1] / "fixtures/payloads.jsonl").read_text().splitlines()
    payloads = [row["payload"] for row in map(json.loads, rows) if row["via"] == "nats"]
    async with open_service(nats_server) as service, service.stream() as stream:
        messages = [payload.encode() for payload in payloads]
        await nats_server.publish("logs.web.sjc.0e286551c30586", messages)
        await stream.lines(len(messages))
        text = (await service.get("/api/logs?follow=false&format=text")).text
        done = await run(service.url, "-n")
    head, _, lines = text.partition("\n")
    assert head == "# Connected to log stream"
    assert done.stdout.decode() == re.sub(r"\x1b\[[0-9;:]*m", "", lines)
    assert done.stdout.count(b"\n") >= len(messages)


def test_help_needs_no_client() -> None:
    """`natstream --help` answers at once: what only a client needs is imported by a client."""
    code = "import natstream.cli.main, sys; print({'httpx', 'trio', 'quart'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"set()\n"
