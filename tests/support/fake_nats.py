"""A NATS server that misbehaves on demand: it speaks the protocol, and follows a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import attrs
import trio
from tests.support.loopback import HOST

__all__ = ["FakeNatsSession", "open_fake_nats"]


@attrs.define(eq=False)
class FakeNatsSession:
    """The server's side of one connection."""

    stream: trio.SocketStream
    received: bytearray

    async def say(self, text: str) -> None:
        """Send a line of the protocol."""
        await self.stream.send_all(text.encode() + b"\r\n")

    async def hear(self, word: bytes) -> bytes:
        """Wait until the client has sent this word, and return everything before it."""
        while word not in self.received:
            chunk = await self.stream.receive_some()
            if not chunk:
                raise trio.BrokenResourceError
            self.received += chunk
        end = self.received.index(word)
        before = bytes(self.received[:end])
        del self.received[: end + len(word)]
        return before

    async def greet(self, **info: object) -> None:
        """Hold the whole conversation up to a subscription."""
        await self.inform(**info)
        await self.hear(b"CONNECT")
        await self.hear(b"PING\r\n")
        await self.say("PONG")
        await self.hear(b"SUB ")
        await self.hear(b"PING\r\n")
        await self.say("PONG")

    async def inform(self, **info: object) -> None:
        """Send the server's INFO."""
        await self.say("INFO " + json.dumps({"server_id": "x", "max_payload": 2**20, **info}))


@asynccontextmanager
async def open_fake_nats(
    talk: Callable[[FakeNatsSession], Awaitable[None]],
) -> AsyncIterator[str]:
    """Run a server on loopback that does `talk` with each client and then disconnects it.

    The block gets the server's URL.
    """

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await talk(FakeNatsSession(stream, bytearray()))

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, serve, 0, host=HOST)
        listeners = await nursery.start(listen)
        yield f"nats://{HOST}:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
