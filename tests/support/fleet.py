"""Several natstream processes over one journal, and numbered lines for them.

`open_fleet()` runs the processes and fails the test if one of them logs an error. `Flow` publishes
lines at a steady rate and remembers which, so that a test can compare them with what readers got.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import trio
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service_process import ServiceProcess

__all__ = ["Flow", "numbered", "numbers_by_machine", "open_fleet", "publish"]

MACHINES = 5


def numbered(first: int, count: int) -> list[str]:
    """Return messages `<machine> <number>`, of several machines in turn."""
    return [f"m{number % MACHINES} {number}" for number in range(first, first + count)]


def numbers_by_machine(messages: Iterable[str]) -> dict[str, list[int]]:
    """Return the numbers of such messages in their order, by machine."""
    numbers: dict[str, list[int]] = {}
    for message in messages:
        machine, number = message.split()
        numbers.setdefault(machine, []).append(int(number))
    return numbers


async def publish(server: MistreatedServer, messages: Sequence[str]) -> None:
    """Publish each message on its machine's subject; return when the server has them all."""
    async with server.publisher() as publisher:
        await publisher.publish(
            (f"logs.web.iad.{message.split()[0]}", payload(message)) for message in messages
        )


@attrs.define
class Flow:
    """Publishes numbered lines at a steady rate."""

    server: MistreatedServer
    rate: int = 1_000
    """Lines a second."""
    published: list[str] = attrs.field(factory=list)

    async def run(self) -> None:
        """Publish until cancelled; `published` is true also then."""
        while True:
            await trio.sleep(0.1)
            with trio.CancelScope(shield=True):
                await self.publish(self.rate // 10)

    async def publish(self, count: int) -> None:
        """Publish so many further lines at once."""
        self.published += (more := numbered(len(self.published), count))
        await publish(self.server, more)


@asynccontextmanager
async def open_fleet(
    journal: Any, *sources: MistreatedServer | None, **environ: str
) -> AsyncIterator[list[ServiceProcess]]:
    """Run one process for each source, a NATS server or None, until the end of the block.

    The block starts when all are ready. The test fails if one of them has logged an error.
    """
    async with AsyncExitStack() as stack:
        fleet = [
            await stack.enter_async_context(
                ServiceProcess.open(source, **journal.environ, **environ)
            )
            for source in sources
        ]
        for service in fleet:
            assert await service.ready() < 30, service.log.read_text()
        yield fleet
        for service in fleet:
            assert service.complaints == []
