"""How long a connection may leave in the network what has arrived. Pure.

In: the moment at which the readers get their next lines, and how much each read has brought. Out:
the seconds for which nothing has to be read. Each read wakes the process and passes several tasks,
0.4 ms in all, in which 50 lines could be parsed. So it is cheaper to read many lines at once, and
no reader gets them later.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Rests"]

# Seconds before the readers get their lines, in which what was left must be read and published.
LEAD = 0.005
# Bytes that are left for one read, as far as the past tells; they take 2 ms to publish.
MOST_LEFT = 65_536
# Seconds. A shorter rest saves nothing, because it takes a timer. A longer one saves little, and in
# a sudden flood a server would disconnect us, because it keeps at most 64 MB for a client.
SHORTEST, LONGEST = 0.005, 0.1


class Rests:
    """The rests of one connection, between its reads.

    Args:
        quiet_until: returns the moment before which no reader gets what is published.
    """

    def __init__(self, quiet_until: Callable[[], float]) -> None:
        self._quiet_until = quiet_until
        self._since = 0.0
        """The beginning of the last rest."""
        self._bytes = 0
        """What was read since then."""

    def has_read(self, size: int) -> None:
        """Note that a read has brought so many bytes."""
        self._bytes += size

    def next(self, now: float) -> float:
        """Return the seconds for which to read nothing, from `now` on; 0 if it is to go on.

        Both moments are of trio's clock.
        """
        rest = min(self._quiet_until() - LEAD - now, LONGEST)
        if rest < SHORTEST:
            return 0.0
        if self._bytes:
            rest = min(rest, MOST_LEFT * (now - self._since) / self._bytes)
        if rest < SHORTEST:
            return 0.0
        self._since, self._bytes = now, 0
        return rest
