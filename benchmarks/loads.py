"""One load on one peer: so many readers, so many lines a second, for so long.

The server, the readers and the publisher are started anew for each, so that no measurement
inherits another's memory. What is counted: every line to every reader, from the first to the last,
warming up included. What is timed (latency, CPU): the seconds after warming up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio
from tests.support.loopback import HOST
from tests.support.processes import CPUS, Server, Usage, Worker, open_worker, others_idle

from benchmarks.peers import Peer
from natstream.demo.nats_server import NatsServer

__all__ = ["Load", "Part", "Result", "apply", "measure", "open_readers"]

# Some servers answer a reader before it is subscribed.
SETTLE = 0.5
# Adaptive pacing, caches and socket buffers have found their level by then.
WARM_UP = 3.0
# Publishing goes on for a moment after the timed seconds, so that the load is steady until then.
MARGIN = 0.3
# After this long without a line, those still missing will not come.
PATIENCE = 3.0


@attrs.frozen
class Load:
    readers: int
    rate: int
    """Lines a second."""
    seconds: float
    """How long it is timed."""
    share: int = 1
    """Each reader is to get one of every so many lines; the others are not for it."""

    def __str__(self) -> str:
        return f"{self.readers:,} × {self.rate:,}"

    @property
    def warm_up(self) -> float:
        return min(WARM_UP, self.seconds)

    @property
    def lines(self) -> int:
        """How many are published in all: a multiple of `share`."""
        least = int((self.warm_up + self.seconds + MARGIN) * self.rate)
        return -(-least // self.share) * self.share


@attrs.frozen
class Part:
    """One process among those that a load kept busy."""

    cpu: float
    """As a share of one core."""
    resident: int


@attrs.frozen(kw_only=True)
class Result:
    """What a load did. Times are seconds, sizes bytes."""

    expected: int
    """Deliveries: lines × readers."""
    delivered: int
    disorder: int
    """Lines that sampled readers received twice or out of order."""
    p50: float
    p99: float
    cpu: float
    """Of the server, as a share of one core."""
    cpu_per_event: float
    """Of the server, for each line delivered to each reader."""
    sends: float
    """HTTP chunks a second to each reader; 0 where a server does not use them."""
    resident: int
    late: float
    """How late the publisher was (p99): a load that it cannot hold is no measurement."""
    client: float
    """The share of a core that the readers' process took: at 1, it is what is measured."""
    waited: float
    """The share of time that the server waited for its core, as something else ran on it."""
    busy: float
    """The share of time that the other cores had something to do: at 1, they are the limit."""
    parts: Sequence[Part] = ()
    """What was to be told apart, in the order in which it was asked for."""

    @property
    def complete(self) -> bool:
        return self.delivered == self.expected and not self.disorder


@asynccontextmanager
async def open_readers(
    server: Server, path: str, count: int, *options: str
) -> AsyncIterator[Worker]:
    """`count` readers of `path`, all connected.

    Raises:
        BenchmarkError: the server refused one.
    """
    url = f"http://{HOST}:{server.port}{path}"
    async with open_worker("readers", url, count, *options) as readers:
        await readers.hear()
        await trio.sleep(SETTLE)
        yield readers


async def measure(
    peer: Peer, nats: NatsServer, load: Load, *, flush_rate: float = 0, path: str = ""
) -> Result:
    """Put a load on a server and readers started for it.

    Raises:
        BenchmarkError: a process did not start, or has ended.
    """
    async with (
        peer.open(nats, flush_rate) as server,
        open_readers(server, path or peer.path, load.readers) as readers,
    ):
        return await apply(load, server, readers, peer.target(nats, server))


async def apply(
    load: Load, server: Server, readers: Worker, target: str, parts: Sequence[int] = ()
) -> Result:
    """Put a load on a server and readers that are there already.

    Args:
        parts: the pids of processes that are to be told apart in the result.
    """
    async with open_worker("publisher", target, load.rate, load.lines) as publisher:
        await publisher.hear()
        await trio.sleep(load.warm_up)
        await readers.ask("begin")
        before, client, since = server.usage, Usage.of(readers.pid), trio.current_time()
        idle, started = others_idle(), [Usage.of(pid) for pid in parts]
        await trio.sleep(load.seconds)
        after, client = server.usage, Usage.of(readers.pid) - client
        lasted = trio.current_time() - since
        idle = others_idle() - idle
        ended = [Usage.of(pid) for pid in parts]
        timed = await readers.ask("end")
        published = await publisher.hear()
    lines = load.lines // load.share
    got = await readers.ask(f"drain {lines} {PATIENCE}")
    used = after - before
    return Result(
        expected=lines * load.readers,
        delivered=got["delivered"],
        disorder=got["disorder"],
        p50=timed["p50"],
        p99=timed["p99"],
        cpu=used.cpu / lasted,
        cpu_per_event=used.cpu / max(1, timed["lines"]),
        sends=timed["sends"],
        resident=after.resident,
        late=published["late"],
        client=client.cpu / lasted,
        waited=used.waited / lasted / len(server.pids),
        busy=1 - idle / lasted / max(1, len(CPUS) - 1),
        parts=[
            Part((end - start).cpu / lasted, end.resident)
            for start, end in zip(started, ended, strict=True)
        ],
    )
