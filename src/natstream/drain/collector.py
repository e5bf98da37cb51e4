"""Log lines by machine, for the library: from `LogCollector.push` to the readers of a machine.

In: lines, each with its machine. Out: a receive end for each reader, with every line that is pushed
while the reader subscribes. Pushing never waits: a reader that falls `max_lines` behind loses its
oldest lines, and `LineReceiver.dropped` counts them. `finish` ends the iteration after the queued
lines.

`LogStream` reads a receive end line by line, with timeouts, and `drain_channel` reads all of it.
Both accept trio's own memory channels too. Call everything from trio's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import attrs
import trio

__all__ = [
    "CollectorStatistics",
    "LineChannel",
    "LineReceiver",
    "LogCollector",
    "LogStream",
    "drain_channel",
]

# About 2 MB of ordinary lines, or minutes of a busy machine whose reader pauses.
MAX_LINES = 10_000


class LineReceiver(trio.abc.ReceiveChannel[str]):
    """A reader's receive end: the lines of one machine, oldest first.

    `async for line in …` ends when the machine is finished and its lines are read. A cancelled
    `receive` loses no line.
    """

    def __init__(self, max_lines: int) -> None:
        self._send, self._receive = trio.open_memory_channel[str](max_lines)
        self.dropped: int = 0
        """How many lines were lost because this reader was too far behind."""

    async def receive(self) -> str:
        """Return the next line.

        Raises:
            trio.EndOfChannel: the machine is finished.
            trio.ClosedResourceError: the subscription has ended.
        """
        return await self._receive.receive()

    def receive_nowait(self) -> str:
        """Return the next line without waiting. Raise `trio.WouldBlock` if there is none."""
        return self._receive.receive_nowait()

    async def aclose(self) -> None:
        """Stop reading. Unread lines are lost."""
        await self._receive.aclose()

    def statistics(self) -> trio.MemoryChannelStatistics:
        """Return the state of the buffer."""
        return self._receive.statistics()

    def _put(self, line: str) -> None:
        try:
            self._send.send_nowait(line)
        except trio.WouldBlock:
            self._receive.receive_nowait()
            self.dropped += 1
            self._send.send_nowait(line)
        except trio.BrokenResourceError:
            pass  # the reader has closed its end inside its `with` block


@attrs.frozen
class CollectorStatistics:
    """The figures of a collector, now and since its start."""

    machines: int
    readers: int
    dropped: int
    """Lines lost by readers that were too far behind, including readers that have left."""


class LogCollector:
    """Hands each line to the readers of its machine.

    Args:
        max_lines: how many unread lines a reader may have. Further lines replace its oldest ones.
    """

    def __init__(self, *, max_lines: int = MAX_LINES) -> None:
        if max_lines < 1:
            raise ValueError(f"max_lines must be at least 1, not {max_lines!r}")
        self.max_lines = max_lines
        self._readers: dict[str, list[LineReceiver]] = {}
        self._dropped_before = 0

    @contextmanager
    def subscribe(self, machine_id: str) -> Iterator[LineReceiver]:
        """Yield a receive end that gets every line pushed for `machine_id` during the block."""
        reader = LineReceiver(self.max_lines)
        self._readers.setdefault(machine_id, []).append(reader)
        try:
            yield reader
        finally:
            readers = self._readers.get(machine_id, [])
            # The reader is not in the list if its machine was finished, even if it has new readers.
            if reader in readers:
                readers.remove(reader)
                if not readers:
                    del self._readers[machine_id]
            self._dropped_before += reader.dropped
            reader._receive.close()

    def push(self, machine_id: str, line: str) -> None:
        """Hand `line` to every reader of `machine_id`, if there are any."""
        for reader in self._readers.get(machine_id, ()):
            reader._put(line)

    def finish(self, machine_id: str) -> None:
        """End the streams of a machine after their unread lines."""
        for reader in self._readers.pop(machine_id, ()):
            reader._send.close()

    def finish_all(self) -> None:
        """End the streams of every machine."""
        for machine_id in self.machine_ids:
            self.finish(machine_id)

    @property
    def machine_ids(self) -> list[str]:
        """The machines that have a reader and are not finished."""
        return list(self._readers)

    def statistics(self) -> CollectorStatistics:
        """Return the present figures."""
        readers = [reader for readers in self._readers.values() for reader in readers]
        return CollectorStatistics(
            machines=len(self._readers),
            readers=len(readers),
            dropped=self._dropped_before + sum(reader.dropped for reader in readers),
        )


class LineChannel(Protocol):
    """Any receive end of text: `LineReceiver`, `trio.MemoryReceiveChannel[str]`, …"""

    async def receive(self) -> str: ...

    def receive_nowait(self) -> str: ...


class LogStream:
    """An async iterator over a receive end. A timeout ends the iteration without an exception.

    Args:
        lines: the receive end; its owner closes it.
        item_timeout: seconds to wait for each line. A line that is already there is delivered
            even with 0. `None`: no limit.
        total_timeout: seconds for the whole iteration, from the first request for a line. It also
            ends a stream that never pauses. `None`: no limit.

    A cancelled iteration loses no line and leaves `done` false, so that it can continue later.
    """

    def __init__(
        self,
        lines: LineChannel,
        *,
        item_timeout: float | None = None,
        total_timeout: float | None = None,
    ) -> None:
        self._lines = lines
        self._item_timeout = item_timeout
        self._total_timeout = total_timeout
        self._deadline: float | None = None
        self._done = False
        self._timed_out = False
        self._lines_yielded = 0

    @property
    def done(self) -> bool:
        """Whether the iteration has ended, because the machine is finished or a timeout expired."""
        return self._done

    @property
    def timed_out(self) -> bool:
        """Whether a timeout ended the iteration."""
        return self._timed_out

    @property
    def lines_yielded(self) -> int:
        """How many lines the iteration has delivered."""
        return self._lines_yielded

    def __aiter__(self) -> LogStream:
        return self

    async def __anext__(self) -> str:
        # The checkpoint comes before a line is received, so that a cancellation loses no line.
        await trio.lowlevel.checkpoint()
        if self._done:
            raise StopAsyncIteration
        try:
            line = await self._next()
        except trio.TooSlowError:
            self._done = self._timed_out = True
            raise StopAsyncIteration from None
        except trio.EndOfChannel:
            self._done = True
            raise StopAsyncIteration from None
        self._lines_yielded += 1
        return line

    async def _next(self) -> str:
        now = trio.current_time()
        if self._deadline is None:
            self._deadline = now + _seconds(self._total_timeout)
        if now >= self._deadline:
            raise trio.TooSlowError
        try:
            return self._lines.receive_nowait()
        except trio.WouldBlock:
            with trio.fail_at(min(self._deadline, now + _seconds(self._item_timeout))):
                return await self._lines.receive()

    async def collect(self) -> list[str]:
        """Return all lines up to the end."""
        return [line async for line in self]


async def drain_channel(lines: LineChannel, *, timeout: float | None = None) -> list[str]:
    """Return all lines of a receive end when it has ended.

    Raises:
        trio.TooSlowError: it has not ended within `timeout` seconds. The lines received until then
            are lost.
    """
    with trio.fail_after(_seconds(timeout)):
        return await LogStream(lines).collect()


def _seconds(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout
