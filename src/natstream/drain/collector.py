"""Log lines by machine: in with `LogCollector.push`, out of a receive end for each reader.

Every reader of a machine gets every line pushed while it subscribes. Pushing never waits: a
reader that falls `max_lines` behind loses its oldest lines, and `LineReceiver.dropped` says
how many. `finish` lets queued lines be read and then ends the iteration.

`LogStream` reads a receive end line by line under timeouts; `drain_channel` to its end. Both
take trio's own memory channels too. On trio, without sockets; call it from trio's thread.
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

# About 2 MB of ordinary lines: minutes of a busy machine, should its reader pause.
MAX_LINES = 10_000


class LineReceiver(trio.abc.ReceiveChannel[str]):
    """A reader's receive end: the lines of one machine, oldest first.

    `async for line in …` ends when the machine is finished and its lines are read. Cancelling
    `receive` takes nothing.
    """

    def __init__(self, max_lines: int) -> None:
        self._send, self._receive = trio.open_memory_channel[str](max_lines)
        self.dropped = 0
        """Lines lost because this reader was too far behind."""

    async def receive(self) -> str:
        """The next line.

        Raises:
            trio.EndOfChannel: the machine is finished.
            trio.ClosedResourceError: the subscription was left.
        """
        return await self._receive.receive()

    def receive_nowait(self) -> str:
        """The next line without waiting; raises `trio.WouldBlock` if none is there."""
        return self._receive.receive_nowait()

    async def aclose(self) -> None:
        """Stop reading; lines not read yet are gone."""
        await self._receive.aclose()

    def statistics(self) -> trio.MemoryChannelStatistics:
        """The state of the buffer."""
        return self._receive.statistics()

    def _put(self, line: str) -> None:
        try:
            self._send.send_nowait(line)
        except trio.WouldBlock:
            self._receive.receive_nowait()
            self.dropped += 1
            self._send.send_nowait(line)
        except trio.BrokenResourceError:
            pass  # it has closed its end and has yet to leave its `with`


@attrs.frozen
class CollectorStatistics:
    """What a collector holds now, and has dropped since its start."""

    machines: int
    readers: int
    dropped: int
    """Lines lost by readers that were too far behind, those that have left included."""


class LogCollector:
    """Which readers want the lines of which machine.

    Args:
        max_lines: how many unread lines a reader may have; then its oldest go.
    """

    def __init__(self, *, max_lines: int = MAX_LINES) -> None:
        if max_lines < 1:
            raise ValueError(f"max_lines must be at least 1, not {max_lines!r}")
        self.max_lines = max_lines
        self._readers: dict[str, list[LineReceiver]] = {}
        self._dropped_before = 0

    @contextmanager
    def subscribe(self, machine_id: str) -> Iterator[LineReceiver]:
        """Get every line pushed for `machine_id` from now until the block is left."""
        reader = LineReceiver(self.max_lines)
        self._readers.setdefault(machine_id, []).append(reader)
        try:
            yield reader
        finally:
            readers = self._readers.get(machine_id, [])
            # Not there if the machine was finished, be it known again by now.
            if reader in readers:
                readers.remove(reader)
                if not readers:
                    del self._readers[machine_id]
            self._dropped_before += reader.dropped
            reader._receive.close()

    def push(self, machine_id: str, line: str) -> None:
        """Hand `line` to every reader of `machine_id`; to nobody if there is none."""
        for reader in self._readers.get(machine_id, ()):
            reader._put(line)

    def finish(self, machine_id: str) -> None:
        """End the machine's streams, after the lines that they have yet to read."""
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
        """What it holds and has dropped."""
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
    """An async iterator over a receive end that timeouts end, quietly.

    Args:
        lines: the receive end; its owner closes it.
        item_timeout: seconds to wait for each line; one that is already there is delivered
            even with 0. `None`: no limit.
        total_timeout: seconds for the whole iteration, from the first line asked for; it ends
            a stream that never pauses too. `None`: no limit.

    Cancelling the iteration takes nothing and leaves `done` false: it can go on later.
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
        """Whether it has ended: finished or timed out."""
        return self._done

    @property
    def timed_out(self) -> bool:
        """Whether a timeout ended it."""
        return self._timed_out

    @property
    def lines_yielded(self) -> int:
        """How many lines it has delivered."""
        return self._lines_yielded

    def __aiter__(self) -> LogStream:
        return self

    async def __anext__(self) -> str:
        # Before a line is taken, so that a cancel loses none.
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
        """All lines from here to the end."""
        return [line async for line in self]


async def drain_channel(lines: LineChannel, *, timeout: float | None = None) -> list[str]:
    """All lines of a receive end, once it has ended.

    Raises:
        trio.TooSlowError: `timeout` seconds have passed before that; the lines are gone.
    """
    with trio.fail_after(_seconds(timeout)):
        return await LogStream(lines).collect()


def _seconds(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout
