"""A real nats-server that can be mistreated in every way that happens to one in the field.

`MistreatedServer.run()` runs it until the end of a block. It has one user for natstream and one
that publishes, so that mistreating the first does not touch the second.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from natstream.demo.nats_server import NatsServer, Publisher, open_publisher

__all__ = ["PUBLISHER", "READER", "MistreatedServer", "authorization"]

READER = {"user": "acme", "password": "fly-token"}
PUBLISHER = {"user": "publisher", "password": "of-the-test"}


class MistreatedServer(NatsServer):
    """A nats-server on loopback; `user` and `password` are those of natstream, the reader."""

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[MistreatedServer]:
        """Run a server until the end of the block."""
        async with cls.open(**READER, authorization=authorization(READER)) as server:
            try:
                yield server
            finally:
                server.resume()

    async def publish(self, subject: str, payloads: Iterable[bytes]) -> None:
        """Publish over a new connection; return when the server has received everything."""
        async with self.publisher() as publisher:
            await publisher.publish((subject, payload) for payload in payloads)

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        """Open a connection that publishes, until the end of a block."""
        return open_publisher(self.port, PUBLISHER["user"], PUBLISHER["password"])

    async def kill(self) -> None:
        """End the server with SIGKILL, so that it cannot tell its clients."""
        await self.stop(signal.SIGKILL)

    async def restart(self) -> None:
        """End the server if it runs, and start it on the same port."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Stop the process: the kernel still accepts connections, but nothing is answered."""
        self._signal(signal.SIGSTOP)
        if self.process is not None:  # The signal takes a moment to stop all threads.
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Let the server tell its clients to leave; it closes their connections after a while."""
        self._signal(signal.SIGUSR2)

    def revoke(self) -> None:
        """Make the reader's password invalid: the server tells the reader and disconnects it."""
        self._reload(authorization({**READER, "password": "a new one"}))

    def deny(self, *subjects: str) -> None:
        """Forbid the reader these subjects: its subscriptions end, its connection stays."""
        self._reload(authorization({**READER, "permissions": {"subscribe": {"deny": subjects}}}))

    def allow(self) -> None:
        """Allow the reader everything again, with its first password."""
        self._reload(authorization(READER))

    def _reload(self, authorization: dict[str, Any]) -> None:
        self.settings["authorization"] = authorization
        self.write_settings()
        self._signal(signal.SIGHUP)

    def _signal(self, signum: signal.Signals) -> None:
        """Send a signal, unless the server is not running; it reads its settings when it starts."""
        if self.process is not None:
            self.process.send_signal(signum)


def authorization(reader: dict[str, Any]) -> dict[str, Any]:
    """Return the server's setting `authorization` for this reader and the publisher."""
    return {"users": [reader, PUBLISHER]}
