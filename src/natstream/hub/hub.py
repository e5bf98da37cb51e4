"""The hub: entries come in and go out to every reader. On trio; no sockets.

A reader is a cursor into the backlog, and its memory channel only carries new batches. So one
mechanism serves replay, resume, catching up after a slow moment and announcing loss: a reader
reads from the backlog the entries between its position and a batch from its channel, and gets a
`Gap` for the entries that the backlog no longer has.

Publishing never waits. A full channel loses its oldest batch, which the reader then finds in the
backlog, so no reader can slow another reader or a source.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import attrs
import trio

from natstream.background import running_beside
from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import TooManyReaders
from natstream.hub.backlog import Backlog, fitting
from natstream.hub.batch import Position
from natstream.hub.budget import Budgets, ReaderBudget
from natstream.hub.fan_out import BATCH_BYTES, BATCH_LINES, FanOut
from natstream.hub.loop_delay import LoopDelay
from natstream.hub.published import Published
from natstream.hub.start import StartRequest
from natstream.hub.statistics import HubStatistics
from natstream.hub.subscription import Subscription
from natstream.hub.timeline import Archive, Outage, Segment, Timeline
from natstream.hub.window import FoundLine, Window

__all__ = ["Hub", "Label", "open_hub"]

Label = Callable[[Sequence[LogEntry], Sequence[int]], Sequence[LogEntry]]


class Hub:
    """Numbers entries, remembers the newest, and hands them to every subscription.

    Use `open_hub()` unless you want to run its task, `run`, yourself.
    """

    def __init__(
        self,
        *,
        backlog_lines: int = 50_000,
        backlog_bytes: int = 64 * 2**20,
        max_readers: int = 5_000,
        max_lag: float = 30.0,
        keepalive: float | None = None,
        observe: Callable[[Published], None] | None = None,
        room_before: int = 0,
    ) -> None:
        """Make a hub that does not run yet.

        Args:
            backlog_lines, backlog_bytes, max_readers, max_lag: see `open_hub`.
            keepalive: seconds without data after which `Subscription.step` returns `None`. Without
                it, `step` never does.
            observe: called with all published entries, at once.
            room_before: how many entries `prepend` may put before the first published one.
        """
        self._observe = observe
        self.label: Label = lambda entries, arrivals: entries
        """Returns entries with what is known of their machines, given the Unix ms at which each
        arrived. Whatever shows entries calls it once for each of them."""
        epoch = secrets.token_hex(4)
        self._timeline = Timeline(
            Backlog(epoch, max_lines=backlog_lines, max_bytes=backlog_bytes, first=1 + room_before)
        )
        self._fan_out = FanOut(self._timeline, keepalive=keepalive)
        self._opened = trio.Event()
        self._opened.set()
        self._past = trio.Event()
        self._past.set()
        self.max_readers = max_readers
        self.max_lag = max_lag
        # Even a fast reader would miss lines of a slice that is larger than the backlog.
        self._slice_lines = max(1, min(BATCH_LINES, backlog_lines // 4))
        self._slice_bytes = min(BATCH_BYTES, backlog_bytes // 4)
        self._published = 0
        self._uncounted = 0
        """Subscriptions of the service itself."""
        self._gaps = self._missed = 0
        self.loop_delay: LoopDelay = LoopDelay()
        """The delay of the event loop; its `run` measures it."""
        self.budgets: Budgets = Budgets(self.loop_delay)
        """The CPU time of the readers' filters; it is limited while the event loop is late."""

    @property
    def segment(self) -> Segment:
        """The segment that new readers join, and to which entries are published."""
        return self._timeline.current

    @property
    def backlog(self) -> Backlog:
        """The backlog of the current segment."""
        return self._timeline.current.backlog

    @property
    def epoch(self) -> str:
        """The epoch of the current segment."""
        return self._timeline.current.epoch

    # --- sources -------------------------------------------------------------------------

    def publish_nowait(self, entries: Sequence[LogEntry]) -> None:
        """Publish a few entries, at most a quarter of the backlog, without waiting.

        The caller has to give readers a turn between two calls; `publish` does that.
        """
        if entries:
            now_ms = time.time_ns() // 1_000_000
            costs = [entry.cost for entry in entries]
            self.count(self._publish(entries, costs, [now_ms] * len(entries)))

    @property
    def has_room(self) -> bool:
        """Whether `publish` would publish a few entries without waiting for the readers."""
        return not self._fan_out.is_urgent

    def quiet_until(self) -> float:
        """Return the moment (trio's clock) before which the readers pause.

        Only a burst that fills a quarter of the backlog reaches them earlier.
        """
        return self._fan_out.quiet_until

    def _publish(
        self, entries: Sequence[LogEntry], costs: Sequence[int], arrivals: Sequence[int]
    ) -> Published:
        backlog = self.backlog
        remembered = backlog.append(self.label(entries, arrivals), costs, arrivals)
        self._fan_out.published(sum(costs))
        end = backlog.end.entry
        return Published(backlog.epoch, range(end - len(entries), end), remembered, arrivals)

    async def publish(
        self,
        entries: Sequence[LogEntry],
        *,
        arrivals: Sequence[int] | None = None,
        counted: Container[int] = (),
    ) -> None:
        """Publish any number of entries in slices, and let the readers run between them.

        While the hub runs, the call waits as long as more entries could make even a fast reader
        miss lines. A cancelled call has published the first entries, in order.

        Args:
            entries: in order.
            arrivals: Unix ms of each entry's arrival; by default now. The journal gives the
                arrivals of stored entries.
            counted: the indices of the entries that were counted as published before.
        """
        start = 0
        while start < len(entries):
            await self._fan_out.wait_for_room()
            run = entries[start : start + self._slice_lines]
            costs = [entry.cost for entry in run]
            count = fitting(costs, self._slice_bytes)
            if arrivals is None:
                times: Sequence[int] = [time.time_ns() // 1_000_000] * count
            else:
                times = arrivals[start : start + count]
            published = self._publish(run[:count], costs[:count], times)
            if counted:
                published = published.without([i for i in range(count) if start + i in counted])
            self.count(published)
            start += count
            # In the first checkpoint the flush runs, in the second the readers that it woke.
            await trio.lowlevel.checkpoint()
            if start < len(entries):
                await trio.lowlevel.checkpoint()

    def count(self, published: Published) -> None:
        """Count entries as published, and show them to the observer."""
        self._published += len(published.entries)
        if self._observe is not None:
            self._observe(published)

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Send a notice to all readers (see `Sink.announce`), reduced for a limited scope."""
        self.backlog.append_notice(Notice(message, type, gap=gap, public=public))
        self._fan_out.published()

    # --- the past ------------------------------------------------------------------------

    def prepend(self, entries: Sequence[LogEntry]) -> int:
        """Put entries of the past before all others, and return how many of the newest had room.

        Readers that have begun to read do not see them. Each entry counts as arrived at its own
        time.

        Args:
            entries: sorted by their time.
        """
        arrivals = [entry.unix_ns // 1_000_000 for entry in entries]
        entries = self.label(entries, arrivals)
        room = self.backlog.prepend(entries, [entry.cost for entry in entries], arrivals)
        if room:
            backlog = self.backlog
            position = Position(entry=backlog.first, notice=backlog.end.notice)
            batch = backlog.read(position, backlog.first + room, room, backlog.max_bytes)
            numbers = range(batch.first, batch.end.entry)
            self.count(Published(batch.epoch, numbers, batch.entries, batch.arrivals))
        return room

    def recent(self, since_ms: int) -> Iterator[Sequence[LogEntry]]:
        """Yield the remembered entries that arrived at `since_ms` (Unix ms) or later, in runs.

        Entries that are published after the first run was asked for are left out.
        """
        backlog = self.backlog
        number, end = backlog.number_at(since_ms), backlog.end
        while number < end.entry:
            position = attrs.evolve(end, entry=max(number, backlog.first))
            batch = backlog.read(position, end.entry, BATCH_LINES, BATCH_BYTES)
            if not batch.entries:
                return
            yield batch.entries
            number = batch.end.entry

    def await_past(self) -> trio.Event:
        """Let readers of the past wait in `wait_past` until the returned event is set."""
        self._past = trio.Event()
        return self._past

    async def wait_past(self) -> None:
        """Wait until the past is there, if a source is reading it at the start."""
        await self._past.wait()

    # --- segments ------------------------------------------------------------------------

    def hold_readers(self) -> None:
        """Make readers wait in `wait_opened` until the journal is found to serve or to be away."""
        self._opened = trio.Event()

    async def wait_opened(self) -> None:
        """Wait until it is known which segment readers join."""
        await self._opened.wait()

    def fall_back(self, backlog: Backlog, outage: Outage) -> None:
        """Go on with this process's own entries (see `Timeline.fall_back`)."""
        self._fan_out.flush_now()
        self._timeline.fall_back(backlog, outage)
        self._opened.set()

    def rejoin(self, backlog: Backlog, archive: Archive) -> None:
        """Go on with the journal's entries (see `Timeline.rejoin`)."""
        self._fan_out.flush_now()
        self._timeline.rejoin(backlog, archive)
        self._opened.set()

    # --- the task ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hand published entries to the readers, at a pace that follows the cost of doing so.

        An idle hub hands them out at once. The same task wakes the readers that are due for a
        keep-alive, so that no reader needs a timeout of its own. It runs until it is cancelled, or
        until `close` was called and everything has been handed out.
        """
        await self._fan_out.run(task_status=task_status)

    def close(self) -> None:
        """Hand out the last batches, and end every subscription after its last entry."""
        self._fan_out.close()

    # --- readers -------------------------------------------------------------------------

    @contextmanager
    def subscribe(
        self,
        filter: Filter = EVERYTHING,
        *,
        tail: int | None = None,
        since: int | None = None,
        last_event_id: str | None = None,
        follow: bool = True,
        until: int | None = None,
        around: FoundLine | None = None,
        before: int = 50,
        after: int = 50,
        budget: ReaderBudget | None = None,
        counted: bool = True,
    ) -> Iterator[Subscription]:
        """Join as a reader: `with hub.subscribe() as reader: async for item in reader: …`.

        Args:
            filter: which entries the reader sees; it sees all notices.
            tail: first replay this many of the newest entries that match.
            since: first replay the entries that arrived at this time (Unix ms) or later; together
                with `tail`, both limits hold.
            last_event_id: resume after the entry with this id; overrides `tail` and `since`.
            follow: go on with live entries; otherwise the iteration ends after the replay, which
                is the whole backlog if neither `tail`, `since` nor an id is given.
            until: end before the entries that arrive at this time (Unix ms) or later. A time in
                the past means a replay, as without `follow`.
            around: look only at this line (see `find_line`), which is shown in any case, and at
                the last `before` and the next `after` lines that match; then the iteration ends.
                `tail`, `since`, `last_event_id`, `until` and `follow` do not matter then. At most
                100,000 lines are searched in each direction; a notice says if there may be more.
            budget: the CPU time of the filter (see `budgets`); by default that of a holder without
                a name.
            counted: whether the reader counts as one; a reader of the service itself does not.

        Raises:
            TooManyReaders: there are `max_readers` already.
        """
        if counted:
            self.check_room()
        if around is not None:
            last_event_id = since = until = None
            tail, follow = before, False
        elif until is not None and until <= time.time_ns() // 1_000_000:
            follow = False
        if last_event_id is None and tail is None and since is None and not follow:
            since = 0
        # The request is not kept in a variable, because its segment would keep all later segments
        # in memory for as long as the reader stays.
        subscription = Subscription(
            self,
            StartRequest(
                segment=self.segment,
                joined=self.backlog.end,
                before=self.segment.before,
                filter=filter,
                budget=budget or self.budgets.reader(),
                tail=tail,
                since=since,
                last_event_id=last_event_id,
                until=None if follow else until,
                around=around,
            ),
            follow=follow,
            window=None if around is None else Window(around, after),
            until=until if follow else None,
        )
        self._fan_out.subscriptions.add(subscription)
        self._uncounted += not counted
        try:
            if self._fan_out.is_closing:
                subscription.end()
            with subscription:
                yield subscription
        finally:
            self._fan_out.subscriptions.remove(subscription)
            self._uncounted -= not counted

    def check_room(self) -> None:
        """Raise TooManyReaders if there are `max_readers` already."""
        if self._readers >= self.max_readers:
            raise TooManyReaders(
                f"natstream serves {self.max_readers:,} readers at once, and has so many already"
            )

    @property
    def _readers(self) -> int:
        return len(self._fan_out.subscriptions) - self._uncounted

    def count_gap(self, gap: Gap) -> None:
        """Count a gap that a reader is told of."""
        self._gaps += 1
        self._missed += gap.missed or 0

    def statistics(self) -> HubStatistics:
        """Return a snapshot of what the hub holds and has done."""
        return HubStatistics(
            readers=self._readers,
            published=self._published,
            backlog_lines=self.backlog.lines,
            backlog_bytes=self.backlog.bytes,
            oldest_ms=self.backlog.oldest_ms,
            gaps=self._gaps,
            missed=self._missed,
            slowest=max((reader.lag for reader in self._fan_out.subscriptions), default=0),
            round_seconds=self._fan_out.round_seconds,
        )


@asynccontextmanager
async def open_hub(
    *,
    backlog_lines: int = 50_000,
    backlog_bytes: int = 64 * 2**20,
    max_readers: int = 5_000,
    max_lag: float = 30.0,
) -> AsyncIterator[Hub]:
    """Make a hub, run it beside the block, and close it at the end.

    An exception of the block comes out as it is, not in a group.

    Args:
        backlog_lines: entries that the hub remembers.
        backlog_bytes: bytes of memory that they may use; the first limit reached counts.
        max_readers: subscriptions at once.
        max_lag: seconds that a reader may stay behind before it is moved to the newest entry.
    """
    hub = Hub(
        backlog_lines=backlog_lines,
        backlog_bytes=backlog_bytes,
        max_readers=max_readers,
        max_lag=max_lag,
    )
    async with running_beside(hub.run, hub.close):
        yield hub
