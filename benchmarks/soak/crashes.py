"""Random crashes of the supervised tasks, which are restarted and shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import trio
from tests.support.mistreated import MistreatedServer
from tests.support.service_process import ServiceProcess

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Lines, Seen, follow
from benchmarks.soak.posts import GoodSender

__all__ = ["crashes"]

# Seconds between two crashes of the same task, and of the whole fault.
EVERY = 1.5
SECONDS = 30.0
RATE, BATCH = 1_000, 5
TASKS = ("hub", "nats", "drain", "web")
# Seconds until a task is back: a delay of 0.25 s, and its start.
BACK = 2.5
GLANCE = 0.03


async def crashes(soak: Soak) -> Findings:
    """Let tasks crash; each has to come back, and every lost line has to be announced."""
    findings = Findings()
    seconds = soak.seconds(SECONDS, 5.0)
    launcher = ("benchmarks.soak.launcher", "--crash", EVERY, seconds)
    seen, sender = Seen(), GoodSender("sender")
    done = trio.Event()
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats, launcher=launcher) as service,
        trio.open_nursery() as nursery,
    ):
        lines = Lines(nats)
        nursery.start_soon(follow, service.port, seen)
        nursery.start_soon(sender.run, service.drain_port, done, BATCH)
        nursery.start_soon(lines.flow, RATE)
        down: dict[tuple[str, int], tuple[float, float]] = {}
        with trio.move_on_after(seconds):
            await _watch(service, down)
        await service.ready()
        # Lines of both sources arrive again.
        await seen.wait_for("nats", lines.next + RATE)
        await seen.wait_for("sender", sender.accepted + BATCH)
        done.set()
        injected = Counter(_injected(service))
        _, tasks = await service.readiness()
        metrics = await service.metrics()
        for task in TASKS:
            restarts = metrics[f'natstream_task_restarts_total{{task="{task}"}}']
            told = {tasks[task]["restarts"], int(restarts)}
            findings.equals(f"restarts of {task}, on /readyz and /metrics", told, {injected[task]})
        for task in TASKS:
            if task != "web":  # because it would have to show its own crash
                times = sum(name == task for name, _ in down)
                findings.counts(f"times that {task} was seen crashed", times, int(not times))
        longest = max((last - first for first, last in down.values()), default=0.0)
        findings.within("seen crashed for, at most", longest, BACK, "s")
        others = [row for row in service.complaints if "InjectedError" not in row]
        findings.none_of("other errors logged", others)
        nursery.cancel_scope.cancel()
    findings.counts("lines from NATS", f"{lines.next:,}")
    silent = [str(hole) for hole in seen.holes if hole.label == "nats" and not hole.is_told]
    findings.none_of("holes that no gap announces", silent)
    findings.none_of("lines doubled", seen.doubled)
    findings.counts("lines of the sender", f"{sender.accepted:,}")
    findings.none_of("of which missing", sender.misses(seen))
    return findings


async def _watch(service: ServiceProcess, down: dict[tuple[str, int], tuple[float, float]]) -> None:
    """Record from when to when each crash of a task was visible."""
    while True:
        _, tasks = await service.readiness()
        now = trio.current_time()
        for name, task in tasks.items():
            if task["state"] == "crashed":
                crash = name, task["since"]
                down[crash] = down.get(crash, (now, now))[0], now
        await trio.sleep(GLANCE)


def _injected(service: ServiceProcess) -> Iterator[str]:
    for row in service.log.read_text().splitlines():
        if row.startswith('{"crashed"'):
            yield json.loads(row)["crashed"]
