"""Costly answers, one at a time, whose holders take turns. On trio; no sockets.

In: the holder of each request, which is a link or an address. Out: its turn. The first request of a
holder waits for one answer of each other holder at most, because a holder with a hundred requests
has one turn in each round.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import trio

__all__ = ["FairTurns"]


class FairTurns:
    """Lets one task in at a time. Each waiting request is bounded by its connection."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[Hashable, deque[trio.Event]] = OrderedDict()
        """The requests of each holder, the oldest first; the holder with the next turn first."""

    @asynccontextmanager
    async def turn(self, holder: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, which is the length of the block."""
        if self._is_taken:
            await self._wait(holder)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, holder: Hashable) -> None:
        turn = trio.Event()
        self._waiting.setdefault(holder, deque()).append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():
                self._pass_on()
            else:
                self._waiting[holder].remove(turn)
                if not self._waiting[holder]:
                    del self._waiting[holder]
            raise

    def _pass_on(self) -> None:
        self._is_taken = bool(self._waiting)
        if self._waiting:
            holder, queue = self._waiting.popitem(last=False)
            queue.popleft().set()
            if queue:
                self._waiting[holder] = queue
