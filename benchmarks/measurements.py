"""The measurements by name: each measures with a `Bench` and returns a table."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from benchmarks.bench import COLUMNS, SUSTAINED, Bench, Watch, harness, row_of
from benchmarks.drain import WANTED, compare
from benchmarks.intake import Intake, measure_levels, measure_patterns
from benchmarks.loads import Load, Result, apply, open_readers
from benchmarks.path import steps
from benchmarks.peers import NATSTREAM, Peer
from benchmarks.report import Table, decimals, megabytes
from benchmarks.shared import archive, journal, processes

__all__ = ["MEASUREMENTS"]

# Readers, lines a second.
LOADS = (
    (1, 200),
    (100, 200),
    (100, 500),
    (100, 2_000),
    (1_000, 20),
    (1_000, 100),
    (1_000, 500),
    (1_000, 1_000),
)
# Sends a second of the bare broadcaster, if natstream's were not measured.
FLUSH_RATE = 20.0

# Lines a second to one reader; each is tried on a new server until a load is too much.
THROUGHPUTS = (50_000, 75_000, 100_000, 125_000, 150_000, 200_000)

# Filters that differ for each reader: a name, a query, and how many lines are published for one
# that passes.
FILTERS = (
    ("none", "", 1),
    ("lets all through: `not=…`", "?not=nobody-{n}", 1),
    ("its own word: `q=…`", "?q=user=u{n:04d}", 1_000),
    ("its own machine: `machine=…`", "?machine={n:014x}", 1_000),
    ("its own value of a field: `field=…`", "?field=user=u{n:04d}", 1_000),
)

STARTS = 5
IDLE_READERS = 1_000
# Seconds until memory has settled after a start or after a thousand requests.
REST = 3.0

SLOW = Load(100, 1_000, seconds=40)
DEAF = 100


async def loads(bench: Bench) -> Table:
    """Measure each load on each peer in turn; the result of each is the round with its median CPU.

    natstream is first, so that bare sockets send as often.
    """
    rows: list[tuple[str, ...]] = []
    results: list[Result] = []
    for readers, rate in bench.loads or LOADS:
        load = Load(readers, rate, bench.seconds)
        rounds: list[dict[Peer, Result]] = []
        for _ in range(bench.rounds):
            flush_rate = FLUSH_RATE
            measured: dict[Peer, Result] = {}
            for peer in bench.peers:
                measured[peer] = await bench.measure(peer, load, flush_rate=flush_rate)
                if peer is NATSTREAM:
                    flush_rate = measured[peer].sends
            rounds.append(measured)
            results += measured.values()
        for peer in bench.peers:
            result = _median([measured[peer] for measured in rounds])
            ratios = [
                measured[NATSTREAM].cpu_per_event / measured[peer].cpu_per_event
                for measured in rounds
                if peer is not NATSTREAM and NATSTREAM in measured
            ]
            ratio = decimals(statistics.median(ratios)) if ratios else "–"
            rows.append((str(load), peer.title, *row_of(result), ratio))
    columns = ("readers × lines/s", "server", *COLUMNS, "natstream's CPU ÷ this")
    return Table(columns, rows, (harness(results),))


def _median(results: Sequence[Result]) -> Result:
    """Return the result with the median CPU for an event, and the medians of the delays."""
    middle = sorted(results, key=lambda result: result.cpu_per_event)[len(results) // 2]
    return attrs.evolve(
        middle,
        p50=statistics.median(result.p50 for result in results),
        p99=statistics.median(result.p99 for result in results),
    )


async def path(bench: Bench) -> Table:
    """Measure the cost of each step between NATS and a socket."""
    rows = [(name, each, decimals(cost * 1e6)) for name, each, cost in await steps()]
    return Table(("step", "for each", "CPU µs"), rows)


async def levels(bench: Bench) -> Table:
    """Measure how much of the intake levels and continuation lines leave."""
    return _intake(await measure_levels(), "levels")


async def patterns(bench: Bench) -> Table:
    """Measure how much of the intake counting patterns leaves."""
    return _intake(await measure_patterns(), "patterns")


def _intake(measured: Sequence[Intake], what: str) -> Table:
    rows = [
        (name, f"{without:,.0f}", f"{whole:,.0f}", f"{whole / without:.2f}")
        for name, without, whole in measured
    ]
    return Table(("lines", "lines/s without", f"lines/s with {what}", "ratio"), rows)


async def throughput(bench: Bench) -> Table:
    """Measure how many lines a second one reader can get."""
    rows, results = [], []
    for rate in THROUGHPUTS:
        result = await bench.measure(NATSTREAM, Load(1, rate, bench.seconds))
        sustained = result.complete and result.p99 < SUSTAINED
        rows.append((f"{rate:,}", "yes" if sustained else "no", *row_of(result)))
        results.append(result)
        if not sustained:
            break
    return Table(("lines/s", "sustained", *COLUMNS), rows, (harness(results),))


async def filters(bench: Bench) -> Table:
    """Measure a thousand readers, each with a different filter."""
    rows, results = [], []
    for name, query, share in FILTERS:
        load = Load(1_000, 200, bench.seconds, share=share)
        result = await bench.measure(NATSTREAM, load, path=NATSTREAM.path + query)
        rows.append((name, f"{result.delivered:,} of {result.expected:,}", *row_of(result)[1:]))
        results.append(result)
    return Table(("each reader's filter", *COLUMNS), rows, (harness(results),))


async def idle(bench: Bench) -> Table:
    """Measure the time to start, the memory without readers, and that of each idle reader."""
    rows = []
    for peer in bench.peers:
        startups = [await _startup(bench, peer) for _ in range(STARTS)]
        async with peer.open(bench.nats, FLUSH_RATE) as server:
            await trio.sleep(REST)
            alone = server.usage.resident
            async with open_readers(server, peer.path, IDLE_READERS):
                await trio.sleep(REST)
                each = (server.usage.resident - alone) / IDLE_READERS
        ready = f"{statistics.median(startups) * 1_000:,.0f}"
        rows.append((peer.title, ready, megabytes(alone), decimals(each / 1024)))
        bench.say(", ".join(rows[-1]))
    return Table(("server", "ready after ms", "idle MB", "KB each idle reader"), rows)


async def _startup(bench: Bench, peer: Peer) -> float:
    async with peer.open(bench.nats, FLUSH_RATE) as server:
        return server.startup


async def slow(bench: Bench) -> Table:
    """Measure how readers that never read affect other readers and the server."""
    rows, results = [], []
    for peer in bench.peers:
        for deaf in (0, DEAF):
            result, watch = await _slow(bench, peer, deaf)
            cut = f"{min(watch.cuts):.0f}–{max(watch.cuts):.0f}" if watch.cuts else "–"
            row = (f"{SLOW.readers} + {deaf}", *row_of(result), megabytes(watch.resident), cut)
            rows.append((peer.title, *row))
            results.append(result)
            bench.say(f"{peer.name}, {', '.join(row)}. {harness([result])}")
    columns = ("server", "readers + deaf ones", *COLUMNS, "most MB", "cut after s")
    return Table(columns, rows, (harness(results),))


async def _slow(bench: Bench, peer: Peer, deaf: int) -> tuple[Result, Watch]:
    async with (
        peer.open(bench.nats, FLUSH_RATE) as server,
        open_readers(server, peer.path, SLOW.readers) as readers,
        open_readers(server, peer.path, deaf, "--deaf"),
        trio.open_nursery() as nursery,
    ):
        watch = Watch(server)
        nursery.start_soon(watch.run)
        result = await apply(SLOW, server, readers, peer.target(bench.nats, server))
        nursery.cancel_scope.cancel()
    return result, watch


async def drain(bench: Bench) -> Table:
    """Measure the log drain beside flaude's: lines a second, and CPU for each line."""
    rows, results = [], []
    for lines, wanted in WANTED.items():
        compared = await compare(bench.nats, lines, bench.seconds / 5, 3)
        ours, theirs = compared.ours, compared.theirs
        row = (
            f"{lines:,}",
            f"{ours.lines:,.0f}",
            f"{theirs.lines:,.0f}",
            f"{compared.ratio:.2f}",
            f"{wanted}",
            decimals(ours.cpu),
            decimals(theirs.cpu),
            f"{compared.cpu_ratio:.2f}",
        )
        bench.say(", ".join(row))
        rows.append(row)
        results += [ours, theirs]
    columns = ("lines a body", "natstream lines/s", "flaude lines/s", "ratio", "wanted at least")
    cpu = ("natstream CPU µs/line", "flaude CPU µs/line", "ratio of CPU")
    busy, waited = max(each.busy for each in results), max(each.waited for each in results)
    note = (
        f"At most, client and reader took {busy:.0%} of the other cores, and a server waited "
        f"{waited:.0%} of the time for its own."
    )
    return Table((*columns, *cpu), rows, (note,))


MEASUREMENTS: dict[str, Callable[[Bench], Awaitable[Table]]] = {
    measurement.__name__: measurement
    for measurement in (
        loads,
        path,
        levels,
        patterns,
        throughput,
        filters,
        slow,
        idle,
        drain,
        journal,
        processes,
        archive,
    )
}
