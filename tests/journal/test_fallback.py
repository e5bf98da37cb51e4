"""Lines that are stored when the journal goes away are shown once, at whichever moment it goes."""

from __future__ import annotations

from typing import NoReturn

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.entries.fly import parse_nats
from natstream.errors import JournalUnavailable
from natstream.hub.backlog import Backlog
from natstream.hub.batch import Selection
from natstream.hub.health import SourceStatus
from natstream.hub.hub import Hub
from natstream.hub.subscription import Subscription
from natstream.journal.archive import StreamArchive
from natstream.journal.fallback import Fallback
from natstream.journal.follower import Follower
from natstream.journal.jetstream import Stored
from natstream.journal.state import PATIENCE, Availability, JournalState
from natstream.journal.stream_config import StreamInfo
from natstream.journal.writer import Writer

LIMITS = {"backlog_lines": 100, "backlog_bytes": 2**20}
PAYLOAD = b'{"message":"a line","timestamp":"2022-09-27T20:34:37Z"}'


async def cannot_be_reached(epoch: str, deadline: float) -> NoReturn:
    """Raise what the archive raises while there is no connection."""
    raise JournalUnavailable("There is no server in this test")


@attrs.define(eq=False)
class Process:
    """The parts of a journal between its connection and the hub."""

    nursery: trio.Nursery
    hub: Hub = attrs.field(factory=Hub, init=False)
    state: JournalState = attrs.field(factory=JournalState, init=False)
    writer: Writer = attrs.field(init=False)
    fallback: Fallback = attrs.field(init=False)
    follower: Follower = attrs.field(init=False)
    backlog: Backlog = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.writer = Writer(
            on_overflow=lambda item: pytest.fail("a line was dropped"),
            on_too_large=lambda: pytest.fail("a line was refused"),
            on_error=lambda error: pytest.fail("the server has refused a line"),
        )
        self.fallback = Fallback(self.hub, self.writer, self.state, **LIMITS)
        status = SourceStatus("journal", lambda message, type: None)
        self.follower = Follower(self.hub, self.writer, self.fallback, status, **LIMITS)
        self.backlog = self.open_backlog(last=0)
        self.rejoin()

    def open_backlog(self, *, last: int) -> Backlog:
        """Return the memory of the stream, of which `last` is the newest number."""
        info = StreamInfo(created="today", first=1, last=last, is_full=False, current=None)
        return self.follower.open_backlog("natstream", info)

    def rejoin(self) -> None:
        """Let the readers go on with the journal's segment."""
        turns, epoch = trio.CapacityLimiter(1), self.backlog.epoch
        archive = StreamArchive(epoch, cannot_be_reached, turns, self.nursery.start_soon)
        self.fallback.rejoin(self.backlog, archive)
        self.state.change(Availability.SERVING)

    def store_line(self) -> Stored:
        """Send a line, acknowledge it under the number 1, and return it as the stream has it."""
        self.writer.accept([parse_nats("logs.web.iad.m1", PAYLOAD)], None)
        [(number, item)] = self.writer.outbox.unsent()
        self.acknowledge(number, 1)
        headers = f"NATS/1.0\r\nNats-Msg-Id: {item.message_id}\r\n\r\n".encode()
        return Stored(
            number=1, unix_ns=10**18, subject=b"logs.web.iad.m1", payload=PAYLOAD, headers=headers
        )

    def acknowledge(self, number: int, stored_number: int) -> None:
        """Answer for a line of the outbox as the server does."""
        answer = b'{"stream":"natstream","seq":%d}' % stored_number
        self.writer.on_ack(number, answer, b"")


async def read_all(reader: Subscription) -> list[str]:
    """Return the messages of all lines that the reader gets within a second."""
    got: list[str] = []
    with trio.move_on_after(1):
        while True:
            item = await reader.receive()
            assert isinstance(item, Selection)
            got += [entry.message for entry in item.entries]
    return got


async def test_a_line_that_comes_back_while_the_fallback_begins_is_shown_once(
    autojump_clock: MockClock,
) -> None:
    """A line that is read from the stream as the readers are handed over is not shown beside it."""
    async with trio.open_nursery() as nursery:
        process = Process(nursery)
        await nursery.start(process.hub.run)
        with process.hub.subscribe() as reader:
            nursery.start_soon(process.fallback.run)
            stored = process.store_line()
            await wait_all_tasks_blocked()
            process.state.change(Availability.AWAY)
            async with process.fallback.segment_lock:
                await trio.sleep(2 * PATIENCE)  # The fallback is the first to wait for the lock.
                nursery.start_soon(process.follower._deliver, [stored], process.backlog)
                await wait_all_tasks_blocked()
            await wait_all_tasks_blocked()
            assert process.fallback.is_showing
            async with process.fallback.segment_lock:
                process.rejoin()
            assert await read_all(reader) == ["a line"]
        nursery.cancel_scope.cancel()


async def test_a_line_before_the_start_of_memory_is_left_to_the_archive(
    autojump_clock: MockClock,
) -> None:
    """A line that readers get from the archive, because memory starts behind it, is not shown."""
    async with trio.open_nursery() as nursery:
        process = Process(nursery)
        process.store_line()
        assert process.open_backlog(last=1_000) is process.backlog
        assert process.writer.pop_unseen() == []
        nursery.cancel_scope.cancel()


async def test_a_line_that_has_come_back_is_not_shown_because_another_line_has_not() -> None:
    """An outage shows only lines that were not read, also if acknowledgements are out of order.

    This happens if another process has stored the second of two lines before the first.
    """
    async with trio.open_nursery() as nursery:
        writer = (process := Process(nursery)).writer
        writer.accept([parse_nats("logs.web.iad.m1", text) for text in (b"one", b"two")], None)
        (first, _), (second, _) = writer.outbox.unsent()
        process.acknowledge(first, 2)
        process.acknowledge(second, 1)
        writer.add_followed([], 2)
        assert [item.entry.message for item in writer.pop_unseen()] == ["one"]
        nursery.cancel_scope.cancel()
