"""Requests that are late, too large or not for an application: each gets an answer or an end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote

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
    "chunks in HTTP/1.0": (b"POST /length HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"),
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


async def test_a_refused_head_has_the_length_that_a_get_would_have() -> None:
    """The refusal of a HEAD request has the Content-Length of the refusal of a GET request."""
    lengths = []
    async with open_server() as server:
        for method in (b"GET", b"HEAD"):
            async with await server.connect() as stream:
                await stream.send_all(method + b" http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n")
                head = (await receive_all(stream)).partition(b"\r\n\r\n")[0].lower()
                lengths.append(head.partition(b"content-length: ")[2].split()[0])
    assert lengths[0] == lengths[1] != b"0"


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_a_blank_line_before_a_request_is_passed_over(before: bytes, pause: float) -> None:
    """A client may send blank lines before a request, also before a later one, and in pieces."""
    request = b"GET /short/%b HTTP/1.1\r\nHost: x\r\n\r\n"
    async with open_server() as server, await server.connect() as stream:
        for word in (b"one", b"two"):
            pieces = [before + request % word]
            if pause:
                pieces = [bytes([byte]) for byte in before] + [request % word]
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(pause)
            assert b" 200 " in await receive_until(stream, word)
        # Behind a body, and together with the next request.
        await stream.send_all(
            b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour"
            + before + request % b"three"
        )  # fmt: skip
        await receive_until(stream, b"three")


async def test_blank_lines_alone_do_not_hold_a_connection() -> None:
    """A client that sends only blank lines is disconnected when its headers are late."""
    async with (
        open_server(limits=Limits(header_timeout=0.5)) as server,
        await server.connect() as stream,
    ):
        start = trio.current_time()
        with trio.fail_after(PATIENCE), suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"\r\n")
                await trio.sleep(0.05)
        assert 0.4 < trio.current_time() - start < 0.5 + SOON
        assert server.account.requests == 0


@pytest.mark.parametrize("text", ["café", "日本語", "\U0001f600", "a b".replace(" ", "+")])
async def test_text_beyond_ascii_in_a_query_is_understood(text: str) -> None:
    """A query of raw UTF-8, as curl sends it, arrives as one with percent signs would."""
    got = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            got.append(scope["query_string"])
        await silent_app(scope, receive, send)

    async with open_server(application) as server:
        for query in (text, quote(text, safe="+")):
            async with await server.get(f"/x?q={query}") as stream:
                await receive_all(stream)
    assert got[0] == got[1] == f"q={quote(text, safe='+')}".encode()


@pytest.mark.parametrize("line", [b"G\xc3T / HTTP/1.1", b"GET / HTTP/1.\xff", b"\xef\xbb\xbfGET /"])
async def test_bytes_beyond_ascii_elsewhere_stay_an_error(line: bytes) -> None:
    """Bytes beyond ASCII outside of the address are an error, and nothing is served."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await receive_all(stream)).split()[1] == b"400"


async def test_a_head_that_is_too_large_is_refused_so_that_a_page_can_read_it() -> None:
    """A head that is too large before its end has the CORS headers if its origin has come."""
    limits = Limits(cors_origins=("https://one.example",))
    for path, allowed in ((b"/api/logs", True), (b"/", False)):
        async with open_server(limits=limits) as server, await server.connect() as stream:
            await stream.send_all(
                b"GET %b HTTP/1.1\r\nHost: x\r\nOrigin: https://one.example\r\nCookie: %b"
                % (path, b"a" * 20_000)
            )
            answer = await receive_all(stream)
            assert b" 431 " in answer
            assert (b"access-control-allow-origin: https://one.example" in answer) is allowed


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


@pytest.mark.parametrize("path", [b"/api/logs?tail=5", b"/apis", b"/"])
async def test_a_page_of_another_origin_reads_why_it_has_no_answer(path: bytes) -> None:
    """A full server's 503 and a missing answer's 500 have the CORS headers, if under /api/."""
    limits = Limits(max_connections=1, cors_origins=("https://one.example",))
    request = b"GET %b HTTP/1.1\r\nHost: x\r\nOrigin: https://one.example\r\n\r\n" % path
    answers = []
    async with open_server(silent_app, limits=limits) as server, await server.connect() as stream:
        await stream.send_all(request)
        answers.append(await receive_all(stream))
    async with open_server(limits=limits) as server:
        await receive_until(await server.get("/stream"), b"hello")
        async with await server.connect() as stream:
            await stream.send_all(request)
            answers.append(await receive_all(stream))
        server.account.end.set()
    assert [answer.split()[1] for answer in answers] == [b"500", b"503"]
    for answer in answers:
        allowed = b"access-control-allow-origin: https://one.example\r\n" in answer
        assert allowed is path.startswith(b"/api/")


async def test_garbage_is_answered_with_400_and_ends_one_connection() -> None:
    """Bytes that are no HTTP, for example TLS, get a 400, and another client is served."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        assert b" 400 " in await receive_all(stream)
        async with await server.get("/short/fine") as other:
            await receive_until(other, b"fine")
