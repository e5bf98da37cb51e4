"""What goes out: lines under names of their own, published in order, until they are stored.

In: entries. Out: messages on a connection's JetStream, a bounded number of them at once; each line
stays in the `Outbox` until the server has acknowledged it, or the stream itself has shown it. What
the server objects to is handed on; what it never answers is a `JournalUnavailable`.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
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

# The server acknowledges within milliseconds; a cluster without a leader never.
ACK_DEADLINE = 3.0
# A cluster that is storing the same line for another process says so, and takes no other until it
# has. That is milliseconds, too.
BUSY_PAUSE = 0.1
# How long the server may take to say why nobody takes lines; a leader would know at once.
EXPLAIN_DEADLINE = 0.5
# Bytes that may wait for the network before more is written.
UNSENT_BYTES = 1 << 20
# Stored lines that have not come back: while that lags this far, the oldest of them would be shown
# late, after an outage.
MAX_UNSEEN = 10_000

# What a message's headers take at the most.
HEADER_BYTES = 1_024

_STORED = re.compile(rb'\{"stream": ?"[^"]+", ?(?:"domain": ?"[^"]*", ?)?"seq": ?(\d+)')
_NO_ANSWER = "The journal acknowledges nothing: it may have no leader just now"
_TOO_LARGE = 10054
_IS_STORING_IT = 10158


class Writer:
    """Everything between a source and the stream, over as many connections as it takes.

    Args:
        on_overflow: told of each line that had to go before it was stored.
        on_too_large: told of each that the stream will never take.
        on_error: told of whatever else the server objects to.
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
        self.outbox = Outbox()
        self._names, self._followed = Names(), Followed()
        self.work = trio.Event()
        """Set when there is something to write or to show."""
        self.room = trio.lowlevel.ParkingLot()
        """Where those wait who have more than can be taken just now."""
        self._busy: list[int] = []
        """What the server was storing for another process when it was sent."""
        self._refused = trio.Event()
        """Set when nobody takes what is sent."""
        self._end = 0
        """The number after the last one that has come back from the stream."""
        self._unseen: OrderedDict[int, Item] = OrderedDict()
        """Lines by their number in the stream: stored, and not yet come back from it."""
        self._max_payload = 1 << 20
        self.stored = self.duplicates = self._newest = 0

    # --- in ------------------------------------------------------------------------------

    def take(self, entries: Iterable[LogEntry], receipt: StorageReceipt | None) -> None:
        """Let entries wait until they are stored. Never waits itself."""
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
        """The id under which the journal stores it, once."""
        if receipt is None:
            return self._names.name(entry, now)
        receipt.entries += 1
        place = (entry.app_name, entry.region, entry.machine_id)
        # Two senders may give their batches the same names: what differs at all is stored.
        what = (entry.stream, entry.level, entry.timestamp, entry.message)
        seed = "\0".join((receipt.key, str(receipt.entries), *place, *what))
        return blake2b(seed.encode("utf-8", "replace"), digest_size=15).hexdigest()

    # --- out -----------------------------------------------------------------------------

    async def begin(self, jetstream: JetStream) -> None:
        """Start anew on a connection: see that the server takes lines, if there are any.

        Raises:
            JournalUnavailable: it does not answer; what it answers ends the connection.
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
                await trio.sleep(0.005)
                if self._refused.is_set():
                    await self._explain_refusal(jetstream)
            return
        raise JournalUnavailable(_NO_ANSWER, "no_leader")

    async def write(self, jetstream: JetStream) -> NoReturn:
        """Publish what waits, as far as the window reaches, in one piece each time."""
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
            while jetstream.connection.unsent > UNSENT_BYTES:  # noqa: ASYNC110 - nats-py tells nobody
                await trio.sleep(0.002)

    async def watch(self, jetstream: JetStream) -> NoReturn:
        """See that what is sent is acknowledged, each line of it.

        Raises:
            JournalUnavailable: one is not.
        """
        oldest, waited, now = 0, 0.0, trio.current_time()
        while True:
            with trio.move_on_after(BUSY_PAUSE):
                await self._refused.wait()
            if self._refused.is_set():
                await self._explain_refusal(jetstream)
            last, now = now, trio.current_time()
            # While this machine stood still, the answer may have come.
            waited += min(now - last, 2 * BUSY_PAUSE)
            if oldest != self.outbox.oldest_in_flight:
                oldest, waited = self.outbox.oldest_in_flight, 0.0
            if oldest and waited > ACK_DEADLINE:
                self.acknowledge_followed()
                if oldest == self.outbox.oldest_in_flight:
                    raise JournalUnavailable(_NO_ANSWER, "no_leader")
            if self._busy:
                for number in self._busy:
                    item = self.outbox.get(number)
                    if item is not None and self._followed.holds(item.message_id, now):
                        self._acknowledge(number, duplicate=False)
                    self.outbox.send_again(number)
                self._busy = []
                self.work.set()

    def _publication(self, jetstream: JetStream, number: int, item: Item) -> bytes:
        subject, payload = encode(item.entry, self._max_payload)
        return jetstream.publication(number, subject, item.message_id, payload)

    async def _explain_refusal(self, jetstream: JetStream) -> NoReturn:
        with trio.move_on_after(EXPLAIN_DEADLINE):
            await jetstream.info()  # which says why, if it knows
        raise JournalUnavailable(
            "Nobody takes lines for the journal: it may have no leader just now", "no_leader"
        )

    # --- what is stored ------------------------------------------------------------------

    def on_ack(self, number: int, payload: bytes, headers: bytes) -> None:
        """What the server says of a line that was published."""
        if match := _STORED.match(payload):
            place = int(match[1])
            self._newest = max(self._newest, place)
            item = self._acknowledge(number, duplicate=b'"duplicate"' in payload)
            if item is not None and place >= self._end:
                self._unseen[place] = item
                if len(self._unseen) > MAX_UNSEEN:
                    self._unseen.popitem(last=False)
            return
        if headers.startswith(b"NATS/1.0 503"):
            self._refused.set()
            return
        try:
            error = json.loads(payload)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"description": "what nobody understands"}
        if error.get("err_code") == _IS_STORING_IT:
            self._busy.append(number)
        elif error.get("err_code") == _TOO_LARGE:
            # It never will be taken, and the others must not wait for it. The stream takes less
            # than it did: those to come will be cut.
            self.outbox.refuse(number)
            self._max_payload = 0
            self.work.set()
            self._on_too_large()
        else:
            self._on_error(error)

    def came_back(self, names: Sequence[str], end: int) -> None:
        """The stream has shown these, the last of them just before the number `end`."""
        self._end = end
        self._followed.add(names, trio.current_time())
        while self._unseen and next(iter(self._unseen)) < end:
            self._unseen.popitem(last=False)

    def know_again(self, names: Iterable[str], expected: Mapping[str, int]) -> None:
        """Let go of those that are among these, which are stored: `expected` of `by_message_id`."""
        for name in names:
            if (number := expected.get(name)) is not None:
                self._acknowledge(number, duplicate=False)

    def acknowledge_followed(self) -> None:
        """Let go of what the stream has, though the server has not said so."""
        now = trio.current_time()
        for name, number in self.outbox.by_message_id().items():
            if self._followed.holds(name, now):
                self._acknowledge(number, duplicate=False)

    def forget_followed(self, end: int) -> None:
        """The stream is another one now; it goes on with the number `end`."""
        self._followed.clear()
        self._end = end
        for item in self.take_unseen():  # nobody has seen it, and it may be gone with the other
            for _, gone in self.outbox.put(item.entry, item.message_id, None):
                self._on_overflow(gone)

    def take_unseen(self) -> list[Item]:
        """What is stored, and had not come back; to be shown in another way."""
        items = [item for _, item in sorted(self._unseen.items())]
        self._unseen.clear()
        return items

    @property
    def is_settled(self) -> bool:
        """Whether all is stored and has come back."""
        return not len(self.outbox) and self._end > self._newest

    def _acknowledge(self, number: int, *, duplicate: bool) -> Item | None:
        item = self.outbox.stored(number)
        if item is not None:
            self.stored += 1
            self.duplicates += duplicate
        self.work.set()
        return item
