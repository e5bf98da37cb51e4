"""The parts that measurements share: the options of the command line, and rows of results."""

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

# Seconds: a load whose lines are later than this at p99 is not sustained, because a queue grows.
SUSTAINED = 1.0
GLANCE = 0.25


@attrs.frozen
class Bench:
    """The servers that measurements share, and the options of the command line."""

    nats: NatsServer
    peers: Sequence[Peer]
    loads: Sequence[tuple[int, int]]
    """Readers and lines a second of each load; without any, a measurement uses its own."""
    seconds: float
    rounds: int
    """How often each load is measured on each peer; the median counts."""
    stored: int
    """Number of lines that are stored before they are read back."""
    say: Callable[[str], None]
    """Called with each result as soon as it is known."""

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
    """Watches a server's memory and connections during a measurement."""

    _server: Server
    resident: int = 0
    """The largest memory at any look, in bytes."""
    cuts: list[float] = attrs.field(factory=list)
    """Seconds after the start at which the server closed each of its connections."""

    async def run(self) -> None:
        started, all_of_them = trio.current_time(), self._server.connections
        while True:
            self.resident = max(self.resident, self._server.usage.resident)
            new = all_of_them - self._server.connections - len(self.cuts)
            self.cuts += [trio.current_time() - started] * new
            await trio.sleep(GLANCE)
