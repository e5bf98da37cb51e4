"""A NATS server that follows a script, for conversations that a real one never has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs
import trio

__all__ = ["Session", "open_fake_nats"]


@attrs.define
class Session:
    """The server's side of one connection."""

    stream: trio.SocketStream
    received: bytearray

    async def send_line(self, text: str) -> None:
        """Send a line of the protocol to the client."""
        await self.stream.send_all(text.encode() + b"\r\n")

    async def send_info(self, **info: object) -> None:
        """Send the INFO that opens each connection."""
        info = {"server_id": "x", "max_payload": 2**20, **info}
        await self.send_line("INFO " + json.dumps(info))

    async def expect(self, words: bytes) -> None:
        """Wait until the client has sent these words.

        Raises:
            trio.BrokenResourceError: the client has closed the connection.
        """
        while words not in self.received:
            chunk = await self.stream.receive_some()
            if not chunk:
                raise trio.BrokenResourceError
            self.received += chunk
        del self.received[: self.received.index(words) + len(words)]

    async def accept(self, **info: object) -> None:
        """Go through the whole conversation up to and including one subscription."""
        await self.send_info(**info)
        await self.expect(b"CONNECT")
        await self.expect(b"PING\r\n")
        await self.send_line("PONG")
        await self.expect(b"SUB ")
        await self.expect(b"PING\r\n")
        await self.send_line("PONG")


@asynccontextmanager
async def open_fake_nats(script: Callable[[Session], Awaitable[None]]) -> AsyncIterator[str]:
    """Run a server on loopback until the end of the block, and give its URL.

    The server runs `script` for each connection, then closes that connection.
    """

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await script(Session(stream, bytearray()))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"nats://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()
