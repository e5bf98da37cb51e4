"""The buffer between a connection, which must not wait, and the task that parses its messages.

It is bounded. When it is full, it counts new messages instead of keeping them, until all that it
holds has been popped. So the loss is one gap whose position and size are exact. A lasting flood
leaves one gap every second or so, instead of many small ones. No I/O.
"""

from __future__ import annotations

import time
from collections import deque

import trio

from natstream.entries.entry import Gap

__all__ = ["MAX_MESSAGES", "Inbox", "Message"]

# More than a second of messages at full speed, and the memory that they may use.
MAX_MESSAGES = 100_000
MAX_BYTES = 64 * 2**20
# The messages that are parsed at once. That takes about 5 ms, in which no other task runs.
RUN_MESSAGES = 500
RUN_BYTES = 512 * 1024

Message = tuple[bytes, bytes]
"""Subject and payload."""


class Inbox:
    """Messages in the order of their arrival.

    One task waits and pops; `append` and `wake` may be called by any task.
    """

    def __init__(self, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._missed = 0
        self._missed_since = 0
        self._awake = trio.Event()

    def append(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """Add a message, or count it as missed if the inbox is full. This never waits."""
        full = len(self._messages) >= self._max_messages or self._bytes >= self._max_bytes
        if full or self._missed:
            self._miss(1)
            return
        if not self._messages:
            self._awake.set()
        self._messages.append((subject, payload))
        self._bytes += len(payload)

    async def wait(self) -> None:
        """Wait until there is a message, or until `wake` is called."""
        await self._awake.wait()

    def wake(self) -> None:
        """End the current `wait`, although no message has arrived."""
        self._awake.set()

    def pop_run(self) -> list[Message]:
        """Remove and return the oldest messages, up to `RUN_MESSAGES` or `RUN_BYTES`."""
        run: list[Message] = []
        size = 0
        while self._messages and len(run) < RUN_MESSAGES and size < RUN_BYTES:
            run.append(self._messages.popleft())
            size += len(run[-1][1])
        self._bytes -= size
        if not self._messages:
            self._awake = trio.Event()
        return run

    def pop_gap(self) -> Gap | None:
        """Return the gap of all messages missed so far, and start to count the next one.

        Return `None` if no message was missed, and while messages wait, because the gap comes
        after them.
        """
        if self._messages or not self._missed:
            return None
        gap = Gap(missed=self._missed, since=self._missed_since)
        self._missed = self._missed_since = 0
        return gap

    def clear(self) -> Gap | None:
        """Remove all messages, and return the gap that they leave; they count as missed too."""
        self._miss(len(self._messages))
        self._messages.clear()
        self._bytes = 0
        return self.pop_gap()

    def _miss(self, count: int) -> None:
        self._missed_since = self._missed_since or time.time_ns() // 1_000_000
        self._missed += count
