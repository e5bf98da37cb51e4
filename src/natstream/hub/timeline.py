"""The segments of a process, and the links between them. Pure.

A segment is a run of numbers under one epoch. Without a journal there is one segment, the
process's own. With a journal, the timeline goes from the journal's segment to a fallback segment
while the journal is away, and back. A reader finishes a segment before it goes on to the next one,
so that it loses nothing and sees everything in order. Only `Timeline` links segments.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import attrs

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.formats.events import EventId
from natstream.hub.backlog import Backlog
from natstream.hub.batch import Position, Selection, StoredBatch

__all__ = [
    "AlreadyShown",
    "Archive",
    "ArchiveReader",
    "Outage",
    "Segment",
    "Timeline",
    "fallback_epoch",
    "journal_position",
]

_FALLBACK_EPOCH = re.compile(r"[0-9a-f]{8}n(\d{1,18})(j[0-9a-z]+)", re.ASCII)
# The length of an epoch that fits into an event id.
_MAX_EPOCH = 32
# A reader passes over this many entries that it was already shown in one step of half a
# millisecond, so that other readers get their turn.
SKIP_LINES = 5_000


class ArchiveReader(Protocol):
    """One reader's position in the archive."""

    async def read(self, until: int) -> StoredBatch:
        """Return the next entries before the number `until` that the filter may let through.

        The batch starts later than the reader's position if the entries between are no longer
        stored. A cancelled read loses nothing.

        Raises:
            SourceUnavailable: the journal stays away.
        """

    def close(self) -> None:
        """Release the resources that the server keeps for this reader."""


class Archive(Protocol):
    """The stored entries, which reach further back than the backlog.

    Every coroutine may raise `SourceUnavailable` because the journal does not answer.
    """

    def start_soon(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> None:
        """Run a coroutine function in a task of the journal's.

        Raises:
            JournalClosed: the journal is closed.
        """

    def open(self, start: int, filter: Filter) -> ArchiveReader:
        """Return a reader before the entry `start`; it may leave out what the filter rejects."""

    async def end(self) -> int:
        """Return the number that the next entry will have."""

    async def number_at(self, unix_ms: int) -> int:
        """Return the number of the first entry that was stored at `unix_ms` or later."""

    async def find(self, number: int) -> LogEntry | None:
        """Return the entry with this number if it is stored."""


@attrs.define(eq=False)
class Outage:
    """A time without the journal, and the journal's numbers of the entries that readers saw."""

    since: int
    """Unix ms of its start."""
    numbers: set[int] = attrs.field(factory=set)
    """The numbers under which the journal stored entries that the fallback segment has shown."""
    overflowed: bool = False
    """Whether there were too many entries to recognise all of them later."""
    is_over: bool = False
    """Whether `numbers` is complete."""
    _newest: int = attrs.field(default=0, init=False)
    _counted: int = attrs.field(default=0, init=False)

    @property
    def newest(self) -> int:
        """The greatest of `numbers`; it is kept, because every reader asks for every batch."""
        if self._counted != len(self.numbers):
            self._newest, self._counted = max(self.numbers), len(self.numbers)
        return self._newest

    def concerns(self, number: int) -> bool:
        """Return whether entries with this number or later ones may have been shown."""
        return not self.is_over or number <= self.newest


@attrs.define(eq=False)
class Segment:
    """A run of numbers under one epoch. Its links are set by `Timeline`."""

    backlog: Backlog
    archive: Archive | None = None
    outage: Outage | None = None
    """Set on a fallback segment."""
    flushed: Position = attrs.field(init=False)
    """The position up to which readers have been handed batches."""
    index: int = attrs.field(default=0, init=False)
    """How many segments the timeline had before this one."""
    before: Segment | None = attrs.field(default=None, init=False)
    """The journal's segment before this fallback segment, for readers that look back."""
    fallback: Segment | None = attrs.field(default=None, init=False)
    """The fallback segment before this one of the journal, for readers of one of its lines."""
    next: Segment | None = attrs.field(default=None, init=False)
    next_start: int = attrs.field(default=1, init=False)
    """The number in `next` at which readers begin that have never been on that segment."""

    def __attrs_post_init__(self) -> None:
        self.flushed = self.backlog.end

    @property
    def epoch(self) -> str:
        """The epoch of the segment's event ids."""
        return self.backlog.epoch

    @property
    def is_over(self) -> bool:
        """Whether the timeline has gone on to another segment."""
        return self.next is not None

    def backwards(self) -> Iterator[Segment]:
        """Yield this segment and the one before it, where a reader may look back."""
        yield self
        if (previous := self.before or self.fallback) is not None:
            yield previous

    def with_epoch(self, epoch: str) -> Segment | None:
        """Return the segment of this epoch among this one and the one before it."""
        return next((each for each in self.backwards() if each.epoch == epoch), None)


class Timeline:
    """The segments of one process, in order; readers join the current one."""

    def __init__(self, backlog: Backlog) -> None:
        self.current: Segment = Segment(backlog)

    def fall_back(self, backlog: Backlog, outage: Outage) -> Segment:
        """Return a new current segment for this process's own entries; the journal is away."""
        last = self.current
        segment = Segment(backlog, outage=outage)
        self._append(segment, start=1)
        segment.before = last if last.backlog.persistent else None
        return segment

    def rejoin(self, backlog: Backlog, archive: Archive) -> Segment:
        """Return a new current segment for the journal's entries.

        Args:
            backlog: the journal's memory; the same object as before if the stream is the same.
            archive: the entries that the journal stores.
        """
        segment = Segment(backlog, archive=archive)
        last, start = self.current, self._rejoin_start(backlog)
        before = last.before
        self._append(segment, start=start)
        if last.outage is not None:
            segment.fallback = last
            if before is not None and before.backlog is backlog:  # It takes no memory of its own.
                last.before = before
        return segment

    def _rejoin_start(self, backlog: Backlog) -> int:
        current = self.current
        last = current if current.backlog.persistent else current.before
        if last is not None and last.backlog is backlog:
            return last.flushed.entry
        if last is not None and not _is_former_epoch(last.epoch, of=backlog.epoch):
            return backlog.first  # This is another stream, of which no reader has seen an entry.
        if current.outage is not None:
            return backlog.number_at(current.outage.since)
        return backlog.end.entry

    def _append(self, segment: Segment, *, start: int) -> None:
        last = self.current
        segment.index = last.index + 1
        last.next, last.next_start = segment, start
        # Otherwise the segments of a day with many outages would keep each other in memory.
        last.before = last.fallback = None
        self.current = segment


class AlreadyShown:
    """The entries that one reader saw while the journal was away, by their journal's numbers."""

    def __init__(self) -> None:
        self._outages: list[Outage] = []

    def __bool__(self) -> bool:
        return bool(self._outages)

    def add(self, outage: Outage) -> None:
        """Remember an outage whose fallback segment the reader has read."""
        self._outages.append(outage)

    def skip(self, number: int, until: int) -> int:
        """Return the first number from `number` on that was not shown, at most `until`.

        After a long outage, all readers would otherwise read entries from the archive at once that
        none of them needs.
        """
        until = min(until, number + SKIP_LINES)
        while number < until and any(number in outage.numbers for outage in self._outages):
            number += 1
        return number

    def remove_from(self, selection: Selection) -> Selection:
        """Return the selection without the entries that were shown."""
        start = selection.batch.start.entry
        self._outages = [outage for outage in self._outages if outage.concerns(start)]
        for outage in self._outages:
            if start <= outage.newest:
                selection = selection.without(outage.numbers)
        return selection


def fallback_epoch(journal: Segment | None) -> str:
    """Return an epoch for a fallback segment.

    The epoch holds the number at which readers left the journal. So a reader that resumes at
    another process, or at this one when the journal is back, misses no entry that was stored
    meanwhile.
    """
    own = secrets.token_hex(4)
    if journal is None:
        return own
    epoch = f"{own}n{journal.flushed.entry - 1}{journal.epoch}"
    return epoch if len(epoch) <= _MAX_EPOCH else own


def journal_position(event_id: EventId) -> EventId | None:
    """Return the id of the journal's last entry before a fallback segment, if the id names it.

    Args:
        event_id: an id of the fallback segment.
    """
    match = _FALLBACK_EPOCH.fullmatch(event_id.epoch)
    if match is None:
        return None
    return EventId(unix_ms=event_id.unix_ms, epoch=match[2], number=int(match[1]))


def _is_former_epoch(epoch: str, *, of: str) -> bool:
    """Return whether `epoch` is of the same stream as `of`, before the server lost its end."""
    return of.startswith(epoch.partition("x")[0])
