"""The stream endpoint's response body: one reader, from its place at the hub to bytes.

It subscribes when the response starts and leaves when it ends, however it ends: Quart runs
`__aexit__` on a disconnect, on closing, on a timeout and on an exception, which a generator's
own `finally` does not get in time.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractContextManager, ExitStack

import trio
from quart.wrappers.response import ResponseBody

from natstream.entries.entry import Gap, Notice
from natstream.errors import ExpressionTooSlow, TooManyReaders
from natstream.formats.events import gap_notice
from natstream.hub.backlog import PIECE_BYTES, Selection
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription
from natstream.web.metrics import Counters
from natstream.web.query import StreamRequest

__all__ = ["LogStreamBody"]

# Drawn anew for each reader, so that a thousand do not come back in one instant.
RETRY_MS = (1_000, 3_000)


class LogStreamBody(ResponseBody):
    """Streams what `request` asks for, until its end or the client's.

    Args:
        hub: where the entries come from.
        request: what the reader wants to see.
        keepalive: seconds without data after which the stream says that it is alive.
        until: when the reader's right to read ends, and the stream with it; in trio's time.
        standing_notices: what a new reader must know of the sources, asked once at the start.
        counters: where to count what is sent.
        place: what holds the reader's place for as long as it streams.
    """

    def __init__(
        self,
        hub: Hub,
        request: StreamRequest,
        *,
        keepalive: float,
        until: float,
        standing_notices: Callable[[], Iterable[Notice]],
        counters: Counters,
        place: AbstractContextManager[None],
    ) -> None:
        self._hub = hub
        self._request = request
        self._keepalive = keepalive
        self._until = until
        self._standing_notices = standing_notices
        self._counters = counters
        self._place = place
        self._places = ExitStack()
        self._events: AsyncGenerator[bytes] | None = None

    async def __aenter__(self) -> AsyncGenerator[bytes]:
        request = self._request
        place_at_hub = self._hub.subscribe(
            request.filter,
            tail=request.tail,
            since=request.since,
            last_event_id=request.last_event_id,
            follow=request.follow,
        )
        try:
            self._places.enter_context(self._place)
            subscription = self._places.enter_context(place_at_hub)
        except TooManyReaders as error:
            # The last place was taken after the handler had looked and the headers had gone.
            self._events = self._refusal(str(error))
        else:
            self._events = self._stream(subscription)
        return self._events

    async def __aexit__(self, *exc: object) -> None:
        if self._events is not None:
            await self._events.aclose()
        self._places.close()

    async def _refusal(self, message: str) -> AsyncGenerator[bytes]:
        yield self._request.format.opening(Notice(message, "error"), random.randint(*RETRY_MS))

    async def _stream(self, subscription: Subscription) -> AsyncGenerator[bytes]:
        format = self._request.format
        opening = format.opening(
            Notice("Connected to log stream"),
            random.randint(*RETRY_MS),
            # So that a reader which is cut before its first line resumes without a hole.
            subscription.place if self._request.is_live_only else "",
        )
        told = subscription.place
        first = self._ready(subscription) if self._request.last_event_id else []
        notices = self._standing_notices()
        if self._request.filter.scoped:
            notices = [notice.reduced() for notice in notices]
        standing = [format.notice(notice) for notice in notices]
        yield b"".join([opening, *first, *standing])
        while True:
            now = trio.current_time()
            if now >= self._until:
                yield format.notice(Notice("The right to read this stream has expired", "error"))
                return
            try:
                with trio.move_on_at(min(now + self._keepalive, self._until)) as patience:
                    item = await subscription.receive()
            except trio.EndOfChannel:
                return
            except ExpressionTooSlow as error:
                yield format.notice(Notice(str(error), "error"))
                return
            if patience.cancelled_caught:
                place = subscription.place
                yield format.keep_alive(place if place != told else "")
                told = place
                continue
            pieces = [*self._frames(item, subscription)]
            pieces += self._ready(subscription, sum(map(len, pieces)))
            if len(pieces) > 1 and sum(map(len, pieces)) <= PIECE_BYTES:
                pieces = [b"".join(pieces)]
            for piece in pieces:
                yield piece

    def _ready(self, subscription: Subscription, size: int = 0) -> list[bytes]:
        """What the reader can be given without waiting, up to about one piece with `size`."""
        pieces: list[bytes] = []
        while size < PIECE_BYTES and not subscription.is_current:
            try:
                item = subscription.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, ExpressionTooSlow):
                break  # the last two come again
            frames = self._frames(item, subscription)
            pieces += frames
            size += sum(map(len, frames))
        return pieces

    def _frames(self, item: Selection | Gap, subscription: Subscription) -> Iterable[bytes]:
        format = self._request.format
        if isinstance(item, Gap):
            return [format.notice(gap_notice(item), subscription.place)]
        pieces = item.pieces(format)
        self._counters.sent_lines += item.lines
        self._counters.sent_bytes += sum(map(len, pieces))
        return pieces
