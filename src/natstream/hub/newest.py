"""The remembered entries from the newest back, in slices, each entry once. Pure.

In: the current segment. Out: slices of it and of the segment before it, ordered by their newest
entries, since both segments get entries while the journal is away. The journal later stores the
lines that the fallback segment has shown. So they are in both memories, and each slice comes with
the numbers of its entries that are in the other one, too.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from natstream.hub.backlog import Backlog
from natstream.hub.batch import Batch, Position
from natstream.hub.timeline import Segment

__all__ = ["newest_slices"]


def newest_slices(
    segment: Segment, lines: int, since_ms: int = 0
) -> Iterator[tuple[Batch, Container[int]]]:
    """Yield slices of at most `lines` entries, and the numbers of entries to leave out of each.

    Entries may arrive, or be evicted, between two slices. The iterator ends before the first slice
    without an entry that arrived at `since_ms` (Unix ms) or later.
    """
    segments = list(segment.backwards())
    shown = next((each.outage.numbers for each in segments if each.outage is not None), set[int]())
    ends = {each.backlog: each.backlog.end.entry for each in segments}
    while ends := {backlog: end for backlog, end in ends.items() if backlog.first < end}:
        backlog = max(ends, key=lambda each: _newest_ms(each, ends[each]))
        end = ends[backlog]
        if _newest_ms(backlog, end) < since_ms:
            return
        start = max(backlog.first, end - lines)
        ends[backlog] = start
        batch = backlog.read(Position(entry=start, notice=0), end, lines, backlog.max_bytes)
        yield batch, shown if backlog.persistent else ()


def _newest_ms(backlog: Backlog, end: int) -> int:
    return backlog.arrival(end - 1)
