"""Several processes with one journal store each line once, and show it once."""

from __future__ import annotations

import os
import random

import trio
from tests.support.eventsource import Reader, open_readers
from tests.support.fleet import Flow, numbered, numbers_by_machine, open_fleet, publish
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.waiting import until

# A longer test than the suite has time for: JOURNAL_LINES=100000.
LINES = int(os.environ.get("JOURNAL_LINES", "20000"))
HOPS = 1_000


async def test_three_processes_show_one_stream(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Each line is stored and shown once, although two processes read the same subjects."""
    messages = numbered(0, LINES)
    async with open_fleet(journal, nats_server, nats_server, None) as fleet:
        readers = [Reader([service.port]) for service in fleet]
        async with open_readers(*readers):
            await publish(nats_server, messages)
            await until(lambda: all(len(reader.lines) >= LINES for reader in readers), 120)
        # A duplicate would have been stored by now.
        assert await journal.stored() == LINES
        for reader in readers:
            assert reader.numbers == [*range(1, LINES + 1)]
            assert reader.lines == readers[0].lines
            assert numbers_by_machine(reader.lines) == numbers_by_machine(messages)
            assert all(reader.persistent)
            assert reader.gaps == []


async def test_readers_hop_between_processes(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A reader that is cut off goes on at any process without a gap or a duplicate."""
    async with open_fleet(journal, nats_server, nats_server, None) as fleet:
        ports = [service.port for service in fleet]
        readers = [Reader(ports) for _ in range(4)] + [Reader(ports, "?machine=m1&q=7")]
        flow = Flow(nats_server, rate=2_000)

        async def hop(reader: Reader) -> None:
            while reader.connections < HOPS / len(readers):
                await trio.sleep(random.uniform(0, 0.03))
                reader.hop()

        async with open_readers(*readers):
            async with trio.open_nursery() as flowing:
                flowing.start_soon(flow.run)
                async with trio.open_nursery() as hopping:
                    for reader in readers:
                        hopping.start_soon(hop, reader)
                flowing.cancel_scope.cancel()
            await publish(nats_server, ["m1 -7"])
            for reader in readers:
                await reader.has("m1 -7")
        stored = await journal.stored()
        assert stored == len(flow.published) + 1
        for reader in readers[:-1]:
            assert reader.numbers == [*range(1, stored + 1)]
            assert reader.gaps == []
        wanted = [line for line in flow.published if line.startswith("m1") and "7" in line]
        assert readers[-1].lines == [*wanted, "m1 -7"]
        assert readers[-1].gaps == []
