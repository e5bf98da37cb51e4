"""Each line is stored once and shown once, at any process; equal lines are separate lines."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.support.eventsource import open_readers
from tests.support.fleet import numbered, publish
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import open_service
from tests.support.waiting import until
from tests.support.wire import Wire

from natstream.journal.consumer import Consumer
from natstream.journal.jetstream import Stored


def through(wire: Wire, journal: JournalServer) -> dict[str, Any]:
    """Return an environment in which the journal is reached through a wire."""
    return journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}


async def test_equal_messages_are_separate_lines(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Two processes that read the same five messages, three of them equal, store five lines."""
    equal = payload("again")
    messages = [equal, payload("one"), equal, payload("two"), equal]
    async with (
        open_service(nats_server, **journal.environ) as one,
        open_service(nats_server, **journal.environ) as two,
    ):
        readers = [one.reader(), two.reader()]
        async with open_readers(*readers):
            await one.state("journal", "up")
            await two.state("journal", "up")
            await nats_server.publish("logs.web.iad.m1", messages)
            # An equal message on another subject is another line.
            await nats_server.publish("logs.web.iad.m2", [equal, payload("end")])
            for reader in readers:
                await reader.has("end")
            await until(lambda: one.waiting_lines == two.waiting_lines == 0)
        assert await journal.stored() == 7
        for reader in readers:
            assert reader.lines == ["again", "one", "again", "two", "again", "again", "end"]


async def test_a_line_that_was_shown_as_stored_is_not_shown_again(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A line is shown once, although the journal goes away before it acknowledges the line."""
    async with (
        Wire.open(journal.port) as wire,
        open_service(nats_server, **through(wire, journal)) as service,
    ):
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            wire.acks_to_lose = 100
            await publish(nats_server, numbered(0, 100))
            await reader.has(*numbered(0, 100))
            wire.cut()
            await publish(nats_server, numbered(100, 10))
            await reader.has(*numbered(100, 10))
            wire.mend()
            await service.state("journal", "up")
            await publish(nats_server, numbered(110, 10))
            await reader.has(*numbered(110, 10))
            await until(lambda: service.waiting_lines == 0)
        assert reader.lines == numbered(0, 120)
        assert reader.persistent == [True] * 100 + [False] * 10 + [True] * 10
        assert await journal.stored() == 120


async def test_a_line_that_another_process_has_stored_before_it_comes(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A line that comes from the journal before NATS is neither shown nor stored again.

    This holds also if the journal has gone away since.
    """
    async with (
        MistreatedServer.run() as late,
        Wire.open(journal.port) as wire,
        open_service(nats_server, **journal.environ) as ahead,
        open_service(late, **through(wire, journal)) as behind,
    ):
        await ahead.state("journal", "up")
        await behind.state("journal", "up")
        reader = behind.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 100))
            await reader.has(*numbered(0, 100))
            wire.cut()
            await until(lambda: "The journal is away" in " ".join(reader.notices))
            await publish(late, numbered(0, 110))
            await reader.has(*numbered(0, 110))
            wire.mend()
            await behind.state("journal", "up")
            await until(lambda: behind.waiting_lines == 0)
            await publish(late, numbered(110, 1))
            await reader.has(*numbered(110, 1))
        assert reader.lines == numbered(0, 111)
        assert await journal.stored() == 111


async def test_one_outage_after_another(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Lines that the first outage has shown are not shown in the second, although they wait."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "discard": "new"}
    await journal.ask("STREAM.CREATE.natstream", config | {"max_bytes": 20_000})
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 500))
            await reader.has(*numbered(0, 500))
            # The stream gets room for some of the lines.
            await journal.ask("STREAM.UPDATE.natstream", config | {"max_bytes": 60_000})
            before = service.waiting_lines
            await until(lambda: service.waiting_lines < before - 100)
            await until(lambda: reader.notices[-1].startswith("The journal is away"))
            await publish(nats_server, numbered(500, 100))
            await reader.has(*numbered(500, 100))
            await journal.ask("STREAM.UPDATE.natstream", config | {"max_bytes": 10_000_000})
            await service.state("journal", "up")
            await publish(nats_server, numbered(600, 1))
            await reader.has(*numbered(600, 1))
            await until(lambda: service.waiting_lines == 0)
        assert sum("The journal is away" in notice for notice in reader.notices) == 2
        assert reader.lines == numbered(0, 601)
        assert await journal.stored() == 601


async def test_an_outage_in_the_midst_of_a_run(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """An outage in the midst of a run shows only the lines of the run that were not shown before.

    A reader skips the lines that it was shown, also if they are more than memory holds.
    """
    few = {"NATSTREAM_BACKLOG_LINES": "1000"}
    async with (
        Wire.open(journal.port) as wire,
        open_service(nats_server, **through(wire, journal) | few) as service,
    ):
        await service.state("journal", "up")
        reader = service.reader()
        count = 0
        async with open_readers(reader):
            for _ in range(3):
                before = service.service.core.hub.statistics().published
                await publish(nats_server, numbered(count, 2_000))
                count += 2_000
                while service.service.core.hub.statistics().published <= before:
                    await trio.lowlevel.checkpoint()
                wire.cut()
                await reader.has(*numbered(0, count))
                wire.mend()
                await service.state("journal", "up")
            await publish(nats_server, numbered(count, 1))
            await reader.has(*numbered(count, 1))
            await until(lambda: service.waiting_lines == 0)
        assert reader.lines == numbered(0, count + 1)
        assert reader.gaps == []
        assert await journal.stored() == count + 1


async def test_lines_that_are_shown_after_they_were_stored_are_recognised(
    nats_server: MistreatedServer, journal: JournalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that were stored, and shown in an outage before they came back, are not shown again.

    No line waits at the journal's return, and the stream holds more lines than the process reads.
    """
    receive = Consumer.receive

    async def receive_stored(consumer: Consumer, most: int, *, wait: bool) -> list[Stored]:
        if wait:
            await trio.sleep_forever()
        return await receive(consumer, most, wait=wait)

    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **through(wire, journal), NATSTREAM_BACKLOG_LINES="1000"
        ) as service,
    ):
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            with monkeypatch.context() as patch:
                patch.setattr(Consumer, "receive", receive_stored)
                await publish(nats_server, numbered(0, 1))
                await reader.has(*numbered(0, 1))  # The running wait ends after this line.
                await publish(nats_server, numbered(1, 2_000))

                async def are_stored() -> bool:
                    return await journal.stored() == 2_001 and service.waiting_lines == 0

                await until(are_stored)
                wire.cut()
                await reader.has(*numbered(1, 2_000))
            wire.mend()
            await service.state("journal", "up")
            await publish(nats_server, numbered(2_001, 1))
            await reader.has(*numbered(2_001, 1))
        assert reader.lines == numbered(0, 2_002)
        assert reader.gaps == []
