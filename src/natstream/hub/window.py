"""The end of a reading that asks for the lines around one line. Pure.

In: how far a cursor has come, and what its filter lets through. Out: when the line itself is due,
and the part of each selection that the reader gets. The reading ends after enough lines, or at the
limit of the search, which a notice tells.
"""

from __future__ import annotations

import attrs

from natstream.entries.entry import LogEntry, Notice
from natstream.formats.events import EventId
from natstream.hub.batch import Batch, Position, Selection
from natstream.hub.timeline import Segment

__all__ = ["SEARCHED_LINES", "FoundLine", "Window", "cut_notice"]

# A search looks at so many lines in each direction. In memory that takes 0.1 s with a filter of
# texts; in the archive it takes some seconds.
SEARCHED_LINES = 100_000


@attrs.frozen
class FoundLine:
    """A line that was found by its id (see `finding.find_line`)."""

    segment: Segment = attrs.field(repr=False)
    event_id: EventId
    entry: LogEntry

    @property
    def number(self) -> int:
        """Its number in its segment."""
        return self.event_id.number


class Window:
    """The lines around one line, for a cursor that starts before it.

    Args:
        line: the line, which the reader gets even if its filter rejects it.
        after: how many matching lines the reader gets after it.
    """

    def __init__(self, line: FoundLine, after: int) -> None:
        self._line = line
        self._wanted = after
        self._left = SEARCHED_LINES
        self._is_shown = False

    @property
    def is_over(self) -> bool:
        """Whether the reader has all that it gets."""
        return self._is_shown and (not self._wanted or not self._left)

    @property
    def notice(self) -> Notice | None:
        """The notice that the search has ended at its limit, if it has."""
        return cut_notice("after") if self._wanted and not self._left else None

    def is_due(self, segment: Segment, number: int) -> bool:
        """Return whether the line comes next for a cursor at this number."""
        return not self._is_shown and segment is self._line.segment and number >= self._line.number

    def goal(self, segment: Segment, number: int, end: int) -> int:
        """Return the number before which a cursor reads now; without a window it were `end`."""
        if self._is_shown:
            return min(end, number + self._left)
        return min(end, self._line.number) if segment is self._line.segment else end

    def show(self, notice: int) -> Selection:
        """Return the line itself; `notice` is the number of the cursor's next notice."""
        self._is_shown = True
        line = self._line
        batch = Batch(
            epoch=line.segment.epoch,
            first=line.number,
            entries=(line.entry,),
            arrivals=(line.event_id.unix_ms,),
            first_notice=notice,
            persistent=line.segment.backlog.persistent,
        )
        return Selection(batch=batch, indices=(0,), notices=())

    def cut(self, selection: Selection, start: Position) -> Selection:
        """Return the part that the reader gets of a selection, which begins at `start`."""
        if not self._is_shown:
            return selection
        self._left -= min(self._left, max(0, selection.batch.end.entry - start.entry))
        if selection.lines >= self._wanted:
            selection = selection.head(self._wanted)
        self._wanted -= selection.lines
        return selection


def cut_notice(side: str) -> Notice:
    """Return the notice that the search before or after the line has ended at its limit."""
    return Notice(
        f"Only {SEARCHED_LINES:,} lines {side} this line were searched, so there may be more that "
        "match. Ask around one of the lines shown to go on",
        public=True,
    )
