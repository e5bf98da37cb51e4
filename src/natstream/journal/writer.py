"""Writing to the stream: each line gets a name, and is published until it is stored.

In: entries. Out: messages on a connection's JetStream, in order, with a bounded number in flight.
Each line stays in the `Outbox` until the server has acknowledged it, or until it was read from the
stream. An error of the server's goes to `on_error`; a line that the server does not acknowledge in
time raises `JournalUnavailable`.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, NoReturn

import trio

from natstream.entries.entry import LogEntry
from natstream.errors import JournalUnavailable
from natstream.journal.dedup import Followed, Names
from natstream.journal.jetstream import JetStream
from natstream.journal.messages import encode
from natstream.journal.outbox import Item, Outbox, StorageReceipt

__all__ = ["Writer"]

# Seconds. The server acknowledges within milliseconds, but a cluster without a leader never does.
ACK_DEADLINE = 3.0
# Seconds until a line is sent again that a cluster refuses, because it is just storing the same
# line for another process. That takes milliseconds, too.
BUSY_PAUSE = 0.1
# Seconds to wait for the reason why no server accepts lines. A leader would know it at once.
EXPLAIN_DEADLINE = 0.5
# While more bytes than this wait for the network, no more are written.
UNSENT_BYTES = 1 << 20
# The most stored lines to remember until they are read from the stream. If following lags further,
# readers see the oldest of them only after the next outage, and not during it.
MAX_UNSEEN = 10_000

# The most bytes that a message's headers have.
HEADER_BYTES = 1_024

_STORED = re.compile(rb'\{"stream": ?"[^"]+", ?(?:"domain": ?"[^"]*", ?)?"seq": ?(\d+)')
_NO_ANSWER = "The journal acknowledges nothing: it may have no leader just now, or a full disk"
_TOO_LARGE = 10054
_IS_STORING_IT = 10158


class Writer:
    """Carries lines from the sources to the stream, over any number of connections.

    Args:
        on_overflow: called with each line that was evicted before it was stored.
        on_too_large: called for each line that is too large for the stream.
        on_error: called with each other error of the server's.
    """

    def __init__(
        self,
        *,
        on_overflow: Callable[[Item], None],
        on_too_large: Callable[[], None],
        on_error: Callable[[dict[str, Any]], None],
    ) -> None:
        self._on_overflow, self._on_too_large = on_overflow, on_too_large
        self._on_error = on_error
        self.outbox: Outbox = Outbox()
        self._names, self._followed = Names(), Followed()
        self.work: trio.Event = trio.Event()
        """Set when there are lines to write or to show."""
        self.room: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        """Where publishers wait while the outbox is crowded."""
        self.progress: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        """Where tasks wait for lines to be sent, acknowledged, or read from the stream."""
        self._busy: list[int] = []
        """Lines that the server was storing for another process when they were sent."""
        self._refused = trio.Event()
        """Set when no server accepts the lines that are sent."""
        self._end = 0
        """The number after the last line that was read from the stream."""
        self._unseen: OrderedDict[int, Item] = OrderedDict()
        """Lines that are stored and not yet read from the stream, by their number there."""
        self._max_payload = 1 << 20
        self.stored: int = 0
        self.duplicates: int = 0
        self._newest = 0

    # --- from the sources ----------------------------------------------------------------

    def accept(self, entries: Iterable[LogEntry], receipt: StorageReceipt | None) -> None:
        """Keep entries until they are stored, without waiting."""
        now = trio.current_time()
        for entry in entries:
            name = self._name(entry, receipt, now)
            if self._followed.holds(name, now):
                self.stored += 1
                self.duplicates += 1
                continue
            for _, item in self.outbox.put(entry, name, receipt):
                self._on_overflow(item)
        self.work.set()

    def _name(self, entry: LogEntry, receipt: StorageReceipt | None, now: float) -> str:
        """Return the message id under which the journal stores the entry once."""
        if receipt is None:
            return self._names.name(entry, now)
        receipt.entries += 1
        sender = (entry.app_name, entry.region, entry.machine_id)
        # Two senders may give their batches the same key. Then lines that differ are both stored.
        line = (entry.stream, entry.level, entry.timestamp, entry.message)
        seed = "\0".join((receipt.key, str(receipt.entries), *sender, *line))
        return blake2b(seed.encode("utf-8", "replace"), digest_size=15).hexdigest()

    # --- to the stream -------------------------------------------------------------------

    async def begin(self, jetstream: JetStream) -> None:
        """Start anew on a connection, and wait until the server stores the first line that waits.

        An error of the server's goes to `on_error`, which ends the connection.

        Raises:
            JournalUnavailable: the server does not answer.
        """
        self.outbox.rewind()
        self._max_payload = jetstream.max_message - HEADER_BYTES
        self._busy = []
        self._newest = 0
        self._refused = trio.Event()
        for number, item in islice(self.outbox.unsent(), 1):
            jetstream.connection.send(self._publication(jetstream, number, item))
        with trio.move_on_after(ACK_DEADLINE):
            while self.outbox.in_flight and not self._busy:
                if self._refused.is_set():
                    await self._explain_refusal(jetstream)
                await self.progress.park()
            return
        await self._explain_silence(jetstream)

    async def write(self, jetstream: JetStream) -> NoReturn:
        """Publish the lines that wait, as many as may be in flight, in one piece each time."""
        while True:
            await self.work.wait()
            self.work = trio.Event()
            if not self._max_payload:
                await jetstream.info()
                self._max_payload = jetstream.max_message - HEADER_BYTES
            commands = [
                self._publication(jetstream, number, item) for number, item in self.outbox.unsent()
            ]
            if commands:
                jetstream.connection.send(b"".join(commands))
                self.room.unpark_all()
                self.progress.unpark_all()
            while jetstream.connection.unsent > UNSENT_BYTES:
                await jetstream.connection.wait_sent()

    async def watch(self, jetstream: JetStream) -> NoReturn:
        """Check that the server acknowledges each line that is sent.

        Raises:
            JournalUnavailable: a line is not acknowledged in time.
        """
        oldest, waited, now = 0, 0.0, trio.current_time()
        stored = self.stored
        while True:
            while not self.outbox.in_flight and not self._busy:
                await self.progress.park()
                now = trio.current_time()
            with trio.move_on_after(BUSY_PAUSE):
                await self._refused.wait()
            if self._refused.is_set():
                await self._explain_refusal(jetstream)
            last, now = now, trio.current_time()
            # A long sleep counts as a short one, because this machine may have stood still, and the
            # answer may have come meanwhile.
            waited += min(now - last, 2 * BUSY_PAUSE)
            if oldest != self.outbox.oldest_in_flight:
                oldest, waited, stored = self.outbox.oldest_in_flight, 0.0, self.stored
            if oldest and waited > ACK_DEADLINE:
                self.acknowledge_followed()
                if oldest == self.outbox.oldest_in_flight:
                    if self.stored == stored:
                        await self._explain_silence(jetstream)
                    raise JournalUnavailable(_NO_ANSWER, "no_leader")
            if self._busy:
                for number in self._busy:
                    item = self.outbox.get(number)
                    if item is not None and self._followed.holds(item.message_id, now):
                        self._acknowledge(number, duplicate=False)
                    self.outbox.send_again(number)
                self._busy = []
                self.work.set()
                self.progress.unpark_all()

    def _publication(self, jetstream: JetStream, number: int, item: Item) -> bytes:
        subject, payload = encode(item.entry, self._max_payload)
        return jetstream.publication(number, subject, item.message_id, payload)

    async def _explain_refusal(self, jetstream: JetStream) -> NoReturn:
        with trio.move_on_after(EXPLAIN_DEADLINE):
            await jetstream.info()  # It raises a better reason if it knows one.
        raise JournalUnavailable(
            "No server accepts lines for the journal: it may have no leader just now", "no_leader"
        )

    async def _explain_silence(self, jetstream: JetStream) -> NoReturn:
        info = await jetstream.info()  # It raises a better reason if it knows one.
        if info.current is None:
            # Since nats-server 2.15, a server whose disk is full answers requests, but never
            # acknowledges a line. Without copies on other servers, no leader can be missing.
            raise jetstream.full(
                "it acknowledges nothing, although its server answers; the server's disk may be "
                "full or broken, and the server's log says why"
            )
        raise JournalUnavailable(_NO_ANSWER, "no_leader")

    # --- lines that are stored -----------------------------------------------------------

    def on_ack(self, number: int, payload: bytes, headers: bytes) -> None:
        """Handle the server's answer to a line that was published.

        Args:
            number: the line's number in the outbox.
            payload: the answer, as JSON.
            headers: the raw headers; empty if there are none.
        """
        self._handle_ack(number, payload, headers)
        self.progress.unpark_all()

    def _handle_ack(self, number: int, payload: bytes, headers: bytes) -> None:
        if match := _STORED.match(payload):
            stored_number = int(match[1])
            self._newest = max(self._newest, stored_number)
            item = self._acknowledge(number, duplicate=b'"duplicate"' in payload)
            if item is not None and stored_number >= self._end:
                self._unseen[stored_number] = item
                if len(self._unseen) > MAX_UNSEEN:
                    self._unseen.popitem(last=False)
            return
        if headers.startswith(b"NATS/1.0 503"):
            self._refused.set()
            return
        try:
            error = json.loads(payload)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"description": "an answer that natstream cannot read"}
        if error.get("err_code") == _IS_STORING_IT:
            self._busy.append(number)
        elif error.get("err_code") == _TOO_LARGE:
            # The line is removed, because it will never be stored and others would wait for it. The
            # stream accepts only smaller messages than before, so later lines are cut.
            self.outbox.refuse(number)
            self._max_payload = 0
            self.work.set()
            self._on_too_large()
        else:
            self._on_error(error)

    def add_followed(self, names: Iterable[str], end: int) -> None:
        """Note that the stream was read up to the number `end`.

        Args:
            names: the message ids of the lines that were read.
            end: the number after the last line.
        """
        self._end = end
        self._followed.add(names, trio.current_time())
        while self._unseen and next(iter(self._unseen)) < end:
            self._unseen.popitem(last=False)
        self.progress.unpark_all()

    def recognise(self, names: Iterable[str], expected: Mapping[str, int]) -> None:
        """Remove the lines from the outbox that the stream holds.

        Args:
            names: message ids in the stream.
            expected: the result of `Outbox.by_message_id`.
        """
        for name in names:
            if (number := expected.get(name)) is not None:
                self._acknowledge(number, duplicate=False)

    def acknowledge_followed(self) -> None:
        """Remove the lines that were read from the stream without an acknowledgement."""
        now = trio.current_time()
        for name, number in self.outbox.by_message_id().items():
            if self._followed.holds(name, now):
                self._acknowledge(number, duplicate=False)
        self.progress.unpark_all()

    def forget_followed(self, end: int) -> None:
        """Begin to follow another stream, at the number `end`."""
        unseen = self.pop_unseen()
        self._followed.clear()
        self._end = end
        # The unseen lines are stored again, because they may be lost with the old stream.
        for item in unseen:
            for _, dropped in self.outbox.put(item.entry, item.message_id, None):
                self._on_overflow(dropped)

    def pop_unseen(self) -> list[Item]:
        """Forget and return the lines that are stored and were not read from the stream."""
        # A line that was read from the stream may stand behind a line that was not, because the
        # numbers do not ascend if another process has stored some of the lines earlier.
        unseen = [item for number, item in sorted(self._unseen.items()) if number >= self._end]
        self._unseen.clear()
        return unseen

    @property
    def is_settled(self) -> bool:
        """Whether every line is stored and was read from the stream."""
        return not len(self.outbox) and self._end > self._newest

    def wake_all(self) -> None:
        """Wake every task that waits here, because the journal's state has changed."""
        self.work.set()
        self.room.unpark_all()
        self.progress.unpark_all()

    def _acknowledge(self, number: int, *, duplicate: bool) -> Item | None:
        item = self.outbox.stored(number)
        if item is not None:
            self.stored += 1
            self.duplicates += duplicate
        self.work.set()
        return item
