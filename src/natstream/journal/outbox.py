"""What has been read and is not yet known to be stored; bounded. No I/O.

Each line stays here until the journal has acknowledged it, so that nothing is lost when that is
away for a while. Past the limits the oldest goes, and is counted. While the journal is away the
same lines are shown to this process's readers: how far that has come is kept here too.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.errors import JournalUnavailable

__all__ = ["Item", "Outbox", "StorageReceipt"]

# Minutes of a busy organisation, and the memory that it may take.
MAX_LINES = 100_000
MAX_BYTES = 128 * 2**20
# Sent and not yet acknowledged: enough for a thousand lines a millisecond on the way.
WINDOW_LINES = 2_000
WINDOW_BYTES = 8 * 2**20
# Past this many that are not even sent (or shown), whoever feeds more waits.
CROWDED = 4_000
# An entry's message id, its place in here, and the command that sends it.
ITEM_OVERHEAD = 400


class StorageReceipt:
    """Says when all that was handed over with it is stored, or that it will not be."""

    def __init__(self, key: str, term: int = 0) -> None:
        self.key = key
        """What the ids of its entries are derived from."""
        self.term = term
        """The journal's term (see `JournalState`); in a later term its entries are refused."""
        self.entries = 0
        """How many entries were handed over with it."""
        self.missing: set[int] = set()
        """The numbers in the outbox of those that are not yet stored."""
        self.failed = False
        self._settled = trio.Event()

    def stored(self, number: int) -> None:
        """One is."""
        self.missing.discard(number)
        if not self.missing:
            self._settled.set()

    def fail(self) -> None:
        """They will not all be."""
        self.failed = True
        self._settled.set()

    async def confirmed(self) -> None:
        """Wait until all are stored.

        Raises:
            JournalUnavailable: they will not be.
        """
        while self.missing and not self.failed:
            if self._settled.is_set():  # by what was handed over before the rest
                self._settled = trio.Event()
            await self._settled.wait()
        if self.failed:
            raise JournalUnavailable("The journal has not taken all of it")


@attrs.define(eq=False)
class Item:
    """A line that waits."""

    entry: LogEntry
    message_id: str
    receipt: StorageReceipt | None
    cost: int
    since: float
    """Unix seconds."""


class Outbox:
    """Lines by number, in the order they came."""

    def __init__(self, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self._max_lines, self._max_bytes = max_lines, max_bytes
        # Of a plain dict, the way to the first one passes all that were deleted before it.
        self._items: OrderedDict[int, Item] = OrderedDict()
        self._next = self._unsent = self._unshown = 1
        self._in_flight = self._in_flight_bytes = 0
        # Sent once, and to be sent again.
        self._again: set[int] = set()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def end(self) -> int:
        """The number that the next line gets."""
        return self._next

    @property
    def is_crowded(self) -> bool:
        """Whether many have not yet been sent."""
        return self._next - self._unsent + len(self._again) > CROWDED

    @property
    def is_crowded_with_unshown(self) -> bool:
        """Whether many have not yet been shown."""
        return self._next - self._unshown > CROWDED

    @property
    def in_flight(self) -> int:
        """How many were sent and are not yet acknowledged."""
        return self._in_flight

    @property
    def oldest_in_flight(self) -> int:
        """The number of the oldest of them; 0 if there are none."""
        return next(iter(self._items)) if self._in_flight else 0

    @property
    def oldest_since(self) -> float | None:
        """Since when the oldest line waits, in Unix seconds."""
        oldest = next(iter(self._items.values()), None)
        return None if oldest is None else oldest.since

    def put(
        self, entry: LogEntry, message_id: str, receipt: StorageReceipt | None
    ) -> list[tuple[int, Item]]:
        """Add a line; but none of a receipt that has failed: it will be sent again with the rest.

        Returns:
            What had to go for it.
        """
        if receipt is not None and receipt.failed:
            return []
        cost = entry.cost + ITEM_OVERHEAD
        self._items[self._next] = Item(entry, message_id, receipt, cost, time.time())
        if receipt is not None:
            receipt.missing.add(self._next)
        self._next += 1
        self.bytes += cost
        gone: list[tuple[int, Item]] = []
        while len(self._items) > self._max_lines or (
            self.bytes > self._max_bytes and len(self._items) > 1
        ):
            number = next(iter(self._items))
            gone.append((number, self._remove(number)))
        return gone

    def stored(self, number: int) -> Item | None:
        """Let go of a line, which is stored; `None` if it has gone before."""
        if number not in self._items:
            return None
        item = self._remove(number)
        if item.receipt is not None:
            item.receipt.stored(number)
        return item

    def refuse(self, number: int) -> None:
        """Let go of a line that will never be stored."""
        if number in self._items and (receipt := self._remove(number).receipt) is not None:
            receipt.fail()

    def get(self, number: int) -> Item | None:
        """One that waits."""
        return self._items.get(number)

    def withdraw(self, receipt: StorageReceipt) -> None:
        """Let go of what was handed over with a receipt: whoever sent it will send it again."""
        for number in receipt.missing:
            if number in self._items:
                self._remove(number)
        receipt.fail()

    def unsent(self) -> Iterator[tuple[int, Item]]:
        """Lines to be sent now, as far as the window reaches; they count as sent."""
        again = deque(sorted(self._again))
        while self._in_flight < WINDOW_LINES and self._in_flight_bytes < WINDOW_BYTES:
            if again:
                self._again.remove(number := again.popleft())
            elif self._unsent < self._next:
                number = self._unsent
                self._unsent += 1
            else:
                return
            if (item := self._items.get(number)) is not None:
                self._in_flight += 1
                self._in_flight_bytes += item.cost
                yield number, item

    def send_again(self, number: int) -> None:
        """Count one as not sent."""
        if number in self._items and number < self._unsent and number not in self._again:
            self._land(self._items[number])
            self._again.add(number)

    def rewind(self) -> None:
        """Count all as not sent: the connection over which they were is gone."""
        self._unsent = next(iter(self._items), self._next)
        self._in_flight = self._in_flight_bytes = 0
        self._again.clear()

    def unshown(self, most: int) -> list[Item]:
        """Lines to be shown now; they count as shown."""
        items: list[Item] = []
        while self._unshown < self._next and len(items) < most:
            if (item := self._items.get(self._unshown)) is not None:
                items.append(item)
            self._unshown += 1
        return items

    def start_showing(self) -> None:
        """From here on, show all that waits."""
        self._unshown = next(iter(self._items), self._next)

    def receipts(self) -> set[StorageReceipt]:
        """Of all that wait."""
        return {item.receipt for item in self._items.values() if item.receipt is not None}

    def by_message_id(self) -> dict[str, int]:
        """The numbers of all that wait."""
        return {item.message_id: number for number, item in self._items.items()}

    def _remove(self, number: int) -> Item:
        item = self._items.pop(number)
        self.bytes -= item.cost
        if number in self._again:
            self._again.remove(number)
        elif number < self._unsent:
            self._land(item)
        return item

    def _land(self, item: Item) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= item.cost
