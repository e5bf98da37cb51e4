"""The lines that wait until the journal has stored them; bounded. No I/O.

In: lines that were read. Out: the lines to send, and the lines to show while the journal is away.
Each line stays here until the journal has acknowledged it, so that no line is lost in an outage.
If there are too many, the oldest line is evicted, and returned so that it is counted.
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

# The lines of a busy organisation in some minutes, and the memory that they may use.
MAX_LINES = 100_000
MAX_BYTES = 128 * 2**20
# The most lines, and bytes, that may be sent and not yet acknowledged. With a round trip of two
# milliseconds, this allows a thousand lines each millisecond.
WINDOW_LINES = 2_000
WINDOW_BYTES = 8 * 2**20
# If more lines than this were not even sent (or shown), publishers wait.
CROWDED = 4_000
# Bytes for an entry's message id, its item in the outbox, and the command that sends it.
ITEM_OVERHEAD = 400


class StorageReceipt:
    """Tells a sender when all entries that were accepted with this receipt are stored.

    Args:
        key: the text from which the ids of its entries are derived.
        term: the journal's term (see `JournalState`); in a later term its entries are refused.
    """

    def __init__(self, key: str, term: int = 0) -> None:
        self.key: str = key
        self.term: int = term
        self.entries = 0
        """How many entries were accepted with this receipt."""
        self.missing: set[int] = set()
        """The outbox's numbers of the entries that are not yet stored."""
        self.failed: bool = False
        self._settled = trio.Event()

    def stored(self, number: int) -> None:
        """Note that an entry is stored."""
        self.missing.discard(number)
        if not self.missing:
            self._settled.set()

    def fail(self) -> None:
        """Note that some of the entries will not be stored."""
        self.failed = True
        self._settled.set()

    async def confirmed(self) -> None:
        """Wait until all entries are stored.

        Raises:
            JournalUnavailable: some entries will not be stored.
        """
        while self.missing and not self.failed:
            if self._settled.is_set():  # Earlier entries were stored before later ones came.
                self._settled = trio.Event()
            await self._settled.wait()
        if self.failed:
            raise JournalUnavailable("The journal has not stored all of these lines")


@attrs.define(eq=False)
class Item:
    """One line that waits."""

    entry: LogEntry
    message_id: str
    receipt: StorageReceipt | None
    cost: int
    """Bytes of memory."""
    since: float
    """Unix seconds when it came."""


class Outbox:
    """The lines that wait, numbered in the order in which they came.

    Args:
        max_lines, max_bytes: the limits beyond which the oldest line is evicted.
    """

    def __init__(self, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        self._max_lines, self._max_bytes = max_lines, max_bytes
        # A plain dict would pass all keys that were deleted before on the way to its first key.
        self._items: OrderedDict[int, Item] = OrderedDict()
        self._next = self._unsent = self._unshown = 1
        self._in_flight = self._in_flight_bytes = 0
        # Lines that were sent, and have to be sent again.
        self._again: set[int] = set()
        self.bytes: int = 0
        """The memory that the waiting lines use."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def end(self) -> int:
        """The number that the next line gets."""
        return self._next

    @property
    def is_crowded(self) -> bool:
        """Whether so many lines have not been sent that publishers should wait."""
        return self._next - self._unsent + len(self._again) > CROWDED

    @property
    def is_crowded_with_unshown(self) -> bool:
        """Whether so many lines have not been shown that publishers should wait."""
        return self._next - self._unshown > CROWDED

    @property
    def in_flight(self) -> int:
        """How many lines were sent and are not yet acknowledged."""
        return self._in_flight

    @property
    def oldest_in_flight(self) -> int:
        """The number of the oldest line if any is in flight, and 0 otherwise."""
        return next(iter(self._items)) if self._in_flight else 0

    @property
    def oldest_since(self) -> float | None:
        """Unix seconds when the oldest line came; `None` if no line waits."""
        oldest = next(iter(self._items.values()), None)
        return None if oldest is None else oldest.since

    def put(
        self, entry: LogEntry, message_id: str, receipt: StorageReceipt | None
    ) -> list[tuple[int, Item]]:
        """Add a line.

        A line of a receipt that has failed is not added, because its sender sends all lines of the
        receipt again.

        Returns:
            The lines that were evicted to make room, with their numbers.
        """
        if receipt is not None and receipt.failed:
            return []
        cost = entry.cost + ITEM_OVERHEAD
        self._items[self._next] = Item(
            entry=entry, message_id=message_id, receipt=receipt, cost=cost, since=time.time()
        )
        if receipt is not None:
            receipt.missing.add(self._next)
        self._next += 1
        self.bytes += cost
        dropped: list[tuple[int, Item]] = []
        while len(self._items) > self._max_lines or (
            self.bytes > self._max_bytes and len(self._items) > 1
        ):
            number = next(iter(self._items))
            dropped.append((number, self._remove(number)))
        return dropped

    def stored(self, number: int) -> Item | None:
        """Remove and return a line that is stored; return `None` if it does not wait any more."""
        if number not in self._items:
            return None
        item = self._remove(number)
        if item.receipt is not None:
            item.receipt.stored(number)
        return item

    def refuse(self, number: int) -> None:
        """Remove a line that will never be stored."""
        if number in self._items and (receipt := self._remove(number).receipt) is not None:
            receipt.fail()

    def get(self, number: int) -> Item | None:
        """Return the line with this number if it waits."""
        return self._items.get(number)

    def withdraw(self, receipt: StorageReceipt) -> None:
        """Remove the lines of a receipt, which fails, so that its sender sends them again."""
        for number in receipt.missing:
            if number in self._items:
                self._remove(number)
        receipt.fail()

    def unsent(self) -> Iterator[tuple[int, Item]]:
        """Yield the lines that may be sent now; each counts as sent once it is yielded."""
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
        """Count a line as not sent, so that it is sent again."""
        if number in self._items and number < self._unsent and number not in self._again:
            self._leave_window(self._items[number])
            self._again.add(number)

    def rewind(self) -> None:
        """Count all lines as not sent, because their connection has ended."""
        self._unsent = next(iter(self._items), self._next)
        self._in_flight = self._in_flight_bytes = 0
        self._again.clear()

    def unshown(self, most: int) -> list[Item]:
        """Return at most `most` lines that were not shown; they count as shown."""
        items: list[Item] = []
        while self._unshown < self._next and len(items) < most:
            if (item := self._items.get(self._unshown)) is not None:
                items.append(item)
            self._unshown += 1
        return items

    def start_showing(self) -> None:
        """Count all lines as not shown, because an outage begins."""
        self._unshown = next(iter(self._items), self._next)

    def receipts(self) -> set[StorageReceipt]:
        """Return the receipts of the lines that wait."""
        return {item.receipt for item in self._items.values() if item.receipt is not None}

    def by_message_id(self) -> dict[str, int]:
        """Return the numbers of the lines that wait, by message id."""
        return {item.message_id: number for number, item in self._items.items()}

    def _remove(self, number: int) -> Item:
        item = self._items.pop(number)
        self.bytes -= item.cost
        if number in self._again:
            self._again.remove(number)
        elif number < self._unsent:
            self._leave_window(item)
        return item

    def _leave_window(self, item: Item) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= item.cost
