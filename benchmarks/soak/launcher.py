"""`natstream serve` with changes for which there is no setting.

    python -m benchmarks.soak.launcher [--retry-denied SECONDS] [--crash EVERY SECONDS]

With `--crash`, each task that natstream supervises raises an exception about EVERY so many seconds,
for SECONDS in all: the hub while it sends, the NATS source while it parses, the drain and the
server at any time. Each crash prints a line of JSON, `{"crashed": "hub"}`. The settings come from
the environment, as natstream's do.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from natstream import supervisor
from natstream.cli.main import main as run_natstream
from natstream.drain.server import LogDrainServer
from natstream.errors import SourceDenied
from natstream.hub.fan_out import FanOut
from natstream.nats import source as nats


class InjectedError(Exception):
    """An exception that natstream has to treat as a bug."""


class Crasher:
    """Plans the crashes of one task."""

    def __init__(self, task: str, every: float, seconds: float) -> None:
        self._task = task
        self._every = every
        self._end = time.monotonic() + seconds
        self._next = time.monotonic()
        self._plan()

    def strike(self) -> None:
        """Raise InjectedError if the next crash is due."""
        if self.wait == 0:
            self._plan()
            print(json.dumps({"crashed": self._task}), flush=True)
            raise InjectedError(self._task)

    @property
    def wait(self) -> float:
        """Seconds until the next crash; infinity if there is none."""
        now = time.monotonic()
        return max(0.0, self._next - now) if self._next < self._end else float("inf")

    def _plan(self) -> None:
        self._next = time.monotonic() + random.uniform(0.5, 1.5) * self._every


Change = Callable[[Callable[..., Any], Crasher], Callable[..., Any]]


def within(work: Callable[..., Any], crasher: Crasher) -> Callable[..., Any]:
    """Return `work` with crashes at its start."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        crasher.strike()
        return work(*arguments, **options)

    return wrapped


def around(run: Callable[..., Awaitable[None]], crasher: Crasher) -> Callable[..., Any]:
    """Return the task `run` with crashes at any time."""

    async def wrapped(*arguments: Any, **options: Any) -> None:
        async def strike() -> None:
            await trio.sleep(crasher.wait)
            crasher.strike()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(strike)
            await run(*arguments, **options)
            nursery.cancel_scope.cancel()

    return wrapped


def crash(every: float, seconds: float) -> None:
    """Replace functions of natstream by ones that crash."""
    targets: Sequence[tuple[Any, str, Change, str]] = (
        (FanOut, "_send", within, "hub"),
        (nats, "parse_messages", within, "nats"),
        (LogDrainServer, "serve", around, "drain"),
        (supervisor, "serve", around, "web"),
    )
    for target, name, change, task in targets:
        setattr(target, name, change(getattr(target, name), Crasher(task, every, seconds)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.launcher")
    parser.add_argument("--retry-denied", type=float, metavar="SECONDS")
    parser.add_argument("--crash", type=float, nargs=2, metavar=("EVERY", "SECONDS"))
    options = parser.parse_args()
    if options.retry_denied is not None:
        SourceDenied.retry_after = options.retry_denied
    if options.crash is not None:
        crash(*options.crash)
    run_natstream(["serve"])


if __name__ == "__main__":
    main()
