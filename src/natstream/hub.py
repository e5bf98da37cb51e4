"""The hub: entries in, to every reader out. On trio; no sockets.

A reader is a cursor into the backlog; its memory channel only carries what is new. So one
mechanism serves replay, resume, catching up after a slow moment and announcing loss: whatever
a batch from the channel does not continue is read from the backlog, and what the backlog no
longer has is told as a `Gap`.

Publishing never waits. A reader whose channel is full loses the oldest batch of it, which it
then finds in the backlog: so no reader can slow another, or a source.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import attrs
import trio

from natstream.backlog import Backlog, Batch, Cursor, Selection
from natstream.entry import Gap, LogEntry, Notice
from natstream.errors import TooManyReaders
from natstream.filtering import EVERYTHING, Filter
from natstream.framing import EventId

__all__ = ["Hub", "HubStatistics", "Subscription", "open_hub"]

# A batch is what one reader takes at a time: enough to share the cost of a wake-up, little
# enough that the next reader does not wait. Bytes are what entries cost in memory.
BATCH_LINES = 1_000
BATCH_BYTES = 1 << 20

# A reader this many batches behind reads from the backlog. All readers' channels hold the same
# few newest batches, so a longer one buys nothing but pinned memory.
CHANNEL_BATCHES = 8

# One step of a catch-up: about one piece on the wire, so that many readers which catch up at
# once take turns often, and each holds little.
CATCH_UP_LINES = 200
CATCH_UP_BYTES = 1 << 18

# Another process's clock and flush may differ by this from ours; better doubled than lost.
OTHER_PROCESS_MARGIN_MS = 2_000

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
    ) -> None:
        self.epoch = secrets.token_hex(4)
        self.backlog = Backlog(self.epoch, max_lines=backlog_lines, max_bytes=backlog_bytes)
        self.max_readers = max_readers
        self.max_lag = max_lag
        self._slice_lines = max(1, min(BATCH_LINES, backlog_lines // 4))
        self._subscriptions: set[Subscription] = set()
        self.flushed = self.backlog.end
        """The place up to which readers have been handed batches."""
        self._published_bytes = self._flushed_bytes = 0
        self._work = trio.Event()
        self._urgent = trio.Event()
        self._closing = False
        self._round: list[Batch] = []
        self._round_seconds = 0.0
        self._gaps = self._missed = 0

    # --- sources -------------------------------------------------------------------------

    def publish(self, entries: Sequence[LogEntry]) -> None:
        """Hand entries to all readers. Never waits.

        At most a quarter of the backlog at once, with checkpoints between; `feed` does that.
        """
        if not entries:
            return
        self._published_bytes += self.backlog.append(entries, time.time_ns() // 1_000_000)
        self._work.set()
        if self._is_urgent():
            self._urgent.set()

    async def feed(self, entries: Sequence[LogEntry]) -> None:
        """Publish any number of entries in slices, letting the readers run between them.

        Cancelled, it has published a part of them, in order.
        """
        start = 0
        while start < len(entries):
            stop = start + self._slice_lines
            size = 0
            for index in range(start, min(stop, len(entries))):
                size += len(entries[index].message)
                if size > BATCH_BYTES and index > start:
                    stop = index
                    break
            self.publish(entries[start:stop])
            start = stop
            # Two: in the first the flush runs, in the second the readers that it woke.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
    ) -> None:
        """Say something to all readers, in its place between the entries. Never waits."""
        self.backlog.append_notice(Notice(message, type, gap=gap))
        self._work.set()

    # --- the task ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hand what is published to the readers, at a pace that follows what that costs.

        At once when idle. Runs until cancelled, or until `close`, when all has been handed over.
        """
        task_status.started()
        while not self._closing:
            await self._work.wait()
            next_flush = trio.current_time() + self._pace()
            await self._flush()
            with trio.move_on_at(next_flush):
                await self._urgent.wait()

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
            started = time.perf_counter()
            self._send(batch)
            # In the first the readers wake, and most of what they send leaves in it.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            cost = time.perf_counter() - started
            self._round_seconds += (cost - self._round_seconds) / 8
        self._flushed_bytes = until_bytes
        if not self._is_urgent():
            self._urgent = trio.Event()

    def _unflushed(self, until: Cursor) -> Iterator[Batch]:
        while not self.flushed.reaches(until):
            batch = self.backlog.read(self.flushed, until.entry, BATCH_LINES, BATCH_BYTES)
            self.flushed = batch.end
            yield batch

    def _send(self, batch: Batch) -> None:
        now = trio.current_time()
        for subscription in self._subscriptions:
            subscription.offer(batch, now)

    def _is_urgent(self) -> bool:
        """Whether waiting for the pace could cost even a fast reader lines."""
        lines = self.backlog.end.entry - self.flushed.entry
        size = self._published_bytes - self._flushed_bytes
        return lines * 4 > self.backlog.max_lines or size * 4 > self.backlog.max_bytes

    def _pace(self) -> float:
        cost = self._round_seconds
        return min(PACE_LIGHT * cost, max(PACE_STEADY, PACE_HEAVY * cost), PACE_LIMIT)

    # --- readers -------------------------------------------------------------------------

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
        end = self.backlog.end.entry
        return HubStatistics(
            readers=len(self._subscriptions),
            published=end - 1,
            backlog_lines=self.backlog.lines,
            backlog_bytes=self.backlog.bytes,
            oldest_ms=self.backlog.oldest_ms,
            gaps=self._gaps,
            missed=self._missed,
            slowest=max((end - reader.cursor.entry for reader in self._subscriptions), default=0),
            round_seconds=self._round_seconds,
        )


class Subscription:
    """One reader's place at the hub: an async iterator of `Selection` and `Gap`.

    Made by `Hub.subscribe`; for one task at a time. Cancelling a wait loses nothing.
    """

    def __init__(self, hub: Hub, filter: Filter, *, follow: bool) -> None:
        self.filter = filter
        self._hub = hub
        self._follow = follow
        self._send, self._hub_receive = trio.open_memory_channel[Batch](CHANNEL_BATCHES)
        # The reader's end. The hub keeps the original, to make room when the channel is full.
        self._receive = self._hub_receive.clone()
        self.cursor = hub.backlog.end
        """The next record that it needs."""
        self._present = self.cursor
        self._place_ms = hub.backlog.newest_ms or time.time_ns() // 1_000_000
        self._held: Batch | None = None
        self._gap: Gap | None = None
        # While `tail` is sought backwards: how many are wanted, from where on, and down to where.
        self._tail: tuple[int, int, int] | None = None
        # A replay that was asked for may take its time; how long it lags is counted from its end.
        self._replaying = False
        self._behind_since: float | None = None

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        self._receive.close()
        self._hub_receive.close()
        self._send.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Selection | Gap:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    @property
    def place(self) -> str:
        """The event id to resume from: of the last entry that it has seen or passed over."""
        return str(EventId(self._place_ms, self._hub.epoch, self.cursor.entry - 1))

    async def receive(self) -> Selection | Gap:
        """The next entries and notices for this reader, or the word that some are missing.

        Raises:
            trio.EndOfChannel: the hub was closed, or the replay without `follow` is over.
        """
        rested = False  # whether the others have had their turn
        while True:
            if self._tail is not None:
                await self._seek_tail(*self._tail)
            if not rested:
                # A cancel comes before anything is taken, so that it loses nothing.
                await trio.lowlevel.checkpoint_if_cancelled()
            try:
                item = self._step()
            except trio.WouldBlock:
                try:
                    self._held = await self._receive.receive()
                except trio.EndOfChannel:
                    if self.cursor.reaches(self._hub.flushed):
                        raise
                rested = True
                continue
            if not rested:
                await trio.lowlevel.cancel_shielded_checkpoint()
            if item:
                return item
            rested = False

    def receive_nowait(self) -> Selection | Gap:
        """The same without waiting.

        Raises:
            trio.WouldBlock: there is nothing to show just now.
            trio.EndOfChannel: as above.
        """
        if self._tail is None and (item := self._step()):
            return item
        raise trio.WouldBlock

    def replay(self, tail: int | None, since: int | None) -> None:
        """Start at the last `tail` matching entries, and at those that arrived at `since`."""
        backlog = self._hub.backlog
        lowest = backlog.first if since is None else backlog.number_at(since)
        if tail is None:
            self._start_at(lowest)
        else:
            self._tail = (tail, self.cursor.entry, lowest)
        self._replaying = True

    def resume(self, last_event_id: str) -> None:
        """Start after the entry that the id names; what cannot be found is told as a gap."""
        backlog = self._hub.backlog
        event_id = EventId.parse(last_event_id)
        self._replaying = True
        if event_id is None:
            self._gap = Gap(None, None, doubles=True)
            self._start_at(backlog.first)
        elif event_id.epoch == self._hub.epoch and event_id.number < self._present.entry:
            self._start_at(event_id.number + 1)
            self._place_ms = event_id.unix_ms
        else:
            self._gap = Gap(None, event_id.unix_ms, doubles=True)
            now_ms = time.time_ns() // 1_000_000
            self._start_at(
                backlog.number_at(min(event_id.unix_ms, now_ms) - OTHER_PROCESS_MARGIN_MS)
            )

    # --- the hub's side ------------------------------------------------------------------

    def offer(self, batch: Batch, now: float) -> None:
        """Put a batch on the channel, in the place of the oldest one if it is full."""
        try:
            self._send.send_nowait(batch)
        except trio.WouldBlock:
            self._hub_receive.receive_nowait()
            self._send.send_nowait(batch)
        if self._behind_since is None:
            self._behind_since = now

    def end(self) -> None:
        """End the iteration after what is still to be read."""
        self._send.close()

    # --- one step ------------------------------------------------------------------------

    def _step(self) -> Selection | Gap:
        """Move on by one batch, chunk or gap; what it gives may be empty."""
        if self._gap is not None:
            gap, self._gap = self._gap, None
            return self._tell(gap)
        if not self._follow:
            if self.cursor.reaches(self._present):
                raise trio.EndOfChannel
            return self._catch_up(self._present.entry)
        if self._has_lagged():
            return self._lose(self._hub.flushed.entry)
        while True:
            batch = self._held
            if batch is None:
                try:
                    batch = self._held = self._receive.receive_nowait()
                except (trio.WouldBlock, trio.EndOfChannel) as error:
                    if self.cursor.reaches(self._hub.flushed):
                        raise trio.WouldBlock from error
                    return self._catch_up(self._hub.flushed.entry)
            if self.cursor.reaches(batch.end):
                self._held = None  # seen already, in the backlog
                continue
            if not self.cursor.reaches(batch.start):
                return self._catch_up(batch.first)
            self._held = None
            return self._take(batch.since(self.cursor))

    def _catch_up(self, until: int) -> Selection | Gap:
        """A chunk of the backlog up to the entry `until`, or the word that it is gone."""
        backlog = self._hub.backlog
        if self.cursor.entry < (oldest := min(backlog.first, until)):
            return self._lose(oldest)
        return self._take(backlog.read(self.cursor, until, CATCH_UP_LINES, CATCH_UP_BYTES))

    def _take(self, batch: Batch) -> Selection:
        self.cursor = batch.end
        if batch.entries:
            self._place_ms = batch.arrivals[-1]
        if self.cursor.reaches(self._hub.flushed):
            self._replaying = False
            self._behind_since = None
        elif self._replaying and self.cursor.reaches(self._present):
            self._replaying = False
            self._behind_since = trio.current_time()
        return batch.select(self.filter)

    def _lose(self, until: int) -> Gap:
        """Give up what stands before the entry `until`."""
        missed = until - self.cursor.entry
        gap = Gap(missed, self._place_ms, at_most=not self.filter.is_everything)
        self.cursor = Cursor(until, self.cursor.notice)
        return self._tell(gap)

    def _tell(self, gap: Gap) -> Gap:
        backlog = self._hub.backlog
        if backlog.first <= self.cursor.entry < backlog.end.entry:
            self._place_ms = backlog.arrival(self.cursor.entry)
        if self.cursor.reaches(self._hub.flushed):
            self._behind_since = None
        self._hub.count_gap(gap)
        return gap

    def _has_lagged(self) -> bool:
        return (
            not self._replaying
            and self._behind_since is not None
            and trio.current_time() - self._behind_since > self._hub.max_lag
            and self.cursor.entry < self._hub.flushed.entry
        )

    def _start_at(self, number: int) -> None:
        self.cursor = Cursor(number, self._hub.backlog.notice_at(number))

    async def _seek_tail(self, wanted: int, start: int, lowest: int) -> None:
        """Go back to the last `wanted` matching entries, in slices: it may be a long way."""
        backlog = self._hub.backlog
        while wanted and (slice_start := max(lowest, backlog.first, start - BATCH_LINES)) < start:
            batch = backlog.read(Cursor(slice_start, 0), start, BATCH_LINES, backlog.max_bytes)
            found = self.filter.select(batch.entries)
            start = batch.first + found[-wanted] if len(found) >= wanted else batch.first
            wanted = max(0, wanted - len(found))
            self._tail = (wanted, start, lowest)
            await trio.lowlevel.checkpoint()
        self._tail = None
        self._start_at(start)


@asynccontextmanager
async def open_hub(
    *,
    backlog_lines: int = 50_000,
    backlog_bytes: int = 64 * 2**20,
    max_readers: int = 5_000,
    max_lag: float = 30.0,
) -> AsyncIterator[Hub]:
    """A hub with its task running, closed at the end of the block.

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
    async with trio.open_nursery() as nursery:
        await nursery.start(hub.run)
        try:
            yield hub
        finally:
            hub.close()
