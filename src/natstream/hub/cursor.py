"""The position of one reader on the timeline, and the gaps that it meets on the way. Pure.

In: batches to move over, and segments to go on to. Out: the entries that the reader's filter lets
through, and gaps where entries are missing. The subscription waits, and asks the archive.
"""

from __future__ import annotations

import time

from natstream.entries.entry import Gap, Notice
from natstream.entries.filters import Filter
from natstream.formats.events import EventId
from natstream.hub.batch import Batch, Position, Selection
from natstream.hub.budget import TurnIsOver
from natstream.hub.lag import LagClock
from natstream.hub.start import AheadOfMemory, Start, StartRequest
from natstream.hub.timeline import AlreadyShown, Segment
from natstream.hub.window import Window

__all__ = ["Cursor"]

# One step of a catch-up is about one piece on the wire, so that many readers that catch up at once
# take turns often, and each holds little.
CATCH_UP_LINES = 200
CATCH_UP_BYTES = 1 << 18


class Cursor:
    """A reader's segment, and its position in it.

    Args:
        request: the reader's filter, and the segment that it joined.
        follow: whether the reader goes on after the entries that existed when it joined.
        window: ends the reading; only without `follow`.
        until: Unix ms, in the future: the arrival time at which the reader ends.
    """

    def __init__(
        self,
        request: StartRequest,
        *,
        follow: bool,
        window: Window | None = None,
        until: int | None = None,
    ) -> None:
        self.filter: Filter = request.filter
        self._budget = request.budget
        self._chunk: Batch | None = None
        """A chunk of the backlog for which the filter needs more turns."""
        self._follow, self._window, self._until = follow, window, until
        self._is_past_end = False
        self.segment: Segment = request.segment
        self._joined_segment = request.segment
        self.position: Position = request.joined
        """The next record of the segment that the reader needs."""
        self._joined = request.joined
        self.gap: Gap | None = None
        """A gap that the reader is told of before it gets anything else."""
        self.notice: Notice | None = None
        """A notice that the reader gets next."""
        self.lag: LagClock = LagClock(request.is_replay)
        self.left: dict[str, Position] = {}
        """The positions at which the reader left segments, by epoch."""
        self._claim: EventId | None = None
        self._resume_ms = request.segment.backlog.newest_ms or time.time_ns() // 1_000_000
        self._shown = AlreadyShown()

    @property
    def resume_id(self) -> str:
        """The event id to resume from: of the last entry that was seen or passed over."""
        number, backlog = self.position.entry - 1, self.segment.backlog
        if backlog.first <= number < backlog.end.entry:
            self._resume_ms = backlog.arrival(number)
        return str(EventId(unix_ms=self._resume_ms, epoch=backlog.epoch, number=number))

    @property
    def behind(self) -> int:
        """How many entries of its segment the reader has yet to see."""
        return max(0, self.segment.backlog.end.entry - self.position.entry)

    @property
    def is_at_end(self) -> bool:
        """Whether the reader has everything that was handed out, and its segment goes on."""
        return self.position.reaches(self.segment.flushed) and self.segment.next is None

    @property
    def is_replay_over(self) -> bool:
        """Whether a reader that does not follow has everything that existed when it joined."""
        return self.stops_here and self.position.reaches(self._joined)

    @property
    def goal(self) -> int:
        """The number before which the reader reads now: the replay's end, or the last batch's."""
        end = self._joined.entry if self.stops_here else self.segment.flushed.entry
        if self._window is None:
            return end
        return self._window.goal(self.segment, self.position.entry, end)

    @property
    def stops_here(self) -> bool:
        """Whether the reader ends on this segment, because it does not follow."""
        return not self._follow and self.segment is self._joined_segment

    @property
    def is_past_end(self) -> bool:
        """Whether the reader has everything up to the end that it asked for."""
        return self._is_past_end or (self._window is not None and self._window.is_over)

    @property
    def takes_live_batches(self) -> bool:
        """Whether the next batch needs only the filter and its scope, and these are cheap."""
        filter, scope = self.filter, self.filter.within
        is_costly = filter.is_costly or (scope is not None and scope.is_costly)
        return not is_costly and not self._shown

    def begin(self, start: Start) -> None:
        """Go to the start that was found."""
        self.segment, self.position = start.segment, start.position
        self.notice = start.notice
        if start.end is not None:
            # A resumed reader may be past the end already.
            end = start if start.segment.index > start.end.segment.index else start.end
            self._joined_segment = end.segment
            self._joined = Position(entry=end.position.entry, notice=0)
        if start.resume_ms is not None:
            self._resume_ms = start.resume_ms
        self.gap = start.gap or self.gap
        self._claim = start.claim or self._claim

    # --- over entries --------------------------------------------------------------------

    def accept(self, batch: Batch, now: float) -> Selection:
        """Move to the end of a batch, and return what the filter lets through.

        Raises:
            TurnIsOver: the filter needs more turns; the cursor has not moved.
        """
        selection = batch.advance(self.filter, self._budget)
        if selection is None:
            raise TurnIsOver
        if self._window is not None:
            selection = self._window.cut(selection, self.position)
            self.notice = self._window.notice
        elif self._until is not None and batch.arrivals and batch.arrivals[-1] >= self._until:
            selection, self._is_past_end = selection.before(self._until), True
        self.move_past(batch, now)
        if self._shown and batch.persistent:
            selection = self._shown.remove_from(selection)
        return selection

    def move_past(self, batch: Batch, now: float) -> None:
        """Move to the end of a batch."""
        self.position = batch.end
        if batch.entries:
            self._resume_ms = batch.arrivals[-1]
        if self.is_at_end:
            self.lag.caught_up()
        elif (
            self.lag.replaying
            and self.segment is self._joined_segment
            and self.position.reaches(self._joined)
        ):
            self.lag.replayed(now)

    def catch_up(self, until: int, now: float) -> Selection | Gap:
        """Return a chunk of the backlog up to the entry `until`, or a gap if it was evicted.

        Raises:
            TurnIsOver: see `accept`.
        """
        backlog, batch = self.segment.backlog, self._chunk
        if batch is None or batch.epoch != backlog.epoch or batch.start != self.position:
            if self.position.entry < (oldest := min(backlog.first, until)):
                return self.lose(oldest)
            batch = backlog.read(self.position, until, CATCH_UP_LINES, CATCH_UP_BYTES)
            batch.release()  # No other reader shares it.
        self._chunk = batch
        selection = self.accept(batch, now)
        self._chunk = None
        return selection

    def show_line(self) -> Selection | None:
        """Return the line around which the reader looks, if it comes next."""
        if self._window is None or not self._window.is_due(self.segment, self.position.entry):
            return None
        selection = self._window.show(self.position.notice)
        entry = max(self.position.entry, selection.batch.end.entry)  # It may have been evicted.
        self.position = Position(entry=entry, notice=self.position.notice)
        return selection

    def skip_shown(self, until: int, now: float) -> Selection | None:
        """Move over the next entries if they were shown in an outage; otherwise return `None`."""
        number = self._shown.skip(self.position.entry, until)
        return self._pass_over(number, now) if number > self.position.entry else None

    def _pass_over(self, number: int, now: float) -> Selection:
        empty = Batch(
            epoch=self.segment.epoch,
            first=number,
            entries=(),
            arrivals=(),
            first_notice=self.position.notice,
        )
        return self.accept(empty, now)

    # --- over holes ----------------------------------------------------------------------

    def has_lagged(self, limit: float, now: float) -> bool:
        """Return whether the reader has been behind for more than `limit` seconds, and still is."""
        return (
            self.position.entry < self.segment.flushed.entry
            and self.lag.exceeds(limit, now)
            and not self.stops_here  # It was promised all entries up to the end of its replay.
        )

    def lose(self, until: int) -> Gap:
        """Move to the entry `until`, and return the gap, because entries before it are missing."""
        # Some of them may have been shown while the journal was away, or would be filtered out.
        shown = self.segment.backlog.persistent and bool(self._shown)
        at_most = shown or not self.filter.is_everything
        gap = Gap(missed=until - self.position.entry, since=self._resume_ms, at_most=at_most)
        self.position = Position(entry=until, notice=self.position.notice)
        self._after_gap()
        return gap

    def pop_gap(self) -> Gap | None:
        """Return the gap that the reader has to be told of, and forget it."""
        gap, self.gap = self.gap, None
        if gap is not None:
            self._after_gap()
        return gap

    def _after_gap(self) -> None:
        """Update the time to resume from after a gap, and end the lag after a jump to the end."""
        backlog = self.segment.backlog
        if backlog.first <= self.position.entry < backlog.end.entry:
            self._resume_ms = backlog.arrival(self.position.entry)
        if self.position.entry >= self.segment.flushed.entry:
            self.lag.since = None

    # --- from segment to segment ---------------------------------------------------------

    def go_on(self, segment: Segment, now: float) -> tuple[Selection, AheadOfMemory | None]:
        """Leave the segment, which is over, for the next one.

        Returns:
            The empty selection of the move; and `None`, or a question that the archive has to
            answer first: whether the last entry that the reader claims to have seen exists.
        """
        last, backlog = self.segment, segment.backlog
        self.left[last.epoch] = self.position
        self.segment = segment
        if last is self._joined_segment:  # Otherwise each outage of a day would stay in memory.
            self._joined_segment, self._joined = segment, backlog.end
        start = last.next_start
        if self._claim is not None and self._claim.epoch == segment.epoch:
            start = self._claim.number + 1
        self.position = self.left.get(segment.epoch) or Position(
            entry=start, notice=backlog.notice_at(start)
        )
        if last.outage is not None:
            self._shown.add(last.outage)
            if last.outage.overflowed:
                self.gap = Gap(missed=None, since=last.outage.since, doubles=True)
        question = None
        if segment.archive is not None and self.position.entry > backlog.end.entry:
            event_id = EventId(
                unix_ms=self._resume_ms, epoch=segment.epoch, number=self.position.entry - 1
            )
            question = AheadOfMemory(segment, segment.archive, event_id)
        return self._pass_over(self.position.entry, now), question
