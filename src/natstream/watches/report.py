"""The content of one message, before it is written for a receiver. Pure.

In: what a watch has found. Out: a `Report`, which can be written as JSON and read again, so that a
process can send the message of another one that has died. Its texts hold no control characters.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from natstream.entries.escapes import sanitize, text_line
from natstream.watches.tally import MatchedLine

__all__ = ["Kind", "Report", "ReportedLine", "reported"]

Kind = Literal["matched", "absent", "back", "unknown", "test"]

# Characters of a message, and of the line that shows it to people.
MAX_MESSAGE = 2_000
MAX_TEXT = 600
# Characters of a name; a drain's sender may give any.
MAX_NAME = 128


class ReportedLine(msgspec.Struct, frozen=True):
    """One line, as a message shows it."""

    id: str
    timestamp: int
    """Unix ms of the line's own time."""
    app: str
    region: str
    machine: str
    stream: str
    level: str
    message: str
    text: str
    """The whole line for people."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a watch."""

    watch: str
    query: str
    kind: Kind
    at_ms: int
    """Unix ms: when the watch fired."""
    count: int = 0
    """How many lines matched."""
    suppressed: int = 0
    """How many other lines matched since the message before."""
    at_least: bool = False
    """Whether there may be more than `suppressed`, because this process started later."""
    seconds: float = 0.0
    """For how long no line has matched."""
    first_id: str = ""
    first_ms: int = 0
    """Unix ms of the first line's arrival."""
    lines: tuple[ReportedLine, ...] = ()
    trouble: str = ""
    """Why it is unknown whether lines match."""
    missed: int = 0
    """Lines that the watch did not see since the message before, as far as they were counted."""
    missed_more: bool = False
    """Whether there may be others that were not counted."""
    undelivered: int = 0
    """Messages before this one that could not be delivered."""
    alone: bool = False
    """Whether other processes may send the same message, because the journal did not answer."""


def reported(line: MatchedLine) -> ReportedLine:
    """Return a line as messages show it: without control characters, and not too long."""
    entry = line.entry
    text = text_line(entry, keep_colours=False, for_people=True)
    return ReportedLine(
        id=line.id,
        timestamp=entry.unix_ns // 1_000_000,
        app=_safe(entry.app_name, MAX_NAME),
        region=_safe(entry.region, MAX_NAME),
        machine=_safe(entry.machine_id, MAX_NAME),
        stream=_safe(entry.stream, MAX_NAME),
        level=_safe(entry.level, MAX_NAME),
        message=_safe(entry.message, MAX_MESSAGE),
        text=_cut(text, MAX_TEXT),
    )


def _safe(text: str, most: int) -> str:
    return _cut(sanitize(text[: most + 1], keep_colours=False), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
