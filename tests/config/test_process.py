"""The process is tuned by the service, and never by the library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.support.loopback import free_port

from natstream.config import lean_imports, process
from natstream.config.environment import read_settings


def test_the_service_gives_its_threads_short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that parses a large body hands the interpreter back to the readers soon."""
    turns: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", turns.append)
    # So that the collector and the limits of this process stay as they are.
    monkeypatch.setattr(process, "tune_process", lambda readers: None)
    process.prepare_process(read_settings({"NATSTREAM_SOURCES": "drain"}))
    assert turns == [0.001]


def test_the_library_leaves_the_turns_of_threads_as_they_are() -> None:
    """A program that runs a drain keeps its own interval, because it may have other threads."""
    program = """
import sys, trio, natstream

before = sys.getswitchinterval()

async def main():
    async with natstream.LogDrainServer(natstream.LogCollector()):
        assert sys.getswitchinterval() == before

trio.run(main)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def started() -> dict[str, Any]:
    """Return what is in a process when the service has started, and is settled; it then ends."""
    program = """
import gc, json, os, signal, sys
from natstream.cli.main import main

freeze = gc.freeze

def freeze_and_end():
    freeze()
    names = [name for name, module in sys.modules.items() if module is not None]
    unused = [name for name in names if type(sys.modules[name]).__name__ == "_LazyModule"]
    found = {"frozen": gc.get_freeze_count(), "others": len(gc.get_objects())}
    print(json.dumps(found | {"names": names, "unused": unused}))
    os.kill(os.getpid(), signal.SIGTERM)

gc.freeze = freeze_and_end
try:
    main(["serve"])
finally:
    print(json.dumps({"collects": gc.isenabled()}))
"""
    variables = {
        "NATSTREAM_SOURCES": "nats",
        "FLY_ORG": "org",
        "ACCESS_TOKEN": "secret",
        "FLY_APP": "*",
        "NATSTREAM_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "NATSTREAM_BIND": "127.0.0.1:0",
    }
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = {}
    for line in result.stdout.splitlines():
        found |= json.loads(line)
    return found


def test_the_collector_is_on_after_the_start(started: dict[str, Any]) -> None:
    """It is off only while the service starts; without it, memory would grow for ever."""
    assert started["collects"]


def test_the_collector_passes_over_what_the_start_has_made(started: dict[str, Any]) -> None:
    """A full collection looks at few objects, because it would delay every reader."""
    assert started["others"] < started["frozen"] / 20


def test_the_service_starts_without_libraries_that_it_does_not_use(started: dict[str, Any]) -> None:
    """Libraries that others import if they are installed cost neither time nor memory."""
    assert "nats" in started["names"]
    assert not {*lean_imports.UNUSED_LIBRARIES} & {*started["names"]}


def test_the_service_starts_without_the_modules_that_it_seldom_uses(
    started: dict[str, Any],
) -> None:
    """Modules that libraries always import, and seldom use, are not loaded before that."""
    assert {*started["unused"]} == lean_imports.SELDOM_USED
