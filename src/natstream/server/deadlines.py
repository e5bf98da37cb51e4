"""What both of natstream's HTTP servers do about slow clients: the page's server, and the drain.

A connection has one cancel scope around all of its reading, and each wait moves the deadline of
that scope. A new scope for each wait would take a fifth of the time that a small request takes.
"""

from __future__ import annotations

from contextlib import suppress

import trio

__all__ = ["HEADER_TIMEOUT", "LINGER", "RECEIVE_BYTES", "expire_in", "half_close", "linger"]

# Seconds for the request line and the headers, from connecting or from their first byte. A client
# that sends them byte by byte (slowloris) would hold its connection for ever otherwise.
HEADER_TIMEOUT = 10.0

# Seconds that a client has to read our answer and close its end, after we have closed ours.
LINGER = 1.0

# Bytes that are read at once, which is trio's own choice for its streams.
RECEIVE_BYTES = 65_536


def expire_in(scope: trio.CancelScope, seconds: float) -> None:
    """Let `scope` expire `seconds` from now, sooner or later than it would have before."""
    scope.deadline = trio.current_time() + seconds


def half_close(sock: trio.socket.SocketType) -> None:
    """Close our end of a connection, so that the client sees the end of our answer."""
    with suppress(OSError):  # the client has gone
        sock.shutdown(trio.socket.SHUT_WR)


async def linger(sock: trio.socket.SocketType) -> None:
    """Close our end, and discard what the client still sends until it has closed its end too.

    If a connection is closed while bytes from the client are unread, then the kernel sends a
    reset, which destroys the answer on its way. The caller gives this a deadline, `LINGER`.
    """
    half_close(sock)
    with suppress(OSError):
        while await sock.recv(RECEIVE_BYTES):
            pass
