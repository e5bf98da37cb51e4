"""How long a connection leaves arriving lines in the socket while its readers pause. Pure.

In: the moment of the readers' next round, and the size of each read. Out: the seconds for which to
read nothing. Each read wakes the process and goes through several tasks. That takes 0.4 ms, in
which 50 lines could be parsed, so it is cheaper to read the lines of a pause together, shortly
before the round.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["LONGEST_PAUSE", "ReadPauses"]

# Reading begins again so long before the round: by a share of the time until then, and at least by
# so many seconds. A busy process may need them, and lines that miss the round wait for the next.
LEAD_SHARE, LEAD = 1 / 8, 0.005
# Bytes that should gather in a pause at the rate of the bytes before; they take 2 ms to publish.
GATHERED = 65_536
# Seconds. A shorter pause saves nothing, because it takes a timer. A longer one saves little.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.1
# Seconds over which the rate is taken, at most.
MEMORY = 1.0


class ReadPauses:
    """The pauses of one connection. All moments are of trio's clock.

    Args:
        quiet_until: returns the moment of the readers' next round, before which they get nothing.
    """

    def __init__(self, quiet_until: Callable[[], float]) -> None:
        self._quiet_until = quiet_until
        self._since = -math.inf
        """The beginning of the last pause, or a later moment."""
        self._bytes = 0.0
        """Bytes read since then."""

    def has_read(self, size: int) -> None:
        """Note that a read has brought so many bytes."""
        self._bytes += size

    def begin(self, now: float) -> float:
        """Begin a pause, and return its seconds; 0 if reading goes on."""
        if now - self._since > MEMORY:
            self._bytes *= MEMORY / 2 / (now - self._since)
            self._since = now - MEMORY / 2
        left = min(self._quiet_until() - now, 2 * LONGEST_PAUSE)
        pause = min(left - max(LEAD, left * LEAD_SHARE), LONGEST_PAUSE)
        if self._bytes:
            pause = min(pause, GATHERED * (now - self._since) / self._bytes)
        if pause < SHORTEST_PAUSE:
            return 0.0
        self._since, self._bytes = now, 0.0
        return pause
