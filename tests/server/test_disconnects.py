"""Clients that stop reading, and clients that disconnect: their responses end."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.support.loopback import reset
from tests.support.waiting import until
from tests.support.web_server import (
    SOON,
    elapsed,
    is_reset,
    open_server,
    receive_until,
)

pytestmark = pytest.mark.usefixtures("sending")


async def test_a_reader_that_accepts_nothing_is_cut() -> None:
    """The reader's connection is reset, its response ends, and another client is served."""
    async with open_server(stall=0.5) as server, await server.get("/flood") as stream:
        await receive_until(stream, b"xxx")
        await until(lambda: server.account.living == 1)
        async with await server.get("/short/other") as other:
            await receive_until(other, b"other")
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) >= 0.4
        assert await is_reset(stream)


async def test_a_stalled_reader_is_cut_while_the_kernel_still_takes_its_lines() -> None:
    """A reader is reset although no send waits, because its side has acknowledged no byte."""
    async with (
        open_server(stall=0.5) as server,
        await server.get("/once/20000", receive_buffer=4_096) as stream,
    ):
        await until(lambda: server.account.living == 1)
        await until(lambda: server.account.living == 0)
        assert await is_reset(stream)


async def test_a_slow_reader_is_not_cut() -> None:
    """A reader that accepts few bytes is kept, since any progress restarts the clock."""
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
    """A reader that is owed nothing is kept, however long nothing is sent."""
    async with open_server(stall=0.2) as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        await trio.sleep(1.0)
        server.account.end.set()
        await receive_until(stream, b"goodbye")


async def close(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def shut_down(stream: trio.SocketStream) -> None:
    await stream.send_eof()


async def reset_it(stream: trio.SocketStream) -> None:
    reset(stream)


WAYS_TO_GO = pytest.mark.parametrize("go", [close, shut_down, reset_it])


@WAYS_TO_GO
async def test_a_client_that_goes_ends_its_response_at_once(go: Any) -> None:
    """A response ends although nothing is being sent, also if the client has closed only half."""
    async with open_server() as server:
        stream = await server.get("/stream")
        await receive_until(stream, b"hello")
        assert server.account.living == 1
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON


@WAYS_TO_GO
async def test_a_client_that_goes_during_a_send_ends_it_at_once(go: Any) -> None:
    """The response ends although its send waits for room in the kernel's buffers."""
    async with open_server() as server:
        stream = await server.get("/flood")
        await receive_until(stream, b"xxx")
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON


@WAYS_TO_GO
async def test_a_client_that_goes_is_noticed_behind_a_request_that_waits(go: Any) -> None:
    """The server notices the disconnect although a pipelined request waits for its turn."""
    async with open_server() as server:
        stream = await server.get("/stream")
        await receive_until(stream, b"hello")
        await stream.send_all(b"GET /short/later HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(0.1)
        await go(stream)
        assert await elapsed(lambda: until(lambda: server.account.living == 0)) < SOON
        server.closing.set()
        assert await elapsed(server.ended.wait) < SOON
