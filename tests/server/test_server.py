"""The server: what clients do to it, what it does to them, and how it ends.

`test_hypercorn_still_…` shows that a mend in `server/connection` is still needed: hypercorn's
own server misbehaves. One that fails means that the mend can go.
"""

from __future__ import annotations

import gc
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h11
import pytest
import trio
from tests.support.loopback import reset
from tests.support.waiting import PATIENCE, until
from tests.support.web_server import (
    PIECE,
    SIZES,
    is_reset,
    open_server,
    receive_all,
    receive_until,
)

from natstream.server import connection
from natstream.server.connection import Limits
from natstream.server.deadlines import LINGER
from natstream.server.request_checks import SECURITY_HEADERS

SOON = 1.0
"""Seconds in which a client that has gone must be noticed."""


async def elapsed(wait: Callable[[], Awaitable[object]]) -> float:
    """How long it takes."""
    start = trio.current_time()
    with trio.fail_after(PATIENCE):
        await wait()
    return trio.current_time() - start


# --- readers that stop reading ----------------------------------------------------------------


async def test_a_reader_that_accepts_nothing_is_cut() -> None:
    """Its connection is reset and its response ended; meanwhile others are served."""
    async with open_server(stall=0.5) as server, await server.get("/flood") as stream:
        await receive_until(stream, b"xxx")
        await until(lambda: server.account.living == 1)
        async with await server.get("/short/other") as other:
            await receive_until(other, b"other")
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) >= 0.4
        assert await is_reset(stream)


async def test_a_stalled_reader_is_cut_while_the_kernel_still_takes_its_lines() -> None:
    """Nothing has to wait for it: what counts is what the client's side has acknowledged."""
    async with (
        open_server(stall=0.5) as server,
        await server.get("/once/20000", receive_buffer=4_096) as stream,
    ):
        await until(lambda: server.account.living == 1)
        await until(lambda: server.account.living == 0)
        assert await is_reset(stream)


async def test_a_slow_reader_is_not_cut() -> None:
    """Progress of any size starts the clock anew."""
    async with (
        open_server(stall=0.5) as server,
        await server.get("/flood", receive_buffer=8_192) as stream,
    ):
        with trio.move_on_after(2.5):
            while True:
                await stream.receive_some(4_096)
                await trio.sleep(0.05)
        assert server.account.living == 1


async def test_an_idle_stream_is_not_cut() -> None:
    """A reader to whom nothing is owed has not stalled."""
    async with open_server(stall=0.2) as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        await trio.sleep(1.0)
        server.account.end.set()
        await receive_until(stream, b"goodbye")


# --- clients that go --------------------------------------------------------------------------


async def close(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def shut_down(stream: trio.SocketStream) -> None:
    await stream.send_eof()


async def reset_it(stream: trio.SocketStream) -> None:
    reset(stream)


WAYS_TO_GO = pytest.mark.parametrize("go", [close, shut_down, reset_it])


@WAYS_TO_GO
async def test_a_client_that_goes_ends_its_response_at_once(go: Any) -> None:
    """Also while nothing is being sent; a half-closed connection counts as gone."""
    async with open_server() as server:
        stream = await server.get("/stream")
        await receive_until(stream, b"hello")
        assert server.account.living == 1
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON


@WAYS_TO_GO
async def test_a_client_that_goes_in_the_midst_of_a_send_ends_it_at_once(go: Any) -> None:
    """The send is waiting for room in the kernel's buffers."""
    async with open_server() as server:
        stream = await server.get("/flood")
        await receive_until(stream, b"xxx")
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON


@WAYS_TO_GO
async def test_a_client_that_goes_is_noticed_behind_a_request_that_waits(go: Any) -> None:
    """It has pipelined a second request, whose turn will never come."""
    async with open_server() as server:
        stream = await server.get("/stream")
        await receive_until(stream, b"hello")
        await stream.send_all(b"GET /short/later HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(0.1)
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON
        server.closing.set()
        assert await elapsed(server.ended.wait) < SOON


# --- requests and responses -------------------------------------------------------------------


async def read_responses(stream: trio.SocketStream, *methods: str) -> list[tuple[Any, bytes]]:
    """Read the responses to these requests, judged by h11's client."""
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
    """Two in one packet, and a third behind a response of many pieces."""
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
    """What is read ahead of its turn is not lost."""
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
    """64 KiB of requests behind one that is not answered are held, not more."""
    async with open_server() as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"GET /short/one HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        await until(lambda: server.account.living == 0)


async def test_chunks_are_what_h11_would_have_made_of_them() -> None:
    """Bodies of any size arrive whole, and the connection can be used again."""
    async with open_server() as server, await server.get("/sizes") as stream:
        (response, body), *_ = await read_responses(stream, "GET")
        assert (b"transfer-encoding", b"chunked") in response.headers
        assert body == SIZES
        await stream.send_all(b"GET /short/again HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(stream, b"again")


async def test_a_slow_reader_gets_every_byte() -> None:
    """Sends that the kernel takes in parts go on where it stopped."""
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
    """Without chunks, which it does not know."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET /sizes HTTP/1.0\r\n\r\n")
        head, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert body == SIZES


@pytest.mark.parametrize("path", [b"/short/one", b"/sizes"])
async def test_head_has_no_body(path: bytes) -> None:
    """And the next request on the connection is answered. (A stream's body would still be run:
    an application answers HEAD for itself.)"""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET /short/next HTTP/1.1\r\nHost: x\r\n\r\n" % path
        )
        got = await read_responses(stream, "HEAD", "GET")
        assert [body for _, body in got] == [b"", b"next"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(chunked: bool) -> None:
    """The sender gets to see why, although it has more to send."""
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
    """After `100 Continue`, if asked for."""
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
    """By the loggers of the standard library alone, without a line on stdout or of access."""
    async with open_server() as server, await server.get("/broken") as stream:
        await receive_until(stream, b"500 ")
    assert "as it happens" in caplog.text
    assert not [record for record in caplog.records if record.name == "hypercorn.access"]
    assert logging.getLogger("hypercorn.error").handlers == []
    assert capsys.readouterr().out == ""


async def test_senders_share() -> None:
    """A response whose sends never have to wait lets everything else go on."""
    async with open_server() as server:
        reader = await server.get("/flood")
        taken = 0

        async def drain() -> None:
            nonlocal taken
            while data := await reader.receive_some(2**20):
                taken += len(data)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await until(lambda: taken > 2**20)
            async with await server.get("/short/other") as other:
                await receive_until(other, b"other")
            nursery.cancel_scope.cancel()
        await reader.aclose()


# --- clients that dawdle ----------------------------------------------------------------------


async def test_a_request_head_has_to_come_in_time() -> None:
    """From the connecting on, however lively it drips."""
    async with (
        open_server(limits=Limits(header_timeout=0.5)) as server,
        await server.connect() as stream,
    ):
        start = trio.current_time()
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            await stream.send_all(b"GET / HTTP/1.1\r\n")
            while True:
                await stream.send_all(b"A: b\r\n")
                await trio.sleep(0.05)
        assert 0.4 < trio.current_time() - start < 0.5 + SOON


async def test_a_later_request_head_has_to_come_in_time_too() -> None:
    """Counted from its first byte, not from the response before."""
    async with (
        open_server(limits=Limits(header_timeout=0.5)) as server,
        await server.get("/short/one") as stream,
    ):
        await receive_until(stream, b"one")
        await trio.sleep(1.0)
        await stream.send_all(b"GET /short/two HTTP/1.1\r\nHost: x\r\n\r\nGET /")
        await receive_until(stream, b"two")
        await stream.send_all(b"s")
        assert await elapsed(lambda: receive_all(stream)) >= 0.4


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that runs is not idle."""
    monkeypatch.setattr(connection, "KEEP_ALIVE", 0.5)
    async with (
        open_server() as server,
        await server.get("/stream") as busy,
        await server.get("/short/one") as stream,
    ):
        await receive_until(busy, b"hello")
        await receive_until(stream, b"one")
        assert await receive_all(stream) == b""
        server.account.end.set()
        await receive_until(busy, b"goodbye")


async def test_a_request_head_has_a_size_limit() -> None:
    """Sixteen KiB."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 20_000)
        assert b" 431 " in await receive_until(stream, b"\r\n\r\n")


@pytest.mark.parametrize("size", [15_000, 20_000, 60_000])
async def test_a_request_head_that_comes_whole_has_the_same_limit(size: int) -> None:
    """h11 looks at one that has not come whole alone."""
    expected = 431 if size > 16_384 else 200
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"GET /short/one HTTP/1.1\r\nHost: x\r\nCookie: %b\r\n\r\n" % (b"a" * size)
        )
        assert b" %d " % expected in await receive_until(stream, b"\r\n\r\n")


# --- requests that reach no application -------------------------------------------------------

REFUSED = {
    "a WebSocket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "a WebSocket's name in another case": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket \xa0\r\n"
    ),
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n",
    "two lengths": (
        b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n"
    ),
    "a length and chunks": (
        b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n"
    ),
    "an address that is none": b"GET http://[x/ HTTP/1.1\r\nHost: x\r\n",
    "another": b"GET ?x HTTP/1.1\r\nHost: x\r\n",
    "packed": b"GET http://%5Bx/ HTTP/1.1\r\nHost: x\r\n",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
async def test_what_no_application_should_see_is_answered_and_ends_the_connection(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """400 as all errors are told, with the headers of every answer; what follows is not read."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            head + b"\r\n0\r\n\r\nGET /short/smuggled HTTP/1.1\r\nHost: y\r\n\r\n"
        )
        answer, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        for name in SECURITY_HEADERS:
            assert answer.lower().count(b"\r\n%b: " % name.lower().encode()) == 1
        assert b"\r\nconnection: close" in answer
        assert list(json.loads(body)) == ["error"]
        assert server.account.requests == 0
    assert not caplog.records


async def test_a_refused_head_has_no_body() -> None:
    """Also where the request is refused."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"HEAD http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await receive_all(stream)).endswith(b"\r\n\r\n")


async def test_an_address_with_a_name_is_understood() -> None:
    """As a proxy's client sends it, and every server has to take it."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET http://x/short/one HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(stream, b"one")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_application_that_gives_no_answer_has_one_given(method: str) -> None:
    """500, as all errors are told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for end in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{end}.complete"})

    async with open_server(app) as server, await server.connect() as stream:
        await stream.send_all(b"%b / HTTP/1.1\r\nHost: x\r\n\r\n" % method.encode())
        head, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        names = {line.partition(b":")[0].decode() for line in head.splitlines()[1:]}
        assert head.split()[1] == b"500"
        assert {name.lower() for name in SECURITY_HEADERS} <= {name.lower() for name in names}
        assert bool(body) is (method == "GET")


# --- closing ----------------------------------------------------------------------------------


async def test_closing_lets_responses_end_by_themselves() -> None:
    """They arrive whole; the server ends with the last of them, long before its grace is over."""
    async with open_server(grace=10.0) as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        server.closing.set()
        await trio.sleep(0.2)
        assert not server.ended.is_set()
        server.account.end.set()
        assert (await receive_all(stream)).endswith(b"8\r\ngoodbye\n\r\n0\r\n\r\n")
        assert await elapsed(server.ended.wait) < LINGER + SOON


async def test_closing_lets_nobody_in_and_closes_the_idle_at_once() -> None:
    """While a response still runs."""
    async with (
        open_server(grace=10.0) as server,
        await server.get("/stream") as busy,
        await server.get("/short/one") as idle,
        await server.connect() as silent,
    ):
        await receive_until(busy, b"hello")
        await receive_until(idle, b"one")
        server.closing.set()
        assert await elapsed(lambda: receive_all(idle)) < SOON
        assert await elapsed(lambda: receive_all(silent)) < SOON
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        assert server.account.living == 1


@pytest.mark.parametrize("path", ["/flood", "/stream"])
async def test_closing_ends_in_time_whatever_is_left(path: str) -> None:
    """A reader that has stalled, an application that does not end its streams: both are reset."""
    async with open_server(grace=1.0) as server, await server.get(path) as stream:
        await receive_until(stream, b"\r\n\r\n")
        await until(lambda: server.account.living == 1)
        server.closing.set()
        assert 0.7 < await elapsed(server.ended.wait) < 1.0 + SOON
        assert server.account.living == 0
        assert await is_reset(stream)


async def test_closing_waits_for_no_idle_connection_after_a_stream() -> None:
    """A connection on which a response has ended is idle."""
    async with open_server(grace=10.0) as server, await server.get("/stream") as stream:
        server.account.end.set()
        await receive_until(stream, b"0\r\n\r\n")
        server.closing.set()
        assert await elapsed(server.ended.wait) < SOON


async def test_cancelled_it_resets_everybody() -> None:
    """Also those to whom a send is waiting."""
    async with open_server(grace=30.0) as server, await server.get("/flood") as stream:
        await receive_until(stream, b"xxx")
        server.cancel()
        with trio.CancelScope(shield=True):
            assert await is_reset(stream)


async def test_an_application_that_does_not_start_is_an_error() -> None:
    """And the address is free again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no fuel"})

    with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="no fuel"), flatten_subgroups=True):
        async with open_server(app):
            pass  # pragma: no cover


async def test_many_connect_at_once() -> None:
    """More than hypercorn's own backlog of 100, while the server is busy elsewhere."""
    async with open_server() as server:
        socks = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(300)]
        for sock in socks:
            sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: server.account.living == 300)
        for sock in socks:
            sock.close()
        await until(lambda: server.account.living == 0)


async def test_a_connection_that_has_ended_leaves_nothing_for_the_collector() -> None:
    """In a service that only grows now and then, it does not come for hours."""

    def connections() -> int:
        return sum(isinstance(thing, connection.ClientConnection) for thing in gc.get_objects())

    async with open_server() as server:
        gc.collect()
        gc.disable()
        try:
            stream = await server.get("/stream")
            await until(lambda: server.account.living == 1)
            assert connections() == 1
            await stream.aclose()
            await until(lambda: connections() == 0)
        finally:
            gc.enable()


async def test_garbage_is_answered_with_400_and_ends_one_connection() -> None:
    """TLS to a cleartext port, say."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        assert b" 400 " in await receive_all(stream)
        async with await server.get("/short/fine") as other:
            await receive_until(other, b"fine")
