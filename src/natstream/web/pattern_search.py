"""Counting patterns among the remembered lines, for filters that the counters cannot answer.

In: a filter on messages or machines, and the time since when lines count. Out: a `PatternCounts`
of the lines that match. The lines are read from the newest back, in turns and within the reader's
budget of CPU time. So an answer that has to end early tells of the newest lines. A trace counts if
its head or any of its lines matches. Of a trace, too, a reader gets only what its scope shows. Of
lines of the scope that do not match, only the releases are noted.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator

import attrs

from natstream.entries.continuation import Origin, origin_of
from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub.batch import Batch, Selection
from natstream.hub.budget import ReaderBudget
from natstream.hub.hub import Hub
from natstream.hub.newest import newest_slices
from natstream.web.pattern_counts import NEAR, PatternCounts

__all__ = ["search_patterns"]

# A slice of the longest lines takes some ms.
SLICE_LINES = 100
# Seconds after which other tasks run; and after which the search ends and answers.
TURN = 0.002
MAX_SECONDS = 3.0
# Lines of traces whose heads have not been reached, and traces of which some are kept.
MAX_LINES, MAX_TRACES = 200, 500


@attrs.define(eq=False)
class _Tail:
    """The last lines of a trace whose head is still to come, the newest first."""

    level: str
    lines: list[tuple[int, str]] = attrs.field(factory=list)
    """Pairs: Unix ms of the arrival, and the message."""
    matches: bool = False


async def search_patterns(
    hub: Hub, filter: Filter, since_ms: int, counted: PatternCounts, budget: ReaderBudget
) -> PatternCounts:
    """Count the remembered lines that match and arrived at `since_ms` (Unix ms) or later.

    Args:
        hub: has the lines.
        filter: of the reader, within its scope if it has one.
        since_ms: where the search ends.
        counted: the counts of the process, which tell from when on it has got lines.
        budget: the CPU time of the reader.

    Raises:
        ExpressionTooSlow: it has used up its CPU time for too long, on a busy machine.
    """
    counts = PatternCounts(counted.wall, samples=False)
    tails: OrderedDict[Origin, _Tail] = OrderedDict()
    turn = time.monotonic()
    end = turn + MAX_SECONDS
    for found in _slices(hub, filter, budget, since_ms):
        now = time.monotonic()
        if now > end:
            return counts
        if now - turn > TURN:
            await budget.wait()
            turn = time.monotonic()
        if found is None:
            continue
        visible, selection = found
        batch = visible.batch
        with budget.measured():
            _count(counts, tails, batch, visible, selection)
        counts.start_ms = batch.arrivals[-1]  # All lines that came later have been read.
    backlogs = [segment.backlog for segment in hub.segment.backwards()]
    evicted = [backlog.oldest_ms or 0 for backlog in backlogs if backlog.has_evicted]
    counts.start_ms = max(evicted, default=counted.start_ms)
    return counts


def _slices(
    hub: Hub, filter: Filter, budget: ReaderBudget, since_ms: int
) -> Iterator[tuple[Selection, Selection] | None]:
    """Yield what the reader may see of a slice, and what of it matches; the newest slice first.

    `None` comes where a turn may end.
    """
    scope = filter.scope or EVERYTHING
    for batch, shown in newest_slices(hub.segment, SLICE_LINES, since_ms):
        while (visible := batch.advance(scope, budget)) is None:
            yield None
        while (selection := batch.advance(filter, budget)) is None:
            yield None
        batch.release()  # No reader shares it.
        yield visible.without(shown), selection


def _count(
    counts: PatternCounts,
    tails: OrderedDict[Origin, _Tail],
    batch: Batch,
    visible: Selection,
    selection: Selection,
) -> None:
    """Count the lines of a slice, from its end to its start."""
    matching = frozenset(selection.indices)
    for index in reversed(visible.indices):
        entry, arrival = batch.entries[index], batch.arrivals[index]
        if entry.release:
            known = counts.deploys.setdefault(entry.app_name, {})
            known[entry.release] = min(arrival, known.get(entry.release, arrival))
        key = origin_of(entry)
        tail = tails.get(key)
        if entry.continues:
            _keep(tails, key, entry, arrival).matches |= index in matching
            continue
        lines: list[str] = []
        matches = index in matching
        if tail is not None and tail.level == entry.level:
            del tails[key]
            lines = [text for at, text in reversed(tail.lines) if at - arrival <= NEAR]
            matches = matches or (tail.matches and bool(lines))
        if matches:
            counts.add_group(entry, lines, arrival, batch.number(index), batch.epoch)


def _keep(
    tails: OrderedDict[Origin, _Tail],
    key: Origin,
    entry: LogEntry,
    arrival: int,
) -> _Tail:
    """Keep a line of a trace until its head is reached."""
    tail = tails.get(key)
    if tail is None or tail.level != entry.level:
        tail = tails[key] = _Tail(entry.level)
        if len(tails) > MAX_TRACES:
            tails.popitem(last=False)
    tail.lines.append((arrival, entry.message[:MAX_LINES]))
    if len(tail.lines) > MAX_LINES:
        del tail.lines[0]
    return tail
