"""Requests and their responses: every byte arrives, in order, and no response holds up another."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import h11
import pytest
import trio
from hypercorn.protocol.http_stream import HTTPStream
from quart_trio import QuartTrio
from tests.support.waiting import PATIENCE, until
from tests.support.web_server import (
    PIECE,
    SIZES,
    open_server,
    receive_all,
    receive_until,
)

from natstream.web.quart_request import QuartRequest

pytestmark = pytest.mark.usefixtures("sending")


async def read_responses(stream: trio.SocketStream, *methods: str) -> list[tuple[Any, bytes]]:
    """Read the responses to these requests, and let h11's client check them."""
    judge = h11.Connection(h11.CLIENT)
    got: list[tuple[Any, bytes]] = []
    for method in methods:
        judge.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        judge.send(h11.EndOfMessage())
        response, body = None, b""
        with trio.fail_after(PATIENCE):
            while True:
                event = judge.next_event()
                if event is h11.NEED_DATA:
                    judge.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    break
        got.append((response, body))
        if judge.our_state is h11.DONE and judge.their_state is h11.DONE:
            judge.start_next_cycle()
    return got


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Four requests in one packet get their responses in order, one of them in many pieces."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"".join(
                b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path
                for path in (b"/short/one", b"/short/two", b"/sizes", b"/short/three")
            )
        )
        got = await read_responses(stream, "GET", "GET", "GET", "GET")
        assert [body for _, body in got] == [b"one", b"two", SIZES, b"three"]


async def test_a_request_that_comes_in_pieces_is_answered_behind_another() -> None:
    """The bytes of a request that are read before its turn are not lost."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
            b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
        )
        await receive_until(stream, b"hello")
        for _ in range(10):
            await stream.send_all(bytes(2_000))
            await trio.sleep(0.01)
        server.account.end.set()
        assert (await receive_until(stream, b"20000")).startswith(b"8\r\ngoodbye\n\r\n0\r\n\r\n")


async def test_a_client_that_asks_too_far_ahead_is_reset() -> None:
    """The server holds 64 KiB of requests behind one that is not answered, and then resets."""
    async with open_server() as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"GET /short/one HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        await until(lambda: server.account.living == 0)


async def test_chunks_are_what_h11_would_have_made_of_them() -> None:
    """A body of any size arrives whole, and the connection can be used again."""
    async with open_server() as server, await server.get("/sizes") as stream:
        (response, body), *_ = await read_responses(stream, "GET")
        assert (b"transfer-encoding", b"chunked") in response.headers
        assert body == SIZES
        await stream.send_all(b"GET /short/again HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(stream, b"again")


async def test_a_slow_reader_gets_every_byte() -> None:
    """A send that the kernel accepts in parts goes on where the kernel stopped."""
    async with (
        open_server() as server,
        await server.get("/sizes", receive_buffer=4_096) as stream,
    ):
        judge = h11.Connection(h11.CLIENT)
        judge.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        judge.send(h11.EndOfMessage())
        body = b""
        with trio.fail_after(PATIENCE):
            while (event := judge.next_event()) and not isinstance(event, h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    judge.receive_data(await stream.receive_some(5_000))
                elif isinstance(event, h11.Data):
                    body += event.data
        assert body == SIZES


async def test_http_1_0_gets_a_body_that_ends_with_the_connection() -> None:
    """The body has no chunks, because a client of HTTP/1.0 does not know them."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET /sizes HTTP/1.0\r\n\r\n")
        head, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert body == SIZES


@pytest.mark.parametrize("path", [b"/short/one", b"/sizes"])
async def test_head_has_no_body(path: bytes) -> None:
    """The response to HEAD has no body, and the next request on the connection is answered.

    The body of a stream would still be run, so an application answers HEAD for itself.
    """
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET /short/next HTTP/1.1\r\nHost: x\r\n\r\n" % path
        )
        got = await read_responses(stream, "HEAD", "GET")
        assert [body for _, body in got] == [b"", b"next"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(chunked: bool) -> None:
    """The sender receives the refusal although it is still sending."""
    size = 2_000_000
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    piece = b"10000\r\n%b\r\n" % PIECE if chunked else PIECE
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"POST /length HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % framing)
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                for _ in range(size // len(PIECE)):
                    await stream.send_all(piece)

            nursery.start_soon(send)
            assert b" 413 " in await receive_until(stream, b"\r\n\r\n")
            nursery.cancel_scope.cancel()
        server.closing.set()
        with trio.fail_after(PATIENCE):
            await server.ended.wait()


async def test_a_body_within_the_limit_is_read() -> None:
    """A body within the limit is read, after `100 Continue` if the client asks for it."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        await receive_until(stream, b"100 ")
        await stream.send_all(bytes(60_000))
        assert (await receive_until(stream, b"60000")).startswith(b"HTTP/1.1 200")


async def test_an_exception_of_the_application_is_logged_and_answered(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exception goes to the standard library's loggers, and not to stdout or an access log."""
    async with open_server() as server, await server.get("/broken") as stream:
        await receive_until(stream, b"500 ")
    assert "as it happens" in caplog.text
    assert not [record for record in caplog.records if record.name == "hypercorn.access"]
    assert logging.getLogger("hypercorn.error").handlers == []
    assert capsys.readouterr().out == ""


async def test_a_flooding_response_lets_other_tasks_run() -> None:
    """A response whose sends never wait lets other tasks run between its pieces."""
    async with open_server() as server:
        reader = await server.get("/flood")
        received = 0

        async def drain() -> None:
            nonlocal received
            while data := await reader.receive_some(2**20):
                received += len(data)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await until(lambda: received > 2**20)
            async with await server.get("/short/other") as other:
                await receive_until(other, b"other")
            nursery.cancel_scope.cancel()
        await reader.aclose()


@pytest.mark.parametrize(
    ("request_line", "messages"),
    [(b"GET /sizes HTTP/1.1", 1), (b"HEAD /sizes HTTP/1.1", 8), (b"GET /sizes HTTP/1.0", 8)],
)
async def test_pieces_of_a_chunked_body_are_no_messages(
    request_line: bytes, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end of a body in chunks is a message; other bodies are messages, as h11 wants."""
    monkeypatch.setattr(QuartTrio, "asgi_http_class", QuartRequest)
    sent: list[str] = []
    send = HTTPStream.app_send

    async def app_send(stream: HTTPStream, message: Any) -> None:
        sent.append(message["type"] if message else "")
        await send(stream, message)

    monkeypatch.setattr(HTTPStream, "app_send", app_send)
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        await receive_all(stream)
        await until(lambda: sent[-1:] == [""])
    assert sent.count("http.response.body") == messages
