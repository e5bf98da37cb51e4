"""The network between one natstream process and the journal, which can be cut or lose messages.

`Wire.open()` forwards connections from a port of its own to the server's until the end of a block.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio
from tests.support.loopback import free_port

__all__ = ["Wire"]

ACK = re.compile(rb"MSG _INBOX\.\w+\.a\.\d+ \d+ (\d+)\r\n")
PUBLICATION = re.compile(rb"HPUB \S+ _INBOX\.\w+\.a\.\d+ \d+ (\d+)\r\n")


@attrs.define
class Wire:
    """A port of loopback whose connections are forwarded to a server."""

    server_port: int
    port: int = attrs.field(factory=free_port)
    is_cut: bool = False
    """Whether every connection is refused."""
    is_slow: bool = False
    """Whether data from the server is held back."""
    acks_to_lose: int = 0
    """How many of the next acknowledgements are lost."""
    lines_to_lose: int = 0
    """How many of the next lines are lost on their way to the journal."""
    _connections: set[trio.CancelScope] = attrs.field(factory=set)

    @classmethod
    @asynccontextmanager
    async def open(cls, server_port: int) -> AsyncIterator[Wire]:
        """Forward connections until the end of the block."""
        wire = cls(server_port)
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, wire._connect, wire.port)
            yield wire
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        """The address of the server by way of this wire."""
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection, and refuse new ones until `mend`."""
        self.is_cut = True
        for scope in self._connections:
            scope.cancel()

    def mend(self) -> None:
        """Forward connections again."""
        self.is_cut = False

    async def _connect(self, client: trio.SocketStream) -> None:
        if self.is_cut:
            return
        with suppress(OSError, trio.BrokenResourceError), trio.CancelScope() as scope:
            self._connections.add(scope)
            async with (
                await trio.open_tcp_stream("127.0.0.1", self.server_port) as server,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._up, client, server, scope)
                await self._down(server, client)
                scope.cancel()
        self._connections.discard(scope)

    async def _up(
        self, client: trio.SocketStream, server: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in client:
                kept, lost = without(PUBLICATION, bytes(data), self.lines_to_lose)
                self.lines_to_lose -= lost
                await server.send_all(kept)
        scope.cancel()

    async def _down(self, server: trio.SocketStream, client: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in server:
                kept, lost = without(ACK, bytes(data), self.acks_to_lose)
                self.acks_to_lose -= lost
                while self.is_slow:
                    await trio.sleep(0.01)
                await client.send_all(kept)


def without(what: re.Pattern[bytes], data: bytes, most: int) -> tuple[bytes, int]:
    """Remove up to `most` commands that begin so; return the others and the number removed."""
    lost = 0
    while lost < most and (match := what.search(data)):
        data = data[: match.start()] + data[match.end() + int(match[1]) + 2 :]
        lost += 1
    return data, lost
