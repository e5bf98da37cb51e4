"""Where a source's messages wait between its connection and their parsing; no I/O.

It is bounded. Once full, everything that comes falls into one hole behind what waits, until all
of that has been taken: so the hole has its exact place and size, and in a lasting flood there is
a new one every second or so rather than many small ones.
"""

from __future__ import annotations

import time
from collections import deque

import trio

from natstream.entries.entry import Gap

__all__ = ["Inbox", "Message"]

# Over a second's worth at full speed, and the memory that it may take.
MAX_MESSAGES = 100_000
MAX_BYTES = 64 * 2**20
# Parsed in one go, about 5 ms, while nobody else runs.
RUN_MESSAGES = 500
RUN_BYTES = 512 * 1024

Message = tuple[bytes, bytes]
"""Subject and payload."""


class Inbox:
    """Messages in the order they came. One task takes them; `put` and `wake` may come from any."""

    def __init__(self, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._missed = 0
        self._missed_since = 0
        self._arrived = trio.Event()

    def put(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """Add a message, or count it where there is no room. Never waits."""
        full = len(self._waiting) >= self._max_messages or self._bytes >= self._max_bytes
        if full or self._missed:
            self._miss(1)
            return
        if not self._waiting:
            self._arrived.set()
        self._waiting.append((subject, payload))
        self._bytes += len(payload)

    async def wait(self) -> None:
        """Wait until there is something to take, or until `wake`."""
        await self._arrived.wait()

    def wake(self) -> None:
        """End the wait of the task that takes: something else has happened."""
        self._arrived.set()

    def take(self) -> list[Message]:
        """The oldest messages, as many as are good to handle at once; none if none wait."""
        run: list[Message] = []
        size = 0
        while self._waiting and len(run) < RUN_MESSAGES and size < RUN_BYTES:
            run.append(self._waiting.popleft())
            size += len(run[-1][1])
        self._bytes -= size
        if not self._waiting:
            self._arrived = trio.Event()
        return run

    def take_hole(self) -> Gap | None:
        """What is missing after all that was taken; `None` if nothing is, or some still wait."""
        if self._waiting or not self._missed:
            return None
        gap = Gap(self._missed, self._missed_since)
        self._missed = self._missed_since = 0
        return gap

    def drop(self) -> Gap | None:
        """Give up all that waits; it is part of the hole then."""
        self._miss(len(self._waiting))
        self._waiting.clear()
        self._bytes = 0
        return self.take_hole()

    def _miss(self, count: int) -> None:
        self._missed_since = self._missed_since or time.time_ns() // 1_000_000
        self._missed += count
