"""hypercorn in a nursery: limits, closing, and whom to cut.

In: an ASGI application, listening sockets, an event that says when to close. Out: HTTP/1.1 until
that event and a bounded while longer. Of what goes wrong, only the application's own start gets
out; a connection that fails is logged to `hypercorn.error`, like an exception of the application.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import ASGIFramework

from natstream.server.connection import LINGER, ClientConnection, Limits, Shared
from natstream.server.request_checks import Refused

__all__ = ["serve"]

log = logging.getLogger("hypercorn.error")

# The part of the grace that is kept for resetting those who have not ended by themselves.
FORCED = 0.2

# Clients who are just being told that there are too many: each is a file descriptor a while
# longer. As a part of those whom the limit lets in, and in all.
REFUSED_SHARE, REFUSED_AT_ONCE = 0.05, 50

FULL = Refused(503, "There are too many connections; come back in 2 s.", retry_after=2).message


async def serve(
    app: ASGIFramework,
    sockets: Iterable[socket.socket],
    *,
    grace: float,
    stall: float,
    closing: trio.Event,
    limits: Limits | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on listening `sockets`, which are closed in the end, until `closing` is set.

    Then nobody new is let in, idle connections are closed, and responses have until shortly
    before `grace` seconds are over to end by themselves: ending them is the application's part.
    What is left is reset. A client that accepts nothing of what it is owed for `stall` seconds
    is cut; after 1.25 of that at the latest.

    Past `limits.max_connections` the connection goes that has been idle for longest; where none is
    idle, the newest is told 503.

    A client that closes its end, were it only for sending, has gone: its response is cancelled.

    `started()` is called when the application has started and clients are let in. Cancelled, it
    resets every connection and leaves. Raises what the application's start raises.
    """
    limits = limits or Limits()
    shared = Shared(ASGIWrapper(app), _config(limits), limits)
    clients = _Clients(shared)
    lifespan = Lifespan(shared.app, shared.config, shared.state)
    with ExitStack() as stack:
        listeners = [
            trio.SocketListener(trio.socket.from_stdlib_socket(stack.enter_context(sock)))
            for sock in sockets
        ]
        async with trio.open_nursery() as nursery:
            await nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            nursery.start_soon(clients.cut_stalled, stall)
            async with clients.nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accept = partial(trio.serve_listeners, handler_nursery=connections)
                    await accepting.start(accept, clients.serve, listeners)
                    task_status.started()
                    await closing.wait()
                    accepting.cancel_scope.cancel()
                with trio.move_on_after(grace * (1 - FORCED)):
                    await clients.close()
            with trio.move_on_after(grace * FORCED):
                await lifespan.wait_for_shutdown()
            nursery.cancel_scope.cancel()


def _config(limits: Limits) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    # hypercorn's 1,000 would disconnect a proxy that polls, now and then, in the midst of its work.
    config.keep_alive_max_requests = 2**31
    config.h11_max_incomplete_size = limits.max_header
    return config


@attrs.define
class _Clients:
    """Everybody who is connected."""

    shared: Shared
    connections: set[ClientConnection] = attrs.field(factory=set)
    deserted: trio.Event = attrs.field(factory=trio.Event)
    """Set when the last one has gone."""
    refused: int = 0
    """Who is being told that there are too many."""

    @asynccontextmanager
    async def nursery(self) -> AsyncIterator[trio.Nursery]:
        """For the tasks of the connections: who is still there when it ends is reset."""
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            finally:
                # Cancelling alone would not do: a send is shielded from that.
                for connection in tuple(self.connections):
                    connection.abort()
            nursery.cancel_scope.cancel()

    async def serve(self, stream: trio.SocketStream) -> None:
        """See one client through."""
        if len(self.connections) >= self.shared.limits.max_connections and not self.make_room():
            await self.refuse(stream)
            return
        try:
            connection = ClientConnection(self.shared, stream.socket)
        except OSError:
            return  # It has gone before we looked.
        self.connections.add(connection)
        try:
            await connection.run()
        except* Exception:
            # In hypercorn's own server, a KeyError over the frames of one client ends all of it.
            log.exception("A connection failed")
        finally:
            connection.abort()
            self.connections.discard(connection)
            connection.forget()
            if not self.connections:
                self.deserted.set()

    def make_room(self) -> bool:
        """Close the connection that has been idle for longest, if there is one."""
        for connection in self.shared.idle:
            connection.close()
            del self.shared.idle[connection]
            return True
        return False

    async def refuse(self, stream: trio.SocketStream) -> None:
        """Say that there are too many, and wait a moment, so that this arrives."""
        most = 1 + int(self.shared.limits.max_connections * REFUSED_SHARE)
        if self.refused >= min(most, REFUSED_AT_ONCE):
            return
        self.refused += 1
        try:
            with trio.move_on_after(LINGER), suppress(trio.BrokenResourceError):
                await stream.send_all(FULL)
                await stream.send_eof()
                # Closing with a request unread would be a reset, which overtakes the answer.
                while await stream.receive_some():
                    pass
        finally:
            self.refused -= 1

    async def close(self) -> None:
        """Let no request begin, close who is idle, and wait until everybody has gone."""
        await self.shared.context.terminated.set()
        for connection in tuple(self.connections):
            if connection.idle:
                connection.close()
        if self.connections:
            self.deserted = trio.Event()
            await self.deserted.wait()

    async def cut_stalled(self, stall: float) -> None:
        """Reset who accepts nothing for `stall` seconds; for ever.

        One task that looks at all of them now and then takes nothing from the way of a send,
        and sees a stalled reader even while its few lines still fit into the kernel's buffers.
        """
        while True:
            await trio.sleep(stall / 8)
            for connection in tuple(self.connections):
                connection.cut_stalled(stall)
