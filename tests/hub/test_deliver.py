"""Lines that the hub delivers while a reader waits for them, without waking its task."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import pytest
import trio
from tests.support.numbered import lines, numbers
from tests.support.slow_archive import open_journal_hub
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.entries.entry import Gap
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub.backlog import Backlog
from natstream.hub.batch import Position, Selection
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Outage

NOBODY = Filter.from_query([("app", "nobody")])
SEARCH = Filter.from_query([("q", "1")])
KEEPALIVE = 15.0


class Steps(trio.abc.Instrument):
    """Counts how often a task runs."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self._task = task
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


@attrs.define(eq=False)
class Reader:
    """A reader in a task of its own: what was delivered to it, and what its steps returned."""

    subscription: Subscription
    answer: Callable[[Selection], bool] = lambda selection: True
    delivered: list[int] = attrs.field(factory=list)
    returned: list[Any] = attrs.field(factory=list)
    pause: float = 0.0
    """Seconds that the task takes for each item, in which it does not wait for the next one."""
    error: Exception | None = None
    steps: Steps = attrs.field(init=False)

    def deliver(self, selection: Selection) -> bool:
        if not self.answer(selection):
            return False
        self.delivered += numbers(selection)
        return True

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.steps = Steps(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(self.steps)
        task_status.started()
        try:
            while True:
                item: Selection | Gap | None = await self.subscription.step(self.deliver)
                self.returned.append(numbers(item) if isinstance(item, Selection) else item)
                await trio.sleep(self.pause)
        except ValueError as error:
            self.error = error


@asynccontextmanager
async def open_reader(
    filter: Filter = EVERYTHING,
    answer: Callable[[Selection], bool] = lambda selection: True,
    **wishes: Any,
) -> AsyncIterator[tuple[Hub, Reader]]:
    """Run a hub with one reader, which waits at the newest line."""
    hub = Hub(keepalive=KEEPALIVE, max_lag=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        with hub.subscribe(filter, **wishes) as subscription:
            reader = Reader(subscription, answer)
            await nursery.start(reader.run)
            await wait_all_tasks_blocked()
            yield hub, reader
            nursery.cancel_scope.cancel()


async def publish(hub: Hub, first: int, count: int) -> None:
    """Publish lines, and wait until they have been handed out."""
    hub.publish_nowait(lines(first, count))
    await trio.sleep(0.5)


@contextmanager
def asleep(reader: Reader) -> Any:
    """Check that the reader's task does not run in the block."""
    before = reader.steps.count
    yield
    assert reader.steps.count == before


async def test_a_waiting_reader_gets_lines_without_waking(autojump_clock: MockClock) -> None:
    """Ten batches are delivered, and the reader's task never runs."""
    async with open_reader() as (hub, reader):
        with asleep(reader):
            for first in range(1, 101, 10):
                await publish(hub, first, 10)
    assert reader.delivered == list(range(1, 101))
    assert reader.returned == []


async def test_lines_that_the_filter_excludes_wake_no_reader(autojump_clock: MockClock) -> None:
    """The reader passes over them, so that it would resume after them, and is not behind."""
    async with open_reader(NOBODY) as (hub, reader):
        before = reader.subscription.resume_id
        with asleep(reader):
            await publish(hub, 1, 10)
        assert reader.subscription.lag == 0
        assert reader.subscription.resume_id != before
    assert reader.delivered == reader.returned == []


async def test_refused_lines_are_the_next_item(autojump_clock: MockClock) -> None:
    """A reader that cannot take lines at the moment gets them from `step`, and goes on after."""
    answers = iter([False, True])
    async with open_reader(answer=lambda _: next(answers)) as (hub, reader):
        await publish(hub, 1, 3)
        await publish(hub, 4, 3)
    assert reader.returned == [[1, 2, 3]]
    assert reader.delivered == [4, 5, 6]


async def test_a_failing_delivery_does_not_stop_the_hub(autojump_clock: MockClock) -> None:
    """Its exception comes out in the reader's own task, and other readers get the lines."""
    error = ValueError()

    def fail(selection: Selection) -> bool:
        raise error

    async with open_reader(answer=fail) as (hub, reader):
        with hub.subscribe() as other:
            await publish(hub, 1, 3)
            assert numbers(await other.receive()) == [1, 2, 3]
    assert reader.error is error
    assert reader.returned == []


async def test_a_woken_reader_is_delivered_nothing_until_it_waits_again(
    autojump_clock: MockClock,
) -> None:
    """A client whose buffers are full holds one piece, because `wake` ends the deliveries."""
    async with open_reader() as (hub, reader):
        segment, subscription = hub.segment, reader.subscription

        def hand_over(number: int) -> None:
            hub.publish_nowait(lines(number, 1))
            segment.flushed = hub.backlog.end
            batch = hub.backlog.read(Position(entry=number, notice=1), number + 1, 1, 1_000)
            subscription.hand_over(segment, batch, trio.current_time())

        # The reader's task cannot run between the two.
        hand_over(1)
        subscription.wake()
        hand_over(2)
        assert reader.delivered == [1]
        await trio.sleep(0.5)
        await publish(hub, 3, 1)
    assert reader.returned == [[2]]
    assert reader.delivered == [1, 3]


@pytest.mark.parametrize(
    "filter",
    [
        SEARCH,
        attrs.evolve(SEARCH, scoped=True) & Filter.from_query([("min_level", "trace")]),
    ],
    ids=["the reader's own", "its scope"],
)
async def test_an_expensive_filter_runs_in_the_readers_task(
    filter: Filter, autojump_clock: MockClock
) -> None:
    """Its turns must not delay the other readers."""
    async with open_reader(filter) as (hub, reader):
        await publish(hub, 1, 3)
    assert reader.returned == [[1]]
    assert reader.delivered == []


async def test_delivered_lines_put_off_the_keep_alive(autojump_clock: MockClock) -> None:
    """A reader that gets a line every 10 s is not sent keep-alives, and a silent one is."""
    async with open_reader() as (hub, reader):
        for number in range(1, 7):
            await trio.sleep(10)
            await publish(hub, number, 1)
        assert reader.returned == []
        await trio.sleep(KEEPALIVE + 1)
    assert reader.returned == [None]


async def test_nothing_is_delivered_while_the_reader_has_an_item(
    autojump_clock: MockClock,
) -> None:
    """What the reader's task still sends comes first."""
    answers = iter([False, True])
    async with open_reader(answer=lambda _: next(answers)) as (hub, reader):
        reader.pause = 1
        await publish(hub, 1, 3)
        await publish(hub, 4, 3)
        assert reader.delivered == []
        await trio.sleep(3)
        await publish(hub, 7, 3)
    assert reader.returned == [[1, 2, 3], [4, 5, 6]]
    assert reader.delivered == [7, 8, 9]


@pytest.mark.parametrize("wishes", [{"tail": 10}, {"since": 91_000}])
async def test_nothing_is_delivered_before_the_replay(
    wishes: dict[str, Any], autojump_clock: MockClock
) -> None:
    """A live line waits while the archive is still asked for the lines before it."""
    async with (
        open_journal_hub(max_lag=math.inf) as (hub, _),
        trio.open_nursery() as nursery,
    ):
        with hub.subscribe(**wishes) as subscription:
            reader = Reader(subscription)
            await nursery.start(reader.run)
            await wait_all_tasks_blocked()
            await publish(hub, 101, 1)
            assert reader.delivered == []
            await trio.sleep(200)
            await publish(hub, 102, 1)
            nursery.cancel_scope.cancel()
    replayed = [number for item in reader.returned if item for number in item]
    assert replayed == list(range(91, 102))
    assert reader.delivered == [102]


async def test_nothing_is_delivered_over_the_border_of_segments(autojump_clock: MockClock) -> None:
    """The reader's task goes on to the next segment, and then lines are delivered again."""
    async with open_reader() as (hub, reader):
        hub.fall_back(Backlog("other", max_lines=1_000, max_bytes=1 << 20), Outage(since=0))
        await publish(hub, 1, 3)
        assert reader.delivered == []
        assert reader.subscription.resume_id.split("-")[1] == "other"
        await publish(hub, 4, 3)
    assert reader.delivered == [4, 5, 6]


async def test_a_replay_can_end_with_a_delivery(autojump_clock: MockClock) -> None:
    """A reader that stalls after its replay is moved on, although no item has ended the replay."""

    def wake(selection: Selection) -> bool:
        reader.subscription.wake()
        return True

    async with open_reader(answer=wake, since=time.time_ns() // 1_000_000) as (hub, reader):
        reader.pause = 20
        await publish(hub, 1, 3)
        await publish(hub, 4, 3)
        await trio.sleep(25)
    assert reader.returned[0] is None
    assert isinstance(reader.returned[1], Gap)


@pytest.mark.parametrize("early", [True, False])
async def test_nothing_is_delivered_after_the_right_to_read_has_ended(
    early: bool, autojump_clock: MockClock
) -> None:
    """After `wake_at`, the reader's own task decides what becomes of the lines."""
    async with open_reader() as (hub, reader):
        await publish(hub, 1, 1)
        reader.subscription.wake_at = trio.current_time() + (0.1 if early else -0.1)
        await publish(hub, 2, 1)
    assert reader.delivered == ([1, 2] if early else [1])
