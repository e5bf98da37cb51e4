"""All clients of a server: which of them are let in, and which are reset.

A connection that fails is logged to `hypercorn.error`, as hypercorn logs an exception of the
application, and the other connections go on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from natstream.server.connection import ClientConnection, Shared

__all__ = ["Clients"]

log: logging.Logger = logging.getLogger("hypercorn.error")

# How many places are kept for health checks: a part of `max_connections`, and at most so many. The
# other clients that get such a place are told that there are too many connections.
RESERVED_SHARE, MOST_RESERVED = 0.05, 50


@attrs.define
class Clients:
    """All clients that are connected to one server."""

    _shared: Shared
    _connections: set[ClientConnection] = attrs.field(factory=set)
    _all_gone: trio.Event = attrs.field(factory=trio.Event)
    """Set when the last client has gone."""

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

        If there are `Limits.max_connections` already, the oldest connection is closed whose client
        has shown no token, or else the connection that has been idle for longest. If there is
        neither, this client gets an answer only if it asks for our health, because a platform
        would end a process that does not answer its health checks.
        """
        is_full = self._count >= self._shared.limits.max_connections and not self._make_room()
        if is_full:
            self._make_reserved_room()
        try:
            connection = ClientConnection(self._shared, stream.socket, only_health=is_full)
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

    @property
    def _count(self) -> int:
        """The number of connections, without those in places that are kept for health checks."""
        return len(self._connections) - len(self._shared.reserved)

    def _make_room(self) -> bool:
        """Close a stranger's connection, or an idle one. Return whether there was one."""
        for queue in (self._shared.strangers, self._shared.idle):
            for connection in queue:
                self._drop(connection)
                return True
        return False

    def _make_reserved_room(self) -> None:
        """Close the oldest connection in a place for health checks, if all places are taken."""
        reserved = self._shared.reserved
        most = 1 + int(self._shared.limits.max_connections * RESERVED_SHARE)
        if len(reserved) >= min(most, MOST_RESERVED):
            self._drop(next(iter(reserved)))

    def _drop(self, connection: ClientConnection) -> None:
        """End a connection. It no longer counts, although its tasks end a moment later."""
        self._connections.discard(connection)
        if connection.is_idle:
            connection.socket.close()
        else:
            connection.socket.reset()  # discards what the client has not read
        connection.leave_queues()

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
