"""stdin and stdout as the SDK reads and writes them, so that the process can always end.

The SDK's own files wait in threads that cannot be cancelled, so a Ctrl-C would wait for the next
line. These threads are abandoned instead. They use the file descriptors directly, because a thread
that holds the lock of `sys.stdin` at the exit would abort Python.

A message without an end raises `SourceUnavailable`.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import trio
from mcp.server.stdio import stdio_server

from natstream.errors import SourceUnavailable

__all__ = ["open_stdio"]

READ_BYTES = 64 * 2**10
# The arguments of a tool are a few hundred bytes. A longer message comes from another program.
LONGEST_MESSAGE = 2**20


class _Input:
    """The lines of a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._rest = b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            data = await trio.to_thread.run_sync(
                os.read, self._descriptor, READ_BYTES, abandon_on_cancel=True
            )
            if not data:
                raise StopAsyncIteration
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines += lines
            if len(self._rest) > LONGEST_MESSAGE:
                raise SourceUnavailable(
                    f"The assistant has sent a message of more than {LONGEST_MESSAGE:,} bytes, so "
                    "natstream mcp ends"
                )
        return self._lines.popleft().decode("utf-8", "replace")


class _Output:
    """A file descriptor that takes text."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, text: str) -> None:
        data = memoryview(text.encode())
        while data:
            written = await trio.to_thread.run_sync(
                os.write, self._descriptor, data, abandon_on_cancel=True
            )
            data = data[written:]

    async def flush(self) -> None:
        """Do nothing, because `write` keeps no data."""


@asynccontextmanager
async def open_stdio() -> AsyncIterator[tuple[Any, Any]]:
    """Give the SDK's two streams of messages. The block ends when the other side closes stdout.

    Within the block, everything that the process prints goes to stderr, because one stray line on
    stdout would break the protocol.
    """
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        # The SDK only iterates over the one and writes to the other.
        streams = stdio_server(cast(Any, _Input(0)), cast(Any, _Output(output)))
        try:
            async with streams as (messages, answers):
                yield messages, answers
        except* OSError:
            pass  # The other side has closed stdout, so it reads no more answers.
    finally:
        os.dup2(output, 1)
        os.close(output)
