"""The server's end of one HTTP/1.1 connection: requests in, small answers out. h11 over trio.

`next_request`, `read_body` if the request is to be taken, `answer`; again, as long as `answer`
says so. Every wait has a deadline. What the client does wrong is a `BadRequest`; that it went
away is trio's own `BrokenResourceError`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from http import HTTPStatus

import attrs
import h11
import trio

from natstream.drain.content_encoding import BodyBuffer

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

    idle_within: float = 120.0
    """To begin another request. Senders keep idle connections for 90 s at most (Vector), and one
    that sends just as we close sends in vain."""
    headers_within: float = 10.0
    """To begin the first request; and to send a request's headers, from their first byte."""
    body_within: float = 60.0
    """To send a body: 16 MiB at 2 Mbit/s."""


class BadRequest(Exception):
    """The client's: a request that is no HTTP."""


@attrs.define
class Request:
    """A request's head."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """By lower-case name; the last one of several."""


Headers = tuple[tuple[bytes, bytes], ...]


@attrs.define
class Answer:
    """A status, a body, and headers besides those that describe it."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"


class HttpConnection:
    """One connection. Run it in its `scope`; `stream` is closed by whoever opened it.

    The scope's deadline is moved along, since a scope for each wait would take a fifth of the
    time that a small request takes. When the client was too late, the scope is cancelled, and
    `late` is the sentence to tell it, if there is any.
    """

    def __init__(self, stream: trio.SocketStream, deadlines: Deadlines) -> None:
        # A cancel from outside comes as `give_up`.
        self.scope = trio.CancelScope(shield=True)
        self.late = ""
        # The stream's own methods would cost 5 % of a small request.
        self._socket = stream.socket
        self._deadlines = deadlines
        self._http = h11.Connection(h11.SERVER)
        self._patience = deadlines.headers_within
        self._is_head = False
        self._waiting = False
        self._given_up = False

    def give_up(self) -> None:
        """End it as soon as it waits for the client; an answer that is due is still given."""
        self._given_up = True
        if self._waiting:
            self.late = ""
            self.scope.cancel()

    async def next_request(self) -> Request | None:
        """The next request's head, or `None` if the client has closed.

        Raises:
            BadRequest: it is malformed or too long.
        """
        received = began = self._is_head = False
        self._wait(self._patience)
        self._patience = self._deadlines.idle_within
        while True:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._is_head = event.method == b"HEAD"
                return Request(event.method, event.target, dict(event.headers))
            if event is not h11.NEED_DATA:
                return None
            if received and not began:
                began = True
                self._wait(self._deadlines.headers_within, "The headers")
            received = await self._receive()

    async def read_body(self, buffer: BodyBuffer) -> bytes:
        """The request's body, through `buffer`. After it, nothing is waited for.

        Raises:
            BadRequest: it ends early or is malformed.
            BadBody: the buffer refuses it.
        """
        waiting = False
        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                buffer.feed(event.data)
            elif event is h11.NEED_DATA:
                if not waiting:
                    waiting = True
                    self._wait(self._deadlines.body_within, "The body")
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._receive()
            else:
                self._answer_within(math.inf)
                return buffer.finish()

    async def answer(self, answer: Answer, *, close: bool = False) -> bool:
        """Answer the request.

        Returns:
            Whether the connection can go on. If not, all that is left is to close it.
        """
        whole = self._has_come_whole()
        events: list[h11.Event] = [
            _response(
                answer.status,
                (
                    (b"content-type", answer.content_type),
                    (b"content-length", b"%d" % len(answer.body)),
                    *answer.headers,
                ),
                close or not whole,
            )
        ]
        if not self._is_head:
            events.append(h11.Data(data=answer.body))
        self._answer_within(ANSWER)
        await self._send(*events, _END)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        if not whole:
            self._wait(LINGER)
            await self._linger()
        return False

    def _wait(self, seconds: float, what: str = "") -> None:
        self._waiting = True
        self.scope.deadline = trio.current_time() + seconds
        self.late = f"{what} did not come within {seconds:g} s." if what else ""
        if self._given_up:
            self.give_up()

    def _answer_within(self, seconds: float) -> None:
        self._waiting = False
        self.late = ""
        self.scope.deadline = trio.current_time() + seconds

    def _has_come_whole(self) -> bool:
        """Whether a request has arrived to its end; passes over what has arrived of it."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._next_event() is h11.NEED_DATA:
                    return False
        except BadRequest:
            return False
        return self._http.their_state not in (h11.IDLE, h11.ERROR)

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(f"This is not HTTP as it should be: {error}.") from None

    async def _receive(self) -> bool:
        try:
            data = await self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise trio.BrokenResourceError from error
        self._http.receive_data(data)
        return bool(data)

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join([self._http.send(event) or b"" for event in events])
        try:
            while data:
                data = data[await self._socket.send(data) :]
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def _linger(self) -> None:
        try:
            self._socket.shutdown(trio.socket.SHUT_WR)
            while await self._socket.recv(RECEIVE_BYTES):
                pass
        except OSError as error:
            raise trio.BrokenResourceError from error


_END = h11.EndOfMessage()


@lru_cache(maxsize=256)
def _response(status: int, headers: Headers, close: bool) -> h11.Response:
    """An answer's head. h11 takes a while to check one, and there are few."""
    return h11.Response(
        status_code=status,
        reason=HTTPStatus(status).phrase.encode(),
        headers=[*headers, *([(b"connection", b"close")] if close else [])],
    )
