"""An application that keeps account, served by natstream's server and by unmended hypercorn.

`open_server()` and `open_hypercorn()` run it, so that a test can show that a fault is mended and
that hypercorn still has it. The other functions are clients over bare connections.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import hypercorn.trio
import trio
from hypercorn.config import Config
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio
from tests.support.loopback import reset
from tests.support.waiting import PATIENCE

from natstream.config.listening import listen
from natstream.config.settings import Bind
from natstream.server.connection import Limits, keep_connection
from natstream.server.server import serve

PIECE = b"x" * 65_536

SOON = 1.0
"""Seconds in which the server must notice that a client has gone."""


@attrs.define
class Account:
    """What the application has counted."""

    requests: int = 0
    living: int = 0
    """Streams whose responses have not ended."""
    sent: int = 0
    """Pieces of /flood that the server has accepted."""
    end: trio.Event = attrs.field(factory=trio.Event)
    """Ends each /stream when it is set, as the application does when it closes."""


@attrs.define
class _Stream(ResponseBody):
    account: Account
    pieces: AsyncGenerator[bytes]

    async def __aenter__(self) -> AsyncGenerator[bytes]:
        self.account.living += 1
        return self.pieces

    async def __aexit__(self, *exc: object) -> None:
        await self.pieces.aclose()
        self.account.living -= 1


def make_app() -> tuple[QuartTrio, Account]:
    """Return an application of every kind of response, and its account."""
    app = QuartTrio(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 65_536
    account = Account()

    @app.before_request
    async def count() -> None:
        account.requests += 1
        if "token" in request.args:
            keep_connection(request.scope)

    def stream(pieces: AsyncGenerator[bytes]) -> Response:
        response = Response(_Stream(account, pieces), content_type="text/plain")
        response.timeout = None
        return response

    @app.get("/short/<word>")
    async def short(word: str) -> str:
        return word

    @app.post("/length")
    async def length() -> str:
        return str(len(await request.get_data()))

    @app.get("/broken")
    async def broken() -> str:
        raise ValueError("as it happens")

    @app.get("/stream")
    async def quiet() -> Response:
        async def pieces() -> AsyncGenerator[bytes]:
            yield b"hello\n"
            await account.end.wait()
            yield b"goodbye\n"

        return stream(pieces())

    @app.get("/once/<int:size>")
    async def once(size: int) -> Response:
        async def pieces() -> AsyncGenerator[bytes]:
            yield bytes(size)
            await trio.sleep_forever()

        return stream(pieces())

    @app.get("/flood")
    async def flood() -> Response:
        async def pieces() -> AsyncGenerator[bytes]:
            while True:
                yield PIECE
                account.sent += 1

        return stream(pieces())

    @app.get("/sizes")
    async def sizes() -> Response:
        async def pieces() -> AsyncGenerator[bytes]:
            for size in (1, 15, 16, 4_095, 70_000, 300_000, 2):
                yield b"%d" % (size % 10) * size

        return stream(pieces())

    return app, account


async def silent_app(scope: Any, receive: Any, send: Any) -> None:
    """An application that starts and ends as it should, and answers no request."""
    if scope["type"] == "lifespan":
        for end in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{end}.complete"})


SIZES = b"".join(b"%d" % (size % 10) * size for size in (1, 15, 16, 4_095, 70_000, 300_000, 2))


@attrs.define
class Server:
    """A server that runs, and the clients that a test has connected to it."""

    port: int
    account: Account
    closing: trio.Event
    cancel: Callable[[], None]
    ended: trio.Event = attrs.field(factory=trio.Event)
    clients: list[trio.SocketStream] = attrs.field(factory=list)
    """Connections, which are reset in the end."""

    async def connect(self, *, receive_buffer: int | None = None) -> trio.SocketStream:
        """Connect to the server; a small `receive_buffer` is soon full."""
        sock = trio.socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        stream = trio.SocketStream(sock)
        self.clients.append(stream)
        await sock.connect(("127.0.0.1", self.port))
        return stream

    async def get(self, path: str, **options: Any) -> trio.SocketStream:
        """Connect and send a GET request for `path`."""
        stream = await self.connect(**options)
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return stream


@asynccontextmanager
async def _open(run: Callable[[Server], Awaitable[None]], account: Account, port: int) -> Any:
    async with trio.open_nursery() as nursery:
        server = Server(port, account, trio.Event(), nursery.cancel_scope.cancel)

        async def run_until_ended(task_status: trio.TaskStatus[Any]) -> None:
            await run(server, task_status=task_status)  # type: ignore[call-arg]
            server.ended.set()

        started = await nursery.start(run_until_ended)
        if started:
            server.port = int(started[0].rpartition(":")[2])
        try:
            yield server
        finally:
            for stream in server.clients:  # or hypercorn's own server might not end
                reset(stream)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_server(
    app: Any = None, *, grace: float = 2.0, stall: float = 20.0, limits: Limits | None = None
) -> AsyncIterator[Server]:
    """Run natstream's server on a free port until the end of the block."""
    made, account = make_app()
    sock = listen(Bind("127.0.0.1", 0))

    async def run(server: Server, **status: Any) -> None:
        await serve(
            app or made,
            [sock],
            grace=grace,
            stall=stall,
            closing=server.closing,
            limits=limits,
            **status,
        )

    async with _open(run, account, sock.getsockname()[1]) as server:
        yield server


@asynccontextmanager
async def open_hypercorn(
    app: Any = None, *, grace: float = 0.2, **settings: Any
) -> AsyncIterator[Server]:
    """Run hypercorn's own server on a free port, to show what happens without our mends.

    settings: of hypercorn's `Config`.
    """
    made, account = make_app()
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = grace
    for name, value in settings.items():
        setattr(config, name, value)

    async def run(server: Server, **status: Any) -> None:
        await hypercorn.trio.serve(
            app or made, config, shutdown_trigger=server.closing.wait, **status
        )

    async with _open(run, account, 0) as server:
        yield server


async def receive_until(stream: trio.SocketStream, text: bytes) -> bytes:
    """Receive until `text` has come, and return all of it; fail if the stream ends before."""
    got = b""
    with trio.fail_after(PATIENCE):
        while text not in got:
            data = await stream.receive_some()
            assert data, got
            got += data
    return got


async def receive_all(stream: trio.SocketStream) -> bytes:
    """Receive until the server closes the connection, and return all of it."""
    with trio.fail_after(PATIENCE):
        return b"".join([data async for data in stream])


async def is_reset(stream: trio.SocketStream) -> bool:
    """Read to the end of the connection, and return whether that was a reset."""
    try:
        await receive_all(stream)
    except trio.BrokenResourceError:
        return True
    return False


async def elapsed(wait: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that `wait` takes."""
    start = trio.current_time()
    with trio.fail_after(PATIENCE):
        await wait()
    return trio.current_time() - start
