"""The process is tuned by the service, and never by the library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from natstream.config import process
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
