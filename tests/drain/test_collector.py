"""LogCollector, LogStream and drain_channel: the lines of each reader, and their end."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from natstream.drain.collector import LogCollector, LogStream, drain_channel


async def test_every_reader_of_a_machine_gets_every_line() -> None:
    """Two readers of one machine do not compete: each gets all lines, in order."""
    collector = LogCollector()
    with collector.subscribe("m1") as first, collector.subscribe("m1") as second:
        collector.push("m1", "a")
        collector.push("m1", "b")
        collector.finish("m1")
        assert await drain_channel(first) == ["a", "b"]
        assert await drain_channel(second) == ["a", "b"]


async def test_a_line_goes_to_its_own_machine_alone() -> None:
    """A reader gets no lines of other machines."""
    collector = LogCollector()
    with collector.subscribe("m1") as one, collector.subscribe("m2") as two:
        collector.push("m1", "for one")
        collector.push("m2", "for two")
        collector.finish_all()
        assert await drain_channel(one) == ["for one"]
        assert await drain_channel(two) == ["for two"]


async def test_lines_pushed_before_finish_are_read_before_the_end() -> None:
    """`finish` ends the iteration only after the queued lines."""
    collector = LogCollector()
    with collector.subscribe("m1") as lines:
        collector.push("m1", "last words")
        collector.finish("m1")
        collector.push("m1", "too late")
        assert await lines.receive() == "last words"
        with pytest.raises(trio.EndOfChannel):
            await lines.receive()


async def test_finish_wakes_a_waiting_reader() -> None:
    """A reader that waits for a line ends at once when its machine is finished."""
    collector = LogCollector()
    async with trio.open_nursery() as nursery:
        with collector.subscribe("m1") as lines:

            async def finish() -> None:
                await wait_all_tasks_blocked()
                collector.finish("m1")

            nursery.start_soon(finish)
            with trio.fail_after(5):
                assert [line async for line in lines] == []


def test_unknown_machines_are_nobodys() -> None:
    """Pushing to, or finishing, a machine without a reader does nothing."""
    collector = LogCollector()
    collector.push("m1", "unheard")
    collector.finish("m1")
    collector.finish_all()
    assert collector.machine_ids == []


async def test_machine_ids_are_those_with_a_reader() -> None:
    """A machine is known from its first `subscribe` until its last reader has left."""
    collector = LogCollector()
    with collector.subscribe("m1"):
        with collector.subscribe("m1"), collector.subscribe("m2"):
            assert collector.machine_ids == ["m1", "m2"]
        assert collector.machine_ids == ["m1"]
        collector.finish("m1")
        assert collector.machine_ids == []
    assert collector.machine_ids == []


async def test_a_machine_can_be_subscribed_to_again_after_finish() -> None:
    """Leaving a finished subscription does not end a newer one of the same machine."""
    collector = LogCollector()
    with ExitStack() as stack:
        with collector.subscribe("m1"):
            collector.finish("m1")
            lines = stack.enter_context(collector.subscribe("m1"))
        collector.push("m1", "still here")
        assert await lines.receive() == "still here"


async def test_a_full_reader_loses_its_oldest_lines_and_counts_them() -> None:
    """The oldest lines beyond `max_lines` are lost and counted; other readers lose none."""
    collector = LogCollector(max_lines=3)
    with collector.subscribe("m1") as slow, collector.subscribe("m1") as quick:
        read = []
        for number in range(5):
            collector.push("m1", str(number))
            read.append(await quick.receive())
        assert (slow.dropped, quick.dropped) == (2, 0)
        assert slow.statistics().current_buffer_used == 3
        assert collector.statistics().dropped == 2
        collector.finish("m1")
        assert await drain_channel(slow) == ["2", "3", "4"]
        assert read == ["0", "1", "2", "3", "4"]
    assert collector.statistics().dropped == 2
    assert collector.statistics().readers == 0


def test_a_buffer_of_nothing_is_refused() -> None:
    """A collector whose readers could hold no line is refused."""
    with pytest.raises(ValueError, match="max_lines"):
        LogCollector(max_lines=0)


async def test_cancelling_a_reader_releases_it_at_once() -> None:
    """A cancelled reader leaves nothing behind in the collector."""
    collector = LogCollector()

    async def read_for_ever() -> None:
        with collector.subscribe("m1") as lines:
            async for _ in lines:
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_for_ever)
        await wait_all_tasks_blocked()
        assert collector.machine_ids == ["m1"]
        nursery.cancel_scope.cancel()
    assert collector.machine_ids == []
    assert collector.statistics().readers == 0


async def test_a_reader_may_close_its_end_early() -> None:
    """Lines for a closed end are dropped, and the other readers still get them."""
    collector = LogCollector()
    with collector.subscribe("m1") as closed, collector.subscribe("m1") as other:
        await closed.aclose()
        collector.push("m1", "a")
        assert await other.receive() == "a"
        with pytest.raises(trio.ClosedResourceError):
            await closed.receive()


async def test_a_stream_ends_with_its_machine() -> None:
    """`done` and `lines_yielded` describe the end, and `timed_out` is false."""
    collector = LogCollector()
    with collector.subscribe("m1") as lines:
        stream = LogStream(lines)
        collector.push("m1", "a")
        collector.push("m1", "b")
        collector.finish("m1")
        assert not stream.done
        assert await stream.collect() == ["a", "b"]
        assert (stream.done, stream.timed_out, stream.lines_yielded) == (True, False, 2)
        assert await stream.collect() == []


async def test_an_item_timeout_ends_the_iteration_without_an_exception(
    autojump_clock: MockClock,
) -> None:
    """The timeout counts from the last line, not from the start."""
    send, receive = trio.open_memory_channel[str](10)
    stream = LogStream(receive, item_timeout=2)
    start = trio.current_time()

    async def write() -> None:
        for line in ("a", "b", "c"):
            await trio.sleep(1.5)
            await send.send(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        assert await stream.collect() == ["a", "b", "c"]
    assert trio.current_time() - start == pytest.approx(3 * 1.5 + 2)
    assert (stream.done, stream.timed_out, stream.lines_yielded) == (True, True, 3)


async def test_a_waiting_line_is_delivered_even_with_an_item_timeout_of_zero() -> None:
    """A timeout of 0 delivers the lines that are already there."""
    send, receive = trio.open_memory_channel[str](10)
    await send.send("a")
    await send.send("b")
    stream = LogStream(receive, item_timeout=0)
    assert await stream.collect() == ["a", "b"]
    assert stream.timed_out


async def test_the_total_timeout_ends_a_busy_stream(autojump_clock: MockClock) -> None:
    """A stream that never pauses ends too."""
    send, receive = trio.open_memory_channel[str](10)
    stream = LogStream(receive, total_timeout=5)

    async def write() -> None:
        while True:
            await send.send("x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        async for _ in stream:
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert (stream.done, stream.timed_out, stream.lines_yielded) == (True, True, 5)


async def test_the_total_clock_starts_at_the_first_line_asked_for(
    autojump_clock: MockClock,
) -> None:
    """Time between making a stream and reading it does not count."""
    send, receive = trio.open_memory_channel[str](10)
    stream = LogStream(receive, total_timeout=5)
    await trio.sleep(60)
    await send.send("a")
    start = trio.current_time()
    assert await stream.collect() == ["a"]
    assert trio.current_time() - start == pytest.approx(5)


async def test_the_shorter_timeout_counts(autojump_clock: MockClock) -> None:
    """The rest of the total timeout limits the wait for a line."""
    _send, receive = trio.open_memory_channel[str](10)
    start = trio.current_time()
    assert await LogStream(receive, item_timeout=10, total_timeout=3).collect() == []
    assert trio.current_time() - start == pytest.approx(3)


async def test_cancellation_leaves_a_stream_unfinished_and_takes_nothing(
    autojump_clock: MockClock,
) -> None:
    """A cancelled iteration can continue later with the next line."""
    send, receive = trio.open_memory_channel[str](10)
    stream = LogStream(receive)
    with trio.move_on_after(1):
        await stream.collect()
    assert (stream.done, stream.timed_out) == (False, False)
    await send.send("a")
    with trio.CancelScope() as scope:
        scope.cancel()
        await anext(stream)
    assert stream.lines_yielded == 0
    send.close()
    assert await stream.collect() == ["a"]
    assert stream.done


async def test_reading_a_full_buffer_lets_others_run() -> None:
    """Reading each line is a checkpoint."""
    send, receive = trio.open_memory_channel[str](100)
    for _ in range(100):
        await send.send("x")
    send.close()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        await LogStream(receive).collect()
        nursery.cancel_scope.cancel()
    assert turns >= 50


async def test_draining_raises_when_the_machine_does_not_finish_in_time(
    autojump_clock: MockClock,
) -> None:
    """`drain_channel` raises `trio.TooSlowError`, unlike a stream, which ends."""
    collector = LogCollector()
    with collector.subscribe("m1") as lines:
        collector.push("m1", "a")
        with pytest.raises(trio.TooSlowError):
            await drain_channel(lines, timeout=2)


async def test_draining_needs_no_timeout(autojump_clock: MockClock) -> None:
    """Without a timeout, draining waits for the end."""
    send, receive = trio.open_memory_channel[str](10)

    async def write() -> None:
        with send:
            await trio.sleep(1_000)
            await send.send("at last")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        assert await drain_channel(receive) == ["at last"]
