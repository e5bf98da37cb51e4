"""A hub on a journal's segment, whose stored lines are slow to come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.errors import JournalClosed, SourceUnavailable
from natstream.hub.backlog import Backlog
from natstream.hub.batch import StoredBatch
from natstream.hub.hub import Hub

__all__ = ["KEEPALIVE", "STORED", "SlowArchive", "line", "open_journal_hub"]

KEEPALIVE = 15.0
STORED = 100


def line(number: int) -> LogEntry:
    """Return an entry of the app `api` that says its number."""
    return LogEntry("m1", str(number), "stdout", app_name="api")


@attrs.define(eq=False)
class SlowArchive:
    """Stored entries, for which each answer takes `delay` seconds."""

    nursery: trio.Nursery
    delay: float = 40.0
    is_away: bool = False
    asked: int = 0
    """How many questions were begun."""
    cancelled: int = 0
    open_readers: int = 0
    _position: int = 1

    def start_soon(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> None:
        if self.nursery.cancel_scope.cancel_called:
            raise JournalClosed("The journal is closed")
        self.nursery.start_soon(function, *args)

    def close_journal(self) -> None:
        """Cut all questions, and accept no more."""
        self.nursery.cancel_scope.cancel()

    async def answer(self) -> None:
        """Wait as long as an answer takes.

        Raises:
            SourceUnavailable: the journal is away.
        """
        self.asked += 1
        try:
            await trio.sleep(self.delay)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.is_away:
            raise SourceUnavailable("The journal is away")

    def open(self, start: int, filter: Filter) -> SlowArchive:
        self.open_readers += 1
        self._position = start
        return self

    def close(self) -> None:
        self.open_readers -= 1

    async def read(self, until: int) -> StoredBatch:
        await self.answer()
        numbers = range(self._position, until)
        return StoredBatch(
            epoch="jabc",
            first=self._position,
            entries=[line(number) for number in numbers],
            arrivals=[number * 1_000 for number in numbers],
            first_notice=0,
            persistent=True,
            numbers=numbers,
            until=until,
        )

    async def end(self) -> int:
        await self.answer()
        return STORED + 1

    async def number_at(self, unix_ms: int) -> int:
        await self.answer()
        return max(1, -(-unix_ms // 1_000))

    async def find(self, number: int) -> LogEntry | None:
        await self.answer()
        return line(number) if number <= STORED else None


@asynccontextmanager
async def open_journal_hub(**limits: Any) -> AsyncIterator[tuple[Hub, SlowArchive]]:
    """Run a hub whose segment is a journal's: all of it is stored, none of it in memory."""
    hub = Hub(keepalive=KEEPALIVE, **limits)
    async with trio.open_nursery() as nursery:
        archive = SlowArchive(await nursery.start(_open_nursery))
        backlog = Backlog(
            "jabc", max_lines=1_000, max_bytes=2**20, first=STORED + 1, persistent=True
        )
        hub.rejoin(backlog, archive)
        await nursery.start(hub.run)
        yield hub, archive
        nursery.cancel_scope.cancel()


async def _open_nursery(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()
