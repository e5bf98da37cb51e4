"""The inbox keeps the messages that fit, and counts the others as one gap after them."""

from __future__ import annotations

import trio

from natstream.entries.entry import Gap
from natstream.nats.inbox import Inbox


def append(inbox: Inbox, *payloads: bytes) -> None:
    for payload in payloads:
        inbox.append(b"s", b"", payload, b"")


def missed(gap: Gap | None) -> int | None:
    """Return the number of missed messages, or None if there is no gap."""
    return gap.missed if gap else None


def test_a_run_has_a_bounded_size() -> None:
    """Other tasks wait while a run is parsed, so it has a limit in messages and one in bytes."""
    inbox = Inbox()
    append(inbox, *(b"%d" % number for number in range(1_200)))
    assert [len(inbox.pop_run()) for _ in range(4)] == [500, 500, 200, 0]
    append(inbox, *[bytes(512 * 1024)] * 3)
    assert [len(inbox.pop_run()) for _ in range(4)] == [1, 1, 1, 0]


def test_the_inbox_is_bounded_in_bytes_too() -> None:
    """A few large messages fill the inbox as well as many small ones."""
    inbox = Inbox(max_bytes=1_000)
    append(inbox, *[bytes(100)] * 20)
    assert len(inbox.pop_run()) == 10
    assert missed(inbox.pop_gap()) == 10
    append(inbox, b"there is room again")
    assert len(inbox.pop_run()) == 1
    assert inbox.pop_gap() is None


def test_a_gap_grows_until_the_messages_before_it_are_popped() -> None:
    """A full inbox leaves one gap of many lines, not many small ones, and no message passes it."""
    inbox = Inbox(max_messages=1_000)
    append(inbox, *(b"%d" % number for number in range(1_001)))
    assert len(inbox.pop_run()) == 500
    append(inbox, b"there would be room for this")
    assert inbox.pop_gap() is None
    assert len(inbox.pop_run()) == 500
    assert missed(inbox.pop_gap()) == 2


def test_cleared_messages_count_as_missed() -> None:
    """The gap holds the messages that did not fit and those that were removed."""
    inbox = Inbox(max_messages=3)
    append(inbox, *[b"x"] * 5)
    assert missed(inbox.clear()) == 5
    assert inbox.clear() is None
    append(inbox, b"next")
    assert inbox.pop_run() == [(b"s", b"next")]


async def test_a_wait_ends_with_a_message_or_when_it_is_woken(autojump_clock: object) -> None:
    """Once the inbox has been emptied, the next wait lasts until the next message."""
    inbox = Inbox()
    inbox.wake()
    await inbox.wait()
    append(inbox, b"x")
    await inbox.wait()
    inbox.pop_run()
    with trio.move_on_after(60) as scope:
        await inbox.wait()
    assert scope.cancelled_caught
