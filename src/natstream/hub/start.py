"""The start of a reader: at the newest entry, further back, or after the entry that it saw last.

In: the reader's request, and the segment that it joins. Out: a `Start`. If memory knows the start,
`plan_start` returns it at once. Otherwise `find_start` looks it up, as one straight generator that
yields while it waits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import attrs

from natstream.entries.entry import Gap, Notice
from natstream.entries.filters import Filter
from natstream.errors import SourceError
from natstream.formats.events import EventId
from natstream.hub.batch import Position
from natstream.hub.budget import ReaderBudget
from natstream.hub.lookup import Lookup, ask
from natstream.hub.tail_search import find_tail
from natstream.hub.timeline import Archive, Segment, journal_position
from natstream.hub.window import SEARCHED_LINES, FoundLine, cut_notice

__all__ = [
    "AheadOfMemory",
    "Plan",
    "Start",
    "StartRequest",
    "StartSearch",
    "find_start",
    "plan_start",
]

# The clock and the flush of another process may differ from ours by this. Because of this margin
# some entries come twice, which is better than that entries are missing.
OTHER_PROCESS_MARGIN_MS = 2_000


@attrs.frozen
class StartRequest:
    """A reader's request (see `Hub.subscribe`), and the segment that the reader joined."""

    segment: Segment
    joined: Position
    """The end of the segment when the reader joined it."""
    before: Segment | None
    """The segment before it at that time; kept here, because `segment` forgets it later."""
    filter: Filter
    budget: ReaderBudget
    """The CPU time that the filter may take."""
    tail: int | None = None
    since: int | None = None
    """Unix ms."""
    last_event_id: str | None = None
    until: int | None = None
    """Unix ms, in the past: the arrival time at which the reader ends."""
    around: FoundLine | None = None
    """The line around which the reader looks; `tail` counts the lines before it."""

    @property
    def is_replay(self) -> bool:
        """Whether it asks for entries that were published already."""
        return (self.tail, self.since, self.last_event_id) != (None, None, None)

    def at(self, segment: Segment, number: int) -> Position:
        """Return the position before an entry, but after the notices that stand before it."""
        notice = segment.backlog.notice_at(number + 1)
        if segment is self.segment:
            # The reader gets the notices since it joined, because finding its start takes time.
            notice = min(notice, self.joined.notice)
        return Position(entry=number, notice=notice)


@attrs.frozen
class Start:
    """The segment and the position at which a reader begins."""

    segment: Segment
    position: Position
    resume_ms: int | None = None
    """Unix ms of the last entry that the reader has seen, if an id named it."""
    gap: Gap | None = None
    """A gap that the reader is told of first."""
    claim: EventId | None = None
    """An id of a segment that the reader has not reached; there it goes on after this entry."""
    end: Start | None = None
    """The place at which the reader ends, if that is not where it joined."""
    notice: Notice | None = None
    """A notice that the reader gets first."""


@attrs.frozen
class TailOfMemory:
    """The last matching entries have to be searched for, backwards from a number."""

    wanted: int
    segment: Segment
    number: int
    before: Segment | None
    limit: float = math.inf
    """How many entries to look at."""


@attrs.frozen
class TimeInArchive:
    """A time has to be looked up in the archive, because memory does not reach back to it."""

    segment: Segment
    archive: Archive
    unix_ms: int
    gap: Gap | None = None
    claim: EventId | None = None


@attrs.frozen
class AheadOfMemory:
    """An id may name a stored entry that has not reached this process; the archive has to say."""

    segment: Segment
    archive: Archive
    event_id: EventId
    gap: Gap | None = None


@attrs.frozen
class Bounded:
    """A start, and an end in the past that has to be found first."""

    start: Start | TailOfMemory | TimeInArchive | AheadOfMemory
    end: Start | TimeInArchive


Unbounded = Start | TailOfMemory | TimeInArchive | AheadOfMemory
Plan = Unbounded | Bounded


def plan_start(request: StartRequest) -> Plan:
    """Return the start if memory knows it; otherwise, the question for `find_start`."""
    start = _plan(request)
    return start if request.until is None else Bounded(start, _at_time(request, request.until))


def _plan(request: StartRequest) -> Unbounded:
    if request.last_event_id is not None:
        return _resume(request, EventId.parse(request.last_event_id))
    if request.tail is not None:
        if (line := request.around) is not None:
            segment = line.segment
            return TailOfMemory(request.tail, segment, line.number, segment.before, SEARCHED_LINES)
        return TailOfMemory(request.tail, request.segment, request.joined.entry, request.before)
    if request.since is not None:
        return _at_time(request, request.since)
    return Start(request.segment, request.joined)


def find_start(
    request: StartRequest, plan: Plan, wake: Callable[[], None]
) -> Generator[Lookup[Any] | None, None, Start]:
    """Return the start that memory does not know; yield while waiting.

    If the archive does not answer, the start has a gap. A search takes turns (see `ReaderBudget`).
    """
    if isinstance(plan, Bounded):
        end = yield from find_start(request, plan.end, wake)
        start = plan.start
        if isinstance(start, TailOfMemory) and end.segment.index <= start.segment.index:
            before = start.before if end.segment is start.segment else None
            start = TailOfMemory(start.wanted, end.segment, end.position.entry, before)
        found = yield from find_start(request, start, wake)
        return attrs.evolve(found, end=end)
    if isinstance(plan, AheadOfMemory):
        try:
            stored = yield from ask(plan.archive, plan.archive.end, wake)
        except SourceError:
            stored = 0
        if plan.event_id.number < stored:
            return attrs.evolve(_after(plan.segment, plan.event_id), gap=plan.gap)
        plan = _by_time(request, plan.event_id)
    if isinstance(plan, TimeInArchive):
        gap = plan.gap
        try:
            question = partial(plan.archive.number_at, plan.unix_ms)
            number = yield from ask(plan.archive, question, wake)
        except SourceError:
            number = plan.segment.backlog.first
            gap = gap or Gap(missed=None, since=plan.unix_ms)
        position = request.at(plan.segment, number)
        return Start(plan.segment, position, gap=gap, claim=plan.claim)
    if isinstance(plan, TailOfMemory):
        tail = yield from find_tail(
            plan.segment,
            plan.before,
            plan.number,
            request.filter,
            request.budget,
            wanted=plan.wanted,
            since=request.since,
            wake=wake,
            limit=plan.limit,
        )
        return Start(
            tail.segment,
            request.at(tail.segment, tail.number),
            gap=Gap(missed=None, since=request.since) if tail.failed else None,
            notice=cut_notice("before") if tail.cut else None,
        )
    return plan


class StartSearch:
    """Runs `find_start` step by step, without waiting."""

    def __init__(self, request: StartRequest, plan: Plan, wake: Callable[[], None]) -> None:
        self._begin_search = partial(find_start, request, plan, wake)
        self._search = self._begin_search()
        self._lookup: Lookup[Any] | None = None

    @property
    def pending(self) -> Lookup[Any] | None:
        """The question to the archive that has to be answered first, if there is one."""
        return None if self._lookup is None or self._lookup.is_done else self._lookup

    def advance(self) -> Start | None:
        """Go on by one step, and return the start once it is found.

        Raises:
            ExpressionTooSlow: see `find_start`; the next call begins the search again.
        """
        try:
            self._lookup = next(self._search)
        except StopIteration as found:
            start: Start = found.value
            return start
        except BaseException:
            self._search, self._lookup = self._begin_search(), None
            raise
        return None

    def close(self) -> None:
        """Stop asking."""
        self._search.close()


def _resume(request: StartRequest, event_id: EventId | None) -> Unbounded:
    """Return the start after the entry of an id; an entry that cannot be found becomes a gap."""
    if event_id is None:
        return _at_time(request, 0, gap=Gap(missed=None, since=None, doubles=True))
    if _is_reused(request, event_id):
        return _by_time(request, event_id)
    if (plan := _resume_in_reach(request, event_id)) is not None:
        return plan
    last, gap = journal_position(event_id), None
    if last is not None:
        # The lines that the reader saw while the journal was away may be stored by now.
        gap, event_id = Gap(missed=None, since=event_id.unix_ms, doubles=True), last
        if (plan := _resume_in_reach(request, event_id)) is not None:
            return attrs.evolve(plan, gap=gap)
    return _by_time(request, event_id, claim=event_id)


def _is_reused(request: StartRequest, event_id: EventId) -> bool:
    """Return whether another entry has this number, because the journal has lost its end.

    The id of an entry outside of the reader's scope is believed. Otherwise the reader could find
    out by trying when that entry arrived.
    """
    for segment in (request.segment, request.before):
        if segment is not None and segment.epoch == event_id.epoch:
            backlog, number = segment.backlog, event_id.number
            if backlog.first <= number < backlog.end.entry:
                batch = backlog.read(Position(entry=number, notice=0), number + 1, 1, 1)
                scope = request.filter.scope
                is_visible = scope is None or scope.matches(batch.entries[0])
                return is_visible and batch.arrivals[0] != event_id.unix_ms
    return False


def _resume_in_reach(
    request: StartRequest, event_id: EventId
) -> Start | TimeInArchive | AheadOfMemory | None:
    """Return the start after an entry of the joined segment or of the one before it.

    Return `None` for an entry of any other segment.
    """
    for segment in (request.segment, request.before):
        if segment is not None and segment.epoch == event_id.epoch:
            break
    else:
        return None
    if event_id.number < segment.backlog.end.entry:
        return _after(segment, event_id)
    if segment.archive is None:
        return _by_time(request, event_id)
    if segment is request.segment:
        # Another process may be ahead of this one by the entries that are still on their way.
        return AheadOfMemory(segment, segment.archive, event_id)
    return _after(segment, event_id)


def _after(segment: Segment, event_id: EventId) -> Start:
    # The notices after that entry are shown again, because the reader may not have seen them.
    number = event_id.number + 1
    position = Position(entry=number, notice=segment.backlog.notice_at(number))
    return Start(segment, position, resume_ms=event_id.unix_ms)


def _by_time(
    request: StartRequest, event_id: EventId, *, claim: EventId | None = None
) -> Start | TimeInArchive:
    """Return the start at the time of the id, because its entry cannot be found."""
    unix_ms = min(event_id.unix_ms, time.time_ns() // 1_000_000) - OTHER_PROCESS_MARGIN_MS
    gap = Gap(missed=None, since=event_id.unix_ms, doubles=True)
    return _at_time(request, unix_ms, gap=gap, claim=claim)


def _at_time(
    request: StartRequest, unix_ms: int, *, gap: Gap | None = None, claim: EventId | None = None
) -> Start | TimeInArchive:
    segment, before = request.segment, request.before
    if before is not None and segment.outage is not None and unix_ms < segment.outage.since:
        segment = before
    oldest_ms = segment.backlog.oldest_ms
    if segment.archive is not None and (oldest_ms is None or oldest_ms >= unix_ms):
        return TimeInArchive(segment, segment.archive, unix_ms, gap, claim)
    position = request.at(segment, segment.backlog.number_at(unix_ms))
    return Start(segment, position, gap=gap, claim=claim)
