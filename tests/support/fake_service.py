"""A log service that misbehaves on demand: it speaks real HTTP with h11, and follows a script.

`open_fake_service()` answers each request with the next `Answer` of a script, and keeps the
requests. `line()` and `notice()` make what the real service would send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import h11
import trio

from natstream.entries.entry import LogEntry, Notice
from natstream.formats.events import NDJSON

__all__ = ["Answer", "FakeService", "Request", "event_id", "line", "notice", "open_fake_service"]

ENTRY = LogEntry(
    "0e286551c30586", "Listening on :8080", "stdout", app_name="web", region="sjc", level="info"
)


def event_id(number: int) -> str:
    """Return the event id of the entry with this number."""
    return f"1664310877252-abc-{number}"


def line(number: int, message: str | None = None, **changes: Any) -> bytes:
    """Return the entry with this number as the service sends it."""
    changes |= {"message": f"line {number}" if message is None else message}
    entry = attrs.evolve(ENTRY, unix_ns=1_664_310_877_252_000_000, **changes)
    return NDJSON.entry(entry, event_id(number))


def notice(
    message: str = "Connected to log stream", *, resume_id: str = "", **fields: Any
) -> bytes:
    """Return a notice as the service sends it."""
    return NDJSON.notice(Notice(message, **fields), resume_id)


@attrs.frozen
class Answer:
    """The answer to one request: whole lines, and then one of three ends."""

    body: Sequence[bytes] = ()
    end: str = "stay"
    """`stay` until the client disconnects, `end` the response in order, or `cut` the connection."""
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Request:
    """A request that the service has received."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]


@attrs.define
class FakeService:
    """Gives each request the next answer of `script`, and a 503 after the last."""

    script: list[Answer]
    requests: list[Request] = attrs.field(factory=list)
    port: int = 0
    gone: trio.Event = attrs.field(factory=trio.Event)
    """Set when a client has closed a connection that was to `stay`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.SocketStream) -> None:
        """Read one request and answer it."""
        connection = h11.Connection(h11.SERVER)
        try:
            while not isinstance(event := connection.next_event(), h11.Request):
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                else:
                    return
            target = urlsplit(event.target.decode())
            headers = {name.decode(): value.decode() for name, value in event.headers}
            self.requests.append(Request(target.path, parse_qsl(target.query), headers))
            answer = self.script.pop(0) if self.script else Answer(status=503, end="end")
            await self._answer(stream, connection, answer)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            self.gone.set()

    async def _answer(
        self, stream: trio.SocketStream, connection: h11.Connection, answer: Answer
    ) -> None:
        headers = {"Content-Type": "application/x-ndjson", "Connection": "close"} | answer.headers
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        response = h11.Response(status_code=answer.status, headers=encoded)
        await stream.send_all(connection.send(response) or b"")
        for piece in answer.body:
            await stream.send_all(connection.send(h11.Data(data=piece)) or b"")
        if answer.end == "end":
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        elif answer.end == "stay":
            while await stream.receive_some():
                pass
            self.gone.set()


@asynccontextmanager
async def open_fake_service(*script: Answer) -> AsyncIterator[FakeService]:
    """Run a service with this script until the end of the block, for 20 s at the most."""
    service = FakeService([*script])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            service.port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, service.serve, listeners)
            yield service
            nursery.cancel_scope.cancel()
