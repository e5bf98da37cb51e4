"""The stream endpoint's response body: one reader, from its subscription at the hub to bytes.

It subscribes when the response starts, and leaves when the response ends for any reason: Quart runs
`__aexit__` on a disconnect, on closing, on a timeout and on an exception. A generator's own
`finally` would not run in time.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack

import trio
from quart.wrappers.response import ResponseBody

from natstream.entries.entry import Gap, Notice
from natstream.errors import ExpressionTooSlow, JournalClosed, TooManyReaders
from natstream.formats.events import gap_notice
from natstream.hub.batch import PIECE_BYTES, Selection
from natstream.hub.budget import ReaderBudget
from natstream.hub.hub import Hub
from natstream.hub.subscription import Deliver, Subscription
from natstream.hub.window import FoundLine
from natstream.server.connection import PieceSender
from natstream.web.metrics import Counters
from natstream.web.query import StreamRequest

__all__ = ["LogStreamBody"]

# Seconds that reading without waiting may take, since a filter that rejects every line would
# otherwise go through the whole backlog at once.
READY_SECONDS = 0.005

# Pieces that the hub's task sends to a reader at once. More would delay the other readers, so the
# reader's own task sends them, and other tasks have turns between them.
MOST_PIECES = 2

# Each reader gets a random value between these, so that a thousand do not come back at once.
RETRY_MS = (1_000, 3_000)


class LogStreamBody(ResponseBody):
    """Streams what `request` asks for, until its end or the client's disconnect.

    Args:
        hub: where the entries come from. It wakes the stream when a keep-alive is due.
        request: the reader's filter, start and format.
        line: the line around which the reader looks, if the request has one.
        until: the time on trio's clock at which the reader's right to read ends, and the stream.
        standing_notices: called once at the start; returns a notice for each source that is down.
        counters: where sent lines and bytes are counted.
        quota: reserves one of the readers that a link or an address may have, while it streams.
        budget: the CPU time of the filter.
        find_sender: returns what sends the body's pieces without waiting, once the headers are
            sent, or `None` if there is nothing like it.
    """

    def __init__(
        self,
        hub: Hub,
        request: StreamRequest,
        *,
        line: FoundLine | None = None,
        until: float,
        standing_notices: Callable[[], Iterable[Notice]],
        counters: Counters,
        quota: AbstractContextManager[None],
        budget: ReaderBudget,
        find_sender: Callable[[], PieceSender | None],
    ) -> None:
        self._hub = hub
        self._request = request
        self._line = line
        self._until = until
        self._standing_notices = standing_notices
        self._counters = counters
        self._quota = quota
        self._budget = budget
        self._find_sender = find_sender
        self._stack = ExitStack()
        self._events: AsyncGenerator[bytes] | None = None

    async def __aenter__(self) -> AsyncGenerator[bytes]:
        request = self._request
        subscribing = self._hub.subscribe(
            request.filter,
            tail=request.tail,
            since=request.since,
            last_event_id=request.last_event_id,
            follow=request.follow,
            until=request.until,
            around=self._line,
            before=request.before,
            after=request.after,
            budget=self._budget,
        )
        try:
            self._stack.enter_context(self._quota)
            subscription = self._stack.enter_context(subscribing)
            subscription.wake_at = self._until
        except TooManyReaders as error:
            # Another reader came after the handler had checked and the headers were sent.
            self._events = self._refusal(str(error))
        else:
            self._events = self._stream(subscription)
        return self._events

    async def __aexit__(self, *exc: object) -> None:
        if self._events is not None:
            await self._events.aclose()
        self._stack.close()

    async def _refusal(self, message: str) -> AsyncGenerator[bytes]:
        yield self._request.format.opening(Notice(message, "error"), random.randint(*RETRY_MS))

    async def _stream(self, subscription: Subscription) -> AsyncGenerator[bytes]:
        format = self._request.format
        yield self._opening(subscription)
        told = subscription.resume_id
        sender = self._find_sender()
        deliver = None if sender is None else self._deliver_to(sender, subscription)
        while True:
            try:
                item = await subscription.step(deliver)
            except trio.EndOfChannel:
                return
            except (ExpressionTooSlow, JournalClosed) as error:
                yield format.notice(Notice(str(error), "error"))
                return
            if trio.current_time() >= self._until:
                yield format.notice(Notice("The right to read this stream has expired", "error"))
                return
            if item is None and sender is not None and not sender.is_flushed:
                await sender.flush()
                continue
            if item is None:
                resume_id = subscription.resume_id
                yield format.keep_alive(resume_id if resume_id != told else "")
                told = resume_id
                continue
            pieces = [*self._frames(item, subscription)]
            pieces += self._ready(subscription, sum(map(len, pieces)))
            if len(pieces) > 1 and sum(map(len, pieces)) <= PIECE_BYTES:
                pieces = [b"".join(pieces)]
            for piece in pieces:
                yield piece

    def _deliver_to(self, sender: PieceSender, subscription: Subscription) -> Deliver:
        """Return a function that sends a selection at once, in the hub's task; see `step`."""
        format = self._request.format

        def deliver(selection: Selection) -> bool:
            pieces = selection.pieces(format)
            if len(pieces) > MOST_PIECES:
                return False
            self._count(selection.lines, pieces)
            for piece in pieces:
                sender.send_piece_nowait(piece)
            if not sender.is_flushed:
                # The client's buffers are full. The reader's task waits until the client accepts
                # the rest, and meanwhile nothing is delivered.
                subscription.wake()
            return True

        return deliver

    def _opening(self, subscription: Subscription) -> bytes:
        """Return the connection notice, with the gap of a resume and the state of the sources."""
        request, format = self._request, self._request.format
        opening = format.opening(
            Notice("Connected to log stream"),
            random.randint(*RETRY_MS),
            # With this id, a reader that is cut before its first line resumes without a hole.
            subscription.resume_id if request.is_live_only else "",
        )
        first = self._ready(subscription) if request.last_event_id else []
        notices = self._standing_notices()
        if request.filter.scoped:
            notices = [notice.reduced() for notice in notices]
        return b"".join([opening, *first, *map(format.notice, notices)])

    def _ready(self, subscription: Subscription, size: int = 0) -> list[bytes]:
        """Return the pieces that need no waiting; with `size` bytes, they are about one piece."""
        pieces: list[bytes] = []
        ends = time.monotonic() + READY_SECONDS
        while size < PIECE_BYTES and not subscription.is_current and time.monotonic() < ends:
            if subscription.is_used_up:
                break
            try:
                item = subscription.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, JournalClosed):
                break  # The next `step` raises the last two again.
            frames = self._frames(item, subscription)
            pieces += frames
            size += sum(map(len, frames))
        return pieces

    def _frames(self, item: Selection | Gap, subscription: Subscription) -> Iterable[bytes]:
        format = self._request.format
        if isinstance(item, Gap):
            return [format.notice(gap_notice(item), subscription.resume_id)]
        pieces = item.pieces(format)
        self._count(item.lines, pieces)
        return pieces

    def _count(self, lines: int, pieces: Sequence[bytes]) -> None:
        self._counters.sent_lines += lines
        self._counters.sent_bytes += sum(map(len, pieces))
