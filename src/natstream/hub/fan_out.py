"""Handing published entries to the readers, at a pace that follows the cost of doing so. On trio.

In: a backlog that grows. Out: batches on every subscription's channel, and a wake-up for each
reader that is due for a keep-alive. No entry waits for a reader. A publisher waits only in
`wait_for_room`, while more entries could make even a fast reader miss lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import trio

from natstream.background import running_beside
from natstream.hub.batch import Batch, Position
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Timeline

__all__ = ["BATCH_BYTES", "BATCH_LINES", "FanOut"]

# A reader gets a batch at a time: large enough to share the cost of a wake-up, and small enough
# that the next reader does not wait. Bytes are the memory that entries cost.
BATCH_LINES = 1_000
BATCH_BYTES = 1 << 20

# A round of sends that costs c seconds is followed by a pause of PACE_LIGHT × c, so that sending
# takes a twenty-fifth of a core. The pause need not be longer than PACE_STEADY unless sending would
# take more than an eighth then. PACE_LIMIT bounds the latency that the pause adds. One reader's
# share of the cost counts only PACE_HEAVY times: with few readers it is the cost of framing the
# lines, and no pause saves that.
PACE_LIGHT = 25.0
PACE_HEAVY = 8.0
PACE_STEADY = 0.050
PACE_LIMIT = 0.200

# Seconds between two looks at the readers that may be due for a keep-alive. It is a fraction of the
# keep-alive where that is short, as in tests.
TICK = 1.0


class FanOut:
    """Hands out the entries of a timeline's current segment.

    Args:
        timeline: the timeline, whose current segment is handed out.
        keepalive: seconds without data after which a reader is woken; `None` wakes no reader.
    """

    def __init__(self, timeline: Timeline, *, keepalive: float | None) -> None:
        self._timeline = timeline
        self._keepalive = keepalive
        self.subscriptions: set[Subscription] = set()
        self.is_closing: bool = False
        self._is_running = False
        self._published_bytes = self._flushed_bytes = 0
        self._work, self._urgent = trio.Event(), trio.Event()
        self._publishers = trio.lowlevel.ParkingLot()
        self._round: list[Batch] = []
        self.quiet_until: float = 0.0
        """The moment (trio's clock) of the next round, if it has not passed: until then the readers
        pause, unless a flush is urgent."""
        self.round_seconds: float = 0.0
        """CPU seconds that handing a batch to all readers costs, as measured."""

    # --- publishers ----------------------------------------------------------------------

    def published(self, size: int = 0) -> None:
        """Note that entries of so many bytes, or a notice, were added to the segment."""
        self._published_bytes += size
        self._work.set()
        if self.is_urgent:
            self._urgent.set()

    async def wait_for_room(self) -> None:
        """Wait while the task runs and more entries could make even a fast reader miss lines."""
        while self.is_urgent and self._is_running:
            await self._publishers.park()

    def flush_now(self) -> None:
        """Hand out everything at once, because the segment ends or the hub closes."""
        now, segment = trio.current_time(), self._timeline.current
        for batch in self._unflushed(segment.backlog.end):
            for subscription in self.subscriptions:
                subscription.offer(segment, batch, now)
        self._flushed_bytes = self._published_bytes
        self._publishers.unpark_all()

    # --- the task ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hand out until cancelled, or until `close` was called."""
        self._is_running = True
        try:
            async with running_beside(self._keep_time):
                task_status.started()
                await self._hand_out()
        finally:
            # Publishers must not wait for a flush that may never come, since closing waits for
            # the publishers.
            self._is_running = False
            self._publishers.unpark_all()

    def close(self) -> None:
        """Hand out the last batches, and end every subscription after its last entry."""
        self.is_closing = True
        self.flush_now()
        for subscription in self.subscriptions:
            subscription.end()
        self._work.set()
        self._urgent.set()

    async def _keep_time(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wake the readers that are due for a keep-alive, so that none needs its own timeout."""
        task_status.started()
        if self._keepalive is None:
            return
        tick = min(TICK, self._keepalive / 4)
        ticks = round(self._keepalive / tick)
        while True:
            await trio.sleep(tick)
            self._tick(ticks)

    def _tick(self, ticks: int) -> None:
        # This is a method of its own, because a variable of the waiting task would keep the last
        # reader in memory.
        now = trio.current_time()
        for subscription in self.subscriptions:
            subscription.tick(ticks, now)

    async def _hand_out(self) -> None:
        while not self.is_closing:
            await self._work.wait()
            # The pause comes before a flush that would be early, not after each flush, so that a
            # light load has no pause.
            if trio.current_time() < self.quiet_until:
                with trio.move_on_at(self.quiet_until):
                    await self._urgent.wait()
            if self.is_closing:
                return  # Everything was handed out, and entries published since are too late.
            started = trio.current_time()
            await self._flush()
            self.quiet_until = started + self._pause()

    async def _flush(self) -> None:
        self._work = trio.Event()
        until, until_bytes = self._timeline.current.backlog.end, self._published_bytes
        for batch in self._round:
            batch.release()
        self._round = []
        for batch in self._unflushed(until):
            self._round.append(batch)
            started = time.thread_time()
            try:
                self._send(batch)
            except Exception:
                # A restarted hub hands this batch out again. Readers skip entries that they have
                # seen.
                self._timeline.current.flushed = batch.start
                self._work.set()
                raise
            # In the first checkpoint the readers wake, and send most of their data.
            # CPU time is measured, because on a busy machine the wall clock would count other
            # processes' work as the readers'.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            cost = time.thread_time() - started
            self.round_seconds += (cost - self.round_seconds) / 8
            self._publishers.unpark_all()
        self._flushed_bytes = max(self._flushed_bytes, until_bytes)
        self._publishers.unpark_all()
        if not self.is_urgent:
            self._urgent = trio.Event()

    def _unflushed(self, until: Position) -> Iterator[Batch]:
        segment = self._timeline.current
        while segment is self._timeline.current and not segment.flushed.reaches(until):
            batch = segment.backlog.read(segment.flushed, until.entry, BATCH_LINES, BATCH_BYTES)
            segment.flushed = batch.end
            yield batch

    def _send(self, batch: Batch) -> None:
        now, segment = trio.current_time(), self._timeline.current
        for subscription in self.subscriptions:
            subscription.hand_over(segment, batch, now)

    @property
    def is_urgent(self) -> bool:
        """Whether more entries could make even a fast reader miss lines before the next flush."""
        segment = self._timeline.current
        backlog = segment.backlog
        # A flush would not help entries that the backlog has evicted already.
        lines = backlog.end.entry - max(segment.flushed.entry, backlog.first)
        size = self._published_bytes - self._flushed_bytes
        return lines * 4 > backlog.max_lines or size * 4 > backlog.max_bytes

    def _pause(self) -> float:
        cost = self.round_seconds
        share = cost / max(1, len(self.subscriptions))
        light = PACE_LIGHT * (cost - share) + PACE_HEAVY * share
        return min(light, max(PACE_STEADY, PACE_HEAVY * cost), PACE_LIMIT)
