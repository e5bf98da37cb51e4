"""Readers that come back with the id they saw last, as a browser's EventSource does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import trio
from tests.support.event_stream import Event, EventStream
from tests.support.waiting import until

__all__ = ["Reader", "open_readers"]

# An EventSource waits a second or more, since it is seldom the only one.
RETRY = 0.02


@attrs.define
class Reader:
    """What somebody has on the screen who never closes the page."""

    ports: Sequence[int]
    """Of the processes that it may reach, on loopback; it comes to any of them."""
    query: str = ""
    """What it asks for, beside its place."""
    id: str = ""
    lines: list[str] = attrs.field(factory=list)
    """The messages of the lines that it has got."""
    ids: list[str] = attrs.field(factory=list)
    """Theirs."""
    persistent: list[bool] = attrs.field(factory=list)
    """Whether each was said to be stored."""
    notices: list[str] = attrs.field(factory=list)
    gaps: list[dict[str, Any]] = attrs.field(factory=list)
    connections: int = 0
    _connection: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            port = random.choice(self.ports)
            with (
                suppress(OSError, trio.BrokenResourceError, trio.EndOfChannel),
                trio.CancelScope() as self._connection,
            ):
                async with EventStream.open(port, self.query, self.id) as events:
                    await self._read(events)
            await trio.sleep(RETRY)

    async def _read(self, events: EventStream) -> None:
        received = await events.receive()
        self.connections += 1
        while True:
            for event in received:
                self._take(event)
            # Of an id alone, too.
            self.id = events.id
            received = await events.receive()

    def _take(self, event: Event) -> None:
        if "app" in event.data:
            self.lines.append(event.data["message"])
            self.ids.append(event.id)
            self.persistent.append(event.data["persistent"])
            return
        self.notices.append(event.data["message"])
        if "gap" in event.data:
            self.gaps.append(event.data["gap"])

    @property
    def numbers(self) -> list[int]:
        """The lines' numbers, from their ids."""
        return [int(id.split("-")[2]) for id in self.ids]

    def hop(self) -> None:
        """Be cut, wherever it is just now."""
        self._connection.cancel()

    async def has(self, *lines: str) -> None:
        """Wait until it has got these."""
        wanted = set(lines)
        seen = 0

        def has_come() -> bool:
            nonlocal seen
            wanted.difference_update(self.lines[seen:])
            seen = len(self.lines)
            return not wanted

        try:
            await until(has_come)
        except trio.TooSlowError:
            raise AssertionError(f"missing: {len(wanted)} such as {min(wanted)}") from None


@asynccontextmanager
async def open_readers(*readers: Reader) -> AsyncIterator[None]:
    """Let them read until the end of the block; it begins once each is connected."""
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.run)
        await until(lambda: all(reader.connections for reader in readers))
        yield
        nursery.cancel_scope.cancel()
