"""One load on one server: a number of readers, and lines a second for some time.

Each measurement starts its own server, readers and publisher, so that none inherits another's
memory. Every line to every reader is counted, from the first to the last, including the warm-up.
Latency and CPU are of the seconds after the warm-up.
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
# Seconds until adaptive pacing, caches and socket buffers have settled.
WARM_UP = 3.0
# Publishing continues so long after the timed seconds, so that the load is steady to their end.
MARGIN = 0.3
# Seconds without a line, after which the missing lines will not come.
PATIENCE = 3.0


@attrs.frozen
class Load:
    readers: int
    rate: int
    """Lines a second."""
    seconds: float
    """Seconds that are timed."""
    share: int = 1
    """Each reader should get one of so many lines, because its filter excludes the others."""

    def __str__(self) -> str:
        return f"{self.readers:,} × {self.rate:,}"

    @property
    def warm_up(self) -> float:
        return min(WARM_UP, self.seconds)

    @property
    def lines(self) -> int:
        """The number of lines that are published in all, a multiple of `share`."""
        least = int((self.warm_up + self.seconds + MARGIN) * self.rate)
        return -(-least // self.share) * self.share


@attrs.frozen
class Part:
    """The use of resources by one of the processes."""

    cpu: float
    """Share of one core."""
    resident: int


@attrs.frozen(kw_only=True)
class Result:
    """The result of a load. Times are in seconds, sizes in bytes."""

    expected: int
    """Deliveries: lines × readers."""
    delivered: int
    disorder: int
    """Lines that sampled readers received twice or out of order."""
    p50: float
    p99: float
    cpu: float
    """CPU time of the server, as a share of one core."""
    cpu_per_event: float
    """CPU time of the server for each line that is delivered to one reader."""
    sends: float
    """HTTP chunks a second to each reader; 0 if a server does not use them."""
    resident: int
    late: float
    """Delay of the publisher (p99); a publisher that cannot keep up makes the result invalid."""
    client: float
    """Share of a core that the readers used; at 1, the readers are the limit."""
    waited: float
    """Share of time for which the server waited, because another process used its core."""
    busy: float
    """Share of time for which the other cores were busy; at 1, they are the limit."""
    parts: Sequence[Part] = ()
    """The processes that `apply` was told to measure apart, in that order."""

    @property
    def complete(self) -> bool:
        return self.delivered == self.expected and not self.disorder


@asynccontextmanager
async def open_readers(
    server: Server, path: str, count: int, *options: str
) -> AsyncIterator[Worker]:
    """Connect `count` readers to `path` until the end of the block.

    Raises:
        BenchmarkError: the server refused a reader.
    """
    url = f"http://{HOST}:{server.port}{path}"
    async with open_worker("readers", url, count, *options) as readers:
        await readers.hear()
        await trio.sleep(SETTLE)
        yield readers


async def measure(
    peer: Peer, nats: NatsServer, load: Load, *, flush_rate: float = 0, path: str = ""
) -> Result:
    """Start a server and readers, and measure a load on them.

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
    """Measure a load on a server and readers that run already.

    Args:
        parts: pids of processes whose use of resources is measured apart.
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
