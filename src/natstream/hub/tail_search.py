"""The search for the last matching entries: back through memory, then through the archive.

The search is a generator that yields between slices, so that other readers get their turn during a
long search. It yields a `Lookup` while it waits for the archive, and `None` otherwise. A filter may
need several turns for one slice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

import attrs

from natstream.entries.filters import Filter
from natstream.errors import SourceError
from natstream.hub.batch import Batch, Position
from natstream.hub.budget import ReaderBudget
from natstream.hub.lookup import Lookup, ask
from natstream.hub.timeline import Archive, Segment

__all__ = ["Found", "find_tail"]

# Searching one slice of memory takes a fifth of a millisecond, without an expression.
SLICE_LINES = 200
# In the archive, the first slice is enough for a common filter; the slices grow for a rare one.
ARCHIVE_SLICE_LINES = 4_000
MAX_ARCHIVE_SLICE_LINES = 256_000


@attrs.frozen
class Found:
    """The segment and the number at which the last matching entries begin."""

    segment: Segment
    number: int
    failed: bool = False
    """Whether the archive could not be searched, so that entries before `number` may be missing."""
    cut: bool = False
    """Whether the search ended at its limit, with entries left that it did not look at."""


def find_tail(
    segment: Segment,
    before: Segment | None,
    end: int,
    filter: Filter,
    budget: ReaderBudget,
    *,
    wanted: int,
    since: int | None,
    wake: Callable[[], None],
    limit: float = math.inf,
) -> Generator[Lookup[Any] | None, None, Found]:
    """Return where the last `wanted` matching entries begin; search backwards, in slices.

    Args:
        segment: where the search begins, before the number `end`.
        before: the segment in which the search goes on, if there is one.
        filter: selects the entries that count.
        budget: the CPU time that the filter may take.
        wanted: how many entries to find.
        since: Unix ms; entries that arrived earlier do not count.
        wake: see `Lookup`.
        limit: how many entries to look at.
    """
    left = limit
    while True:
        backlog = segment.backlog
        while wanted and left:
            # The lowest number may change between slices, because the backlog evicts entries.
            lowest = backlog.first if since is None else backlog.number_at(since)
            start = max(lowest, end - int(min(SLICE_LINES, left)))
            if start >= end:
                break
            batch = backlog.read(
                Position(entry=start, notice=0), end, SLICE_LINES, backlog.max_bytes
            )
            matching = yield from _matching(batch, filter, budget)
            enough = len(matching) >= wanted
            left -= end - batch.first
            end = matching[-wanted] if enough else batch.first
            wanted = max(0, wanted - len(matching))
            yield None
        if not wanted or before is None:
            break
        segment, before = before, None
        end = segment.flushed.entry
    if not wanted or segment.archive is None:
        return Found(segment, end, cut=not left and segment.backlog.first < end)
    archive = segment.archive
    try:
        lowest = yield from ask(archive, partial(archive.number_at, since or 0), wake)
        least = max(lowest, end - left)
        search = partial(_search_slice, archive, filter, budget, wake)
        wanted, end = yield from _search_archive(search, int(least), end, wanted)
    except _ArchiveError as error:
        return Found(segment, error.number, failed=True)
    except SourceError:
        return Found(segment, end, failed=True)
    return Found(segment, end, cut=bool(wanted) and lowest < end)


class _ArchiveError(Exception):
    """The archive does not answer; the search has reached the entry `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


Search = Generator[Lookup[Any] | None, None, deque[int]]


def _search_archive(
    search: Callable[[int, int, int], Search], lowest: int, end: int, wanted: int
) -> Generator[Lookup[Any] | None, None, tuple[int, int]]:
    """Return how many entries are still wanted, and the number of the first that was found."""
    size = ARCHIVE_SLICE_LINES
    try:
        while wanted and lowest < end:
            start = max(lowest, end - size)
            found = yield from search(start, end, wanted)
            wanted -= len(found)
            end = start if wanted else found[0]
            size = min(size * 4, MAX_ARCHIVE_SLICE_LINES)
    except SourceError as error:
        raise _ArchiveError(end) from error
    return wanted, end


def _search_slice(
    archive: Archive,
    filter: Filter,
    budget: ReaderBudget,
    wake: Callable[[], None],
    start: int,
    end: int,
    wanted: int,
) -> Search:
    """Return the numbers of the last matching entries from `start` to `end`, reading forwards."""
    found: deque[int] = deque(maxlen=wanted)
    with closing(archive.open(start, filter)) as reader:
        while start < end:
            batch = yield from ask(archive, partial(reader.read, end), wake)
            found.extend((yield from _matching(batch, filter, budget)))
            start = batch.end.entry
    return found


def _matching(
    batch: Batch, filter: Filter, budget: ReaderBudget
) -> Generator[None, None, list[int]]:
    """Return the numbers of the entries that match; yield at the end of each turn."""
    batch.release()  # No other reader shares it.
    while (selection := batch.advance(filter, budget)) is None:
        yield None
    return selection.numbers
