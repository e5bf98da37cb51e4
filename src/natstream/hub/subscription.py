"""One reader at the hub: a cursor into the backlog, and a channel for new batches.

If a batch from the channel lies ahead of the reader, the entries between are read from the backlog
first. Entries that the backlog no longer has are read from the archive, or become a `Gap`. The
reader waits at its channel only. On trio; no sockets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import attrs
import trio

from natstream.entries.entry import Gap
from natstream.hub.archive_reading import ArchiveReading
from natstream.hub.batch import Batch, Position, Selection
from natstream.hub.budget import TurnIsOver
from natstream.hub.cursor import Cursor
from natstream.hub.lookup import Lookup
from natstream.hub.start import Plan, Start, StartRequest, StartSearch, plan_start
from natstream.hub.timeline import Segment
from natstream.hub.window import Window

__all__ = ["CHANNEL_BATCHES", "Deliver", "Subscription"]

# A reader this many batches behind reads from the backlog. All readers' channels hold the same few
# newest batches, so a longer channel would only keep more of them in memory.
CHANNEL_BATCHES = 8

# A line that arrives just before the end of a reader's time is handed out up to a fifth of a
# second later, and with a journal it is stored first. So the reader stays this many seconds more.
LATE = 0.5

Deliver = Callable[[Selection], bool]
"""Takes what a filter lets through of a batch at once, or returns False and does nothing."""

# The result of a step that moved the reader and has nothing to show.
_NOTHING = Selection(
    batch=Batch(epoch="", first=1, entries=(), arrivals=(), first_notice=1), indices=(), notices=()
)


class SubscribedHub(Protocol):
    """The part of the hub that a subscription uses."""

    max_lag: float
    """Seconds that a reader may stay behind."""

    def count_gap(self, gap: Gap) -> None: ...


class Subscription:
    """One reader at the hub: an async iterator of `Selection` and `Gap`.

    `Hub.subscribe` makes it. One task at a time may use it. A cancelled wait loses nothing.
    """

    def __init__(
        self,
        hub: SubscribedHub,
        request: StartRequest,
        *,
        follow: bool,
        window: Window | None = None,
        until: int | None = None,
    ) -> None:
        self._hub, self._follow = hub, follow
        self._budget = request.budget
        self.cursor: Cursor = Cursor(request, follow=follow, window=window, until=until)
        self._ends_at = math.inf
        if until is not None:
            self._ends_at = trio.current_time() + until / 1000 - time.time() + LATE
        # The hub keeps the original receive end, to make room when the channel is full; the reader
        # has a clone. `None` on the channel only wakes the reader.
        self._send, self._hub_receive = trio.open_memory_channel[tuple[Segment, Batch] | None](
            CHANNEL_BATCHES
        )
        self._receive = self._hub_receive.clone()
        self._held: tuple[Segment, Batch] | None = None
        self._search: StartSearch | None = None
        self._archive = ArchiveReading(self.cursor)
        self._deliver: Deliver | None = None
        """Takes the next batch; `None` unless the reader waits for just that batch."""
        self._failure: Exception | None = None
        """An exception of `_deliver`, which the reader's own task raises."""
        self._quiet_ticks = 0
        self._is_keep_alive_due = False
        self.wake_at: float = math.inf
        """The time on trio's clock at which `step` returns `None` anyway, up to a tick late."""
        self._start(request, plan_start(request))

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._search is not None:
            self._search.close()
            self._search = None  # It refers to this reader.
        self._archive.stop()
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
    def resume_id(self) -> str:
        """The event id to resume from: of the last entry that was seen or passed over."""
        return self.cursor.resume_id

    @property
    def position(self) -> Position:
        """The next record that the reader needs."""
        return self.cursor.position

    @property
    def lag(self) -> int:
        """How many entries of its segment the reader has yet to see."""
        return self.cursor.behind

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to read without waiting; cheaper than trying to read."""
        cursor = self.cursor
        return (
            self._held is None
            and cursor.is_at_end
            and cursor.gap is None
            and self._follow
            and self._search is None
            and not cursor.is_past_end
        )

    @property
    def is_used_up(self) -> bool:
        """Whether the filter has used up its CPU time, so that `receive_nowait` delays others."""
        return self.cursor.filter.is_costly and self._budget.is_used_up

    async def receive(self) -> Selection | Gap:
        """Return the next entries and notices for this reader, or a gap where some are missing.

        Raises:
            trio.EndOfChannel: the hub was closed, or the replay without `follow` is over.
            ExpressionTooSlow: the filter has used up its CPU time for too long, on a busy machine.
            JournalClosed: stored entries are left that cannot be read, because the process closes.
        """
        while (item := await self.step()) is None:
            pass
        return item

    async def step(self, deliver: Deliver | None = None) -> Selection | Gap | None:
        """Do the same as `receive`, but return `None` when a keep-alive is due (see `Hub.run`).

        While the reader waits at the newest line, the hub calls `deliver` with what the filter lets
        through of a new batch, and does not wake the reader. This costs half as much. If `deliver`
        returns False, `step` returns these lines. What `deliver` raises, `step` raises.
        """
        rested = False  # Whether other tasks have had their turn since the last item.
        needs_turn = False  # Whether the filter needs another turn for the same entries.
        while True:
            if self._failure is not None:
                raise self._failure
            item = None
            if not self.is_current:
                # A cancel comes before anything is consumed, so that it loses nothing.
                if needs_turn or self.is_used_up:
                    await self._budget.wait()
                    rested = True
                elif not rested:
                    await trio.lowlevel.checkpoint_if_cancelled()
                try:
                    item = self._advance()
                    # A search that goes on has had its turn, too.
                    needs_turn = self._search is not None and item is not None
                except TurnIsOver:
                    needs_turn = True
                if item is not None and not rested:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                rested = False
                if item:
                    self._quiet_ticks, self._is_keep_alive_due = 0, False
                    return item
            if self._is_keep_alive_due:
                self._is_keep_alive_due = False
                return None
            if item is None and not needs_turn:
                try:
                    self._held = await self._receive_batch(deliver) or self._held
                except trio.EndOfChannel:
                    if (lookup := self._pending) is not None:
                        await lookup.wait()
                    elif self.is_current:
                        raise
                rested = True

    async def _receive_batch(self, deliver: Deliver | None) -> tuple[Segment, Batch] | None:
        """Wait for the channel; from the end of the reader's time on, `None` or EndOfChannel."""
        if self._ends_at == math.inf or self._pending is not None:
            if self.is_current and self.cursor.takes_live_batches:
                self._deliver = deliver
            try:
                return await self._receive.receive()
            finally:
                self._deliver = None
        with trio.move_on_at(self._ends_at):
            return await self._receive.receive()
        raise trio.EndOfChannel

    def receive_nowait(self) -> Selection | Gap:
        """Do the same as `receive` without waiting.

        Raises:
            trio.WouldBlock: there is nothing to show at the moment, or the filter needs a turn.
            trio.EndOfChannel, JournalClosed: see `receive`.
        """
        with suppress(TurnIsOver):
            if item := self._advance():
                self._quiet_ticks, self._is_keep_alive_due = 0, False
                return item
        raise trio.WouldBlock

    # --- the hub's side ------------------------------------------------------------------

    def hand_over(self, segment: Segment, batch: Batch, now: float) -> None:
        """Deliver a batch, or put it on the channel."""
        if self._deliver is None or not self._has_delivered(self._deliver, segment, batch, now):
            self.offer(segment, batch, now)

    def offer(self, segment: Segment, batch: Batch, now: float) -> None:
        """Put a batch on the channel, in place of the oldest one if the channel is full."""
        try:
            self._send.send_nowait((segment, batch))
        except trio.WouldBlock:
            self._hub_receive.receive_nowait()
            self._send.send_nowait((segment, batch))
        # A reader does not lag because of notices, nor because of lines before its position.
        cursor = self.cursor
        if cursor.lag.since is None and (
            segment is not cursor.segment or cursor.position.entry < batch.end.entry
        ):
            cursor.lag.since = now

    def _has_delivered(self, deliver: Deliver, segment: Segment, batch: Batch, now: float) -> bool:
        """Deliver a batch if it is the next one, and return whether the reader is past it."""
        cursor = self.cursor
        if segment is not cursor.segment or batch.start != cursor.position or now >= self.wake_at:
            return False
        try:
            selection = batch.advance(cursor.filter, self._budget)
            if selection is None or (selection and not deliver(selection)):
                return False
        except Exception as error:  # noqa: BLE001 - `step` raises it, in the reader's task
            self._failure = error
            self._wake()
            return True
        if selection:
            self._quiet_ticks = 0
        cursor.move_past(batch, now)
        return True

    def tick(self, ticks: int, now: float) -> None:
        """Count a tick without data; after `ticks` of them, wake the reader for a keep-alive."""
        self._quiet_ticks += 1
        if self._quiet_ticks >= ticks or now >= self.wake_at:
            self.wake()

    def wake(self) -> None:
        """Let `step` return `None`, and deliver nothing until the reader waits again."""
        self._quiet_ticks, self._is_keep_alive_due = 0, True
        self._wake()

    def end(self) -> None:
        """End the iteration after the entries that are still to be read."""
        self._send.close()

    def _wake(self) -> None:
        self._deliver = None
        # A full channel wakes the reader anyway, and a closed one has ended its wait.
        with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._send.send_nowait(None)

    # --- one step ------------------------------------------------------------------------

    @property
    def _pending(self) -> Lookup[Any] | None:
        """The question to the archive whose answer the reader waits for, if there is one."""
        return self._archive.pending if self._search is None else self._search.pending

    def _start(self, request: StartRequest, plan: Plan) -> None:
        """Begin at the start that memory knows, or search for it."""
        if isinstance(plan, Start):
            self.cursor.begin(plan)
        else:
            self._search = StartSearch(request, plan, self._wake)

    def _advance(self) -> Selection | Gap | None:
        """Move on by one batch, chunk or gap, and return it; `None` if the reader has to wait."""
        if self._search is not None:
            return self._continue_search(self._search)
        cursor, now = self.cursor, trio.current_time()
        gap = cursor.pop_gap()
        if gap is None and cursor.has_lagged(self._hub.max_lag, now):
            gap = cursor.lose(cursor.segment.flushed.entry)
        if gap is not None:
            self._archive.stop()
            return self._tell(gap)
        if (notice := cursor.notice) is not None:
            cursor.notice = None
            return attrs.evolve(_NOTHING, notices=((1, notice),))
        if cursor.is_past_end:
            self._archive.stop()
            raise trio.EndOfChannel
        if (line := cursor.show_line()) is not None:
            self._archive.stop()
            return line
        if (archive := cursor.segment.archive) is not None:
            until = min(cursor.segment.backlog.first, cursor.goal)
            if cursor.position.entry < until:
                return self._tell(self._archive.read(archive, until, now, self._wake))
            self._archive.stop()
        if cursor.is_replay_over:
            raise trio.EndOfChannel
        until = cursor.goal
        if not cursor.stops_here and (held := self._next_batch()) is not None:
            segment, batch = held
            if segment is cursor.segment:
                if cursor.position.reaches(batch.start):
                    batch = batch.since(cursor.position)
                    self._held = segment, batch  # It stays if accepting raises.
                    selection = cursor.accept(batch, now)
                    self._held = None
                    return selection
                until = batch.first
        if cursor.stops_here or not cursor.position.reaches(cursor.segment.flushed):
            return self._tell(cursor.catch_up(until, now))
        return None if cursor.segment.next is None else self._go_on(cursor.segment.next, now)

    def _continue_search(self, search: StartSearch) -> Selection | None:
        if search.pending is not None:
            return None
        if (start := search.advance()) is not None:
            self._search = None
            self.cursor.begin(start)
        return _NOTHING

    def _go_on(self, segment: Segment, now: float) -> Selection:
        """Leave a segment that is over for the next one, and return an empty selection."""
        selection, question = self.cursor.go_on(segment, now)
        if question is not None:
            request = StartRequest(
                segment=segment,
                joined=segment.backlog.end,
                before=None,
                filter=self.cursor.filter,
                budget=self._budget,
            )
            self._start(request, question)
        return selection

    def _next_batch(self) -> tuple[Segment, Batch] | None:
        """Return the next batch that the reader has not yet read from the backlog, and hold it."""
        cursor = self.cursor
        while True:
            if self._held is None:
                try:
                    self._held = self._receive.receive_nowait()
                except (trio.WouldBlock, trio.EndOfChannel):
                    return None
            if self._held is not None:
                segment, batch = self._held
                if segment.index > cursor.segment.index:
                    return self._held  # It waits until the reader comes to that segment.
                if segment is cursor.segment and not cursor.position.reaches(batch.end):
                    return self._held
                self._held = None

    def _tell(self, item: Selection | Gap | None) -> Selection | Gap | None:
        """Return a gap as the reader may see it, and count it; return other items unchanged."""
        if not isinstance(item, Gap):
            return item
        self._hub.count_gap(item)
        return item.reduced() if self.cursor.filter.scoped else item
