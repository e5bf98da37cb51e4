"""The server's end of one HTTP/1.1 connection: requests in, small answers out. h11 over trio.

A caller repeats `next_request`, `read_body` if it wants the body, and `answer`, for as long as
`answer` returns true. Every wait for the client has a deadline. A request that is not HTTP/1.1
raises `Refused`; a client that has gone raises trio's own `BrokenResourceError`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from http import HTTPStatus

import attrs
import h11
import trio

from natstream.drain.body_memory import ArrivingBody
from natstream.server.deadlines import HEADER_TIMEOUT, LINGER, RECEIVE_BYTES, expire_in, linger
from natstream.server.request_checks import Refused, check_framing, check_version

__all__ = ["Answer", "Deadlines", "HttpConnection", "Request"]

# Seconds to send an answer. An answer fits into the socket's buffer, unless the client has not read
# earlier ones.
ANSWER = 1.0


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long a client may take, in seconds."""

    idle_within: float = 120.0
    """To begin another request. Senders keep idle connections for 90 s at most (Vector), and the
    sender should close first, since a request that is sent just as we close is lost."""
    headers_within: float = HEADER_TIMEOUT
    """To begin the first request, and to send a request's headers, from their first byte."""
    body_within: float = 60.0
    """To send a body: 16 MiB at 2 Mbit/s."""


@attrs.define
class Request:
    """A request's head."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """By lower-case name; of several with one name, the last."""


Headers = tuple[tuple[bytes, bytes], ...]


@attrs.define
class Answer:
    """A status, a body, and headers besides those that describe the body."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"
    error: str = ""
    """The sentence of a refusal."""


class HttpConnection:
    """One connection. The caller runs it inside its `scope`, and closes `stream`.

    If the client is too slow, then `scope` is cancelled, and `late` is the sentence that the client
    should be told; it is empty if there is nothing to tell.
    """

    def __init__(self, stream: trio.SocketStream, deadlines: Deadlines) -> None:
        # Shielded, because a cancellation from outside comes as `give_up`.
        self.scope: trio.CancelScope = trio.CancelScope(shield=True)
        self.late: str = ""
        self.request: Request | None = None
        """The head of the request that is being answered, once it has been read."""
        # The stream's own methods would take 5 % of a small request.
        self._socket = stream.socket
        self._deadlines = deadlines
        self._http = h11.Connection(h11.SERVER)
        self._next_request_within = deadlines.headers_within
        self._is_head = False
        self._is_waiting = False
        self._is_given_up = False

    def give_up(self) -> None:
        """End the connection as soon as it waits for the client. An answer that is due is sent."""
        self._is_given_up = True
        if self._is_waiting:
            self.late = ""
            self.scope.cancel()

    def wait_idly(self) -> None:
        """Note that the answer is not urgent, so that `give_up` may end the connection meanwhile.

        A wrong token waits for its answer, and the drain does not close later because of it.
        """
        self._wait_for_client(math.inf)

    async def next_request(self) -> Request | None:
        """Return the next request's head, or `None` if the client has closed.

        Raises:
            Refused: the head is malformed, too long, or not HTTP/1.1.
        """
        received = began = self._is_head = False
        self.request = None
        self._wait_for_client(self._next_request_within)
        self._next_request_within = self._deadlines.idle_within
        while True:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._is_head = event.method == b"HEAD"
                check_version(event.http_version)
                headers = dict(event.headers)
                check_framing(headers, http_version=event.http_version)
                self.request = Request(event.method, target=event.target, headers=headers)
                return self.request
            if event is not h11.NEED_DATA:
                return None
            if received and not began:
                began = True
                self._wait_for_client(self._deadlines.headers_within, "The headers")
            received = await self._receive(after_blank_lines=not began)

    async def read_body(self, buffer: ArrivingBody) -> bytes:
        """Read the request's body into `buffer`, and return the whole.

        Raises:
            Refused: the body ends early or is malformed.
            BodyTooLarge, NoRoom: the buffer takes no more.
        """
        is_waiting = False
        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                buffer.feed(event.data)
            elif event is h11.NEED_DATA:
                if not is_waiting:
                    is_waiting = True
                    self._wait_for_client(self._deadlines.body_within, "The body")
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._receive()
            else:
                self._answer_within(math.inf)
                return buffer.finish()

    async def answer(self, answer: Answer, *, close: bool = False) -> bool:
        """Answer the request.

        Returns:
            Whether the client may send another request. If not, then the caller closes.
        """
        is_complete = self._skip_body()
        events: list[h11.Event] = [
            _response(
                answer.status,
                (
                    (b"content-type", answer.content_type),
                    (b"content-length", b"%d" % len(answer.body)),
                    *answer.headers,
                ),
                close or not is_complete,
            )
        ]
        if not self._is_head:
            events.append(h11.Data(data=answer.body))
        self._answer_within(ANSWER)
        await self._send(*events, _END)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._skip_blank_lines()
            return True
        if not is_complete:
            self._wait_for_client(LINGER)
            await linger(self._socket)
        return False

    def _skip_blank_lines(self) -> None:
        """Skip the blank lines between a request and the next, which has arrived already."""
        data, is_closed = self._http.trailing_data
        if data.startswith((b"\r", b"\n")):
            self._http = h11.Connection(h11.SERVER)
            if data := data.lstrip(b"\r\n"):
                self._http.receive_data(data)
            if is_closed:
                self._http.receive_data(b"")

    def _wait_for_client(self, seconds: float, what: str = "") -> None:
        """Give the client `seconds`. `what` names the part of a request that is late after them."""
        self._is_waiting = True
        expire_in(self.scope, seconds)
        self.late = f"{what} did not come within {seconds:g} s." if what else ""
        if self._is_given_up:
            self.give_up()

    def _answer_within(self, seconds: float) -> None:
        """Note that the client waits for us now, so that `give_up` does not cut the answer off."""
        self._is_waiting = False
        self.late = ""
        expire_in(self.scope, seconds)

    def _skip_body(self) -> bool:
        """Pass over the arrived bytes of the body. Return whether the body is complete."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._next_event() is h11.NEED_DATA:
                    return False
        except Refused:
            return False
        return self._http.their_state not in (h11.IDLE, h11.ERROR)

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(400, f"This is not HTTP as it should be: {error}.") from None

    async def _receive(self, *, after_blank_lines: bool = False) -> bool:
        """Give h11 what the client sends next. Return whether the client has sent anything.

        Args:
            after_blank_lines: skip the blank lines that a client may send before a request
                (RFC 9112, 2.2), which h11 0.16 refuses.
        """
        try:
            data = await self._socket.recv(RECEIVE_BYTES)
            if after_blank_lines:
                while data and not (data := data.lstrip(b"\r\n")):
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


_END = h11.EndOfMessage()


@lru_cache(maxsize=256)
def _response(status: int, headers: Headers, close: bool) -> h11.Response:
    """Return an answer's head. h11 takes a while to check one, and there are few different ones."""
    return h11.Response(
        status_code=status,
        reason=HTTPStatus(status).phrase.encode(),
        headers=[*headers, *([(b"connection", b"close")] if close else [])],
    )
