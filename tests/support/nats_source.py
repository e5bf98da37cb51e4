"""A NATS source, run as the service runs it, whose entries and notices are kept."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import attrs
import trio
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import SUBJECT, payload
from tests.support.waiting import PATIENCE, until

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.hub.health import SourceState, SourceStatus
from natstream.nats.connection import Login
from natstream.nats.source import NatsSource
from natstream.supervisor import keep_running

__all__ = ["SECRET", "Recorder", "flows", "is_in", "is_up", "kept_running", "make_source"]

SECRET = "FlyV1-a-very-secret-token"


@attrs.define
class Recorder:
    """A sink that keeps the entries and the notices of the source."""

    entries: list[LogEntry] = attrs.field(factory=list)
    notices: list[Notice] = attrs.field(factory=list)

    async def publish(self, entries: Sequence[LogEntry]) -> None:
        self.entries += entries
        await trio.lowlevel.checkpoint()

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        self.notices.append(Notice(message, type, gap=gap))

    @property
    def messages(self) -> list[str]:
        return [entry.message for entry in self.entries]

    @property
    def errors(self) -> list[str]:
        return [notice.message for notice in self.notices if notice.type == "error"]

    @property
    def gaps(self) -> list[Gap]:
        return [notice.gap for notice in self.notices if notice.gap]


def make_source(
    server: MistreatedServer | str,
    subjects: Sequence[str] = ("logs.>",),
    *,
    hub: Recorder | None = None,
    password: str | None = None,
    ping_interval: float = 5.0,
    quiet_until: float = math.inf,
) -> tuple[NatsSource, Recorder]:
    """Return a source and its sink. By default it pauses before each read as long as it may."""
    hub = hub or Recorder()
    url = server if isinstance(server, str) else server.url
    known = SECRET if isinstance(server, str) else server.password
    source = NatsSource(
        Login([url], "acme", known if password is None else password),
        subjects=subjects,
        sink=hub,
        status=SourceStatus("nats", hub.announce),
        ping_interval=ping_interval,
        quiet_until=lambda: quiet_until,
    )
    return source, hub


@asynccontextmanager
async def kept_running(source: NatsSource) -> AsyncIterator[None]:
    """Run the source as the service runs it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, source.run, source.status)
        yield
        nursery.cancel_scope.cancel()


async def is_up(source: NatsSource, within: float = PATIENCE) -> None:
    await until(lambda: source.status.state is SourceState.UP, within)


async def is_in(source: NatsSource, state: SourceState) -> None:
    await until(lambda: source.status.state is state)


async def flows(server: MistreatedServer, hub: Recorder, *messages: str) -> None:
    """Publish lines, and wait until they have arrived."""
    await server.publish(SUBJECT, [payload(message) for message in messages])
    await until(lambda: hub.messages[-len(messages) :] == list(messages))
