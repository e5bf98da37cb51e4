"""Readers get lines of the past from the journal, further back than a process remembers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from tests.support.eventsource import Reader, open_readers
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until
from tests.support.wire import Wire

STORED = 5_000
REMEMBERED = 1_000
FEW = {"NATSTREAM_BACKLOG_LINES": str(REMEMBERED)}
APPS = ("api", "web", "web", "web", "cron")
REGIONS = ("iad", "sjc")
MACHINES = ("m1", "m2", "m3")


def origin(number: int) -> tuple[str, str, str]:
    """Return the app, region and machine of a line."""
    return (APPS[number % 5], REGIONS[number % 2], MACHINES[number % 3])


def is_wanted(number: int, query: str) -> bool:
    """Return whether a filter lets this line through."""
    asked = dict(part.split("=") for part in query.split("&") if part)
    text = asked.pop("q", "")
    said = dict(zip(("app", "region", "machine"), origin(number), strict=True))
    return text in str(number) and all(said[name] in asked[name].split(",") for name in asked)


async def store(nats: MistreatedServer, first: int, count: int) -> None:
    """Publish lines on NATS, which the services store."""
    async with nats.publisher() as publisher:
        await publisher.publish(
            (f"logs.{'.'.join(origin(number))}", payload(str(number)))
            for number in range(first, first + count)
        )


async def stored(journal: JournalServer, count: int) -> None:
    """Wait until the stream holds so many lines."""

    async def are_stored() -> bool:
        return await journal.stored() >= count

    await until(are_stored)


async def fill(nats: MistreatedServer, journal: JournalServer) -> list[str]:
    """Store lines by way of a process that ends, and return their ids."""
    async with open_service(nats, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await store(nats, 0, STORED)
            await reader.has(str(STORED - 1))
    assert reader.lines == [str(number) for number in range(STORED)]
    return reader.ids


async def replay(
    service: RunningService, query: str, **headers: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the ids and messages of lines, and the gaps, of an answer without following."""
    response = await service.get(
        f"/api/logs?follow=false&format=ndjson&{query}", headers=headers, timeout=30
    )
    assert response.status_code == 200, response.text
    events = [json.loads(row) for row in response.text.splitlines()]
    lines = [f"{event['id']} {event['message']}" for event in events if "app" in event]
    return lines, [event["gap"] for event in events if "gap" in event]


FILTERS = (
    "",
    "app=web",
    "app=api,cron&region=iad",
    "machine=m2",
    "region=sjc&machine=m1,m3",
    "q=77",
    "app=web&q=123",
    "app=nobody",
)


async def test_the_past_beyond_memory(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """`tail`, `since`, an id and the whole stream give their lines, with any filter."""
    ids = await fill(nats_server, journal)
    lines = [f"{id} {number}" for number, id in enumerate(ids)]
    async with open_service(NATSTREAM_SOURCES="drain", **journal.environ | FEW) as service:
        await service.state("journal", "up")
        assert service.service.core.hub.statistics().backlog_lines == REMEMBERED
        middle = str(int(ids[2_500].split("-")[0]))
        for query in FILTERS:
            wanted = [line for n, line in enumerate(lines) if is_wanted(n, query)]
            assert await replay(service, query) == (wanted, [])
            assert await replay(service, f"{query}&since=1h") == (wanted, [])
            for tail in (1, 3, 700, 3_000, 9_000):
                assert await replay(service, f"{query}&tail={tail}") == (wanted[-tail:], [])
            found, gaps = await replay(service, f"{query}&since={middle}")
            assert found == [line for line in wanted if line.split("-")[0] >= middle]
            assert (await replay(service, f"{query}&since={middle}&tail=9"))[0] == found[-9:]
            for seen in (0, 17, 2_500, 3_999, 4_000, 4_998, 4_999):
                rest = [line for n, line in enumerate(lines) if n > seen and is_wanted(n, query)]
                assert await replay(service, query, **{"Last-Event-ID": ids[seen]}) == (rest, [])
            assert gaps == []
        for seen in (0, 2_500, 4_999):
            raw = await service.get(f"/api/raw?id={ids[seen]}")
            assert raw.json() == json.loads(payload(str(seen)))
        assert (await service.get(f"/api/raw?id={ids[0]}9999")).status_code == 404


async def test_following_after_the_past(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A reader gets the past and then live lines, without a gap or a duplicate between them."""
    ids = await fill(nats_server, journal)
    more, end = 3_000, range(777_700, 777_730)
    numbers = [*range(STORED + more), *end]
    async with open_service(nats_server, **journal.environ | FEW) as service:
        await service.state("journal", "up")
        readers = {
            (how, query): service.reader(f"?{how}&{query}" if how else f"?{query}", id)
            for query in FILTERS[:-1]
            for how, id in (("since=1h", ""), ("tail=4500", ""), ("", ids[30]))
        }
        # While they read stored lines, more new lines come than a process remembers.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store, nats_server, STORED, more)
            for reader in readers.values():
                nursery.start_soon(reader.run)
            await until(lambda: all(reader.connections for reader in readers.values()))
            await stored(journal, STORED + more)
            await store(nats_server, end.start, len(end))
            for (how, query), reader in readers.items():
                wanted = [str(number) for number in numbers if is_wanted(number, query)]
                await reader.has(*wanted[-2:])
                if not how:
                    wanted = [number for number in wanted if int(number) > 30]
                if how.startswith("tail"):
                    assert len(reader.lines) >= min(4_500, len(wanted) - more)
                    wanted = wanted[-len(reader.lines) :]
                assert reader.lines == wanted
                assert reader.gaps == []
                assert all(reader.persistent)
            nursery.cancel_scope.cancel()


async def test_lines_that_have_expired(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A reader is told of lines that have expired in a gap of the exact size."""
    ids = await fill(nats_server, journal)
    async with open_service(NATSTREAM_SOURCES="drain", **journal.environ | FEW) as service:
        await service.state("journal", "up")
        await journal.ask("STREAM.PURGE.natstream", {"seq": 2_001})
        lines, gaps = await replay(service, "", **{"Last-Event-ID": ids[999]})
        assert lines == [f"{ids[n]} {n}" for n in range(2_000, STORED)]
        assert [gap["missed"] for gap in gaps] == [1_000]
        # The filter might have rejected some of these lines.
        lines, gaps = await replay(service, "app=web", **{"Last-Event-ID": ids[999]})
        assert lines == [f"{ids[n]} {n}" for n in range(2_000, STORED) if is_wanted(n, "app=web")]
        assert [(gap["missed"], gap["at_most"]) for gap in gaps] == [(1_000, True)]
        # A reader that asks for the whole stream gets it without a gap.
        assert await replay(service, "") == ([f"{ids[n]} {n}" for n in range(2_000, STORED)], [])
        assert len((await replay(service, "tail=4000"))[0]) == 3_000
        # An operator has deleted a line in the middle.
        await journal.ask("STREAM.MSG.DELETE.natstream", {"seq": 3_001})
        lines, gaps = await replay(service, "", **{"Last-Event-ID": ids[2_499]})
        assert lines == [f"{ids[n]} {n}" for n in range(2_500, STORED) if n != 3_000]
        assert [gap["missed"] for gap in gaps] == [1]
        assert (await service.get(f"/api/raw?id={ids[3_000]}")).status_code == 404
        # All lines have expired that the process does not remember.
        await journal.ask("STREAM.PURGE.natstream", {"seq": 4_001})
        lines, gaps = await replay(service, "", **{"Last-Event-ID": ids[0]})
        assert lines == [f"{ids[n]} {n}" for n in range(4_000, STORED)]
        assert [gap["missed"] for gap in gaps] == [3_999]


async def test_an_id_that_is_ahead(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """A reader with an id of a process that is ahead waits for its lines, without a gap."""
    async with (
        Wire.open(journal.port) as wire,
        open_service(nats_server, **journal.environ) as ahead,
        open_service(
            NATSTREAM_SOURCES="drain",
            **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url},
        ) as behind,
    ):
        await ahead.state("journal", "up")
        await behind.state("journal", "up")
        reader = ahead.reader()
        async with open_readers(reader):
            await store(nats_server, 0, 10)
            await reader.has("9")
            await until(lambda: behind.service.core.hub.statistics().published == 10)
            wire.is_slow = True
            await store(nats_server, 10, 10)
            await reader.has("19")
            reader.ports = [behind.service.bind.port]
            reader.hop()
            await until(lambda: behind.service.core.hub.statistics().readers == 1)
            assert behind.service.core.hub.statistics().published == 10
            wire.is_slow = False
            await store(nats_server, 20, 10)
            await reader.has("29")
        assert reader.lines == [str(number) for number in range(30)]
        assert reader.gaps == []


@pytest.mark.parametrize(
    "id", ["{ms}-j0123456789-7", "{ms}-0a1b2c3d-7", "{ms}-{epoch}-999999", "nonsense"]
)
async def test_an_id_of_elsewhere(
    nats_server: MistreatedServer, journal: JournalServer, id: str
) -> None:
    """A reader with an id of another stream or process, or of the future, gets an unknown gap."""
    ids = await fill(nats_server, journal)
    ms, epoch, _ = ids[3_000].split("-")
    async with open_service(NATSTREAM_SOURCES="drain", **journal.environ | FEW) as service:
        await service.state("journal", "up")
        given = id.format(ms=ms, epoch=epoch)
        lines, gaps = await replay(service, "", **{"Last-Event-ID": given})
        assert [gap["missed"] for gap in gaps] == [None]
        # The reader gets the lines from that time on, and from a little before.
        assert set(lines) >= {f"{ids[n]} {n}" for n in range(3_001, STORED)}
        assert lines == sorted(set(lines), key=lines.index)


async def test_a_search_that_takes_longer_than_the_keep_alive(journal: JournalServer) -> None:
    """A search goes on after each keep-alive, and the reader that waits for it gets the lines."""
    count = 30_000
    more = FEW | {"NATSTREAM_KEEPALIVE": "0.1"}
    async with open_service(NATSTREAM_SOURCES="drain", **journal.environ | more) as service:
        await service.state("journal", "up")
        async with journal.publisher() as publisher:
            await publisher.publish(
                ("natstream.logs.web.iad.m1", payload(f"{'rare' * (n < 5)} {n}"))
                for n in range(count)
            )
        await until(lambda: service.service.core.hub.statistics().published == count)
        reader = service.reader("?tail=3&q=rare")
        async with open_readers(reader):
            await reader.has("rare 2", "rare 3", "rare 4")
        assert reader.lines == ["rare 2", "rare 3", "rare 4"]


async def test_an_id_from_the_future_given_in_an_outage(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A reader with a number from the future is told of a gap, and gets lines in the outage."""
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        epoch = service.service.core.hub.epoch
        await store(nats_server, 0, 10)
        await stored(journal, 10)
        wire.cut()
        await until(lambda: service.service.core.hub.segment.outage is not None)
        ahead = Reader([service.service.bind.port], id=f"1-{epoch}-999999")
        async with open_readers(ahead):
            await store(nats_server, 10, 5)
            await ahead.has(*map(str, range(10, 15)))
            wire.mend()
            await service.state("journal", "up")
            await store(nats_server, 15, 50)
            await ahead.has(*map(str, range(15, 65)))
        assert [gap["missed"] for gap in ahead.gaps] == [None]


async def around(service: RunningService, id: str, query: str) -> tuple[list[str], list[str]]:
    """Return the messages of the lines around a line, and the notices."""
    response = await service.get(f"/api/logs?around={id}&format=ndjson&{query}", timeout=30)
    assert response.status_code == 200, response.text
    events = [json.loads(row) for row in response.text.splitlines() if row]
    lines = [event["message"] for event in events if "app" in event]
    return lines, [event["message"] for event in events if "app" not in event][1:]


@pytest.mark.parametrize("query", ["", "machine=m2", "app=web&q=7", "q=never"])
async def test_the_lines_around_a_stored_line(
    nats_server: MistreatedServer, journal: JournalServer, query: str
) -> None:
    """Around a line in the journal, in memory or between both are the same lines."""
    ids = await fill(nats_server, journal)
    async with open_service(nats_server, **FEW, **journal.environ) as service:
        await service.state("journal", "up")
        await until(lambda: service.service.core.hub.statistics().backlog_lines >= REMEMBERED)
        edge = STORED - REMEMBERED
        for number in (0, 3, 2_500, edge - 2, edge, edge + 2, STORED - 1):
            got, notices = await around(service, ids[number], f"{query}&before=8&after=9")
            matching = [n for n in range(STORED) if is_wanted(n, query)]
            earlier = [n for n in matching if n < number][-8:]
            later = [n for n in matching if n > number][:9]
            assert got == [str(n) for n in (*earlier, number, *later)]
            # The notice of the journal stands behind the last line.
            assert len(notices) == (0 if len(later) == 9 else 1)
        unknown = ids[-1].rpartition("-")[0]
        for id in (f"{unknown}-{STORED + 5}", f"{unknown}-0", "1-jother-1"):
            assert (await service.get(f"/api/logs?around={id}")).status_code == 404


async def test_until_ends_in_the_journal(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """With `until` at a stored time, a reading ends before the first line that arrived then."""
    ids = await fill(nats_server, journal)
    arrivals = [int(id.partition("-")[0]) for id in ids]
    async with open_service(nats_server, **FEW, **journal.environ) as service:
        await service.state("journal", "up")
        for number in (100, STORED // 2, STORED - 100):
            first = next(n for n in range(STORED) if arrivals[n] >= arrivals[number])
            for query, expected in (
                ("since=0", range(first)),
                ("tail=5", range(max(0, first - 5), first)),
                ("since=0&machine=m2", [n for n in range(first) if n % 3 == 1]),
            ):
                lines, gaps = await replay(service, f"{query}&until={arrivals[number]}")
                assert [line.partition(" ")[2] for line in lines] == [str(n) for n in expected]
                assert gaps == []
