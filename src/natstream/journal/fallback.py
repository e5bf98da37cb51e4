"""While the journal is away: this process's own lines, shown live under an epoch of their own.

In: what waits in the writer's outbox. Out: a segment of the hub's with these lines; and, once the
journal is back, under which numbers it has what was shown, so that nobody is shown it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import trio

from natstream.entries.entry import LogEntry
from natstream.hub.backlog import Backlog
from natstream.hub.hub import Hub
from natstream.hub.timeline import Outage, Segment, fallback_epoch
from natstream.journal.dedup import Shown
from natstream.journal.writer import Writer

__all__ = ["Fallback"]

# Shown in one go, between two turns of everybody else.
SLICE_LINES = 200
# Lines that were shown are known again when the journal has them; for so long after its return: by
# then whoever else had them has stored them.
SHOWN_FOR = 300.0


class Fallback:
    """Shows lines on a segment of its own, between two of the journal's.

    Args:
        hub: whose readers see them.
        writer: what waits with it is shown.
        backlog_lines, backlog_bytes: how much of an outage is kept in memory.
    """

    def __init__(self, hub: Hub, writer: Writer, *, backlog_lines: int, backlog_bytes: int) -> None:
        self._hub, self._writer = hub, writer
        self._backlog_lines, self._backlog_bytes = backlog_lines, backlog_bytes
        self._shown = Shown()
        self._returned_at = 0.0
        self.outage: Outage | None = None
        """The one that is now; `None` while the journal's segment is the hub's."""
        self.segments = trio.Lock()
        """Held while lines are shown, and while the hub goes from segment to segment."""

    @property
    def is_showing(self) -> bool:
        """Whether readers get this process's own lines alone."""
        return self.outage is not None

    def begin(self) -> None:
        """Take the readers over. Hold `segments`."""
        before = self._hub.segment if self._hub.segment.backlog.persistent else None
        backlog = Backlog(
            fallback_epoch(before),
            max_lines=self._backlog_lines,
            max_bytes=self._backlog_bytes,
        )
        self.outage = Outage(time.time_ns() // 1_000_000)
        segment = Segment(backlog, backlog.end, outage=self.outage)
        self._hub.move_to(segment, 1)
        segment.before = before
        self._writer.outbox.start_showing()
        self._hub.announce(
            "The journal is away: until it is back, only what this process reads itself is shown",
            "error",
            public=True,
        )
        self._hub.opened.set()
        self._writer.room.unpark_all()

    async def show(self) -> None:
        """Show what waits, and what comes, until `end`."""
        unseen = self._writer.take_unseen()
        while self.outage is not None:
            async with self.segments:
                items = self._writer.outbox.unshown(SLICE_LINES) if self.outage else []
                items, unseen = unseen + items, []
                # Others were shown in an outage before, and wait ever since.
                new = [item for item in items if item.message_id not in self._shown]
                if new and self.outage is not None:
                    self._shown.add([item.message_id for item in new], self.outage)
                    await self._hub.publish([item.entry for item in new])
            self._writer.room.unpark_all()
            if not items:
                await self._writer.work.wait()
                if self.outage is not None:
                    self._writer.work = trio.Event()

    def end(self, segment: Segment, start: int) -> None:
        """Hand the readers over to the journal's segment (see `Hub.move_to`). Hold `segments`."""
        self._hub.move_to(segment, start)
        self.outage = None
        self._returned_at = trio.current_time()

    # --- what is known again -------------------------------------------------------------

    def not_shown(
        self, entries: Sequence[LogEntry], names: Sequence[str], numbers: Iterable[int]
    ) -> Sequence[LogEntry]:
        """Those that readers have not had, of entries that the stream has under these numbers."""
        if self._shown.is_settled:
            return entries
        new = [
            entry
            for entry, name, number in zip(entries, names, numbers, strict=True)
            if not self._shown.stored(name, number)
        ]
        too_late = trio.current_time() - self._returned_at > SHOWN_FOR
        nothing_waits = not len(self._writer.outbox)
        if not self.is_showing and (self._shown.is_known or (too_late and nothing_waits)):
            self._shown.settle()
        return new

    def stored(self, name: str, number: int) -> None:
        """The stream has this one, further back than what is read of it."""
        self._shown.stored(name, number)

    def lose(self, name: str) -> None:
        """This one will not be known again."""
        self._shown.lose(name)
