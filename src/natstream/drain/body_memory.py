"""The memory of bodies, bounded over all connections.

In: the bytes of bodies as they arrive. Out: the same bytes, whole. All bodies together take a fixed
number of bytes, since a hundred senders may send their largest bodies in the same second. A body
for which no room is left raises `NoRoom`, and its sender repeats it.
"""

from __future__ import annotations

from io import BytesIO
from types import TracebackType

from natstream.drain.content_encoding import BodyTooLarge

__all__ = ["ArrivingBody", "BodyMemory", "NoRoom"]


class NoRoom(Exception):
    """The bodies that are in progress take all the memory that they may take."""


class BodyMemory:
    """Counts the bytes of all bodies in progress.

    Args:
        limit: bytes of all bodies.
    """

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.taken: int = 0
        """Bytes of the bodies in progress, as sent."""

    def body(self, max_size: int, announced: int) -> ArrivingBody:
        """Return the buffer of one body, whose bytes count until its `with` block ends.

        Args:
            max_size: bytes of the body, as sent.
            announced: the value of Content-Length, or 0.

        Raises:
            BodyTooLarge: the announced size is larger than `max_size`.
            NoRoom: the announced size is larger than the room that is left.
        """
        body = ArrivingBody(self, max_size)
        body.check(announced)
        return body


class ArrivingBody:
    """Collects a body piece by piece, in a `with` block."""

    def __init__(self, memory: BodyMemory, max_size: int) -> None:
        self.received: int = 0
        """Bytes as sent."""
        self._memory = memory
        self._max_size = max_size
        self._first = b""
        self._pieces: BytesIO | None = None
        """All pieces, if there are several."""

    def __enter__(self) -> ArrivingBody:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._memory.taken -= self.received

    def check(self, more: int) -> None:
        """Raise BodyTooLarge or NoRoom if `more` bytes would be too many."""
        if self.received + more > self._max_size:
            raise BodyTooLarge(
                f"The body is larger than {self._max_size:,} bytes; send it in smaller batches."
            )
        if self._memory.taken + more > self._memory.limit:
            raise NoRoom

    def feed(self, data: bytes) -> None:
        """Add the next piece.

        Raises:
            BodyTooLarge: the body is larger than allowed.
            NoRoom: all bodies together are larger than allowed.
        """
        self.check(len(data))
        self.received += len(data)
        self._memory.taken += len(data)
        if self.received == len(data):
            self._first = bytes(data)  # h11 gives it as a bytearray
            return
        if self._pieces is None:
            self._pieces = BytesIO()
            self._pieces.write(self._first)
            self._first = b""
        self._pieces.write(data)

    def finish(self) -> bytes:
        """Return the whole body, as sent."""
        return self._first if self._pieces is None else self._pieces.getvalue()
