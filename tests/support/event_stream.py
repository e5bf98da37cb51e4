"""Reading server-sent events as a browser's EventSource does.

`EventParser` is the pure part: it takes the bytes of a response's body, cut anywhere, and gives
events. `EventStream` is one response over a bare connection, so that a test can cut it anywhere;
`Stream` in `service.py` is one response of an HTTP client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import msgspec
import trio
from tests.support.loopback import HOST

__all__ = ["Event", "EventParser", "EventStream"]

_decode = msgspec.json.Decoder().decode


@attrs.frozen
class Event:
    """One event of a stream."""

    data: dict[str, Any]
    id: str
    """The event id that is in force after it."""

    @property
    def message(self) -> str:
        return str(self.data["message"])

    @property
    def is_line(self) -> bool:
        """Whether it is a log line; a notice otherwise."""
        return "app" in self.data


@attrs.define
class EventParser:
    """Turns the bytes of a stream into events."""

    id: str = ""
    """The last event id, with which an EventSource resumes."""
    retry: int = 0
    """Milliseconds that an EventSource waits before it reconnects."""
    _rest: bytes = b""

    def parse(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete; a comment completes none."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        events = []
        for block in blocks:
            message = b""
            for row in block.split(b"\n"):
                field, _, value = row.partition(b": ")
                match field:
                    case b"data":
                        message = value
                    case b"id":
                        self.id = value.decode()
                    case b"retry":
                        self.retry = int(value)
            if message:
                events.append(Event(_decode(message), self.id))
        return events


class EventStream:
    """One response of `/api/logs` over a connection of its own."""

    def __init__(self, stream: trio.abc.ReceiveStream, last_event_id: str = "") -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._parser = EventParser(last_event_id)

    @property
    def id(self) -> str:
        """The last event id."""
        return self._parser.id

    def ask(self, query: str = "") -> bytes:
        """Return the request that resumes after the last event id, if there is one."""
        headers = [("Host", HOST), ("Accept", "text/event-stream")]
        if self.id:
            headers.append(("Last-Event-ID", self.id))
        request = h11.Request(method="GET", target=f"/api/logs{query}", headers=headers)
        return (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    @classmethod
    @asynccontextmanager
    async def open(
        cls, port: int, query: str = "", last_event_id: str = ""
    ) -> AsyncIterator[EventStream]:
        """Connect and send the request.

        Raises:
            OSError: the connection is refused.
        """
        async with await trio.open_tcp_stream(HOST, port) as stream:
            events = cls(stream, last_event_id)
            await stream.send_all(events.ask(query))
            yield events

    async def receive(self) -> list[Event]:
        """Wait for the next events and return those that came together.

        Raises:
            trio.EndOfChannel: the response has ended in order.
            trio.BrokenResourceError: the response was cut, or its status is not 200.
        """
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise trio.BrokenResourceError(str(error)) from error
            match event:
                case h11.NEED_DATA:
                    self._http.receive_data(bytes(await self.stream.receive_some()))
                case h11.Response(status_code=status) if status != 200:
                    raise trio.BrokenResourceError(f"status {status}")
                case h11.Data(data=data):
                    if events := self._parser.parse(bytes(data)):
                        return events
                case h11.EndOfMessage():
                    raise trio.EndOfChannel
                case h11.ConnectionClosed():
                    raise trio.BrokenResourceError("closed before an answer")
