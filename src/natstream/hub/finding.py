"""Finding one line by its id, in memory or among the stored lines."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import trio

from natstream.entries.filters import EVERYTHING
from natstream.formats.events import EventId
from natstream.hub.batch import Batch, Position
from natstream.hub.timeline import Segment
from natstream.hub.window import FoundLine

if TYPE_CHECKING:
    from natstream.hub.hub import Hub

__all__ = ["find_line"]

# Seconds within which a line that another process has stored reaches this one.
SOON = 1.0


async def find_line(hub: Hub, event_id: str) -> FoundLine | None:
    """Return the line with this id, for `Hub.subscribe(around=…)`, if it is remembered or stored.

    Raises:
        SourceUnavailable: the line may be stored, and the journal does not answer.
    """
    wanted = EventId.parse(event_id)
    segment = None if wanted is None else hub.segment.with_epoch(wanted.epoch)
    if wanted is None or segment is None:
        return None
    backlog, number = segment.backlog, wanted.number
    if backlog.first <= number < backlog.end.entry:
        batch = backlog.read(Position(entry=number, notice=0), number + 1, 1, 1)
        return _found(segment, batch)
    if segment.archive is None or await segment.archive.find(number) is None:
        return None
    # A reader looks back for the head of a continuation line, which gives the line its level.
    with closing(segment.archive.open(number, EVERYTHING)) as stored:
        line = _found(segment, await stored.read(number + 1))
    # Another process may have stored the line so recently that it has not reached this one.
    if backlog.end.entry <= number:
        with trio.move_on_after(SOON), hub.subscribe() as reader:
            while backlog.end.entry <= number:
                await reader.receive()
    return line if number < backlog.end.entry else None


def _found(segment: Segment, batch: Batch) -> FoundLine | None:
    """Return the line of a batch that has no more than one."""
    if not batch.entries:
        return None
    event_id = EventId(batch.arrivals[0], segment.epoch, batch.number(0))
    return FoundLine(segment, event_id, batch.entries[0])
