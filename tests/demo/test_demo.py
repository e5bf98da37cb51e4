"""The demo: lifelike traffic, and the whole service at one command."""

from __future__ import annotations

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
from natstream.demo.traffic import LINES_PER_SECOND, Line, encode, traffic
from natstream.entries.fly import parse_nats


def five_minutes(seed: int = 0) -> list[tuple[float, Line]]:
    return list(itertools.takewhile(lambda timed: timed[0] < 300, traffic(Random(seed))))


def test_the_same_seed_makes_the_same_traffic() -> None:
    """What somebody saw can be shown again."""
    assert five_minutes(7) == five_minutes(7)
    assert five_minutes(7) != five_minutes(8)


@pytest.mark.parametrize("seed", range(5))
def test_the_pace_is_lifelike(seed: int) -> None:
    """In order, never silent, about as dense as promised, with bursts."""
    times = [at for at, _ in five_minutes(seed)]
    assert times == sorted(times)
    assert len(times) / 300 == pytest.approx(LINES_PER_SECOND, rel=0.15)
    seconds = Counter(int(at) for at in times)
    assert min(seconds[second] for second in range(300)) >= 5
    assert max(seconds.values()) > 2 * LINES_PER_SECOND


def test_there_is_something_of_everything() -> None:
    """All that the page can show comes within a few minutes."""
    lines = [line for _, line in five_minutes()]
    assert {line.provider for line in lines} == {"app", "runner", "proxy", "health"}
    assert {line.level for line in lines} == {"info", "warn", "error"}
    assert len({line.machine.app for line in lines}) == 5
    assert len({line.machine.region for line in lines}) == 5
    assert any("Traceback" in line.message and "\n" in line.message for line in lines)
    assert any("\x1b[" in line.message for line in lines)
    assert any(not line.message.isascii() for line in lines)
    assert any(line.message.startswith("{") and json.loads(line.message) for line in lines)
    assert any(line.message.startswith("Pulling container image") for line in lines)
    assert any(line.extra.get("http") for line in lines)


def test_the_payload_is_what_fly_publishes() -> None:
    """Subject, keys and their order, a timestamp of nine digits; and it is parsed as meant."""
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
        assert (entry.level, entry.provider) == (line.level, line.provider)
        assert entry.stream == ("stdout" if line.provider == "app" else "system")
        assert entry.unix_ns == now
        assert "{now}" not in entry.message


async def test_the_traffic_survives_its_server(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who kills it, to see what happens, sees it come back."""
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
    """The command as somebody types it, ended by Ctrl-C: with status 0, and without a word."""
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


def said(process: Popen[str]) -> str:
    """What it says next."""
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def events(url: str) -> Iterator[dict[str, Any]]:
    """Lines and notices, as they come; it ends if none does for a long time."""
    with httpx.stream("GET", f"{url}&format=ndjson", timeout=PATIENCE) as response:
        yield from map(json.loads, filter(None, response.iter_lines()))


def test_one_command_shows_logs_and_ends_quietly() -> None:
    """It says where, the curl line works, its ports may be taken, Ctrl-C is enough."""
    with ExitStack() as stack:
        for port in (8080, 8081):
            taken = stack.enter_context(socket.socket())
            try:
                taken.bind(("127.0.0.1", port))
                taken.listen()
            except OSError:
                pass  # taken already
        demo = stack.enter_context(running_demo())
        page = said(demo).split()[-1]
        curl = said(demo)
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
    """The same ones under the same ids, before any new one; the path is told, and holds them."""
    shown: list[list[dict[str, Any]]] = []
    for _ in range(2):
        with running_demo("--journal", cache=tmp_path) as demo:
            page = said(demo).split()[-1]
            assert said(demo) == f"curl -N {page}/api/logs"
            assert f" {tmp_path}/natstream/demo:" in said(demo)
            while httpx.get(f"{page}/readyz", timeout=PATIENCE).status_code != 200:
                time.sleep(0.05)
            logs = (event for event in events(f"{page}/api/logs?since=1h") if "id" in event)
            shown.append(list(itertools.islice(logs, 50)))
    assert shown[0] == shown[1]
    assert all(event["persistent"] for event in shown[0])
    assert {path.name for path in (tmp_path / "natstream/demo").iterdir()} == {"jetstream", "lock"}


def test_two_demos_do_not_share_a_journal(tmp_path: Path) -> None:
    """Two servers on one directory would spoil it: the second is told, in one sentence."""
    with running_demo("--journal", cache=tmp_path) as demo:
        said(demo)
        second = subprocess.run(
            [sys.executable, "-m", "natstream", "demo", "--journal"],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        [said(demo) for _ in range(2)]
    sentence = rf"natstream: .* cannot be kept in {tmp_path}/\S+: another demo does\. .*\n"
    assert (second.returncode, second.stdout) == (2, "")
    assert re.fullmatch(sentence, second.stderr)


def test_a_journal_without_a_place_is_one_sentence(tmp_path: Path) -> None:
    """A directory that cannot be made is the user's to mend."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(
        main, ["demo", "--journal"], env={"XDG_CACHE_HOME": str(tmp_path / "file")}
    )
    assert done.exit_code == 2
    assert "Not a directory. XDG_CACHE_HOME moves it." in done.output
