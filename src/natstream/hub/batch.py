"""The batches that readers get from the backlog, and what a filter selects of them. Pure.

A `Position` stands between two records of the stream of entries and notices. A `Batch` is an
immutable run of records between two positions. Readers share the work that they do with it: the
frames of its entries, and for each filter a `Selection`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import accumulate, pairwise

import attrs

from natstream.entries.entry import LogEntry, Notice
from natstream.entries.fields import FieldCache
from natstream.entries.filters import Filter
from natstream.entries.selecting import Selecting
from natstream.formats.events import Format, write_event_id
from natstream.hub.budget import ReaderBudget

__all__ = ["PIECE_BYTES", "Batch", "Position", "Selection", "StoredBatch"]

# One write to a socket costs the same up to about 16 KB, and little more up to this size. A reader
# that has stalled holds one piece in memory.
PIECE_BYTES = 64 * 1024


@attrs.frozen
class Position:
    """A position in the stream: the numbers of the next entry and of the next notice."""

    entry: int
    notice: int

    def reaches(self, other: Position) -> bool:
        """Return whether every record before `other` stands before this position, too."""
        return self.entry >= other.entry and self.notice >= other.notice


@attrs.define(eq=False)
class Batch:
    """A run of consecutive entries, with the notices that stand between them. Immutable.

    Readers share the work that they do with a batch. The batch keeps the frame of each entry in
    each format, and until `release` the selection of each filter and the entries' fields.
    """

    epoch: str
    first: int
    """The number of the first entry."""
    entries: Sequence[LogEntry]
    arrivals: Sequence[int]
    """Unix ms of each entry's arrival, ascending."""
    first_notice: int
    """The number of the first notice."""
    notices: Sequence[tuple[int, Notice]] = ()
    """Pairs, ascending: the number of the entry before which the notice stands, and the notice."""
    persistent: bool = attrs.field(default=False, kw_only=True)
    """Whether the entries are stored durably."""
    _frames: dict[Format, list[bytes | None]] = attrs.field(factory=dict, init=False, repr=False)
    _selections: dict[Filter, Selection] | None = attrs.field(factory=dict, init=False, repr=False)
    _selecting: dict[Filter, Selecting] = attrs.field(factory=dict, init=False, repr=False)
    """The selections in progress."""
    _fields: FieldCache | None = attrs.field(default=None, init=False, repr=False)

    start: Position = attrs.field(init=False)
    """The position before the first record."""
    end: Position = attrs.field(init=False)
    """The position after the last record."""

    def __attrs_post_init__(self) -> None:
        # The positions are kept, because every reader asks for them several times.
        self.start = Position(entry=self.first, notice=self.first_notice)
        self.end = Position(
            entry=self.first + len(self.entries), notice=self.first_notice + len(self.notices)
        )

    def since(self, position: Position) -> Batch:
        """Return the part of the batch from `position` on; no `position` lies before `start`."""
        if position.entry <= self.first and position.notice <= self.first_notice:
            return self
        skip = max(0, position.entry - self.first)
        skip_notices = max(0, position.notice - self.first_notice)
        return Batch(
            epoch=self.epoch,
            first=self.first + skip,
            entries=self.entries[skip:],
            arrivals=self.arrivals[skip:],
            first_notice=self.first_notice + skip_notices,
            notices=self.notices[skip_notices:],
            persistent=self.persistent,
        )

    def number(self, index: int) -> int:
        """Return the number of the entry at `index`."""
        return self.first + index

    def select(self, filter: Filter) -> Selection:
        """Return what the filter lets through; its readers share the result until `release`.

        Raises:
            ExpressionTooSlow: the filter is expensive, so that it needs turns, as in `advance`.
        """
        selection = self._selections.get(filter) if self._selections is not None else None
        if selection is None:
            selection = self._keep(filter, filter.select(self.entries, self._field_cache()))
        return selection

    def advance(self, filter: Filter, budget: ReaderBudget) -> Selection | None:
        """Do the same as `select` in turns; return `None` if more turns are needed.

        Readers of one filter share the work, and each pays for the turns that it makes. The filter
        of a link's reader gets only the entries that the scope lets through, and the readers of the
        link share that selection, too.
        """
        if self._selections is not None and (selection := self._selections.get(filter)) is not None:
            return selection
        selecting = self._selecting.get(filter)
        if selecting is None:
            indices: Sequence[int] = range(len(self.entries))
            if filter.within is not None:
                scope = self.advance(filter.within, budget)
                if scope is None:
                    return None
                indices = scope.indices
            indices = filter.check(self.entries, indices)
            if not filter.is_costly or not indices:
                return self._keep(filter, indices)
            selecting = filter.selecting(self.entries, indices, self._field_cache())
            self._selecting[filter] = selecting
        if not budget.run(selecting, is_scope=filter.is_scope):
            return None
        del self._selecting[filter]
        return self._keep(filter, selecting.indices)

    def _field_cache(self) -> FieldCache:
        if self._selections is None:
            return FieldCache(self.entries)
        if self._fields is None:
            self._fields = FieldCache(self.entries)
        return self._fields

    def _keep(self, filter: Filter, indices: Sequence[int]) -> Selection:
        notices = self.notices
        if notices and filter.scoped:
            notices = [(number, notice.reduced()) for number, notice in notices]
        selection = Selection(batch=self, indices=indices, notices=notices)
        if self._selections is not None:
            self._selections[filter] = selection
        return selection

    def release(self) -> None:
        """Stop keeping selections and fields, because readers do not share them any more.

        A batch and a selection that it keeps refer to each other, so both stay in memory until the
        garbage collector runs. For a reader of many stored lines that was 50 MB, and a pause for
        every reader.
        """
        self._selections = self._fields = None

    def frame(self, index: int, format: Format) -> bytes:
        """Return the frame of the entry at `index`, which is encoded once."""
        frames = self._frames.get(format)
        if frames is None:
            frames = self._frames[format] = [None] * len(self.entries)
        frame = frames[index]
        if frame is None:
            event_id = write_event_id(self.arrivals[index], self.epoch, self.number(index))
            frame = frames[index] = format.entry(self.entries[index], event_id, self.persistent)
        return frame


@attrs.define(eq=False)
class StoredBatch(Batch):
    """Entries that were read from the journal, perhaps with holes, and without notices."""

    numbers: Sequence[int] = attrs.field(kw_only=True)
    """The number of each entry."""
    until: int = attrs.field(kw_only=True)
    """The number before which the journal holds no other entry that the filter lets through."""

    def __attrs_post_init__(self) -> None:
        self.start: Position = Position(entry=self.first, notice=self.first_notice)
        self.end: Position = Position(entry=self.until, notice=self.first_notice)
        self.release()  # One reader reads it, so no other reader shares its selection.

    def number(self, index: int) -> int:
        return self.numbers[index]


@attrs.define(eq=False)
class Selection:
    """The entries of a batch that one filter lets through, and all notices of the batch."""

    batch: Batch
    indices: Sequence[int]
    """The indices of the selected entries in the batch, ascending."""
    _notices: Sequence[tuple[int, Notice]]
    _pieces: dict[Format, Sequence[bytes]] = attrs.field(factory=dict, init=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.indices) or bool(self._notices)

    @property
    def entries(self) -> Sequence[LogEntry]:
        """The selected entries, in order."""
        return [self.batch.entries[index] for index in self.indices]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the selected entries."""
        return [self.batch.number(index) for index in self.indices]

    @property
    def lines(self) -> int:
        """How many entries are selected."""
        return len(self.indices)

    @property
    def notices(self) -> Sequence[Notice]:
        """The notices, in order."""
        return [notice for _, notice in self._notices]

    def without(self, numbers: Container[int]) -> Selection:
        """Return the selection without the entries that have these numbers."""
        number = self.batch.number
        left = [index for index in self.indices if number(index) not in numbers]
        if len(left) == len(self.indices):
            return self
        return Selection(batch=self.batch, indices=left, notices=self._notices)

    def head(self, count: int) -> Selection:
        """Return the first `count` entries of the selection, with the notices before the last."""
        indices = self.indices[:count]
        last = self.batch.number(indices[-1]) if indices else self.batch.first
        notices = [pair for pair in self._notices if pair[0] <= last]
        return Selection(batch=self.batch, indices=indices, notices=notices)

    def before(self, unix_ms: int) -> Selection:
        """Return the entries that arrived before a time, with the notices before the next one."""
        return self.head(sum(self.batch.arrivals[index] < unix_ms for index in self.indices))

    def pieces(self, format: Format) -> Sequence[bytes]:
        """Return the frames in a format, joined into pieces of at most 64 KiB or one frame."""
        pieces = self._pieces.get(format)
        if pieces is None:
            pieces = self._pieces[format] = _join(self._frames(format))
        return pieces

    def _frames(self, format: Format) -> list[bytes]:
        batch = self.batch
        if not self._notices:
            return [batch.frame(index, format) for index in self.indices]
        frames = []
        upcoming = list(self._notices)
        for index in self.indices:
            while upcoming and upcoming[0][0] <= batch.number(index):
                frames.append(format.notice(upcoming.pop(0)[1]))
            frames.append(batch.frame(index, format))
        frames.extend(format.notice(notice) for _, notice in upcoming)
        return frames


def _join(frames: list[bytes]) -> list[bytes]:
    sizes = list(accumulate(map(len, frames)))
    if not sizes or sizes[-1] <= PIECE_BYTES:
        return [b"".join(frames)] if frames else []
    cuts = [0]
    done = 0
    for index, size in enumerate(sizes):
        if size - done > PIECE_BYTES and index > cuts[-1]:
            cuts.append(index)
            done = sizes[index - 1]
    return [b"".join(frames[start:end]) for start, end in pairwise([*cuts, len(frames)])]
