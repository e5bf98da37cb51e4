"""10,000 readers that connect and vanish in every manner, 200 at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle, islice
from statistics import median_low

import attrs
import trio
from tests.support.loopback import HOST, reset
from tests.support.mistreated import MistreatedServer
from tests.support.service_process import ServiceProcess
from tests.support.waiting import PATIENCE, seconds_until

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Lines

__all__ = ["vanish"]

READERS = 10_000
GROUP = 200
MEMORY = 10.0
ASK = f"GET /api/logs HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n".encode()
# Lines a second, so that each reader is written to; the backlog is full before.
RATE = 200
BACKLOG = 1_000

Manner = Callable[[trio.SocketStream], Awaitable[None]]


async def _closes(stream: trio.SocketStream) -> None:
    await stream.send_all(ASK)
    await stream.receive_some()


async def _resets(stream: trio.SocketStream) -> None:
    await stream.send_all(ASK)
    await stream.receive_some()
    reset(stream)


async def _closes_half(stream: trio.SocketStream) -> None:
    """Close the sending side, and wait until the service closes the other."""
    await stream.send_all(ASK)
    await stream.receive_some()
    await stream.send_eof()
    while await stream.receive_some():
        pass


async def _closes_amid_headers(stream: trio.SocketStream) -> None:
    await stream.send_all(ASK[:40])


async def _resets_amid_headers(stream: trio.SocketStream) -> None:
    await stream.send_all(ASK[:40])
    reset(stream)


async def _resets_unanswered(stream: trio.SocketStream) -> None:
    await stream.send_all(ASK)
    reset(stream)


MANNERS: tuple[Manner, ...] = (
    _closes,
    _resets,
    _closes_half,
    _closes_amid_headers,
    _resets_amid_headers,
    _resets_unanswered,
)


@attrs.frozen
class _State:
    tasks: float
    descriptors: int
    readers: float

    @classmethod
    async def of(cls, service: ServiceProcess) -> _State:
        metrics = await service.metrics()
        tasks, readers = metrics["natstream_tasks"], metrics["natstream_readers"]
        return cls(tasks, service.descriptors, readers)

    @classmethod
    async def usual(cls, service: ServiceProcess) -> _State:
        """Return the middle of several looks, because each look opens a connection itself.

        At a lucky moment, a connection has not yet all of its tasks.
        """
        states = []
        for _ in range(20):
            states.append(await cls.of(service))
            await trio.sleep(0.05)
        return cls(
            median_low(state.tasks for state in states),
            median_low(state.descriptors for state in states),
            median_low(state.readers for state in states),
        )

    def is_back_at(self, start: _State) -> bool:
        return (
            self.tasks <= start.tasks
            and self.descriptors <= start.descriptors
            and self.readers <= start.readers
        )


async def vanish(soak: Soak) -> Findings:
    """Let readers vanish; no task, file or memory of them may remain."""
    findings = Findings()
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats, NATSTREAM_BACKLOG_LINES=str(BACKLOG)) as service,
        trio.open_nursery() as nursery,
    ):
        await service.ready()
        lines = Lines(nats)
        await lines.publish(BACKLOG)
        nursery.start_soon(lines.flow, RATE)
        manners = cycle(MANNERS)
        # The first readers fill caches and buffers, which do not grow after that.
        await _visit(service, islice(manners, GROUP))
        await _visit(service, islice(manners, GROUP))
        await service.readers(0)
        start, memory = await _State.usual(service), service.resident
        count, hung = soak.times(READERS, GROUP), 0
        for _ in range(0, count, GROUP):
            hung += await _visit(service, islice(manners, GROUP))

        end = start

        async def is_back() -> bool:
            nonlocal end
            end = await _State.of(service)
            return end.is_back_at(start)

        await seconds_until(is_back)
        findings.counts("readers that came and vanished", f"{count:,}", hung)
        findings.equals("readers that the hub still knows", int(end.readers), 0)
        findings.counts(
            "tasks", f"{start.tasks:g} → {end.tasks:g}", max(0, end.tasks - start.tasks)
        )
        findings.counts(
            "file descriptors",
            f"{start.descriptors} → {end.descriptors}",
            max(0, end.descriptors - start.descriptors),
        )
        findings.within("memory gained", service.resident - memory, MEMORY, "MB")
        findings.none_of("errors logged", service.complaints)
        nursery.cancel_scope.cancel()
    return findings


async def _visit(service: ServiceProcess, manners: islice[Manner]) -> int:
    """Let a group of readers connect and vanish. Return how many the service left hanging."""
    hung = 0

    async def come(manner: Manner) -> None:
        nonlocal hung
        with trio.move_on_after(PATIENCE) as scope, suppress(trio.BrokenResourceError):
            async with await trio.open_tcp_stream(HOST, service.port) as stream:
                with suppress(trio.ClosedResourceError):
                    await manner(stream)
        hung += scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        for manner in manners:
            nursery.start_soon(come, manner)
    return hung
