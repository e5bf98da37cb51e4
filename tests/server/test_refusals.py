"""Requests that are late, too large or not for an application: each gets an answer or an end."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import trio
from tests.support.waiting import PATIENCE
from tests.support.web_server import (
    SOON,
    elapsed,
    open_server,
    receive_all,
    receive_until,
    silent_app,
)

from natstream.server import connection
from natstream.server.connection import Limits
from natstream.server.request_checks import SECURITY_HEADERS


async def test_a_request_head_has_to_come_in_time() -> None:
    """The time for a head runs from the connecting on, although bytes arrive all the time."""
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
    """The time for a later head runs from its first byte, and not from the response before it."""
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
    """An idle connection is closed, and a connection whose stream runs is not."""
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
    """A head of more than 16 KiB gets a 431 before its end has arrived."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 20_000)
        assert b" 431 " in await receive_until(stream, b"\r\n\r\n")


@pytest.mark.parametrize("size", [15_000, 20_000, 60_000])
async def test_a_request_head_that_comes_whole_has_the_same_limit(size: int) -> None:
    """A head that arrives whole has the same limit as one that arrives in pieces."""
    expected = 431 if size > 16_384 else 200
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"GET /short/one HTTP/1.1\r\nHost: x\r\nCookie: %b\r\n\r\n" % (b"a" * size)
        )
        assert b" %d " % expected in await receive_until(stream, b"\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"GET / HTTP/1.1", "This is not a valid HTTP/1.1 request."),
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 70_000, "The headers are too large."),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked",
            "The only Transfer-Encoding that works here is chunked.",
        ),
    ],
    ids=["no host", "too large", "an unknown coding"],
)
async def test_bytes_that_are_no_request_are_told_why(head: bytes, says: str) -> None:
    """The refusal says which fault the bytes have."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(head + b"\r\n\r\n")
        answer = await receive_all(stream)
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": says}


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
async def test_a_request_that_no_application_may_see_is_refused(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a request gets a 400 in the form of all errors, and the bytes after it are not read."""
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
    """The refusal of a HEAD request has no body."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"HEAD http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await receive_all(stream)).endswith(b"\r\n\r\n")


async def test_an_address_with_a_name_is_understood() -> None:
    """A target with a host name is served, because clients of proxies send such targets."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET http://x/short/one HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(stream, b"one")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_application_that_gives_no_answer_has_one_given(method: str) -> None:
    """An application that sends no response gets a 500 sent for it, in the form of all errors."""

    async with open_server(silent_app) as server, await server.connect() as stream:
        await stream.send_all(b"%b / HTTP/1.1\r\nHost: x\r\n\r\n" % method.encode())
        head, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        names = {line.partition(b":")[0].decode() for line in head.splitlines()[1:]}
        assert head.split()[1] == b"500"
        assert {name.lower() for name in SECURITY_HEADERS} <= {name.lower() for name in names}
        assert bool(body) is (method == "GET")


async def test_garbage_is_answered_with_400_and_ends_one_connection() -> None:
    """Bytes that are no HTTP, for example TLS, get a 400, and another client is served."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        assert b" 400 " in await receive_all(stream)
        async with await server.get("/short/fine") as other:
            await receive_until(other, b"fine")
