"""Measurements of the journal: its cost, two processes on one port, and reading far back."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import trio

from benchmarks.bench import COLUMNS, SUSTAINED, Bench, Watch, harness, row_of
from benchmarks.loads import Load, Part, Result, apply, open_readers
from benchmarks.peers import NATSTREAM, open_sharing
from benchmarks.report import Table, decimals, megabytes, milliseconds
from benchmarks.stored import (
    MACHINES,
    Reading,
    fill,
    journal_settings,
    open_journal,
    read_back,
)
from natstream.demo.nats_server import NatsServer

__all__ = ["archive", "journal", "processes"]

# Readers and lines a second; each load is tried until one is too much.
JOURNAL_LOADS = tuple((100, rate) for rate in (1_000, 2_000, 5_000, 10_000, 15_000, 20_000))

# Many readers with few lines, because these cost natstream much more than the harness.
PROCESSES_LOADS = ((1_000, 500), (2_000, 200), (5_000, 50), (8_000, 20))
PROCESSES = ((1, False), (1, True), (2, True))
READERS_ALLOWED = {"NATSTREAM_MAX_READERS": "20000"}

STORE_COLUMNS = ("journal's server: of a core", "MB")

ARCHIVE_READERS, ARCHIVE_RATE = 100, 200
# So many times the seconds of other measurements, since a reading may take longer.
ARCHIVE_SECONDS = 3
# The readings beside the live readers: a name and a query.
READINGS = (
    ("nothing", ""),
    (f"one of {MACHINES:,} machines: `machine=…`", "machine={n:014x}"),
    ("a word that one has: `q=…`", "q=user=u{n:04d}"),
)
# Seconds by which a reading may delay live readers, beyond twice their delay without it.
ALLOWANCE = 0.020
# Seconds after which the memory of a reading is released, or never will be.
REST = 2.0


async def journal(bench: Bench) -> Table:
    """Measure how many lines a second many readers can get, with and without the journal."""
    rows, results = [], []
    too_much: set[bool] = set()
    for readers, rate in bench.loads or JOURNAL_LOADS:
        load = Load(readers, rate, bench.seconds)
        for stored in (False, True):
            if stored in too_much:
                continue
            result = await _put(bench, load, 1, stored=stored)
            sustained = result.complete and result.p99 < SUSTAINED
            if not sustained:
                too_much.add(stored)
            results.append(result)
            name = "with the journal" if stored else "embedded"
            per_line = decimals(result.cpu / rate * 1e6)
            store = _part(result.parts[-1]) if stored else ("–", "–")
            row = (name, "yes" if sustained else "no", *row_of(result), per_line, *store)
            rows.append((str(load), *row))
            bench.say(f"{load}, {', '.join(row)}. {_harness([result])}")
    columns = ("readers × lines/s", "natstream", "sustained", *COLUMNS, "CPU µs/line")
    return Table((*columns, *STORE_COLUMNS), rows, (_harness(results),))


async def processes(bench: Bench) -> Table:
    """Measure the gain of a second process on the same port for many readers."""
    rows, results = [], []
    for readers, rate in bench.loads or PROCESSES_LOADS:
        load = Load(readers, rate, bench.seconds)
        for count, stored in PROCESSES:
            result = await _put(bench, load, count, stored=stored)
            results.append(result)
            name = f"{count}, with the journal" if stored else f"{count}, embedded"
            each = " + ".join(_part(part)[0] for part in result.parts[:count])
            row = (name, *row_of(result), each, f"{result.busy:.0%}")
            rows.append((str(load), *row))
            bench.say(f"{load}, {', '.join(row)}. {_harness([result])}")
    columns = ("readers × lines/s", "processes", *COLUMNS, "each", "other core busy")
    return Table(columns, rows, (_harness(results),))


async def _put(bench: Bench, load: Load, count: int, *, stored: bool) -> Result:
    """Measure a load on `count` processes; the last part is the journal's server."""
    if not stored:
        return await _put_on(bench, load, count, None)
    async with open_journal() as server:
        return await _put_on(bench, load, count, server)


async def _put_on(bench: Bench, load: Load, count: int, journal: NatsServer | None) -> Result:
    settings = READERS_ALLOWED | (journal_settings(journal) if journal else {})
    async with (
        open_sharing(bench.nats, count, settings) as server,
        open_readers(server, NATSTREAM.path, load.readers) as readers,
    ):
        parts = [*server.pids, *_pid_of(journal)]
        return await apply(load, server, readers, NATSTREAM.target(bench.nats, server), parts)


def _part(part: Part) -> tuple[str, str]:
    return f"{part.cpu:.0%}", megabytes(part.resident)


def _pid_of(journal: NatsServer | None) -> list[int]:
    return [journal.process.pid] if journal and journal.process else []


def _harness(results: Sequence[Result]) -> str:
    busy = max(result.busy for result in results)
    return f"{harness(results)} The other core was busy for up to {busy:.0%} of it."


async def archive(bench: Bench) -> Table:
    """Measure readings of few lines among many stored ones, beside live readers."""
    rows, results = [], []
    async with open_journal() as server:
        started = trio.current_time()
        await fill(server, bench.stored)
        bench.say(f"{bench.stored:,} lines stored in {trio.current_time() - started:.0f} s")
        for name, query in READINGS:
            beside = await _read_beside(bench, server, query)
            rows.append((name, *beside.row()))
            results.append(beside.live)
            bench.say(f"{name}: {', '.join(beside.row())}. {_harness([beside.live])}")
    allowed = 2 * results[0].p99 + ALLOWANCE
    wanted = (
        f"Wanted: the first line within 1,000 ms, memory as before, and a p99 of the live readers "
        f"within {milliseconds(allowed)} ms, which is twice that beside nothing, and 20 ms."
    )
    return Table(("what is read", *_Beside.COLUMNS), rows, (wanted, _harness(results)))


@attrs.define
class _Beside:
    """Readings one after the other, and the live readers beside them. Sizes are in bytes."""

    COLUMNS = (
        "readings",
        "lines of each",
        "first line ms",
        "last line ms",
        "MB before",
        "most",
        "after",
        "live: delivered",
        "p50 ms",
        "p99 ms",
        "of a core",
        *STORE_COLUMNS,
    )

    live: Result
    readings: Sequence[Reading]
    before: int
    most: int
    after: int

    def row(self) -> tuple[str, ...]:
        delivered, p50, p99, _, cpu, *_ = row_of(self.live)
        memory = map(megabytes, (self.before, self.most, self.after))
        store = _part(self.live.parts[-1])
        return (*self._found(), *memory, delivered, p50, p99, cpu, *store)

    def _found(self) -> tuple[str, ...]:
        if not self.readings:
            return ("–",) * 4
        wrong = sum(reading.wrong for reading in self.readings)
        found = f"{self.readings[0].expected}" if not wrong else f"{wrong} wrong"
        first = max(reading.first for reading in self.readings)
        last = max(reading.last for reading in self.readings)
        return str(len(self.readings)), found, milliseconds(first), milliseconds(last)


async def _read_beside(bench: Bench, journal: NatsServer, query: str) -> _Beside:
    load = Load(ARCHIVE_READERS, ARCHIVE_RATE, bench.seconds * ARCHIVE_SECONDS)
    readings: list[Reading] = []
    before = 0

    # Nearly all lines have to come from the journal: of a million, all but 50,000.
    backlog = {"NATSTREAM_BACKLOG_LINES": str(max(100, bench.stored // 20))}
    async with (
        open_sharing(bench.nats, 1, journal_settings(journal) | backlog) as server,
        open_readers(server, NATSTREAM.path, load.readers) as readers,
        trio.open_nursery() as watching,
    ):

        async def read() -> None:
            nonlocal before
            await trio.sleep(load.warm_up)
            before, end = server.usage.resident, trio.current_time() + load.seconds
            while query and trio.current_time() < end:
                machine = len(readings) * 7 % MACHINES
                selection = f"since=1h&{query}"
                readings.append(await read_back(server.port, selection, machine, bench.stored))

        watch = Watch(server)
        watching.start_soon(watch.run)
        async with trio.open_nursery() as reading:
            reading.start_soon(read)
            target = NATSTREAM.target(bench.nats, server)
            parts = _pid_of(journal)
            live = await apply(load, server, readers, target, parts)
        await trio.sleep(REST)
        watching.cancel_scope.cancel()
        return _Beside(live, readings, before, watch.resident, server.usage.resident)
