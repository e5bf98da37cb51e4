"""What is stored beyond the backlog, read in bounded chunks for one reader at a time.

It reads through a consumer of its own, so it holds up nobody, and survives the journal's being
away for a few seconds: whoever reads waits that long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from natstream.backlog import StoredBatch
from natstream.entry import LogEntry
from natstream.errors import JournalUnavailable
from natstream.filtering import Filter
from natstream.journal.consumer import Consumer
from natstream.journal.jetstream import JetStream, Stored
from natstream.journal.stored import decode, wanted_subjects
from natstream.parsing import parse_text

__all__ = ["StreamArchive", "entry_of"]

# What one reader holds of it, and parses in one go (5 ms).
CHUNK_LINES = 500
# While the server looks for what a filter may want, all that is to be stored waits: so it is asked
# for as many lines as have stood among so many others, and at first, when that is not known, for a
# few. Asked for 500 lines that stood among a million, it kept a busy stream waiting for 0.3 s.
LOOK_LINES = 20_000
FIRST_LINES = 10
# How often it is tried to go on where the server has lost its consumer.
TRIES = 3
# How often it is asked how far back the stream still reaches.
LOOK_EVERY = 2.0


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
        reach: gives the connection; the patient wait for it a while, if the journal is away.
    """

    epoch: str
    reach: Callable[[str, bool], Awaitable[JetStream]]

    def open(self, start: int, filter: Filter) -> StoredReader:
        return StoredReader(self, start, filter)

    async def end(self) -> int:
        return (await (await self.reach(self.epoch, False)).info()).last + 1

    async def number_at(self, unix_ms: int) -> int:
        jetstream = await self.reach(self.epoch, False)
        info = await jetstream.info()
        if unix_ms <= 0:
            return max(1, info.first)
        consumer = Consumer(jetstream)
        try:
            await consumer.open(1, since_ns=unix_ms * 1_000_000)
            run = await consumer.receive(1, wait=False)
        finally:
            consumer.close()
        return run[0].number if run else info.last + 1

    async def find(self, number: int) -> LogEntry | None:
        stored = await (await self.reach(self.epoch, False)).find(number)
        return None if stored is None else entry_of(stored)


class StoredReader:
    """One reader's place in a stream."""

    def __init__(self, archive: StreamArchive, start: int, filter: Filter) -> None:
        self._archive = archive
        self._filter = filter
        self._place = start
        self._first = 0
        self._looked = float("-inf")
        self._jetstream: JetStream | None = None
        self._consumer: Consumer | None = None
        self._rest: list[Stored] = []
        self._wish = FIRST_LINES

    async def read(self, until: int) -> StoredBatch:
        """The next chunk before the number `until` (see `legs.ArchiveReader`)."""
        subjects: list[str] = []
        for attempt in range(TRIES):
            jetstream = await self._archive.reach(self._archive.epoch, True)
            subjects = wanted_subjects(self._filter, jetstream.name)
            try:
                consumer = await self._consumer_of(jetstream, subjects)
                if not self._rest:
                    self._rest = await consumer.receive(self._wish, wait=False)
                    self._wish = self._next_wish()
                if self._rest or subjects or not self._first <= self._place < until:
                    break
                # It is gone; or this server of a cluster has not caught up, and another has it.
                self.close()
            except JournalUnavailable:
                self.close()
                if attempt == TRIES - 1:
                    raise
            if attempt < TRIES - 1:
                await trio.sleep(0.2)
        start = max(self._place, self._first) if subjects else 0
        return self._batch(start, until, sparse=bool(subjects))

    def close(self) -> None:
        """Let go of the consumer."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None
        self._rest = []

    async def _consumer_of(self, jetstream: JetStream, subjects: list[str]) -> Consumer:
        now = trio.current_time()
        if now - self._looked > LOOK_EVERY:
            self._first = (await jetstream.info()).first
            self._looked = now
        if self._consumer is None or self._jetstream is not jetstream:
            self.close()
            self._consumer = Consumer(jetstream)
            self._jetstream = jetstream
            await self._consumer.open(self._place, subjects)
        return self._consumer

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
