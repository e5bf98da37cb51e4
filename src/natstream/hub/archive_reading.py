"""Reading the archive for one reader, whose position lies before the start of the backlog.

A task of the journal's fetches one chunk at a time. The chunk is held until the reader's cursor has
moved over it. If the archive does not answer, the entries up to the start of the backlog become a
gap. On trio; no sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from natstream.entries.entry import Gap
from natstream.errors import JournalClosed, SourceError
from natstream.hub.batch import Selection, StoredBatch
from natstream.hub.cursor import Cursor
from natstream.hub.lookup import Lookup
from natstream.hub.timeline import Archive, ArchiveReader

__all__ = ["ArchiveReading"]


class ArchiveReading:
    """Reads the archive for one cursor, which is moved over the chunks."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._reader: ArchiveReader | None = None
        self._chunk: Lookup[StoredBatch] | None = None
        self._batch: StoredBatch | None = None
        """The chunk, while the filter needs more turns for it."""

    @property
    def pending(self) -> Lookup[Any] | None:
        """The chunk that is being fetched, if one is."""
        return None if self._chunk is None or self._chunk.is_done else self._chunk

    def read(
        self, archive: Archive, until: int, now: float, wake: Callable[[], None]
    ) -> Selection | Gap | None:
        """Move the cursor over the next chunk before the number `until`.

        Args:
            archive: stores the chunk.
            until: see above.
            now: the time on trio's clock.
            wake: called when the chunk was fetched (see `Lookup`). Only the lookup keeps it,
                because a reader whose parts refer to it would stay in memory until the garbage
                collector runs, with all batches on its channel.

        Returns:
            The entries that the filter lets through; or a gap if entries are no longer stored; or
            `None` while the chunk is being fetched.

        Raises:
            JournalClosed: the chunk cannot be fetched; a later call tries it again.
            TurnIsOver: see `Cursor.accept`.
        """
        cursor = self._cursor
        if (skipped := cursor.skip_shown(until, now)) is not None:
            self.stop()
            return skipped
        if self._reader is None:
            self._reader = archive.open(cursor.position.entry, cursor.filter)
        if self._chunk is None:
            self._chunk = Lookup(archive, partial(self._reader.read, until), wake)
        if not self._chunk.is_done:
            return None
        try:
            batch = self._batch or self._chunk.result()
        except SourceError:
            self.stop()
            return cursor.lose(until)  # The journal stays away, so go on with the backlog.
        except JournalClosed:
            self.stop()
            raise
        if cursor.position.entry < batch.start.entry:
            return cursor.lose(batch.start.entry)
        if batch.first_notice != cursor.position.notice:
            batch = attrs.evolve(batch, first_notice=cursor.position.notice)
        self._batch = batch
        selection = cursor.accept(batch, now)
        self._chunk = self._batch = None
        if batch.end.entry >= until:
            self.stop()
        return selection

    def stop(self) -> None:
        """Release the server's resources; a later `read` starts again at the cursor's position."""
        if self._chunk is not None:
            self._chunk.cancel()
        if self._reader is not None:
            self._reader.close()
        self._reader = self._chunk = self._batch = None
