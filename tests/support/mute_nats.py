"""A NATS server that answers every PING, and delivers only while it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio
from tests.support.fake_nats import FakeNatsSession, open_fake_nats

__all__ = ["MuteNats"]


@attrs.define(eq=False)
class MuteNats:
    """The server's side of all its connections."""

    url: str = ""
    user: str = "acme"
    password: str = "fly-token"
    is_mute: bool = False
    refused: tuple[str, ...] = ()
    """Subjects that clients may not read."""
    connected_at: list[float] = attrs.field(factory=list)
    """The moments (trio's clock) at which clients connected."""
    subscriptions: dict[tuple[FakeNatsSession, str], str] = attrs.field(factory=dict)
    """By session and number: the subject."""
    _talks: set[trio.CancelScope] = attrs.field(factory=set)
    _sending: trio.Lock = attrs.field(factory=trio.Lock)

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[MuteNats]:
        """Serve on a free port of loopback until the end of the block."""
        server = cls()
        async with open_fake_nats(server._talk) as url:
            server.url = url
            yield server

    async def publish(self, subject: str, payload: bytes) -> None:
        """Deliver a message to each subscription that it fits, unless the server is mute."""
        if self.is_mute:
            return
        for (session, number), wanted in list(self.subscriptions.items()):
            if subject.startswith(wanted.removesuffix(">")):
                await self._say(
                    session, f"MSG {subject} {number} {len(payload)}\r\n{payload.decode()}"
                )

    def disconnect(self) -> None:
        """End all connections; new ones are taken."""
        for scope in self._talks:
            scope.cancel()

    async def _talk(self, session: FakeNatsSession) -> None:
        with trio.CancelScope() as scope:
            self._talks.add(scope)
            await session.inform()
            self.connected_at.append(trio.current_time())
            try:
                while True:
                    match (await session.hear(b"\r\n")).split():
                        case [b"PING"]:
                            await self._say(session, "PONG")
                        case [b"SUB", subject, number]:
                            await self._subscribe(session, subject.decode(), number.decode())
            finally:
                self._talks.discard(scope)
                for key in [key for key in self.subscriptions if key[0] is session]:
                    del self.subscriptions[key]

    async def _subscribe(self, session: FakeNatsSession, subject: str, number: str) -> None:
        if subject in self.refused:
            error = f"-ERR 'Permissions Violation for Subscription to \"{subject}\"'"
            await self._say(session, error)
        else:
            self.subscriptions[session, number] = subject

    async def _say(self, session: FakeNatsSession, text: str) -> None:
        async with self._sending:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await session.say(text)
