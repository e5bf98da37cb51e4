"""A resuming reader is cut 1,000 times under load, and the service is restarted 20 times."""

from __future__ import annotations

import random
import signal

import trio
from tests.support.event_stream import EventStream
from tests.support.loopback import reset
from tests.support.mistreated import MistreatedServer
from tests.support.service_process import ServiceProcess

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Lines, Seen, follow

__all__ = ["cuts"]

CUTS = 1_000
RESTARTS = 20
RATE = 2_000
# Half a second of lines, so that a reader that is away for longer misses a known number.
BACKLOG = 1_000
GRACE = 5.0
LONGEST = 0.06
RETRY = 0.05
AWAY = 0.7
# One of so many cuts is longer.
TOO_LONG = 30


async def cuts(soak: Soak) -> Findings:
    """Cut connections and restart the service; readers have to learn what they missed."""
    findings = Findings()
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats, NATSTREAM_BACKLOG_LINES=str(BACKLOG)) as service,
        trio.open_nursery() as nursery,
    ):
        lines = Lines(nats)
        await service.ready()
        nursery.start_soon(lines.flow, RATE)
        await _cut(service, soak.times(CUTS, 60), findings)
        await _restart(service, lines, soak.times(RESTARTS, 3), findings)
        findings.none_of("errors logged", service.complaints)
        nursery.cancel_scope.cancel()
    return findings


async def _cut(service: ServiceProcess, count: int, findings: Findings) -> None:
    """Read for a moment, disconnect at any point and resume; sometimes too late."""
    seen = Seen()
    late = refused = 0
    while seen.connections < count and refused < count:
        try:
            async with EventStream.open(service.port, last_event_id=seen.id) as stream:
                seen.connections += 1
                with trio.move_on_after(random.uniform(0, LONGEST)):
                    while True:
                        for event in await stream.receive():
                            seen.add(event)
                seen.id = stream.id
                if random.random() < 0.5:
                    reset(stream.stream)
        except (OSError, trio.BrokenResourceError, trio.EndOfChannel):
            refused += 1
            await trio.sleep(RETRY)
        if seen.connections % TOO_LONG == 0:
            late += 1
            await trio.sleep(AWAY)
    told = [hole.told["missed"] for hole in seen.holes if hole.told]
    findings.counts("cuts of a resuming reader", count, refused)
    findings.counts(
        f"lines that it got, {len(seen.holes)} holes after {late} late returns",
        f"{seen.lines:,}",
        len(seen.silent),
    )
    findings.none_of("lines doubled", seen.doubled)
    findings.none_of("holes not announced, or with another number", seen.silent)
    findings.equals("gaps without a number", told.count(None), 0)


async def _restart(service: ServiceProcess, lines: Lines, count: int, findings: Findings) -> None:
    """Restart the service, which has to announce a gap because its backlog is lost."""
    seen = Seen()
    statuses: list[int | None] = []
    late: list[str] = []
    slowest = 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, service.port, seen)
        for number in range(count):
            await seen.wait_for("nats", lines.next)
            if number % 2:
                service.kill()
            else:
                status, seconds = await service.stop(signal.SIGTERM)
                statuses.append(status)
                slowest = max(slowest, seconds)
            gaps, holes = seen.gaps, len(seen.holes)
            await service.start()
            await service.ready()
            # A line that is being published now counts as published before.
            ready = lines.next + RATE // 10
            await seen.wait_for("nats", ready)
            late += [str(hole) for hole in seen.holes[holes:] if hole.end > ready]
            if seen.gaps == gaps:
                late.append(f"restart {number}: no gap announced")
        nursery.cancel_scope.cancel()
    findings.counts(f"restarts, {len(statuses)} of them with SIGTERM", count, 0)
    findings.equals("exit statuses", {*statuses}, {0})
    findings.within("the slowest SIGTERM", slowest, GRACE, "s")
    findings.none_of("lines missing after it was ready again", late)
    findings.none_of("lines doubled", seen.doubled)
    findings.none_of("holes that no gap announces", seen.silent)
