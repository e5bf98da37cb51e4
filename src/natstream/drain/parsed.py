"""What a body gave: its entries, and how many of its lines gave none. Pure.

In: entries and counts of a parser. Out: a `ParsedBody` for the intake, whichever format the body
had. A body that has lines, of which none could be taken, raises `NothingTaken`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from natstream.entries.entry import LogEntry
from natstream.errors import BadBody

__all__ = ["MAX_LINES", "NothingTaken", "ParsedBody", "reasons_of"]

# Lines of a body. A line that is not a log line has at least one byte and may take 10 µs, so
# 16 MiB of such lines could take a minute without this limit.
MAX_LINES = 200_000

_WHY = {
    "no_machine": "name no machine",
    "not_json": "are not JSON objects",
    "not_otlp": "are not log records of OpenTelemetry",
    "too_large": "are too large",
    "too_deep": "nest too deeply",
}


class ParsedBody(NamedTuple):
    """The entries of a body, in order, and how many lines gave no entry, by reason.

    The reasons are the keys of `_WHY`.
    """

    entries: Sequence[LogEntry] = ()
    dropped: Mapping[str, int] = MappingProxyType({})
    fault: str = ""
    """The first fault in a dropped line, for its sender; empty if the reason says enough."""


class NothingTaken(BadBody):
    """The sender's fault: all lines of the body were dropped. `dropped` counts them by reason."""

    def __init__(self, dropped: Mapping[str, int], advice: str) -> None:
        self.dropped = dropped
        super().__init__(f"None of the body's lines can be taken: {reasons_of(dropped)}. {advice}")


def reasons_of(dropped: Mapping[str, int]) -> str:
    """Return the counts and the reasons in words."""
    return " and ".join(f"{count:,} {_WHY[name]}" for name, count in dropped.items())
