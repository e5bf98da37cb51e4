"""Matching lines → the moments at which a watch fires, and how many lines belong to each. Pure.

In: the lines of one watch, in order, with their arrival. Out: a `Burst` each time that `count`
lines have matched within a time. Each later line belongs to the burst while it is young, or counts
as suppressed until the cooldown is over. So every matching line is told once.

Only the arrivals matter, and not this process's clock. Processes that share a journal see the same
arrivals, so they make the same bursts.
"""

from __future__ import annotations

from collections import deque

import attrs

from natstream.entries.entry import LogEntry

__all__ = ["COLLECT_MS", "Burst", "MatchedLine", "Tally"]

# A burst goes on for this long after the watch has fired, because its message should say how many
# lines there are, and not only that there is a first one.
COLLECT_MS = 1_000


@attrs.frozen
class MatchedLine:
    """A line that matches."""

    id: str
    """Its event id."""
    arrived_ms: int
    """Unix ms."""
    entry: LogEntry


@attrs.define(eq=False)
class Burst:
    """The lines with which a watch has fired."""

    first_id: str
    """The event id of its first line."""
    first_ms: int
    """Unix ms of the arrival of its first line."""
    at_ms: int
    """Unix ms of the arrival of the line that made the watch fire."""
    count: int
    lines: list[MatchedLine]
    """Some of the lines; at most as many as the tally keeps."""
    suppressed: int
    """Lines that matched before, and that no message has told."""

    @property
    def until_ms(self) -> int:
        """Unix ms before which a line that arrives belongs to the burst."""
        return self.at_ms + COLLECT_MS


class Tally:
    """Counts the matching lines of one watch.

    Args:
        count: how many lines make the watch fire.
        within_ms: the time within which they have to arrive.
        cooldown_ms: the time after a burst's start in which no other begins.
        keep: how many lines of a burst are kept.
    """

    def __init__(self, *, count: int, within_ms: int, cooldown_ms: int, keep: int) -> None:
        self._count, self._within_ms = count, within_ms
        self._cooldown_ms, self._keep = cooldown_ms, keep
        self._recent: deque[tuple[int, str]] = deque(maxlen=count)
        """The arrivals and ids of the last lines."""
        # Lines may be large, so only the ones that a message shows are kept.
        self._lines: deque[MatchedLine] = deque(maxlen=min(keep, count))
        self._burst: Burst | None = None
        self.quiet_until_ms: int = 0
        """Unix ms at which the cooldown ends."""
        self.suppressed: int = 0
        """Lines that matched during a cooldown, and that no message has told."""

    def add(self, line: MatchedLine) -> Burst | None:
        """Count a line, and return the burst that begins with it, if one does."""
        arrived = line.arrived_ms
        burst = self._burst
        if burst is not None:
            if arrived < burst.until_ms:
                burst.count += 1
                if len(burst.lines) < self._keep:
                    burst.lines.append(line)
                return None
            self._burst = None
        if self.suppress(arrived):
            return None
        self._recent.append((arrived, line.id))
        self._lines.append(line)
        first_ms, first_id = self._recent[0]
        if len(self._recent) < self._count or arrived - first_ms > self._within_ms:
            return None
        burst = Burst(first_id, first_ms, arrived, self._count, list(self._lines), self.suppressed)
        self._burst, self.suppressed = burst, 0
        self.quiet_until_ms = arrived + self._cooldown_ms
        self._recent.clear()
        self._lines.clear()
        return burst

    def suppress(self, arrived_ms: int) -> bool:
        """Count a line if it falls into a cooldown, and return whether it does.

        It costs less than `add`, and a watch that fires on each line of a busy app has few others.
        """
        if self._burst is not None or arrived_ms >= self.quiet_until_ms:
            return False
        self.suppressed += 1
        return True

    def give_back(self, burst: Burst) -> None:
        """Count the lines of a burst that was not told, so that the next message has them."""
        if self._burst is burst:
            self._burst = None
        self.suppressed += burst.count + burst.suppressed

    def be_quiet_until(self, unix_ms: int) -> None:
        """Begin a cooldown, because another process has told of matching lines."""
        self.quiet_until_ms = max(self.quiet_until_ms, unix_ms)
