"""The stored entries beyond the backlog, read in bounded chunks for one reader at a time.

Each reader has a consumer of its own, so that it holds up no other reader. If the journal is away,
a read waits for some seconds for its return, and then raises `JournalUnavailable`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
import trio

from natstream.entries.continuation import LOOK_BACK, Continuations
from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.entries.fly import parse_text
from natstream.errors import JournalUnavailable, SourceError
from natstream.hub.batch import StoredBatch
from natstream.hub.hub import Label
from natstream.journal.consumer import Consumer
from natstream.journal.jetstream import JetStream, Stored
from natstream.journal.messages import decode, wanted_subjects
from natstream.journal.stream_config import StreamInfo

__all__ = ["READERS_AT_ONCE", "StreamArchive", "entry_of"]

# One reader holds a chunk, and parses it in one go (5 ms).
CHUNK_LINES = 500
CHUNK_BYTES = 256 * 1024
# All readers share the connection with new entries, and the server cuts a connection on which
# 64 MiB wait. So only this many chunks may be on their way at once.
READERS_AT_ONCE = 8
# While the server looks for entries that a filter may let through, new entries wait to be stored.
# For example, a request for 500 entries that stood among a million kept a busy stream waiting for
# 0.3 s. So a reader asks for as many entries as it expects among LOOK_LINES lines, judging by the
# last request. Its first request is for FIRST_LINES entries, because their share is not known yet.
LOOK_LINES = 20_000
FIRST_LINES = 10
# Seconds that a reader waits for the journal's return, and seconds between two tries.
DEADLINE = 10.0
PAUSE = 0.2


def entry_of(stored: Stored) -> LogEntry:
    """Return the entry of a message; a message of another writer counts as a line of text."""
    try:
        return decode(stored.subject, stored.payload)
    except ValueError:
        return parse_text(stored.payload)


class StartSoon(Protocol):
    """Runs a coroutine function in a task of the journal's."""

    def __call__(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> None: ...


@attrs.frozen
class StreamArchive:
    """A stream of the journal, for as long as it is the same one; an `Archive` for the hub.

    Args:
        epoch: the stream's identity.
        reach: returns the connection to the stream of an epoch; until a time of trio's clock, it
            waits for that connection.
        turns: held while a chunk is on its way.
        start_soon: see `Archive`.
        label: see `Hub.label`.
    """

    epoch: str
    reach: Callable[[str, float], Awaitable[JetStream]]
    turns: trio.CapacityLimiter
    start_soon: StartSoon
    label: Label = lambda entries, arrivals: entries

    def open(self, start: int, filter: Filter) -> StoredReader:
        """Return a reader before the entry `start`."""
        return StoredReader(self, start, filter)

    async def end(self) -> int:
        """Return the number that the next entry will have."""
        return (await (await self._reach_now()).info()).last + 1

    async def number_at(self, unix_ms: int) -> int:
        """Return the number of the first entry that was stored at `unix_ms` or later."""
        jetstream = await self._reach_now()
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
                    _check_is_current(consumer, info)
                return info.last + 1
            except JournalUnavailable as error:
                if error.reason != "reader" or trio.current_time() >= deadline:
                    raise
            finally:
                consumer.close()
            await trio.sleep(PAUSE)

    async def find(self, number: int) -> LogEntry | None:
        """Return the entry with this number if it is stored."""
        stored = await (await self._reach_now()).find(number)
        if stored is None:
            return None
        return self.label([entry_of(stored)], [stored.unix_ns // 1_000_000])[0]

    async def _reach_now(self) -> JetStream:
        return await self.reach(self.epoch, float("-inf"))


def _check_is_current(consumer: Consumer, info: StreamInfo) -> None:
    """Check that the consumer sees the whole stream, so that it misses no entry.

    Raises:
        JournalUnavailable: the consumer's server lags behind the other servers of the cluster.
    """
    if info.current is not None and consumer.server not in info.current:
        raise JournalUnavailable("A server of the journal has not caught up", "reader")


class StoredReader:
    """One reader's position in a stream."""

    def __init__(self, archive: StreamArchive, start: int, filter: Filter) -> None:
        self._archive = archive
        self._filter = filter
        self._position = start
        """The number of the first entry that was not returned."""
        self._first = 0
        """The number of the oldest stored entry, as far as known."""
        self._jetstream: JetStream | None = None
        self._consumer: Consumer | None = None
        self._rest: list[Stored] = []
        """Messages that were received and not returned."""
        self._next_count = FIRST_LINES
        """How many messages the next pull asks for."""
        self._continuations: Continuations | None = None
        """Finds the lines that continue another one; `None` before the first read."""

    async def read(self, until: int) -> StoredBatch:
        """Return the next chunk before the number `until` (see `timeline.ArchiveReader`)."""
        deadline = trio.current_time() + DEADLINE
        while True:
            try:
                jetstream = await self._archive.reach(self._archive.epoch, deadline)
                subjects = wanted_subjects(self._filter, jetstream.name)
                if self._continuations is None:
                    self._continuations = await self._look_back(jetstream)
                if not self._rest:
                    await self._fetch(jetstream, subjects)
                break
            except SourceError as error:
                self.close()
                if trio.current_time() >= deadline:
                    raise JournalUnavailable(str(error)) from error
            except BaseException:
                self.close()  # A later read begins anew, because messages may have been received.
                raise
            await trio.sleep(PAUSE)
        start = max(self._position, self._first) if subjects else 0
        return self._batch(self._continuations, start, until, sparse=bool(subjects))

    def close(self) -> None:
        """Let the server forget the consumer."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None
        self._rest = []

    async def _look_back(self, jetstream: JetStream) -> Continuations:
        """Return what is known of the lines before the position, which may be inside a trace."""
        continuations = Continuations()
        start = max(1, self._position - LOOK_BACK)
        if start == self._position:
            return continuations
        async with self._archive.turns:
            consumer = Consumer(jetstream, pull_bytes=CHUNK_BYTES)
            try:
                await consumer.open(start)
                while start < self._position:
                    run = await consumer.receive(self._position - start, wait=False)
                    before = [each for each in run if each.number < self._position]
                    continuations.join([entry_of(stored) for stored in before])
                    if not run or len(before) < len(run):
                        break
                    start = run[-1].number + 1
            finally:
                consumer.close()
        return continuations

    async def _fetch(self, jetstream: JetStream, subjects: list[str]) -> None:
        """Receive messages into `_rest`, if any are left in the stream."""
        async with self._archive.turns:
            if self._consumer is None or self._jetstream is not jetstream:
                self.close()
                self._consumer = Consumer(jetstream, pull_bytes=CHUNK_BYTES)
                self._jetstream = jetstream
                await self._consumer.open(self._position, subjects)
            run = await self._consumer.receive(self._next_count, wait=False)
            if subjects or not run:
                # The consumer may have passed over entries that are no longer stored.
                info = await jetstream.info()
                self._first = info.first
                if not run and info.current is not None:
                    _check_is_current(self._consumer, info)
                    run = await self._consumer.receive(self._next_count, wait=False)
        self._rest = run
        if run:
            looked_through = run[-1].number + 1 - self._position
            count = len(run) * LOOK_LINES // max(1, looked_through)
            self._next_count = min(CHUNK_LINES, max(1, count))

    def _batch(
        self, continuations: Continuations, start: int, until: int, *, sparse: bool
    ) -> StoredBatch:
        """Return the messages before `until`, up to a hole if every entry was asked for.

        Args:
            continuations: what is known of the lines before.
            start: the first number that the batch covers, or 0 for that of its first message.
            sparse: whether the server left out entries that the filter rejects.
        """
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
            # After a hole, the start of the next chunk shows how large the hole is.
            end = kept[-1].number + 1
            if self._rest and self._rest[0].number >= until and sparse:
                end = until
        else:
            # Nothing is before `until`; without a filter, nothing is stored there any more.
            end = until
            start = min(start, until) if sparse else until
        self._position = end
        arrivals = [stored.unix_ns // 1_000_000 for stored in kept]
        entries = self._archive.label([entry_of(stored) for stored in kept], arrivals)
        return StoredBatch(
            epoch=self._archive.epoch,
            first=start,
            entries=continuations.join(entries),
            arrivals=arrivals,
            first_notice=0,
            persistent=True,
            numbers=[stored.number for stored in kept],
            until=end,
        )
