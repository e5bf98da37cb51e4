"""A nats-server that is killed, paused and restarted 20 times; credentials that are refused."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

import trio
from tests.support.mistreated import MistreatedServer
from tests.support.service_process import ServiceProcess
from tests.support.waiting import seconds_until

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Lines, Seen, follow
from natstream.nats.states import STEADY

__all__ = ["outage"]

ROUNDS = 20
# Seconds to be up after the server's return, or after the credentials are right again. If the last
# connection was short, the source is up only once the next one has lasted for STEADY; its lines are
# published before.
BACK = 2.5 + STEADY
MENDED = 35.0
# Seconds until refused credentials are tried again in a short run, instead of 30.
SHORT_RETRY = 1.0
# Lines a second all the time; and lines after each return, of which none may be missing.
RATE = 300
SURE = 50
AWAY = 1.0
FLOWING = 0.5
LINES = 'source_lines_total{source="nats"}'
CONNECTS = 'source_connects_total{source="nats"}'

Manner = Callable[[MistreatedServer, ServiceProcess], Awaitable[None]]


async def _kill(nats: MistreatedServer, service: ServiceProcess) -> None:
    await nats.kill()
    await trio.sleep(random.uniform(0, AWAY))
    await nats.start()


async def _restart(nats: MistreatedServer, service: ServiceProcess) -> None:
    await nats.restart()


async def _freeze(nats: MistreatedServer, service: ServiceProcess) -> None:
    """Pause the server until the service notices, which takes two unanswered PINGs."""
    nats.pause()
    await seconds_until(lambda: _is_in(service, "lost"))
    nats.resume()


async def _blink(nats: MistreatedServer, service: ServiceProcess) -> None:
    """Pause the server so briefly that no connection ends and no line is lost."""
    nats.pause()
    await trio.sleep(AWAY)
    nats.resume()


MANNERS = (_kill, _restart, _blink, _kill, _restart)


async def outage(soak: Soak) -> Findings:
    """Mistreat the NATS server and the credentials; the service has to reconnect each time."""
    rounds, credentials = Findings(), Findings()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_mistreat_server, soak, rounds)
        nursery.start_soon(_refuse_credentials, soak, credentials)
    return Findings(rounds.found + credentials.found)


async def _mistreat_server(soak: Soak, findings: Findings) -> None:
    manners = [*islice(cycle(MANNERS), soak.times(ROUNDS, len(MANNERS)))]
    manners += [_freeze] * int(soak.share)
    seen = Seen(next={"flow": 0, "sure": 0})
    back = 0.0
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats) as service,
        trio.open_nursery() as nursery,
    ):
        flow, sure = Lines(nats, "flow"), Lines(nats, "sure")
        await service.ready()
        nursery.start_soon(follow, service.port, seen)
        await seconds_until(lambda: service.has_readers(1))
        async with trio.open_nursery() as publishing:
            publishing.start_soon(flow.flow, RATE)
            await _publish_surely(sure, seen)
            for manner in manners:
                await trio.sleep(random.uniform(0, FLOWING))
                connects = await service.metric(CONNECTS)
                await manner(nats, service)
                if manner is not _blink:
                    back = max(back, await _connects_again(service, connects))
                await _publish_surely(sure, seen)
            publishing.cancel_scope.cancel()

        async def all_have_come() -> bool:
            return seen.lines == await service.metric(LINES)

        await seconds_until(all_have_come)
        came = await service.metric(LINES)
        expected = len(manners) - manners.count(_blink) + 1
        findings.equals("times connected", int(await service.metric(CONNECTS)), expected)
        findings.none_of("errors logged", service.complaints)
        nursery.cancel_scope.cancel()
    findings.within("back after the server's return, at most", back, BACK, "s")
    missing = sure.next - seen.next.get("sure", 0) + seen.missing("sure")
    findings.counts("lines published after it was ready again", sure.next, missing)
    findings.counts("lines that reached the service", f"{came:,.0f}", int(came - seen.lines))
    findings.none_of("lines doubled", seen.doubled)
    findings.none_of("holes that no gap announces", seen.silent)
    findings.counts("gaps announced", seen.gaps, max(0, expected - 1 - seen.gaps))
    findings.equals("connections that the reader needed", seen.connections, 1)


async def _refuse_credentials(soak: Soak, findings: Findings) -> None:
    retry = ("benchmarks.soak.launcher", "--retry-denied", SHORT_RETRY) if soak.share < 1 else ()
    seen = Seen(next={"sure": 0})
    async with MistreatedServer.run() as nats:
        nats.revoke()
        async with (
            ServiceProcess.open(nats, launcher=retry) as service,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(follow, service.port, seen)
            sure = Lines(nats, "sure")
            for what in ("wrong from the start", "revoked"):
                if what == "revoked":
                    nats.revoke()
                denied = await seconds_until(lambda: _is_in(service, "denied"))
                findings.counts(f"credentials {what}: told", 1, int(denied == math.inf))
                nats.allow()
                back = await service.ready(MENDED * 2)
                findings.within(f"credentials {what}: back after the mend", back, MENDED, "s")
                await _publish_surely(sure, seen)
            missing = sure.next - seen.next.get("sure", 0) + seen.missing("sure")
            findings.counts("lines published after each mend", sure.next, missing)
            findings.none_of("credentials: errors logged", service.complaints)
            nursery.cancel_scope.cancel()


async def _publish_surely(sure: Lines, seen: Seen) -> None:
    """Publish lines of which none may be missing, and wait until the reader has them."""
    await sure.publish(SURE)
    await seen.wait_for("sure", sure.next)


async def _is_in(service: ServiceProcess, state: str) -> bool:
    _, sources = await service.readiness()
    return "nats" in sources and sources["nats"]["state"] == state


async def _connects_again(service: ServiceProcess, connects: float) -> float:
    """Wait until the service has connected again. Return the seconds, or infinity."""

    async def has_connected() -> bool:
        return await service.metric(CONNECTS) > connects and await _is_in(service, "up")

    return await seconds_until(has_connected)
