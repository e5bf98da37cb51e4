"""The bounded memory of the hub. Pure.

Entries get consecutive numbers from 1. Notices take none of these numbers, so that counts of
missing lines stay exact: they are counted apart, and each is kept with the number of the entry that
comes after it. Readers get the remembered records in batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from natstream.entries.continuation import Continuations
from natstream.entries.entry import LogEntry, Notice
from natstream.hub.batch import Batch, Position

__all__ = ["Backlog", "fitting"]

# Notices are rare, because they tell of changes of a source's state. The limit holds for a source
# that changes all the time.
MAX_NOTICES = 1_000

# Evicted entries are cut off the front of the lists once there are more of them than this, and more
# than remembered entries. So each entry costs O(1) on average.
_COMPACT_AT = 1_024


def fitting(costs: Sequence[int], max_bytes: int) -> int:
    """Return how many of the first costs add up to at most `max_bytes`, but at least one."""
    if sum(costs) <= max_bytes:
        return len(costs)
    return max(1, sum(1 for total in accumulate(costs) if total <= max_bytes))


class Backlog:
    """The newest entries of a segment.

    Args:
        epoch: the epoch of the entries' ids.
        max_lines: the most entries to remember.
        max_bytes: about the most memory that they may use; one entry may use more.
        first: the number that the first entry gets.
        persistent: whether the entries are stored durably, by the journal.
        continuations: finds the lines that continue another one; it goes on from an earlier order.
    """

    def __init__(
        self,
        epoch: str,
        *,
        max_lines: int,
        max_bytes: int,
        first: int = 1,
        persistent: bool = False,
        continuations: Continuations | None = None,
    ) -> None:
        self.epoch = epoch
        self.max_lines = max_lines
        self.max_bytes = max_bytes
        self.persistent = persistent
        self.continuations: Continuations = continuations or Continuations()
        """What is known of the lines before the next one. Here entries get their final order."""
        self.bytes: int = 0
        """The memory that the remembered entries use."""
        self.first: int = first
        """The number of the oldest remembered entry, or of the next entry if there is none."""
        self.first_notice: int = 1
        """The number of the oldest remembered notice, or of the next notice if there is none."""
        # These lists are parallel, with the oldest entry first. Entries before _start are evicted.
        self._start = 0
        self.has_evicted: bool = False
        """Whether entries were evicted, or passed over."""
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
        """The position after the newest record."""
        return Position(
            entry=self.first + self.lines, notice=self.first_notice + len(self._notices)
        )

    @property
    def newest_ms(self) -> int:
        """Unix ms of the newest entry's arrival; 0 if there never was an entry."""
        return self._arrivals[-1] if self._arrivals else 0

    @property
    def oldest_ms(self) -> int | None:
        """Unix ms of the oldest remembered entry's arrival; `None` if there is none."""
        return self._arrivals[self._start] if self.lines else None

    def append(
        self, entries: Sequence[LogEntry], costs: Sequence[int], arrivals: Sequence[int]
    ) -> Sequence[LogEntry]:
        """Number and remember entries, and evict the oldest entries beyond the limits.

        Args:
            entries: any number of entries.
            costs: the bytes of memory that each entry uses.
            arrivals: the Unix ms at which each entry arrived. If the clock was set back, an entry
                counts as arrived with the entry before it, because `number_at` needs a sorted list.

        Returns:
            The entries as they are remembered: a line that continues another one has its level.
        """
        entries = self.continuations.join(entries)
        self._entries += entries
        self._arrivals += list(accumulate(arrivals, max, initial=self.newest_ms))[1:]
        self._costs += costs
        self.bytes += sum(costs)
        self._evict()
        return entries

    def prepend(
        self, entries: Sequence[LogEntry], costs: Sequence[int], arrivals: Sequence[int]
    ) -> int:
        """Put entries before the first one, and return how many of the newest of them had room.

        They get the numbers below `first`. There is no room once an entry was evicted, because the
        entries between would be missing. Arguments as in `append`.
        """
        if self.has_evicted:
            return 0
        most = min(len(entries), self.first - 1, self.max_lines - self.lines)
        sizes = accumulate(reversed(costs), initial=self.bytes)
        room = min(most, sum(1 for size in sizes if size <= self.max_bytes) - 1)
        if room <= 0:
            return 0
        earliest = self._arrivals[0] if self._arrivals else arrivals[-1]
        self._entries[:0] = Continuations().join(entries[-room:])
        self._arrivals[:0] = [min(ms, earliest) for ms in accumulate(arrivals[-room:], max)]
        self._costs[:0] = costs[-room:]
        self.bytes += sum(costs[-room:])
        self.first -= room
        return room

    def jump(self, number: int) -> None:
        """Forget all entries, and give the next entry this number."""
        self._start = self.bytes = 0
        self.has_evicted = True
        self._entries, self._arrivals, self._costs = [], [], []
        self.first = number

    def append_notice(self, notice: Notice) -> None:
        """Remember a notice, which stands before the next entry."""
        self._notices.append((self.end.entry, notice))
        if len(self._notices) > MAX_NOTICES:
            del self._notices[0]
            self.first_notice += 1

    def arrival(self, number: int) -> int:
        """Return the Unix ms at which a remembered entry arrived."""
        return self._arrivals[self._start + number - self.first]

    def number_at(self, unix_ms: int) -> int:
        """Return the number of the first remembered entry that arrived at `unix_ms` or later."""
        return self.first + bisect_left(self._arrivals, unix_ms, self._start) - self._start

    def notice_at(self, number: int) -> int:
        """Return the number of the first notice that stands before the entry `number` or later."""
        return self.first_notice + bisect_left(self._notices, number, key=lambda item: item[0])

    def read(self, position: Position, end: int, max_lines: int, max_bytes: int) -> Batch:
        """Return the remembered records from `position` up to the entry `end`.

        The batch has at most `max_lines` entries, which use at most `max_bytes` of memory, but at
        least one entry if there is one. It ends with the notices behind its last entry.
        """
        first = max(position.entry, min(self.first, end))
        start = self._start + max(0, first - self.first)
        stop = max(
            start, min(start + max_lines, self._start + end - self.first, len(self._entries))
        )
        stop = start + fitting(self._costs[start:stop], max_bytes)
        number = first + stop - start
        first_notice = max(position.notice, self.first_notice)
        # The notices before the entry after this batch are the last records of the batch.
        last_notice = max(first_notice, self.notice_at(number + 1))
        offset = self.first_notice
        return Batch(
            epoch=self.epoch,
            first=first,
            entries=self._entries[start:stop],  # type: ignore[arg-type]  # only evicted are None
            arrivals=self._arrivals[start:stop],
            first_notice=first_notice,
            notices=self._notices[first_notice - offset : last_notice - offset],
            persistent=self.persistent,
        )

    def _evict(self) -> None:
        first, end = self._start, len(self._entries)
        start = max(first, end - self.max_lines)
        size = self.bytes - sum(self._costs[first:start])
        while size > self.max_bytes and start < end - 1:
            size -= self._costs[start]
            start += 1
        self._entries[first:start] = [None] * (start - first)
        self.has_evicted = self.has_evicted or start > first
        self.first += start - first
        self._start, self.bytes = start, size
        if start > _COMPACT_AT and start > end - start:
            del self._entries[:start], self._arrivals[:start], self._costs[:start]
            self._start = 0
