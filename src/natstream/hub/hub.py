"""The hub: entries in, to every reader out. On trio; no sockets.

A reader is a position into the backlog; its memory channel only carries what is new. So one
mechanism serves replay, resume, catching up after a slow moment and announcing loss: whatever
a batch from the channel does not continue is read from the backlog, and what the backlog no
longer has is told as a `Gap`.

Publishing never waits. A reader whose channel is full loses the oldest batch of it, which it
then finds in the backlog: so no reader can slow another, or a source.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import attrs
import trio

from natstream.background import running_beside
from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import TooManyReaders
from natstream.formats.events import EventId
from natstream.hub.backlog import Backlog, Batch, Position, fitting
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Segment

__all__ = ["Hub", "HubStatistics", "open_hub"]

# A batch is what one reader takes at a time: enough to share the cost of a wake-up, little
# enough that the next reader does not wait. Bytes are what entries cost in memory.
BATCH_LINES = 1_000
BATCH_BYTES = 1 << 20

# Pacing: a round of sends that costs c seconds is followed by a pause of PACE_LIGHT × c, so
# that it takes an eighth of a core; rounds dearer than a few ms are spread further, at least
# PACE_STEADY apart, up to PACE_LIMIT, which bounds the latency it adds.
PACE_LIGHT = 8.0
PACE_HEAVY = 5.0
PACE_STEADY = 0.050
PACE_LIMIT = 0.250


@attrs.frozen
class HubStatistics:
    """A snapshot of the hub; counts are since its start."""

    readers: int
    published: int
    """Entries."""
    backlog_lines: int
    backlog_bytes: int
    oldest_ms: int | None
    """Unix ms of the oldest remembered entry's arrival."""
    gaps: int
    """Announced to readers, resumes included."""
    missed: int
    """Lines that these gaps say are missing, in all."""
    slowest: int
    """Lines that the reader furthest behind has yet to see."""
    round_seconds: float
    """What handing a batch to all readers costs, as measured."""


class Hub:
    """Numbers entries, remembers the newest, and hands them to every subscription.

    Use `open_hub()` unless you want to run its task, `run`, yourself.
    """

    def __init__(
        self,
        *,
        backlog_lines: int = 50_000,
        backlog_bytes: int = 64 * 2**20,
        max_readers: int = 5_000,
        max_lag: float = 30.0,
        observe: Callable[[Sequence[LogEntry]], None] | None = None,
    ) -> None:
        """The limits are `open_hub`'s; `observe` is told of all that is published, at once."""
        self._observe = observe
        self._backlog_lines, self._backlog_bytes = backlog_lines, backlog_bytes
        self.segment = self._own_segment()
        """What new readers join, and entries are published to."""
        self.opened = trio.Event()
        """Set once that segment is known: with a journal, finding it takes a moment."""
        self.opened.set()
        self.max_readers = max_readers
        self.max_lag = max_lag
        # A slice that outgrew the backlog would cost even a fast reader lines.
        self._slice_lines = max(1, min(BATCH_LINES, backlog_lines // 4))
        self._slice_bytes = min(BATCH_BYTES, backlog_bytes // 4)
        self._subscriptions: set[Subscription] = set()
        self._published = 0
        self._published_bytes = self._flushed_bytes = 0
        self._work = trio.Event()
        self._urgent = trio.Event()
        self._feeders = trio.lowlevel.ParkingLot()
        self._running = self._closing = False
        self._round: list[Batch] = []
        self._round_seconds = 0.0
        self._gaps = self._missed = 0

    @property
    def backlog(self) -> Backlog:
        """The current segment's."""
        return self.segment.backlog

    @property
    def epoch(self) -> str:
        """The current segment's."""
        return self.segment.backlog.epoch

    # --- sources -------------------------------------------------------------------------

    def publish_nowait(self, entries: Sequence[LogEntry]) -> None:
        """Hand entries to all readers. Never waits.

        At most a quarter of the backlog at once, with checkpoints between; `publish` does that.
        """
        if entries:
            self.count(entries)
            now_ms = time.time_ns() // 1_000_000
            self._publish(entries, [entry.cost for entry in entries], [now_ms] * len(entries))

    def _publish(
        self, entries: Sequence[LogEntry], costs: Sequence[int], arrivals: Sequence[int]
    ) -> None:
        self.segment.backlog.append(entries, costs, arrivals)
        self._published_bytes += sum(costs)
        self._work.set()
        if self._is_urgent():
            self._urgent.set()

    async def publish(
        self,
        entries: Sequence[LogEntry],
        *,
        arrivals: Sequence[int] | None = None,
    ) -> None:
        """Publish any number of entries in slices, letting the readers run between them.

        However many feed at once, they wait as long as it takes for a fast reader to lose
        nothing, though not for a task that does not run. Cancelled, it has published a part of
        them, in order.

        Args:
            entries: in order.
            arrivals: Unix ms of each; unless it is given, now. Where it is given, they are known
                from elsewhere, and whoever knows them counts those that are new.
        """
        start = 0
        while start < len(entries):
            while self._is_urgent() and self._running:
                await self._feeders.park()
            run = entries[start : start + self._slice_lines]
            costs = [entry.cost for entry in run]
            count = fitting(costs, self._slice_bytes)
            if arrivals is None:
                self.count(run[:count])
                times: Sequence[int] = [time.time_ns() // 1_000_000] * count
            else:
                times = arrivals[start : start + count]
            self._publish(run[:count], costs[:count], times)
            start += count
            # In the first the flush runs, in the second the readers that it woke.
            await trio.lowlevel.checkpoint()
            if start < len(entries):
                await trio.lowlevel.checkpoint()

    def count(self, entries: Sequence[LogEntry]) -> None:
        """Count entries as published, and tell whoever observes."""
        self._published += len(entries)
        if self._observe is not None:
            self._observe(entries)

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Say something to all readers, in its place between the entries. Never waits.

        Who may see but a part of the logs is told less, unless it is `public`.
        """
        self.backlog.append_notice(Notice(message, type, gap=gap, public=public))
        self._work.set()

    def move_to(self, segment: Segment, start: int) -> None:
        """Go on with another segment: readers go over once they have had what is left of this one.

        `start` is its number with which those begin there who have never been on it.
        """
        last = self.segment
        for batch in self._unflushed(self.backlog.end):
            self._send(batch)
        segment.number = last.number + 1
        last.next, last.next_start = segment, start
        last.before = None  # who looks back begins with the journal's
        self.segment = segment
        self._flushed_bytes = self._published_bytes
        self._feeders.unpark_all()

    def _own_segment(self) -> Segment:
        backlog = Backlog(
            secrets.token_hex(4), max_lines=self._backlog_lines, max_bytes=self._backlog_bytes
        )
        return Segment(backlog, backlog.end)

    # --- the task ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hand what is published to the readers, at a pace that follows what that costs.

        At once when idle. Runs until cancelled, or until `close`, when all has been handed over.
        """
        self._running = True
        task_status.started()
        try:
            await self._run()
        finally:
            # Who feeds must not wait for a flush that may never come: closing waits for them.
            self._running = False
            self._feeders.unpark_all()

    async def _run(self) -> None:
        next_flush = trio.current_time()
        while not self._closing:
            await self._work.wait()
            # The pause comes before a flush that would be early, not after each: a light load
            # has none.
            if trio.current_time() < next_flush:
                with trio.move_on_at(next_flush):
                    await self._urgent.wait()
            if self._closing:
                return  # all has been handed over, and what came since is too late
            started = trio.current_time()
            await self._flush()
            next_flush = started + self._pace()

    def close(self) -> None:
        """Hand over what is left, and end every subscription after what it has yet to read."""
        self._closing = True
        for batch in self._unflushed(self.backlog.end):
            self._send(batch)
        for subscription in self._subscriptions:
            subscription.end()
        self._work.set()
        self._urgent.set()

    async def _flush(self) -> None:
        self._work = trio.Event()
        until, until_bytes = self.backlog.end, self._published_bytes
        for batch in self._round:
            batch.release()
        self._round = []
        for batch in self._unflushed(until):
            self._round.append(batch)
            started = time.thread_time()
            try:
                self._send(batch)
            except Exception:
                # Restarted, it hands this out again; readers pass over what they have had.
                self.segment.flushed = batch.start
                self._work.set()
                raise
            # In the first the readers wake, and most of what they send leaves in it. CPU time:
            # on a busy machine the clock on the wall would take others' work for the readers'.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            cost = time.thread_time() - started
            self._round_seconds += (cost - self._round_seconds) / 8
            self._feeders.unpark_all()
        self._flushed_bytes = max(self._flushed_bytes, until_bytes)
        self._feeders.unpark_all()
        if not self._is_urgent():
            self._urgent = trio.Event()

    def _unflushed(self, until: Position) -> Iterator[Batch]:
        segment = self.segment
        while segment is self.segment and not segment.flushed.reaches(until):
            batch = segment.backlog.read(segment.flushed, until.entry, BATCH_LINES, BATCH_BYTES)
            segment.flushed = batch.end
            yield batch

    def _send(self, batch: Batch) -> None:
        now = trio.current_time()
        for subscription in self._subscriptions:
            subscription.offer(self.segment, batch, now)

    def _is_urgent(self) -> bool:
        """Whether waiting for the pace could cost even a fast reader lines."""
        backlog = self.backlog
        # What has been forgotten, or was never there, is late already: the flush would not help.
        lines = backlog.end.entry - max(self.segment.flushed.entry, backlog.first)
        size = self._published_bytes - self._flushed_bytes
        return lines * 4 > backlog.max_lines or size * 4 > backlog.max_bytes

    def _pace(self) -> float:
        cost = self._round_seconds
        return min(PACE_LIGHT * cost, max(PACE_STEADY, PACE_HEAVY * cost), PACE_LIMIT)

    # --- readers -------------------------------------------------------------------------

    async def find(self, event_id: str) -> LogEntry | None:
        """The entry with this id, if it is remembered, or stored.

        Raises:
            SourceUnavailable: it may be stored, and the journal does not answer.
        """
        place = EventId.parse(event_id)
        for segment in (self.segment, self.segment.before):
            if place is None or segment is None or segment.epoch != place.epoch:
                continue
            backlog, number = segment.backlog, place.number
            if backlog.first <= number < backlog.end.entry:
                return backlog.read(Position(number, 0), number + 1, 1, 1).entries[0]
            if segment.archive is not None:
                return await segment.archive.find(number)
        return None

    @contextmanager
    def subscribe(
        self,
        filter: Filter = EVERYTHING,
        *,
        tail: int | None = None,
        since: int | None = None,
        last_event_id: str | None = None,
        follow: bool = True,
    ) -> Iterator[Subscription]:
        """A place at the hub: `with hub.subscribe() as reader: async for item in reader: …`.

        Args:
            filter: which entries it sees; notices always come.
            tail: first replay this many of the newest entries that match.
            since: first replay what arrived at this time (Unix ms) or later; with `tail`, both
                hold.
            last_event_id: resume after the entry with this id; overrides `tail` and `since`.
            follow: go on with live entries; otherwise the iteration ends after the replay, which
                is all of the backlog where neither `tail`, `since` nor an id is given.

        Raises:
            TooManyReaders: there are `max_readers` already.
        """
        self.check_room()
        if last_event_id is None and tail is None and since is None and not follow:
            since = 0
        subscription = Subscription(self, filter, follow=follow)
        if last_event_id is not None:
            subscription.resume(last_event_id)
        elif tail is not None or since is not None:
            subscription.replay(tail, since)
        self._subscriptions.add(subscription)
        try:
            if self._closing:
                subscription.end()
            with subscription:
                yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def check_room(self) -> None:
        """Whether one more reader may come.

        Raises:
            TooManyReaders: there are `max_readers` already.
        """
        if len(self._subscriptions) >= self.max_readers:
            raise TooManyReaders(
                f"natstream serves {self.max_readers:,} readers at once and all places are taken"
            )

    def count_gap(self, gap: Gap) -> None:
        """Count a gap that a reader is about to be told."""
        self._gaps += 1
        self._missed += gap.missed or 0

    def statistics(self) -> HubStatistics:
        """What the hub holds and has done."""
        return HubStatistics(
            readers=len(self._subscriptions),
            published=self._published,
            backlog_lines=self.backlog.lines,
            backlog_bytes=self.backlog.bytes,
            oldest_ms=self.backlog.oldest_ms,
            gaps=self._gaps,
            missed=self._missed,
            slowest=max((reader.lag for reader in self._subscriptions), default=0),
            round_seconds=self._round_seconds,
        )


@asynccontextmanager
async def open_hub(
    *,
    backlog_lines: int = 50_000,
    backlog_bytes: int = 64 * 2**20,
    max_readers: int = 5_000,
    max_lag: float = 30.0,
) -> AsyncIterator[Hub]:
    """A hub with its task running, closed at the end of the block.

    What the block raises comes out as it is, not in a group.

    Args:
        backlog_lines: entries that it remembers.
        backlog_bytes: memory that it may take for them; the first limit reached counts.
        max_readers: subscriptions at once.
        max_lag: seconds that a reader may stay behind before it is moved to the newest entry.
    """
    hub = Hub(
        backlog_lines=backlog_lines,
        backlog_bytes=backlog_bytes,
        max_readers=max_readers,
        max_lag=max_lag,
    )
    async with running_beside(hub.run, hub.close):
        yield hub
