"""100 readers that never read, HTTP/1.1 and HTTP/2, at 1,000 lines/s: cut, and nobody minds."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import h2.config
import h2.connection
import h2.events
import trio
from tests.support.loopback import HOST
from tests.support.mistreated import PUBLISHER, MistreatedServer
from tests.support.service_process import ServiceProcess
from tests.support.waiting import PATIENCE

from benchmarks.loads import Load, apply, open_readers
from benchmarks.soak.findings import Findings, Soak

__all__ = ["stall"]

READERS = DEAF = 100
RATE = 1_000
# A stalled reader is looked for every eighth of that (`serving`), and lines must first come.
STALL = 20.0
MARGIN = 1.25
SETTLE = 2.0
MEMORY = 30.0
# The others' p99 may be so many times what it is without stalled readers, and so many ms more.
TIMES, MORE = 2.0, 20.0
# Full before the first figure is taken: its growth is none of the readers'.
BACKLOG = 2_000
PATH = "/api/logs"
# As on a bad line: soon full.
WINDOW = 4096


async def stall(soak: Soak) -> Findings:
    """Readers never read."""
    findings = Findings()
    deadline = min(STALL, soak.seconds(STALL, 2.0))
    readers, deaf = soak.times(READERS, 10), soak.times(DEAF, 10)
    environ = {"NATSTREAM_STALL": f"{deadline:g}", "NATSTREAM_BACKLOG_LINES": str(BACKLOG)}
    async with MistreatedServer.run() as nats, ServiceProcess.open(nats, **environ) as service:
        target = f"nats://{PUBLISHER['user']}:{PUBLISHER['password']}@{HOST}:{nats.port}"
        await service.ready()
        async with open_readers(service.server, PATH, readers) as others:
            load = Load(readers, RATE, soak.seconds(10, 1))
            before = await apply(load, service.server, others, target)
        await service.readers(0)
        memory = service.resident
        service.forget_peak()
        half = deaf // 2
        cut = math.inf
        async with (
            open_readers(service.server, PATH, readers) as others,
            open_readers(service.server, PATH, deaf - half, "--deaf"),
            _open_deaf_http2(service.port, half),
            trio.open_nursery() as nursery,
        ):

            async def watch(began: float) -> None:
                nonlocal cut
                await service.readers(readers, deadline * MARGIN + PATIENCE)
                cut = trio.current_time() - began

            present = await service.metric("readers")
            nursery.start_soon(watch, trio.current_time())
            load = Load(readers, RATE, deadline * MARGIN + SETTLE)
            during = await apply(load, service.server, others, target)
            peak = service.peak
            await service.readers(readers)
            left = await service.metric("readers")
        findings.equals("readers, deaf ones included", int(present), readers + deaf)
        findings.equals("readers after the deaf ones were cut", int(left), readers)
        findings.within("time until the last one was cut", cut, deadline * MARGIN + SETTLE, "s")
        findings.within("memory gained, at most", peak - memory, MEMORY, "MB")
        missing = during.expected - during.delivered
        findings.counts("lines to the others", f"{during.expected:,}", missing)
        findings.equals("lines doubled or out of order", during.disorder, 0)
        was, limit = before.p99 * 1000, TIMES * before.p99 * 1000 + MORE
        what = f"p99 of the others ({was:,.3g} ms before)"
        findings.within(what, during.p99 * 1000, limit, "ms")
        findings.none_of("errors logged", service.complaints)
    return findings


@asynccontextmanager
async def _open_deaf_http2(port: int, count: int) -> AsyncIterator[None]:
    """Half of them read nothing at all, the others read but never open a window again."""
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(_deaf_http2, port, number % 2 == 0)
        yield
        nursery.cancel_scope.cancel()


async def _deaf_http2(
    port: int, reads: bool, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    headers = {":method": "GET", ":path": PATH, ":authority": HOST, ":scheme": "http"}
    client.send_headers(1, list(headers.items()), end_stream=True)
    sock = trio.socket.socket()
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, WINDOW)
    await sock.connect((HOST, port))
    async with trio.SocketStream(sock) as stream:
        await stream.send_all(client.data_to_send())
        answered = False
        while not answered:
            for event in client.receive_data(await stream.receive_some()):
                answered |= isinstance(event, h2.events.ResponseReceived)
            await stream.send_all(client.data_to_send())
        task_status.started()
        with suppress(trio.BrokenResourceError):
            while reads and await stream.receive_some():
                pass
        await trio.sleep_forever()
