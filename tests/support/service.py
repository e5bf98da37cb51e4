"""The real service in the test's own process, on free ports, and a client that reads from it.

`open_service()` runs it until the end of a block and waits for its end, so that an exception in the
service fails the test. For a service in a process of its own see `service_process.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import httpx
import trio
from tests.support.event_stream import Event, EventParser
from tests.support.eventsource import Reader
from tests.support.waiting import PATIENCE, until

from natstream.config.environment import read_settings
from natstream.supervisor import Service, run_service


@attrs.define
class Stream:
    """A response of `/api/logs` as server-sent events."""

    response: httpx.Response
    _pieces: AsyncIterator[bytes] = attrs.field(init=False)
    _parser: EventParser = attrs.field(factory=EventParser)
    _events: deque[Event] = attrs.field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self._pieces = self.response.aiter_bytes()

    @property
    def id(self) -> str:
        """The last event id."""
        return self._parser.id

    @property
    def retry(self) -> int:
        """Milliseconds that an EventSource waits before it reconnects."""
        return self._parser.retry

    async def next(self) -> Event:
        """Return the next event. Raise StopAsyncIteration at the end of the response."""
        while not self._events:
            self._events += self._parser.parse(await anext(self._pieces))
        return self._events.popleft()

    async def until(self, message: str) -> list[Event]:
        """Return the events up to and with the first whose message contains this text."""
        got: list[Event] = []
        with trio.fail_after(PATIENCE):
            while not got or message not in got[-1].message:
                got.append(await self.next())
        return got

    async def lines(self, count: int) -> list[Event]:
        """Return the next log lines, without the notices between them."""
        got: list[Event] = []
        with trio.fail_after(PATIENCE):
            while len(got) < count:
                if (event := await self.next()).is_line:
                    got.append(event)
        return got


@attrs.define
class RunningService:
    """A service that runs, and an HTTP client for it."""

    service: Service
    client: httpx.AsyncClient
    stop: trio.Event

    @property
    def url(self) -> str:
        """The base of its addresses."""
        return f"http://{self.service.bind}"

    @property
    def waiting_lines(self) -> int:
        """How many lines are not yet known to be stored in the journal."""
        assert self.service.core.journal is not None
        return self.service.core.journal.statistics().waiting

    def reader(self, query: str = "", id: str = "") -> Reader:
        """Return a reader of this service alone, for `open_readers`."""
        return Reader([self.service.bind.port], query, id)

    @asynccontextmanager
    async def stream(
        self, query: str = "", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """Open `/api/logs`, and read past the notice that it is connected."""
        async with self.client.stream(
            "GET", f"{self.url}/api/logs{query}", headers=dict(headers or {})
        ) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(response)
            with trio.fail_after(PATIENCE):
                assert (await stream.next()).message == "Connected to log stream"
            yield stream

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request and return the response."""
        return await self.client.get(f"{self.url}{path}", **options)

    async def state(self, source: str, state: str) -> None:
        """Wait until the source is in this state."""
        sources = self.service.core.health.sources
        await until(lambda: str(sources[source].state) == state)

    async def readers(self, count: int) -> None:
        """Wait until the hub has exactly `count` readers."""
        hub = self.service.core.hub
        await until(lambda: hub.statistics().readers == count)


async def exchange(service: RunningService, request: str) -> tuple[str, str]:
    """Send a request as it stands, and return the head and the body of its answer."""
    stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
    answer = b""
    async with stream:
        await stream.send_all(request.encode())
        with trio.fail_after(PATIENCE):
            async for part in stream:
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1") + "\r\n", body.decode()


def environ(nats_server: Any = None, **more: str) -> dict[str, str]:
    """Return the settings of a service on free ports, which reads this NATS server if given."""
    base = {"NATSTREAM_BIND": "127.0.0.1:0", "NATSTREAM_DRAIN_BIND": "127.0.0.1:0"}
    if nats_server is None:
        base["NATSTREAM_SOURCES"] = "drain"
    else:
        base |= {
            "NATSTREAM_SOURCES": "nats",
            "NATSTREAM_NATS_URL": nats_server.url,
            "FLY_ORG": nats_server.user,
            "ACCESS_TOKEN": nats_server.password,
        }
    return base | more


@asynccontextmanager
async def open_service(
    nats_server: Any = None, *, until: str = "up", **more: str
) -> AsyncIterator[RunningService]:
    """Run the service in this process until the end of the block, and wait for its end.

    The block starts when the NATS source, if there is one, is in the state `until`.
    """
    stop = trio.Event()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(PATIENCE)
    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            partial(run_service, read_settings(environ(nats_server, **more)), until=stop.wait)
        )
        async with httpx.AsyncClient(limits=limits, timeout=timeout) as client:
            running = RunningService(service, client, stop)
            if nats_server is not None:
                await running.state("nats", until)
            yield running
            stop.set()
