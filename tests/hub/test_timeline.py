"""A reader gets each line once and in order, through the journal, its archive, and outages.

In these tests the journal's stream is a plain list, and the hub remembers very little of it.
Fallback segments, on which a process shows its own lines while the journal is away, come and go.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.numbered import line
from trio.testing import MockClock

from natstream.entries.entry import Gap, LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import JournalClosed, SourceUnavailable
from natstream.formats.events import EventId
from natstream.hub.backlog import Backlog
from natstream.hub.batch import Selection, StoredBatch
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Outage, Segment, fallback_epoch, journal_position

WEB = Filter.from_query([("app", "web")])
# The most stored lines that are read in one go.
CHUNK = 3
# Seconds on the virtual clock that the journal needs for an answer.
ROUND_TRIP = 0.01

START_NS = 1_700_000_000 * 10**9


@attrs.define(eq=False)
class Stream:
    """The journal's stream: a list, of which the oldest lines may have expired."""

    epoch: str = "jabc"
    ids: list[int] = attrs.field(factory=list)
    """The ids of the lines, from the line with the number 1 on."""
    times: list[int] = attrs.field(factory=list)
    """Unix ms at which each line was stored."""
    first: int = 1
    """The number of the oldest line that has not expired."""
    is_away: bool = False
    failures: int = 0
    """How often the stream was asked while it was away."""
    opened: int = 0
    readers: set[StoredReader] = attrs.field(factory=set)
    """The readers that are not closed."""
    nursery: trio.Nursery | None = None
    """Where questions are asked; `None` while the process does not answer its readers."""
    closed: trio.Event = attrs.field(factory=trio.Event)

    @property
    def next(self) -> int:
        return len(self.ids) + 1

    def store(self, ids: Sequence[int]) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.ids += ids
        self.times += [now_ms] * len(ids)

    def expire(self, count: int) -> None:
        self.first = min(self.first + count, self.next)

    async def answer(self) -> None:
        """Wait as long as the journal needs for an answer, and raise if it is away."""
        await trio.sleep(ROUND_TRIP)
        if self.is_away:
            self.failures += 1
            raise SourceUnavailable("The journal is away")

    async def answer_questions(self) -> None:
        """Answer the readers' questions, and begin anew whenever `stop_answering` was called."""
        while True:
            async with trio.open_nursery() as self.nursery:
                await self.closed.wait()
                self.nursery.cancel_scope.cancel()
                self.nursery = None
            self.closed = trio.Event()
            await trio.sleep(ROUND_TRIP)

    def stop_answering(self) -> None:
        """Cut the questions that readers have asked."""
        self.closed.set()

    # --- as an archive ---

    def start_soon(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> None:
        if self.nursery is None:
            raise JournalClosed("It is closed")
        self.nursery.start_soon(function, *args)

    def open(self, start: int, filter: Filter) -> StoredReader:
        self.opened += 1
        reader = StoredReader(self, start, filter)
        self.readers.add(reader)
        return reader

    async def end(self) -> int:
        await self.answer()
        return self.next

    async def number_at(self, unix_ms: int) -> int:
        await self.answer()
        return self.first_at(unix_ms)

    def first_at(self, unix_ms: int) -> int:
        numbers = range(self.first, self.next)
        return next((n for n in numbers if self.times[n - 1] >= unix_ms), self.next)

    async def find(self, number: int) -> LogEntry | None:
        raise NotImplementedError


@attrs.define(eq=False)
class StoredReader:
    """Reads the stream in chunks, and leaves out the lines that the filter rejects."""

    stream: Stream
    position: int
    filter: Filter

    async def read(self, until: int) -> StoredBatch:
        assert self in self.stream.readers, "it is closed"
        await self.stream.answer()
        stream = self.stream
        start = min(max(self.position, stream.first), until)
        self.position = end = min(start + CHUNK, stream.next, until)
        numbers = [n for n in range(start, end) if self.filter.matches(line(stream.ids[n - 1]))]
        return StoredBatch(
            epoch=stream.epoch,
            first=start,
            entries=[line(stream.ids[n - 1]) for n in numbers],
            arrivals=[stream.times[n - 1] for n in numbers],
            first_notice=0,
            persistent=True,
            numbers=numbers,
            until=end,
        )

    def close(self) -> None:
        self.stream.readers.remove(self)  # It raises if it was closed before.


@attrs.define(eq=False)
class Process:
    """Does the same with a hub as `journal.Journal`, in a few lines and without a server."""

    hub: Hub
    stream: Stream
    max_lines: int
    segments: list[Segment] = attrs.field(factory=list)
    shown: dict[str, list[int]] = attrs.field(factory=dict)
    """The ids of the lines that each fallback segment has shown, by epoch."""
    waiting: list[int] = attrs.field(factory=list)
    """The ids of its own lines that are not stored."""
    known: dict[int, Outage] = attrs.field(factory=dict)
    """The outage in which each line was shown that is not yet recognised in the stream."""
    lines: int = 0
    notices: int = 0
    backlog: Backlog = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.segments.append(self.hub.segment)
        self.shown[self.hub.epoch] = []
        self.backlog = Backlog(
            self.stream.epoch, max_lines=self.max_lines, max_bytes=2**30, persistent=True
        )

    @property
    def is_away(self) -> bool:
        return not self.hub.backlog.persistent

    def make(self, count: int) -> list[int]:
        """Return the ids of new lines."""
        self.lines += count
        return list(range(self.lines - count + 1, self.lines + 1))

    async def publish(self, ids: list[int]) -> None:
        """Accept lines of its own, which are stored, or shown in an outage."""
        if not self.is_away:
            self.stream.store(ids)
            return
        self.waiting += ids
        await self.show(ids)

    async def show(self, ids: list[int]) -> None:
        """Show lines on the fallback segment."""
        outage = self.hub.segment.outage
        if outage is None:  # The process does not know yet whether there is a journal.
            return
        self.shown[self.hub.epoch] += ids
        self.known.update(dict.fromkeys(ids, outage))
        await self.hub.publish([line(id) for id in ids])

    async def follow(self, count: int) -> None:
        """Read at most `count` stored lines."""
        while count > 0 and self.backlog.end.entry < self.stream.next:
            first = max(self.backlog.end.entry, self.stream.first)
            if first > self.backlog.end.entry:
                self.backlog.jump(first)  # The lines between have expired.
            last = min(first + count, self.stream.next)
            count -= last - first
            ids = self.stream.ids[first - 1 : last - 1]
            times = self.stream.times[first - 1 : last - 1]
            for number, id in enumerate(ids, first):
                if id in self.known:
                    self.known.pop(id).numbers.add(number)
            entries = [line(id) for id in ids]
            if self.is_away:
                self.backlog.append(entries, [entry.cost for entry in entries], times)
            else:
                await self.hub.publish(entries, arrivals=times)

    def go_away(self) -> None:
        """Fall back on this process's own lines."""
        last = self.hub.segment
        if last.outage is not None:
            return
        journal = last if last.backlog.persistent else None
        backlog = Backlog(fallback_epoch(journal), max_lines=self.max_lines, max_bytes=2**30)
        self.hub.fall_back(backlog, Outage(time.time_ns() // 1_000_000))
        self.segments.append(self.hub.segment)
        self.shown[self.hub.epoch] = []
        self.announce()

    async def come_back(self) -> None:
        """Read the stored lines, hand over the readers, and store the lines that wait."""
        if not self.is_away:
            return
        await self.follow(10**9)
        self.hub.rejoin(self.backlog, self.stream)
        self.segments.append(self.hub.segment)
        for outage in set(self.known.values()):
            outage.is_over = False
        self.stream.store([id for id in self.waiting if id not in self.stream.ids])
        self.waiting = []
        self.announce()

    def overflow(self) -> None:
        """Forget the lines that were shown, so that they cannot be recognised in the stream."""
        if (outage := self.hub.segment.outage) is not None and self.known:
            outage.overflowed = True
            self.known.clear()

    def announce(self) -> None:
        self.notices += 1
        self.hub.announce(str(self.notices))

    def id(self, segment: Segment, number: int) -> int:
        """Return the id of the line that has this number on a segment."""
        ids = self.stream.ids if segment.epoch == self.stream.epoch else self.shown[segment.epoch]
        return ids[number - 1]


# --- any interleaving ------------------------------------------------------------------------


@attrs.define(eq=False)
class Client:
    """A client that reads, is cut off and comes back, and checks each item that it gets.

    After each item, the reader's resume id says how far the reader has come. Every line before was
    delivered, on this segment or on a fallback segment before it, or a gap has counted it exactly.
    """

    process: Process
    filter: Filter
    reader: Subscription | None = None
    stack: ExitStack = attrs.field(factory=ExitStack)
    resume_id: str | None = None
    segment: Segment | None = None
    """The segment on which it has to go on; `None` if it starts by time."""
    next: int = 1
    """The number at which it has to go on."""
    left: dict[str, int] = attrs.field(factory=dict)
    claim: EventId | None = None
    joined: int = 0
    """The index of the first segment on which it may have begun."""
    joined_at: tuple[Segment, int] = attrs.field(init=False)
    """The segment that it has joined, and the number of its oldest line then."""
    behind_gap: tuple[Segment, int] | None = None
    """The segment and the number at which it goes on after a gap of unknown size."""
    passed: list[Segment] = attrs.field(factory=list)
    """The fallback segments that it has left."""
    lenient: bool = False
    """Whether it may begin elsewhere, because its start may expire before it is found."""
    failures: int = 0
    got: set[int] = attrs.field(factory=set)
    noticed: list[int] = attrs.field(factory=list)
    is_busy: bool = False
    ended: bool = False

    @property
    def stream(self) -> Stream:
        return self.process.stream

    # --- coming and going ---

    def connect(self, **wishes: Any) -> None:
        """Subscribe, and note where the reader has to begin."""
        hub = self.process.hub
        self.stack = ExitStack()
        self.reader = self.stack.enter_context(hub.subscribe(self.filter, **wishes))
        self.left, self.passed, self.noticed = {}, [], []
        self.joined = self.process.segments.index(hub.segment.before or hub.segment)
        self.joined_at = (hub.segment, hub.backlog.first)
        self.claim, self.lenient, self.ended = None, False, False
        self.failures = self.stream.failures
        if "last_event_id" in wishes:
            # A new reader does not know which lines were shown while the journal was away.
            self.got -= {id for ids in self.process.shown.values() for id in ids}
            self._expect_after(EventId.parse(wishes["last_event_id"]))
            return
        self.got = set()
        self.segment, self.next = hub.segment, hub.backlog.end.entry
        if wishes.get("tail") is not None:
            self._expect_tail(wishes["tail"], wishes.get("since"))
        elif wishes.get("since") is not None or not wishes.get("follow", True):
            self._expect_since(wishes.get("since") or 0)

    def _expect_after(self, event_id: EventId | None) -> None:
        self.segment = self.behind_gap = None
        self.claim = event_id
        segment = self.process.hub.segment
        segments = {each.epoch: each for each in (segment, segment.before) if each is not None}
        if event_id is not None and event_id.epoch in segments:
            self.segment, self.next = segments[event_id.epoch], event_id.number + 1
            self.claim = None
        elif event_id is not None and (last := journal_position(event_id)) is not None:
            # After a gap it may get lines again that it was shown, and then no line is missing.
            self.claim = last
            if last.epoch in segments and last.number < segments[last.epoch].backlog.end.entry:
                self.behind_gap, self.claim = (segments[last.epoch], last.number + 1), None

    def _expect_since(self, unix_ms: int) -> None:
        segment = self.process.hub.segment
        if (
            segment.before is not None
            and segment.outage is not None
            and unix_ms < segment.outage.since
        ):
            segment = segment.before
        self.segment, self.lenient = segment, True
        oldest_ms = segment.backlog.oldest_ms
        if segment.archive is None or (oldest_ms is not None and oldest_ms < unix_ms):
            self.next = segment.backlog.number_at(unix_ms)
        else:
            self.next = self.stream.first_at(unix_ms)

    def _expect_tail(self, wanted: int, since: int | None) -> None:
        segment: Segment | None = self.process.hub.segment
        end = self.next
        self.lenient = True
        while wanted and segment is not None:
            first = (
                min(self.stream.first, segment.backlog.first)
                if segment.archive
                else segment.backlog.first
            )
            self.segment, self.next = segment, end
            for number in range(end - 1, first - 1, -1):
                is_late = since is not None and self._arrival(segment, number) < since
                if not wanted or is_late:
                    break
                self.next = number
                wanted -= self.filter.matches(line(self.process.id(segment, number)))
            segment = segment.before
            end = 0 if segment is None else segment.flushed.entry

    def _arrival(self, segment: Segment, number: int) -> int:
        return self.stream.times[number - 1] if segment.archive else segment.backlog.arrival(number)

    def cut(self) -> None:
        """Lose the connection, and remember the id to resume from."""
        if self.reader is not None and not self.is_busy:
            self.resume_id = self.reader.resume_id
            self.stack.close()
            self.reader = None

    # --- reading ---

    async def read(self, items: int, patience: float = 0.6) -> None:
        """Check so many items, or fewer if no more come."""
        if self.reader is None or self.is_busy or self.ended:
            return
        self.is_busy = True
        try:
            for _ in range(items):
                with trio.move_on_after(patience) as scope:
                    if (item := await self.reader.step(self.deliver)) is not None:
                        self.check(item)
                if scope.cancelled_caught:
                    return
        except trio.EndOfChannel:
            self.ended = True
        except JournalClosed:
            self.is_busy = False
            self.cut()
        finally:
            self.is_busy = False

    def read_at_once(self, items: int) -> None:
        """Check so many items, or fewer, without waiting."""
        if self.reader is None or self.is_busy or self.ended:
            return
        try:
            for _ in range(items):
                self.check(self.reader.receive_nowait())
        except trio.WouldBlock:
            pass
        except trio.EndOfChannel:
            self.ended = True
        except JournalClosed:
            self.cut()

    def deliver(self, selection: Selection) -> bool:
        """Check a selection that the hub delivers while the reader waits, or refuse it."""
        if selection.batch.first % 3 == 0:
            return False
        self.check(selection, reached=selection.batch.end.entry)
        return True

    def check(self, item: Selection | Gap, reached: int = 0) -> None:
        """Check that an item is the one that has to come next.

        Args:
            reached: the number of the next entry, if the reader has not moved to it yet.
        """
        assert self.reader is not None
        if isinstance(item, Gap) and item.missed is None:
            # The reader goes on by time, so from here on it may get lines again.
            assert item.doubles or self.stream.failures > self.failures
            self.got = set()
            self.segment, self.next = self.behind_gap or (None, 1)
            self.behind_gap = None
            return
        event_id = EventId.parse(self.reader.resume_id)
        assert event_id is not None
        reached = reached or event_id.number + 1
        if self.segment is None or self._has_lost_its_start():
            self._begin_at(self.reader.cursor.segment, item, reached)
            return
        self.lenient = False
        assert event_id.epoch == self.reader.cursor.segment.epoch
        self._walk(self.reader.cursor.segment)
        passed = range(self.next, reached)
        self.next = max(self.next, reached)
        if isinstance(item, Gap):
            self._check_gap(item, passed)
        else:
            self._check_lines(item, passed)

    def _begin_at(self, segment: Segment, item: Selection | Gap, reached: int) -> None:
        """Believe the reader where it begins, because only its search knows that."""
        assert self.reader is not None
        self.segment, self.next, self.lenient = segment, reached, False
        index = self.process.segments.index(segment)
        self.passed = [each for each in self.process.segments[self.joined : index] if each.outage]
        self.left = {epoch: position.entry for epoch, position in self.reader.cursor.left.items()}
        if isinstance(item, Selection):
            self._remember(item)

    def _walk(self, goal: Segment) -> None:
        """Go on to the reader's segment; the segments before must have been read."""
        while self.segment is not goal:
            segment = self.segment
            assert segment is not None
            assert segment.next is not None, (
                "the reader is on a segment that it cannot have reached"
            )
            left = self._wanted(range(self.next, segment.flushed.entry))
            assert not left, "lines of the last segment are missing"
            self.left[segment.epoch] = self.next
            if segment.outage is not None:
                self.passed.append(segment)
            start = segment.next_start
            if self.claim is not None and self.claim.epoch == segment.next.epoch:
                start = self.claim.number + 1
            self.segment = segment.next
            self.next = self.left.get(self.segment.epoch, start)

    def _wanted(self, numbers: Sequence[int]) -> list[int]:
        """Return the numbers of this segment that the reader has to get, or to be told of."""
        segment = self.segment
        assert segment is not None
        known: set[int] = set()
        if segment.backlog.persistent:
            known = {n for own in self.passed if own.outage for n in own.outage.numbers}
        return [
            n
            for n in numbers
            if n not in known and self.filter.matches(line(self.process.id(segment, n)))
        ]

    def _has_lost_its_start(self) -> bool:
        """Return whether the line to begin at has expired, or could not be searched for."""
        assert self.segment is not None
        first = self.stream.first if self.segment.backlog.persistent else self.segment.backlog.first
        segment, remembered = self.joined_at
        has_evicted = not segment.backlog.persistent and segment.backlog.first > remembered
        has_failed = self.stream.failures > self.failures
        return self.lenient and (has_failed or has_evicted or self.next < first)

    def _check_lines(self, item: Selection, passed: Sequence[int]) -> None:
        assert self.segment is not None
        assert item.batch.epoch == self.segment.epoch
        wanted = [self.process.id(self.segment, n) for n in self._wanted(passed)]
        assert wanted == self._remember(item), "lines are missing, or there are too many"

    def _remember(self, item: Selection) -> list[int]:
        got = [int(entry.message) for entry in item.entries]
        assert not self.got & set(got), "a duplicate line"
        self.got |= set(got)
        said = [int(notice.message) for notice in item.notices]
        assert not set(said) & set(self.noticed), "a duplicate notice"
        assert said == sorted(said)
        self.noticed += said
        return got

    def _check_gap(self, gap: Gap, passed: Sequence[int]) -> None:
        assert gap.missed
        assert gap.missed <= len(passed)
        before, lost = passed[: -gap.missed], passed[-gap.missed :]
        assert not self._wanted(before), "lines are missing that the gap does not count"
        if not gap.at_most:
            assert self.filter is EVERYTHING
            assert self._wanted(lost) == list(lost), (
                "the gap counts lines that the reader was shown"
            )
        else:
            assert self.filter is not EVERYTHING or self.passed


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("own lines"), st.integers(1, 12)),
        st.tuples(st.just("others' lines"), st.integers(1, 12)),
        st.tuples(st.just("follow"), st.sampled_from([1, 5, 1_000, 1_000])),
        st.tuples(st.just("expire"), st.integers(1, 30)),
        st.tuples(st.just("announce"), st.just(0)),
        st.tuples(st.just("go away"), st.just(0)),
        st.tuples(st.just("come back"), st.just(0)),
        st.tuples(st.just("another has stored it"), st.integers(1, 5)),
        st.tuples(st.just("overflow"), st.just(0)),
        st.tuples(st.just("archive away"), st.booleans().map(int)),
        st.tuples(st.just("archive closed"), st.just(0)),
        st.tuples(st.just("sleep"), st.integers(0, 3)),
        st.tuples(st.just("join"), st.integers(0, 3)),
        st.tuples(st.just("join at tail"), st.integers(0, 30)),
        st.tuples(st.just("join at time"), st.integers(0, 30)),
        st.tuples(st.just("replay"), st.integers(0, 5)),
        st.tuples(st.just("read"), st.integers(0, 8)),
        st.tuples(st.just("read at once"), st.integers(0, 8)),
        st.tuples(st.just("read meanwhile"), st.integers(0, 8)),
        st.tuples(st.just("begin to read"), st.integers(0, 8)),
        st.tuples(st.just("cut"), st.integers(0, 5)),
        st.tuples(st.just("resume"), st.integers(0, 5)),
        st.tuples(st.just("resume ahead"), st.integers(0, 5)),
        st.tuples(st.just("resume as a stranger"), st.integers(0, 5)),
    ),
    min_size=20,
    max_size=60,
)


@contextmanager
def virtual_time() -> Iterator[None]:
    """Let the wall clock go with trio's clock."""

    def time_ns() -> int:
        return START_NS + int(trio.current_time() * 10**9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("natstream.hub.hub.time.time_ns", time_ns)
        yield


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run under the virtual clock."""
    with virtual_time():
        trio.run(main, clock=MockClock(autojump_threshold=0))


@settings(max_examples=5 * settings().max_examples)
@given(
    operations=OPERATIONS,
    max_lines=st.sampled_from([1, 7, 40, 400]),
    max_lag=st.sampled_from([0.1, 0.25, 30.0]),
    starts_away=st.booleans(),
)
def test_any_interleaving_gives_each_reader_an_orderly_stream(
    operations: list[tuple[str, int]], max_lines: int, max_lag: float, starts_away: bool
) -> None:
    """Each reader gets its lines once and in order, and exact gaps, in any interleaving."""
    run(lambda: interleave(operations, max_lines, max_lag, starts_away))


async def interleave(
    operations: list[tuple[str, int]], max_lines: int, max_lag: float, starts_away: bool
) -> None:
    """Do these operations, and check that all readers have read everything in the end."""
    hub = Hub(backlog_lines=max_lines, max_lag=max_lag)
    stream = Stream()
    process = Process(hub, stream, max_lines)
    clients: list[Client] = []

    def join(filter: Filter, **wishes: Any) -> None:
        client = Client(process, filter)
        client.connect(**wishes)
        clients.append(client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.answer_questions)
        await nursery.start(hub.run)
        if starts_away:
            stream.store(process.make(5))
            process.go_away()
        else:
            await process.come_back()
        for operation, amount in operations:
            client = clients[amount % len(clients)] if clients else None
            filter = WEB if amount % 2 else EVERYTHING
            match operation:
                case "own lines":
                    await process.publish(process.make(amount))
                case "others' lines":
                    stream.store(process.make(amount))
                case "follow" if not process.is_away:
                    await process.follow(amount)
                case "expire":
                    stream.expire(amount)
                case "announce":
                    process.announce()
                case "go away":
                    process.go_away()
                case "come back":
                    await process.come_back()
                case "another has stored it":
                    stream.store([id for id in process.waiting if id not in stream.ids][:amount])
                case "overflow":
                    process.overflow()
                case "archive away":
                    stream.is_away = bool(amount)
                case "archive closed":
                    stream.stop_answering()
                case "sleep":
                    await trio.sleep(amount / 10)
                case "join":
                    join(filter)
                case "join at tail":
                    since = time.time_ns() // 1_000_000 - 200 if amount % 5 == 0 else None
                    join(filter, tail=amount // 2, since=since, follow=amount % 7 != 0)
                case "join at time":
                    join(filter, since=time.time_ns() // 1_000_000 - 20 * amount)
                case "replay":
                    join(filter, follow=False)
                case "read" if client:
                    await client.read(amount)
                case "read at once" if client:
                    client.read_at_once(amount)
                case "read meanwhile" if client:
                    nursery.start_soon(client.read, 3)
                case "begin to read" if client:
                    await client.read(3, patience=ROUND_TRIP * amount / 4)
                case "cut" if client:
                    client.cut()
                case "resume" if client and client.resume_id and not client.reader:
                    client.connect(last_event_id=client.resume_id)
                case "resume ahead":
                    number = max(0, stream.next - 1 - amount)
                    client = Client(process, filter)
                    unix_ms = stream.times[number - 1] if number else now_ms()
                    client.connect(last_event_id=f"{unix_ms}-{stream.epoch}-{number}")
                    clients.append(client)
                case "resume as a stranger":
                    join(filter, last_event_id=f"{now_ms() - 100 * amount}-00ff00ff-7")
        stream.is_away = False
        await process.come_back()
        await process.publish(process.make(1))
        await process.follow(10**9)
        await trio.sleep(1)
        for client in clients:
            if client.reader is None and client.resume_id:
                client.connect(last_event_id=client.resume_id)
            if client.reader is None:
                continue
            await client.read(10_000)
            if client.reader is None:  # Its question was cut, so it comes back.
                client.connect(last_event_id=client.resume_id)
                await client.read(10_000)
            assert client.reader is not None
            if not client.ended:
                event_id = EventId.parse(client.reader.resume_id)
                assert event_id is not None
                assert (event_id.epoch, event_id.number + 1) == (stream.epoch, stream.next)
            assert client.reader.lag == 0 or client.ended
            client.cut()
        assert not stream.readers, "a reader of the stream was not closed"
        assert hub.statistics().readers == 0
        hub.close()
        nursery.cancel_scope.cancel()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
