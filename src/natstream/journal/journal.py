"""The journal: the entries of the sources go into a JetStream stream, and from there to the hub.

In: entries of the sources. Out: the stream's entries, published at the hub in the stream's order
and under its numbers. While the stream cannot be used, the hub gets this process's own lines, under
an epoch of their own. Each line waits in the `Outbox` until it is stored. Trouble raises a
`SourceError` with one sentence; then the supervisor waits, and calls `run` again.

Three tasks share one connection: one writes, one follows the stream, one watches that the server
acknowledges. `run_beside` lasts longer than a connection: it shows lines while there is none, and
answers readers that look far back.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NoReturn

import attrs
import trio

from natstream.entries.entry import Gap, LogEntry
from natstream.errors import JournalClosed, JournalUnavailable, SourceError
from natstream.hub.backlog import Backlog
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.hub.sink import JournalStatistics, Receipt
from natstream.journal.archive import READERS_AT_ONCE, StreamArchive
from natstream.journal.consumer import Consumer
from natstream.journal.fallback import Fallback
from natstream.journal.follower import Follower
from natstream.journal.jetstream import JetStream
from natstream.journal.loop_check import check_for_loop, is_denied
from natstream.journal.outbox import Item, StorageReceipt
from natstream.journal.state import PATIENCE, Availability, JournalState
from natstream.journal.stream_config import StreamConfig, StreamInfo
from natstream.journal.writer import Writer
from natstream.nats.connection import Login, NatsConnection

__all__ = ["Journal"]

# The most lines that are accepted from a source at once, before other tasks get their turn.
SLICE_LINES = 200
# Trouble of these kinds may pass within `PATIENCE`, and then readers are not told. Seconds between
# two tries meanwhile.
_BRIEF = ("unreachable", "no_leader", "reader", "max_payload")
RETRY_PAUSE = 0.1
# Brief trouble is told nevertheless if it is the fifth within a minute, because then it does not
# pass by itself.
MOST_BRIEF = 5
BRIEF_WITHIN = 60.0
# Seconds between two looks for a stream that publishes the journal's lines where they are read, and
# seconds to wait for the first look, because a cluster lists its streams slowly.
LOOP_CHECK_INTERVAL = 10.0
LOOP_CHECK_DEADLINE = 1.0


class Journal:
    """A `Sink` and a `Storage` whose entries reach the hub through a stream, shared by processes.

    Args:
        login: the journal's servers, and the credentials.
        config: the stream's name, and its limits if it has to be created.
        hub: the hub that publishes the stream's entries.
        status: the status of the journal, which is kept up to date.
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
        hub.hold_readers()
        self._state = JournalState()
        self._writer = Writer(
            on_overflow=self._on_overflow, on_too_large=self._on_too_large, on_error=self._on_error
        )
        self._outbox = self._writer.outbox
        limits = {"backlog_lines": backlog_lines, "backlog_bytes": backlog_bytes}
        self._fallback = Fallback(hub, self._writer, self._state, **limits)
        self._follower = Follower(hub, self._writer, self._fallback, status, **limits)
        self._jetstream: JetStream | None = None
        self._archive_turns = trio.CapacityLimiter(READERS_AT_ONCE)
        self._lookups: trio.Nursery | None = None
        """Where readers' questions to the archive are asked."""
        self._scope = trio.CancelScope()
        self._trouble: SourceError | None = None
        self._overflow: Gap | None = None
        self._closing = False
        self._left_at = float("-inf")
        """The time at which the journal last ceased to serve."""
        self._last_error: SourceError | None = None
        self._brief: deque[float] = deque(maxlen=MOST_BRIEF)
        """The times of the last brief troubles."""
        self._may_list = True
        """Whether the credentials may list the account's streams."""

    # --- sources -------------------------------------------------------------------------

    def publish_nowait(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Accept a few entries without waiting."""
        receipt = receipt if isinstance(receipt, StorageReceipt) else None
        if receipt is not None and receipt.term != self._state.term:
            receipt.fail()  # The journal was away, so the sender has to send all lines again.
            return
        self._writer.accept(entries, receipt)

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Accept any number of entries, at the pace at which they are stored or shown."""
        for start in range(0, len(entries), SLICE_LINES):
            while self._is_crowded:
                await self._writer.room.park()
            self.publish_nowait(entries[start : start + SLICE_LINES], receipt)
            await trio.lowlevel.checkpoint()

    def open_receipt(self, key: str) -> StorageReceipt:
        """Return a receipt; the same lines under the same `key` are stored once (see `Storage`).

        Raises:
            JournalUnavailable: the journal is away.
        """
        if not self._state.is_serving:
            raise JournalUnavailable("The journal is away")
        return StorageReceipt(key or secrets.token_hex(12), self._state.term)

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Send a notice to this process's readers."""
        self._hub.announce(message, type, gap=gap, public=public)

    def hurry(self) -> None:
        """Let no source wait from now on, because the sources are closing."""
        self._closing = True
        self._writer.room.unpark_all()

    async def settle(self) -> None:
        """Wait until every accepted line is stored and has come back, or the journal goes away."""
        while self._state.is_serving and not self._writer.is_settled:
            await self._writer.progress.park()

    def statistics(self) -> JournalStatistics:
        """Return a snapshot of what the journal holds and has done."""
        return JournalStatistics(
            waiting=len(self._outbox),
            waiting_bytes=self._outbox.bytes,
            stored=self._writer.stored,
            duplicates=self._writer.duplicates,
            away=self._fallback.is_showing,
            reason=self._status.reason,
        )

    @property
    def _is_crowded(self) -> bool:
        if self._closing:
            return False
        if self._fallback.is_showing:
            return self._outbox.is_crowded_with_unshown
        return self._state.is_serving and self._outbox.is_crowded

    def _on_overflow(self, item: Item) -> None:
        """Count a line that was evicted from the outbox before it was stored."""
        self._status.lost += 1
        gap = self._overflow or Gap(missed=0, since=time.time_ns() // 1_000_000)
        if self._overflow is None:
            self.announce(
                "More lines wait for the journal than this process keeps: the oldest are lost",
                "error",
            )
        self._overflow = attrs.evolve(gap, missed=(gap.missed or 0) + 1)
        if item.receipt is not None:
            item.receipt.fail()
        self._fallback.lose(item.message_id)

    def _on_too_large(self) -> None:
        """Count a line that the journal will never store."""
        self._status.lost += 1
        self.announce("A line is larger than the journal allows, so it is not stored", "error")

    def _on_error(self, error: dict[str, Any]) -> None:
        """End the connection, because the server refuses a line and says why."""
        if self._jetstream is not None:
            self._give_up(self._jetstream.trouble(error))

    # --- one connection ------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, write and follow; connect again at once while trouble is brief.

        Raises:
            JournalUnavailable: the journal is away; its `reason` says why.
            JournalDenied: credentials are refused, or the stream cannot serve.
        """
        async with trio.open_nursery() as nursery:
            while True:
                could_list, left_at = self._may_list, self._left_at
                error = self._last_error = await self._run_connection()
                if could_list and not self._may_list:
                    # The next connection begins without this refusal, which concerns only the list.
                    self._login = attrs.evolve(self._login)
                    continue
                if not self._is_brief(error, is_new=left_at != self._left_at):
                    break
                if left_at != self._left_at:
                    nursery.start_soon(self._tell_later, self._left_at)
                    self._status.restarts += 1
                await trio.sleep(RETRY_PAUSE)
            nursery.cancel_scope.cancel()
        raise error

    def _is_brief(self, error: SourceError, *, is_new: bool) -> bool:
        """Return whether to try again before readers are told of this trouble."""
        now = trio.current_time()
        if error.reason not in _BRIEF or now >= self._left_at + PATIENCE:
            return False
        if is_new:
            self._brief.append(now)
        return len(self._brief) < MOST_BRIEF or now - self._brief[0] > BRIEF_WITHIN

    async def _tell_later(self, left_at: float) -> None:
        """Tell readers of the trouble that began at `left_at`, unless it passes within `PATIENCE`.

        The try that is under way goes on meanwhile.
        """
        await trio.sleep_until(left_at + PATIENCE)
        if self._left_at == left_at and not self._state.is_serving and (error := self._last_error):
            self._status.change(SourceState.LOST, str(error), error.reason)

    async def _run_connection(self) -> SourceError:
        """Connect, write and follow until the connection ends, and return the reason."""
        scope = trio.CancelScope()

        def on_end() -> None:
            # The scope is this connection's, because nats-py may report the end of one connection
            # when the next is being tried.
            jetstream.end()
            scope.cancel()

        connection = NatsConnection(self._login, on_end)
        address = self._login.address
        jetstream = JetStream(
            connection, address=address, name=self._config.name, on_ack=self._writer.on_ack
        )
        self._trouble = None
        self._jetstream, self._scope = jetstream, scope
        if self._status.state is SourceState.STARTING:
            self._status.change(SourceState.CONNECTING, f"Connecting to the journal's {address}")
        try:
            async with connection.connected(jetstream.subjects):
                with scope:
                    await self._use(connection, jetstream)
                self._stop_serving()
                error: SourceError
                if connection.end is not None:  # The server or the network ended it.
                    error = jetstream.connection_error(was_up=self._status.state is SourceState.UP)
                    # Only the servers that refuse us are left alone; the others are asked again.
                    error.retry_after = connection.failure().retry_after
                else:
                    error = self._trouble or JournalUnavailable("The journal is left")
                self._may_list = self._may_list and not is_denied(jetstream)
        finally:
            self._stop_serving()
        return error

    async def _use(self, connection: NatsConnection, jetstream: JetStream) -> None:
        if connection.end is not None:
            return
        try:
            info = await jetstream.open_stream(self._config)
            with trio.move_on_after(LOOP_CHECK_DEADLINE):
                await self._check_for_loop(jetstream)
            self._state.change(Availability.RETURNING)
            backlog, consumer = await self._come_back(jetstream, info)
        except SourceError as error:
            self._trouble = error
            return
        try:
            async with trio.open_nursery() as nursery:
                follow = partial(self._follower.follow, jetstream, consumer, backlog)
                write = partial(self._writer.write, jetstream)
                watch = partial(self._writer.watch, jetstream)
                look = partial(self._look_for_loop, jetstream)
                for task in (follow, write, watch, look):
                    nursery.start_soon(self._until_trouble, task)
        finally:
            consumer.close()

    async def _check_for_loop(self, jetstream: JetStream) -> None:
        if self._may_list and self._config.read_subjects:
            with suppress(JournalUnavailable):  # The other tasks find out why.
                await check_for_loop(jetstream, self._config.read_subjects)

    async def _look_for_loop(self, jetstream: JetStream) -> NoReturn:
        while True:
            await trio.sleep(LOOP_CHECK_INTERVAL)
            await self._check_for_loop(jetstream)

    async def _until_trouble(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except SourceError as error:
            self._give_up(error)

    def _give_up(self, error: SourceError) -> None:
        self._trouble = self._trouble or error
        self._scope.cancel()

    def _stop_serving(self) -> None:
        was_serving = self._state.is_serving
        self._state.change(Availability.AWAY)
        if was_serving:
            self._left_at = trio.current_time()
            self._writer.acknowledge_followed()
            # These lines are removed, because their senders send them again.
            for receipt in self._outbox.receipts():
                self._outbox.withdraw(receipt)
            self._writer.wake_all()

    async def _come_back(self, jetstream: JetStream, info: StreamInfo) -> tuple[Backlog, Consumer]:
        """Return the stream's memory and consumer, once this process goes on with the stream.

        It goes on where the stream was left, or at the newest part. First the stored entries are
        read, so that this process's own lines among them are recognised. Then the server has to
        store one of the other lines, because a full stream answers every request, and only refuses
        lines.
        """
        backlog = self._follower.open_backlog(self._config.name, info)
        consumer = Consumer(jetstream)
        try:
            await self._follower.read_stored(jetstream, info, backlog, consumer)
            self._check_not_full(jetstream, info)
            await self._writer.begin(jetstream)
        except BaseException:
            consumer.close()
            raise
        async with self._fallback.segment_lock:
            if self._hub.backlog is not backlog:
                archive = StreamArchive(
                    backlog.epoch,
                    self._reach,
                    self._archive_turns,
                    self._start_lookup,
                    self._hub.label,
                )
                self._fallback.rejoin(backlog, archive)
            self._state.change(Availability.SERVING)
        self._status.change(
            SourceState.UP, f"Following the journal {self._config.name} at {self._login.address}"
        )
        if self._overflow is not None:
            lost, self._overflow = self._overflow, None
            self.announce(
                f"{lost.missed:,} lines that came while the journal was away are not in it",
                gap=lost,
            )
        self._writer.wake_all()
        return backlog, consumer

    def _check_not_full(self, jetstream: JetStream, info: StreamInfo) -> None:
        """Raise JournalUnavailable if the stream is full and no line waits to try it with."""
        if info.is_full and not len(self._outbox):
            raise jetstream.full("it keeps the lines that it has, and accepts no more")

    # --- beside the connections ----------------------------------------------------------

    async def run_beside(self) -> None:
        """Show lines while the journal is away, and answer readers; runs until it is cancelled."""
        async with trio.open_nursery() as self._lookups:
            try:
                await self._fallback.run()
            finally:
                self._lookups = None

    def _start_lookup(self, function: Callable[..., Awaitable[Any]], /, *args: Any) -> None:
        if self._lookups is None:
            raise JournalClosed("The journal is closed")
        self._lookups.start_soon(function, *args)

    async def _reach(self, epoch: str, deadline: float) -> JetStream:
        """Return the connection to the stream of `epoch`, and wait for it until `deadline`."""
        with trio.move_on_at(deadline):
            await self._state.wait_for(Availability.SERVING)
        jetstream, backlog = self._jetstream, self._follower.backlog
        is_same = backlog is not None and backlog.epoch == epoch
        if not self._state.is_serving or jetstream is None or not is_same:
            raise JournalUnavailable("The journal is away")
        return jetstream
