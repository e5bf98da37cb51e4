"""Sending without waiting: what the kernel does not accept is sent later, in order, and once."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from tests.support.waiting import PATIENCE
from trio.testing import wait_all_tasks_blocked

from natstream.server.client_socket import ClientSocket


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[ClientSocket, trio.SocketStream]]:
    """Connect a socket of ours with a small buffer to a client."""
    ours, theirs = trio.socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    sock = ClientSocket(ours)
    async with trio.SocketStream(theirs) as client:
        yield sock, client
    sock.close()


@pytest.mark.parametrize("seed", range(20))
async def test_every_byte_comes_once_and_in_order(seed: int) -> None:
    """Pieces of any size from several tasks, with and without waiting, come as they were sent."""
    dice = random.Random(seed)
    async with connected() as (sock, client):
        sent, got = bytearray(), bytearray()

        def piece() -> bytes:
            made = dice.randbytes(dice.choice([1, 100, 5_000, 70_000]))
            sent.extend(made)
            return made

        async def send(times: int) -> None:
            for _ in range(times):
                if not sock.send_nowait(piece()) or dice.random() < 0.5:
                    await sock.send(piece())
                if dice.random() < 0.3:
                    await trio.lowlevel.checkpoint()

        async def read() -> None:
            async for data in client:
                got.extend(data)
                if dice.random() < 0.1:
                    await trio.sleep(0.001)

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                async with trio.open_nursery() as senders:
                    for _ in range(3):
                        senders.start_soon(send, 20)
                sock.finish()
        assert got == sent


async def test_it_says_whether_the_kernel_accepted_all() -> None:
    """A small piece is accepted; a large one only in part, until `send` has waited for the rest."""
    async with connected() as (sock, client):
        assert sock.send_nowait(b"x" * 10)
        assert not sock.send_nowait(b"y" * 1_000_000)
        assert not sock.send_nowait(b"z")
        got = bytearray()
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sock.send, b"!")
                while not got.endswith(b"!"):
                    got += await client.receive_some()
        assert bytes(got) == b"x" * 10 + b"y" * 1_000_000 + b"z!"
        assert sock.send_nowait(b"x")


@pytest.mark.parametrize(
    ("end", "is_waiting"),
    [
        (ClientSocket.close, True),
        (ClientSocket.close, False),
        (ClientSocket.reset, True),
        (ClientSocket.reset, False),
        (ClientSocket.finish, False),
    ],
)
async def test_a_socket_that_ends_takes_everything(
    end: Callable[[ClientSocket], None], is_waiting: bool
) -> None:
    """A send ends when its socket does, and leaves nothing behind for the sends of others."""
    for _ in range(2):
        async with connected() as (sock, _), trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE):
                assert not sock.send_nowait(b"x" * 1_000_000)
                if is_waiting:
                    nursery.start_soon(sock.send, b"y")
                    await wait_all_tasks_blocked()
                end(sock)
                await sock.send(b"z")
            assert sock.is_flushed


async def test_a_client_that_has_gone_takes_everything() -> None:
    """Nothing is kept for a client that has gone, and nothing is raised."""
    async with connected() as (sock, client):
        await client.aclose()
        with trio.fail_after(PATIENCE):
            assert sock.send_nowait(b"x" * 1_000_000)
            await sock.send(b"x")
        assert not sock.is_open
