"""`natstream.web.fair_turns`: one costly answer at a time, in turns of the holders."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from natstream.web.fair_turns import FairTurns


async def test_a_holder_with_many_requests_delays_its_own_alone(autojump_clock: object) -> None:
    """The one request of another holder waits for one answer, and not for a hundred."""
    turns = FairTurns()
    done: list[tuple[str, float]] = []
    at_once = 0

    async def ask(holder: str) -> None:
        nonlocal at_once
        async with turns.turn(holder):
            at_once += 1
            assert at_once == 1
            await trio.sleep(1)
            at_once -= 1
        done.append((holder, trio.current_time()))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, "greedy")
        await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.start_soon(ask, "modest")
        nursery.start_soon(ask, "another")
    finished = {holder: time - start for holder, time in done if holder != "greedy"}
    assert finished["modest"] <= 4
    assert finished["another"] <= 4
    assert len(done) == 102
    assert not turns._waiting


@pytest.mark.parametrize("is_next", [False, True])
async def test_a_request_that_is_given_up_delays_no_other(
    autojump_clock: object, is_next: bool
) -> None:
    """A cancelled request leaves the queue, or passes on the turn that it has just been given."""
    turns = FairTurns()
    cancelled = trio.CancelScope()
    done = trio.Event()

    async def give_up() -> None:
        with cancelled:
            async with turns.turn("a"):
                raise AssertionError("it had a turn")

    async def ask() -> None:
        async with turns.turn("b"):
            done.set()

    async with trio.open_nursery() as nursery:
        async with turns.turn("a"):
            nursery.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            cancelled.cancel()
            if not is_next:
                await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(1):
            await done.wait()
    async with turns.turn("c"):
        assert not turns._waiting
