"""What the measurements share: the command line's choices, and how results are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
import trio
from tests.support.processes import Server

from benchmarks.loads import Load, Result, measure
from benchmarks.peers import Peer
from benchmarks.report import decimals, megabytes, milliseconds
from natstream.demo.nats_server import NatsServer

__all__ = ["COLUMNS", "SUSTAINED", "Bench", "Watch", "harness", "row_of"]

# What is late by more than this is not sustained, it only has not ended yet.
SUSTAINED = 1.0
GLANCE = 0.25


@attrs.frozen
class Bench:
    """What the measurements share, and what was chosen on the command line."""

    nats: NatsServer
    peers: Sequence[Peer]
    loads: Sequence[tuple[int, int]]
    """Readers, lines a second; each measurement has its own where none are chosen."""
    seconds: float
    stored: int
    """Lines that are stored before they are read back."""
    say: Callable[[str], None]
    """Told about each result as soon as it is there."""

    async def measure(
        self, peer: Peer, load: Load, *, flush_rate: float = 0.0, path: str = ""
    ) -> Result:
        result = await measure(peer, self.nats, load, flush_rate=flush_rate, path=path)
        self.say(f"{load}, {peer.name}{path}: {', '.join(row_of(result))}. {harness([result])}")
        return result


COLUMNS = ("delivered", "p50 ms", "p99 ms", "CPU µs/event", "of a core", "sends/s", "MB")


def row_of(result: Result) -> tuple[str, ...]:
    share = math.floor(10_000 * result.delivered / result.expected) / 100
    return (
        "all" if result.complete else f"{share} %",
        milliseconds(result.p50),
        milliseconds(result.p99),
        decimals(result.cpu_per_event * 1e6),
        f"{result.cpu:.0%}",
        decimals(result.sends) if result.sends else "–",
        megabytes(result.resident),
    )


def harness(results: Sequence[Result]) -> str:
    late = max(result.late for result in results)
    client = max(result.client for result in results)
    waited = max(result.waited for result in results)
    return (
        f"At most, the publisher was {milliseconds(late)} ms late (p99), the readers' process took "
        f"{client:.0%} of the other core, and a server waited {waited:.0%} of the time for its own."
    )


@attrs.define
class Watch:
    """Keeps an eye on a server while something else is going on."""

    _server: Server
    resident: int = 0
    """The most that it took at any glance."""
    cuts: list[float] = attrs.field(factory=list)
    """When it closed each connection that it has closed, in seconds since the start."""

    async def run(self) -> None:
        started, all_of_them = trio.current_time(), self._server.connections
        while True:
            self.resident = max(self.resident, self._server.usage.resident)
            new = all_of_them - self._server.connections - len(self.cuts)
            self.cuts += [trio.current_time() - started] * new
            await trio.sleep(GLANCE)
