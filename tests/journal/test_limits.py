"""Outages that last longer than a process can keep lines, and readers far back in an outage."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio
from tests.support.event_stream import Event, EventStream
from tests.support.eventsource import open_readers
from tests.support.fleet import numbered, publish
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import open_service
from tests.support.waiting import until
from tests.support.wire import Wire

from natstream.hub.timeline import Segment
from natstream.journal import outbox

FAR = 40_000


async def test_more_waits_than_is_kept(
    nats_server: MistreatedServer, journal: JournalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines beyond the outbox are counted as lost to the journal, but readers see them all."""
    monkeypatch.setattr(
        outbox.Outbox.__init__, "__kwdefaults__", {"max_lines": 500, "max_bytes": 10**9}
    )
    monkeypatch.setattr(outbox, "CROWDED", 100)
    monkeypatch.setattr(outbox, "WINDOW_LINES", 50)
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 100))
            await reader.has(*numbered(0, 100))
            await journal.kill()
            await until(lambda: "The journal is away" in " ".join(reader.notices))
            await publish(nats_server, numbered(100, 2_000))
            await reader.has(*numbered(0, 2_100))
            said = " ".join(reader.notices)
            assert "More lines wait for the journal than this process keeps" in said
            status = (await service.get("/readyz")).json()["sources"]["journal"]
            assert status["lost"] == 1_500
            await journal.start()
            await service.state("journal", "up")
            await publish(nats_server, numbered(2_100, 100))
            await reader.has(*numbered(2_100, 100))
        assert await journal.stored() == 700
        assert sorted(gap["missed"] or 0 for gap in reader.gaps) == [0, 1_500]
        assert "1,500 lines that came while the journal was away are not in it" in reader.notices
        assert reader.lines == numbered(0, 2_200)


async def test_a_reader_that_stays_does_not_hold_what_was_shown_in_each_outage(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """The segments of former outages leave memory, although a reader stays all day."""
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        reader = service.reader()
        segments: list[weakref.ref[Segment]] = []
        async with open_readers(reader):
            for outage in range(3):
                wire.cut()
                hub = service.service.core.hub
                await until(lambda hub=hub: hub.segment.outage is not None)
                segments.append(weakref.ref(hub.segment))
                await publish(nats_server, numbered(20 * outage, 10))
                await reader.has(*numbered(20 * outage, 10))
                wire.mend()
                await service.state("journal", "up")
                await publish(nats_server, numbered(20 * outage + 10, 10))
                await reader.has(*numbered(20 * outage + 10, 10))
            gc.collect()
            # Readers that were on the newest segment may need it.
            assert [segment() for segment in segments[:-1]] == [None, None]


async def test_a_keep_alive_does_not_prolong_the_wait_for_a_dead_journal(
    nats_server: MistreatedServer, journal: JournalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader far back goes on without the journal in time, although it gets keep-alives."""
    monkeypatch.setattr("natstream.journal.archive.DEADLINE", 4.0)
    more = {"NATSTREAM_BACKLOG_LINES": "1000", "NATSTREAM_KEEPALIVE": "1"}
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | more | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        await far_back(journal)
        hub = service.service.core.hub
        await until(lambda: hub.backlog.end.entry == FAR + 1)
        async with EventStream.open(service.service.bind.port, "?since=1h") as events:
            await events.receive()
            await trio.sleep(0.5)  # The response has sent as much as fits.
            wire.cut()
            await until(lambda: hub.segment.outage is not None)
            await publish(nats_server, numbered(FAR, 1))
            gaps = 0
            with trio.fail_after(30):
                messages: list[str] = []
                while numbered(FAR, 1)[0] not in messages:
                    messages.clear()
                    for event in await events.receive():
                        gaps += "gap" in event.data
                        messages.append(event.data["message"])
        assert gaps == 1


async def far_back(journal: JournalServer) -> None:
    """Store more lines than the buffers of one response hold."""
    async with journal.publisher() as publisher:
        await publisher.publish(
            ("natstream.logs.web.iad.m1", payload(f"m1 {number}")) for number in range(FAR)
        )


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_reader_far_back_when_the_journal_goes(
    journal: JournalServer,
    nats_server: MistreatedServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    comes_back: bool,
) -> None:
    """A reader far back waits some seconds for the journal, and misses no line if it returns.

    Otherwise the reader goes on without it, after a gap. Other readers see live lines meanwhile.
    """
    if not comes_back:
        monkeypatch.setattr("natstream.journal.archive.DEADLINE", 4.0)
    few = {"NATSTREAM_BACKLOG_LINES": "1000"}
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | few | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        await far_back(journal)
        await until(lambda: service.service.core.hub.backlog.end.entry == FAR + 1)
        live = service.reader()
        async with (
            open_readers(live),
            EventStream.open(service.service.bind.port, "?since=1h") as events,
        ):
            seen = [event for event in await events.receive() if "app" in event.data]
            await trio.sleep(0.5)  # The response has sent as much as fits.
            wire.cut()
            await until(lambda: "The journal is away" in " ".join(live.notices))
            await publish(nats_server, numbered(FAR, 10))
            await live.has(*numbered(FAR, 10))
            if comes_back:
                wire.mend()
            gaps = []
            with trio.fail_after(30):
                while not seen or seen[-1].data["message"] != numbered(FAR + 9, 1)[0]:
                    for event in await events.receive():
                        if "app" in event.data:
                            seen.append(event)
                        elif "gap" in event.data:
                            gaps.append(event.data["gap"])
        messages = [event.data["message"] for event in seen]
        wanted = [f"m1 {number}" for number in range(FAR)] + numbered(FAR, 10)
        if comes_back:
            assert (messages, gaps) == (wanted, [])
        else:
            missed = gaps[0]["missed"]
            assert [gap["missed"] for gap in gaps] == [missed]
            assert len(messages) == len(wanted) - missed
            assert messages[-1_010:] == wanted[-1_010:]


async def test_a_closing_process_makes_no_gap_for_a_reader_far_back(
    journal: JournalServer,
) -> None:
    """A reader far back is told that the journal is closed, and no line before its id is missing.

    So it misses nothing when it resumes at another process.
    """
    async with open_service(
        **journal.environ | {"NATSTREAM_BACKLOG_LINES": "1000", "NATSTREAM_GRACE": "10"}
    ) as service:
        await service.state("journal", "up")
        await far_back(journal)
        await until(lambda: service.service.core.hub.backlog.end.entry == FAR + 1)
        async with EventStream.open(service.service.bind.port, "?since=1h") as events:
            got = await events.receive()
            await trio.sleep(0.5)  # The response has sent as much as fits.
            service.stop.set()
            await trio.sleep(0.5)  # The journal is closed.
            got += await rest_of(events)
            last = events.id
    lines = [event.message for event in got if event.is_line]
    assert lines == [f"m1 {number}" for number in range(len(lines))]
    assert len(lines) < FAR
    assert int(last.rpartition("-")[2]) == len(lines)
    assert not [event for event in got if "gap" in event.data]
    assert "The journal was closed before all stored lines were read" in got[-1].message


async def rest_of(stream: EventStream) -> list[Event]:
    """Return the events up to the end of a response, which has to end in order."""
    got: list[Event] = []
    with trio.fail_after(5):
        while True:
            try:
                got += await stream.receive()
            except trio.EndOfChannel:
                return got
