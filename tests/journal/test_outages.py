"""A process, a journal's server or a connection is killed, stopped or cut off, under load."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from tests.support.eventsource import Reader, open_readers
from tests.support.fleet import Flow, open_fleet, publish
from tests.support.journal_server import Cluster, JournalServer, open_cluster
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import open_service
from tests.support.waiting import until
from tests.support.wire import Wire


@asynccontextmanager
async def flowing(flow: Flow, readers: Sequence[Reader]) -> AsyncIterator[None]:
    """Publish and read during the block; after it, until all readers have got the last line."""
    async with open_readers(*readers):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flow.run)
            yield
            nursery.cancel_scope.cancel()
        flow.published.append("m0 -1")
        await publish(flow.server, ["m0 -1"])
        for reader in readers:
            await reader.has(*flow.published)


async def all_are_stored(journal: JournalServer | Cluster, flow: Flow) -> None:
    """Wait until the stream holds all published lines, and check that it holds none twice."""

    async def are_stored() -> bool:
        return await journal.stored() >= len(flow.published)

    await until(are_stored)
    assert await journal.stored() == len(flow.published)


def duplicates(reader: Reader) -> list[str]:
    """Return the lines that a reader got more than once."""
    return [line for line, times in Counter(reader.lines).items() if times > 1]


async def test_any_process_is_killed(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """Readers of a process that is killed go on at another one, without a gap or a duplicate."""
    async with open_fleet(journal, nats_server, nats_server, None) as fleet:
        ports = [service.port for service in fleet]
        readers = [Reader(ports) for _ in range(4)]
        flow = Flow(nats_server)
        async with flowing(flow, readers):
            for service in fleet:
                await trio.sleep(0.5)
                service.kill()
                await trio.sleep(0.5)
                await service.start()
                assert await service.ready() < 30
        await all_are_stored(journal, flow)
        for reader in readers:
            assert sorted(reader.lines) == sorted(flow.published)
            assert reader.numbers == [*range(1, len(flow.published) + 1)]
            assert reader.gaps == []


async def test_all_processes_are_restarted(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Lines that were published before all processes restart are there when they are back."""
    async with open_fleet(journal, nats_server, nats_server, None) as fleet:
        ports = [service.port for service in fleet]
        readers = [Reader(ports) for _ in range(4)]
        flow = Flow(nats_server)
        async with flowing(flow, readers):
            await trio.sleep(0.5)
        async with open_readers(*readers):
            await flow.publish(3_000)
            async with trio.open_nursery() as nursery:
                for service in fleet:
                    nursery.start_soon(service.stop)
            for service in fleet:
                await service.start()
                assert await service.ready() < 30
            await flow.publish(500)
            for reader in readers:
                await reader.has(*flow.published)
        for reader in readers:
            assert reader.numbers == [*range(1, len(flow.published) + 1)]
            assert reader.gaps == []


async def test_the_journal_is_stopped_for_ten_seconds(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Readers see their process's own lines in an outage of 10 s, and no line twice afterwards."""
    async with open_fleet(journal, nats_server, nats_server) as fleet:
        # Some readers stay at their process; others are cut off, and come to another process.
        staying = [Reader([service.port]) for service in fleet]
        ports = [service.port for service in fleet]
        hopping = [Reader(ports) for _ in range(2)]
        flow = Flow(nats_server)
        async with flowing(flow, [*staying, *hopping]):
            await trio.sleep(0.5)
            await journal.kill()
            stopped = trio.current_time()
            await trio.sleep_until(stopped + 5)
            live = [len(reader.lines) for reader in staying]
            for reader in hopping:
                reader.hop()
            await trio.sleep_until(stopped + 8)
            for reader, lines in zip(staying, live, strict=True):
                assert len(reader.lines) > lines + 1_000
                assert "The journal is away" in " ".join(reader.notices)
            await trio.sleep_until(stopped + 10)
            await journal.start()
            for service in fleet:
                assert await service.ready() < 30
            for reader in hopping:
                reader.hop()
        await all_are_stored(journal, flow)
        for reader in staying:
            assert duplicates(reader) == []
            assert reader.gaps == []


async def test_any_node_of_the_journal_is_killed(nats_server: MistreatedServer) -> None:
    """No line is lost or shown twice when a node of three is killed."""
    async with open_cluster() as cluster, open_fleet(cluster, nats_server, nats_server) as fleet:
        readers = [Reader([service.port]) for service in fleet]
        flow = Flow(nats_server, rate=500)
        async with flowing(flow, readers):
            await until(lambda: len(readers[0].lines) > 1_000)
            for reader in readers:
                assert reader.notices == ["Connected to log stream"]
            # The leader is killed, and one of the other nodes.
            leader = await cluster.leader()
            for node in (leader, next(node for node in cluster.nodes if node is not leader)):
                await node.kill()
                await trio.sleep(3)
                await node.start()
                await until(cluster.is_whole)
        await all_are_stored(cluster, flow)
        for reader in readers:
            assert duplicates(reader) == []
            assert reader.gaps == []


async def test_one_process_is_cut_off(
    nats_server: MistreatedServer, journal: JournalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was cut off recognises all lines that another has stored meanwhile."""
    # The server recognises a line that comes twice only for this time, which is enough here.
    monkeypatch.setattr("natstream.journal.stream_config.DUPLICATE_WINDOW", 2.0)
    config = {"subjects": ["natstream.>"], "duplicate_window": 2_000_000_000}
    await journal.ask("STREAM.CREATE.natstream", {"name": "natstream", **config})
    few = {"NATSTREAM_BACKLOG_LINES": "500"}
    async with (
        Wire.open(journal.port) as wire,
        open_service(nats_server, **journal.environ) as whole,
        open_service(
            nats_server, **journal.environ | few | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as cut,
    ):
        await whole.state("journal", "up")
        await cut.state("journal", "up")
        staying = Reader([cut.service.bind.port])
        moving = Reader([cut.service.bind.port])
        flow = Flow(nats_server)
        async with flowing(flow, [staying, moving]):
            await trio.sleep(1)
            wire.cut()
            await until(lambda: False in staying.persistent)
            # This line comes from another program, so only the other process gets it.
            await journal.publish("natstream.logs.web.iad.m0", [payload("m0 -2")])
            flow.published.append("m0 -2")
            await trio.sleep(4)
            moving.ports = [whole.service.bind.port]
            moving.hop()
            await trio.sleep(1)
            wire.mend()
            await cut.state("journal", "up")
        await all_are_stored(journal, flow)
        assert duplicates(staying) == []
        assert staying.gaps == []
