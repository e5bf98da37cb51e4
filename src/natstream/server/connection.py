"""One client's connection: hypercorn's protocols over a socket, and what of them had to be mended.

In: an accepted socket and the application. Out: requests to the application, responses to the
client, until one of the two ends it. What the client does, or leaves undone, ends this
connection and nothing else; nothing here waits for a client for ever.

hypercorn's HTTP/1.1 and ASGI parts are used as they are, but for the small subclasses at the end,
each of which names its reason. Its `TCPServer` is replaced by `ClientConnection`: there the
faults are the structure. Written against hypercorn 0.18.0 and quart-trio
0.12.0; the tests named `test_hypercorn_still_…` fail when a new release makes one unnecessary.
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import struct
import termios
from contextlib import suppress
from typing import Any

import attrs
import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from natstream.server.request_checks import Refused, check_head

__all__ = ["LINGER", "ClientConnection", "Limits", "Shared"]

# The headers of an answer that hypercorn gives because the application has given none.
BARE = [(b"content-length", b"0"), (b"connection", b"close")]

# Seconds that an idle connection is kept. Above the 60 s of common proxies, who should be the
# ones to close: a request that is sent just as we close is lost.
KEEP_ALIVE = 75.0

# Seconds a client has to read our answer and close its end after we have closed ours.
LINGER = 1.0

# Bytes a task may send before the others have a turn; also the most that is read at once, and
# that may come ahead of its turn.
AT_ONCE = 65_536


@attrs.frozen(kw_only=True)
class Limits:
    """What clients may use, and how long they may take."""

    max_header: int = 16_384
    """Bytes of the request line with its query, and the headers; most proxies pass 8 KiB."""
    header_timeout: float = 10.0
    """Seconds for all of them, from connecting or from their first byte: slowloris."""
    max_connections: int = 1_000
    """Each is a file descriptor."""


@attrs.define
class Shared:
    """What all connections of a server have in common."""

    app: ASGIWrapper
    config: Config
    limits: Limits
    state: LifespanState = attrs.field(factory=dict)
    context: WorkerContext = attrs.field(factory=lambda: WorkerContext(None))
    idle: dict[ClientConnection, None] = attrs.field(factory=dict)
    """The connections on which nothing is asked, in the order in which they became so."""
    _last_chunk: tuple[bytes, bytes] = (b"", b"")

    def chunk(self, body: bytes) -> bytes:
        """`body` as a chunk of HTTP/1.1, made once for all who are sent the same object.

        A round of readers is; making it for each took a fifth of a send of 64 KiB.
        """
        last, chunk = self._last_chunk
        if body is not last:
            chunk = b"%x\r\n%b\r\n" % (len(body), body)
            self._last_chunk = body, chunk
        return chunk


class ClientConnection:
    """One client's connection: bytes in, bytes out, and when it ends.

    Reading never stops while it lives (see `_Turn`), so a client that goes is noticed at once.
    Every way to end it closes the socket, which ends the reading, which tells the application.

    hypercorn 0.18.0's own TCPServer waits for ever for a client that stops reading, shielded
    from cancellation; spends 30 µs on a send; and waits for idle connections in a task that is
    not started where quart-trio 0.12.0 answers: that cancels its last send over the disconnect
    which the same send reports. Here nothing can be cancelled between a response's last piece
    and the connection's being idle.
    """

    def __init__(self, shared: Shared, sock: trio.socket.SocketType) -> None:
        self.shared = shared
        self._socket = sock
        self._tasks = TaskGroup()
        self.protocol = _H11(
            self,
            shared.app,
            shared.config,
            shared.context,
            self._tasks,
            ConnectionState(shared.state.copy()),
            False,  # no TLS: that is the proxy's
            parse_socket_addr(sock.family, sock.getpeername()),
            parse_socket_addr(sock.family, sock.getsockname()),
            self.protocol_send,
        )
        shared.idle[self] = None
        self._patience = trio.CancelScope(
            deadline=trio.current_time() + shared.limits.header_timeout
        )
        """Around all reading; its deadline is when the client has to have done what is next."""
        self._finished = False
        self._sending = trio.Lock()
        self._allowance = AT_ONCE
        self._written = 0
        self._acceptance = _Acceptance()

    @property
    def open(self) -> bool:
        """Whether our end of it is."""
        return self._socket.fileno() != -1

    @property
    def idle(self) -> bool:
        """Whether nothing is asked on it."""
        return self in self.shared.idle

    async def run(self) -> None:
        """Read until the client has gone, or is given up; then until its responses have ended."""
        async with self._tasks:
            try:
                with self._patience, suppress(trio.ClosedResourceError):
                    while data := await self.receive():
                        if self.idle:
                            self._wait_at_most(self.shared.limits.header_timeout)
                        if not self._finished:
                            await self._handle(RawData(data))
            finally:
                self.close()
            await self._handle(Closed())

    async def receive(self) -> bytes:
        """What the client sends next; nothing once it has gone, or we have closed."""
        while self.open:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return os.read(self._socket.fileno(), AT_ONCE)
            except BlockingIOError:
                continue
            except (trio.ClosedResourceError, OSError):
                break
        return b""

    async def protocol_send(self, event: Event) -> None:
        """What hypercorn's protocols call."""
        if isinstance(event, RawData):
            await self.send(event.data)
        elif isinstance(event, Updated):
            self._turn_idle(event.idle)
        elif isinstance(event, Closed):
            self._finish()
            await self._handle(Closed())

    async def send(self, data: bytes) -> None:
        """Send all of it, or nothing more ever. Cancellation waits: half a frame breaks the rest.

        Mostly the kernel takes it at once: that way is short, and not even a checkpoint.
        """
        if not self._sending.locked():
            rest = self._write(data)
            if not rest:
                return
            self._sending.acquire_nowait()
        else:
            rest = data
            with trio.CancelScope(shield=True):
                await self._sending.acquire()
        try:
            with trio.CancelScope(shield=True):
                while rest := self._write(rest):
                    with suppress(trio.ClosedResourceError, OSError):
                        await trio.lowlevel.wait_writable(self._socket)
        finally:
            self._sending.release()

    async def take_turns(self, size: int) -> None:
        """Let others run, and be cancelled, now and then between the pieces of a response.

        A checkpoint in every send would cost a tenth of it, and most tasks have one elsewhere.
        """
        self._allowance -= 1_024 + size  # a piece is work, however small
        if self._allowance < 0 or not self.open:
            self._allowance = AT_ONCE
            await trio.lowlevel.checkpoint()

    def _write(self, data: bytes) -> bytes:
        """Write what the kernel takes now, and return the rest: nothing if the client has gone."""
        if self._finished:
            return b""
        try:
            written = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return data
        except OSError:
            self.abort()
            return b""
        self._written += written
        return data[written:]

    def cut_stalled(self, stall: float) -> None:
        """Reset it if the client's side has acknowledged nothing that it is owed for so long."""
        if not self.open:
            return
        try:
            queue = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ
            owed = int(struct.unpack("i", queue)[0])
        except OSError:  # not Linux: what the kernel does not take counts, then
            owed = int(self._sending.locked())
        if self._acceptance.stalled(self._written - owed, owed) >= stall:
            self.abort()

    def close(self) -> None:
        """Close it; what the kernel has taken is still delivered."""
        self._socket.close()

    def abort(self) -> None:
        """Reset it: what the client has not accepted is thrown away, here and in the kernel."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def forget(self) -> None:
        """Let go of the protocol once it has all ended: the two refer to each other.

        The collector would find them after millions of other allocations: 3 KB for each reader
        that has gone.
        """
        self.protocol.forget()
        self.shared.idle.pop(self, None)

    def _finish(self) -> None:
        """Close our end, and throw away what the client still sends (the rest of a body that is
        too large, say): closing with it unread would be a reset that overtakes our answer.
        """
        if not self._finished:
            self._finished = True
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            self._patience.deadline = trio.current_time() + LINGER

    def _turn_idle(self, idle: bool) -> None:
        self.shared.idle.pop(self, None)
        if idle:
            self.shared.idle[self] = None
        if self._finished:
            return
        if idle and self.shared.context.terminated.is_set():
            self._finish()
        else:
            self._patience.deadline = math.inf
            if idle:
                self._wait_at_most(KEEP_ALIVE)

    def _wait_at_most(self, seconds: float) -> None:
        deadline = trio.current_time() + seconds
        self._patience.deadline = min(self._patience.deadline, deadline)

    async def _handle(self, event: Event) -> None:
        try:
            await self.protocol.handle(event)
        except Refused as refused:
            await self.send(refused.message)
            self._finish()


@attrs.define
class _Acceptance:
    """Since when a client has accepted nothing of what it is owed."""

    accepted: int = 0
    since: float = math.inf

    def stalled(self, accepted: int, owed: int) -> float:
        """For how many seconds; asked every now and then with the bytes accepted in all."""
        now = trio.current_time()
        if not owed or accepted != self.accepted:
            self.accepted, self.since = accepted, now
        return now - self.since


class _H11(H11Protocol):
    """hypercorn's HTTP/1.1, which sees a client go at any time, and frames chunks itself."""

    def __init__(self, connection: ClientConnection, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connection = connection
        self._chunked = False
        self.can_read = _Turn(connection, self)

    def forget(self) -> None:
        vars(self).clear()

    async def _check_protocol(self, event: h11.Request) -> None:
        # In place of hypercorn 0.18.0's own, which is where it changes to HTTP/2 in clear text.
        # Before the request becomes a WebSocket, which it waits for without an end.
        # h11 looks at the size of what has not come whole alone.
        check_head(
            event.method,
            event.target,
            event.headers,
            http_version=event.http_version,
            limit=self._connection.shared.limits.max_header,
        )

    async def _send_error_response(self, status_code: int) -> None:
        wrong = "The headers are too large" if status_code == 431 else "This is no HTTP/1.1"
        await self._connection.send(Refused(status_code, f"{wrong}.").message)

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and event.headers == BARE:
            # The application has ended without an answer, and hypercorn's own has no headers.
            is_head = self.stream is not None and self.stream.scope.get("method") == "HEAD"
            refused = Refused(event.status_code, bodiless=is_head)
            headers = [*refused.headers, (b"connection", b"close")]
            await self.stream_send(Response(event.stream_id, headers, event.status_code))
            event = Body(event.stream_id, refused.body)
        # h11 takes 10 µs to put a chunk between its two lines, which leaves its state as it was.
        if self._chunked and isinstance(event, Body):
            await self._connection.send(self._connection.shared.chunk(event.data))
        else:
            await super().stream_send(event)
        if isinstance(event, Body):
            await self._connection.take_turns(len(event.data))
        elif isinstance(event, Response):
            # h11's rule: a body of unknown length is chunked, unless for HTTP/1.0.
            self._chunked = (
                isinstance(self.connection, h11.Connection)  # not a WebSocket's
                and self.connection.our_state is h11.SEND_BODY
                and (self.connection.their_http_version or b"") >= b"1.1"
                and all(name.lower() != b"content-length" for name, _ in event.headers)
            )


class _Turn(EventWrapper):
    """`H11Protocol.can_read`: the turn of a request that came on the heels of another.

    hypercorn 0.18.0 reads nothing until then. So it never learns that the client has gone, and
    if a send finds out, the task that reads is left waiting for ever.
    """

    def __init__(self, connection: ClientConnection, protocol: _H11) -> None:
        super().__init__()
        self._connection = connection
        self._protocol = protocol
        self._reading = trio.CancelScope()

    async def wait(self) -> None:
        ahead = 0
        with trio.CancelScope() as self._reading:
            while not self.is_set() and (data := await self._connection.receive()):
                self._protocol.connection.receive_data(data)
                ahead += len(data)
                if ahead > AT_ONCE:  # nobody asks that far ahead in good faith
                    self._connection.abort()
        if not self.is_set():
            raise trio.ClosedResourceError

    async def set(self) -> None:
        await super().set()
        self._reading.cancel()
