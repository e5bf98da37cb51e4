"""hypercorn's HTTP/2, mended: one stream does not spoil a connection for the others.

It may carry the streams of many clients: a proxy speaks HTTP/2 to us over few connections. So
what a stream is owed and does not accept is bounded, in bytes and in time, and a request that
hypercorn cannot cope with costs that stream alone. Written against hypercorn 0.18.0.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
import trio
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PriorityUpdated, RequestReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_LOW_WATER, H2Protocol, StreamBuffer
from hypercorn.trio.worker_context import EventWrapper

from natstream.server.request_checks import Refused, check_head

__all__ = ["BARE", "H2", "Acceptance"]

# The headers of an answer that hypercorn gives because the application has given none.
BARE = [(b"content-length", b"0"), (b"connection", b"close")]


@attrs.define
class Acceptance:
    """Since when a client has accepted nothing of what it is owed."""

    accepted: int = 0
    since: float = math.inf

    def stalled(self, accepted: int, owed: int) -> float:
        """For how many seconds; asked every now and then with the bytes accepted in all."""
        now = trio.current_time()
        if not owed or accepted != self.accepted:
            self.accepted, self.since = accepted, now
        return now - self.since


class H2(H2Protocol):
    """One connection; `take_turns` is awaited after each piece of a response, with its size."""

    stream_buffers: dict[int, _StreamBuffer]  # type: ignore[assignment]  # ours are put into it

    def __init__(self, take_turns: Callable[[int], Awaitable[None]], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._take_turns = take_turns
        # As hypercorn has them, but for the offer of WebSockets.
        self.connection.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self.config.h2_max_concurrent_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.config.h2_max_header_list_size,
            },
        )
        # More is unpacked than is taken: what is too much for this ends all of the connection.
        decoder = self.connection.decoder
        decoder.max_header_list_size = max(65_536, 2 * self.config.h2_max_header_list_size)

    def forget(self) -> None:
        vars(self.connection).clear()  # it holds a table of its own methods
        vars(self).clear()

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and event.headers == BARE:
            stream = self.streams.get(event.stream_id)
            is_head = stream is not None and stream.scope.get("method") == "HEAD"
            refused = Refused(event.status_code, bodiless=is_head)
            await super().stream_send(Response(event.stream_id, refused.headers, event.status_code))
            event = Body(event.stream_id, refused.body)
        await super().stream_send(event)
        if isinstance(event, Body):
            await self._take_turns(len(event.data))

    async def _create_stream(self, request: RequestReceived) -> None:
        await super()._create_stream(request)
        # The application has been started, but had no chance to run: nothing is in there yet.
        self.stream_buffers[request.stream_id] = _StreamBuffer(EventWrapper)

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Nothing: HTTP/2 gave up priorities, and a thousand of them end hypercorn's connection."""

    async def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            try:
                if not (isinstance(event, RequestReceived) and self._refuses(event)):
                    await super()._handle_events([event])
            except (KeyError, ValueError):
                # hypercorn 0.18.0 gives up the connection over a method that is not ASCII
                # (UnicodeDecodeError) and over a body that goes on after its answer (KeyError).
                if isinstance(event, RequestReceived):
                    self.streams.pop(event.stream_id, None)
                    self.stream_buffers.pop(event.stream_id, None)
                    with suppress(KeyError):
                        self.priority.remove_stream(event.stream_id)
                elif isinstance(event, DataReceived):
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                else:
                    raise
                await self.cut(event.stream_id, ErrorCodes.NO_ERROR)
        await self._flush()  # some frames are answered without being an event

    def _refuses(self, request: RequestReceived) -> bool:
        """Whether a request goes no further; it has been answered then, without buffer or task.

        Of the answer, what does not fit into the client's window is not sent.
        """
        pseudo = {name: value for name, value in request.headers if name.startswith(b":")}
        try:
            check_head(
                pseudo.get(b":method", b""),
                pseudo.get(b":path", b""),
                [header for header in request.headers if header[0] not in pseudo],
                limit=self.config.h2_max_header_list_size,
                overhead=32,  # as HTTP/2 counts them
            )
        except Refused as refused:
            status = (b":status", b"%d" % refused.status)
            ended = False
            with suppress(ProtocolError):
                self.connection.send_headers(request.stream_id, [status, *refused.headers])
                self.connection.send_data(request.stream_id, refused.body, end_stream=True)
                ended = request.stream_ended is not None
            if not ended:
                with suppress(ProtocolError):
                    self.connection.reset_stream(request.stream_id, ErrorCodes.NO_ERROR)
            return True
        return False

    def stalled(self, stall: float) -> list[int]:
        """The streams whose client has taken nothing of what waits for it for `stall` seconds."""
        return [
            stream_id
            for stream_id, buffer in self.stream_buffers.items()
            if buffer.acceptance.stalled(buffer.popped, len(buffer.buffer)) >= stall
        ]

    async def cut(self, stream_id: int, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Reset one stream, and end its response as if its client had reset it."""
        with suppress(ProtocolError):
            self.connection.reset_stream(stream_id, code)
        await self._flush()
        if buffer := self.stream_buffers.get(stream_id):
            await buffer.close()
        await self._close_stream(stream_id)
        await self._window_updated(stream_id)  # has the sending task find that it has ended


class _StreamBuffer(StreamBuffer):
    """hypercorn's buffer of a stream, whose `push` waits where it is meant to.

    hypercorn 0.18.0 wakes it when a small piece leaves, were it an empty one, not when little
    is left: a client that opens no window has the whole response buffered.
    """

    def __init__(self, event_class: type[EventWrapper]) -> None:
        super().__init__(event_class)
        self.popped = 0
        self.acceptance = Acceptance()

    async def push(self, data: bytes) -> None:
        await self._paused.clear()
        await super().push(data)

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        self.popped += len(data)
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data
