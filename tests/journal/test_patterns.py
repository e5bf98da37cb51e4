"""Patterns are the same at each process that shares a journal."""

from __future__ import annotations

from typing import Any

from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until

TRACE = ["TypeError: no price", "    at total (/app/cart.js:57:31)", "    at run (/app/a.js:1:2)"]
TIMES = 40


async def patterns(service: RunningService) -> list[dict[str, Any]]:
    """Return the patterns of the last half hour."""
    answer = (await service.get("/api/patterns")).json()
    assert answer["other"] == {"count": 0}
    assert not answer["sampled"]
    rows: list[dict[str, Any]] = answer["patterns"]
    for row in rows:
        # These two depend on the second in which a process is asked.
        del row["rate"], row["series"]
    return rows


async def test_two_processes_count_alike(
    journal: JournalServer, nats_server: MistreatedServer
) -> None:
    """Two processes have the same ids, counts, times and examples of the lines that both saw."""
    async with (
        open_service(nats_server, **journal.environ) as one,
        open_service(nats_server, **journal.environ) as other,
    ):
        for service in (one, other):
            await service.state("journal", "up")
            await service.state("nats", "up")
        for number in range(TIMES):
            texts = [f"order {number} shipped", *TRACE, f'{{"msg":"sent","to":{number}}}']
            messages = [payload(text) for text in texts]
            await nats_server.publish(f"logs.web.sjc.m{number % 3}", messages)
        for service in (one, other):
            hub = service.service.core.hub
            await until(lambda hub=hub: hub.statistics().published == 5 * TIMES)
        found = await patterns(one)
        assert found == await patterns(other)
        assert {row["pattern"]: row["count"] for row in found} == {
            "order <n> shipped": TIMES,
            "sent {to}": TIMES,
            "TypeError: no price < at total (/app/cart.js:<n>) < at run (/app/a.js:<n>)": TIMES,
        }
