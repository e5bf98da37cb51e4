"""How fast this machine is beside the reference machine, on which docs/performance.md was measured.

In: nothing. Out: a factor. An absolute time that is wanted on the reference machine is multiplied
by it elsewhere: with a factor of 0.8, 350 ms there are 280 ms here. A fixed loop is timed. It does
in pure Python what a service does for a line: it cuts and makes strings, looks into dictionaries
and calls methods.

The loop itself never ran on the reference machine, because that machine is gone. `REFERENCE` was
derived from programs that were measured there on 2026-11-21 and have not changed: their time there,
divided by their time on another machine (2026-11-29, also with Python 3.11.7), times the loop's
time on that machine a moment before. Each program gives a time of the loop there, in ms:

* the start of the natstream that was measured there (faf4821, without aiohttp): 2.1
* flaude, for each line: 2.4 with 1 line in a body, 2.3 with 100, 1.8 to 2.3 with 1,000
* waking a task with a bare channel of trio: 2.4
* the start of the Starlette peer: 2.3; of bare trio sockets: 1.9

So the factor may be wrong by 15 %. It says nothing about the kernel, about memory, and about how
long a busy machine lets a program wait.
"""

from __future__ import annotations

import time

__all__ = ["REFERENCE", "loop_time", "slowness"]

# CPU seconds of the loop on the reference machine.
REFERENCE = 2.2e-3

REPETITIONS = 50
TURNS = 2_000


class _Counts:
    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.total = 0

    def add(self, name: str, size: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        self.total += size


def _loop() -> int:
    counts = _Counts()
    for number in range(TURNS):
        words = f"GET /orders/{number} 200 {number % 90}ms".split(" ")
        for word in words:
            counts.add(word, len(word))
        line = "|".join(words).encode()
        if line.endswith(b"7ms"):
            counts.add("seven", line.find(b"2"))
    return counts.total


def loop_time() -> float:
    """Return the CPU seconds of the loop, the cheapest of many repetitions."""
    costs = []
    for _ in range(REPETITIONS):
        started = time.process_time()
        _loop()
        costs.append(time.process_time() - started)
    return min(costs)


def slowness() -> float:
    """Return how many times as long a program takes here as on the reference machine."""
    return loop_time() / REFERENCE
