"""What can be wrong with the journal, told apart; and that each line is stored all the same."""

from __future__ import annotations

import trio

from cluster import JournalServer, until
from conftest import MistreatedServer
from eventsource import Reader, open_readers
from fleet import Flow
from service import RunningService, open_service
from wire import Wire


def reader_of(service: RunningService, query: str = "") -> Reader:
    return Reader([service.service.bind.port], query)


def journal_of(service: RunningService) -> tuple[str, str, str]:
    """What is known of the journal: its state, the reason, and the sentence."""
    status = service.service.core.health.sources["journal"]
    return str(status.state), status.reason, status.detail


def waiting(service: RunningService) -> int:
    """Lines that are not yet known to be stored."""
    assert service.service.core.journal is not None
    return service.service.core.journal.statistics().waiting


async def test_a_lost_acknowledgement_is_missed(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A line that nobody answers for is sent again, though others are answered for."""
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        reader = reader_of(service)
        async with open_readers(reader), trio.open_nursery() as nursery:
            flow = Flow(nats_server, rate=100)
            wire.acks_to_lose = 1
            nursery.start_soon(flow.run)
            await until(lambda: wire.acks_to_lose == 0)
            await until(lambda: "acknowledges nothing" in " ".join(reader.notices))
            nursery.cancel_scope.cancel()
        await until(lambda: waiting(service) == 0)
        assert await journal.stored() == len(flow.published)


async def test_a_full_stream(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """It is told as such, once; lines are shown meanwhile, and stored once there is room."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "discard": "new"}
    created = await journal.ask("STREAM.CREATE.natstream", config | {"max_bytes": 100_000})
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = reader_of(service)
        flow = Flow(nats_server, rate=500)
        async with open_readers(reader):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flow.run)
                await until(lambda: journal_of(service)[1] == "full")
                await until(lambda: reader.persistent.count(False) > 1_000)
                nursery.cancel_scope.cancel()
            assert journal_of(service)[0] == "lost"
            assert "natstream is full" in journal_of(service)[2]
            assert "natstream is full" in reader.notices[1]
            assert "The journal is away" in reader.notices[2]
            assert len(reader.notices) == 3
            stream = await journal.stream()
            assert stream["config"] == created["config"]
            await journal.ask("STREAM.UPDATE.natstream", config | {"max_bytes": 10_000_000})
            await service.state("journal", "up")
            await flow.publish(100)
            await reader.has(*flow.published)
            await until(lambda: waiting(service) == 0)
            assert sorted(reader.lines) == sorted(flow.published)
            assert reader.gaps == []
        assert await journal.stored() == len(flow.published)


async def test_a_stream_that_is_deleted(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """It is created anew, under another epoch; readers go on, at all processes."""
    async with (
        open_service(nats_server, **journal.environ) as one,
        open_service(NATSTREAM_SOURCES="drain", **journal.environ) as two,
    ):
        await one.state("journal", "up")
        await two.state("journal", "up")
        readers = [reader_of(one), reader_of(two)]
        flow = Flow(nats_server, rate=500)
        async with open_readers(*readers):
            await flow.publish(100)
            for reader in readers:
                await reader.has(*flow.published)
            epoch = one.service.core.hub.epoch
            await journal.ask("STREAM.DELETE.natstream")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flow.run)
                for service in (one, two):
                    await until(lambda service=service: service.service.core.hub.epoch != epoch)
                nursery.cancel_scope.cancel()
            await flow.publish(100)
            for reader in readers:
                await reader.has(*flow.published)
                assert sorted(reader.lines) == sorted(flow.published)
                assert reader.gaps == []
                assert "The journal's stream natstream is gone" in reader.notices
        assert one.service.core.hub.epoch == two.service.core.hub.epoch
