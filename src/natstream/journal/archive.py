"""What is stored beyond the backlog, read in bounded chunks for one reader at a time.

It reads through a consumer of its own, so it holds up nobody, and survives the journal's being
away for a few seconds: whoever reads waits that long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.entries.fly import parse_text
from natstream.errors import JournalUnavailable, SourceError
from natstream.hub.backlog import StoredBatch
from natstream.journal.consumer import Consumer
from natstream.journal.jetstream import JetStream, Stored, StreamInfo
from natstream.journal.messages import decode, wanted_subjects

__all__ = ["READERS_AT_ONCE", "StreamArchive", "entry_of"]

# What one reader holds of it, and parses in one go (5 ms).
CHUNK_LINES = 500
CHUNK_BYTES = 256 * 1024
# All of them share the connection with what is new, and the server cuts one on which 64 MiB wait:
# so many may be on their way at once.
READERS_AT_ONCE = 8
# While the server looks for what a filter may want, all that is to be stored waits: so it is asked
# for as many lines as have stood among so many others, and at first, when that is not known, for a
# few. Asked for 500 lines that stood among a million, it kept a busy stream waiting for 0.3 s.
LOOK_LINES = 20_000
FIRST_LINES = 10
# How long a reader waits for the journal's return, and how often it tries.
DEADLINE = 10.0
PAUSE = 0.2


def entry_of(stored: Stored) -> LogEntry:
    """The entry; what somebody else has put into the stream counts as a line of text."""
    try:
        return decode(stored.subject, stored.payload)
    except ValueError:
        return parse_text(stored.payload)


@attrs.frozen
class StreamArchive:
    """A stream of the journal, for as long as it is the same one.

    Args:
        epoch: the stream's identity.
        reach: gives the connection, and waits for it until a time of trio's clock.
        turns: held while something of it is on its way.
    """

    epoch: str
    reach: Callable[[str, float], Awaitable[JetStream]]
    turns: trio.CapacityLimiter

    def open(self, start: int, filter: Filter) -> StoredReader:
        return StoredReader(self, start, filter)

    async def end(self) -> int:
        return (await (await self._now()).info()).last + 1

    async def number_at(self, unix_ms: int) -> int:
        jetstream = await self._now()
        info = await jetstream.info()
        if unix_ms <= 0:
            return max(1, info.first)
        deadline = trio.current_time() + DEADLINE
        while True:
            consumer = Consumer(jetstream)
            try:
                await consumer.open(1, since_ns=unix_ms * 1_000_000)
                for _ in range(2):
                    if run := await consumer.receive(1, wait=False):
                        return run[0].number
                    info = await jetstream.info()
                    _see_that_it_is_current(consumer, info)
                return info.last + 1
            except JournalUnavailable as error:
                if error.reason != "reader" or trio.current_time() >= deadline:
                    raise
            finally:
                consumer.close()
            await trio.sleep(PAUSE)

    async def find(self, number: int) -> LogEntry | None:
        stored = await (await self._now()).find(number)
        return None if stored is None else entry_of(stored)

    async def _now(self) -> JetStream:
        return await self.reach(self.epoch, float("-inf"))


def _see_that_it_is_current(consumer: Consumer, info: StreamInfo) -> None:
    """So that what it does not find next is not there.

    Raises:
        JournalUnavailable: it lives on a server that has not caught up with the others.
    """
    if info.current is not None and consumer.server not in info.current:
        raise JournalUnavailable("A server of the journal has not caught up", "reader")


class StoredReader:
    """One reader's place in a stream."""

    def __init__(self, archive: StreamArchive, start: int, filter: Filter) -> None:
        self._archive = archive
        self._filter = filter
        self._place = start
        self._first = 0
        self._deadline: float | None = None
        """Until when it waits for the journal; each keep-alive interrupts it."""
        self._jetstream: JetStream | None = None
        self._consumer: Consumer | None = None
        # What came is kept at once, since a keep-alive may interrupt all that waits.
        self._run: list[Stored] = []
        self._rest: list[Stored] = []
        self._wish = FIRST_LINES

    async def read(self, until: int) -> StoredBatch:
        """The next chunk before the number `until` (see `segments.ArchiveReader`)."""
        if self._deadline is None:
            self._deadline = trio.current_time() + DEADLINE
        while True:
            try:
                jetstream = await self._archive.reach(self._archive.epoch, self._deadline)
                subjects = wanted_subjects(self._filter, jetstream.name)
                if not self._rest:
                    await self._fetch(jetstream, subjects)
                break
            except SourceError as error:
                self.close()
                if trio.current_time() >= self._deadline:
                    self._deadline = None
                    raise JournalUnavailable(str(error)) from error
            await trio.sleep(PAUSE)
        self._deadline = None
        start = max(self._place, self._first) if subjects else 0
        return self._batch(start, until, sparse=bool(subjects))

    def close(self) -> None:
        """Let go of the consumer."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None
        self._run, self._rest = [], []

    async def _fetch(self, jetstream: JetStream, subjects: list[str]) -> None:
        """Have something in `_rest`, if anything is left."""
        async with self._archive.turns:
            if self._consumer is None or self._jetstream is not jetstream:
                self.close()
                self._consumer = Consumer(jetstream, pull_bytes=CHUNK_BYTES)
                self._jetstream = jetstream
                await self._consumer.open(self._place, subjects)
            if not self._run:
                self._run = await self._consumer.receive(self._wish, wait=False)
            if subjects or not self._run:
                # What is gone by now, it may have passed over.
                info = await jetstream.info()
                self._first = info.first
                if not self._run and info.current is not None:
                    _see_that_it_is_current(self._consumer, info)
                    self._run = await self._consumer.receive(self._wish, wait=False)
        self._rest, self._run = self._run, []
        self._wish = self._next_wish()

    def _next_wish(self) -> int:
        if not self._rest:
            return self._wish
        looked_through = self._rest[-1].number + 1 - self._place
        wish = len(self._rest) * LOOK_LINES // max(1, looked_through)
        return min(CHUNK_LINES, max(1, wish))

    def _batch(self, start: int, until: int, *, sparse: bool) -> StoredBatch:
        run, self._rest = self._rest, []
        kept: list[Stored] = []
        for index, stored in enumerate(run):
            hole = kept and not sparse and stored.number != kept[-1].number + 1
            if stored.number >= until or hole:
                self._rest = run[index:]
                break
            kept.append(stored)
        if kept:
            start = start or kept[0].number
            # Behind a hole, the next chunk tells of it by where it starts.
            end = kept[-1].number + 1
            if self._rest and self._rest[0].number >= until and sparse:
                end = until
        else:
            # There is nothing before `until`; unfiltered, then nothing is stored there any more.
            end = until
            start = min(start, until) if sparse else until
        self._place = end
        return StoredBatch(
            self._archive.epoch,
            start,
            [entry_of(stored) for stored in kept],
            [stored.unix_ns // 1_000_000 for stored in kept],
            0,
            persistent=True,
            numbers=[stored.number for stored in kept],
            until=end,
        )
