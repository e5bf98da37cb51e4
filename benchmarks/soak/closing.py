"""SIGTERM with 1,000 readers, of which 20 stall, and with unfinished drain requests."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, suppress
from functools import partial

import attrs
import trio
import trio.testing
from tests.support.event_stream import EventStream
from tests.support.loopback import HOST
from tests.support.mistreated import MistreatedServer
from tests.support.service_process import ServiceProcess
from tests.support.waiting import seconds_until

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Lines, Seen
from benchmarks.soak.posts import GoodSender, Sender, make_batch, make_post

__all__ = ["closing"]

READERS = 1_000
STALLED = 20
# Stalled readers request so many lines at once, more than fit into the kernel's buffers.
REPLAY = 20_000
GRACE = 5.0
# Lines a second before the signal, and lines at once that are queued when it comes.
RATE = 50
BURST = 200
STEADY = 2.0
SENDERS = 2
BATCH = 2
# Bodies of which half has arrived at the signal; five of them are completed soon after it.
HALVES = 10
REST_AFTER = 0.2
GROUP = 50
CLOSING = "natstream is closing"


@attrs.define
class _Recorded:
    """A reader that only records, because a thousand share a core; it is parsed later."""

    parts: list[bytes] = attrs.field(factory=list)

    async def run(self, port: int) -> None:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            await stream.send_all(EventStream(stream).ask())
            with suppress(trio.BrokenResourceError):
                async for part in stream:
                    self.parts.append(bytes(part))

    async def read(self, labels: list[str]) -> tuple[Seen, bool]:
        """Return its lines with these labels, and whether the response ended in order."""
        stream = trio.testing.MemoryReceiveStream()
        stream.put_data(b"".join(self.parts))
        stream.put_eof()
        seen, events = Seen(next=dict.fromkeys(labels, 0)), EventStream(stream)
        events.ask()
        try:
            while True:
                for event in await events.receive():
                    seen.add(event)
        except trio.EndOfChannel:
            return seen, True
        except trio.BrokenResourceError:
            return seen, False


@attrs.define
class _Half:
    """A request whose second half comes after the signal, or never."""

    label: str
    goes_on: bool
    status: int = 0

    async def run(self, port: int, signalled: trio.Event) -> None:
        request = make_post(make_batch(self.label, range(BATCH)))
        with suppress(OSError):
            async with Sender.open(port) as sender:
                await sender.send([request[:-50]])
                await signalled.wait()
                await trio.sleep(REST_AFTER)
                self.status = await sender.exchange(request[-50:] if self.goes_on else b"")

    def misses(self, seen: Seen) -> list[str]:
        """Return a complaint if a reader lacks an accepted body, or got a part of another."""
        got = seen.next.get(self.label, 0)
        if got == (BATCH if self.status == 200 else 0) and not seen.missing(self.label):
            return []
        return [f"{got} lines of {self.label}, which was answered {self.status}"]


async def closing(soak: Soak) -> Findings:
    """Send SIGTERM to a busy service, which has to end in order."""
    findings = Findings()
    grace = min(GRACE, soak.seconds(GRACE, 2.0))
    recorded = [_Recorded() for _ in range(soak.times(READERS, 50))]
    stalled = soak.times(STALLED, 5)
    senders = [GoodSender(f"sender-{number}") for number in range(SENDERS)]
    halves = [_Half(f"half-{number}", bool(number % 2)) for number in range(HALVES)]
    signalled, ended = trio.Event(), trio.Event()
    async with (
        MistreatedServer.run() as nats,
        ServiceProcess.open(nats, NATSTREAM_GRACE=f"{grace:g}") as service,
        AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        await service.ready()
        await Lines(nats, "earlier").publish(REPLAY)
        await _join(service, recorded, nursery)
        for _ in range(stalled):
            stack.enter_context(await _stall(service.port))
        await seconds_until(lambda: service.has_readers(len(recorded) + stalled))
        present = await service.metric("readers")
        lines = Lines(nats)
        async with trio.open_nursery() as publishing:
            for sender in senders:
                nursery.start_soon(sender.run, service.drain_port, ended, BATCH)
            publishing.start_soon(lines.flow, RATE)
            await trio.sleep(soak.seconds(STEADY, 1))
            for half in halves:
                nursery.start_soon(half.run, service.drain_port, signalled)
            await seconds_until(lambda: _has_requests(service, HALVES))
            publishing.cancel_scope.cancel()
        await lines.publish(BURST)
        signalled.set()
        status, seconds = await service.stop()
        ended.set()
        findings.equals("readers, stalled ones included", int(present), len(recorded) + stalled)
        findings.equals("exit status", status, 0)
        findings.within("ended after", seconds, grace, "s")
        findings.none_of("errors logged", service.complaints)
    labels = ["nats", *(each.label for each in senders), *(each.label for each in halves)]
    seens = [await reader.read(labels) for reader in recorded]
    last = max(seen.next["nats"] for seen, _ in seens)
    short = [seen for seen, _ in seens if seen.next["nats"] != last or seen.missing("nats")]
    findings.counts(f"readers that got all of {last} lines from NATS", len(seens), len(short))
    untold = [str(seen.notices[-1:]) for seen, _ in seens if seen.notices[-1:] != [CLOSING]]
    findings.none_of("readers that were not told of the end", untold)
    findings.equals("readers whose response was cut", sum(not whole for _, whole in seens), 0)
    findings.none_of("lines doubled", [double for seen, _ in seens for double in seen.doubled])
    answered = [half.status for half in halves if half.goes_on]
    findings.equals("answers to bodies that ended soon after the signal", {*answered}, {200})
    wrong = [miss for seen, _ in seens for sender in senders for miss in sender.misses(seen)]
    wrong += [miss for seen, _ in seens for half in halves for miss in half.misses(seen)]
    findings.none_of("accepted batches not delivered, or others in part", wrong)
    return findings


async def _join(service: ServiceProcess, recorded: list[_Recorded], nursery: trio.Nursery) -> None:
    """Connect the readers in groups, because a thousand at once are a different fault."""
    for first in range(0, len(recorded), GROUP):
        group = recorded[first : first + GROUP]
        for reader in group:
            nursery.start_soon(reader.run, service.port)
        await seconds_until(partial(service.has_readers, first + len(group)))


async def _stall(port: int) -> trio.socket.SocketType:
    """Connect a reader that requests many lines and reads nothing."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect((HOST, port))
    await sock.send(f"GET /api/logs?tail={REPLAY} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    return sock


async def _has_requests(service: ServiceProcess, count: int) -> bool:
    return await service.metric("drain_requests") >= count
