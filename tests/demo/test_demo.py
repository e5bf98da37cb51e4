"""The demo: lifelike traffic, and the whole service with one command."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Any

import httpx
import pytest
import trio
from click.testing import CliRunner
from tests.support.mistreated import MistreatedServer
from tests.support.waiting import PATIENCE

from natstream.cli.main import main
from natstream.demo.demo import publish_traffic
from natstream.demo.fly_interfaces import FlyInterfacesStandIn
from natstream.demo.line import Line, encode
from natstream.demo.traces import GO, JAVA, NODE, PYTHON, RUBY
from natstream.demo.traffic import LINES_PER_SECOND, traffic
from natstream.entries.continuation import Continuations
from natstream.entries.entry import LogEntry, of_machine
from natstream.entries.filters import EVERYTHING, Filter
from natstream.entries.fly import parse_nats
from natstream.fly_api.machines import parse_machines
from natstream.hub.hub import Hub
from natstream.web.pattern_counts import PatternCounts
from natstream.web.pattern_spans import Comparison
from natstream.web.patterns import Patterns


def five_minutes(seed: int = 0) -> list[tuple[float, Line]]:
    return list(itertools.takewhile(lambda timed: timed[0] < 300, traffic(Random(seed))))


def test_the_same_seed_makes_the_same_traffic() -> None:
    """The same seed gives the same lines at the same times, and another seed gives others."""
    assert five_minutes(7) == five_minutes(7)
    assert five_minutes(7) != five_minutes(8)


@pytest.mark.parametrize("seed", range(5))
def test_the_pace_is_lifelike(seed: int) -> None:
    """The traffic is in order, never silent, about as dense as promised, and has bursts."""
    times = [at for at, _ in five_minutes(seed)]
    assert times == sorted(times)
    assert len(times) / 300 == pytest.approx(LINES_PER_SECOND, rel=0.15)
    seconds = Counter(int(at) for at in times)
    assert min(seconds[second] for second in range(300)) >= 5
    assert max(seconds.values()) > 2 * LINES_PER_SECOND


def test_the_traffic_has_lines_of_every_kind() -> None:
    """Within a few minutes, the traffic has every kind of line that the page can show."""
    lines = [line for _, line in five_minutes()]
    assert {line.provider for line in lines} == {"app", "runner", "proxy", "health"}
    assert {line.level for line in lines} == {"info", "warn", "error"}
    assert len({line.machine.app for line in lines}) == 7
    assert len({line.machine.region for line in lines}) == 5
    assert not any("\n" in line.message for line in lines), "Fly sends each physical line alone"
    assert any("\x1b[" in line.message for line in lines)
    assert any(not line.message.isascii() for line in lines)
    assert any(line.message.startswith("{") and json.loads(line.message) for line in lines)
    assert any(line.message.startswith("Pulling container image") for line in lines)
    assert any(line.extra.get("http") for line in lines)


def test_the_payload_is_what_fly_publishes() -> None:
    """The subject, the keys and the timestamp are as Fly's, and our parser reads the payload."""
    now = 1_664_310_877_252_022_967
    for _, line in five_minutes():
        subject, payload = encode(line, now)
        assert re.fullmatch(r"logs\.[a-z-]+\.[a-z]{3}\.[0-9a-f]{14}", subject)
        raw = json.loads(payload)
        keys = ["event", "fly", "host", "log", "message", "timestamp"]
        assert list(raw)[:6] == keys
        assert set(raw) - set(keys) <= {"error", "http", "url"}
        assert raw["timestamp"] == "2022-09-27T20:34:37.252022967Z"
        entry = parse_nats(subject, payload)
        machine = line.machine
        assert (entry.app_name, entry.region, entry.machine_id, entry.host) == machine
        assert (raw["log"]["level"], entry.provider) == (line.level, line.provider)
        assert entry.stream == ("stdout" if line.provider == "app" else "system")
        assert entry.unix_ns == now
        assert "{now}" not in entry.message


@functools.cache
def entries(seed: int = 1) -> list[LogEntry]:
    """Return the entries of five minutes, with their levels and continuation lines.

    Within this seed's minutes each kind of accident happens.
    """
    start = 1_664_310_877 * 10**9
    lines = [
        parse_nats(*encode(line, start + int(at * 1e9)))
        for at, line in itertools.takewhile(lambda timed: timed[0] < 300, traffic(Random(seed)))
    ]
    return list(Continuations().join(lines))


def test_the_platform_says_info_for_each_line_of_an_app() -> None:
    """The envelope of each app's line says `info`, and levels come from what the apps write."""
    lines = [line for _, line in five_minutes()]
    assert {line.level for line in lines if line.provider == "app"} == {"info"}
    found: dict[str, set[str]] = {}
    for entry in entries():
        if entry.provider == "app":
            found.setdefault(entry.app_name, set()).add(entry.level)
    assert found == {
        "teashop": {"info", "error"},
        "teashop-api": {"info", "warn", "error"},
        "teashop-worker": {"info", "warn", "error"},
        "teashop-search": {"info", "warn", "error"},
        "teashop-pay": {"info", "warn", "error", "fatal"},
        "teashop-db": {"info", "error"},
        "teashop-images": {"info"},
    }


@pytest.mark.parametrize(
    ("app", "text"),
    [
        ("teashop", RUBY),
        ("teashop-api", NODE),
        ("teashop-worker", PYTHON),
        ("teashop-search", JAVA),
        ("teashop-pay", GO),
    ],
)
def test_errors_are_found_with_their_whole_trace(app: str, text: str) -> None:
    """A filter for errors finds the trace of each language, every line of it and nothing else."""
    errors = Filter.from_query([("min_level", "error"), ("app", app)])
    lines = entries()
    found = [lines[index] for index in errors.select(lines) if lines[index].provider == "app"]
    trace = text.split("\n")
    ends = [index + 1 for index, entry in enumerate(found) if entry.message == trace[-1]]
    assert ends
    for end in ends:
        group = found[end - len(trace) : end]
        assert [entry.message for entry in group][1:] == trace[1:]
        assert [entry.continues for entry in group] == [False] + [True] * (len(trace) - 1)
    assert sum(entry.continues for entry in lines if entry.app_name == app) == sum(
        len(trace) - 1 for _ in ends
    )


@pytest.mark.parametrize(
    ("app", "condition"),
    [
        ("teashop", "status>=500"),
        ("teashop-api", "latency_ms>100"),
        ("teashop-worker", "took_ms>100"),
        ("teashop-images", "msg=resized"),
        ("teashop-pay", "status=402,502"),
        ("teashop-search", "hits=0"),
        ("teashop", "http.response.status_code=502"),
    ],
)
def test_the_apps_lines_have_fields(app: str, condition: str) -> None:
    """The lines of the apps have fields, in JSON, in logfmt, and beside the message."""
    filter = Filter.from_query([("app", app), ("field", condition)])
    assert 0 < len(filter.select(entries())) < len(entries())


async def test_the_traffic_survives_its_server(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traffic starts its server again if a user kills the server to see what happens."""
    monkeypatch.setattr("natstream.demo.demo.RESTART_DELAY", 0.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish_traffic, nats_server)
        await trio.sleep(0.1)
        await nats_server.kill()
        with trio.fail_after(20):
            while not nats_server.is_running:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@contextmanager
def running_demo(*arguments: str, cache: Path | None = None) -> Iterator[Popen[str]]:
    """Run the demo command, end it with Ctrl-C, and check that it ends with status 0 in silence."""
    with Popen(
        [sys.executable, "-m", "natstream", "demo", *arguments],
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)} if cache else None,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


def next_line(process: Popen[str]) -> str:
    """Return the next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def events(url: str) -> Iterator[dict[str, Any]]:
    """Yield lines and notices as they come, until none has come for a long time."""
    with httpx.stream("GET", f"{url}&format=ndjson", timeout=PATIENCE) as response:
        yield from map(json.loads, filter(None, response.iter_lines()))


def test_one_command_shows_logs_and_ends_quietly() -> None:
    """The demo prints an address and a curl command that work, even if its ports are in use."""
    with ExitStack() as stack:
        for port in (8080, 8081):
            listener = stack.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError:
                pass  # Another program uses the port.
        demo = stack.enter_context(running_demo())
        page = next_line(demo).split()[-1]
        curl = next_line(demo)
        assert curl == f"curl -N {page}/api/logs"
        assert page.startswith("http://127.0.0.1:")
        assert page != "http://127.0.0.1:8080"
        assert httpx.get(page).status_code == 200
        apps = set()
        started = time.monotonic()
        for event in events(f"{curl.split()[-1]}?"):
            apps.add(event.get("app"))
            if len(apps) > 3:
                break
        assert time.monotonic() - started < 10


def test_with_a_journal_its_lines_are_there_the_next_time(tmp_path: Path) -> None:
    """A second demo with a journal shows the lines of the first one, with the same ids."""
    shown: list[list[dict[str, Any]]] = []
    for _ in range(2):
        with running_demo("--journal", cache=tmp_path) as demo:
            page = next_line(demo).split()[-1]
            assert next_line(demo) == f"curl -N {page}/api/logs"
            assert f" {tmp_path}/natstream/demo:" in next_line(demo)
            while httpx.get(f"{page}/readyz", timeout=PATIENCE).status_code != 200:
                time.sleep(0.05)
            logs = (event for event in events(f"{page}/api/logs?since=1h") if "id" in event)
            shown.append(list(itertools.islice(logs, 50)))
    # The second demo has other machines, so it does not know those of the first one.
    assert [_without_machine(event) for event in shown[0]] == [
        _without_machine(event) for event in shown[1]
    ]
    assert all(event["persistent"] for event in shown[0])
    assert {path.name for path in (tmp_path / "natstream/demo").iterdir()} == {"jetstream", "lock"}


def _without_machine(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("group", "release")}


def test_two_demos_do_not_share_a_journal(tmp_path: Path) -> None:
    """A second demo with the same directory is refused, since two servers would damage it."""
    with running_demo("--journal", cache=tmp_path) as demo:
        next_line(demo)
        second = subprocess.run(
            [sys.executable, "-m", "natstream", "demo", "--journal"],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        [next_line(demo) for _ in range(2)]
    sentence = rf"natstream: .* cannot be kept in {tmp_path}/\S+: another demo uses .*\n"
    assert (second.returncode, second.stdout) == (2, "")
    assert re.fullmatch(sentence, second.stderr)


def test_a_journal_without_a_directory_is_one_sentence(tmp_path: Path) -> None:
    """A directory that cannot be created gives an error that says what the user can change."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(
        main, ["demo", "--journal"], env={"XDG_CACHE_HOME": str(tmp_path / "file")}
    )
    assert done.exit_code == 2
    assert "Not a directory. The demo has not started. Set XDG_CACHE_HOME" in done.output


def test_a_demo_without_temporary_files_says_so() -> None:
    """Without a writable temporary directory, the demo ends with one sentence and status 2."""
    code = (
        "import tempfile; tempfile.tempdir = '/proc/nowhere'; "
        "from natstream.cli.main import main; main(['demo'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("natstream: The demo cannot create its temporary directory (")
    assert done.stderr.count("\n") == 1
    assert "Set TMPDIR" in done.stderr


async def deployed(seed: int) -> dict[str, Any]:
    """Return what changed since the deploys, a minute after the one that breaks something."""
    clock = [0.0]
    counts = PatternCounts(lambda: START + clock[0])
    hub = Hub(observe=counts.count)
    fly = FlyInterfacesStandIn()
    broken: float | None = None
    for at, line in traffic(Random(seed)):
        clock[0] = at
        now = int((START + at) * 1e9)
        fly.note(line, now)
        release = fly.release_of(line.machine.id)
        entry = of_machine(parse_nats(*encode(line, now)), "app", release)
        await hub.publish([entry], arrivals=[now // 1_000_000])
        if broken is None and line.kind == "price":
            broken = at
        if broken is not None and at > broken + 60:
            break
    return await Patterns(hub, counts).read(EVERYTHING, Comparison(is_deploy=True))


START = 1_664_310_877


@pytest.mark.parametrize("seed", range(5))
async def test_what_a_deploy_broke_stands_on_top(seed: int) -> None:
    """A deploy of the demo brings one new error and triples another, and nothing else is news."""
    answer = await deployed(seed)
    first, second, *others = answer["patterns"]
    assert (first["app"], first["verdict"]) == ("teashop-api", "new")
    assert first["pattern"].startswith("price is not a number")
    assert (second["app"], second["verdict"]) == ("teashop-api", "more")
    assert second["pattern"].startswith("coupon service timed out")
    assert second["factor"] > 2
    assert not [row for row in others if row.get("verdict") in ("new", "more")]


async def test_the_machines_of_the_demo_are_known() -> None:
    """The demo's stand-in for Fly's interfaces tells the release and the image of each machine."""
    fly = FlyInterfacesStandIn()
    for at, line in five_minutes(3):
        fly.note(line, int((START + at) * 1e9))
    async with trio.open_nursery() as nursery:
        await nursery.start(fly.run)
        base = f"http://127.0.0.1:{fly.port}"
        async with httpx.AsyncClient() as client:
            apps = (await client.get(f"{base}/v1/apps?org_slug=demo")).json()["apps"]
            assert {"name": "teashop-api"} in apps
            answer = (await client.get(f"{base}/v1/apps/teashop-api/machines")).json()
            assert (await client.get(f"{base}/api/v1/apps/x/logs")).json()["data"] == []
        nursery.cancel_scope.cancel()
    machines = parse_machines("teashop-api", answer)
    assert len(machines) == 3
    assert all(int(machine.release) > 41 for machine in machines)
    assert len({machine.image for machine in machines}) == 1
    assert all(machine.group == "app" and machine.since_ms for machine in machines)
