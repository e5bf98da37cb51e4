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
        assert service.service.core.journal is not None
        await until(lambda: service.service.core.journal.statistics().waiting == 0)
        assert await journal.stored() == len(flow.published)
