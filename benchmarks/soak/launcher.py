"""`natstream serve`, changed from outside in what no setting is for.

    python -m benchmarks.soak.launcher [--retry-denied SECONDS] [--crash EVERY SECONDS]

With `--crash`, for so many seconds an exception strikes now and then (on average EVERY so many
seconds) in each task that natstream supervises: in the midst of what the hub hands out and of what
the NATS source parses, and out of nowhere in the drain and in the server. Each is told on stdout as
a line of JSON, `{"crashed": "hub"}`. The settings come from the environment, as natstream's do.
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
from natstream.hub.hub import Hub
from natstream.nats import source as nats


class InjectedError(Exception):
    """A bug, as far as natstream can tell."""


class Crasher:
    """Says when it is time for the next crash of one task."""

    def __init__(self, task: str, every: float, seconds: float) -> None:
        self._task = task
        self._every = every
        self._end = time.monotonic() + seconds
        self._next = time.monotonic()
        self._plan()

    def strike(self) -> None:
        """Raise, if it is time."""
        if self.wait == 0:
            self._plan()
            print(json.dumps({"crashed": self._task}), flush=True)
            raise InjectedError(self._task)

    @property
    def wait(self) -> float:
        """Seconds until it is time."""
        now = time.monotonic()
        return max(0.0, self._next - now) if self._next < self._end else float("inf")

    def _plan(self) -> None:
        self._next = time.monotonic() + random.uniform(0.5, 1.5) * self._every


Change = Callable[[Callable[..., Any], Crasher], Callable[..., Any]]


def within(work: Callable[..., Any], crasher: Crasher) -> Callable[..., Any]:
    """`work`, in the midst of which it may crash."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        crasher.strike()
        return work(*arguments, **options)

    return wrapped


def around(run: Callable[..., Awaitable[None]], crasher: Crasher) -> Callable[..., Any]:
    """A task that may crash at any time."""

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
    """Change what natstream is made of."""
    places: Sequence[tuple[Any, str, Change, str]] = (
        (Hub, "_send", within, "hub"),
        (nats, "parse_nats", within, "nats"),
        (LogDrainServer, "serve", around, "drain"),
        (supervisor, "serve", around, "web"),
    )
    for place, name, change, task in places:
        setattr(place, name, change(getattr(place, name), Crasher(task, every, seconds)))


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
