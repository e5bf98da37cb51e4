"""The lines of an app from before a time, on demand, by Fly's logs interface.

In: an app, a time and a filter. Out: the last lines before that time, in order. The interface can
only be read forwards, so spans of time are read whole, the latest first, each as long as the lines
of the one before suggest. One answer makes at most 60 requests, and one is made at a time, because
the pace is shared with the filling of holes and with the names of machines.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from natstream.config.setting_types import APP_NAME
from natstream.entries.continuation import Continuations
from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.errors import BadQuery, SourceUnavailable
from natstream.fly_api.client import ATTEMPTS, Budget, FlyApiError, FlyClient
from natstream.fly_api.logs import LogReader
from natstream.hub.hub import Label

__all__ = ["Earlier", "EarlierLines"]

MAX_REQUESTS = 60
# Bytes of memory that the lines of one answer may take, and seconds that it may take.
MAX_BYTES = 16 * 2**20
DEADLINE = 30.0
# Fly keeps about seven days.
REACH_NS = 7 * 86_400 * 10**9
# The first span of time, and the lines for which the next one is meant: four pages.
FIRST_SPAN_NS = 60 * 10**9
AIM_LINES = 400
# A span that seems to have more lines than this is made shorter before it is read.
MAX_SPAN_LINES = 1_200

_MS = 1_000_000


@attrs.frozen
class EarlierLines:
    """Lines from before a time."""

    entries: Sequence[LogEntry]
    from_ms: int
    """Unix ms from which on no line is missing among them."""
    is_complete: bool
    """Whether Fly has nothing earlier."""


@attrs.define(eq=False)
class Earlier:
    """Reads earlier lines, one answer after the other."""

    base: str
    """The address of the interface."""
    apps: Sequence[str]
    """The apps that are read; empty for every app of the organisation."""
    list_apps: Callable[[FlyClient], Awaitable[Sequence[str]]]
    client: FlyClient | None = None
    """Asks the interface; None while it cannot be asked."""
    _turn: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def read(
        self, app: str, before_ms: int, lines: int, filter: Filter, label: Label
    ) -> EarlierLines:
        """Return the last `lines` lines of an app with an earlier time (Unix ms) that match.

        There are fewer if the budget of requests, memory or time is spent, or if Fly has no more.
        There may be a few more, because lines of one millisecond stay together. Another question
        with `before_ms=from_ms` goes on. `label` is that of the hub.

        Raises:
            BadQuery: the app is not one that is read.
            SourceUnavailable: the interface does not answer.
        """
        client = self.client
        if client is None:
            raise SourceUnavailable("Fly's logs interface cannot be asked at present")
        async with self._turn:
            try:
                known = self.apps or await self.list_apps(client)
                if app not in known or not APP_NAME.fullmatch(app):
                    raise BadQuery("app is not one that this service reads", parameter="app")
                reading = _Reading(client, self.base, app, before_ms * _MS, lines, filter, label)
                with trio.move_on_after(DEADLINE):
                    await reading.run()
            except FlyApiError as error:
                raise SourceUnavailable(f"Earlier lines of {app} are not there: {error}") from error
        return reading.answer()


@attrs.define(eq=False)
class _Reading:
    """What one answer has read so far: all matching lines from `end_ns` on."""

    client: FlyClient
    base: str
    app: str
    end_ns: int
    lines: int
    filter: Filter
    label: Label
    budget: Budget = attrs.field(factory=lambda: Budget(MAX_REQUESTS - ATTEMPTS))
    """What listing the apps may have left."""
    found: deque[LogEntry] = attrs.field(factory=deque)
    size: int = 0
    oldest_ns: int = attrs.field(factory=lambda: time.time_ns() // _MS * _MS - REACH_NS)

    async def run(self) -> None:
        """Read backwards, a span at a time, until there are enough lines or a budget is spent."""
        span_ns = FIRST_SPAN_NS
        while len(self.found) < self.lines and self.end_ns > self.oldest_ns:
            start_ns = max(self.oldest_ns, self.end_ns - span_ns)
            try:
                span_ns = await self._read_span(start_ns)
            except FlyApiError:
                if not self.found and self.budget.left > 0:
                    raise
                return
            if not span_ns:
                return

    async def _read_span(self, start_ns: int) -> int:
        """Read the lines between `start_ns` and `end_ns`, or none of them if they are too many.

        Returns:
            The length in ns of the span to read next; 0 if a budget is spent.
        """
        length = self.end_ns - start_ns
        reader = LogReader(self.client, self.base, self.app, start_ns, budget=self.budget)
        entries: list[LogEntry] = []
        size = self.size
        while self.budget.left > 0 and size < MAX_BYTES:
            page = await reader.next_page()
            inside = [entry for entry in page if start_ns <= entry.unix_ns < self.end_ns]
            entries += inside
            size += sum(entry.cost for entry in inside)
            if reader.is_at_end or len(inside) < len(page):
                self._add(entries, start_ns)
                return _scaled(length, len(entries))
            read_ns = max(1, (reader.since_ns or 0) - start_ns)
            if len(entries) * length > MAX_SPAN_LINES * read_ns and length > _MS:
                return min(_scaled(read_ns, len(entries)), _scaled(length, 2 * AIM_LINES))
        # Without the rest of the span, its lines would have a hole behind them.
        return _scaled(length, 2 * AIM_LINES) if self.budget.left > 0 and length > _MS else 0

    def _add(self, entries: list[LogEntry], start_ns: int) -> None:
        entries.sort(key=lambda entry: entry.unix_ns)
        arrivals = [entry.unix_ns // _MS for entry in entries]
        joined = Continuations().join(self.label(entries, arrivals))
        matching = [joined[index] for index in self.filter.select(joined)]
        self.found.extendleft(reversed(matching))
        self.size += sum(entry.cost for entry in matching)
        self.end_ns = start_ns

    def answer(self) -> EarlierLines:
        """Return the lines that were asked for."""
        entries = list(self.found)
        first = max(0, len(entries) - self.lines)
        while first and entries[first - 1].unix_ns // _MS == entries[first].unix_ns // _MS:
            first -= 1
        from_ms = entries[first].unix_ns // _MS if first else self.end_ns // _MS
        is_complete = not first and self.end_ns <= self.oldest_ns
        return EarlierLines(entries[first:], from_ms, is_complete)


def _scaled(length: int, lines: int) -> int:
    """Return the length of a span that has about AIM_LINES, if one of this length has `lines`."""
    scale = min(8.0, AIM_LINES / max(1, lines))
    return max(_MS, int(length * scale) // _MS * _MS)
