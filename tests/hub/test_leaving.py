"""A reader that leaves takes nothing with it: no memory stays, and no question to the archive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from tests.support.slow_archive import line, open_journal_hub
from trio.testing import MockClock

from natstream.errors import JournalClosed
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription

STARTS: list[dict[str, Any]] = [
    {},
    {"tail": 0},
    {"tail": 10},
    {"since": 91_000},
    {"tail": 200, "since": 91_000},
    {"last_event_id": "90000-jabc-90"},
    {"last_event_id": "110000-jabc-110"},
    {"last_event_id": "90000-00ff00ff-5"},
    {"follow": False},
]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Turn Python's cyclic garbage collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def join(hub: Hub, start: dict[str, Any], seconds: float) -> weakref.ref[Subscription]:
    """Read for so many seconds, and leave; return a reference to the reader that left."""
    with hub.subscribe(**start) as reader:
        with trio.move_on_after(seconds):
            async for _ in reader:
                pass
        return weakref.ref(reader)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("seconds", [0, 20, 60, 200])
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_reader_that_leaves_stays_in_no_cycle(
    start: dict[str, Any],
    seconds: float,
    autojump_clock: MockClock,
    no_collector: None,
    *,
    is_away: bool,
) -> None:
    """A reader leaves memory when it leaves, without the collector, in each of its states."""
    async with open_journal_hub() as (hub, archive):
        archive.is_away = is_away
        hub.publish_nowait([line(1)])
        left = await join(hub, start, seconds)
        await trio.sleep(1)  # A question that was cut has ended.
        assert left() is None
        assert archive.open_readers == 0


@pytest.mark.parametrize("start", [{"tail": 10}, {"since": 91_000}])
@pytest.mark.parametrize("seconds", [0, 20, 60])
async def test_a_journal_that_closes_makes_no_gap(
    start: dict[str, Any], seconds: float, autojump_clock: MockClock
) -> None:
    """A reader that waits for the archive when that closes is told so, and skips no line."""
    async with open_journal_hub() as (hub, archive):
        with hub.subscribe(**start) as reader:
            with trio.move_on_after(seconds):
                await reader.receive()
            reached = reader.resume_id
            archive.close_journal()
            for _ in range(2):
                with pytest.raises(JournalClosed):
                    await reader.receive()
            assert reader.resume_id == reached
            assert hub.statistics().gaps == 0
