"""A minute of slow senders, floods, bombs and random bytes, beside well-behaved senders."""

from __future__ import annotations

import math
import random
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Container
from functools import cache

import attrs
import trio
from tests.support.service_process import ServiceProcess
from tests.support.waiting import PATIENCE, seconds_until

from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.lines import Seen, follow
from benchmarks.soak.posts import GoodSender, Sender, make_post

__all__ = ["senders"]

SECONDS = 65.0  # beyond the deadline of a body
MB = 2**20
GOOD = 3
SERVED = 5.0
MARGIN = 3.0
# Random bytes that look like headers may wait for a deadline; hoarders wait for ten seconds.
ANSWERED = 10.0 + MARGIN
# The backlog is small, so that memory grows only for the drain.
BACKLOG = 5_000
# MB for six bodies of 16 MiB at once, compressed or not; and MB that may remain after them.
PEAK, GAINED = 100.0, 30.0


async def _slow_headers(sender: Sender) -> int:
    return await sender.exchange(b"POST / HTTP/1.1\r\nX-Slow: ", *[b"x"] * 100, pause=1)


async def _slow_body(sender: Sender) -> int:
    head = make_post(bytes(1_000))[:-1_000]
    return await sender.exchange(head, *[b"x"] * 100, pause=1)


async def _bomb(sender: Sender) -> int:
    """Send a few KB that decompress to 64 MB."""
    return await sender.exchange(make_post(_make_bomb(), "Content-Encoding: deflate"))


@cache
def _make_bomb() -> bytes:
    return zlib.compress(b"[" * 64 * MB)


async def _huge_body(sender: Sender) -> int:
    return await sender.exchange(make_post(b"x" * 17 * MB))


async def _broken_body(sender: Sender) -> int:
    """Send JSON that ends early, a body that is too short, or a million brackets."""
    match random.randrange(3):
        case 0:
            return await sender.exchange(make_post(b'[{"message": "m", "instance": "m1"}, {"mess'))
        case 1:
            return await sender.exchange(make_post(b"x" * 1_000)[:-500], end=True)
        case _:
            return await sender.exchange(make_post(b"[" * 1_000_000))


async def _random_bytes(sender: Sender) -> int:
    return await sender.exchange(random.randbytes(random.randrange(1, 65_536)))


async def _random_body(sender: Sender) -> int:
    encoding = random.choice(("gzip", "deflate", "identity", "br"))
    body = random.randbytes(random.randrange(1, 65_536))
    return await sender.exchange(make_post(body, f"Content-Encoding: {encoding}"))


async def _flood(sender: Sender) -> int:
    return await sender.exchange(make_post(b'{"instance": "m1", "message": "flooding"}'))


async def _hoard(sender: Sender) -> int:
    """Connect and send nothing; there are more of these than the drain allows."""
    with trio.move_on_after(random.uniform(0, 10)):
        return await sender.exchange()
    return 0


@attrs.define
class Attack:
    """An attack by several senders at once, repeated, and the answers to it."""

    what: str
    attack: Callable[[Sender], Awaitable[int]]
    at_once: int
    right: Container[int]
    """Right answers; 0 is a connection that was closed without an answer."""
    deadline: float = 60.0
    """Seconds in which each request has to be answered or its connection closed."""
    answers: Counter[int] = attrs.field(factory=Counter)
    slowest: float = 0.0

    async def run(self, port: int) -> None:
        """Attack until cancelled."""
        while True:
            started, status = trio.current_time(), -1
            with trio.move_on_after(self.deadline + PATIENCE):
                try:
                    async with Sender.open(port) as sender:
                        status = await self.attack(sender)
                except OSError:
                    status = 0
            self.answers[status] += 1
            self.slowest = max(self.slowest, trio.current_time() - started)


def _attacks() -> list[Attack]:
    return [
        Attack("slow headers", _slow_headers, 50, {408, 503}, 10.0),
        Attack("slow bodies", _slow_body, 20, {408, 503}),
        Attack("bombs", _bomb, 3, {413, 503}),
        Attack("huge bodies", _huge_body, 3, {413, 503}),
        Attack("broken bodies", _broken_body, 3, {200, 400, 503}),
        Attack("random bytes", _random_bytes, 3, {400, 408, 503}, 10.0),
        Attack("random bodies", _random_body, 3, {200, 400, 415, 503}),
        Attack("floods", _flood, 100, {200, 503}),
        Attack("hoarded connections", _hoard, 750, {0, 503}),
    ]


async def senders(soak: Soak) -> Findings:
    """Attack the drain; well-behaved senders have to be served."""
    findings = Findings()
    attacks = _attacks()
    good = [GoodSender(f"good-{number}") for number in range(GOOD)]
    seen = Seen()
    async with (
        ServiceProcess.open(NATSTREAM_BACKLOG_LINES=str(BACKLOG)) as service,
        trio.open_nursery() as nursery,
    ):
        await service.ready()
        nursery.start_soon(follow, service.port, seen)
        await seconds_until(lambda: service.has_readers(1))
        done = trio.Event()
        async with trio.open_nursery() as serving:
            for sender in good:
                serving.start_soon(sender.run, service.drain_port, done)
            # A full backlog and grown buffers exist before the attacks, so that they do not count.
            await trio.sleep(soak.seconds(5, 1))
            service.forget_peak()
            memory, descriptors = service.resident, service.descriptors
            async with trio.open_nursery() as attacking:
                for attack in attacks:
                    for _ in range(attack.at_once):
                        attacking.start_soon(attack.run, service.drain_port)
                await trio.sleep(soak.seconds(SECONDS, 5))
                attacking.cancel_scope.cancel()
            peak = service.peak
            done.set()
        for sender in good:
            await seen.wait_for(sender.label, sender.accepted)

        async def are_gone() -> bool:
            return service.descriptors <= descriptors

        gone = await seconds_until(are_gone)
        _judge(attacks, findings)
        findings.counts("lines of good senders", f"{sum(s.accepted for s in good):,}")
        findings.none_of("of which missing", [miss for s in good for miss in s.misses(seen)])
        findings.none_of("of which doubled", seen.doubled)
        findings.none_of("good batches unanswered", [str(b) for s in good for b in s.unanswered])
        findings.none_of("good batches refused for good", [str(w) for s in good for w in s.wrong])
        slowest = max(sender.slowest for sender in good)
        findings.within("the slowest good batch", slowest, SERVED, "s")
        findings.equals("connections left behind", "none" if gone < math.inf else "some", "none")
        findings.within("memory gained, at most", peak - memory, PEAK, "MB")
        findings.within("memory gained, in the end", service.resident - memory, GAINED, "MB")
        findings.none_of("errors logged", service.complaints)
        nursery.cancel_scope.cancel()
    return findings


def _judge(attacks: list[Attack], findings: Findings) -> None:
    slowest = 0.0
    for attack in attacks:
        wrong = {status: n for status, n in attack.answers.items() if status not in attack.right}
        found = ", ".join(f"{n:,} × {status or 'closed'}" for status, n in attack.answers.items())
        findings.counts(attack.what, found or "still at it", wrong or 0)
        if attack.attack in (_slow_headers, _slow_body):
            limit = attack.deadline + MARGIN
            findings.within(f"{attack.what}: the last answer after", attack.slowest, limit, "s")
        else:
            slowest = max(slowest, attack.slowest)
    findings.within("the others: the slowest answer after", slowest, ANSWERED, "s")
