"""The outbox keeps each line once, in order and within limits, and counts lines exactly."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.errors import JournalUnavailable
from natstream.journal import outbox as module
from natstream.journal.outbox import ITEM_OVERHEAD, Outbox, StorageReceipt
from natstream.journal.writer import Writer

WINDOW_LINES, CROWDED = 4, 5
COST = LogEntry("m", "1", "stdout", raw=b"").cost + ITEM_OVERHEAD
WINDOW_BYTES = 7 * COST


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Iterator[None]:
    """Make the limits so small that a few lines reach them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW_LINES", WINDOW_LINES)
        patch.setattr(module, "WINDOW_BYTES", WINDOW_BYTES)
        patch.setattr(module, "CROWDED", CROWDED)
        yield


def line(number: int, size: int = 0) -> LogEntry:
    """Return an entry that says its number."""
    return LogEntry("m", str(number), "stdout", raw=bytes(size))


def put(outbox: Outbox, count: int, receipt: StorageReceipt | None = None) -> None:
    """Put so many lines into the outbox, which has room for all of them."""
    for _ in range(count):
        number = outbox.end
        assert outbox.put(line(number), f"id {number}", receipt) == []


def sent(outbox: Outbox) -> list[int]:
    """Return the numbers of the lines to send now."""
    return [number for number, _ in outbox.unsent()]


def shown(outbox: Outbox, most: int = 100) -> list[str]:
    """Return the messages of the lines to show now."""
    return [item.entry.message for item in outbox.unshown(most)]


# --- any interleaving ------------------------------------------------------------------------


@attrs.define
class Waiting:
    """The facts about a line that waits."""

    message: str
    cost: int
    receipt: StorageReceipt | None
    is_in_flight: bool = False
    is_shown: bool = False


@attrs.define
class Model:
    """A plain outbox that cannot be wrong, which compares each step with the real one."""

    outbox: Outbox
    max_lines: int
    max_bytes: int
    lines: dict[int, Waiting] = attrs.field(factory=dict)
    receipts: list[StorageReceipt] = attrs.field(factory=list)
    stored_with: dict[str, set[int]] = attrs.field(factory=dict)
    given_with: dict[str, set[int]] = attrs.field(factory=dict)
    end: int = 1

    def put(self, size: int, receipt: StorageReceipt | None) -> None:
        number = self.end
        entry = line(number, size)
        dropped = self.outbox.put(entry, f"id {number}", receipt)
        if receipt is not None and receipt.failed:
            assert dropped == []  # The sender sends all lines of the receipt again.
            return
        self.end += 1
        self.lines[number] = Waiting(entry.message, entry.cost + ITEM_OVERHEAD, receipt)
        if receipt is not None:
            self.given_with[receipt.key].add(number)
        expected = []
        while len(self.lines) > self.max_lines or (
            len(self.lines) > 1 and self.bytes > self.max_bytes
        ):
            oldest = min(self.lines)
            expected.append((oldest, self.lines.pop(oldest).message))
        assert [(number, item.entry.message) for number, item in dropped] == expected

    def send(self, most: int) -> None:
        """Send at most `most` lines."""
        for _, (number, item) in zip(range(most), self.outbox.unsent(), strict=False):
            upcoming = [n for n, waiting in self.lines.items() if not waiting.is_in_flight]
            assert number == min(upcoming), "out of order"
            waiting = self.lines[number]
            assert (item.entry.message, item.message_id) == (waiting.message, f"id {number}")
            assert self.in_flight < WINDOW_LINES
            assert self.in_flight_bytes < WINDOW_BYTES
            waiting.is_in_flight = True
        is_open = self.in_flight < WINDOW_LINES and self.in_flight_bytes < WINDOW_BYTES
        if most > len(self.lines) and is_open:
            assert all(waiting.is_in_flight for waiting in self.lines.values())
            assert not self.outbox.is_crowded

    def store(self, number: int) -> None:
        item = self.outbox.stored(number)
        waiting = self.lines.pop(number, None)
        assert (item and item.entry.message) == (waiting and waiting.message)
        if waiting is not None and waiting.receipt is not None:
            self.stored_with[waiting.receipt.key].add(number)

    def send_again(self, number: int) -> None:
        self.outbox.send_again(number)
        self.lines[number].is_in_flight = False

    def rewind(self) -> None:
        self.outbox.rewind()
        for waiting in self.lines.values():
            waiting.is_in_flight = False

    def withdraw(self, receipt: StorageReceipt) -> None:
        self.outbox.withdraw(receipt)
        assert receipt.failed
        self.lines = {n: line for n, line in self.lines.items() if line.receipt is not receipt}

    def start_showing(self) -> None:
        self.outbox.start_showing()
        for waiting in self.lines.values():
            waiting.is_shown = False

    def show(self, most: int) -> None:
        upcoming = [waiting for waiting in self.lines.values() if not waiting.is_shown][:most]
        assert shown(self.outbox, most) == [waiting.message for waiting in upcoming]
        for waiting in upcoming:
            waiting.is_shown = True
        if len(upcoming) < most:
            assert not self.outbox.is_crowded_with_unshown

    def receipt(self, which: int) -> StorageReceipt:
        """Return a receipt that was opened before, or a new one."""
        which %= len(self.receipts) + 1
        if which == len(self.receipts):
            self.receipts.append(StorageReceipt(f"key {which}"))
            self.stored_with[f"key {which}"] = set()
            self.given_with[f"key {which}"] = set()
        return self.receipts[which]

    @property
    def bytes(self) -> int:
        return sum(waiting.cost for waiting in self.lines.values())

    @property
    def in_flight(self) -> int:
        return sum(waiting.is_in_flight for waiting in self.lines.values())

    @property
    def in_flight_bytes(self) -> int:
        return sum(waiting.cost for waiting in self.lines.values() if waiting.is_in_flight)

    def check(self) -> None:
        """Compare all that the outbox says with the model."""
        outbox = self.outbox
        assert len(outbox) == len(self.lines) <= self.max_lines
        assert outbox.bytes == self.bytes
        assert outbox.bytes <= self.max_bytes or len(outbox) == 1
        assert outbox.in_flight == self.in_flight
        assert outbox._in_flight_bytes == self.in_flight_bytes
        assert outbox.end == self.end
        assert outbox.by_message_id() == {f"id {number}": number for number in self.lines}
        assert outbox.receipts() == {line.receipt for line in self.lines.values() if line.receipt}
        assert outbox.is_crowded or len(self.lines) - self.in_flight <= CROWDED
        unshown = sum(not waiting.is_shown for waiting in self.lines.values())
        assert outbox.is_crowded_with_unshown or unshown <= CROWDED
        for receipt in self.receipts:
            left = self.given_with[receipt.key] - self.stored_with[receipt.key]
            assert receipt.missing == left


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 6)),
        st.tuples(st.just("put a large one"), st.sampled_from([1, COST, 3 * COST, 20 * COST])),
        st.tuples(st.just("put with a receipt"), st.integers(0, 3)),
        st.tuples(st.just("send"), st.sampled_from([1, 3, 1_000])),
        st.tuples(st.just("store what was sent"), st.integers(0, 10)),
        st.tuples(st.just("store"), st.integers(0, 10)),
        st.tuples(st.just("store again"), st.integers(0, 40)),
        st.tuples(st.just("send again"), st.integers(0, 10)),
        st.tuples(st.just("rewind"), st.just(0)),
        st.tuples(st.just("withdraw"), st.integers(0, 3)),
        st.tuples(st.just("start showing"), st.just(0)),
        st.tuples(st.just("show"), st.integers(0, 4)),
    ),
    max_size=80,
)


@settings(max_examples=3 * settings().max_examples)
@given(
    operations=OPERATIONS,
    max_lines=st.sampled_from([1, 3, 12, 1_000]),
    max_bytes=st.sampled_from([1, 3 * COST, 10 * COST, 1_000 * COST]),
)
def test_any_interleaving_is_counted_exactly(
    operations: list[tuple[str, int]], max_lines: int, max_bytes: int
) -> None:
    """The outbox does the same as the model in any order of operations."""
    outbox = Outbox(max_lines=max_lines, max_bytes=max_bytes)
    model = Model(outbox, max_lines, max_bytes)
    for operation, amount in operations:
        match operation:
            case "put":
                for _ in range(amount):
                    model.put(0, None)
            case "put a large one":
                model.put(amount, None)
            case "put with a receipt":
                model.put(0, model.receipt(amount))
            case "send":
                model.send(amount)
            case "store what was sent":
                in_flight = [n for n, waiting in model.lines.items() if waiting.is_in_flight]
                model.store(in_flight[amount % len(in_flight)] if in_flight else 0)
            case "store" if model.lines:  # It was recognised in the stream, sent or not.
                model.store(sorted(model.lines)[amount % len(model.lines)])
            case "store again":  # The answer comes late.
                model.store(amount)
            case "send again" if model.in_flight:
                in_flight = [n for n, waiting in model.lines.items() if waiting.is_in_flight]
                model.send_again(in_flight[amount % len(in_flight)])
            case "rewind":
                model.rewind()
            case "withdraw":
                model.withdraw(model.receipt(amount))
            case "start showing":
                model.start_showing()
            case "show":
                model.show(amount)
        model.check()
    # In the end all that still waits is sent and stored, in order.
    left, stored = list(model.lines), []
    model.rewind()
    while model.lines:
        model.send(1_000)
        first = min(n for n, waiting in model.lines.items() if waiting.is_in_flight)
        stored.append(first)
        model.store(first)
        model.check()
    assert stored == left
    assert (len(outbox), outbox.bytes, outbox.in_flight) == (0, 0, 0)


# --- sending -----------------------------------------------------------------------------------


def test_no_more_is_sent_than_the_window_allows() -> None:
    """The window limits lines and bytes in flight, and another line is sent once one is stored."""
    outbox = Outbox()
    for number in range(1, 10):
        outbox.put(line(number), "", None)
    assert sent(outbox) == [1, 2, 3, 4]
    assert sent(outbox) == []
    outbox.stored(2)
    assert sent(outbox) == [5]
    large = Outbox()
    for number in range(1, 10):
        large.put(line(number, size=2 * COST), "", None)
    assert sent(large) == [1, 2, 3]
    exact = Outbox()
    for number in range(1, 10):
        exact.put(line(number, size=5 * COST // 2), "", None)
    assert sent(exact) == [1, 2]


def test_what_was_sent_over_a_lost_connection_is_sent_again() -> None:
    """Lines that a lost connection has sent are sent again, unless they are stored by then."""
    outbox = Outbox()
    put(outbox, 6)
    assert sent(outbox) == [1, 2, 3, 4]
    outbox.stored(2)
    outbox.rewind()
    assert outbox.in_flight == 0
    outbox.stored(1)
    outbox.stored(4)
    assert outbox.in_flight == 0
    assert sent(outbox) == [3, 5, 6]
    assert outbox.in_flight == 3
    for number in (3, 5, 6):
        assert outbox.stored(number) is not None
        assert outbox.stored(number) is None
    assert (len(outbox), outbox.bytes, outbox.in_flight) == (0, 0, 0)


def test_a_line_that_was_dropped_makes_room_in_the_window() -> None:
    """A line that was dropped leaves the window, and a late answer to it changes nothing."""
    outbox = Outbox(max_lines=5)
    put(outbox, 5)
    assert sent(outbox) == [1, 2, 3, 4]
    dropped = outbox.put(line(6), "", None)
    assert [number for number, _ in dropped] == [1]
    assert outbox.in_flight == 3
    assert outbox.stored(1) is None
    assert outbox.in_flight == 3
    assert sent(outbox) == [5]


def test_one_line_waits_whatever_it_costs() -> None:
    """One line always waits, even if it needs more bytes than the limit by itself."""
    outbox = Outbox(max_bytes=1)
    assert outbox.put(line(1, size=1_000_000), "", None) == []
    assert sent(outbox) == [1]
    assert [number for number, _ in outbox.put(line(2), "", None)] == [1]


def test_it_is_crowded_while_many_are_not_sent_or_shown() -> None:
    """The outbox is crowded only by lines that were not sent, or not shown."""
    outbox = Outbox()
    put(outbox, CROWDED)
    assert not outbox.is_crowded
    assert not outbox.is_crowded_with_unshown
    put(outbox, 1)
    assert outbox.is_crowded
    assert outbox.is_crowded_with_unshown
    assert sent(outbox) == [1, 2, 3, 4]
    assert not outbox.is_crowded
    assert outbox.is_crowded_with_unshown
    assert shown(outbox, 1) == ["1"]
    assert not outbox.is_crowded_with_unshown
    for number in range(1, 7):
        outbox.stored(number)
    outbox.rewind()
    assert not outbox.is_crowded


# --- showing -----------------------------------------------------------------------------------


def test_what_waits_is_shown_from_the_oldest_on() -> None:
    """An outage shows each line that waits once, and `start_showing` begins again."""
    outbox = Outbox()
    put(outbox, 5)
    assert sent(outbox) == [1, 2, 3, 4]
    outbox.stored(1)
    outbox.start_showing()
    assert shown(outbox, 2) == ["2", "3"]
    put(outbox, 1)
    assert shown(outbox) == ["4", "5", "6"]
    assert shown(outbox) == []
    outbox.start_showing()
    assert shown(outbox) == ["2", "3", "4", "5", "6"]


# --- receipts ----------------------------------------------------------------------------------


async def is_confirmed(receipt: StorageReceipt) -> bool:
    """Return whether `confirmed` returns at once."""
    with trio.move_on_after(0.01):
        await receipt.confirmed()
        return True
    return False


async def test_a_receipt_is_good_once_all_is_stored(autojump_clock: object) -> None:
    """A receipt is confirmed once all its lines are stored, in any order, with later lines too."""
    outbox, receipt = Outbox(), StorageReceipt("key")
    assert await is_confirmed(receipt)  # It has no lines yet.
    put(outbox, 3, receipt)
    for number in (3, 1):
        outbox.stored(number)
        assert not await is_confirmed(receipt)
    outbox.stored(2)
    assert await is_confirmed(receipt)
    put(outbox, 1, receipt)
    assert not await is_confirmed(receipt)
    outbox.stored(4)
    assert await is_confirmed(receipt)


async def test_all_tasks_that_wait_for_a_receipt_are_told(autojump_clock: object) -> None:
    """A receipt wakes all tasks that wait for it, although one task has stopped waiting."""
    outbox, receipt = Outbox(), StorageReceipt("key")
    put(outbox, 1, receipt)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(receipt.confirmed)
            assert not await is_confirmed(receipt)
            outbox.stored(1)


async def test_a_receipt_that_is_withdrawn_fails_for_good(autojump_clock: object) -> None:
    """A receipt that is withdrawn fails, and its lines leave the outbox; other lines stay.

    Its sender sends all lines again, so lines that stayed would be stored twice.
    """
    outbox, receipt = Outbox(), StorageReceipt("key")
    put(outbox, 2, receipt)
    put(outbox, 1)
    assert sent(outbox) == [1, 2, 3]
    outbox.stored(1)

    async def wait() -> None:
        with pytest.raises(JournalUnavailable):
            await receipt.confirmed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        outbox.withdraw(receipt)
    assert list(outbox.by_message_id().values()) == [3]
    put(outbox, 1, receipt)
    assert list(outbox.by_message_id().values()) == [3]
    await wait()
    assert outbox.stored(2) is None  # Its answer may have been on the way.
    assert outbox.in_flight == 1


async def test_a_task_that_waits_for_the_last_line_hears_of_its_recognition(
    autojump_clock: object,
) -> None:
    """A closing process goes on when its last line is recognised in the stream, unanswered."""
    writer = Writer(
        on_overflow=lambda item: pytest.fail("a line was dropped"),
        on_too_large=lambda: pytest.fail("a line was refused"),
        on_error=lambda error: pytest.fail("the server has refused a line"),
    )
    writer.accept([line(1)], None)
    [(_, item)] = writer.outbox.unsent()

    async def settle() -> None:
        while not writer.is_settled:
            await writer.progress.park()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(settle)
            writer.add_followed([item.message_id], 2)
            await trio.testing.wait_all_tasks_blocked()
            assert not writer.is_settled
            writer.acknowledge_followed()
            assert writer.is_settled
