"""Five readers with the slowest expressions stay connected, beside 100 others at 1,000 lines/s."""

from __future__ import annotations

import json
import math
import random
from contextlib import suppress
from urllib.parse import quote

import attrs
import trio
from tests.support.loopback import HOST
from tests.support.mistreated import PUBLISHER, MistreatedServer
from tests.support.service_process import ServiceProcess

from benchmarks.loads import Load, apply, open_readers
from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.posts import Sender, make_post

__all__ = ["hostile"]

READERS = 100
HOSTILE = 5
RATE = 1_000
SECONDS = 20.0
# The longest answer of /healthz, and a pause between two of them.
HEALTH, PAUSE = 0.25, 0.1
MEMORY = 100.0
# The p99 of other readers may be so many times that without hostile readers, plus so many ms.
TIMES, MORE = 2.0, 20.0
# Random text each second, beside the lines that the others get: repetitive lines need few states.
NOISE, NOISE_LENGTH, LETTERS = 100, 300, "aaaabbbbeit z19"
# Hostile readers also search the backlog again and again; it is full before the first figure.
BACKLOG = 2_000
PATH = "/api/logs"
# The others get only the lines that are counted.
COUNTED = f"{PATH}?source=nats"
# The slowest expressions for the letters of the lines, by measurements of RE2: a state for each of
# many positions that may be the first, so that each byte makes a new state. One filter has as many
# of them as it may.
EXPRESSIONS = [
    [("not", f"/[abeit ]*e[abeit ]{{{n}}}[0-9]q/") for n in range(30, 38)],
    [("not", "/[ab]*a[ab]{900}x/")],
    [("not", f"/e.{{{n}}}zq/") for n in range(3, 15)],
    [("not", f"/(.*e.*t){{{n}}}#/") for n in range(3, 12)],
    [("not", "é" * 400 + str(n)) for n in range(5)],
]


@attrs.define
class _Hostile:
    """A reader that asks again when its stream ends."""

    number: int
    ended: int = 0

    async def run(self, port: int) -> None:
        pairs = EXPRESSIONS[self.number % len(EXPRESSIONS)]
        query = "&".join(f"{name}={quote(text)}" for name, text in pairs)
        request = f"GET {PATH}?tail=1000&{query} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(HOST, port) as stream:
                    await stream.send_all(request.encode())
                    async for _ in stream:
                        pass
            self.ended += 1
            await trio.sleep(PAUSE)


async def _make_noise(port: int) -> None:
    """Post random text to the drain until cancelled."""
    draw = random.Random(1)
    async with Sender.open(port) as sender:
        while True:
            texts = ("".join(draw.choices(LETTERS, k=NOISE_LENGTH)) for _ in range(NOISE // 5))
            lines = [{"machine_id": "noise", "message": text} for text in texts]
            await sender.exchange(make_post(json.dumps(lines).encode()))
            await trio.sleep(0.2)


async def hostile(soak: Soak) -> Findings:
    """Let readers use slow expressions; the service and the other readers may not notice."""
    findings = Findings()
    readers, slow = soak.times(READERS, 10), [_Hostile(number) for number in range(HOSTILE)]
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats, NATSTREAM_BACKLOG_LINES=str(BACKLOG)) as service,
    ):
        target = f"nats://{PUBLISHER['user']}:{PUBLISHER['password']}@{HOST}:{nats.port}"
        await service.ready()
        load = Load(readers, RATE, soak.seconds(SECONDS, 2))
        async with open_readers(service.server, COUNTED, readers) as others:
            before = await apply(load, service.server, others, target)
        await service.readers(0)
        memory = service.resident
        service.forget_peak()
        answers: list[float] = []
        async with (
            open_readers(service.server, COUNTED, readers) as others,
            trio.open_nursery() as nursery,
        ):

            async def ask() -> None:
                while True:
                    started = trio.current_time()
                    status, _ = await service.get("/healthz")
                    answers.append(trio.current_time() - started if status == 200 else math.inf)
                    await trio.sleep(PAUSE)

            for reader in slow:
                nursery.start_soon(reader.run, service.port)
            await service.readers(readers + HOSTILE)
            nursery.start_soon(ask)
            nursery.start_soon(_make_noise, service.drain_port)
            during = await apply(load, service.server, others, target)
            peak = service.peak
            present = await service.metric("readers")
            noise = await service.metric('source_lines_total{source="drain"}')
            nursery.cancel_scope.cancel()
        findings.equals("readers, hostile ones included", int(present), readers + HOSTILE)
        findings.counts("lines of random text", int(noise), int(not noise))
        missing = during.expected - during.delivered
        findings.counts("lines to the others", f"{during.expected:,}", missing)
        findings.equals("lines doubled or out of order", during.disorder, 0)
        findings.counts("answers of /healthz", len(answers), answers.count(math.inf))
        findings.within("the slowest answer of /healthz", max(answers) * 1000, HEALTH * 1000, "ms")
        was, limit = before.p99 * 1000, TIMES * before.p99 * 1000 + MORE
        what = f"p99 of the others ({was:,.3g} ms before)"
        findings.within(what, during.p99 * 1000, limit, "ms")
        findings.within("memory gained, at most", peak - memory, MEMORY, "MB")
        findings.none_of("errors logged", service.complaints)
    return findings
