"""Following the stream: its entries, under its numbers, into the hub or into memory.

In: the messages of a consumer. Out: entries for the hub while readers are on the journal's
segment, and for the backlog of that segment while they are not; and, on the way, which of this
process's own lines are stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NoReturn

from natstream.errors import JournalUnavailable
from natstream.hub.backlog import Backlog
from natstream.hub.health import SourceStatus
from natstream.hub.hub import Hub
from natstream.journal.archive import entry_of
from natstream.journal.consumer import Consumer
from natstream.journal.fallback import Fallback
from natstream.journal.jetstream import JetStream, Stored, StreamInfo
from natstream.journal.writer import Writer

__all__ = ["Follower"]

# So many messages are received, parsed and published in one go.
RUN_LINES = 1_000
# A waiting line may have been stored by another process before it came here. The clocks of the two
# may differ by this many seconds.
CLOCK_DIFFERENCE = 30.0

_ID_HEADER = b"Nats-Msg-Id: "


class Follower:
    """Reads the stream over any number of connections, and remembers where it is.

    Args:
        hub: where the entries go.
        writer: whose lines are recognised in the stream.
        fallback: whose lines are recognised in the stream, and which hands readers over.
        status: counts lines and bytes.
        backlog_lines, backlog_bytes: how much of the stream is kept in memory.
    """

    def __init__(
        self,
        hub: Hub,
        writer: Writer,
        fallback: Fallback,
        status: SourceStatus,
        *,
        backlog_lines: int,
        backlog_bytes: int,
    ) -> None:
        self._hub, self._writer, self._fallback = hub, writer, fallback
        self._status = status
        self._backlog_lines, self._backlog_bytes = backlog_lines, backlog_bytes
        self.backlog: Backlog | None = None
        """The memory of the stream; `None` before the first connection."""
        self._skipped = False
        """Whether the stream holds lines between the last position and the start of memory."""

    def open_backlog(self, stream: str, info: StreamInfo) -> Backlog:
        """Return the memory of the stream, which ends where it was left, and keep it.

        Args:
            stream: the stream's name.
            info: the stream as it is.
        """
        seed = f"{stream}\0{info.created}"
        epoch = "j" + blake2b(seed.encode(), digest_size=5).hexdigest()
        newest = max(info.first, info.last + 1 - self._backlog_lines, 1)
        backlog = self.backlog
        if backlog is not None and backlog.epoch.startswith(epoch):
            if info.last + 1 >= backlog.end.entry:
                if newest > backlog.end.entry:
                    self._skipped = True
                    backlog.jump(newest)
                return backlog
            # The server has lost entries that it had acknowledged, and reuses their numbers.
            epoch = f"{epoch}x{info.last}"
        self._writer.forget_followed(newest)
        self._skipped = newest > info.first
        self.backlog = Backlog(
            epoch,
            max_lines=self._backlog_lines,
            max_bytes=self._backlog_bytes,
            first=newest,
            persistent=True,
        )
        return self.backlog

    async def read_stored(
        self, jetstream: JetStream, info: StreamInfo, backlog: Backlog, consumer: Consumer
    ) -> None:
        """Read the entries that the stream has already.

        Raises:
            JournalUnavailable: the journal does not answer.
        """
        await consumer.open(backlog.end.entry)
        expected = self._writer.outbox.by_message_id()
        if self._skipped:
            await self._read_names(jetstream, backlog.end.entry, expected)
        while backlog.end.entry <= info.last:
            run = await consumer.receive(RUN_LINES, wait=False)
            if not run:
                break
            self._writer.recognise(map(_message_id, run), expected)
            await self._deliver(run, backlog)

    async def follow(self, jetstream: JetStream, consumer: Consumer, backlog: Backlog) -> NoReturn:
        """Read what is stored from now on.

        Raises:
            JournalUnavailable: the journal gives no more.
        """
        try:
            while True:
                await self._deliver(await consumer.receive(RUN_LINES, wait=True), backlog)
        except JournalUnavailable as error:
            if error.reason == "reader":
                await jetstream.info()  # It raises a better reason if it knows one.
            raise

    async def _read_names(
        self, jetstream: JetStream, until: int, expected: Mapping[str, int]
    ) -> None:
        """Recognise this process's own lines among those stored before `until`."""
        since = self._writer.outbox.oldest_since
        if since is not None:
            consumer = Consumer(jetstream)
            try:
                since_ns = int((since - CLOCK_DIFFERENCE) * 10**9)
                await consumer.open(1, since_ns=since_ns, headers_only=True)
                number = 0
                while number < until and (run := await consumer.receive(RUN_LINES, wait=False)):
                    self._writer.recognise(map(_message_id, run), expected)
                    for stored in run:
                        self._fallback.stored(_message_id(stored), stored.number)
                    number = run[-1].number
            finally:
                consumer.close()
        self._skipped = False

    async def _deliver(self, run: Sequence[Stored], backlog: Backlog) -> None:
        """Publish messages at the hub, or put them into the backlog while readers are elsewhere."""
        waiting = deque(run)
        while waiting:
            if waiting[0].number < backlog.end.entry:
                waiting.popleft()
                continue
            if waiting[0].number > backlog.end.entry:
                backlog.jump(waiting[0].number)  # The entries between are no longer stored.
            part = [waiting.popleft()]
            while waiting and waiting[0].number == part[-1].number + 1:
                part.append(waiting.popleft())
            await self._deliver_consecutive(part, backlog)

    async def _deliver_consecutive(self, part: Sequence[Stored], backlog: Backlog) -> None:
        entries = [entry_of(stored) for stored in part]
        arrivals = [stored.unix_ns // 1_000_000 for stored in part]
        names = [_message_id(stored) for stored in part]
        numbers = [stored.number for stored in part]
        new = self._fallback.not_shown(entries, names, numbers)
        self._status.lines += len(part)
        self._status.bytes += sum(len(stored.payload) for stored in part)
        try:
            async with self._fallback.segment_lock:
                if self._hub.backlog is backlog:
                    self._hub.count(new)
                    await self._hub.publish(entries, arrivals=arrivals)
                else:
                    backlog.append(entries, [entry.cost for entry in entries], arrivals)
                    outage = self._fallback.outage
                    if outage is not None and arrivals[-1] >= outage.since:
                        self._hub.count(new)
        finally:
            # If it is cancelled, it has published the first of them, which must not be shown again.
            end = backlog.end.entry
            self._writer.came_back(names[: end - numbers[0]], end)


def _message_id(stored: Stored) -> str:
    """Return the id under which a message was published, or an empty text if it has none."""
    _, _, rest = stored.headers.partition(_ID_HEADER)
    return rest.partition(b"\r\n")[0].decode("ascii", "replace")
