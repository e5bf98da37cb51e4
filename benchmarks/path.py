"""The CPU time of a line, of a reader's wake-up and of a send, step by step, in one process.

Each step is repeated, and the cheapest repetition counts. So the figures also hold on a busy
machine, and show the effect of a change to the hot path.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing
from tests.support.loopback import HOST
from tests.support.processes import CPUS

from benchmarks.lines import KINDS, stamp_all, templates
from natstream.background import running_beside
from natstream.entries.entry import LogEntry
from natstream.entries.fields import FieldCache
from natstream.entries.filters import Filter
from natstream.entries.fly import parse_messages
from natstream.formats.events import FORMATS
from natstream.hub.batch import Selection
from natstream.hub.hub import Hub
from natstream.hub.published import Published

__all__ = ["Step", "broadcast", "messages", "steps"]

REPETITIONS = 50
READERS = 500
# Lines that a reader gets at once, from a light load to a heavy one; and sizes of sends.
BATCHES = (1, 25, 200)
SIZES = (1_024, 16 * 1_024, 64 * 1_024)
SENDS = 50

# Filters that look at the same JSON lines, one after the other.
FILTERS = [
    ("filter by a text", [Filter(q=("nothing",))]),
    ("filter JSON by a field", [Filter(fields=("status>=500",))]),
    ("filter JSON by an absent field", [Filter(fields=("nothing=1",))]),
    ("filter JSON by 1,000 values", [Filter(fields=(f"user={n}",)) for n in range(1_000)]),
    ("filter JSON by 1,000 names", [Filter(fields=(f"name{n}=1",)) for n in range(1_000)]),
]

Step = tuple[str, str, float]
"""A step, its unit (a line, a reader or a send), and its CPU seconds for each unit."""


async def steps() -> list[Step]:
    """Measure every step on the server's core."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CPUS[:1])
    try:
        found = [await _parse(), await _publish(), await _frame(), await _channel()]
        found += [await _select(name, filters) for name, filters in FILTERS]
        found += [await _wake(lines) for lines in BATCHES]
        found += [await _deliver(lines) for lines in BATCHES]
        found += [await _send(size) for size in SIZES]
    finally:
        os.sched_setaffinity(0, ours)
    return found


async def _cheapest(work: Callable[[], Awaitable[None]], per: int) -> float:
    costs = []
    for _ in range(REPETITIONS):
        started = time.process_time()
        await work()
        costs.append(time.process_time() - started)
    return min(costs) / per


def messages() -> list[tuple[bytes, bytes]]:
    """Return a line of each kind: its subject and its payload."""
    wires = templates(lambda subject, _, payload: b"%b %b" % (subject.encode(), payload))
    lines = [stamp_all(wires, kind, kind + 1).partition(b" ") for kind in range(KINDS)]
    return [(subject, payload) for subject, _, payload in lines]


def _entries(count: int) -> list[LogEntry]:
    return parse_messages(messages()[:count])


async def _parse() -> Step:
    lines = messages()

    async def work() -> None:
        parse_messages(lines)

    return "parse payloads, 1,000 in one run", "line", await _cheapest(work, KINDS)


async def _publish() -> Step:
    hub, entries = Hub(), _entries(KINDS)

    async def work() -> None:
        hub.publish_nowait(entries)

    return "number it and append it to the backlog", "line", await _cheapest(work, KINDS)


async def _frame() -> Step:
    entries = _entries(KINDS)
    async with broadcast(1) as send:
        cost = await _cheapest(lambda: send(entries), KINDS)
    return "the same, then frame it, and join the frames", "line", cost


async def _channel() -> Step:
    """Measure a task that waits at a bare channel of trio, as the least possible cost."""
    channels = [trio.open_memory_channel[None](1) for _ in range(READERS)]

    async def read(receive: trio.MemoryReceiveChannel[None]) -> None:
        while True:
            await receive.receive()

    async def work() -> None:
        for send, _ in channels:
            send.send_nowait(None)
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        for _, receive in channels:
            nursery.start_soon(read, receive)
        await trio.testing.wait_all_tasks_blocked()
        cost = await _cheapest(work, READERS)
        nursery.cancel_scope.cancel()
    return "wake a task with a bare channel", "reader", cost


async def _wake(lines: int) -> Step:
    entries = _entries(lines)
    async with broadcast(READERS) as send:
        cost = await _cheapest(lambda: send(entries), READERS)
    return f"wake a reader with {lines} lines, framed", "reader", cost


async def _deliver(lines: int) -> Step:
    """Measure readers that wait, and whose tasks need not run for what the hub delivers."""
    hub, entries = Hub(), _entries(lines)
    left, done = 0, trio.Event()

    def deliver(selection: Selection) -> bool:
        nonlocal left
        selection.pieces(FORMATS["sse"])
        left -= 1
        if not left:
            done.set()
        return True

    async def read(task_status: trio.TaskStatus[None]) -> None:
        with hub.subscribe() as subscription:
            task_status.started()
            while True:
                await subscription.step(deliver)

    async def work() -> None:
        nonlocal left, done
        left, done = READERS, trio.Event()
        hub.publish_nowait(entries)
        await done.wait()

    async with running_beside(hub.run, hub.close), trio.open_nursery() as nursery:
        for _ in range(READERS):
            await nursery.start(read)
        await trio.testing.wait_all_tasks_blocked()
        cost = await _cheapest(work, READERS)
        nursery.cancel_scope.cancel()
    return f"deliver {lines} lines, framed", "reader", cost


@asynccontextmanager
async def broadcast(
    readers: int, observe: Callable[[Published], None] | None = None
) -> AsyncIterator[Callable[[list[LogEntry]], Awaitable[None]]]:
    """Run a hub with readers; the block gets a function that publishes until all have read."""
    behind, done, target = 0, trio.Event(), 1

    async def read(hub: Hub, task_status: trio.TaskStatus[None]) -> None:
        nonlocal behind
        with hub.subscribe() as subscription:
            task_status.started()
            async for item in subscription:
                assert isinstance(item, Selection)
                item.pieces(FORMATS["sse"])
                behind -= subscription.position.entry == target
                if not behind:
                    done.set()

    async def send(entries: list[LogEntry]) -> None:
        nonlocal behind, done, target
        behind, done, target = readers, trio.Event(), target + len(entries)
        hub.publish_nowait(entries)
        await done.wait()

    hub = Hub(observe=observe)
    async with running_beside(hub.run, hub.close), trio.open_nursery() as nursery:
        for _ in range(readers):
            await nursery.start(read, hub)
        yield send
        nursery.cancel_scope.cancel()


async def _send(size: int) -> Step:
    """Measure a send on loopback: the work of the kernel, with most of the receiving."""
    data = bytes(size)
    with socket.create_server((HOST, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    costs = []
    with near, far:
        for _ in range(SENDS):
            started = time.process_time()
            near.sendall(data)
            costs.append(time.process_time() - started)
            far.recv(size, socket.MSG_WAITALL)
    return f"send {size // 1024} KB on loopback", "send", min(costs)


async def _select(name: str, filters: list[Filter]) -> Step:
    lines = parse_messages([(b"logs.web.sjc.m", _json_line(n)) for n in range(250)])

    async def select() -> None:
        cache = FieldCache(lines)
        for filter in filters:
            filter.select(lines, cache)

    cost = await _cheapest(select, len(lines) * len(filters))
    return name, "line and filter", cost


def _json_line(n: int) -> bytes:
    message = {"level": 30, "time": 1715506201123 + n, "pid": 7, "hostname": "a", "user": n}
    message |= {"status": 200 + n % 400, "path": f"/orders/{n}", "msg": "request completed"}
    return json.dumps(
        {
            "event": {"provider": "app"},
            "fly": {"app": {"instance": "m", "name": "web"}, "region": "sjc"},
            "host": "0ad1",
            "log": {"level": "info"},
            "message": json.dumps(message),
            "timestamp": "2022-09-27T20:34:37.252022967Z",
        }
    ).encode()
