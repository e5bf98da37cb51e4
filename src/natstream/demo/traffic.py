"""The logs of a small tea shop, as Fly would publish them: the traffic of the demo. Pure.

In: a `random.Random`; the same seed gives the same traffic. Out: an endless iterator over lines,
each with its time in seconds from the start.

Each actor (visitors, workers, the database, a deploy, …) is an iterator over its own lines and
over the seconds between them. `traffic` merges them by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from random import Random

from natstream.demo.apps import APPS
from natstream.demo.line import Line
from natstream.demo.machines import MACHINES
from natstream.demo.shop import Shop

__all__ = ["LINES_PER_SECOND", "traffic"]

LINES_PER_SECOND = 30.0
"""The average, when no time is stretched or shortened."""


def traffic(random: Random) -> Iterator[tuple[float, Line]]:
    """Yield the lines of the shop in order, without an end.

    Each line comes with its time in seconds from the start.
    """
    shop = Shop(random)
    waiting = [(0.0, number, actor(shop)) for number, actor in enumerate(APPS + MACHINES)]
    heapify(waiting)
    while True:
        at, number, actor = heappop(waiting)
        for step in actor:
            if isinstance(step, Line):
                yield at, step
            else:
                heappush(waiting, (at + step, number, actor))
                break
