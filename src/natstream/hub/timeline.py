"""The parts of a reader's way: each under one epoch, and where the next one begins.

Without a journal there is one segment, the process's own. With one, the hub goes from the journal's
segment to one of its own lines alone while the journal is away, and back. A reader finishes a
segment, then goes on to the next; so nothing is lost or out of order on the way. No I/O here.
"""

from __future__ import annotations

import re
import secrets
from typing import Protocol

import attrs

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.formats.events import EventId
from natstream.hub.backlog import Backlog, Position, StoredBatch

__all__ = ["Archive", "ArchiveReader", "Outage", "Segment", "fallback_epoch", "stood_in_for"]

_STAND_IN = re.compile(r"[0-9a-f]{8}n(\d{1,18})(j[0-9a-z]+)", re.ASCII)
# Of an epoch, in an id.
_MOST = 32


class ArchiveReader(Protocol):
    """One reader's place in what is stored."""

    async def read(self, until: int) -> StoredBatch:
        """The next entries before the number `until` that the filter may let through.

        It starts later than the reader's place if what is between is no longer stored. Cancelled,
        it has lost nothing.

        Raises:
            SourceUnavailable: the journal does not come back.
        """

    def close(self) -> None:
        """Let go of what the server keeps for it."""


class Archive(Protocol):
    """What is stored durably, further back than the backlog. Each of these may wait.

    Raises:
        SourceUnavailable: the journal does not answer.
    """

    def open(self, start: int, filter: Filter) -> ArchiveReader:
        """A place before the entry `start`; what the filter never lets through may be left out."""

    async def end(self) -> int:
        """The number that the next entry will have."""

    async def number_at(self, unix_ms: int) -> int:
        """The number of the first entry that was stored at `unix_ms` or later."""

    async def find(self, number: int) -> LogEntry | None:
        """The entry of this number, if it is stored."""


@attrs.define(eq=False)
class Outage:
    """What is known of a segment without the journal, once the journal is back."""

    since: int
    """Unix ms of its start."""
    numbers: set[int] = attrs.field(factory=set)
    """The numbers under which the journal stored what this segment has shown, as far as seen."""
    overflowed: bool = False
    """There were too many lines to know them all again."""
    is_over: bool = False
    """No more numbers will come."""
    _newest: int = attrs.field(default=0, init=False)
    _counted: int = attrs.field(default=0, init=False)

    @property
    def newest(self) -> int:
        """The greatest of the numbers; every reader asks, with every batch."""
        if self._counted != len(self.numbers):
            self._newest, self._counted = max(self.numbers), len(self.numbers)
        return self._newest

    def matters_at(self, number: int) -> bool:
        """Whether it has shown entries of this number or later ones, or may have."""
        return not self.is_over or number <= self.newest


@attrs.define(eq=False)
class Segment:
    """A part of the way under one epoch."""

    backlog: Backlog
    flushed: Position
    """The place up to which readers have been handed batches."""
    number: int = 0
    """Segments are counted from 0."""
    archive: Archive | None = None
    outage: Outage | None = None
    """Where this segment stands in for the journal."""
    before: Segment | None = None
    """The journal's segment that this one follows, for who wants to look back."""
    next: Segment | None = None
    next_start: int = 1
    """The number in `next` with which a reader goes on who has never been there."""

    @property
    def epoch(self) -> str:
        return self.backlog.epoch


def fallback_epoch(journal: Segment | None) -> str:
    """An epoch for a segment that stands in for the journal, which tells where that was left.

    So a reader that comes to another process, or to this one when the journal is back, misses
    nothing of what was stored meanwhile.
    """
    own = secrets.token_hex(4)
    if journal is None:
        return own
    epoch = f"{own}n{journal.flushed.entry - 1}{journal.epoch}"
    return epoch if len(epoch) <= _MOST else own


def stood_in_for(event_id: EventId) -> EventId | None:
    """The last place in the journal that whoever shows this id has been at, if it tells."""
    match = _STAND_IN.fullmatch(event_id.epoch)
    return EventId(event_id.unix_ms, match[2], int(match[1])) if match else None
