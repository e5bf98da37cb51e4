"""Levels and stack traces are the same for each reader, whichever way its lines come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.closed import bearer, grant_text
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
FIXTURES = Path(__file__).parents[1] / "fixtures"
LABELLED = [json.loads(row) for row in (FIXTURES / "levels.jsonl").read_text().splitlines()]
FRAMES = 39
TRACE = [
    "ERROR: charge failed 4242",
    *(f"\tat com.example.Shop.step{number}(Shop.java:{number})" for number in range(FRAMES)),
]
SUBJECT = "logs.web.sjc.m1"

Seen = tuple[str, str, bool]
"""What a reader sees of a line: its message, its level, and whether it continues another one."""
HEADS: list[Seen] = [(TRACE[0], "error", False), *((row, "error", True) for row in TRACE[1:])]


class Fly:
    """Publishes lines as Fly does: the platform's level is `info`."""

    def __init__(self, server: MistreatedServer) -> None:
        self._server = server
        self._now = START

    async def say(self, *messages: str, subject: str = SUBJECT, pause: float = 0.001) -> None:
        """Publish lines, so many seconds apart by their own times."""
        payloads = []
        for message in messages:
            self._now += timedelta(seconds=pause)
            payloads.append(payload(message, timestamp=self._now.isoformat()))
        await self._server.publish(subject, payloads)


async def replay(service: RunningService, query: str = "", **headers: str) -> list[Seen]:
    """Return the lines of an answer without following."""
    path = f"/api/logs?follow=false&format=ndjson{query}"
    response = await service.get(path, headers=headers, timeout=30)
    assert response.status_code == 200, response.text
    return seen(json.loads(row) for row in response.text.splitlines())


def seen(events: Any) -> list[Seen]:
    """Return what a reader sees of the lines among events."""
    return [
        (event["message"], event["level"], event.get("continues", False))
        for event in events
        if "app" in event
    ]


async def are_stored(journal: JournalServer, count: int) -> None:
    """Wait until the journal holds so many lines."""

    async def is_so() -> bool:
        return await journal.stored() >= count

    await until(is_so)


def environ(journal: JournalServer | None, **more: str) -> dict[str, str]:
    """Return the settings of a service with this journal, or without one."""
    return {**(journal.environ if journal else {}), **more}


@pytest.fixture(params=["memory", "journal"])
async def kept(request: pytest.FixtureRequest, journal: JournalServer) -> JournalServer | None:
    """Return the journal, or none, so that a test runs with each."""
    return journal if request.param == "journal" else None


async def test_levels_are_the_same_everywhere(
    kept: JournalServer | None, nats_server: MistreatedServer
) -> None:
    """Live, replayed, filtered, counted, and through a link, each line has the level it says."""
    fly = Fly(nats_server)
    labelled = [(row["message"], row["level"] or "info", False) for row in LABELLED]
    token = "a-token-of-the-tests-0123456789"
    async with open_service(nats_server, **environ(kept, NATSTREAM_TOKEN=token)) as service:
        await service.state("nats", "up")
        async with service.stream(headers=bearer(token)) as live:
            for message, _, _ in labelled:
                await fly.say(message, pause=2)
            await fly.say(*TRACE)
            lines = await live.lines(len(labelled) + len(TRACE))
        whole = seen(event.data for event in lines)
        assert whole == labelled + HEADS
        assert await replay(service, **bearer(token)) == whole
        worse = [line for line in whole if line[1] in ("error", "fatal")]
        assert await replay(service, "&min_level=error", **bearer(token)) == worse
        link = grant_text(("app", "web"), ("min_level", "error"), token=token)
        assert await replay(service, **bearer(link)) == worse
        response = await service.get("/api/facets", headers=bearer(token))
        counts = {level: figures["lines"] for level, figures in response.json()["level"].items()}
        assert counts == {
            level: sum(line[1] == level for line in whole) for level in {line[1] for line in whole}
        }


async def test_a_trace_is_cut_by_a_reconnect(
    kept: JournalServer | None, nats_server: MistreatedServer
) -> None:
    """A trace whose second half comes over another connection keeps its level and its group."""
    fly = Fly(nats_server)
    async with open_service(nats_server, **environ(kept)) as service:
        await service.state("nats", "up")
        async with service.stream() as live:
            await fly.say(*TRACE[:20])
            lines = await live.lines(20)
            await nats_server.kill()
            await service.state("nats", "lost")
            await nats_server.start()
            await service.state("nats", "up")
            await fly.say(*TRACE[20:])
            lines += await live.lines(20)
        assert seen(event.data for event in lines) == HEADS
        middle = lines[10].id
        assert await replay(service, **{"Last-Event-ID": middle}) == HEADS[11:]


async def test_two_processes_and_the_archive_agree(
    journal: JournalServer, nats_server: MistreatedServer
) -> None:
    """A process that starts later, and one that has to read far back, see the same groups."""
    fly = Fly(nats_server)
    others = [f"GET /{number} 200" for number in range(30)]
    async with open_service(nats_server, **environ(journal)) as first:
        await first.state("nats", "up")
        await first.state("journal", "up")
        await fly.say(*others[:10])
        await fly.say(*TRACE)
        await fly.say(*others[10:], pause=0.1)
        await are_stored(journal, 70)
        whole = [(row, "info", False) for row in others]
        whole[10:10] = HEADS
        await until_replayed(first, whole)
        few = {"NATSTREAM_BACKLOG_LINES": "40"}
        async with open_service(nats_server, **environ(journal, **few)) as second:
            # Its memory begins in the middle of the trace.
            await second.state("journal", "up")
            await until_replayed(second, whole)
            rows = (await first.get("/api/logs?follow=false&format=ndjson")).text.splitlines()
            ids = [event["id"] for event in map(json.loads, rows) if "app" in event]
            for number in (9, 10, 11, 25, 29, 30, 31, 48, 49, 50):
                resumed = {"Last-Event-ID": ids[number]}
                assert await replay(first, **resumed) == whole[number + 1 :]
                assert await replay(second, **resumed) == whole[number + 1 :]
            for service in (first, second):
                assert await replay(service, "&tail=5&min_level=error&machine=m1") == HEADS[-5:]
                assert await replay(service, "&tail=30&min_level=error") == HEADS[-30:]


async def until_replayed(service: RunningService, whole: Sequence[Seen]) -> None:
    """Wait until the service replays these lines; the last ones may still be on their way."""
    got: list[Seen] = []

    async def is_so() -> bool:
        got[:] = await replay(service)
        return len(got) >= len(whole)

    await until(is_so)
    assert got == list(whole)


async def test_an_outage_of_the_journal_cuts_no_trace(
    journal: JournalServer, nats_server: MistreatedServer
) -> None:
    """Lines that are shown while the journal is away continue the trace that began before."""
    fly = Fly(nats_server)
    async with open_service(nats_server, **environ(journal)) as service:
        await service.state("nats", "up")
        await service.state("journal", "up")
        async with service.stream() as live:
            await fly.say(*TRACE[:20])
            lines = await live.lines(20)
            await journal.stop()
            await service.state("journal", "lost")
            await fly.say(*TRACE[20:])
            lines += await live.lines(20)
            assert seen(event.data for event in lines) == HEADS
            await journal.start()
            await service.state("journal", "up")
            await are_stored(journal, len(TRACE))
        await until_replayed(service, HEADS)
