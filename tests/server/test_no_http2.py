"""HTTP/2 in clear text: an upgrade is ignored, and a connection that begins with it is refused.

A client that changed the protocol could tunnel requests past a proxy's rules for paths, because
the proxy takes all bytes after the change for one request.
"""

from __future__ import annotations

import json

import pytest
import trio
from hypercorn.protocol import h2
from tests.support.waiting import PATIENCE
from tests.support.web_server import (
    open_server,
    receive_all,
    receive_until,
)

from natstream.drain.collector import LogCollector
from natstream.drain.server import LogDrainServer
from natstream.server.request_checks import SECURITY_HEADERS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""An empty SETTINGS frame of HTTP/2: three bytes of length, type 4, no flags, stream 0."""

UPGRADES = {
    "as curl --http2 sends it": (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    ),
    "without settings": b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
    "in another case": b"connection: UPGRADE\r\nupgrade: H2C \r\n",
    "in a list": b"Connection: Upgrade\r\nUpgrade: h2c, foo/1\r\n",
    "twice": b"Connection: Upgrade\r\nUpgrade: foo/1\r\nUpgrade: h2c\r\n",
}


@pytest.fixture(autouse=True)
def no_http2_of_hypercorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where natstream makes one of hypercorn's HTTP/2 connections."""

    def fail(*arguments: object, **options: object) -> None:
        pytest.fail("a connection of HTTP/2 was made")

    monkeypatch.setattr(h2.H2Protocol, "__init__", fail)
    monkeypatch.setattr(h2.H2Protocol, "initiate", fail)


def check_refusal(answer: bytes) -> None:
    """Check that all bytes that the server sent are one refusal, told as every error is."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert b"\r\nconnection: close" in head
    for name in SECURITY_HEADERS:
        assert head.lower().count(b"\r\n%b: " % name.lower().encode()) == 1
    said = json.loads(body)
    assert list(said) == ["error"]
    assert "HTTP/1.1" in said["error"]
    assert "proxy" in said["error"]


@pytest.mark.parametrize("size", [len(PREFACE + SETTINGS), 18, 5, 1])
async def test_the_preface_of_http2_is_refused(size: int, caplog: pytest.LogCaptureFixture) -> None:
    """The refusal is the same in whatever pieces the preface arrives; no application sees it."""
    sent = PREFACE + SETTINGS
    async with open_server() as server, await server.connect() as stream:
        for start in range(0, len(sent), size):
            await stream.send_all(sent[start : start + size])
            await trio.sleep(0.002)
        check_refusal(await receive_all(stream))
        assert server.account.requests == 0
    assert not caplog.records


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"POST /length HTTP/3.0", b"GET / HTTP/0.9"])
async def test_no_version_but_http_1_is_served(line: bytes) -> None:
    """A request line of HTTP/1.1's form that names another version gets the same refusal."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(line + b"\r\nHost: x\r\n\r\n")
        check_refusal(await receive_all(stream))
        assert server.account.requests == 0


async def test_the_preface_behind_a_request_is_refused_in_its_turn() -> None:
    """A request before the preface gets its whole response; the connection closes after both."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n" + PREFACE + SETTINGS)
        await receive_until(stream, b"hello")
        server.account.end.set()
        _, _, answer = (await receive_all(stream)).partition(b"0\r\n\r\n")
        check_refusal(answer)
        assert server.account.requests == 1


async def test_a_flood_of_frames_behind_the_preface_is_thrown_away() -> None:
    """The client gets the refusal although it goes on sending, and the server ends in time."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(PREFACE + SETTINGS * 1_000)
        check_refusal(await receive_all(stream))
        server.closing.set()
        with trio.fail_after(PATIENCE):
            await server.ended.wait()


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
async def test_an_upgrade_to_http2_is_ignored(upgrade: bytes) -> None:
    """The request is served over HTTP/1.1, and so is the next one on the connection."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET /short/one HTTP/1.1\r\nHost: x\r\n%b\r\n" % upgrade)
        answer = await receive_until(stream, b"one")
        assert answer.startswith(b"HTTP/1.1 200 ")
        await stream.send_all(b"GET /short/two HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await receive_until(stream, b"two")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
async def test_an_upgrade_with_a_body_is_ignored(upgrade: bytes) -> None:
    """The whole body is read; the request behind it is served over HTTP/1.1 too."""
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(
            b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 6000\r\n%b\r\n" % upgrade
        )
        await stream.send_all(bytes(6_000) + b"GET /short/two HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await receive_until(stream, b"two")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"6000" in answer
        assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_a_preface_behind_an_ignored_upgrade_is_refused() -> None:
    """A client that does not wait for `101` cannot smuggle its frames in behind the request."""
    upgrade = UPGRADES["as curl --http2 sends it"]
    async with open_server() as server, await server.connect() as stream:
        await stream.send_all(b"GET /short/one HTTP/1.1\r\nHost: x\r\n%b\r\n" % upgrade + PREFACE)
        first, _, answer = (await receive_all(stream)).partition(b"\r\n\r\none")
        assert first.startswith(b"HTTP/1.1 200 ")
        check_refusal(answer)
        assert server.account.requests == 1


async def test_a_reader_that_asks_for_an_upgrade_and_goes_is_noticed() -> None:
    """h11 waits for the answer to an upgrade, and natstream reads on all the same."""
    async with open_server() as server, await server.connect() as stream:
        upgrade = UPGRADES["as curl --http2 sends it"]
        await stream.send_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n%b\r\n" % upgrade)
        await receive_until(stream, b"hello")
        await stream.aclose()
        with trio.fail_after(PATIENCE):
            while server.account.living:
                await trio.sleep(0.01)


async def test_the_drain_refuses_the_preface_of_http2_too() -> None:
    """A sender that speaks HTTP/2 to the drain, as one of gRPC does, is told what to change."""
    async with LogDrainServer(LogCollector()) as drain:
        assert drain.actual_port is not None
        async with await trio.open_tcp_stream("127.0.0.1", drain.actual_port) as stream:
            await stream.send_all(PREFACE + SETTINGS)
            answer = await receive_all(stream)
        assert answer.startswith(b"HTTP/1.1 505 ")
        assert b"HTTP/1.1 only" in answer.partition(b"\r\n\r\n")[2]
