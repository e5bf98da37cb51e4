"""`natstream patterns`, from the command to the table."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import trio
from tests.support.closed import TOKEN, closed_service, grant_text
from tests.support.fake_service import Answer, open_fake_service
from tests.support.service import RunningService, open_service
from tests.support.tail_process import ENVIRONMENT

from natstream.cli.pattern_output import pattern_lines
from natstream.entries.entry import LogEntry


async def run(*arguments: str, **environ: str) -> tuple[str, str, int]:
    result = await trio.run_process(
        [sys.executable, "-m", "natstream", "patterns", *arguments],
        env=ENVIRONMENT | environ,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return result.stdout.decode(), result.stderr.decode(), result.returncode


def publish(service: RunningService) -> None:
    service.service.core.hub.publish_nowait(
        [
            *(LogEntry("m1", f"order {n} shipped", "stdout", app_name="web") for n in range(5)),
            LogEntry("m1", "no \x1b[31mroute\x07", "stdout", app_name="api", level="error"),
        ]
    )


async def test_the_patterns_are_printed() -> None:
    """The command prints a line for each pattern, and options of tail choose the lines."""
    async with open_service() as service:
        publish(service)
        out, err, status = await run(service.url)
        assert (err, status) == ("", 0)
        heading, shipped, failed = out.splitlines()
        assert heading.startswith("# Since ")
        assert shipped.split()[0] == "5"
        assert shipped.endswith(" web  order <n> shipped")
        assert failed.endswith(" error api  no route␇")
        assert "\x1b" not in out
        assert "\x07" not in out
        out, _, _ = await run(service.url, "--app", "api")
        assert "shipped" not in out
        out, _, _ = await run(service.url, "--grep", "order", "--compare", "10m")
        assert out.splitlines()[1] == "# The time before is not known, so nothing is called new"
        assert out.splitlines()[2].split()[:4] == ["same", "0", "→", "5"]
        out, _, _ = await run(service.url, "--rows", "1")
        assert out.splitlines()[-1] == "# 1 more pattern"


async def test_the_answer_as_json() -> None:
    """`--json` prints the whole answer as one line."""
    async with open_service() as service:
        publish(service)
        out, _, status = await run(service.url, "--json", "--compare", "1m")
        answer = json.loads(out)
        assert status == 0
        assert [row["verdict"] for row in answer["patterns"]] == ["same", "same"]


async def test_the_patterns_are_printed_again_and_again() -> None:
    """With `--every`, new tables follow, until the output is closed."""
    async with open_service() as service:
        publish(service)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "natstream", "patterns", service.url, "--every", "1"],
            env=ENVIRONMENT,
            stdout=-1,
        )
        out = b""
        with trio.fail_after(20):
            while out.count(b"# Since") < 2:
                assert process.stdout is not None
                out += await process.stdout.receive_some()
            assert process.stdout is not None
            await process.stdout.aclose()
            assert await process.wait() == 0


async def test_a_restart_of_the_service_does_not_end_the_tables() -> None:
    """With `--every`, a service that was away is asked again, and one sentence says so."""
    table = Answer(
        [b'{"patterns":[],"since_ms":0}'], "end", headers={"Content-Type": "application/json"}
    )
    script = [table, Answer(end="cut", status=503), Answer(status=503, end="end"), table]
    async with open_fake_service(*script) as service:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "natstream", "patterns", service.url, "--every", "1"],
            env=ENVIRONMENT,
            stdout=-1,
            stderr=-1,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        out = b""
        with trio.fail_after(20):
            while out.count(b"# Since") < 2:
                received = await process.stdout.receive_some()
                assert received
                out += received
            err = await process.stderr.receive_some()
            await process.stdout.aclose()
            process.kill()
            await process.wait()
    assert len(service.requests) >= 4
    assert err.decode().endswith("It is asked every 1 s\n")
    assert err.count(b"\n") == 1


async def test_a_link_shows_its_part() -> None:
    """A link gives the patterns of its scope, without a token."""
    async with closed_service() as service:
        publish(service)
        link = f"{service.url}/link#{grant_text(('app', 'web'))}"
        out, err, status = await run(link)
        assert (err, status) == ("", 0)
        assert len(out.splitlines()) == 2


async def test_errors_are_one_sentence() -> None:
    """A wrong option, a missing token and an unreachable service have their status."""
    async with closed_service() as service:
        for arguments, environ, expected, sentence in (
            ([service.url], {}, 3, "needs a token"),
            ([service.url], {"NATSTREAM_TOKEN": "wrong"}, 3, "refuses the token"),
            ([service.url, "--compare", "2h"], {"NATSTREAM_TOKEN": TOKEN}, 2, "--compare must be"),
            (["http://127.0.0.1:9"], {}, 1, "cannot be reached"),
            (["::"], {}, 2, "is not an address"),
        ):
            out, err, status = await run(*arguments, **environ)
            assert (out, status, err.count("\n")) == ("", expected, 1), err
            assert sentence in err


ROW: dict[str, Any] = {
    "app": "web",
    "level": "error",
    "pattern": "failed <n> times",
    "count": 30,
    "rate": 0.5,
    "series": [0] * 15 + [2] * 15,
    "verdict": "new",
    "before": 0,
    "now": 30,
}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"patterns": [ROW], "compare": {"kind": "span", "since_ms": 0}},
            ["# Since 00:00:00 UTC, against as much time before", "new            0 → 30 "],
        ),
        (
            {"patterns": [], "compare": {"kind": "deploy", "since_ms": 1_000, "apps": {"web": {
                "since_ms": 1_000, "release": "42"}}}},
            ["# Since the newest release, against as much time before: web (release 42, 00:00:01",
             "# Nothing is new, and nothing has grown"],
        ),
        (
            {"patterns": [ROW] * 3, "compare": None, "other": {"count": 1234}, "sampled": True},
            ["# Since 00:00:00 UTC", "       30      0.50/s ", "       30", "# 1 more"],
        ),
        (
            {"patterns": [], "compare": None, "older_deploys": {}},
            ["# Since 00:00:00 UTC, not compared, because no newer release is known"],
        ),
        (
            {"patterns": [], "compare": None, "older_deploys": {"web": {
                "since_ms": 1_000, "release": "42"}}},
            ["# Since 00:00:00 UTC, not compared, because no release is newer than 30 min: web "
             "(release 42, 00:00:01 UTC)"],
        ),
    ],
)  # fmt: skip
def test_the_table(answer: dict[str, Any], expected: list[str]) -> None:
    """A heading says what is compared, and a last line what is left out."""
    found = list(pattern_lines(answer, most=2, width=None, paint=False))
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


def test_a_line_fits_the_terminal() -> None:
    """A line is cut to the width of the terminal, and coloured by its verdict."""
    answer = {"patterns": [ROW], "compare": {"kind": "span", "since_ms": 0}}
    _, line = pattern_lines(answer, most=9, width=60, paint=True)
    assert line.startswith("\x1b[31mnew")
    assert len(line.removeprefix("\x1b[31m").removesuffix("\x1b[0m")) == 60


def test_a_long_heading_is_wrapped() -> None:
    """The apps of a deploy stay readable in a narrow terminal."""
    apps = {f"application-{n}": {"release": str(n), "since_ms": 0} for n in range(5)}
    answer = {"patterns": [], "since_ms": 0, "compare": {"since_ms": 0, "apps": apps}}
    *heading, _ = pattern_lines(answer, most=9, width=60, paint=False)
    assert all(line.startswith("#") and len(line) <= 60 for line in heading)
    assert all(f"application-{n}" in " ".join(heading) for n in range(5))
