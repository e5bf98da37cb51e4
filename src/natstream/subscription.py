"""One reader's place at the hub: a cursor into the backlog, and a channel for what is new.

Whatever a batch from the channel does not continue is read from the backlog first; what the
backlog no longer has is told as a `Gap`. On trio; no sockets.
"""

from __future__ import annotations

import time
from typing import Protocol

import trio

from natstream.backlog import Backlog, Batch, Cursor, Selection
from natstream.entry import Gap
from natstream.filtering import Filter
from natstream.framing import EventId

__all__ = ["CHANNEL_BATCHES", "Publisher", "Subscription"]

# A reader this many batches behind reads from the backlog. All readers' channels hold the same
# few newest batches, so a longer one buys nothing but pinned memory.
CHANNEL_BATCHES = 8

# One step of a catch-up: about one piece on the wire, so that many readers which catch up at
# once take turns often, and each holds little.
CATCH_UP_LINES = 200
CATCH_UP_BYTES = 1 << 18

# Another process's clock and flush may differ by this from ours; better doubled than lost.
OTHER_PROCESS_MARGIN_MS = 2_000

# Looking back for the last matching entries goes in such steps: a fifth of a millisecond each, and
# a tenth of a second with the dearest expression on lines of ordinary length.
SEEK_LINES = 200


class Publisher(Protocol):
    """What a subscription needs of the hub."""

    epoch: str
    backlog: Backlog
    flushed: Cursor
    max_lag: float

    def count_gap(self, gap: Gap) -> None: ...


class Subscription:
    """One reader's place at the hub: an async iterator of `Selection` and `Gap`.

    Made by `Hub.subscribe`; for one task at a time. Cancelling a wait loses nothing.
    """

    def __init__(self, hub: Publisher, filter: Filter, *, follow: bool) -> None:
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

    @property
    def is_current(self) -> bool:
        """Whether there is nothing for it without waiting; much cheaper than trying."""
        return (
            self._held is None
            and self.cursor.reaches(self._hub.flushed)
            and self._gap is None
            and self._follow
        )

    async def receive(self) -> Selection | Gap:
        """The next entries and notices for this reader, or the word that some are missing.

        Raises:
            trio.EndOfChannel: the hub was closed, or the replay without `follow` is over.
        """
        rested = False  # whether the others have had their turn
        while True:
            if self._tail is not None:
                await self._seek_tail(*self._tail)
            if self.is_current:
                try:
                    self._held = await self._receive.receive()
                except trio.EndOfChannel:
                    if self.cursor.reaches(self._hub.flushed):
                        raise
                rested = True
                continue
            if not rested:
                # A cancel comes before anything is taken, so that it loses nothing.
                await trio.lowlevel.checkpoint_if_cancelled()
            try:
                item = self._step()
            except trio.WouldBlock:
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
            # What was said after that entry may have been heard or not: better twice than never.
            number = event_id.number + 1
            self.cursor = Cursor(number, backlog.notice_at(number))
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
        # Notices make nobody late, nor do lines that it joined behind or found in the backlog.
        if self._behind_since is None and self.cursor.entry < batch.end.entry:
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
        if self.cursor.entry >= self._hub.flushed.entry:
            self._behind_since = None
        self._hub.count_gap(gap)
        return gap.reduced() if self.filter.scoped else gap

    def _has_lagged(self) -> bool:
        return (
            not self._replaying
            and self._behind_since is not None
            and trio.current_time() - self._behind_since > self._hub.max_lag
            and self.cursor.entry < self._hub.flushed.entry
        )

    def _start_at(self, number: int) -> None:
        """Replay from the entry `number` on; what was said before it belongs to the past."""
        # But not what has been said since it joined: the search for its start takes a while.
        notice = min(self._hub.backlog.notice_at(number + 1), self._present.notice)
        self.cursor = Cursor(number, notice)

    async def _seek_tail(self, wanted: int, start: int, lowest: int) -> None:
        """Go back to the last `wanted` matching entries, in slices: it may be a long way."""
        backlog = self._hub.backlog
        while wanted and (slice_start := max(lowest, backlog.first, start - SEEK_LINES)) < start:
            batch = backlog.read(Cursor(slice_start, 0), start, SEEK_LINES, backlog.max_bytes)
            found = self.filter.select(batch.entries)
            start = batch.first + found[-wanted] if len(found) >= wanted else batch.first
            wanted = max(0, wanted - len(found))
            self._tail = (wanted, start, lowest)
            await trio.lowlevel.checkpoint()
        self._tail = None
        self._start_at(start)
