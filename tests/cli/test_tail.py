"""`natstream tail` as people and scripts run it: a process, its output and its exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.support.fake_service import Answer, event_id, line, notice, open_fake_service
from tests.support.service import open_service
from tests.support.tail_process import ENVIRONMENT, run, run_on_terminal, running

from natstream.cli import tail
from natstream.client.client import open_log_stream
from natstream.entries.entry import Gap
from natstream.errors import SourceUnavailable

LINE = "2022-09-27T20:34:37Z web[0e286551c30586] sjc [info] line {}\n"


async def read_until(stream: trio.abc.ReceiveStream | None, text: bytes) -> bytes:
    assert stream is not None
    got = b""
    while text not in got:
        chunk = await stream.receive_some()
        assert chunk, f"ended after {got!r}"
        got += chunk
    return got


async def test_no_follow_shows_the_past_lines_and_ends() -> None:
    """With --no-follow, the lines are on stdout, stderr is empty, and the status is 0."""
    async with open_fake_service(Answer([notice(), line(1), line(2)], "end")) as fake:
        done = await run(fake.url, "--no-follow")
    assert done.stdout.decode() == LINE.format(1) + LINE.format(2)
    assert (done.returncode, done.stderr) == (0, b"")
    assert fake.requests[0].query == [("follow", "false")]


async def test_options_are_the_parameters_of_the_api() -> None:
    """`tail` passes all filter options to the service, which alone checks them."""
    async with open_fake_service(Answer([], "end")) as fake:
        await run(
            *("-a", "web", "--app", "api,db", "-r", "sjc", "-m", "m1", "--level", "info"),
            *("--min-level", "warn", "--stream", "stderr", "--grep", "/a|b/", "--grep", "c"),
            *("--not", "d", "--since", "10m", "--tail", "5", "-n", "--group", "web,worker"),
            *("--release", "42", "--region", "-iad,ord,-fra", "--app", "-shop"),
            environment={"NATSTREAM_URL": fake.url, "NATSTREAM_TOKEN": "new,old"},
        )
    assert sorted(fake.requests[0].query) == [
        *[("app", "api,db"), ("app", "web"), ("follow", "false"), ("group", "web,worker")],
        *[("level", "info"), ("machine", "m1"), ("min_level", "warn"), ("not", "d")],
        *[("not_app", "shop"), ("not_region", "fra"), ("not_region", "iad")],
        *[("q", "/a|b/"), ("q", "c"), ("region", "ord"), ("region", "sjc"), ("release", "42")],
        ("since", "10m"),
        *[("stream", "stderr"), ("tail", "5")],
    ]
    assert fake.requests[0].headers["authorization"] == "Bearer new"


async def test_json_is_what_the_service_sent() -> None:
    """With --json, each line of the output is the service's object with its id, as jq expects."""
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
    """On a terminal, lines are painted and keep their colours unless the user turns this off."""
    body = [line(1, "\x1b[32mgreen\x1b[0m \x1b[2J\x1b]0;title\x07bell\x07")]
    async with open_fake_service(Answer(body, "end")) as fake:
        shown = await run_on_terminal(fake.url, "-n", *arguments, environment=environment)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).endswith("[info] green bell␇\r\n")
    assert ("\x1b[32mgreen\x1b[0m" in shown) is painted
    assert ("[\x1b[34minfo\x1b[0m]" in shown) is painted


async def test_a_pipe_gets_plain_text() -> None:
    """A pipe gets no colours, even if the line contains some."""
    async with open_fake_service(Answer([line(1, "\x1b[32mgreen\x1b[0m")], "end")) as fake:
        done = await run(fake.url, "-n", environment={"TERM": "xterm"})
    assert done.stdout.decode().endswith("[info] green\n")


async def test_notices_go_to_stderr() -> None:
    """A disconnect, the new connection and a gap are reported on stderr, never between lines."""
    missing = Gap(7, 5, at_most=True)
    gap = notice("Up to 7 lines are missing here", gap=missing, resume_id=event_id(8))
    script = [Answer([notice(), line(1)], "cut"), Answer([notice(), gap, line(9)])]
    async with (
        open_fake_service(*script) as fake,
        running(fake.url, "--tail", "0") as process,
    ):
        got = await read_until(process.stdout, b"line 9\n")
        notices = await read_until(process.stderr, b"missing here\n")
    assert got.decode() == LINE.format(1) + LINE.format(9)
    first, lost, again, missed = notices.decode().splitlines()
    assert first == again == "# Connected to log stream"
    assert re.fullmatch(r"# http://127.0.0.1:\d+ was lost: .*; trying again", lost)
    assert missed == "# Up to 7 lines are missing here"
    assert fake.requests[1].headers["last-event-id"] == event_id(1)


async def test_something_of_the_past_is_shown_when_following() -> None:
    """`tail` first shows ten lines from the past, unless `--since` says which lines to show."""
    async with open_fake_service(Answer([line(1)], "stay"), Answer([line(1)], "stay")) as fake:
        for arguments in ([], ["--since", "1h"]):
            async with running(fake.url, *arguments) as process:
                await read_until(process.stdout, b"line 1")
    assert [request.query for request in fake.requests] == [[("tail", "10")], [("since", "1h")]]


async def test_ctrl_c_ends_it_quietly() -> None:
    """Ctrl-C ends `tail` with status 130 and without output."""
    async with open_fake_service(Answer([line(1)])) as fake, running(fake.url) as process:
        await read_until(process.stdout, b"line 1")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        assert process.stderr is not None
        assert await process.stderr.receive_some() == b""


def test_a_closed_output_is_one_sentence() -> None:
    """With its output closed (`>&-`), `tail` says so in one sentence and ends with status 1."""
    command = f"exec {sys.executable} -m natstream tail >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "natstream: Standard output is closed, so no lines can be shown. Run tail without `>&-`.\n",
    )


@pytest.mark.parametrize("body", [[line(1)], [line(1)] * 100_000], ids=["idle", "busy"])
async def test_a_closed_pipe_ends_it_quietly(body: list[bytes]) -> None:
    """`| head -1` ends `tail` with status 0, even if no second line ever comes."""
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
        (
            Answer(status=401, end="end"),
            3,
            r"natstream: http.* needs a token, so no lines can be shown\. Set NATSTREAM_TOKEN",
        ),
        (Answer(status=500, end="end"), 1, r"natstream: http.* answers 500: Internal Server Error"),
    ],
)
async def test_refusals_are_a_sentence_and_a_status(answer: Answer, status: int, says: str) -> None:
    """A refusal gives people one sentence, and scripts a status that says whose fault it is."""
    async with open_fake_service(answer) as fake:
        done = await run(fake.url, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (status, b"")
    assert re.match(says, done.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["http://127.0.0.1:1"], 1, "http://127.0.0.1:1 cannot be reached: Connection refused"),
        (["ftp://127.0.0.1"], 2, "'ftp://127.0.0.1' is not an address"),
        (["-n", "100"], 2, "To show the last 100 lines, use --tail 100"),
        (["--tail", "many"], 2, "Invalid value for '--tail'"),
        (["--nonsense"], 2, "No such option"),
    ],
)
async def test_mistakes_are_a_sentence_and_a_status(
    arguments: list[str], status: int, says: str
) -> None:
    """A mistake in the arguments gives one sentence and a status as well."""
    done = await run(*arguments)
    assert done.returncode == status
    assert says in done.stderr.decode()


async def test_a_token_is_not_sent_unencrypted_without_a_warning() -> None:
    """Plain http to a public name gives a warning, which does not show the token itself."""
    done = await run("http://nowhere.invalid", environment={"NATSTREAM_TOKEN": "hunter2"})
    assert b"the token is sent to nowhere.invalid unencrypted" in done.stderr
    assert b"hunter2" not in done.stderr


@pytest.mark.parametrize("is_given", [True, False])
async def test_the_token_is_shown_only_to_an_address_that_is_given(is_given: bool) -> None:
    """The service of the default address gets NATSTREAM_TOKEN only if a person gives its address.

    Another program may listen there in its place.
    """
    async with open_fake_service(Answer(status=401, end="end")) as fake:
        code = (
            "import natstream.client.address as address; "
            f"address.DEFAULT_URL = {fake.url!r}; "
            "from natstream.cli.main import main; main()"
        )
        command = [sys.executable, "-c", code, "tail", "-n", *([fake.url] if is_given else [])]
        done = await trio.run_process(
            command,
            env=ENVIRONMENT | {"NATSTREAM_TOKEN": "hunter2"},
            capture_stderr=True,
            check=False,
        )
    (request,) = fake.requests
    assert request.headers.get("authorization") == ("Bearer hunter2" if is_given else None)
    assert done.returncode == 3
    assert (f"natstream tail {fake.url}" in done.stderr.decode()) != is_given
    assert b"hunter2" not in done.stderr


async def test_a_token_is_asked_for_on_a_terminal() -> None:
    """On a terminal, the user types the token, which is not shown, and the stream starts."""
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


async def test_tail_waits_for_a_full_service() -> None:
    """`tail` waits as long as the service says and tries again, also for the first connection."""
    full = Answer([b'{"error": "too many readers"}'], "end", 503, {"Retry-After": "1"})
    async with open_fake_service(full, Answer([line(1)], "end")) as fake:
        done = await run(fake.url, "-n")
    assert done.stdout.decode() == LINE.format(1)
    assert b"too many readers; trying again in 1 s" in done.stderr


async def test_no_follow_gives_up_if_the_service_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --no-follow, `tail` fails after a long silence instead of waiting without end."""
    monkeypatch.setattr(tail, "PATIENCE", 0.3)
    monkeypatch.setattr(tail, "OUTPUT_CHECK_INTERVAL", 0.1)
    async with (
        open_fake_service(Answer([line(1)], "cut")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        with pytest.raises(SourceUnavailable, match="some lines have not been shown"):
            await tail._copy(entries, str, follow=False)


async def test_a_full_disk_is_a_sentence() -> None:
    """An output that cannot be written gives one sentence and status 1."""
    async with open_fake_service(Answer([line(1)], "end")) as fake:
        with open("/dev/full", "wb") as full:  # noqa: ASYNC230 - opening it does not wait
            done = await run(fake.url, "-n", capture_stdout=False, stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        b"natstream: the output cannot be written: No space left on device. "
        b"No more lines are shown\n"
    )


async def test_the_output_equals_the_text_format(nats_server: Any) -> None:
    """For real payloads, `tail` prints the same lines as the text format of a real service."""
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
    """`natstream --help` answers at once, because it imports no library of the client."""
    code = "import natstream.cli.main, sys; print({'httpx', 'trio', 'quart'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"set()\n"
