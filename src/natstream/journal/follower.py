"""Following the stream: its entries go into the hub or into memory, under the stream's numbers.

In: the messages of a consumer. Out: entries for the hub while readers are on the journal's
segment, and entries for the backlog of that segment while they are not. On the way, this process's
own lines are recognised, so that they are neither stored nor shown twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NoReturn

from natstream.entries.continuation import LOOK_BACK, Continuations
from natstream.errors import JournalUnavailable
from natstream.hub.backlog import Backlog
from natstream.hub.health import SourceStatus
from natstream.hub.hub import Hub
from natstream.hub.published import Published
from natstream.journal.archive import entry_of
from natstream.journal.consumer import Consumer
from natstream.journal.fallback import Fallback
from natstream.journal.jetstream import JetStream, Stored
from natstream.journal.stream_config import StreamInfo
from natstream.journal.writer import Writer

__all__ = ["Follower"]

# So many messages are received, parsed and published at once.
RUN_LINES = 1_000
# A waiting line may have been stored by another process before it came here. The clocks of the two
# may differ by this many seconds.
CLOCK_DIFFERENCE = 30.0

_ID_HEADER = b"Nats-Msg-Id: "


class Follower:
    """Reads the stream over any number of connections, and remembers its position there.

    Args:
        hub: publishes the entries.
        writer: has the lines that are to be stored.
        fallback: shows lines during outages.
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
        """Return the memory of the stream, and remember it.

        The memory goes on where it ended before, if this is the same stream. If the stream holds
        more lines since then than memory does, it begins at the newest part of them.

        Args:
            stream: the stream's name.
            info: the state of the stream.
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
                    # The archive gives readers the lines before, so an outage must not show them.
                    self._writer.add_followed((), newest)
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
        """Read the entries that the stream holds already.

        Raises:
            JournalUnavailable: the journal does not answer.
        """
        start = backlog.end.entry
        if not backlog.lines:
            # The memory may begin inside a stack trace, so the lines before it are looked at, too.
            backlog.continuations = Continuations()
            start -= LOOK_BACK
        await consumer.open(start)
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
        """Read the entries that are stored from now on.

        Raises:
            JournalUnavailable: the consumer is lost, or the journal does not answer.
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
        # A line that was shown may have been stored before the outage, and then does not wait.
        times = [self._writer.outbox.oldest_since, self._fallback.oldest_since]
        since = [each for each in times if each is not None]
        if since:
            consumer = Consumer(jetstream)
            try:
                since_ns = int((min(since) - CLOCK_DIFFERENCE) * 10**9)
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
        """Publish messages at the hub, or keep them in the backlog during an outage."""
        waiting = deque(run)
        while waiting:
            if waiting[0].number < backlog.end.entry:
                stored = waiting.popleft()
                if not backlog.lines:
                    backlog.continuations.join([entry_of(stored)])
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
        self._status.lines += len(part)
        self._status.last_line = max(self._status.last_line, arrivals[-1] / 1_000)
        for source in {entry.source for entry in entries}:
            self._status.last_lines[source] = self._status.last_line
        self._status.bytes += sum(len(stored.payload) for stored in part)
        try:
            async with self._fallback.segment_lock:
                shown = self._fallback.shown(names, numbers)
                if self._hub.backlog is backlog:
                    await self._hub.publish(entries, arrivals=arrivals, counted=shown)
                else:
                    costs = [entry.cost for entry in entries]
                    labelled = self._hub.label(entries, arrivals)
                    remembered = backlog.append(labelled, costs, arrivals)
                    outage = self._fallback.outage
                    if outage is not None and arrivals[-1] >= outage.since:
                        published = Published(backlog.epoch, numbers, remembered, arrivals)
                        self._hub.count(published.without(shown))
        finally:
            # A cancelled `publish` has published the first entries, which must not be shown again.
            end = backlog.end.entry
            self._writer.add_followed(names[: end - numbers[0]], end)


def _message_id(stored: Stored) -> str:
    """Return the id under which a message was published; an empty text if it has none."""
    _, _, rest = stored.headers.partition(_ID_HEADER)
    return rest.partition(b"\r\n")[0].decode("ascii", "replace")
