"""One reader's place at the hub: a position into the backlog, and a channel for what is new.

Whatever a batch from the channel does not continue is read from the backlog first; what the
backlog no longer has is told as a `Gap`. On trio; no sockets.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import attrs
import trio

from natstream.entries.entry import Gap
from natstream.entries.filters import Filter
from natstream.errors import SourceError
from natstream.formats.events import EventId
from natstream.hub.backlog import Batch, Position, Selection, StoredBatch
from natstream.hub.tail_search import TailSearch
from natstream.hub.timeline import Archive, ArchiveReader, Outage, Segment, stood_in_for

__all__ = ["CHANNEL_BATCHES", "Publisher", "Subscription"]

# A reader this many batches behind reads from the backlog. All readers' channels hold the same
# few newest batches, so a longer one buys nothing but pinned memory.
CHANNEL_BATCHES = 8

# One step of a catch-up: about one piece on the wire, so that many readers which catch up at
# once take turns often, and each holds little.
CATCH_UP_LINES = 200
CATCH_UP_BYTES = 1 << 18

# Another process's clock and flush may differ by this from ours; better doubled than lost.
OTHER_PROCESS_MARGIN_MS = 2_000

# Entries that it was shown are passed over in such steps, of half a millisecond.
SKIP_LINES = 5_000


class Publisher(Protocol):
    """What a subscription needs of the hub."""

    segment: Segment
    max_lag: float

    def count_gap(self, gap: Gap) -> None: ...


class Subscription:
    """One reader's place at the hub: an async iterator of `Selection` and `Gap`.

    Made by `Hub.subscribe`; for one task at a time. Cancelling a wait loses nothing.
    """

    def __init__(self, hub: Publisher, filter: Filter, *, follow: bool) -> None:
        self.filter = filter
        self._hub = hub
        self._follow = follow
        self._send, self._hub_receive = trio.open_memory_channel[tuple[Segment, Batch]](
            CHANNEL_BATCHES
        )
        # The reader's end. The hub keeps the original, to make room when the channel is full.
        self._receive = self._hub_receive.clone()
        self._segment = self._joined_segment = hub.segment
        self.position = self._joined = hub.segment.backlog.end
        """The next record of the segment that it needs."""
        self._place_ms = hub.segment.backlog.newest_ms or time.time_ns() // 1_000_000
        self._held: tuple[Segment, Batch] | None = None
        self._gap: Gap | None = None
        # What has to be looked up before the first item, slice by slice.
        self._seek: Callable[[], Awaitable[None]] | None = None
        self._search: TailSearch | None = None
        # A replay that was asked for may take its time; how long it lags is counted from its end.
        self._replaying = False
        self._behind_since: float | None = None
        # Where it left the segments that it was on, by epoch; and an id of one where it never was.
        self._left: dict[str, Position] = {}
        self._claim: EventId | None = None
        self._outages: list[Outage] = []
        self._stored: ArchiveReader | None = None
        self._fetched: StoredBatch | None = None

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._search is not None:
            self._search.close()
        self._close_stored()
        self._receive.close()
        self._hub_receive.close()
        self._send.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Selection | Gap:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    @property
    def place(self) -> str:
        """The event id to resume from: of the last entry that it has seen or passed over."""
        number, backlog = self.position.entry - 1, self._segment.backlog
        if backlog.first <= number < backlog.end.entry:
            self._place_ms = backlog.arrival(number)
        return str(EventId(self._place_ms, backlog.epoch, number))

    @property
    def lag(self) -> int:
        """Entries of its segment that it has yet to see."""
        return max(0, self._segment.backlog.end.entry - self.position.entry)

    @property
    def is_current(self) -> bool:
        """Whether there is nothing for it without waiting; much cheaper than trying."""
        return (
            self._held is None
            and self.position.reaches(self._segment.flushed)
            and self._gap is None
            and self._follow
            and self._segment.next is None
            and self._seek is None
        )

    async def receive(self) -> Selection | Gap:
        """The next entries and notices for this reader, or the word that some are missing.

        Raises:
            trio.EndOfChannel: the hub was closed, or the replay without `follow` is over.
            ExpressionTooSlow: of the filter, for these entries.
        """
        rested = False  # whether the others have had their turn
        while True:
            if (seek := self._seek) is not None:
                await seek()
                if self._seek is seek:
                    self._seek = None
                continue
            if self.is_current:
                try:
                    self._held = await self._receive.receive()
                except trio.EndOfChannel:
                    if self.is_current:
                        raise
                rested = True
                continue
            if not rested:
                # A cancel comes before anything is taken, so that it loses nothing.
                await trio.lowlevel.checkpoint_if_cancelled()
            try:
                archive = self._needed_archive
                item = await self._read_stored(archive) if archive else self._step()
            except trio.WouldBlock:
                continue
            if not rested:
                await trio.lowlevel.cancel_shielded_checkpoint()
            if item:
                return item
            rested = False

    def receive_nowait(self) -> Selection | Gap:
        """The same without waiting.

        Raises:
            trio.WouldBlock: there is nothing to show just now.
            trio.EndOfChannel: as above.
        """
        if self._seek is None and not self._needed_archive and (item := self._step()):
            return item
        raise trio.WouldBlock

    def replay(self, tail: int | None, since: int | None) -> None:
        """Start at the last `tail` matching entries, and at those that arrived at `since`."""
        self._replaying = True
        if tail is not None:
            search = TailSearch(self.filter, tail, since, self._segment, self.position.entry)
            self._search = search
            self._seek = partial(self._seek_tail, search, since)
        else:
            self._start_at_time(since or 0)

    def resume(self, last_event_id: str) -> None:
        """Start after the entry that the id names; what cannot be found is told as a gap."""
        self._replaying = True
        event_id = EventId.parse(last_event_id)
        if event_id is None:
            self._gap = Gap(None, None, doubles=True)
            self._start_at_time(0)
            return
        if self._is_given_anew(event_id):
            self._resume_by_time(event_id)
            return
        if self._resume_at(event_id):
            return
        if (last := stood_in_for(event_id)) is not None:
            # What it was shown while the journal was away may be in there by now.
            self._gap = Gap(None, event_id.unix_ms, doubles=True)
            event_id = last
        if not self._resume_at(event_id):
            self._claim = event_id
            self._resume_by_time(event_id)

    def _is_given_anew(self, event_id: EventId) -> bool:
        """Whether its number is another entry's now: the journal has lost its end since."""
        for segment in filter(None, (self._segment, self._segment.before)):
            backlog = segment.backlog
            if (
                segment.epoch == event_id.epoch
                and backlog.first <= event_id.number < backlog.end.entry
            ):
                return backlog.arrival(event_id.number) != event_id.unix_ms
        return False

    def _resume_at(self, event_id: EventId) -> bool:
        """Go behind an entry of this segment or the one before; whether it is of one of them."""
        for segment in filter(None, (self._segment, self._segment.before)):
            if segment.epoch == event_id.epoch:
                break
        else:
            return False
        self._segment = segment
        if event_id.number < segment.backlog.end.entry:
            # What was said after that entry may have been heard or not: better twice than never.
            self._go_to(event_id)
        elif segment.archive is None:
            self._resume_by_time(event_id)
        elif segment is self._joined_segment:
            # Another process may be ahead of this one by what is still on its way.
            self._seek = partial(self._resume_ahead, segment.archive, event_id)
        else:
            self._go_to(event_id)
        return True

    # --- the hub's side ------------------------------------------------------------------

    def offer(self, segment: Segment, batch: Batch, now: float) -> None:
        """Put a batch on the channel, in the place of the oldest one if it is full."""
        try:
            self._send.send_nowait((segment, batch))
        except trio.WouldBlock:
            self._hub_receive.receive_nowait()
            self._send.send_nowait((segment, batch))
        # Notices make nobody late, nor do lines that it joined behind or found in the backlog.
        if self._behind_since is None and (
            segment is not self._segment or self.position.entry < batch.end.entry
        ):
            self._behind_since = now

    def end(self) -> None:
        """End the iteration after what is still to be read."""
        self._send.close()

    # --- one step ------------------------------------------------------------------------

    def _step(self) -> Selection | Gap:
        """Move on by one batch, chunk or gap; what it gives may be empty."""
        self._close_stored()  # who reads there again begins anew, at the place reached by then
        if self._gap is not None:
            gap, self._gap = self._gap, None
            return self._tell(gap)
        if self._ends_here:
            if self.position.reaches(self._joined):
                raise trio.EndOfChannel
            return self._catch_up(self._joined.entry)
        if self._has_lagged():
            return self._lose(self._segment.flushed.entry)
        while True:
            if self._held is None:
                try:
                    self._held = self._receive.receive_nowait()
                except (trio.WouldBlock, trio.EndOfChannel) as error:
                    if not self.position.reaches(self._segment.flushed):
                        return self._catch_up(self._segment.flushed.entry)
                    if self._segment.next is None:
                        raise trio.WouldBlock from error
                    return self._go_on(self._segment.next)
            segment, batch = self._held
            if segment.number > self._segment.number and self._segment.next is not None:
                if not self.position.reaches(self._segment.flushed):
                    return self._catch_up(self._segment.flushed.entry)
                return self._go_on(self._segment.next)
            if segment is not self._segment or self.position.reaches(batch.end):
                self._held = None  # seen already, in the backlog
                continue
            if not self.position.reaches(batch.start):
                return self._catch_up(batch.first)
            self._held = None
            return self._take(batch.since(self.position))

    @property
    def _ends_here(self) -> bool:
        return not self._follow and self._segment is self._joined_segment

    @property
    def _goal(self) -> int:
        """The number before which there is something for it on this segment, just now."""
        return self._joined.entry if self._ends_here else self._segment.flushed.entry

    def _catch_up(self, until: int) -> Selection | Gap:
        """A chunk of the backlog up to the entry `until`, or the word that it is gone."""
        backlog = self._segment.backlog
        if self.position.entry < (oldest := min(backlog.first, until)):
            return self._lose(oldest)
        batch = backlog.read(self.position, until, CATCH_UP_LINES, CATCH_UP_BYTES)
        batch.release()  # it is this reader's alone
        return self._take(batch)

    def _take(self, batch: Batch) -> Selection:
        selection = batch.select(self.filter)  # if it raises, nothing has been taken
        self.position = batch.end
        if batch.entries:
            self._place_ms = batch.arrivals[-1]
        if self.position.reaches(self._segment.flushed) and self._segment.next is None:
            self._replaying = False
            self._behind_since = None
        elif (
            self._replaying
            and self._segment is self._joined_segment
            and self.position.reaches(self._joined)
        ):
            self._replaying = False
            self._behind_since = trio.current_time()
        if self._outages and batch.persistent:
            selection = self._without_shown(selection)
        return selection

    def _lose(self, until: int) -> Gap:
        """Give up what stands before the entry `until`."""
        gap = self._gap_before(until)
        self.position = Position(until, self.position.notice)
        self._close_stored()
        return self._tell(gap)

    def _gap_before(self, number: int) -> Gap:
        # Some of it may have been shown while the journal was away, or be what is not wanted.
        shown = self._segment.backlog.persistent and bool(self._outages)
        at_most = shown or not self.filter.is_everything
        return Gap(number - self.position.entry, self._place_ms, at_most=at_most)

    def _tell(self, gap: Gap) -> Gap:
        backlog = self._segment.backlog
        if backlog.first <= self.position.entry < backlog.end.entry:
            self._place_ms = backlog.arrival(self.position.entry)
        if self.position.entry >= self._segment.flushed.entry:
            self._behind_since = None
        self._hub.count_gap(gap)
        return gap.reduced() if self.filter.scoped else gap

    def _has_lagged(self) -> bool:
        return (
            not self._replaying
            and self._behind_since is not None
            and trio.current_time() - self._behind_since > self._hub.max_lag
            and self.position.entry < self._segment.flushed.entry
        )

    # --- from segment to segment -----------------------------------------------------------------

    def _go_on(self, segment: Segment) -> Selection | Gap:
        """Leave the segment, which is over, for the next one."""
        last = self._segment
        self._left[last.epoch] = self.position
        self._segment = segment
        backlog = segment.backlog
        if last is self._joined_segment:  # a reader that stays all day must not hold each outage
            self._joined_segment, self._joined = segment, backlog.end
        start = last.next_start
        if self._claim is not None and self._claim.epoch == segment.epoch:
            start = self._claim.number + 1
        self.position = self._left.get(segment.epoch) or Position(start, backlog.notice_at(start))
        if last.outage is not None:
            self._outages.append(last.outage)
            if last.outage.overflowed:
                self._gap = Gap(None, last.outage.since, doubles=True)
        if segment.archive is not None and self.position.entry > backlog.end.entry:
            # By an id that it was given: see whether that is of what is still on its way.
            event_id = EventId(self._place_ms, segment.epoch, self.position.entry - 1)
            self._seek = partial(self._resume_ahead, segment.archive, event_id)
        return self._take(Batch(segment.epoch, self.position.entry, (), (), self.position.notice))

    def _without_shown(self, selection: Selection) -> Selection:
        """Leave out what this reader was shown while the journal was away."""
        place = selection.batch.start.entry
        self._outages = [outage for outage in self._outages if outage.matters_at(place)]
        for outage in self._outages:
            if place <= outage.newest:
                selection = selection.without(outage.numbers)
        return selection

    # --- what is stored ------------------------------------------------------------------

    @property
    def _needed_archive(self) -> Archive | None:
        """What to read from next, if it is older than the backlog and may be stored."""
        if self._segment.archive is None or self._gap is not None or self._has_lagged():
            return None
        behind = self.position.entry < min(self._segment.backlog.first, self._goal)
        return self._segment.archive if behind else None

    async def _read_stored(self, archive: Archive) -> Selection | Gap:
        """A chunk of what the backlog has forgotten, or the word that it is gone there too."""
        until = min(self._segment.backlog.first, self._goal)
        if (place := self._shown_until(until)) > self.position.entry:
            self._close_stored()
            return self._take(Batch(self._segment.epoch, place, (), (), self.position.notice))
        if self._stored is None:
            self._stored = archive.open(self.position.entry, self.filter)
        if self._fetched is None:
            try:
                self._fetched = await self._stored.read(until)
            except SourceError:
                # It does not come back. What is remembered is better than nothing.
                return self._lose(until)
        batch = self._fetched
        if self.position.entry < batch.start.entry:
            gap = self._gap_before(batch.start.entry)
            self.position = Position(batch.start.entry, self.position.notice)
            return self._tell(gap)
        selection = self._take(attrs.evolve(batch, first_notice=self.position.notice))
        self._fetched = None
        if batch.end.entry >= until:
            self._close_stored()
        return selection

    def _shown_until(self, until: int) -> int:
        """Where the next entry is that it has not had while the journal was away.

        After a long outage, all readers would read there, at once, what none of them needs.
        """
        number = self.position.entry
        until = min(until, number + SKIP_LINES)
        while number < until and any(number in outage.numbers for outage in self._outages):
            number += 1
        return number

    def _close_stored(self) -> None:
        if self._stored is not None:
            self._stored.close()
        self._stored = self._fetched = None

    # --- the start -----------------------------------------------------------------------

    def _go_to(self, event_id: EventId) -> None:
        number = event_id.number + 1
        self.position = Position(number, self._segment.backlog.notice_at(number))
        self._place_ms = event_id.unix_ms

    def _start_at(self, segment: Segment, number: int) -> None:
        """Replay from the entry `number` on; what was said before it belongs to the past."""
        notice = segment.backlog.notice_at(number + 1)
        if segment is self._joined_segment:
            # But not what has been said since it joined: the search for its start takes a while.
            notice = min(notice, self._joined.notice)
        self._segment = segment
        self.position = Position(number, notice)

    def _start_at_time(self, unix_ms: int) -> None:
        segment = self._joined_segment
        if (
            segment.before is not None
            and segment.outage is not None
            and unix_ms < segment.outage.since
        ):
            segment = segment.before
        oldest_ms = segment.backlog.oldest_ms
        if segment.archive is None or (oldest_ms is not None and oldest_ms < unix_ms):
            self._start_at(segment, segment.backlog.number_at(unix_ms))
        else:
            self._seek = partial(self._seek_time, segment, segment.archive, unix_ms)

    def _resume_by_time(self, event_id: EventId) -> None:
        self._gap = Gap(None, event_id.unix_ms, doubles=True)
        now_ms = time.time_ns() // 1_000_000
        self._start_at_time(min(event_id.unix_ms, now_ms) - OTHER_PROCESS_MARGIN_MS)

    async def _resume_ahead(self, archive: Archive, event_id: EventId) -> None:
        with suppress(SourceError):
            if event_id.number < await archive.end():
                self._go_to(event_id)
                return
        self._resume_by_time(event_id)

    async def _seek_time(self, segment: Segment, archive: Archive, unix_ms: int) -> None:
        try:
            number = await archive.number_at(unix_ms)
        except SourceError:
            number = segment.backlog.first
            self._gap = self._gap or Gap(None, unix_ms)
        self._start_at(segment, number)

    async def _seek_tail(self, search: TailSearch, since: int | None) -> None:
        try:
            await search.run()
        except SourceError:
            self._gap = Gap(None, since)
        self._search = None
        self._start_at(search.segment, search.place)
