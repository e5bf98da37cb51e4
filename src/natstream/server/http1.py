"""hypercorn's HTTP/1.1, mended: each fault of hypercorn and h11 has one class or method here.

In: a client's bytes. Out: requests to the ASGI application, and its responses as bytes. A request
that must not reach an application raises `Refused`.

Written against hypercorn 0.18.0 and h11 0.16.0. `tests/server/test_library_faults.py` shows each
fault in the libraries as they are, and fails when a new release makes a mend unnecessary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import h11
import trio
from hypercorn.protocol.events import Body, Event, Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.worker_context import EventWrapper
from hypercorn.typing import HTTPResponseStartEvent
from hypercorn.utils import suppress_body

from natstream.server.client_socket import ClientSocket
from natstream.server.request_checks import Refused, check_head, cors_headers
from natstream.server.request_reader import RequestReader

__all__ = ["ChunkFramer", "MendedH11"]

# Bytes of requests that are held behind one that is not answered yet. No honest client sends more
# ahead, and without a limit a client could fill the memory.
READ_AHEAD = 65_536


class ChunkFramer:
    """Frames a body as a chunk of HTTP/1.1. Mends: h11 0.16.0 takes 10 µs for each chunk.

    All readers of a round are sent the same one or two objects, so the last two chunks are kept,
    because making one for each reader took a fifth of the time of a large send.
    """

    def __init__(self) -> None:
        self._last = self._older = (b"", b"")
        """A body, and the chunk that was made of it."""

    def frame(self, body: bytes) -> bytes:
        """Return `body` as a chunk."""
        if body is self._last[0]:
            return self._last[1]
        if body is self._older[0]:
            return self._older[1]
        self._older, self._last = self._last, (body, b"%x\r\n%b\r\n" % (len(body), body))
        return self._last[1]


class ReadingWait(EventWrapper):
    """Waits for the turn of a pipelined request. Mends: hypercorn 0.18.0 reads nothing meanwhile.

    So hypercorn never notices that the client has gone. If a send notices it, then the task that
    reads waits for ever. This class replaces `H11Protocol.can_read`, and reads while it waits.
    """

    def __init__(self, sock: ClientSocket, requests: h11.Connection) -> None:
        self._socket = sock
        self._requests = requests
        self._is_set = False
        self._reading: trio.CancelScope | None = None

    async def wait(self) -> None:
        """Return when it is the request's turn.

        Raises:
            trio.ClosedResourceError: the client has gone.
        """
        ahead = 0
        with trio.CancelScope() as self._reading:
            while not self._is_set and (data := await self._socket.receive()):
                self._requests.receive_data(data)
                ahead += len(data)
                if ahead > READ_AHEAD:
                    self._socket.reset()
        self._reading = None
        if not self._is_set:
            raise trio.ClosedResourceError

    async def clear(self) -> None:
        self._is_set = False

    async def set(self) -> None:
        self._is_set = True
        if self._reading is not None:
            self._reading.cancel()

    def is_set(self) -> bool:
        return self._is_set


class MendedH11(H11Protocol):
    """hypercorn's HTTP/1.1 for one connection, with our methods in place of its faulty ones.

    Args:
        chunks: shared by all connections of a server.
        max_header: bytes that a request line and its headers may have.
        only_path: the only path that is served, since there are too many connections.
        cors_origins: the origins whose pages may read why a request was refused.
        arguments: those of hypercorn's `H11Protocol`.
    """

    def __init__(
        self,
        sock: ClientSocket,
        chunks: ChunkFramer,
        max_header: int,
        only_path: bytes | None,
        cors_origins: tuple[str, ...],
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self._socket = sock
        self._chunks = chunks
        self._max_header = max_header
        self._only_path = only_path
        self._cors_origins = cors_origins
        self._h11 = RequestReader(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )
        self.connection: h11.Connection = self._h11
        self._is_chunked = False
        self.can_read: ReadingWait = ReadingWait(sock, self._h11)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Raise Refused for a request that no application may see.

        hypercorn 0.18.0 changes to HTTP/2 in clear text in the method that this replaces, and no
        setting turns that off. After this method, hypercorn would make a WebSocket of a request
        that asks for one: its handshake can end the server, and if it names no version, hypercorn
        waits without an end. h11 0.16.0 limits only a head that has not arrived whole, and accepts
        a `Content-Length` beside chunks.
        """
        try:
            self._check(event)
        except Refused as refused:
            refused.cors = self._cors(event.target, event.headers)
            raise

    def _check(self, event: h11.Request) -> None:
        check_head(
            event.method,
            event.target,
            event.headers,
            http_version=event.http_version,
            limit=self._max_header,
        )
        if self._only_path not in (None, event.target.partition(b"?")[0]):
            raise Refused(
                503,
                "There are too many connections; come back in 2 s.",
                retry_after=2,
                bodiless=event.method == b"HEAD",
            )

    async def _send_error_response(self, status_code: int) -> None:
        """Refuse bytes that are no request. hypercorn 0.18.0 sends neither a body nor headers."""
        fault = _FAULTS.get(status_code, "This is not a valid HTTP/1.1 request.")
        refused = Refused(status_code, fault)
        # If the head is too large, then its beginning is still there.
        head = self._h11.trailing_data[0]
        _, _, target = head.partition(b" ")
        refused.cors = self._cors(target, _ORIGIN.findall(head))
        await self._socket.send(refused.message)

    def _cors(self, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """Return the headers that let a page of another origin read why a request was refused."""
        origin = next((value for name, value in headers if name.lower() == b"origin"), b"")
        return cors_headers(self._cors_origins, target.decode("latin-1"), origin.decode("latin-1"))

    async def stream_send(self, event: Event) -> None:
        """Send a part of a response. Each line of a reader comes this way, so it is short."""
        if isinstance(event, Body):
            if self._is_chunked:
                await self.send_piece(event.data)
                return
            await super().stream_send(event)
            if self._socket.spend_budget(len(event.data)):
                await trio.lowlevel.checkpoint()
        elif isinstance(event, Response):
            if event.headers == NO_ANSWER:
                await self._answer_for_the_application(event)
            else:
                await super().stream_send(event)
                self._is_chunked = self._chunks_follow(event)
                if self.stream is not None:
                    # hypercorn keeps the headers for its access log, which is turned off. They took
                    # 2 KB for each reader.
                    self.stream.response = {
                        "type": "http.response.start",
                        "status": 0,
                        "headers": [],
                    }
        else:
            await super().stream_send(event)

    @property
    def takes_pieces(self) -> bool:
        """Whether `send_piece` may send the body of the response that has begun."""
        return self._is_chunked

    async def send_piece(self, piece: bytes) -> None:
        """Send a piece of a body in chunks, between the start and the end of its response."""
        await self._socket.send(self._chunks.frame(piece))
        if self._socket.spend_budget(len(piece)):
            await trio.lowlevel.checkpoint()

    def send_piece_nowait(self, piece: bytes) -> None:
        """Send a piece as far as possible without waiting (see `ClientSocket.send_nowait`)."""
        self._socket.send_nowait(self._chunks.frame(piece))

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has accepted all pieces."""
        return self._socket.is_flushed

    async def flush(self) -> None:
        """Send what the kernel has not accepted of the pieces yet."""
        await self._socket.flush()

    async def _answer_for_the_application(self, event: Response) -> None:
        """Send an answer because the application sent none. hypercorn 0.18.0's has no headers."""
        scope: Any = {} if self.stream is None else self.stream.scope
        refused = Refused(event.status_code, bodiless=scope.get("method") == "HEAD")
        refused.cors = self._cors(scope.get("raw_path", b""), scope.get("headers", ()))
        headers = [*refused.headers, (b"connection", b"close")]
        await super().stream_send(Response(event.stream_id, headers, event.status_code))
        await super().stream_send(Body(event.stream_id, refused.body))

    def _chunks_follow(self, response: Response) -> bool:
        """Return whether h11 will send the response's body in chunks, by h11's own rule.

        A body of unknown length is chunked, except for a client of HTTP/1.0. A response to HEAD has
        no body.
        """
        scope: Any = {} if self.stream is None else self.stream.scope
        return (
            not suppress_body(scope.get("method", ""), response.status_code)
            and self._h11.our_state is h11.SEND_BODY
            and (self._h11.their_http_version or b"") >= b"1.1"
            and all(name.lower() != b"content-length" for name, _ in response.headers)
        )

    def forget(self) -> None:
        """Drop every reference to other objects, after the connection has ended.

        hypercorn 0.18.0's protocol and its stream refer to each other, so only Python's collector
        would free them: 3 KB for each reader that has gone, after millions of other allocations.
        """
        vars(self).clear()


_ORIGIN = re.compile(rb"\r\n(origin):[ \t]*(\S+)[ \t]*\r", re.IGNORECASE)

# By h11's status, why bytes are not a request that can be served.
_FAULTS = {
    431: "The headers are too large.",
    501: "The only Transfer-Encoding that works here is chunked.",
}

NOT_KEPT: HTTPResponseStartEvent = {"type": "http.response.start", "status": 0, "headers": []}

# The headers of the answer that hypercorn sends because an application sent none.
NO_ANSWER = [(b"content-length", b"0"), (b"connection", b"close")]
