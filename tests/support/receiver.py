"""A receiver of watches' messages on loopback: it follows a script, and keeps the requests.

`open_receiver(*answers)` gives each request the next answer; the last one is given for ever. An
answer is the bytes of a whole response, or a function that does something else with the connection.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio
from tests.support.loopback import HOST, reset
from tests.support.waiting import until

__all__ = ["ACCEPTED", "Answer", "MessageRequest", "Receiver", "open_receiver", "status"]

Answer = bytes | Callable[[trio.abc.Stream], Awaitable[None]]

ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def status(code: int, **headers: str) -> bytes:
    """Return a response without a body."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{''.join(lines)}\r\n".encode()


@attrs.frozen
class MessageRequest:
    """A request that the receiver got."""

    at: float
    """The time on trio's clock."""
    method: str
    target: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


@attrs.define
class Receiver:
    """A running receiver."""

    url: str
    answers: list[Answer]
    requests: list[MessageRequest] = attrs.field(factory=list)
    under_way: int = 0
    """Requests that are being answered."""
    most_at_once: int = 0

    async def has(self, count: int) -> list[MessageRequest]:
        """Wait until there are so many requests, and return them."""
        await until(lambda: len(self.requests) >= count)
        return self.requests

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Read one request, and answer it."""
        async with stream:
            try:
                self.requests.append(await _read(stream))
            except (trio.BrokenResourceError, EOFError, ssl.SSLError):
                return
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            try:
                if isinstance(answer, bytes):
                    await stream.send_all(answer)
                else:
                    await answer(stream)
            except trio.BrokenResourceError:
                pass  # The client has left.
            finally:
                self.under_way -= 1


async def _read(stream: trio.abc.Stream) -> MessageRequest:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _some(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    while len(body) < int(headers.get("content-length", "0")):
        body += await _some(stream)
    return MessageRequest(trio.current_time(), method, target, headers, body)


async def _some(stream: trio.abc.Stream) -> bytes:
    if not (data := await stream.receive_some(65_536)):
        raise EOFError
    return bytes(data)


# --- answers that are no responses -----------------------------------------------------------


async def hang(stream: trio.abc.Stream) -> None:
    """Answer nothing until the client leaves."""
    await stream.receive_some(1)


async def trickle(stream: trio.abc.Stream) -> None:
    """Send the head of a response byte by byte, for ever."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.05)


async def close_early(stream: trio.abc.Stream) -> None:
    """Disconnect in the middle of the head."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Le")


async def reset_connection(stream: trio.abc.Stream) -> None:
    """Disconnect with a TCP reset."""
    reset(stream)


async def send_for_ever(stream: trio.abc.Stream) -> None:
    """Accept the message, and send a body without an end."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    while True:
        await stream.send_all(chunk)


@asynccontextmanager
async def open_receiver(
    *answers: Answer, path: str = "/hook", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver until the end of the block; without answers, it accepts everything."""
    async with trio.open_nursery() as nursery:
        receiver = Receiver("", list(answers) or [ACCEPTED])

        async def handle(stream: trio.abc.Stream) -> None:
            if tls is not None:
                assert isinstance(stream, trio.SocketStream)
                stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            await receiver.serve(stream)

        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host=HOST))
        port = listeners[0].socket.getsockname()[1]
        receiver.url = f"http{'s' if tls else ''}://{HOST}:{port}{path}"
        yield receiver
        nursery.cancel_scope.cancel()
