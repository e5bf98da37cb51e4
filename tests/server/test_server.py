"""How the server starts and ends, and the connections that it leaves behind."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest
import trio
from tests.support.waiting import until
from tests.support.web_server import (
    SOON,
    elapsed,
    is_reset,
    open_server,
    receive_all,
    receive_until,
)

from natstream.server import connection
from natstream.server.deadlines import LINGER
from natstream.server.http1 import MendedH11


async def test_closing_lets_responses_end_by_themselves() -> None:
    """A response arrives whole, and the server ends with it, before the grace period is over."""
    async with open_server(grace=10.0) as server, await server.get("/stream") as stream:
        await receive_until(stream, b"hello")
        server.closing.set()
        await trio.sleep(0.2)
        assert not server.ended.is_set()
        server.account.end.set()
        assert (await receive_all(stream)).endswith(b"8\r\ngoodbye\n\r\n0\r\n\r\n")
        assert await elapsed(server.ended.wait) < LINGER + SOON


async def test_closing_accepts_no_client_and_closes_idle_connections_at_once() -> None:
    """The server accepts no client and closes idle connections although a response still runs."""
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
async def test_closing_ends_in_time_and_resets_the_connections_that_are_left(path: str) -> None:
    """A stalled reader and a stream that its application does not end are both reset in time."""
    async with open_server(grace=1.0) as server, await server.get(path) as stream:
        await receive_until(stream, b"\r\n\r\n")
        await until(lambda: server.account.living == 1)
        server.closing.set()
        assert 0.7 < await elapsed(server.ended.wait) < 1.0 + SOON
        assert server.account.living == 0
        assert await is_reset(stream)


async def test_closing_waits_for_no_idle_connection_after_a_stream() -> None:
    """A closing server ends at once, because a connection is idle once its response has ended."""
    async with open_server(grace=10.0) as server, await server.get("/stream") as stream:
        server.account.end.set()
        await receive_until(stream, b"0\r\n\r\n")
        server.closing.set()
        assert await elapsed(server.ended.wait) < SOON


async def test_cancelling_the_server_resets_every_client() -> None:
    """Cancelling the server resets a client to whom a send is waiting."""
    async with open_server(grace=30.0) as server, await server.get("/flood") as stream:
        await receive_until(stream, b"xxx")
        server.cancel()
        with trio.CancelScope(shield=True):
            assert await is_reset(stream)


async def test_an_application_that_does_not_start_is_an_error() -> None:
    """The exception of an application's start gets out of `serve`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no fuel"})

    with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="no fuel"), flatten_subgroups=True):
        async with open_server(app):
            pass  # pragma: no cover


async def test_an_exception_over_one_connection_ends_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug of the protocol is logged, and the other connections of the server go on."""
    async with open_server() as server, await server.get("/stream") as other:
        await receive_until(other, b"hello")

        async def fail(self: Any, event: object) -> None:
            raise KeyError("injected")

        with monkeypatch.context() as patch:
            patch.setattr(MendedH11, "_check_protocol", fail)
            assert await receive_all(await server.get("/short/one")) == b""
        server.account.end.set()
        await receive_until(other, b"goodbye")
        await receive_until(await server.get("/short/two"), b"two")
    assert "injected" in caplog.text


async def test_many_clients_connect_at_once() -> None:
    """300 clients that connect at once are all served; hypercorn's own backlog would be 100."""
    async with open_server() as server:
        socks = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(300)]
        for sock in socks:
            sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: server.account.living == 300)
        for sock in socks:
            sock.close()
        await until(lambda: server.account.living == 0)


async def test_a_connection_that_has_ended_leaves_nothing_for_the_collector() -> None:
    """An ended connection is freed at once, since the collector may not run for hours."""

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
