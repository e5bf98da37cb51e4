"""Reading stored lines far back, beside readers of new lines."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from benchmarks.lines import KINDS, STAMP
from benchmarks.stored import MACHINES, fill, message, message_templates
from tests.support.eventsource import Reader, open_readers
from tests.support.fleet import open_fleet
from tests.support.journal_server import USER, JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.waiting import until

from natstream.entries.filters import EVERYTHING, Filter
from natstream.entries.fly import parse_text
from natstream.hub.batch import Selection, StoredBatch
from natstream.hub.hub import open_hub
from natstream.journal.archive import CHUNK_BYTES, StreamArchive
from natstream.journal.jetstream import JetStream
from natstream.nats.connection import Login, NatsConnection

STORED = 50_000
# New lines come from the first of the machines that have stored lines.
TALKING = 10
# The first of the machines is read.
MACHINE, WORD = f"{KINDS:014x}", f"user=u{KINDS}"
WEB = Filter.from_query([("app", "web")])
# The process remembers so many lines, so that the others have to come from the journal.
BACKLOG = "1000"


def numbers(reader: Reader) -> list[int]:
    """Return the lines' own numbers, from their messages."""
    stamps = [STAMP.search(line.encode()) for line in reader.lines]
    return [int(stamp[1]) for stamp in stamps if stamp]


@pytest.mark.parametrize("query", [f"machine={MACHINE}", f"q={WORD}", f"q=/{WORD[:-1]}[0]/"])
async def test_an_hour_is_read_back_while_lines_come(
    query: str, nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A reader with `since` gets each line that matches once; readers of new lines lose nothing."""
    await fill(journal, STORED)
    end, enough, ended = STORED, trio.Event(), trio.Event()

    async def flow() -> None:
        nonlocal end
        wires = message_templates(range(TALKING))
        async with nats_server.publisher() as publisher:
            while not enough.is_set():
                run = range(end, end + 50)
                await publisher.publish(message(wires, number) for number in run)
                end = run.stop
                await trio.sleep(0.02)
        ended.set()

    async with open_fleet(journal, nats_server, NATSTREAM_BACKLOG_LINES=BACKLOG) as [service]:
        live = [Reader([service.port]) for _ in range(3)]
        far = Reader([service.port], f"?since=1h&{query}")
        async with trio.open_nursery() as nursery, open_readers(*live):
            nursery.start_soon(flow)
            await until(lambda: live[0].lines)
            async with open_readers(far):
                meanwhile = end
                await until(lambda: far.lines and numbers(far)[-1] > meanwhile)
                enough.set()
                await ended.wait()
                wanted = [*range(0, STORED, MACHINES), *range(STORED, end, TALKING)]
                await until(lambda: all(len(reader.lines) >= end - STORED for reader in live))
                await until(lambda: len(far.lines) >= len(wanted))
        assert numbers(far) == wanted
        # The ids are the journal's, in which the n-th line has the number n.
        of_line = dict(zip(numbers(live[0]), live[0].numbers, strict=True))
        assert far.numbers == [of_line.get(number, number + 1) for number in wanted]
        assert all(far.persistent)
        for reader in live:
            assert numbers(reader) == [*range(STORED, end)]
        for reader in (far, *live):
            assert reader.gaps == []
            assert reader.connections == 1


async def test_lines_that_are_stored_while_it_reads_are_found(journal: JournalServer) -> None:
    """A filtered reader gets lines that were stored after the server had no more for it."""

    async def store(*apps: str) -> None:
        async with journal.publisher() as publisher:
            await publisher.publish((f"natstream.logs.{app}.iad.m1", b"a line") for app in apps)

    async with open_archive(journal) as archive:
        await store("web", "api")
        await until(partial(holds, journal, 2))
        reader = archive.open(1, WEB)
        batch = await reader.read(2)
        assert [batch.number(index) for index in range(len(batch.entries))] == [1]
        assert batch.end.entry == 2
        await store(*["web", "api"] * 100)
        await until(partial(holds, journal, 202))
        numbers: list[int] = []
        while batch.end.entry < 203:
            batch = await reader.read(203)
            numbers += [batch.number(index) for index in range(len(batch.entries))]
        assert numbers == [*range(3, 203, 2)]
        reader.close()


@asynccontextmanager
async def open_archive(journal: JournalServer) -> AsyncIterator[StreamArchive]:
    """Create a stream at a server, and give its archive, without a service."""
    config = {"name": "natstream", "subjects": ["natstream.>"]}
    await journal.ask("STREAM.CREATE.natstream", config)
    login = Login([journal.url], USER["user"], USER["password"])
    connection = NatsConnection(login, lambda: jetstream.end())
    jetstream = JetStream(connection, "test", "natstream", lambda *of_what: None)

    async def reach(epoch: str, deadline: float) -> JetStream:
        return jetstream

    async with connection.connected(jetstream.subjects), trio.open_nursery() as nursery:
        yield StreamArchive("e", reach, trio.CapacityLimiter(1), nursery.start_soon)


@pytest.mark.parametrize("filter", [EVERYTHING, WEB])
async def test_lines_that_expire_while_they_are_read_are_told(
    journal: JournalServer, filter: Filter
) -> None:
    """The start of the next chunk shows how many lines have expired, with any filter."""
    async with open_archive(journal) as archive:
        async with journal.publisher() as publisher:
            await publisher.publish(("natstream.logs.web.iad.m1", b"a line") for _ in range(5_000))
        await until(partial(holds, journal, 5_000))
        reader = archive.open(1, filter)
        position, told, got = 1, 0, 0
        for _ in range(3):
            batch = await reader.read(5_001)
            told += batch.start.entry - position
            got += len(batch.entries)
            position = batch.end.entry
            await journal.ask("STREAM.PURGE.natstream", {"seq": position + 800})
        reader.close()
        assert told > 0
        assert told + got >= position - 1


async def test_a_line_larger_than_a_chunk_is_read(journal: JournalServer) -> None:
    """A line that is larger than a chunk is read, and so are the small lines around it."""
    large = b"x" * (CHUNK_BYTES + 1_000)
    async with open_archive(journal) as archive:
        async with journal.publisher() as publisher:
            for text in (b"before", large, b"after"):
                await publisher.publish([("natstream.logs.web.iad.m1", text)])
        await until(partial(holds, journal, 3))
        reader = archive.open(1, EVERYTHING)
        read: list[int] = []
        end = 1
        while end < 4:
            batch = await reader.read(4)
            read += [len(entry.message) for entry in batch.entries]
            end = batch.end.entry
        reader.close()
        assert read == [6, len(parse_text(large).message), 5]


async def holds(journal: JournalServer, count: int) -> bool:
    """Return whether so many lines are stored."""
    return await journal.stored() >= count


async def test_a_batch_that_one_reader_catches_up_with_leaves_memory_at_once() -> None:
    """A batch of one reader is in no reference cycle, so it needs no garbage collector."""
    entries = [parse_text(b"a line")] * 1_000
    stored = StoredBatch(
        epoch="e",
        first=1,
        entries=entries,
        arrivals=[1] * 1_000,
        first_notice=0,
        numbers=range(1, 1_001),
        until=1_001,
    )
    stored.select(Filter(q=("line",)))
    gc.collect()
    gc.disable()
    try:
        batch = weakref.ref(stored)
        del stored
        assert batch() is None
        async with open_hub() as hub:
            hub.publish_nowait(entries)
            await trio.testing.wait_all_tasks_blocked()  # The hub has handed out all lines.
            with hub.subscribe(Filter(q=("line",)), since=0) as reader:
                item = await reader.receive()
                assert isinstance(item, Selection)
                caught_up = weakref.ref(item.batch)
                del item
                assert caught_up() is None
    finally:
        gc.enable()
