"""The bounded memory of the hub, and the runs of it that are handed to readers. Pure.

Entries get consecutive numbers from 1. Notices take no number: each stands before the entry
whose number is its position, and is counted apart, so that counting missing lines stays exact.
A place in this stream of both is a `Position`; a `Batch` is an immutable run between two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Sequence
from itertools import accumulate, pairwise

import attrs

from natstream.entries.entry import LogEntry, Notice
from natstream.entries.filters import Filter
from natstream.formats.events import Format, write_event_id

__all__ = ["PIECE_BYTES", "Backlog", "Batch", "Position", "Selection", "StoredBatch", "fitting"]

# Notices are rare (a source's changes of state). A flapping source must not grow memory.
MAX_NOTICES = 1_000

# One write to a socket costs the same up to about 16 KB, and little more up to this; a reader
# that has stalled holds one piece.
PIECE_BYTES = 64 * 1024

# Forgotten entries are cut off the lists' front once they outnumber this and those in use, so
# that each costs O(1) on average.
_COMPACT_AT = 1_024


@attrs.frozen
class Position:
    """A place in the stream: the number of the next entry, and of the next notice."""

    entry: int
    notice: int

    def reaches(self, other: Position) -> bool:
        """Whether nothing that stands before `other` is still to come."""
        return self.entry >= other.entry and self.notice >= other.notice


@attrs.define(eq=False)
class Batch:
    """A run of consecutive entries, with the notices that stand between them. Immutable.

    What readers make of it is kept with it, so that they share the work: each entry's frame in
    each format as long as the batch lives, and what each filter selects until `release`.
    """

    epoch: str
    first: int
    """The number of the first entry."""
    entries: Sequence[LogEntry]
    arrivals: Sequence[int]
    """Unix ms of each entry's arrival, ascending."""
    first_notice: int
    notices: Sequence[tuple[int, Notice]] = ()
    """(the number of the entry that it stands before, the notice), ascending."""
    persistent: bool = attrs.field(default=False, kw_only=True)
    """Whether the entries are stored durably."""
    _frames: dict[Format, list[bytes | None]] = attrs.field(factory=dict, init=False, repr=False)
    _selections: dict[Filter, Selection] | None = attrs.field(factory=dict, init=False, repr=False)

    start: Position = attrs.field(init=False)
    """The place of its first record."""
    end: Position = attrs.field(init=False)
    """The place after its last record."""

    def __attrs_post_init__(self) -> None:
        # Every reader asks for them several times.
        self.start = Position(self.first, self.first_notice)
        self.end = Position(self.first + len(self.entries), self.first_notice + len(self.notices))

    def since(self, position: Position) -> Batch:
        """The part of it from `cursor` on, which must not lie before `start`."""
        if position.entry <= self.first and position.notice <= self.first_notice:
            return self
        skip = max(0, position.entry - self.first)
        skip_notices = max(0, position.notice - self.first_notice)
        return Batch(
            self.epoch,
            self.first + skip,
            self.entries[skip:],
            self.arrivals[skip:],
            self.first_notice + skip_notices,
            self.notices[skip_notices:],
            persistent=self.persistent,
        )

    def number(self, index: int) -> int:
        """The number of the entry at `index`."""
        return self.first + index

    def select(self, filter: Filter) -> Selection:
        """What `filter` lets through, shared between its readers until `release`."""
        if self._selections is None:
            return self._select(filter)
        selection = self._selections.get(filter)
        if selection is None:
            selection = self._selections[filter] = self._select(filter)
        return selection

    def _select(self, filter: Filter) -> Selection:
        notices = self.notices
        if notices and filter.scoped:
            notices = [(number, notice.reduced()) for number, notice in notices]
        return Selection(self, filter.select(self.entries), notices)

    def release(self) -> None:
        """Stop keeping selections: nobody shares them any more.

        A selection that is kept with its batch is a cycle: both stay in memory until the collector
        comes by, which for a reader of much that is stored was 50 MB, and pauses for everybody.
        """
        self._selections = None

    def frame(self, index: int, format: Format) -> bytes:
        """The frame of the entry at `index`, encoded once."""
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
    """What was read from a journal between two places: perhaps not every entry. No notices."""

    numbers: Sequence[int] = attrs.field(kw_only=True)
    until: int = attrs.field(kw_only=True)
    """The number of the first entry after all that was looked through."""

    def __attrs_post_init__(self) -> None:
        self.start = Position(self.first, self.first_notice)
        self.end = Position(self.until, self.first_notice)
        # Nobody shares it.
        self.release()

    def number(self, index: int) -> int:
        return self.numbers[index]


@attrs.define(eq=False)
class Selection:
    """What one filter lets through of a batch; its notices always."""

    batch: Batch
    _indices: Sequence[int]
    _notices: Sequence[tuple[int, Notice]]
    _pieces: dict[Format, Sequence[bytes]] = attrs.field(factory=dict, init=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self._indices) or bool(self._notices)

    @property
    def entries(self) -> Sequence[LogEntry]:
        """The entries, in order."""
        return [self.batch.entries[index] for index in self._indices]

    @property
    def lines(self) -> int:
        """How many entries."""
        return len(self._indices)

    @property
    def notices(self) -> Sequence[Notice]:
        """The notices, in order."""
        return [notice for _, notice in self._notices]

    def without(self, numbers: Container[int]) -> Selection:
        """The same but for the entries with these numbers."""
        number = self.batch.number
        left = [index for index in self._indices if number(index) not in numbers]
        return (
            self if len(left) == len(self._indices) else Selection(self.batch, left, self._notices)
        )

    def pieces(self, format: Format) -> Sequence[bytes]:
        """Its frames in `format`, joined into pieces of at most 64 KiB (or one larger frame)."""
        pieces = self._pieces.get(format)
        if pieces is None:
            pieces = self._pieces[format] = _join(self._frames(format))
        return pieces

    def _frames(self, format: Format) -> list[bytes]:
        batch = self.batch
        if not self._notices:
            return [batch.frame(index, format) for index in self._indices]
        frames = []
        upcoming = list(self._notices)
        for index in self._indices:
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


def fitting(costs: Sequence[int], max_bytes: int) -> int:
    """How many from the front cost at most `max_bytes` together; of any at all, at least one."""
    if sum(costs) <= max_bytes:
        return len(costs)
    return max(1, sum(1 for total in accumulate(costs) if total <= max_bytes))


class Backlog:
    """The newest entries, at most `max_lines` and about `max_bytes` of memory; at least one."""

    def __init__(
        self,
        epoch: str,
        *,
        max_lines: int,
        max_bytes: int,
        first: int = 1,
        persistent: bool = False,
    ) -> None:
        self.epoch = epoch
        self.max_lines = max_lines
        self.max_bytes = max_bytes
        self.persistent = persistent
        """Whether the entries are stored durably, elsewhere."""
        self.bytes = 0
        self.first = first
        """The number of the oldest remembered entry, or of the next one if there is none."""
        self.first_notice = 1
        # Parallel lists, oldest first; what stands before _start is forgotten.
        self._start = 0
        self._entries: list[LogEntry | None] = []
        self._arrivals: list[int] = []
        self._costs: list[int] = []
        self._notices: list[tuple[int, Notice]] = []

    @property
    def lines(self) -> int:
        """How many entries are remembered."""
        return len(self._entries) - self._start

    @property
    def end(self) -> Position:
        """The place after the newest record."""
        return Position(self.first + self.lines, self.first_notice + len(self._notices))

    @property
    def newest_ms(self) -> int:
        """Unix ms of the newest entry's arrival; 0 if there never was one."""
        return self._arrivals[-1] if self._arrivals else 0

    @property
    def oldest_ms(self) -> int | None:
        """Unix ms of the oldest remembered entry's arrival."""
        return self._arrivals[self._start] if self.lines else None

    def append(
        self, entries: Sequence[LogEntry], costs: Sequence[int], arrivals: Sequence[int]
    ) -> None:
        """Number and remember entries, and forget the oldest past the limits.

        Args:
            entries: any number of them.
            costs: what each costs, in bytes.
            arrivals: when each arrived, in Unix ms. A clock may have been set back: none counts
                as earlier than one before it, since `since` searches them.
        """
        self._entries += entries
        self._arrivals += list(accumulate(arrivals, max, initial=self.newest_ms))[1:]
        self._costs += costs
        self.bytes += sum(costs)
        self._forget()

    def jump(self, number: int) -> None:
        """Forget all entries, and go on with this number: those up to it do not exist."""
        self._start = self.bytes = 0
        self._entries, self._arrivals, self._costs = [], [], []
        self.first = number

    def append_notice(self, notice: Notice) -> None:
        """Remember a notice, before the next entry."""
        self._notices.append((self.end.entry, notice))
        if len(self._notices) > MAX_NOTICES:
            del self._notices[0]
            self.first_notice += 1

    def arrival(self, number: int) -> int:
        """Unix ms of the arrival of a remembered entry."""
        return self._arrivals[self._start + number - self.first]

    def number_at(self, unix_ms: int) -> int:
        """The number of the first entry that arrived at `unix_ms` or later."""
        return self.first + bisect_left(self._arrivals, unix_ms, self._start) - self._start

    def notice_at(self, number: int) -> int:
        """The number of the first notice that stands before the entry `number` or later."""
        return self.first_notice + bisect_left(self._notices, number, key=lambda item: item[0])

    def read(self, position: Position, end: int, max_lines: int, max_bytes: int) -> Batch:
        """The run from `cursor` up to the entry `end`, as far as it is remembered.

        It stops after `max_lines` entries or `max_bytes` of what they cost, but gives at least
        one entry where there is one. Notices come along up to the place where it stops.
        """
        first = max(position.entry, min(self.first, end))
        start = self._start + max(0, first - self.first)
        stop = max(
            start, min(start + max_lines, self._start + end - self.first, len(self._entries))
        )
        stop = start + fitting(self._costs[start:stop], max_bytes)
        number = first + stop - start
        first_notice = max(position.notice, self.first_notice)
        # Those that stand before the entry after this run are its last records.
        last_notice = max(first_notice, self.notice_at(number + 1))
        offset = self.first_notice
        return Batch(
            self.epoch,
            first,
            self._entries[start:stop],  # type: ignore[arg-type]  # only forgotten ones are None
            self._arrivals[start:stop],
            first_notice,
            self._notices[first_notice - offset : last_notice - offset],
            persistent=self.persistent,
        )

    def _forget(self) -> None:
        start, end, size = self._start, len(self._entries), self.bytes
        least = end - self.max_lines
        while start < least or (size > self.max_bytes and start < end - 1):
            size -= self._costs[start]
            self._entries[start] = None
            start += 1
        self.first += start - self._start
        self._start, self.bytes = start, size
        if start > _COMPACT_AT and start > end - start:
            del self._entries[:start], self._arrivals[:start], self._costs[:start]
            self._start = 0
