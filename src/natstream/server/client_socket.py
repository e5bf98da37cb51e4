"""One client's socket: bytes in, bytes out, and no wait that a client could make endless.

hypercorn 0.18.0's `TCPServer` shields each send from cancellation and gives it no deadline. So a
client that stops reading holds its task, and the server cannot end. A send of `TCPServer` also
takes 30 µs. `ClientSocket` sends in its place.
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import struct
import termios
from contextlib import suppress

import attrs
import trio

from natstream.server.deadlines import RECEIVE_BYTES, half_close

__all__ = ["ClientSocket"]

# What a task may send before it lets other tasks run. Each piece costs its bytes and a fixed sum,
# because a piece is work, however small it is.
SEND_BUDGET = 65_536
PIECE_COST = 1_024


class ClientSocket:
    """An accepted socket. Every way to end it closes it, which ends all waits on it."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        self._is_finished = False
        self._sending = trio.Lock()
        self._rest: list[bytes] = []
        """What the kernel has not accepted yet, in order."""
        self._budget = SEND_BUDGET
        self._written = 0
        self._stall_clock = StallClock()

    @property
    def is_open(self) -> bool:
        """Whether the socket is open at our end."""
        return self._socket.fileno() != -1

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called, so that nothing more is sent."""
        return self._is_finished

    async def receive(self) -> bytes:
        """Return what the client sends next; nothing once the client or we have closed."""
        while self.is_open:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return os.read(self._socket.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except (trio.ClosedResourceError, OSError):
                break
        return b""

    async def send(self, data: bytes) -> None:
        """Send all of `data`, or nothing more ever if the client has gone.

        A cancellation waits until all is sent, because the client could not read the bytes after
        half a piece. `reset_if_stalled` resets a client that accepts nothing, which ends the wait.

        The kernel mostly accepts all bytes at once. Then this is short, and not a checkpoint.
        """
        if not self.send_nowait(data):
            await self.flush()

    def send_nowait(self, data: bytes) -> bool:
        """Send what the kernel accepts now, and return whether that is all.

        If it is not, `flush` or `send` must be called soon, which send the rest first.
        """
        if self._rest:
            self._rest.append(data)
        elif rest := self._write(data):
            self._rest.append(rest)
        return not self._rest

    @property
    def is_flushed(self) -> bool:
        """Whether the kernel has accepted everything."""
        return not self._rest

    async def flush(self) -> None:
        """Send what the kernel has not accepted yet, under the conditions of `send`."""
        with trio.CancelScope(shield=True):
            async with self._sending:
                # A write finds out whether the socket was closed, which waiting for it must not.
                while not self._write_rest():
                    with suppress(trio.ClosedResourceError, OSError):
                        await trio.lowlevel.wait_writable(self._socket)

    def _write_rest(self) -> bool:
        """Write what the kernel accepts of the rest, and return whether that is all."""
        while self._rest:
            if rest := self._write(self._rest[0]):
                self._rest[0] = rest
                return False
            del self._rest[0]
        return True

    def spend_budget(self, size: int) -> bool:
        """Count a piece of `size` bytes, and return whether its task must let other tasks run.

        The task then also notices that it was cancelled. A checkpoint in every send would cost a
        tenth of the send, and most tasks have one elsewhere.
        """
        self._budget -= PIECE_COST + size
        if self._budget < 0 or not self.is_open:
            self._budget = SEND_BUDGET
            return True
        return False

    def _write(self, data: bytes) -> bytes:
        """Write what the kernel accepts now. Return the rest; nothing if the client has gone."""
        if self._is_finished:
            return b""
        try:
            written = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return data
        except OSError:
            self.reset()
            return b""
        self._written += written
        return data[written:]

    def reset_if_stalled(self, stall: float) -> None:
        """Reset the connection if the client has accepted no byte that it is owed for `stall` s.

        A byte is accepted when the client's side has acknowledged it. So a stalled client is
        noticed even while its few lines still fit into the kernel's buffers.
        """
        if not self.is_open:
            return
        try:
            queue = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ
            owed = int(struct.unpack("i", queue)[0])
            accepted = self._written - owed
        except OSError:  # not Linux: then what the kernel has not accepted is owed
            owed, accepted = sum(map(len, self._rest)), self._written
        if self._stall_clock.seconds(accepted=accepted, owed=owed) >= stall:
            self.reset()

    def finish(self) -> None:
        """Send nothing more, and close our end; bytes that were sent are still delivered."""
        self._is_finished = True
        half_close(self._socket)

    def close(self) -> None:
        """Close the socket; bytes that the kernel has accepted are still delivered."""
        self._socket.close()

    def reset(self) -> None:
        """Close the socket, and discard the bytes that the client has not accepted yet."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


@attrs.define
class StallClock:
    """Measures for how long a client has accepted none of the bytes that it is owed."""

    _accepted: int = 0
    _since: float = math.inf

    def seconds(self, *, accepted: int, owed: int) -> float:
        """Return the seconds since the last progress, or since nothing was owed.

        Args:
            accepted: bytes that the client has accepted in all.
            owed: bytes that were sent and that the client has not accepted.
        """
        now = trio.current_time()
        if not owed or accepted != self._accepted:
            self._accepted, self._since = accepted, now
        return now - self._since
