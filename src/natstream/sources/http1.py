"""The server's end of one HTTP/1.1 connection: requests in, small answers out. h11 over trio.

`next_request`, `read_body` if the request is to be taken, `answer`; again, as long as `answer`
says so. Every wait has a deadline. What the client does wrong is a `BadRequest`, which has the
status to answer with; that it went away is trio's own `BrokenResourceError`.
"""

from __future__ import annotations

from http import HTTPStatus

import attrs
import h11
import trio

from natstream.bodies import BodyBuffer

__all__ = ["Answer", "BadRequest", "Deadlines", "HttpConnection", "Request"]

# What a socket is read by: trio's own choice for its streams, and one step of unpacking.
RECEIVE_BYTES = 65_536

# Seconds. An answer fits into the socket's buffer, unless earlier ones have not been read.
ANSWER = 1.0
# Seconds that are read on before closing: closing on unread bytes would destroy an answer that
# came before the client had sent everything.
LINGER = 1.0


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long a client may take, in seconds."""

    idle: float = 120.0
    """To begin a request. Senders keep idle connections for 90 s at most (Vector), and one that
    sends just as we close sends in vain."""
    headers: float = 10.0
    """To send the headers, from their first byte."""
    body: float = 60.0
    """To send a body: 16 MiB at 2 Mbit/s."""


class BadRequest(Exception):
    """The client's: a request that is no HTTP, or that did not come in time."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Request:
    """A request's head."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """By lower-case name; the last one of several."""


@attrs.frozen
class Answer:
    """A status, a body, and headers besides those that describe it."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


class HttpConnection:
    """One connection; `stream` is closed by whoever opened it."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, deadlines: Deadlines) -> None:
        self._stream = stream
        self._deadlines = deadlines
        self._http = h11.Connection(h11.SERVER)
        self._is_head = False

    async def next_request(self) -> Request | None:
        """The next request's head, or `None` if the client has closed, or left it idle.

        Raises:
            BadRequest: it is malformed, too long or too slow.
        """
        began = self._is_head = False
        with trio.move_on_after(self._deadlines.idle) as scope:
            while True:
                event = self._next_event()
                if isinstance(event, h11.Request):
                    self._is_head = event.method == b"HEAD"
                    return Request(event.method, event.target, dict(event.headers))
                if event is not h11.NEED_DATA:
                    return None
                if not await self._receive():
                    continue
                if not began:
                    began = True
                    scope.deadline = trio.current_time() + self._deadlines.headers
        if not began:
            return None
        raise BadRequest(
            f"The headers did not come within {self._deadlines.headers:g} s of their start.", 408
        )

    async def read_body(self, buffer: BodyBuffer) -> bytes:
        """The request's body, through `buffer`.

        Raises:
            BadRequest: it ends early, is malformed or too slow.
            BadBody: the buffer refuses it.
        """
        with trio.move_on_after(self._deadlines.body):
            while True:
                event = self._next_event()
                if isinstance(event, h11.Data):
                    buffer.feed(event.data)
                elif event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    await self._receive()
                else:
                    return buffer.finish()
        raise BadRequest(f"The body did not come within {self._deadlines.body:g} s.", 408)

    async def answer(self, answer: Answer, *, close: bool = False) -> bool:
        """Answer the request; a cancel does not keep the answer from leaving.

        Returns:
            Whether the connection can go on. If not, all that is left is to close it.
        """
        close = close or not self._has_come_whole()
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        if close:
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(answer.status).phrase.encode()
        events: list[h11.Event] = [
            h11.Response(status_code=answer.status, reason=reason, headers=headers)
        ]
        if not self._is_head:
            events.append(h11.Data(data=answer.body))
        with trio.move_on_after(ANSWER, shield=True) as scope:
            await self._send(*events, h11.EndOfMessage())
        if scope.cancelled_caught:
            return False
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        with trio.move_on_after(LINGER):
            await self._stream.send_eof()
            while await self._stream.receive_some(RECEIVE_BYTES):
                pass
        return False

    def _has_come_whole(self) -> bool:
        """Whether the request has arrived to its end; passes over what has arrived of it."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._next_event() is h11.NEED_DATA:
                    return False
        except BadRequest:
            return False
        return self._http.their_state is not h11.ERROR

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(f"This is not HTTP as it should be: {error}.") from None

    async def _receive(self) -> bool:
        data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        self._http.receive_data(data)
        return bool(data)

    async def _send(self, *events: h11.Event) -> None:
        await self._stream.send_all(b"".join(self._http.send(event) or b"" for event in events))
