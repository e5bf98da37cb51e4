"""A reader gets a keep-alive in time, also while it waits for its start or for the archive."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from tests.support.numbered import numbers
from tests.support.slow_archive import KEEPALIVE, line, open_journal_hub
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.entries.entry import Gap
from natstream.entries.filters import Filter
from natstream.hub.batch import Selection
from natstream.hub.subscription import Subscription

WEB = Filter.from_query([("app", "web")])


async def steps_until_item(reader: Subscription) -> tuple[list[float], Selection | Gap]:
    """Return the seconds between the empty steps before the next item, and the item."""
    waits: list[float] = []
    last = trio.current_time()
    while (item := await reader.step()) is None:
        waits.append(trio.current_time() - last)
        last = trio.current_time()
    return waits, item


async def test_a_silent_hub_gives_a_reader_a_step_in_the_keepalives_time(
    autojump_clock: MockClock,
) -> None:
    """A reader for which nothing is published gets an empty step every 15 s."""
    async with open_journal_hub() as (hub, _):
        with hub.subscribe() as reader:
            started = trio.current_time()
            for count in range(1, 5):
                assert await reader.step() is None
                assert trio.current_time() - started == pytest.approx(count * KEEPALIVE, abs=1)


async def test_a_line_in_time_makes_no_keep_alive_due(autojump_clock: MockClock) -> None:
    """A reader that gets a line every 10 s never gets an empty step."""
    async with open_journal_hub() as (hub, _), trio.open_nursery() as nursery:
        with hub.subscribe() as reader:

            async def publish() -> None:
                for number in range(20):
                    await trio.sleep(10)
                    hub.publish_nowait([line(number)])

            nursery.start_soon(publish)
            for number in range(20):
                item = await reader.step()
                assert item is not None
                assert numbers(item) == [number]


async def test_a_filtered_reader_gets_a_step_that_has_moved_on(autojump_clock: MockClock) -> None:
    """A reader whose filter rejects every line gets an empty step with a newer resume id."""
    async with open_journal_hub() as (hub, _), trio.open_nursery() as nursery:
        with hub.subscribe(WEB) as reader:

            async def publish() -> None:
                while True:
                    await trio.sleep(1)
                    hub.publish_nowait([line(1)])

            nursery.start_soon(publish)
            before = reader.resume_id
            started = trio.current_time()
            assert await reader.step() is None
            assert trio.current_time() - started == pytest.approx(KEEPALIVE, abs=1)
            assert int(reader.resume_id.rpartition("-")[2]) > int(before.rpartition("-")[2]) + 10
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "wishes",
    [
        {"tail": 10},
        {"since": 91_000},
        {"tail": 200, "since": 91_000},
        {"last_event_id": "90000-jabc-90"},
        {"last_event_id": "90000-00ff00ff-5"},
    ],
)
async def test_keep_alives_come_while_a_start_is_sought_or_the_archive_is_read(
    wishes: dict[str, Any], autojump_clock: MockClock
) -> None:
    """Empty steps come every 15 s while the archive answers after 40 s, and no line is missing."""
    async with open_journal_hub(max_lag=math.inf) as (hub, archive):
        with hub.subscribe(**wishes) as reader:
            got: list[int] = []
            waits: list[float] = []
            while len(got) < 10:
                more, item = await steps_until_item(reader)
                waits += more
                got += [] if isinstance(item, Gap) else numbers(item)
            assert got[-10:] == list(range(91, 101))
            assert len(waits) >= 2
            assert all(wait <= KEEPALIVE + 1 for wait in waits)
        assert archive.open_readers == 0


async def test_a_cancelled_wait_does_not_cut_a_question(autojump_clock: MockClock) -> None:
    """A program that waits for 5 s at a time asks the archive once, and gets the answer."""
    async with open_journal_hub(max_lag=math.inf) as (hub, archive):
        with hub.subscribe(since=91_000) as reader:
            got: list[int] = []
            while not got:
                with trio.move_on_after(5):
                    got = numbers(await reader.receive())
            assert got == list(range(91, 101))
            assert (archive.asked, archive.cancelled) == (2, 0)  # for the start, and for a chunk


@pytest.mark.parametrize("wishes", [{"tail": 10}, {"since": 91_000}])
@pytest.mark.parametrize("seconds", [0, 20, 60])
async def test_a_reader_that_leaves_stops_asking(
    wishes: dict[str, Any], seconds: float, autojump_clock: MockClock
) -> None:
    """The question of a reader that leaves is cancelled, and its consumer is closed."""
    async with open_journal_hub() as (hub, archive):
        with hub.subscribe(**wishes) as reader, trio.move_on_after(seconds):
            await reader.receive()
        await wait_all_tasks_blocked()
        assert archive.open_readers == 0
        asked = archive.asked
        await trio.sleep(1_000)
        assert archive.asked == asked


async def test_a_closing_hub_waits_for_the_answer_that_a_reader_waits_for(
    autojump_clock: MockClock,
) -> None:
    """A reader that seeks its start while the hub closes still gets its lines, and then the end."""
    async with open_journal_hub(max_lag=math.inf) as (hub, _):
        with hub.subscribe(since=91_000) as reader:
            with trio.move_on_after(10):
                await reader.receive()
            hub.close()
            got = [number async for item in reader for number in numbers(item)]
    assert got == list(range(91, 101))


async def test_an_archive_that_fails_while_it_is_asked_becomes_a_gap(
    autojump_clock: MockClock,
) -> None:
    """A reader whose start cannot be looked up is told of an unknown gap, and goes on."""
    async with open_journal_hub() as (hub, archive):
        archive.is_away = True
        with hub.subscribe(since=91_000) as reader:
            gap = await reader.receive()
            assert isinstance(gap, Gap)
            assert gap.missed is None
            hub.publish_nowait([line(7)])
            assert numbers(await reader.receive()) == [7]


async def test_a_step_comes_at_the_time_that_the_reader_asked_for(
    autojump_clock: MockClock,
) -> None:
    """`wake_at` ends a wait within a second, although no keep-alive is due."""
    async with open_journal_hub() as (hub, _):
        with hub.subscribe() as reader:
            reader.wake_at = trio.current_time() + 4.5
            assert await reader.step() is None
            assert 0 <= trio.current_time() - reader.wake_at <= 1
