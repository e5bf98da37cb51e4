"""100 readers that never read, at 1,000 lines/s, are cut, and the other readers lose nothing."""

from __future__ import annotations

import math

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
# The server looks for stalled readers every eighth of that, and lines have to come first.
STALL = 20.0
MARGIN = 1.25
SETTLE = 2.0
MEMORY = 30.0
# The p99 of other readers may be so many times that without stalled readers, plus so many ms.
TIMES, MORE = 2.0, 20.0
# The backlog is full before the first figure, so that its growth does not count.
BACKLOG = 2_000
PATH = "/api/logs"


async def stall(soak: Soak) -> Findings:
    """Let readers stall; they have to be cut, and the others may not notice."""
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
        cut = math.inf
        async with (
            open_readers(service.server, PATH, readers) as others,
            open_readers(service.server, PATH, deaf, "--deaf"),
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
