"""The CPU time of filters: in turns, and limited while the event loop is late."""

from __future__ import annotations

import gc
import random
import time
from typing import Any

import attrs
import pytest
import trio
from benchmarks.calibration import slowness
from trio.testing import MockClock

from natstream.entries.entry import LogEntry
from natstream.entries.fields import FieldCache
from natstream.entries.filters import Filter
from natstream.errors import ExpressionTooSlow
from natstream.hub import budget as budget_module
from natstream.hub.batch import Selection
from natstream.hub.budget import Budgets, ReaderBudget
from natstream.hub.hub import Hub, open_hub
from natstream.hub.loop_delay import DELAY_INTERVAL, LoopDelay
from natstream.hub.subscription import Subscription

# Twenty expressions, all of which search each line, since each line has what the next one needs.
SLOW = [("not", f"/[ab]*a[ab]{{{n}}}x/") for n in range(40, 60)]


@pytest.fixture(scope="module")
def longest() -> float:
    """One turn, and the longest call that cannot be cut: 20 ms, or more on a slow machine."""
    return 0.02 * max(1.0, slowness())


def random_lines(count: int, length: int = 200, letters: str = "ab") -> list[LogEntry]:
    """Return lines of random text, for which RE2 has to make new states all the time."""
    draw = random.Random(count)
    return [
        LogEntry("m1", "".join(draw.choices(letters, k=length)), "stdout", app_name="web")
        for _ in range(count)
    ]


@attrs.define
class Late:
    """An event loop that is late or not, as the test says."""

    is_late: bool = True


@attrs.define
class Work:
    """A selection that takes a known CPU time for each turn, and never ends."""

    each: float
    seconds: float = 0.0
    parameter: str = "q"

    def advance(self, seconds: float) -> bool:
        self.seconds += self.each
        return False


def make_budgets(late: bool = True) -> Budgets:
    return Budgets(Late(late))  # type: ignore[arg-type]  # it has what is needed


def spend(budget: ReaderBudget, seconds: float, **options: Any) -> None:
    budget.run(Work(seconds), **options)  # type: ignore[arg-type]  # the same


async def seconds_to_wait(budget: ReaderBudget) -> float:
    """Return how long a reader waits for its next turn."""
    started = trio.current_time()
    await budget.wait()
    return trio.current_time() - started


# --- turns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        SLOW,
        [("not", "/[ab]*a[ab]{700}x/")],
        [("not", "é" * 150 + str(n)) for n in range(20)],
        [("field", f"!a{n}") for n in range(20)],
    ],
)
@pytest.mark.parametrize("length", [0, 200, 60_000])
def test_a_selection_is_made_in_short_turns(
    query: list[tuple[str, str]], length: int, longest: float
) -> None:
    """A selection never takes more than 20 ms at once, and has the same result at the end."""
    entries = [
        attrs.evolve(entry, message=f"{entry.message} a=5 é {{")
        for entry in random_lines(1_000 if length < 1_000 else 10, length)
    ]
    filter = Filter.from_query(query)
    if length < 1_000:
        entries = entries[:100]
    turns: list[float] = []
    for _ in range(3):  # The machine may stop in one of the runs.
        selecting = filter.selecting(entries, range(len(entries)), FieldCache(entries))
        turn, is_done = 0.0, False
        while not is_done:
            before = selecting.seconds
            is_done = selecting.advance(0.002)
            turn = max(turn, selecting.seconds - before)
        turns.append(turn)
        assert list(selecting.indices) == [
            index for index, entry in enumerate(entries) if filter.matches(entry)
        ]
    assert min(turns) < longest


async def read_all(reader: Subscription) -> int:
    """Return how many lines a reader gets until its end."""
    return sum([item.lines async for item in reader if isinstance(item, Selection)])


@pytest.mark.parametrize("start", [{"since": 0}, {"tail": 400}, {"tail": 400, "since": 0}])
async def test_slow_readers_leave_turns_for_others(start: dict[str, Any], longest: float) -> None:
    """Five readers with twenty slow expressions get all lines, and others wait for 20 ms at most.

    On a machine that is not late, no reader is ended or loses lines because of its expressions.
    """
    turns: list[float] = []
    counts: list[int] = []

    async def watch() -> None:
        while True:
            started = time.thread_time()
            await trio.lowlevel.checkpoint()
            turns.append(time.thread_time() - started)

    async with open_hub() as hub, trio.open_nursery() as nursery:
        await hub.publish(random_lines(400))

        async def read(number: int) -> None:
            filter = Filter.from_query([*SLOW[:10], ("not", f"none{number}")])
            with hub.subscribe(filter, follow=False, **start) as reader:
                counts.append(await read_all(reader))

        gc.freeze()  # Otherwise collections of all other tests' objects would be measured, too.
        nursery.start_soon(watch)
        async with trio.open_nursery() as reading:
            for number in range(5):
                reading.start_soon(read, number)
        nursery.cancel_scope.cancel()
        gc.unfreeze()
    assert counts == [400] * 5
    assert len(turns) > 100
    assert sorted(turns)[-3] < longest  # The first turns may come before their budgets are used up.


async def test_a_live_reader_gets_its_lines_without_waiting_in_vain() -> None:
    """A reader whose filter needs many turns for a batch gets its lines, and then keep-alives."""
    hub = Hub(keepalive=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        with hub.subscribe(Filter.from_query(SLOW)) as reader, trio.fail_after(60):
            hub.publish_nowait(random_lines(200))
            lines = 0
            while lines < 200:
                item = await reader.step()
                lines += item.lines if isinstance(item, Selection) else 0
            assert await reader.step() is None
        nursery.cancel_scope.cancel()


async def test_without_waiting_a_slow_filter_would_block(longest: float) -> None:
    """`receive_nowait` never takes longer than a turn, and goes on at the next call."""
    async with open_hub() as hub:
        with hub.subscribe(Filter.from_query(SLOW)) as reader:
            await hub.publish(random_lines(100))
            blocked = 0
            while True:
                started = time.thread_time()
                try:
                    item = reader.receive_nowait()
                    break
                except trio.WouldBlock:
                    blocked += 1
                assert time.thread_time() - started < longest
                await trio.lowlevel.checkpoint()
            assert blocked > 3
            assert isinstance(item, Selection)
            assert item.lines == 100


# --- accounts --------------------------------------------------------------------------------


async def test_budgets_bind_only_while_the_loop_is_late(autojump_clock: MockClock) -> None:
    """A reader that has used up its budget waits for its refill, but not on an idle machine."""
    idle = make_budgets(late=False).reader()
    spend(idle, 100.0)
    assert await seconds_to_wait(idle) == 0
    busy = make_budgets().reader()
    assert await seconds_to_wait(busy) == 0
    spend(busy, 100.0)
    assert busy.is_used_up
    assert 0.9 < await seconds_to_wait(busy) < 1.2
    assert await seconds_to_wait(busy) == 0


async def test_a_new_request_is_no_new_budget(autojump_clock: MockClock) -> None:
    """The readers of a link share a budget, which also a later reader finds used up."""
    budgets = make_budgets()
    spend(budgets.reader("link"), 100.0)
    later, other = budgets.reader("link"), budgets.reader("other")
    assert later.is_used_up
    assert await seconds_to_wait(later) > 0.1
    assert await seconds_to_wait(other) < 0.1


async def test_the_process_has_a_budget_too(autojump_clock: MockClock) -> None:
    """Many links together use up the budget of the process, so that all their readers wait."""
    budgets = make_budgets()
    readers = [budgets.reader(number) for number in range(100)]
    for reader in readers:
        spend(reader, 0.003)
    assert readers[0].is_used_up
    assert not make_budgets(late=False).reader().is_used_up


async def test_a_reader_is_ended_last(autojump_clock: MockClock) -> None:
    """A reader that always needs more than its budget is ended after ten seconds of waiting."""
    budgets = make_budgets()
    reader = budgets.reader()
    started = trio.current_time()

    async def work() -> None:
        while True:
            await reader.wait()
            spend(reader, 0.05)

    with pytest.raises(ExpressionTooSlow) as caught:
        await work()
    assert caught.value.parameter == "q"
    assert 10 < trio.current_time() - started < 20


async def test_a_reader_that_waits_for_others_is_not_ended(autojump_clock: MockClock) -> None:
    """A reader within its own budget waits for its link's other readers, and is never ended."""
    budgets = make_budgets()
    honest, hostile = budgets.reader("link"), budgets.reader("link")
    for _ in range(100):
        spend(hostile, 1.0)
        spend(honest, 0.001)
        assert await seconds_to_wait(honest) < 5


async def test_readers_in_the_queue_take_different_rounds() -> None:
    """Of readers that have used up their budgets, one has its turn in a round of the loop."""
    budgets = make_budgets(late=False)
    rounds: list[int] = []
    now = 0

    async def count_rounds() -> None:
        nonlocal now
        while True:
            await trio.lowlevel.checkpoint()
            now += 1

    async def read() -> None:
        reader = budgets.reader()
        for _ in range(5):
            await reader.wait()
            rounds.append(now)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_rounds)
        async with trio.open_nursery() as readers:
            for _ in range(20):
                readers.start_soon(read)
        nursery.cancel_scope.cancel()
    assert len(rounds) == 100
    # The scheduler shuffles a round, so that the count may be one round behind.
    assert max(rounds.count(each) for each in rounds) <= 2


async def test_the_work_of_a_scope_counts_for_the_process_alone(autojump_clock: MockClock) -> None:
    """A reader's pace does not depend on the lines that its scope hides."""
    budgets = make_budgets()
    reader = budgets.reader("link")
    spend(reader, 0.09, is_scope=True)
    assert not reader.is_used_up
    await trio.sleep(1)
    spend(reader, 0.09)
    assert reader.is_used_up


async def test_an_ordinary_expression_is_never_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/timeout|refused/` needs less than its budget at 5,000 lines/s, so it never waits."""
    letters = "abcdefghijklmnopqrstuvwxyz "
    entries = random_lines(5_000, 120, letters)
    filter = Filter.from_query([("q", "/timeout|refused/")])
    started = time.thread_time()
    for start in range(0, len(entries), 100):
        filter.select(entries[start : start + 100])
    rate, _ = budget_module.READER
    assert time.thread_time() - started < rate


async def test_the_loops_delay_is_known_at_once(autojump_clock: MockClock) -> None:
    """The event loop is late while its next measurement is overdue, and until one was in time."""
    delay = LoopDelay()
    assert not delay.is_late
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delay.run)
        await trio.sleep(DELAY_INTERVAL * 1.5)
        assert not delay.is_late
        autojump_clock.jump(0.2)
        assert delay.is_late
        await trio.sleep(DELAY_INTERVAL / 10)
        assert delay.is_late
        await trio.sleep(DELAY_INTERVAL * 1.5)
        assert not delay.is_late
        nursery.cancel_scope.cancel()
    assert not delay.is_late
