"""The hub's promise: a reader gets each entry once, in order, and is told of missing entries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.numbered import line, lines, numbers
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import TooManyReaders
from natstream.hub.batch import Batch, Selection
from natstream.hub.hub import Hub, open_hub
from natstream.hub.subscription import CHANNEL_BATCHES, Subscription
from natstream.hub.timeline import Segment

WEB = Filter.from_query([("app", "web")])


async def read(reader: Subscription, count: int) -> list[int]:
    """Return the numbers of the next `count` lines, from as many items as they come in."""
    got: list[int] = []
    with trio.fail_after(60):
        while len(got) < count:
            got += numbers(await reader.receive())
    return got


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run under the virtual clock."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_two_readers_both_get_every_line(autojump_clock: MockClock) -> None:
    """Each reader of a hub gets every line; they do not compete, as clones of a channel do."""
    async with open_hub() as hub:
        with hub.subscribe() as one, hub.subscribe() as two:
            await hub.publish(lines(1, 5_000))
            assert await read(one, 5_000) == await read(two, 5_000) == list(range(1, 5_001))


async def test_iteration_gives_what_is_published_and_ends_when_the_hub_closes(
    autojump_clock: MockClock,
) -> None:
    """`async for` gives the published lines, and ends after them when the hub closes."""
    got: list[int] = []
    async with open_hub() as hub, trio.open_nursery() as nursery:
        with hub.subscribe() as reader:
            hub.publish_nowait(lines(1, 3))
            nursery.start_soon(wait_all_tasks_blocked)
            hub.close()
            async for item in reader:
                got += numbers(item)
    assert got == [1, 2, 3]


async def test_closing_leaves_a_reader_that_is_behind_its_lines(autojump_clock: MockClock) -> None:
    """A reader that is behind gets all lines that a hub has, although the hub was closed."""
    async with open_hub() as hub:
        with hub.subscribe() as live, hub.subscribe(tail=0) as seeking:
            for first in range(1, 20_001, 1_000):
                await hub.publish(lines(first, 1_000))
                await trio.sleep(1)
            hub.publish_nowait(lines(20_001, 1))
            hub.close()
            for reader in (live, seeking):
                got = [number async for item in reader for number in numbers(item)]
                assert got == list(range(1, 20_002))


async def test_a_crash_while_handing_out_delays_no_line(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted hub hands out the batch at which it crashed, without any new line."""
    offer = Subscription.offer
    offered: list[Batch] = []

    def crash_at_the_second(
        subscription: Subscription, segment: Segment, batch: Batch, now: float
    ) -> None:
        offered.append(batch)
        if len(offered) == 2:
            raise RuntimeError("a bug")
        offer(subscription, segment, batch, now)

    hub = Hub()
    with hub.subscribe() as one, hub.subscribe() as two:
        hub.publish_nowait(lines(1, 2_500))
        monkeypatch.setattr(Subscription, "offer", crash_at_the_second)
        with pytest.raises(RuntimeError):
            await hub.run()
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            assert await read(one, 2_500) == await read(two, 2_500) == list(range(1, 2_501))
            hub.close()


async def test_a_line_that_is_published_after_the_end_is_too_late(
    autojump_clock: MockClock,
) -> None:
    """A line that is published after `close` reaches no reader, and does no harm."""
    hub = Hub()
    with hub.subscribe() as reader:
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            hub.publish_nowait([line(1)])
            hub.close()
            hub.publish_nowait([line(2)])
        assert [number async for item in reader for number in numbers(item)] == [1]


async def test_publishing_does_not_wait_for_a_hub_that_has_crashed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`publish` returns although the hub has crashed, so that its source can be closed."""

    def crash(subscription: Subscription, segment: Segment, batch: Batch, now: float) -> None:
        raise RuntimeError("a bug")

    hub = Hub(backlog_lines=100)
    published = trio.Event()

    async def publish() -> None:
        with trio.fail_after(10):
            await hub.publish(lines(1, 1_000))
        published.set()

    with hub.subscribe():
        monkeypatch.setattr(Subscription, "offer", crash)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            with pytest.raises(RuntimeError):
                await hub.run()
            await published.wait()


@pytest.mark.parametrize(
    "entry", [attrs.evolve(line(1), message="x" * 500), attrs.evolve(line(1), raw=bytes(5_000))]
)
async def test_a_burst_larger_than_the_memory_costs_a_fast_reader_nothing(
    entry: LogEntry, autojump_clock: MockClock
) -> None:
    """A fast reader gets all lines of a burst, because slices are smaller than the backlog."""
    count = 0
    async with open_hub(backlog_bytes=65_536) as hub, trio.open_nursery() as nursery:
        with hub.subscribe() as reader:
            nursery.start_soon(hub.publish, [entry] * 1_000)
            with trio.fail_after(60):
                while count < 1_000:
                    item = await reader.receive()
                    assert isinstance(item, Selection)
                    count += item.lines


async def test_tail_counts_matching_lines(autojump_clock: MockClock) -> None:
    """A filtered reader with `tail=2` gets its two newest lines, although they are far back."""
    async with open_hub() as hub:
        await hub.publish([*lines(1, 7), *(line(3 * n + 1) for n in range(5_000))])
        with hub.subscribe(WEB, tail=2) as reader:
            assert await read(reader, 2) == [3, 6]
            hub.publish_nowait([line(9)])
            assert await read(reader, 1) == [9]


async def test_since_gives_lines_that_arrived_from_then_on(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`since` compares the arrival and not the line's own time; with `tail`, both limits hold."""
    now = 1_000_000
    monkeypatch.setattr("natstream.hub.hub.time.time_ns", lambda: now * 10**6)
    async with open_hub() as hub:
        for number in range(1, 10):
            now += 1_000
            hub.publish_nowait([line(number)])
        with hub.subscribe(since=now - 2_000, follow=False) as reader:
            assert [number async for item in reader for number in numbers(item)] == [7, 8, 9]
        with hub.subscribe(since=now - 2_000, tail=2, follow=False) as reader:
            assert [number async for item in reader for number in numbers(item)] == [8, 9]
        with hub.subscribe(since=now - 1_000, tail=5, follow=False) as reader:
            assert [number async for item in reader for number in numbers(item)] == [8, 9]


async def test_without_follow_the_whole_backlog_is_replayed_and_the_iteration_ends(
    autojump_clock: MockClock,
) -> None:
    """A replay without `follow` has the lines of the backlog, and none that are published later."""
    async with open_hub() as hub:
        await hub.publish(lines(1, 1_000))
        with hub.subscribe(follow=False) as reader:
            hub.publish_nowait(lines(1_001, 5))
            got = [number async for item in reader for number in numbers(item)]
    assert got == list(range(1, 1_001))


async def test_a_slow_reader_is_told_exactly_what_it_lost(autojump_clock: MockClock) -> None:
    """A slow reader catches up from the backlog, and misses exactly the evicted lines."""
    async with open_hub(backlog_lines=100) as hub:
        with hub.subscribe() as slow, hub.subscribe() as quick:
            got = []
            for start in range(1, 2_001, 20):
                await hub.publish(lines(start, 20))
                got += await read(quick, 20)
            assert got == list(range(1, 2_001))
            gap = await slow.receive()
            assert isinstance(gap, Gap)
            # Its channel holds a little more than this small backlog.
            assert (gap.missed, gap.at_most) == (1_840, False)
            assert await read(slow, 160) == list(range(1_841, 2_001))
            statistics = hub.statistics()
            assert (statistics.gaps, statistics.missed) == (1, 1_840)


async def test_a_filtered_readers_gap_is_an_upper_bound_and_says_so(
    autojump_clock: MockClock,
) -> None:
    """A filtered reader's gap counts evicted lines that its filter might have rejected."""
    async with open_hub(backlog_lines=10) as hub:
        with hub.subscribe(WEB) as reader:
            for start in range(1, 201):
                hub.publish_nowait([line(start)])
                await wait_all_tasks_blocked()
                await trio.sleep(1)
            gap = await reader.receive()
            assert isinstance(gap, Gap)
            assert gap.at_most


async def test_a_reader_that_stays_behind_is_moved_to_the_newest_line(
    autojump_clock: MockClock,
) -> None:
    """A reader that is behind for `max_lag` seconds loses lines that the backlog still has."""
    async with open_hub(max_lag=30) as hub:
        with hub.subscribe() as slow:
            hub.publish_nowait(lines(1, 10))
            await trio.sleep(20)
            assert await read(slow, 10) == list(range(1, 11))
            for number in range(11, 51):
                hub.publish_nowait([line(number)])
                await trio.sleep(1)
            gap = await slow.receive()
            assert isinstance(gap, Gap)
            assert gap.missed == 40
            hub.publish_nowait([line(51)])
            assert await read(slow, 1) == [51]


async def test_idling_at_the_newest_line_is_not_lagging(autojump_clock: MockClock) -> None:
    """A reader without any line for an hour gets the next line without a gap."""
    async with open_hub(max_lag=30) as hub:
        with hub.subscribe() as reader:
            hub.publish_nowait([line(1)])
            assert await read(reader, 1) == [1]
            await trio.sleep(3_600)
            hub.publish_nowait([line(2)])
            assert await read(reader, 1) == [2]


async def test_joining_between_publishing_and_handing_out_is_not_lagging(
    autojump_clock: MockClock,
) -> None:
    """A reader does not lag because of a line that was published before it joined."""
    async with open_hub(max_lag=30) as hub:
        hub.publish_nowait([line(1)])
        with hub.subscribe() as reader:
            with trio.move_on_after(60):
                pytest.fail(f"not for this reader: {await reader.receive()}")
            hub.publish_nowait([line(2)])
            assert await read(reader, 1) == [2]


async def test_a_notice_makes_no_reader_late(autojump_clock: MockClock) -> None:
    """A busy reader does not lag because of a notice that it has not read."""
    async with open_hub(max_lag=30) as hub:
        with hub.subscribe() as reader:
            hub.announce("quiet")
            await trio.sleep(60)
            hub.publish_nowait([line(1)])
            await trio.sleep(1)
            assert await read(reader, 1) == [1]


async def test_once_moved_to_the_newest_line_a_reader_has_its_time_again(
    autojump_clock: MockClock,
) -> None:
    """A reader that lost lines starts with no lag, and gets the notice among them, and no gap."""
    async with open_hub(max_lag=30) as hub:
        with hub.subscribe() as slow:
            for number in range(1, 41):
                hub.publish_nowait([line(number)])
                if number == 20:
                    hub.announce("in between")
                await trio.sleep(1)
            gap = await slow.receive()
            assert isinstance(gap, Gap)
            assert gap.missed == 40
            hub.publish_nowait([line(41)])
            await trio.sleep(1)
            item = await slow.receive()
            assert isinstance(item, Selection)
            assert [notice.message for notice in item.notices] == ["in between"]
            assert await read(slow, 1) == [41]


async def test_a_replay_may_take_longer_than_the_lag(autojump_clock: MockClock) -> None:
    """A reader's lag is counted from the end of its replay."""
    async with open_hub(max_lag=5) as hub:
        await hub.publish(lines(1, 3_000))
        with hub.subscribe(tail=3_000) as reader:
            got: list[int] = []
            while len(got) < 3_001:
                got += numbers(await reader.receive())
                await trio.sleep(3)
                if len(got) == 1_000:
                    hub.publish_nowait([line(3_001)])
            assert got == list(range(1, 3_002))


async def test_notices_come_in_order_even_to_a_slow_reader(
    autojump_clock: MockClock,
) -> None:
    """A slow reader gets each notice between the entries between which it was announced."""
    async with open_hub() as hub:
        with hub.subscribe(WEB) as reader:
            for number in range(1, 31):
                hub.announce(f"before {number}")
                hub.publish_nowait([line(number)])
                await trio.sleep(1)
            got: list[str] = []
            while len(got) < 40:
                item = await reader.receive()
                assert isinstance(item, Selection)
                got += messages(item)
    expected = []
    for number in range(1, 31):
        expected.append(f"before {number}")
        expected += [str(number)] * (number % 3 == 0)
    assert got == expected


@pytest.mark.parametrize("tail", [0, 5])
async def test_a_notice_right_after_joining_is_heard(tail: int, autojump_clock: MockClock) -> None:
    """A reader gets a notice that was announced between its joining and its first read."""
    async with open_hub() as hub:
        hub.announce("long ago")
        with hub.subscribe(tail=tail) as reader:
            hub.announce("now")
            with trio.fail_after(10):
                item = await reader.receive()
            assert isinstance(item, Selection)
            assert [notice.message for notice in item.notices] == ["now"]


def messages(item: Selection) -> list[str]:
    """Return the messages of a selection's entries and notices, in the order of their frames."""
    return [piece.decode() for piece in item._frames(_Plain())]


class _Plain:
    content_type = "text/plain"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return entry.message.encode()

    def notice(self, notice: Notice, resume_id: str = "") -> bytes:
        return notice.message.encode()

    def keep_alive(self, resume_id: str = "") -> bytes:
        return b""

    def opening(self, notice: Notice, retry_ms: int, resume_id: str = "") -> bytes:
        return b""


async def test_resuming_gives_the_lines_since(autojump_clock: MockClock) -> None:
    """A reader that resumes gets the lines after the entry that its id names."""
    async with open_hub() as hub:
        with hub.subscribe() as reader:
            hub.publish_nowait(lines(1, 5))
            await read(reader, 5)
            resume_id = reader.resume_id
        hub.publish_nowait(lines(6, 5))
        with hub.subscribe(last_event_id=resume_id) as reader:
            assert await read(reader, 5) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("last_event_id", "expected"),
    [
        ("not an id", [1, 2, 3]),
        ("", [1, 2, 3]),
        ("١-abc-١", [1, 2, 3]),
        ("{now}-{epoch}-4", [1, 2, 3]),
        ("{now}-{epoch}-999999999", [1, 2, 3]),
        ("{now}-00ff00ff-1", [1, 2, 3]),
        ("{long_ago}-00ff00ff-1", [1, 2, 3]),
        ("999999999999999-00ff00ff-1", [1, 2, 3]),
    ],
)
async def test_an_id_that_is_not_ours_is_a_gap_of_unknown_size(
    last_event_id: str, expected: list[int], autojump_clock: MockClock
) -> None:
    """A reader with an unknown id is told of a gap, and gets lines by time or the whole backlog."""
    async with open_hub() as hub:
        hub.publish_nowait(lines(1, 3))
        text = last_event_id.format(
            now=hub.backlog.newest_ms, epoch=hub.epoch, long_ago=hub.backlog.newest_ms - 10**9
        )
        with hub.subscribe(last_event_id=text) as reader:
            gap = await reader.receive()
            assert isinstance(gap, Gap)
            assert gap.missed is None
            assert gap.doubles
            assert await read(reader, 3) == expected


async def test_another_processes_id_resumes_two_seconds_earlier(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with another process's id starts 2 s earlier, because the clocks may differ."""
    now = 1_000_000
    monkeypatch.setattr("natstream.hub.hub.time.time_ns", lambda: now * 10**6)
    async with open_hub() as hub:
        for number in range(1, 10):
            now += 1_000
            hub.publish_nowait([line(number)])
        with hub.subscribe(last_event_id=f"{now - 1_000}-00ff00ff-77") as reader:
            assert isinstance(await reader.receive(), Gap)
            assert await read(reader, 4) == [6, 7, 8, 9]


async def test_one_reader_too_many_is_refused(autojump_clock: MockClock) -> None:
    """A reader beyond `max_readers` is refused, and admitted once another has left."""
    async with open_hub(max_readers=1) as hub:
        with hub.subscribe(), pytest.raises(TooManyReaders, match="1 readers"), hub.subscribe():
            pass
        with hub.subscribe():
            assert hub.statistics().readers == 1
        assert hub.statistics().readers == 0


async def test_a_cancelled_wait_loses_nothing(autojump_clock: MockClock) -> None:
    """A reader that is cancelled at each wait gets every line once."""
    async with open_hub(backlog_lines=10_000) as hub, trio.open_nursery() as nursery:
        nursery.start_soon(hub.publish, lines(1, 3_000))
        got: list[int] = []
        with hub.subscribe(tail=0) as reader:
            while len(got) < 3_000:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    got += numbers(await reader.receive())
                with trio.move_on_after(0.01):
                    got += numbers(await reader.receive())
        assert got == list(range(1, 3_001))


async def test_readers_that_never_read_hold_the_same_few_batches(
    autojump_clock: MockClock,
) -> None:
    """Fifty readers that never read keep the same few newest batches in memory."""
    async with open_hub(backlog_lines=100) as hub:
        with ExitStack() as stack:
            readers = [stack.enter_context(hub.subscribe()) for _ in range(50)]
            for start in range(1, 2_001, 10):
                await hub.publish(lines(start, 10))
            pinned = {id(batch) for reader in readers for batch in waiting(reader)}
            assert len(pinned) <= CHANNEL_BATCHES


def waiting(reader: Subscription) -> list[Batch]:
    """Return the batches that wait on a reader's channel."""
    return [batch for _, batch in filter(None, reader._hub_receive._state.data)]


async def test_a_replay_without_following_is_not_cut_short_by_the_lag(
    autojump_clock: MockClock,
) -> None:
    """A reader that does not follow gets each line that it joined behind, however slow it is."""
    hub = Hub(max_lag=5.0)
    hub.publish_nowait(lines(1, 200))
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        await trio.sleep(1)
        hub.publish_nowait(lines(201, 200))  # The reader joins before these are handed out.
        with hub.subscribe(follow=False) as reader:
            got = await read(reader, 200)
            await trio.sleep(1)
            hub.publish_nowait(lines(401, 200))
            await trio.sleep(10)
            async for item in reader:
                got += numbers(item)
        assert got == list(range(1, 401))
        nursery.cancel_scope.cancel()


# --- any interleaving ------------------------------------------------------------------------


@attrs.define
class Client:
    """A client that reads, is cut off and comes back, with a record of the items that it got.

    With a nursery, a task reads all the time, and the hub delivers to it what comes meanwhile.
    """

    filter: Filter
    start: int
    nursery: trio.Nursery | None
    reader: Subscription | None = None
    stack: ExitStack = attrs.field(factory=ExitStack)
    resume_id: str | None = None
    got: list[int | Gap] = attrs.field(factory=list)
    noticed: list[int] = attrs.field(factory=list)
    cuts: int = 0
    following: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    followed: trio.Event = attrs.field(factory=trio.Event)
    calls: int = 0

    def connect(self, hub: Hub, **wishes: Any) -> None:
        """Subscribe again."""
        self.stack = ExitStack()
        self.reader = self.stack.enter_context(hub.subscribe(self.filter, **wishes))
        if self.nursery is not None:
            self.following, self.followed = trio.CancelScope(), trio.Event()
            self.nursery.start_soon(self.follow, self.reader)

    async def follow(self, reader: Subscription) -> None:
        """Record everything until the cut."""
        with self.following:
            while True:
                if (item := await reader.step(self.deliver)) is not None:
                    self.record(item)
        self.followed.set()

    def deliver(self, selection: Selection) -> bool:
        """Refuse some selections, and let the reader wake after others."""
        self.calls += 1
        if self.calls % 3 == 2:
            return False
        self.record(selection)
        if self.calls % 4 == 3:
            assert self.reader is not None
            self.reader.wake()
        return True

    async def cut(self) -> None:
        """Lose the connection, and remember the id to resume from."""
        if self.reader is not None:
            if self.nursery is not None:
                self.following.cancel()
                await self.followed.wait()
            self.resume_id = self.reader.resume_id
            self.stack.close()
            self.reader = None
            self.cuts += 1

    def record(self, item: Selection | Gap) -> None:
        """Record an item."""
        if isinstance(item, Gap):
            self.got.append(item)
        else:
            self.got += numbers(item)
            self.noticed += [int(notice.message) for notice in item.notices]

    async def read(self, items: int) -> None:
        """Record so many items, or fewer if no more come."""
        if self.nursery is not None:
            await trio.sleep(0.6)
            return
        for _ in range(items):
            assert self.reader is not None
            with trio.move_on_after(0.6) as patience:
                self.record(await self.reader.receive())
            if patience.cancelled_caught:
                return

    def check(self, last: int) -> None:
        """Check that each line came once and in order, and that gaps tell of all others."""
        expected = self.start
        announced = 0
        for item in [*self.got, last + 1]:
            if isinstance(item, Gap):
                assert item.missed is not None
                assert item.missed > 0
                assert item.at_most is (self.filter is not EVERYTHING)
                announced += item.missed
                continue
            assert item >= expected, "a duplicate, or out of order"
            missing = [n for n in range(expected, item) if self.filter.matches(line(n))]
            if self.filter is EVERYTHING:
                assert len(missing) == announced
            else:
                assert len(missing) <= announced
            expected, announced = item + 1, 0


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish_nowait"), st.integers(1, 30)),
        st.tuples(st.just("publish"), st.integers(1, 150)),
        st.tuples(st.just("announce"), st.just(0)),
        st.tuples(st.just("sleep"), st.integers(0, 3)),
        st.tuples(st.just("settle"), st.just(0)),
        st.tuples(st.just("join"), st.integers(0, 3)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("cut"), st.integers(0, 5)),
        st.tuples(st.just("resume"), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(max_examples=3 * settings().max_examples)
@given(
    operations=OPERATIONS,
    backlog_lines=st.sampled_from([1, 7, 40, 400]),
    max_lag=st.sampled_from([0.1, 0.25, 30.0]),
)
def test_any_interleaving_gives_each_reader_an_orderly_stream(
    operations: list[tuple[str, int]], backlog_lines: int, max_lag: float
) -> None:
    """Each reader gets its lines once and in order, and exact gaps, in any interleaving."""

    async def main() -> None:
        published = announced = 0
        clients: list[Client] = []
        async with (
            open_hub(backlog_lines=backlog_lines, max_lag=max_lag) as hub,
            trio.open_nursery() as nursery,
        ):
            for operation, amount in operations:
                client = clients[amount % len(clients)] if clients else None
                match operation:
                    case "publish_nowait":
                        hub.publish_nowait(lines(published + 1, amount))
                        published += amount
                    case "publish":
                        await hub.publish(lines(published + 1, amount))
                        published += amount
                    case "announce":
                        announced += 1
                        hub.announce(str(announced))
                    case "sleep":
                        await trio.sleep(amount / 10)
                    case "settle":
                        await wait_all_tasks_blocked()
                    case "join":
                        client = Client(
                            WEB if amount % 2 else EVERYTHING,
                            published + 1,
                            nursery if amount > 1 else None,
                        )
                        client.connect(hub)
                        clients.append(client)
                    case "read" if client and client.reader:
                        await client.read(amount)
                    case "cut" if client:
                        await client.cut()
                    case "resume" if client and client.resume_id and not client.reader:
                        client.connect(hub, last_event_id=client.resume_id)
            for client in clients:
                if client.reader is None:
                    client.connect(hub, last_event_id=client.resume_id)
                await client.read(10_000)
                client.check(published)
                once = sorted(set(client.noticed))
                assert client.cuts or client.noticed == once, "a duplicate notice, or out of order"
                assert once == list(range(announced - len(once) + 1, announced + 1))
                await client.cut()
            assert hub.statistics().readers == 0
            assert hub.backlog.lines <= backlog_lines

    run(main)


async def test_however_many_publish_at_once_a_fast_reader_loses_nothing() -> None:
    """A fast reader gets all lines of twenty publishers, because they wait for the flush."""
    async with open_hub(backlog_lines=1_000) as hub, trio.open_nursery() as nursery:
        with hub.subscribe() as reader:
            for _ in range(20):
                nursery.start_soon(hub.publish, lines(1, 500))
            with trio.fail_after(20):
                assert len(await read(reader, 10_000)) == 10_000
