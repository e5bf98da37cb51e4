"""The delay of the event loop: how much later than due a task gets its turn. On trio; no sockets.

One task measures it. The metrics show it, and the budgets of the filters bind while it is long.
"""

from __future__ import annotations

import math

import trio

__all__ = ["DELAY_BUCKETS", "DELAY_INTERVAL", "LoopDelay"]

# Seconds between two measurements: short enough to notice every stall of a quarter of a second, and
# so long that measuring costs almost no CPU.
DELAY_INTERVAL = 0.25
# Seconds, from delays that no reader notices to delays after which a proxy gives up.
DELAY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A loop that is so many seconds late has more work than it can do, and its readers notice it.
LATE = 0.05


class LoopDelay:
    """Measures how much later than due a task gets its turn, which delays every reader too."""

    def __init__(self) -> None:
        self._counts = [0] * (len(DELAY_BUCKETS) + 1)
        self._sum = 0.0
        self._due = math.inf
        self._last = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        try:
            while True:
                self._due = trio.current_time() + DELAY_INTERVAL
                await trio.sleep_until(self._due)
                self._observe(max(0.0, trio.current_time() - self._due))
        finally:
            self._due, self._last = math.inf, 0.0

    @property
    def is_late(self) -> bool:
        """Whether the last turn came late, or the next one is late already."""
        return max(self._last, trio.current_time() - self._due) > LATE

    def _observe(self, delay: float) -> None:
        bucket = sum(1 for limit in DELAY_BUCKETS if delay > limit)
        self._counts[bucket] += 1
        self._sum += delay
        self._last = delay

    def histogram(self) -> tuple[list[tuple[str, float]], float]:
        """Return Prometheus' cumulative buckets, and the sum in seconds."""
        total = 0
        buckets = []
        for limit, count in zip((*map(str, DELAY_BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((limit, float(total)))
        return buckets, self._sum
