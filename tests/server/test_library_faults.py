"""The faults of hypercorn, h11, Quart and quart-trio that `natstream/server` mends.

Each test shows a fault in the library as it is. A test that fails means that a new release has
mended the fault, so that our mend can go.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import h11
import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol
from tests.support.loopback import reset
from tests.support.waiting import PATIENCE, until
from tests.support.web_server import open_hypercorn, receive_all, receive_until, silent_app

from natstream.server.http1 import ChunkFramer

SOON = 1.0
"""Seconds in which a mended server would have acted."""

REQUEST = b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n"


async def test_hypercorn_still_waits_for_ever_for_a_reader_that_stops_reading() -> None:
    """hypercorn's send is shielded without a deadline, so even its own end waits for the reader."""
    async with open_hypercorn() as server:
        stream = await server.get("/flood")
        await receive_until(stream, b"xxx")
        sent = -1
        while sent != server.account.sent:  # until the send is stuck
            sent = server.account.sent
            await trio.sleep(0.2)
        server.closing.set()
        await trio.sleep(SOON)
        assert server.account.living == 1
        assert not server.ended.is_set()
        reset(stream)


async def test_hypercorn_still_reads_nothing_while_a_pipelined_request_waits() -> None:
    """hypercorn does not notice that the client has gone before the second request's turn."""
    async with open_hypercorn() as server:
        stream = await server.get("/stream")
        await receive_until(stream, b"hello")
        await stream.send_all(REQUEST % (b"/short/later", b""))
        await trio.sleep(0.1)
        await stream.aclose()
        await trio.sleep(SOON)
        assert server.account.living == 1


async def test_hypercorn_still_keeps_a_quart_connection_that_is_idle() -> None:
    """quart-trio cancels its last send over the disconnect that the send causes.

    The task that would have closed the idle connection is cancelled with it.
    """
    async with open_hypercorn(grace=2.0) as server, await server.get("/short/one") as stream:
        await receive_until(stream, b"one")
        await trio.sleep(0.1)
        server.closing.set()
        with trio.move_on_after(SOON) as waiting:
            await server.ended.wait()
        assert waiting.cancelled_caught


async def test_hypercorn_still_ends_with_one_broken_request() -> None:
    """An exception over one client's handshake of a WebSocket ends the whole server."""
    with pytest.RaisesGroup(UnicodeDecodeError, flatten_subgroups=True):
        async with open_hypercorn() as server:
            stream = await server.connect()
            upgrade = b"Connection: Upgrade, \xff\r\nUpgrade: websocket\r\n"
            await stream.send_all(REQUEST % (b"/", upgrade))
            with trio.fail_after(PATIENCE):
                await server.ended.wait()


async def test_hypercorn_still_keeps_a_websocket_without_a_version() -> None:
    """The refused WebSocket's connection stays open, although idle ones are closed at once."""
    async with open_hypercorn(keep_alive_timeout=0.1) as server:
        stream = await server.connect()
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
        await stream.send_all(REQUEST % (b"/", upgrade))
        assert b" 400 " in await receive_until(stream, b"\r\n\r\n")
        with trio.move_on_after(SOON) as waiting:
            await receive_all(stream)
        assert waiting.cancelled_caught


UPGRADE_TO_HTTP2 = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
)


async def test_hypercorn_still_upgrades_to_http2_in_clear_text() -> None:
    """hypercorn answers an upgrade with `101`, and no setting turns that off."""
    async with open_hypercorn() as server, await server.connect() as stream:
        await stream.send_all(REQUEST % (b"/short/one", UPGRADE_TO_HTTP2))
        assert (await receive_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


async def test_hypercorn_still_speaks_http2_after_its_preface() -> None:
    """hypercorn answers the preface with a SETTINGS frame, and no setting turns that off."""
    async with open_hypercorn() as server, await server.connect() as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        got = await receive_until(stream, b"\4")
        assert got[3:9] == b"\4\0\0\0\0\0"  # of type 4, for stream 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [(REQUEST % (b"/", b""), b" 500 "), (b"\x16\x03\x01" + bytes(100), b" 400 ")],
    ids=["an application without an answer", "no HTTP"],
)
async def test_hypercorn_still_answers_without_a_word(sent: bytes, status: bytes) -> None:
    """hypercorn's own answers have neither a body nor a `Content-Type`."""
    async with open_hypercorn(silent_app) as server, await server.connect() as stream:
        await stream.send_all(sent)
        head, _, body = (await receive_all(stream)).partition(b"\r\n\r\n")
        assert status in head
        assert b"content-type" not in head.lower()
        assert body == b""


async def test_h11_still_accepts_a_large_head_that_arrives_whole() -> None:
    """h11 looks at the size of a head only while its end has not arrived."""
    async with open_hypercorn(h11_max_incomplete_size=16_384) as server:
        stream = await server.connect()
        await stream.send_all(REQUEST % (b"/short/one", b"Cookie: %b\r\n" % (b"a" * 40_000)))
        assert (await receive_until(stream, b"one")).startswith(b"HTTP/1.1 200 ")


async def test_h11_still_accepts_a_length_beside_chunks() -> None:
    """h11 passes over the length, which a proxy in front of it may have believed."""
    async with open_hypercorn() as server, await server.connect() as stream:
        await stream.send_all(
            b"POST /length HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert (await receive_until(stream, b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")


async def test_quart_still_fails_at_a_target_that_is_no_address() -> None:
    """Quart parses the target outside of its error handlers, so nothing of ours can answer."""
    async with open_hypercorn() as server, await server.connect() as stream:
        await stream.send_all(REQUEST % (b"http://[x/", b""))
        assert (await receive_all(stream)).startswith(b"HTTP/1.1 500 ")


def test_h11_still_takes_long_to_frame_a_chunk() -> None:
    """Our framing of a new body takes less than a third of h11's time."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(REQUEST % (b"/", b""))
    connection.next_event()
    connection.send(h11.Response(status_code=200, headers=[]))
    framer = ChunkFramer()
    bodies = [bytes([number]) * 300 for number in range(100)]

    def fastest(frame: Callable[[bytes], Any]) -> float:
        times = []
        for _ in range(50):
            start = time.perf_counter()
            for body in bodies:
                frame(body)
            times.append(time.perf_counter() - start)
        return min(times)

    assert framer.frame(b"abc") == connection.send(h11.Data(data=b"abc"))
    theirs = fastest(lambda body: connection.send(h11.Data(data=body)))
    assert fastest(framer.frame) < theirs / 3


async def test_hypercorn_still_leaves_its_connections_to_the_collector() -> None:
    """A protocol of hypercorn and its stream refer to each other after the connection has ended."""

    def protocols() -> int:
        return sum(isinstance(thing, H11Protocol) for thing in gc.get_objects())

    async with open_hypercorn() as server:
        gc.collect()
        gc.disable()
        try:
            stream = await server.get("/stream")
            await until(lambda: server.account.living == 1)
            await stream.aclose()
            await until(lambda: server.account.living == 0)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert protocols() == 1
            gc.collect()
            assert protocols() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize(
    "request_",
    [b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /?\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["a blank line", "text beyond ASCII"],
)
def test_h11_still_refuses_what_clients_send(request_: bytes) -> None:
    """h11 refuses a blank line before a request, and text beyond ASCII in the address."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(request_)
    with pytest.raises(h11.RemoteProtocolError):
        connection.next_event()
