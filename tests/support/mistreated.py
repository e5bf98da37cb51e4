"""A nats-server that can be mistreated, with all that happens to one in the field."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from natstream.demo.nats_server import NatsServer, Publisher, open_publisher

__all__ = ["PUBLISHER", "READER", "MistreatedServer", "authorization"]

READER = {"user": "acme", "password": "fly-token"}
PUBLISHER = {"user": "publisher", "password": "of-the-test"}


class MistreatedServer(NatsServer):
    """A nats-server on loopback, which takes whatever is done to it.

    `user` and `password` are the reader's; a user of its own publishes, so that what is done
    to the reader does not touch it.
    """

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[MistreatedServer]:
        """Run one until the end of the block."""
        async with cls.open(**READER, authorization=authorization(READER)) as server:
            try:
                yield server
            finally:
                server.resume()

    async def publish(self, subject: str, payloads: Iterable[bytes]) -> None:
        """Publish over a connection of its own; returns when the server has taken them all."""
        async with self.publisher() as publisher:
            await publisher.publish((subject, payload) for payload in payloads)

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        """A connection that publishes, for the length of a block."""
        return open_publisher(self.port, PUBLISHER["user"], PUBLISHER["password"])

    async def kill(self) -> None:
        """End it without a word to its clients."""
        await self.stop(signal.SIGKILL)

    async def restart(self) -> None:
        """End it if it runs; start it on the same port."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """It accepts connections (the kernel does) but says nothing any more."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """It tells its clients to go, and closes their connections after a while."""
        self._signal(signal.SIGUSR2)

    def revoke(self) -> None:
        """The reader's password is no longer valid: it is told so, and its connections end."""
        self._reload(authorization({**READER, "password": "a new one"}))

    def deny(self, *subjects: str) -> None:
        """The reader may not subscribe to these: its subscriptions end, its connection stays."""
        self._reload(authorization({**READER, "permissions": {"subscribe": {"deny": subjects}}}))

    def allow(self) -> None:
        """The reader may do everything again, with its first password."""
        self._reload(authorization(READER))

    def _reload(self, authorization: dict[str, Any]) -> None:
        self.settings["authorization"] = authorization
        self.write_settings()
        self._signal(signal.SIGHUP)

    def _signal(self, signum: signal.Signals) -> None:
        """Nothing happens to one that is not running; it reads its settings when it starts."""
        if self.process is not None:
            self.process.send_signal(signum)


def authorization(reader: dict[str, Any]) -> dict[str, Any]:
    """The server's settings of who may do what, with this as the reader."""
    return {"users": [reader, PUBLISHER]}
