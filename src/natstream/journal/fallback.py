"""Showing this process's own lines live while the journal is away, under an epoch of their own.

In: the lines that wait in the writer's outbox. Out: a segment of the hub's with these lines. Once
the journal is back, the numbers under which it stored them are noted, so that no reader sees a line
twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence, Set

import trio

from natstream.hub.backlog import Backlog
from natstream.hub.hub import Hub
from natstream.hub.timeline import Archive, Outage, fallback_epoch
from natstream.journal.dedup import Shown
from natstream.journal.outbox import Item
from natstream.journal.state import Availability, JournalState
from natstream.journal.writer import Writer

__all__ = ["Fallback"]

# The most lines that are shown at once, before other tasks get their turn.
SLICE_LINES = 200
# After the journal's return, a line that was shown is recognised for this many seconds. By then
# every other process that had the line has stored it.
SHOWN_FOR = 300.0


class Fallback:
    """Shows lines on a segment of their own, between two segments of the journal's.

    Args:
        hub: the hub, whose readers see the lines.
        writer: holds the lines that are shown.
        state: says when the journal is away.
        backlog_lines, backlog_bytes: how much of an outage is kept in memory.
    """

    def __init__(
        self,
        hub: Hub,
        writer: Writer,
        state: JournalState,
        *,
        backlog_lines: int,
        backlog_bytes: int,
    ) -> None:
        self._hub, self._writer, self._state = hub, writer, state
        self._backlog_lines, self._backlog_bytes = backlog_lines, backlog_bytes
        self._shown = Shown()
        self._returned_at = 0.0
        self.outage: Outage | None = None
        """The present outage; `None` while readers are on the journal's segment."""
        self.segment_lock = trio.Lock()
        """Held while lines are shown, and while the hub goes from segment to segment."""

    @property
    def is_showing(self) -> bool:
        """Whether readers get this process's own lines alone."""
        return self.outage is not None

    async def run(self) -> None:
        """Show lines whenever the journal stays away; runs until it is cancelled."""
        while True:
            if self._state.is_serving:
                await self._state.wait_while(Availability.SERVING)
            elif await self._state.stays_away():
                async with self.segment_lock:
                    if not self._state.is_serving:
                        self._begin()
                await self._show()

    def rejoin(self, backlog: Backlog, archive: Archive) -> None:
        """Hand the readers over to the journal's segment. Hold `segment_lock`."""
        self._hub.rejoin(backlog, archive)
        self.outage = None
        self._returned_at = trio.current_time()

    def _begin(self) -> None:
        """Hand the readers over to a new segment of this process's. Hold `segment_lock`."""
        last = self._hub.segment
        epoch = fallback_epoch(last if last.backlog.persistent else None)
        backlog = Backlog(
            epoch,
            max_lines=self._backlog_lines,
            max_bytes=self._backlog_bytes,
            # The outage may cut a stack trace in two.
            continuations=last.backlog.continuations.copy(),
        )
        self.outage = Outage(time.time_ns() // 1_000_000)
        self._hub.fall_back(backlog, self.outage)
        self._writer.outbox.start_showing()
        self._hub.announce(
            "The journal is away: until it is back, only what this process reads itself is shown",
            "error",
            public=True,
        )
        self._writer.room.unpark_all()

    async def _show(self) -> None:
        """Show the lines that wait, and those that come, until the journal is back."""
        while self.outage is not None:
            items: list[Item] = []
            async with self.segment_lock:
                if self.outage is not None:
                    # Unseen lines are popped under the lock, because the follower may read them
                    # from the stream at the same time, and then they must not be shown here.
                    unseen, outbox = self._writer.pop_unseen(), self._writer.outbox
                    items = unseen + outbox.unshown(SLICE_LINES)
                    await self._show_new(items, self.outage)
            self._writer.room.unpark_all()
            if not items:
                await self._writer.work.wait()
                if self.outage is not None:
                    self._writer.work = trio.Event()

    async def _show_new(self, items: Sequence[Item], outage: Outage) -> None:
        """Publish the lines that no earlier outage has shown while they waited."""
        new = [item for item in items if item.message_id not in self._shown]
        if new:
            names = [item.message_id for item in new]
            self._shown.add(names, outage, min(item.since for item in new))
            await self._hub.publish([item.entry for item in new])

    # --- recognising lines that were shown -----------------------------------------------

    @property
    def oldest_since(self) -> float | None:
        """Unix seconds when the oldest line came that is not yet recognised; `None` if all are."""
        return self._shown.oldest_since

    def shown(self, names: Sequence[str], numbers: Iterable[int]) -> Set[int]:
        """Return the indices of the entries that readers have seen, of those that are stored.

        Hold `segment_lock` until the entries are added to the journal's segment.

        Args:
            names: the message id of each entry, in the journal's order.
            numbers: the journal's number of each.
        """
        if self._shown.is_settled:
            return frozenset()
        seen = {
            index
            for index, (name, number) in enumerate(zip(names, numbers, strict=True))
            if self._shown.stored(name, number)
        }
        too_late = trio.current_time() - self._returned_at > SHOWN_FOR
        nothing_waits = not len(self._writer.outbox)
        if not self.is_showing and (self._shown.is_known or (too_late and nothing_waits)):
            self._shown.settle()
        return seen

    def stored(self, name: str, number: int) -> None:
        """Note the number of a stored line that the follower has skipped."""
        self._shown.stored(name, number)

    def lose(self, name: str) -> None:
        """Note that a line will not be recognised, because it left the outbox."""
        self._shown.lose(name)
