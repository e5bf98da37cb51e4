"""Readers that reconnect and resume after the last event id, as a browser's EventSource does.

`open_readers()` lets them read until the end of a block. Each keeps every line, notice and gap that
it got, so that a test can tell whether a line was lost or came twice.
"""

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

# An EventSource waits for a second or more, but a test should not.
RETRY = 0.02


@attrs.define
class Reader:
    """One reader, over all its connections."""

    ports: Sequence[int]
    """Ports of the processes among which each connection chooses at random."""
    query: str = ""
    """Parameters of the request."""
    id: str = ""
    """The last event id, from which it resumes."""
    lines: list[str] = attrs.field(factory=list)
    """Messages of the lines, in the order of their arrival."""
    ids: list[str] = attrs.field(factory=list)
    """Event ids of the lines."""
    persistent: list[bool] = attrs.field(factory=list)
    """Whether each line was marked as stored."""
    notices: list[str] = attrs.field(factory=list)
    gaps: list[dict[str, Any]] = attrs.field(factory=list)
    connections: int = 0
    _connection: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Read until cancelled, and reconnect whenever the response ends."""
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
                self._keep(event)
            # An id may also come without an event.
            self.id = events.id
            received = await events.receive()

    def _keep(self, event: Event) -> None:
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
        """The numbers of the lines, from their event ids."""
        return [int(id.split("-")[2]) for id in self.ids]

    def hop(self) -> None:
        """Cut the connection at whatever point it is, so that the reader reconnects."""
        self._connection.cancel()

    async def has(self, *lines: str) -> None:
        """Wait until it has these lines."""
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
    """Let the readers read until the end of the block, which starts when all are connected."""
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.run)
        await until(lambda: all(reader.connections for reader in readers))
        yield
        nursery.cancel_scope.cancel()
