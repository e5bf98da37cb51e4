"""All clients of a server: which of them are let in, and which are reset.

A connection that fails is logged to `hypercorn.error`, as hypercorn logs an exception of the
application, and the other connections go on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from natstream.server.connection import ClientConnection, Shared
from natstream.server.deadlines import LINGER, linger
from natstream.server.request_checks import Refused

__all__ = ["Clients"]

log: logging.Logger = logging.getLogger("hypercorn.error")

# How many clients may be told at once that there are too many: a part of `max_connections`, and at
# most so many. Each of them is a file descriptor for up to a second more.
REFUSED_SHARE, REFUSED_AT_ONCE = 0.05, 50

FULL = Refused(503, "There are too many connections; come back in 2 s.", retry_after=2).message


@attrs.define
class Clients:
    """All clients that are connected to one server."""

    _shared: Shared
    _connections: set[ClientConnection] = attrs.field(factory=set)
    _all_gone: trio.Event = attrs.field(factory=trio.Event)
    """Set when the last client has gone."""
    _refusing: int = 0
    """How many clients are being told that there are too many."""

    @asynccontextmanager
    async def open_nursery(self) -> AsyncIterator[trio.Nursery]:
        """Open a nursery for the tasks of the connections. Its end resets those that are left."""
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            finally:
                # Cancelling alone is not enough, because a send is shielded from it.
                for connection in tuple(self._connections):
                    connection.socket.reset()
            nursery.cancel_scope.cancel()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one client until its connection has ended.

        If there are `Limits.max_connections` already, the connection that has been idle for longest
        is closed. If none is idle, then this client is refused.
        """
        limit = self._shared.limits.max_connections
        if len(self._connections) >= limit and not self._close_longest_idle():
            await self._refuse(stream)
            return
        try:
            connection = ClientConnection(self._shared, stream.socket)
        except OSError:
            return  # the client has gone already
        self._connections.add(connection)
        try:
            await connection.run()
        except* Exception:
            # hypercorn 0.18.0 ends its whole server after an exception over one client's bytes.
            log.exception("A connection failed")
        finally:
            connection.socket.reset()
            self._connections.discard(connection)
            connection.forget()
            if not self._connections:
                self._all_gone.set()

    def _close_longest_idle(self) -> bool:
        """Close the connection that has been idle for longest. Return whether there was one."""
        for connection in self._shared.idle:
            connection.socket.close()
            del self._shared.idle[connection]
            return True
        return False

    async def _refuse(self, stream: trio.SocketStream) -> None:
        """Tell the client that there are too many, if not too many are being told already."""
        most = 1 + int(self._shared.limits.max_connections * REFUSED_SHARE)
        if self._refusing >= min(most, REFUSED_AT_ONCE):
            return
        self._refusing += 1
        try:
            with trio.move_on_after(LINGER), suppress(trio.BrokenResourceError):
                await stream.send_all(FULL)
                await linger(stream.socket)
        finally:
            self._refusing -= 1

    async def close(self) -> None:
        """Accept no more requests, close idle connections, and wait until all clients have gone."""
        await self._shared.context.terminated.set()
        for connection in tuple(self._connections):
            if connection.is_idle:
                connection.socket.close()
        if self._connections:
            self._all_gone = trio.Event()
            await self._all_gone.wait()

    async def reset_stalled(self, stall: float) -> None:
        """Reset each client that accepts nothing for `stall` seconds. Runs until cancelled.

        One task that looks at all clients now and then costs a send nothing.
        """
        while True:
            await trio.sleep(stall / 8)
            for connection in tuple(self._connections):
                connection.socket.reset_if_stalled(stall)
