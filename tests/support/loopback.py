"""Loopback: free ports for servers that must know their port before they start, and TCP resets.

`free_port()` returns a port that stays free until its server listens, also while other tests run
in parallel. Two facts make that sure. The ports lie below those that the kernel gives to outgoing
connections and to servers that ask for port 0. And each process hands out the ports of a block
of its own: it has the block for as long as it keeps the block's first port bound, which two
processes cannot do at once.

A server that can be asked for its port does not need `free_port`: it listens on port 0.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import cycle

import trio

__all__ = ["HOST", "free_port", "reset"]

HOST = "127.0.0.1"
# The kernel's own range begins at 32768 (net.ipv4.ip_local_port_range).
FIRST, END = 10_000, 32_000
# A process of tests seldom needs more; the ports of a block are used again in turn.
BLOCK = 100


def free_port() -> int:
    """Return a port on which nothing listens, and which no other process is given."""
    return next(_free_ports())


@cache
def _free_ports() -> Iterator[int]:
    """Yield the free ports of this process's block, for ever."""
    return (port for port in cycle(_claim_block()) if _is_free(port))


def _claim_block() -> range:
    """Reserve a block until this process ends, and return it."""
    starts = [*range(FIRST, END, BLOCK)]
    random.shuffle(starts)
    for start in starts:
        claim = socket.socket()
        with suppress(OSError):
            claim.bind((HOST, start))
            _claims.append(claim)
            return range(start + 1, start + BLOCK)
        claim.close()
    raise OSError(f"no block of ports is free between {FIRST} and {END}")


# A claim ends when its socket is closed, so the sockets are kept here.
_claims: list[socket.socket] = []


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind((HOST, port))
        return True
    return False


def reset(stream: trio.abc.ReceiveStream) -> None:
    """Disconnect with a TCP reset, as the kernel does for a killed process with unread data."""
    assert isinstance(stream, trio.SocketStream)
    if stream.socket.fileno() == -1:
        return  # it is closed already
    with suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
