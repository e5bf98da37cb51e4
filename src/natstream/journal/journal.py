"""The journal: what sources read goes into a JetStream stream, and from there to the hub.

In: entries, as a hub would take them. Out: the stream's entries, in its order and under its
numbers, fed to the hub; while it is away, this process's own lines under an epoch of their own.
Each line waits in the `Outbox` until it is stored. What is wrong is a `SourceError` with one
sentence; the supervisor waits, and calls `run` again.

Three tasks share one connection: one writes, one follows the stream, one watches that the server
acknowledges. `stand_in` runs beside them, and shows lines while there is no connection.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

import attrs
import trio

from natstream.entries.entry import Gap, LogEntry
from natstream.errors import JournalUnavailable, SourceError
from natstream.hub.backlog import Backlog
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.hub.sink import JournalStatistics, Receipt
from natstream.hub.timeline import Segment
from natstream.journal.archive import READERS_AT_ONCE, StreamArchive, entry_of
from natstream.journal.consumer import Consumer
from natstream.journal.fallback import Fallback
from natstream.journal.jetstream import JetStream, Stored, StreamConfig, StreamInfo
from natstream.journal.outbox import Item, StorageReceipt
from natstream.journal.writer import Writer
from natstream.nats.connection import Login, NatsConnection

__all__ = ["Journal"]

# A leader is elected, and a server restarted, within a second or two: nobody needs to notice.
PATIENCE = 2.0
# But once it answers, reading what it has stored meanwhile may take longer.
RETURN_PATIENCE = 10.0
# Taken from the stream, parsed and fed in one go.
RUN_LINES = 1_000
# Taken from a source, between two turns of everybody else.
SLICE_LINES = 200
# What waits may have been stored by another process before it came here, by this process's clock.
CLOCKS = 30.0

_ID_HEADER = b"Nats-Msg-Id: "


class Journal:
    """A `Sink` and a `Storage` whose entries reach the hub through a stream, shared by processes.

    Args:
        login: the journal's servers.
        config: the stream, and how to create it.
        hub: where the stream's entries go.
        status: is kept up to date.
        backlog_lines, backlog_bytes: how much of the stream is kept in memory.
    """

    def __init__(
        self,
        login: Login,
        config: StreamConfig,
        hub: Hub,
        status: SourceStatus,
        *,
        backlog_lines: int,
        backlog_bytes: int,
    ) -> None:
        self._login, self._config = login, config
        self._hub, self._status = hub, status
        self._backlog_lines, self._backlog_bytes = backlog_lines, backlog_bytes
        hub.opened = trio.Event()
        self._writer = Writer(
            on_overflow=self._overflown, on_too_large=self._refused, on_error=self._object
        )
        self._outbox = self._writer.outbox
        self._stand_in = Fallback(
            hub, self._writer, backlog_lines=backlog_lines, backlog_bytes=backlog_bytes
        )
        self._unread = False
        """Whether the stream holds lines between where we were and where memory begins."""
        self._serving = False
        self._returning = False
        """Whether the journal answers, and what it has is being read."""
        self._turned = trio.Event()
        """Set, and made anew, when `_serving` changes."""
        self._jetstream: JetStream | None = None
        self._backlog: Backlog | None = None
        self._archive_turns = trio.CapacityLimiter(READERS_AT_ONCE)
        self._scope = trio.CancelScope()
        self._trouble: SourceError | None = None
        self._overflow: Gap | None = None
        self._closing = False

    # --- sources -------------------------------------------------------------------------

    def publish_nowait(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Take a few entries. Never waits."""
        receipt = receipt if isinstance(receipt, StorageReceipt) else None
        if receipt is not None and receipt.turn is not self._turned:
            receipt.fail()  # the journal was away since: its sender has to come again with all
            return
        self._writer.take(entries, receipt)

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Take any number of entries, at the pace at which they are stored, or shown."""
        for start in range(0, len(entries), SLICE_LINES):
            while self._is_crowded:
                await self._writer.room.park()
            self.publish_nowait(entries[start : start + SLICE_LINES], receipt)
            await trio.lowlevel.checkpoint()

    def open_receipt(self, key: str) -> StorageReceipt:
        """See `Storage`: what is stored under the same `key` again is stored once.

        Raises:
            JournalUnavailable: the journal is away.
        """
        if not self._serving:
            raise JournalUnavailable("The journal is away")
        return StorageReceipt(key or secrets.token_hex(12), self._turned)

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Say something to this process's readers."""
        self._hub.announce(message, type, gap=gap, public=public)

    def hurry(self) -> None:
        """From now on let no source wait: they are closing."""
        self._closing = True
        self._writer.room.unpark_all()

    async def settle(self) -> None:
        """Wait until all that was taken is stored, and has come back; not while it is away."""
        while self._serving and not self._writer.is_settled:  # noqa: ASYNC110 - once, at the end
            await trio.sleep(0.01)

    def statistics(self) -> JournalStatistics:
        """What it holds and has done."""
        return JournalStatistics(
            waiting=len(self._outbox),
            waiting_bytes=self._outbox.bytes,
            stored=self._writer.stored,
            duplicates=self._writer.duplicates,
            away=self._stand_in.is_showing,
            reason=self._status.reason,
        )

    @property
    def _is_crowded(self) -> bool:
        if self._closing:
            return False
        if self._stand_in.is_showing:
            return self._outbox.is_crowded_with_unshown
        return self._serving and self._outbox.is_crowded

    def _overflown(self, item: Item) -> None:
        """A line had to go before it was stored."""
        self._status.lost += 1
        now_ms = time.time_ns() // 1_000_000
        gap = self._overflow or Gap(0, now_ms)
        if self._overflow is None:
            self.announce(
                "More lines wait for the journal than this process keeps: the oldest are lost",
                "error",
            )
        self._overflow = attrs.evolve(gap, missed=(gap.missed or 0) + 1)
        if item.receipt is not None:
            item.receipt.fail()
        self._stand_in.lose(item.message_id)

    def _refused(self) -> None:
        """A line will never be stored."""
        self._status.lost += 1
        self.announce("A line is larger than the journal takes: it is not stored", "error")

    def _object(self, error: dict[str, Any]) -> None:
        """The server does not take a line, and says why."""
        if self._jetstream is not None:
            self._give_up(self._jetstream.trouble(error))

    # --- one connection ------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and write and follow until the connection ends; `started()` once it follows.

        Raises:
            JournalUnavailable: it is away; `reason` says how.
            JournalDenied: credentials are refused, or the stream cannot serve.
        """
        scope = trio.CancelScope()

        def on_end() -> None:
            # Of this connection: nats-py may come with the end of one when the next is tried.
            jetstream.end()
            scope.cancel()

        connection = NatsConnection(self._login, on_end)
        jetstream = JetStream(
            connection, self._login.address, self._config.name, self._writer.on_ack
        )
        self._trouble = None
        self._jetstream, self._scope = jetstream, scope
        if self._status.state is SourceState.STARTING:
            self._status.change(
                SourceState.CONNECTING, f"Connecting to the journal's {self._login.address}"
            )
        try:
            async with connection.connected(jetstream.subjects):
                with scope:
                    await self._attempt(connection, jetstream, task_status)
                self._stop_serving()
                error: SourceError
                if connection.end is not None:  # not yet by ourselves
                    error = jetstream.connection_error(was_up=self._status.state is SourceState.UP)
                else:
                    error = self._trouble or JournalUnavailable("The journal is left")
        finally:
            self._stop_serving()
        raise error

    async def _attempt(
        self,
        connection: NatsConnection,
        jetstream: JetStream,
        task_status: trio.TaskStatus[None],
    ) -> None:
        if connection.end is not None:
            return
        try:
            info = await jetstream.open_stream(self._config)
            self._returning = True
            backlog, consumer = await self._come_back(jetstream, info)
        except SourceError as error:
            self._trouble = error
            return
        finally:
            self._returning = False
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                follow = partial(self._follow, jetstream, consumer, backlog)
                write = partial(self._writer.write, jetstream)
                watch = partial(self._writer.watch, jetstream)
                for task in (follow, write, watch):
                    nursery.start_soon(self._until_trouble, task)
        finally:
            consumer.close()

    async def _until_trouble(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except SourceError as error:
            self._give_up(error)

    def _give_up(self, error: SourceError) -> None:
        self._trouble = self._trouble or error
        self._scope.cancel()

    def _stop_serving(self) -> None:
        if self._serving:
            self._serving = False
            self._writer.acknowledge_followed()
            self._turn()
            # Their senders come again; kept, what they sent would be stored twice.
            for receipt in self._outbox.receipts():
                self._outbox.withdraw(receipt)
            self._writer.room.unpark_all()

    def _turn(self) -> None:
        turned, self._turned = self._turned, trio.Event()
        turned.set()
        self._writer.work.set()

    # --- following -----------------------------------------------------------------------

    async def _come_back(self, jetstream: JetStream, info: StreamInfo) -> tuple[Backlog, Consumer]:
        """Go on with the stream: where we were, or at the newest part of it.

        First comes what the stream has already; by that it is known which of our lines are
        stored. Then it has to take one of the others: a full stream does all but that.
        """
        backlog = self._backlog = self._backlog_for(info)
        consumer = Consumer(jetstream)
        try:
            await self._read_up_to(jetstream, info, backlog, consumer)
        except BaseException:
            consumer.close()
            raise
        async with self._stand_in.segments:
            if self._hub.backlog is not backlog:
                self._rejoin(backlog)
            self._serving = True
        self._status.change(
            SourceState.UP, f"Following the journal {self._config.name} at {self._login.address}"
        )
        if self._overflow is not None:
            lost, self._overflow = self._overflow, None
            self.announce(
                f"{lost.missed:,} lines that came while the journal was away are not in it",
                gap=lost,
            )
        self._hub.opened.set()
        self._turn()
        self._writer.room.unpark_all()
        return backlog, consumer

    async def _read_up_to(
        self, jetstream: JetStream, info: StreamInfo, backlog: Backlog, consumer: Consumer
    ) -> None:
        """Read what the stream has; then see that it takes more."""
        await consumer.open(backlog.end.entry)
        expected = self._outbox.by_message_id()
        if self._unread:
            await self._read_names(jetstream, backlog.end.entry, expected)
        while backlog.end.entry <= info.last:
            run = await consumer.receive(RUN_LINES, wait=False)
            if not run:
                break
            self._writer.know_again(map(_message_id, run), expected)
            await self._take(run, backlog)
        if info.is_full and not len(self._outbox):  # there is nothing to try it with
            raise jetstream.full("it keeps what it has, and takes no more")
        await self._writer.begin(jetstream)

    async def _read_names(
        self, jetstream: JetStream, until: int, expected: Mapping[str, int]
    ) -> None:
        """Know our lines again in what is stored before `until`."""
        since = self._outbox.oldest_since
        if since is not None:
            consumer = Consumer(jetstream)
            try:
                await consumer.open(1, since_ns=int((since - CLOCKS) * 10**9), headers_only=True)
                number = 0
                while number < until and (run := await consumer.receive(RUN_LINES, wait=False)):
                    self._writer.know_again(map(_message_id, run), expected)
                    for stored in run:
                        self._stand_in.stored(_message_id(stored), stored.number)
                    number = run[-1].number
            finally:
                consumer.close()
        self._unread = False

    def _backlog_for(self, info: StreamInfo) -> Backlog:
        """The memory of the stream, which ends where we have left it."""
        seed = f"{self._config.name}\0{info.created}"
        epoch = "j" + blake2b(seed.encode(), digest_size=5).hexdigest()
        newest = max(info.first, info.last + 1 - self._backlog_lines, 1)
        backlog = self._backlog
        if backlog is not None and backlog.epoch.startswith(epoch):
            if info.last + 1 >= backlog.end.entry:
                if newest > backlog.end.entry:
                    self._unread = True
                    backlog.jump(newest)
                return backlog
            # The server has lost what it had acknowledged, and gives its numbers anew.
            epoch = f"{epoch}x{info.last}"
        self._writer.forget_followed(newest)
        self._unread = newest > info.first
        return Backlog(
            epoch,
            max_lines=self._backlog_lines,
            max_bytes=self._backlog_bytes,
            first=newest,
            persistent=True,
        )

    def _rejoin(self, backlog: Backlog) -> None:
        """Hand the readers over to the journal's segment."""
        segment = self._hub.segment
        last = segment if segment.backlog.persistent else segment.before
        start = backlog.end.entry
        if last is not None and last.backlog is backlog:
            start = last.flushed.entry
        elif last is not None and not _is_former(last.backlog, backlog):
            start = backlog.first  # another stream is in its place, and nobody has seen any of it
        elif self._stand_in.outage is not None:
            start = backlog.number_at(self._stand_in.outage.since)
        archive = StreamArchive(backlog.epoch, self._reach, self._archive_turns)
        self._stand_in.end(Segment(backlog, backlog.end, archive=archive), start)

    async def _follow(self, jetstream: JetStream, consumer: Consumer, backlog: Backlog) -> None:
        try:
            while True:
                run = await consumer.receive(RUN_LINES, wait=True)
                await self._take(run, backlog)
        except JournalUnavailable as error:
            if error.reason == "reader":
                await jetstream.info()  # which says better what is wrong, if it knows
            raise

    async def _take(self, run: Sequence[Stored], backlog: Backlog) -> None:
        """Give a run to the hub, or while that is on another segment, to the backlog alone."""
        waiting = deque(run)
        while waiting:
            if waiting[0].number < backlog.end.entry:
                waiting.popleft()
                continue
            if waiting[0].number > backlog.end.entry:
                backlog.jump(waiting[0].number)  # what would be between is not stored any more
            part = [waiting.popleft()]
            while waiting and waiting[0].number == part[-1].number + 1:
                part.append(waiting.popleft())
            entries = [entry_of(stored) for stored in part]
            arrivals = [stored.unix_ns // 1_000_000 for stored in part]
            names = [_message_id(stored) for stored in part]
            numbers = [stored.number for stored in part]
            new = self._stand_in.not_shown(entries, names, numbers)
            self._status.lines += len(part)
            self._status.bytes += sum(len(stored.payload) for stored in part)
            try:
                async with self._stand_in.segments:
                    if self._hub.backlog is backlog:
                        self._hub.count(new)
                        await self._hub.publish(entries, arrivals=arrivals)
                    else:
                        backlog.append(entries, [entry.cost for entry in entries], arrivals)
                        outage = self._stand_in.outage
                        if outage is not None and arrivals[-1] >= outage.since:
                            self._hub.count(new)
            finally:
                # Cancelled, it has fed the first of them: those will not be shown in another way.
                end = backlog.end.entry
                self._writer.came_back(names[: end - numbers[0]], end)

    async def _reach(self, epoch: str, deadline: float) -> JetStream:
        """The journal's connection, for who reads what is stored and waits so long for it."""
        with trio.move_on_at(deadline):
            while not self._serving:
                await self._turned.wait()
        jetstream, backlog = self._jetstream, self._backlog
        if not self._serving or jetstream is None or backlog is None or backlog.epoch != epoch:
            raise JournalUnavailable("The journal is away")
        return jetstream

    # --- while it is away ----------------------------------------------------------------

    async def stand_in(self) -> None:
        """Show this process's own lines while the journal is away. For ever."""
        while True:
            if self._serving:
                await self._turned.wait()
            elif await self._stays_away():
                async with self._stand_in.segments:
                    if not self._serving:
                        self._stand_in.begin()
                await self._stand_in.show()

    async def _stays_away(self) -> bool:
        """Wait for the journal's return, with patience; whether that is over."""
        started = trio.current_time()
        while not self._serving:
            waited = trio.current_time() - started
            if waited >= (RETURN_PATIENCE if self._returning else PATIENCE):
                return True
            with trio.move_on_after(PATIENCE / 10):
                await self._turned.wait()
        return False


def _is_former(backlog: Backlog, of: Backlog) -> bool:
    """Whether it is of the same stream, before the server lost some of that."""
    return of.epoch.startswith(backlog.epoch.partition("x")[0])


def _message_id(stored: Stored) -> str:
    """The id under which it was published; empty if it has none."""
    _, _, rest = stored.headers.partition(_ID_HEADER)
    return rest.partition(b"\r\n")[0].decode("ascii", "replace")
