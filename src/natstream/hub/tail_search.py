"""The search for the last matching entries: back through memory, then through what is stored.

It goes in slices, with everybody else's turn between them, since it may be a long way; and it goes
on where it was interrupted. On trio; no sockets.
"""

from __future__ import annotations

from collections import deque

import attrs
import trio

from natstream.entries.filters import Filter
from natstream.errors import SourceError
from natstream.hub.backlog import Position
from natstream.hub.timeline import Archive, ArchiveReader, Segment

__all__ = ["TailSearch"]

# A fifth of a millisecond each; a tenth of a second with the dearest expression on lines of
# ordinary length.
SLICE_LINES = 200
# In what is stored, first a slice that a common filter is content with, then larger ones.
STORED_LINES = 4_000
STORED_LINES_MOST = 256_000


@attrs.define
class _Slice:
    """A part of what is stored, which is looked through from front to back."""

    start: int
    place: int
    found: deque[int]
    """The numbers of its last matching entries."""
    reader: ArchiveReader


class TailSearch:
    """Where the last so many matching entries begin: in `segment`, with the number `place`.

    Args:
        filter: what they have to match.
        wanted: how many.
        since: Unix ms; none that arrived before.
        segment: where to begin, before the number `place`.
    """

    def __init__(
        self, filter: Filter, wanted: int, since: int | None, segment: Segment, place: int
    ) -> None:
        self._filter = filter
        self._wanted = wanted
        self._since = since
        self.segment = segment
        # The segment itself forgets it once the journal is back.
        self._before = segment.before
        self.place = place
        self._step = STORED_LINES
        self._lowest: int | None = None
        """The oldest number of what is stored that comes into question, once it is known."""
        self._slice: _Slice | None = None

    async def run(self) -> None:
        """Search. Cancelled, it goes on when it is called again.

        Raises:
            SourceError: what is stored cannot be looked through; `place` is as far as it got.
        """
        while self._wanted:
            backlog = self.segment.backlog
            lowest = backlog.first if self._since is None else backlog.number_at(self._since)
            if (start := max(lowest, self.place - SLICE_LINES)) < self.place:
                self._search_memory(start)
                await trio.lowlevel.checkpoint()
            elif self._before is not None:
                self.segment, self._before = self._before, None
                self.place = self.segment.flushed.entry
            elif self.segment.archive is None or not await self._search_stored(
                self.segment.archive
            ):
                return

    def close(self) -> None:
        """Let go of what the server keeps for it."""
        if self._slice is not None:
            self._slice.reader.close()
            self._slice = None

    def _search_memory(self, start: int) -> None:
        backlog = self.segment.backlog
        batch = backlog.read(Position(start, 0), self.place, SLICE_LINES, backlog.max_bytes)
        found = self._filter.select(batch.entries)
        enough = len(found) >= self._wanted
        self.place = batch.number(found[-self._wanted]) if enough else batch.first
        self._wanted = max(0, self._wanted - len(found))

    async def _search_stored(self, archive: Archive) -> bool:
        """Go back by one slice; whether there may be more before it."""
        try:
            if self._lowest is None:
                self._lowest = await archive.number_at(self._since or 0)
            if self._slice is None:
                start = max(self._lowest, self.place - self._step)
                if start >= self.place:
                    return False
                found: deque[int] = deque(maxlen=self._wanted)
                self._slice = _Slice(start, start, found, archive.open(start, self._filter))
            slice = self._slice
            while slice.place < self.place:
                batch = await slice.reader.read(self.place)
                matching = self._filter.select(batch.entries)
                slice.found.extend(batch.number(index) for index in matching)
                slice.place = batch.end.entry
        except SourceError:
            self.close()
            raise
        self.close()
        self._wanted -= len(slice.found)
        self.place = slice.start if self._wanted else slice.found[0]
        self._step = min(self._step * 4, STORED_LINES_MOST)
        return True
