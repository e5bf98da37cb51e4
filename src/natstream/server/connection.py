"""One client's connection: requests to the application, responses to the client, and its end.

In: an accepted socket and the application. What the client does, or fails to do, ends this
connection and no other.

`ClientConnection` replaces the `TCPServer` of hypercorn 0.18.0, whose faults lie in its structure:

* It waits without an end for a client that stops reading (see `client_socket`).
* It closes idle connections in a task that a response's end starts. quart-trio 0.12.0 cancels its
  last send because of the disconnect that the same send reports, and that task is never started.
  Here nothing can be cancelled between a response's last piece and the start of the idle time.
* A client's disconnect is noticed late, or never, while a pipelined request waits (see `http1`).
  Here reading never stops as long as the connection lives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from natstream.server.client_socket import ClientSocket
from natstream.server.deadlines import HEADER_TIMEOUT, LINGER, expire_in
from natstream.server.http1 import ChunkFramer, MendedH11
from natstream.server.request_checks import Refused
from natstream.server.request_messages import RequestTasks

__all__ = [
    "ClientConnection",
    "Limits",
    "PieceSender",
    "Shared",
    "keep_connection",
    "piece_sender",
]

# Seconds that an idle connection is kept. Common proxies keep theirs for 60 s, and the proxy should
# close first, since a request that is sent just as we close is lost.
KEEP_ALIVE = 75.0

# Where in the state of a request the application finds the function behind `keep_connection`.
KEEP = "natstream.keep_connection"
# And where it finds the function behind `piece_sender`.
PIECES = "natstream.piece_sender"


class PieceSender(Protocol):
    """Sends the body of a response piece by piece, with fewer calls than messages of ASGI need."""

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece; it must not be empty, because an empty chunk ends a body."""

    def send_piece_nowait(self, piece: bytes) -> None:
        """Send what the kernel accepts now.

        If `is_flushed` is false then, `flush` or `send_piece` must be called soon.
        """

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has accepted all pieces."""

    async def flush(self) -> None:
        """Wait until the kernel has accepted all pieces."""


def keep_connection(scope: Mapping[str, Any]) -> None:
    """Keep the connection of a request whose client has shown a token, until its next request.

    The connections of other clients are closed first when there are too many. Another server than
    ours knows no such difference, and then this does nothing.
    """
    if keep := scope.get("state", {}).get(KEEP):
        keep()


def piece_sender(scope: Mapping[str, Any]) -> PieceSender | None:
    """Return what sends the body of the response that has begun, until the response's last message.

    Return `None` if the body must be sent by messages of ASGI: if it is not in chunks (HTTP/1.0,
    HEAD), or the server is another one than ours.
    """
    find = scope.get("state", {}).get(PIECES)
    return None if find is None else find()


@attrs.frozen(kw_only=True)
class Limits:
    """What clients may use, and how long they may take."""

    max_header: int = 16_384
    """Bytes of the request line with its query, and the headers; most proxies pass 8 KiB."""
    header_timeout: float = HEADER_TIMEOUT
    """Seconds in which these must arrive, from connecting or from their first byte."""
    max_connections: int = 1_000
    """Each is a file descriptor. In addition, there are a few places for health checks."""
    needs_token: bool = False
    """Whether the application calls `keep_connection` for clients that have shown a token."""
    health_path: bytes = b"/healthz"
    """The path that is answered also when there are too many connections."""
    cors_origins: tuple[str, ...] = ()
    """The origins whose pages may read why a request to the API was refused."""


@attrs.define
class Shared:
    """What all connections of a server have in common."""

    app: ASGIWrapper
    config: Config
    limits: Limits
    state: LifespanState = attrs.field(factory=dict)
    context: WorkerContext = attrs.field(factory=lambda: WorkerContext(None))
    """Its `terminated` is set when the server closes."""
    chunks: ChunkFramer = attrs.field(factory=ChunkFramer)
    idle: dict[ClientConnection, None] = attrs.field(factory=dict)
    """The connections without a request, the one that has been idle for longest first."""
    strangers: dict[ClientConnection, None] = attrs.field(factory=dict)
    """If clients need a token: the connections without one, the oldest first."""
    reserved: dict[ClientConnection, None] = attrs.field(factory=dict)
    """The connections in the places that are kept for health checks, the oldest first."""


class ClientConnection:
    """One client's connection.

    Every way to end it closes the socket. That ends the reading, which tells the application.

    Args:
        only_health: the connection has one of the places that are kept for health checks, so that
            another request is told that there are too many connections.

    Raises:
        OSError: the client has gone already.
    """

    def __init__(
        self, shared: Shared, sock: trio.socket.SocketType, *, only_health: bool = False
    ) -> None:
        self.socket: ClientSocket = ClientSocket(sock)
        self._shared = shared
        self._tasks = RequestTasks()
        self._protocol = MendedH11(
            self.socket,
            shared.chunks,
            shared.limits.max_header,
            shared.limits.health_path if only_health else None,
            shared.limits.cors_origins,
            shared.app,
            shared.config,
            shared.context,
            self._tasks,
            ConnectionState({**shared.state, KEEP: self._keep, PIECES: self._piece_sender}),
            False,  # without TLS, which is the proxy's task
            parse_socket_addr(sock.family, sock.getpeername()),
            parse_socket_addr(sock.family, sock.getsockname()),
            self._handle_outgoing,
        )
        # Around all reading. Its deadline is for the client's next step, for example its headers.
        self._reading = trio.CancelScope()
        expire_in(self._reading, shared.limits.header_timeout)
        if only_health:
            shared.reserved[self] = None
            return
        shared.idle[self] = None
        if shared.limits.needs_token:
            shared.strangers[self] = None

    @property
    def is_idle(self) -> bool:
        """Whether the client has no request that is not answered, except about our health."""
        return self in self._shared.idle or self in self._shared.reserved

    async def run(self) -> None:
        """Read until the client has gone or was too slow, then wait for its responses to end."""
        async with self._tasks:
            try:
                with self._reading, suppress(trio.ClosedResourceError):
                    while data := await self.socket.receive():
                        if self.is_idle:
                            self._expire_within(self._shared.limits.header_timeout)
                        if not self.socket.is_finished:
                            await self._handle_incoming(RawData(data))
                        del data  # which a reader would keep: a head has up to 16 KB
            finally:
                self.socket.close()
            await self._handle_incoming(Closed())

    def forget(self) -> None:
        """Drop the protocol, which refers to this connection, after the connection has ended."""
        self._protocol.forget()
        self.leave_queues()

    def leave_queues(self) -> None:
        """Be no longer one of the connections of which one is closed to make room for another."""
        self._shared.idle.pop(self, None)
        self._shared.strangers.pop(self, None)
        self._shared.reserved.pop(self, None)

    def _keep(self) -> None:
        """Note that the client has shown a token."""
        self._shared.strangers.pop(self, None)

    def _piece_sender(self) -> PieceSender | None:
        return self._protocol if self._protocol.takes_pieces else None

    async def _handle_incoming(self, event: Event) -> None:
        """Give the client's bytes, or its disconnect, to hypercorn's protocol."""
        try:
            await self._protocol.handle(event)
        except Refused as refused:
            await self.socket.send(refused.message)
            self._finish()

    async def _handle_outgoing(self, event: Event) -> None:
        """Handle what hypercorn's protocol reports: bytes to send, an idle client, or the end."""
        if isinstance(event, RawData):
            await self.socket.send(event.data)
        elif isinstance(event, Updated):
            self._change_idle(event.idle)
        elif isinstance(event, Closed):
            self._finish()
            await self._handle_incoming(Closed())

    def _change_idle(self, is_idle: bool) -> None:
        """Note that a request has begun, or that its response has ended."""
        if self in self._shared.reserved:
            if is_idle:
                self._finish()
            return
        self._shared.idle.pop(self, None)
        if is_idle:
            self._shared.idle[self] = None
        elif self._shared.limits.needs_token:
            # A proxy may send another client's request over the same connection. A connection that
            # is a stranger's already keeps its place, so that no request makes it younger.
            self._shared.strangers.setdefault(self)
        if self.socket.is_finished:
            return
        if is_idle and self._shared.context.terminated.is_set():
            self._finish()
        else:
            expire_in(self._reading, KEEP_ALIVE if is_idle else math.inf)

    def _finish(self) -> None:
        """Close our end. `run` lingers, because it goes on reading and discards the bytes."""
        if not self.socket.is_finished:
            self.socket.finish()
            expire_in(self._reading, LINGER)

    def _expire_within(self, seconds: float) -> None:
        """Let the reading expire in `seconds`, unless it would expire sooner."""
        deadline = trio.current_time() + seconds
        self._reading.deadline = min(self._reading.deadline, deadline)
