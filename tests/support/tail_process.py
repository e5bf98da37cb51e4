"""`natstream tail` in a process of its own, as people and scripts run it.

`run()` waits for its end, `running()` kills it after a block, and `run_on_terminal()` returns what
a terminal would show.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

__all__ = ["ENVIRONMENT", "run", "run_on_terminal", "running"]

COMMAND = [sys.executable, "-m", "natstream", "tail"]
# The tests must not depend on the settings of the developer who runs them.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("NATSTREAM_") and name not in ("NO_COLOR", "TERM")
}


async def run(
    *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run `natstream tail`, and return its output and its status."""
    return await trio.run_process(
        [*COMMAND, *arguments],
        env=ENVIRONMENT | dict(environment or {}),
        **{"capture_stdout": True, "capture_stderr": True, "check": False} | options,
    )


@asynccontextmanager
async def running(*arguments: str, **options: Any) -> AsyncIterator[trio.Process]:
    """Start `natstream tail`, and kill it after the block."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    process = await trio.lowlevel.open_process([*COMMAND, *arguments], env=ENVIRONMENT, **options)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def run_on_terminal(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run `natstream tail` with a terminal as its output, and return the output."""
    master, slave = pty.openpty()
    try:
        await run(
            *arguments,
            environment={"TERM": "xterm"} | dict(environment or {}),
            capture_stdout=False,
            stdout=slave,
        )
        return os.read(master, 65_536).decode()
    finally:
        os.close(master)
        os.close(slave)
