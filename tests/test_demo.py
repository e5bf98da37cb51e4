"""The demo: lifelike traffic, and the whole service at one command."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from random import Random

import httpx
import pytest
import trio

from conftest import MistreatedServer
from natstream.demo import publish_traffic
from natstream.parsing import parse_nats
from natstream.traffic import LINES_PER_SECOND, Line, encode, traffic


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
    monkeypatch.setattr("natstream.demo.RESTART_DELAY", 0.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish_traffic, nats_server)
        await trio.sleep(0.1)
        await nats_server.kill()
        with trio.fail_after(20):
            while not nats_server.is_running:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


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
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "natstream", "demo"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        try:
            assert process.stdout is not None
            page = process.stdout.readline().split()[-1]
            curl = process.stdout.readline().removesuffix("\n")
            assert curl == f"curl -N {page}/api/logs"
            assert page.startswith("http://127.0.0.1:")
            assert page != "http://127.0.0.1:8080"
            assert httpx.get(page).status_code == 200
            apps = set()
            started = time.monotonic()
            with httpx.stream("GET", curl.split()[-1]) as response:
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        apps.add(json.loads(line[6:]).get("app"))
                    if len(apps) > 3:
                        break
            assert time.monotonic() - started < 10
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=15)
        assert (process.returncode, out, err) == (0, "", "")
