"""Lines that the hub delivers while a reader waits for them, without waking its task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
from tests.support.numbered import lines, numbers
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.entries.entry import Gap
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub.batch import Selection
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription

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
        with suppress(trio.EndOfChannel):
            while True:
                item: Selection | Gap | None = await self.subscription.step(self.deliver)
                self.returned.append(item if item is None else numbers(item))


@asynccontextmanager
async def open_reader(
    filter: Filter = EVERYTHING, answer: Callable[[Selection], bool] = lambda selection: True
) -> AsyncIterator[tuple[Hub, Reader]]:
    """Run a hub with one reader, which waits at the newest line."""
    hub = Hub(keepalive=KEEPALIVE)
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        with hub.subscribe(filter) as subscription:
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
    """The reader meets the lines in its own task instead, where the failure is its own."""

    def fail(selection: Selection) -> bool:
        raise ValueError

    async with open_reader(answer=fail) as (hub, reader):
        await publish(hub, 1, 3)
    assert reader.returned == [[1, 2, 3]]


async def test_a_woken_reader_is_delivered_nothing_until_it_waits_again(
    autojump_clock: MockClock,
) -> None:
    """A client whose buffers are full holds one piece, because `wake` ends the deliveries."""
    async with open_reader() as (hub, reader):
        answers: list[list[int]] = []

        def wake(selection: Selection) -> bool:
            answers.append(numbers(selection))
            reader.subscription.wake()
            return True

        reader.answer = wake
        hub.publish_nowait(lines(1, 2_000))
        hub.close()  # It hands out two batches at once, before the reader's task can run.
        await trio.sleep(0.5)
    assert answers == [list(range(1, 1_001))]
    assert reader.returned == [list(range(1_001, 2_001))]


async def test_an_expensive_filter_runs_in_the_readers_task(autojump_clock: MockClock) -> None:
    """Its turns must not delay the other readers."""
    async with open_reader(SEARCH) as (hub, reader):
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
