"""The server's end of one HTTP/1.1 connection: requests in, small answers out. h11 over trio.

A caller repeats `next_request`, `read_body` if it wants the body, and `answer`, for as long as
`answer` returns true. Every wait for the client has a deadline. A request that is not HTTP/1.1
raises `Refused`; a client that has gone raises trio's own `BrokenResourceError`.

An ordinary request is read without h11 (see `plain_head`), which took a quarter of the time of a
body of one line.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus

import attrs
import h11
import trio

from natstream.drain.body_memory import ArrivingBody
from natstream.drain.plain_head import read_plain_head
from natstream.server.deadlines import HEADER_TIMEOUT, LINGER, RECEIVE_BYTES, expire_in, linger
from natstream.server.request_checks import Refused, check_framing, check_version

__all__ = ["Answer", "Deadlines", "HttpConnection", "Request"]

# Seconds to send an answer. An answer fits into the socket's buffer, unless the client has not read
# earlier ones.
ANSWER = 1.0
# Bytes of a large body that are read at once, because each reading takes a turn.
MOST_BYTES = 1 << 18


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
        self._ahead = b""
        """Bytes that have arrived and were not looked at."""
        self._is_plain = False
        """Whether the request is an ordinary one, so that h11 knows nothing of it."""
        self._left = 0
        """Bytes of an ordinary request's body that have not been read yet."""
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
        self._is_head = False
        self._is_plain = False
        self.request = None
        self._wait_for_client(self._next_request_within)
        self._next_request_within = self._deadlines.idle_within
        data, self._ahead = self._ahead, b""
        if data:
            await trio.lowlevel.checkpoint()
        elif not (data := await self._read(after_blank_lines=True)):
            return None
        if (head := read_plain_head(data)) is not None:
            self._is_plain, self._left = True, head.body
            self._ahead = data[head.size :]
            self.request = Request(b"POST", target=head.target, headers=head.headers)
        else:
            self._http.receive_data(data)
            self.request = await self._next_unusual()
        return self.request

    async def _next_unusual(self) -> Request | None:
        """Return the head of a request that has begun, as h11 reads it."""
        began = False
        while True:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._is_head = event.method == b"HEAD"
                check_version(event.http_version)
                headers = dict(event.headers)
                check_framing(headers, http_version=event.http_version)
                return Request(event.method, target=event.target, headers=headers)
            if event is not h11.NEED_DATA:
                return None
            if not began:
                began = True
                self._wait_for_client(self._deadlines.headers_within, "The headers")
            self._http.receive_data(await self._read())

    async def read_body(self, buffer: ArrivingBody) -> bytes:
        """Read the request's body into `buffer`, and return the whole.

        Raises:
            Refused: the body ends early or is malformed.
            BodyTooLarge, NoRoom: the buffer takes no more.
        """
        if self._is_plain:
            await self._read_plain_body(buffer)
        else:
            await self._read_unusual_body(buffer)
        self._answer_within(math.inf)
        return buffer.finish()

    async def _read_plain_body(self, buffer: ArrivingBody) -> None:
        """Read the body of an ordinary request, whose length is known."""
        self._pass_over(buffer.feed)
        if not self._left:
            return
        self._wait_for_client(self._deadlines.body_within, "The body")
        while self._left:
            self._ahead = await self._read(min(self._left, MOST_BYTES))
            if not self._ahead:
                read = buffer.received
                raise Refused(
                    400,
                    "This is not HTTP as it should be: peer closed connection without sending "
                    f"complete message body (received {read} bytes, expected {read + self._left}).",
                )
            self._pass_over(buffer.feed)

    async def _read_unusual_body(self, buffer: ArrivingBody) -> None:
        """Read a body as h11 reads it."""
        is_waiting = False
        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                buffer.feed(event.data)
            elif event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    informational = h11.InformationalResponse(status_code=100, headers=[])
                    await self._write(self._http.send(informational) or b"")
                if not is_waiting:
                    is_waiting = True
                    self._wait_for_client(self._deadlines.body_within, "The body")
                self._http.receive_data(await self._read())
            else:
                return

    async def answer(self, answer: Answer, *, close: bool = False) -> bool:
        """Answer the request.

        Returns:
            Whether the client may send another request. If not, then the caller closes.
        """
        is_complete = self._skip_body()
        headers = (
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        )
        closes = close or not is_complete
        self._is_waiting = False
        self.late = ""
        if self._is_plain:
            await self._write(_plain_response(answer.status, headers, closes) + answer.body)
            is_next = not closes
        else:
            events: list[h11.Event] = [_response(answer.status, headers, closes)]
            if not self._is_head:
                events.append(h11.Data(data=answer.body))
            await self._write(
                b"".join([self._http.send(event) or b"" for event in [*events, _END]])
            )
            is_next = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if is_next:
            self._begin_next()
        elif not is_complete:
            self._wait_for_client(LINGER)
            await linger(self._socket)
        return is_next

    def _begin_next(self) -> None:
        """Make ready for the next request, whose first bytes may have arrived already."""
        if not self._is_plain:
            self._ahead, _ = self._http.trailing_data
            if self._ahead:
                self._http = h11.Connection(h11.SERVER)
            else:
                self._http.start_next_cycle()
        # A client may send blank lines before a request (RFC 9112, 2.2), which h11 0.16 refuses.
        self._ahead = self._ahead.lstrip(b"\r\n")

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
        if self._is_plain:
            self._pass_over(lambda data: None)
            return not self._left
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._next_event() is h11.NEED_DATA:
                    return False
        except Refused:
            return False
        return self._http.their_state not in (h11.IDLE, h11.ERROR)

    def _pass_over(self, feed: Callable[[bytes], object]) -> None:
        """Feed the arrived bytes of an ordinary body, and pass over them."""
        if not self._left or not self._ahead:
            return
        data, self._ahead = self._ahead[: self._left], self._ahead[self._left :]
        self._left -= len(data)
        feed(data)

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(400, f"This is not HTTP as it should be: {error}.") from None

    async def _read(self, most: int = RECEIVE_BYTES, *, after_blank_lines: bool = False) -> bytes:
        """Return what the client sends next; nothing if it has closed its end.

        Args:
            most: bytes.
            after_blank_lines: pass over the blank lines in front of a request.
        """
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                data = os.read(self._socket.fileno(), most)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            if not (after_blank_lines and data) or (data := data.lstrip(b"\r\n")):
                return data

    async def _write(self, data: bytes) -> None:
        """Send an answer. Mostly the kernel takes it at once; then this is not a checkpoint."""
        try:
            with suppress(BlockingIOError):
                data = data[os.write(self._socket.fileno(), data) :]
            if data:
                self._answer_within(ANSWER)
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


@lru_cache(maxsize=256)
def _plain_response(status: int, headers: Headers, close: bool) -> bytes:
    """Return an answer's head as h11 writes it."""
    return h11.Connection(h11.SERVER).send(_response(status, headers, close)) or b""
