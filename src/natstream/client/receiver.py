"""The receive end of a log stream: batches of entries and notices → entries, one by one.

Notices go to a callback, in their order between the entries. A failure of the connection is
raised once all entries before it have been received.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

from natstream.entries.entry import LogEntry, Notice
from natstream.errors import NatstreamError
from natstream.formats.ndjson import Received

__all__ = ["EntryReceiver"]


class EntryReceiver(trio.abc.ReceiveChannel[LogEntry]):
    """The receive end of a log stream. Several tasks may receive; each entry goes to one."""

    def __init__(
        self, batches: trio.MemoryReceiveChannel[Received], on_notice: Callable[[Notice], None]
    ) -> None:
        self._batches = batches
        self._on_notice = on_notice
        self._arrived: deque[LogEntry | Notice] = deque()
        self._failure: NatstreamError | None = None

    async def receive(self) -> LogEntry:
        """Return the next entry. Calls `on_notice` first with each notice before the entry.

        Raises:
            trio.EndOfChannel: the stream does not follow, and all of it has been received.
            SourceDenied, BadQuery: the connection was lost, and the service refuses another.
        """
        return (await self._receive_up_to(1))[0]

    async def receive_some(self) -> list[LogEntry]:
        """Return all entries that have arrived, at least one. Raises the errors of `receive`."""
        return await self._receive_up_to(math.inf)

    def close(self) -> None:
        """Stop receiving, and drop the entries that have arrived."""
        self._batches.close()
        self._arrived.clear()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def fail(self, failure: NatstreamError) -> None:
        """Raise `failure` at the end of the stream."""
        self._failure = failure

    async def _receive_up_to(self, limit: float) -> list[LogEntry]:
        await trio.lowlevel.checkpoint()
        entries: list[LogEntry] = []
        while not entries:
            if not self._arrived:
                self._arrived.extend(await self._next_batch())
            while self._arrived and len(entries) < limit:
                item = self._arrived[0]
                if isinstance(item, LogEntry):
                    entries.append(item)
                elif entries:
                    break  # The caller must get the entries before the notice first.
                else:
                    self._on_notice(item)
                self._arrived.popleft()
        return entries

    async def _next_batch(self) -> Received:
        try:
            return await self._batches.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            raise
