"""The counts of one pattern, second by second. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import attrs

from natstream.entries.entry import LogEntry

__all__ = ["MAX_MACHINES", "CountedLine", "PatternTally", "TallyKey"]

MAX_MACHINES = 50
"""Machines that a tally names. With more of them, a tally would take more than its texts do."""
# Seconds that are counted together if there are too many.
COARSE = 10

TallyKey: TypeAlias = tuple[str, str, str, str, str, str]
"""App, level, stream, region, and the patterns of the head and of its trace."""


class CountedLine(NamedTuple):
    """A line, as it is counted."""

    arrival: int
    """Unix ms."""
    weight: int
    """How many lines it stands for."""
    number: int
    epoch: str
    message: str
    """The start of its message."""
    machine: str
    release: str


@attrs.define(eq=False)
class PatternTally:
    """The lines of one pattern, from one stream and region."""

    key: TallyKey
    id: str
    sample: LogEntry
    """An entry that filters are tested against."""
    lines: int = 0
    first_ms: int = 0
    last_ms: int = 0
    newest: CountedLine | None = None
    machines: list[str] = attrs.field(factory=list)
    """Machines that said it: the newest of them, if there are more than MAX_MACHINES."""
    releases: dict[str, int] = attrs.field(factory=dict)
    """Release → Unix ms of its first line."""
    is_gone: bool = False
    seconds: array[int] = attrs.field(factory=lambda: array("I"))
    counts: array[int] = attrs.field(factory=lambda: array("I"))
    """Unix seconds in which lines came, ascending, and how many in each."""

    @property
    def app(self) -> str:
        return self.key[0]

    @property
    def pattern(self) -> str:
        head, trace = self.key[4:]
        return f"{head} < {trace}" if trace else head

    def add(self, second: int, lines: int) -> int:
        """Count lines, or take them away, and return how many seconds are kept more."""
        seconds, counts = self.seconds, self.counts
        self.lines += lines
        at = len(seconds) - 1
        if at >= 0 and second <= seconds[-1]:
            if second != seconds[-1]:
                at = bisect_left(seconds, second)
            if seconds[at] == second:
                counts[at] = max(0, counts[at] + lines)
                return 0
            seconds.insert(at, second)
            counts.insert(at, max(0, lines))
            return 1
        seconds.append(second)
        counts.append(max(0, lines))
        return 1

    def between(self, start: int, end: int) -> int:
        """Return how many lines came from one second to before another."""
        seconds = self.seconds
        return sum(self.counts[bisect_left(seconds, start) : bisect_left(seconds, end)])

    def since(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the seconds from `start` on, each with its lines."""
        at = bisect_left(self.seconds, start)
        return zip(self.seconds[at:], self.counts[at:], strict=True)

    def forget(self, before: int) -> None:
        """Forget the seconds before this one."""
        cut = bisect_left(self.seconds, before)
        if cut:
            self.lines -= sum(self.counts[:cut])
            del self.seconds[:cut], self.counts[:cut]

    def coarsen(self, before: int) -> None:
        """Keep the seconds before this one by ten."""
        cut = bisect_left(self.seconds, before)
        seconds, counts = array("I"), array("I")
        for second, count in zip(self.seconds[:cut], self.counts[:cut], strict=True):
            coarse = second - second % COARSE
            if seconds and seconds[-1] == coarse:
                counts[-1] += count
            else:
                seconds.append(coarse)
                counts.append(count)
        self.seconds, self.counts = seconds + self.seconds[cut:], counts + self.counts[cut:]
