"""The lines around one line, and readings that end at a time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.numbered import line, lines, numbers
from tests.support.slow_archive import KEEPALIVE, STORED, SlowArchive, open_journal_hub
from trio.testing import MockClock

from natstream.entries.entry import Gap, LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub import window
from natstream.hub.backlog import Backlog
from natstream.hub.batch import Selection
from natstream.hub.finding import find_line
from natstream.hub.hub import Hub, open_hub
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Outage

WEB = Filter.from_query([("app", "web")])
LONG = 10**9


def id_of(hub: Hub, number: int) -> str:
    """Return the event id of a line of the current segment."""
    return f"{hub.backlog.newest_ms}-{hub.epoch}-{number}"


async def around(
    hub: Hub, number: int, filter: Filter = EVERYTHING, *, before: int = 50, after: int = 50
) -> list[int]:
    """Return the numbers of the lines around a line of the current segment."""
    found = await find_line(hub, id_of(hub, number))
    assert found is not None
    with hub.subscribe(filter, around=found, before=before, after=after) as reader:
        return [number for item in await items(reader) for number in shown(item)]


async def items(reader: Subscription) -> list[Selection | Gap]:
    """Return all that the reader gets until its end."""
    with trio.fail_after(600):
        return [item async for item in reader]


def shown(item: Selection | Gap) -> list[int]:
    return [] if isinstance(item, Gap) else numbers(item)


def told(read: Sequence[Selection | Gap]) -> list[str]:
    """Return the messages of the notices."""
    return [
        notice.message for item in read if isinstance(item, Selection) for notice in item.notices
    ]


def test_it_equals_a_slice_of_the_matching_lines() -> None:
    """The lines around a line are those that a slice of the matching lines and itself gives."""

    @given(st.integers(1, 900), st.data(), st.integers(0, 30), st.integers(0, 30), st.booleans())
    def check(count: int, data: st.DataObject, before: int, after: int, filtered: bool) -> None:
        number = data.draw(st.integers(1, count))

        async def main() -> None:
            async with open_hub() as hub:
                await hub.publish(lines(1, count))
                got = await around(
                    hub, number, WEB if filtered else EVERYTHING, before=before, after=after
                )
            matching = [n for n in range(1, count + 1) if not filtered or n % 3 == 0]
            earlier = [n for n in matching if n < number]
            later = [n for n in matching if n > number]
            first = max(0, len(earlier) - before)
            assert got == [*earlier[first:], number, *later[:after]]

        trio.run(main, clock=MockClock(autojump_threshold=0))

    check()


async def test_it_ends_although_lines_go_on(autojump_clock: MockClock) -> None:
    """The reading has the lines that exist when it begins, and ends without waiting for more."""
    async with open_hub() as hub:
        await hub.publish(lines(1, 20))
        found = await find_line(hub, id_of(hub, 15))
        with hub.subscribe(around=found, before=2, after=10) as reader:
            hub.publish_nowait(lines(21, 5))
            assert [n for item in await items(reader) for n in shown(item)] == [*range(13, 21)]


async def test_a_gap_stands_where_the_lines_are_missing(autojump_clock: MockClock) -> None:
    """Lines that are evicted while the reading goes on are a gap, and the line itself is shown."""
    async with open_hub(backlog_lines=50) as hub:
        await hub.publish(lines(1, 50))
        found = await find_line(hub, id_of(hub, 10))
        with hub.subscribe(around=found, before=5, after=60) as reader:
            await reader.step()  # It has found its start, or its first lines.
            await hub.publish(lines(51, 30))
            read = await items(reader)
        got = [n for item in read for n in shown(item)]
        assert 10 in got
        assert got == sorted(got)
        assert [item.missed for item in read if isinstance(item, Gap)]
        assert got[-1] == 50


async def test_a_notice_between_the_lines_is_told_in_its_place(autojump_clock: MockClock) -> None:
    """A notice of lost lines that stands within the window is told, and one outside is not."""
    async with open_hub() as hub:
        for number in range(1, 10):
            hub.announce(f"before {number}", gap=Gap(1, None))
            hub.publish_nowait([line(number)])
        hub.announce("at the end")
        found = await find_line(hub, id_of(hub, 5))
        with hub.subscribe(around=found, before=1, after=2) as reader:
            read = await items(reader)
        assert told(read) == ["before 5", "before 6", "before 7"]


@pytest.mark.parametrize("direction", ["before", "after"])
async def test_the_end_of_the_search_is_told(
    direction: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that ends at its limit says so, and has looked at exactly so many lines."""
    monkeypatch.setattr(window, "SEARCHED_LINES", 300)
    monkeypatch.setattr("natstream.hub.start.SEARCHED_LINES", 300)
    target, near, far = (1_000, 700, 699) if direction == "before" else (1_000, 1_300, 1_301)

    def entry(number: int, hit: int) -> LogEntry:
        return attrs.evolve(line(number), app_name="web" if number == hit else "api")

    for hit, is_found in ((near, True), (far, False)):
        async with open_hub() as hub:
            await hub.publish([entry(number, hit) for number in range(1, 2_001)])
            found = await find_line(hub, id_of(hub, target))
            with hub.subscribe(WEB, around=found, before=2, after=2) as reader:
                read = await items(reader)
            got = [n for item in read for n in shown(item)]
            assert got == sorted([target, hit] if is_found else [target])
            messages = told(read)
            assert [direction in message for message in messages].count(True) == 1
            assert all("Only 300 lines" in message for message in messages)


async def test_no_end_is_told_where_all_lines_were_searched(autojump_clock: MockClock) -> None:
    """A search that has looked at all lines says nothing, although it found too few."""
    async with open_hub() as hub:
        await hub.publish(lines(1, 500))
        found = await find_line(hub, id_of(hub, 250))
        with hub.subscribe(Filter(q=("never",)), around=found) as reader:
            read = await items(reader)
        assert [n for item in read for n in shown(item)] == [250]
        assert told(read) == []


async def test_other_readers_get_their_turn_and_it_gets_keep_alives() -> None:
    """A search through 100,000 lines lets other tasks run, never for longer than a moment."""
    async with open_hub(backlog_lines=300_000, backlog_bytes=2**30) as hub:
        entry = line(1)
        for _ in range(250):
            hub.publish_nowait([entry] * 1_000)
            await trio.lowlevel.checkpoint()
        found = await find_line(hub, id_of(hub, 125_000))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            with hub.subscribe(Filter(q=("never",)), around=found) as reader:
                read = await items(reader)
            nursery.cancel_scope.cancel()
        assert turns > 500
        assert [message.partition(" lines ")[0] for message in told(read)] == ["Only 100,000"] * 2


@pytest.mark.parametrize("filter", [EVERYTHING, Filter(q=("7",))])
async def test_the_archive_is_read_around_a_line(filter: Filter, autojump_clock: MockClock) -> None:
    """A line that memory has evicted is found in the archive, with the lines on both sides."""
    async with open_journal_hub() as (hub, archive):
        archive.delay = 1.0
        await hub.publish([line(n) for n in range(STORED + 1, STORED + 51)], arrivals=[LONG] * 50)
        found = await find_line(hub, id_of(hub, STORED - 5))
        assert found is not None
        with hub.subscribe(filter, around=found, before=10, after=20) as reader:
            read = await items(reader)
        wanted = filter.matches
        matching = [n for n in range(1, STORED + 51) if wanted(line(n))]
        got = [n for item in read for n in shown(item)]
        earlier = [n for n in matching if n < STORED - 5][-10:]
        later = [n for n in matching if n > STORED - 5][:20]
        assert got == [*earlier, STORED - 5, *later]
        assert archive.open_readers == 0


async def test_it_goes_over_the_legs_of_an_outage(autojump_clock: MockClock) -> None:
    """Around a line of an outage are the journal's lines before it, and those stored after it."""
    async with journal_after_outage() as (hub, fallback_id):
        found = await find_line(hub, fallback_id)
        assert found is not None
        with hub.subscribe(around=found, before=6, after=6) as reader:
            read = await items(reader)
        got = [entry.message for item in read for entry in item.entries]  # type: ignore[union-attr]  # there is no gap
        assert got == ["7", "8", "9", "10", "o1", "o2", "o3", "o4", "o5", "11", "12", "13"]


@asynccontextmanager
async def journal_after_outage() -> AsyncIterator[tuple[Hub, str]]:
    """Give a hub that has returned to its journal, and the id of a line of the outage."""
    async with trio.open_nursery() as nursery, open_hub() as hub:
        archive = SlowArchive(nursery, delay=0)
        backlog = Backlog("j1", max_lines=100, max_bytes=2**20, persistent=True)
        hub.rejoin(backlog, archive)
        await hub.publish(lines(1, 10), arrivals=[LONG] * 10)
        outage = Outage(since=LONG)
        hub.fall_back(Backlog("f1", max_lines=100, max_bytes=2**20), outage)
        hub.publish_nowait([attrs.evolve(line(1), message=f"o{n}") for n in range(1, 6)])
        fallback_id = id_of(hub, 3)
        backlog.append(lines(11, 2), [1, 1], [LONG, LONG])
        outage.is_over = True
        hub.rejoin(backlog, archive)
        await hub.publish(lines(13, 1), arrivals=[LONG])
        yield hub, fallback_id


async def test_the_segment_before_the_last_is_forgotten(autojump_clock: MockClock) -> None:
    """Only the outage before the present segment is remembered, so that memory stays bounded."""
    async with journal_after_outage() as (hub, fallback_id):
        assert await find_line(hub, fallback_id) is not None
        hub.fall_back(Backlog("f2", max_lines=10, max_bytes=2**20), Outage(since=LONG))
        assert await find_line(hub, fallback_id) is None
        before = hub.segment.before
        assert before is not None
        assert before.fallback is None


@pytest.mark.parametrize("id", ["", "x", "1-other-1", "0-{epoch}-0", "0-{epoch}-11"])
async def test_an_unknown_id_is_none(id: str) -> None:
    """An id of another process, or of a number that no line has, is `None`."""
    async with open_hub() as hub:
        hub.publish_nowait(lines(1, 10))
        assert await find_line(hub, id.format(epoch=hub.epoch)) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the Unix ms of a clock that a test moves."""
    now = {"ms": 1_000_000}
    monkeypatch.setattr("natstream.hub.hub.time.time_ns", lambda: now["ms"] * 10**6)
    return now


async def test_until_ends_a_replay_before_the_lines_that_arrived_then(
    autojump_clock: MockClock, clock: dict[str, int]
) -> None:
    """With `until` in the past, a reading ends before the first line that arrived then."""
    async with open_hub() as hub:
        for number in range(1, 10):
            clock["ms"] += 1_000
            hub.publish_nowait([line(number)])
        end = clock["ms"] - 3_000
        for options, expected in (
            ({}, [1, 2, 3, 4, 5]),
            ({"since": end - 2_000}, [4, 5]),
            ({"tail": 3}, [3, 4, 5]),
            ({"tail": 3, "since": end - 2_000}, [4, 5]),
            ({"last_event_id": f"{end - 4_000}-{hub.epoch}-2"}, [3, 4, 5]),
            ({"last_event_id": f"{end + 1_000}-{hub.epoch}-7"}, []),
            ({"follow": False}, [1, 2, 3, 4, 5]),
        ):
            with hub.subscribe(until=end, **options) as reader:
                got = [n for item in await items(reader) for n in shown(item)]
            assert got == expected, options
        with hub.subscribe(WEB, until=end, tail=2) as reader:
            assert [n for item in await items(reader) for n in shown(item)] == [3]


async def test_until_in_the_archive_ends_there(autojump_clock: MockClock) -> None:
    """A time before the start of memory is looked up in the archive, which is read up to it."""
    async with open_journal_hub() as (hub, archive):
        archive.delay = 0.1
        with hub.subscribe(since=3, until=6) as reader:
            got = [n for item in await items(reader) for n in shown(item)]
        first = await archive.number_at(3)
        end = await archive.number_at(6)
        assert got == [*range(first, end)]


@pytest.mark.parametrize("busy", [True, False])
async def test_until_in_the_future_ends_a_live_reading(busy: bool) -> None:
    """With `until` in the future, a reading follows until then, whether lines come or not."""
    async with open_hub() as hub, trio.open_nursery() as nursery:
        end = time.time() + 0.7

        async def publish() -> None:
            number = 0
            while busy or not number:
                number += 1
                hub.publish_nowait([line(number)])
                await trio.sleep(0.01)

        with hub.subscribe(until=int(end * 1000)) as reader:
            nursery.start_soon(publish)
            read = await items(reader)
        assert end - 0.05 < time.time() < end + 5
        assert all(
            arrival < end * 1000
            for item in read
            if isinstance(item, Selection)
            for arrival in item.batch.arrivals[: item.lines]
        )
        assert sum(len(shown(item)) for item in read) > (20 if busy else 0)
        nursery.cancel_scope.cancel()


async def test_a_search_in_a_slow_archive_gets_keep_alives(autojump_clock: MockClock) -> None:
    """While the lines before a line are sought in the archive, keep-alives come in time."""
    async with open_journal_hub() as (hub, archive):
        await hub.publish([line(STORED + 1)], arrivals=[LONG])
        found = await find_line(hub, id_of(hub, STORED + 1))
        with hub.subscribe(around=found, before=3) as reader:
            started = trio.current_time()
            assert await reader.step() is None
            assert trio.current_time() - started == pytest.approx(KEEPALIVE, abs=1)
            got = [n for item in await items(reader) for n in shown(item)]
        assert got == [*range(STORED - 2, STORED + 2)]
        assert archive.open_readers == 0


async def test_a_journal_that_stays_away_is_a_gap(autojump_clock: MockClock) -> None:
    """If the archive does not answer, the lines before are a gap, and the line itself comes."""
    async with open_journal_hub() as (hub, archive):
        await hub.publish([line(STORED + 1)], arrivals=[LONG])
        found = await find_line(hub, id_of(hub, STORED + 1))
        archive.is_away = True
        with hub.subscribe(around=found, before=3) as reader:
            read = await items(reader)
        assert isinstance(read[0], Gap)
        assert [n for item in read for n in shown(item)] == [STORED + 1]
