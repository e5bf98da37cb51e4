"""The network between one natstream process and the journal, to be cut, or to lose messages."""

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
    """Connections to a server on loopback, through a port of its own."""

    server_port: int
    port: int = attrs.field(factory=free_port)
    is_cut: bool = False
    """Nobody gets through, nor stays connected."""
    is_slow: bool = False
    """What the server sends waits on its way."""
    acks_to_lose: int = 0
    """So many of the next acknowledgements do not arrive."""
    lines_to_lose: int = 0
    """So many of the next lines do not arrive at the journal."""
    _connections: set[trio.CancelScope] = attrs.field(factory=set)

    @classmethod
    @asynccontextmanager
    async def open(cls, server_port: int) -> AsyncIterator[Wire]:
        """Let connections through until the end of the block."""
        wire = cls(server_port)
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, wire._connect, wire.port)
            yield wire
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self.is_cut = True
        for scope in self._connections:
            scope.cancel()

    def mend(self) -> None:
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
    """What is left of some commands without those that begin so, and how many were left out."""
    lost = 0
    while lost < most and (match := what.search(data)):
        data = data[: match.start()] + data[match.end() + int(match[1]) + 2 :]
        lost += 1
    return data, lost
