"""A task beside a block: how both end, and how their exceptions come out."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from natstream.background import running_beside


async def wait_for_ever(*, task_status: trio.TaskStatus[None]) -> None:
    """Run until cancelled."""
    task_status.started()
    await trio.sleep_forever()


async def interrupt_when_cancelled(*, task_status: trio.TaskStatus[None]) -> None:
    """Run until cancelled, and raise KeyboardInterrupt then, as a signal does at that moment."""
    task_status.started()
    try:
        await trio.sleep_forever()
    finally:
        raise KeyboardInterrupt


async def fail(*, task_status: trio.TaskStatus[None]) -> None:
    """Start, and fail."""
    task_status.started()
    raise ValueError("the task's")


async def test_the_task_ends_with_the_block() -> None:
    """The task is cancelled when the block ends."""
    with trio.fail_after(5):
        async with running_beside(wait_for_ever):
            pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
async def test_an_exception_of_the_block_comes_out_as_it_is(error: type[BaseException]) -> None:
    """The exception of the block is in no group."""
    with pytest.raises(error):
        async with running_beside(wait_for_ever):
            raise error


async def test_an_exception_of_the_task_comes_out_as_it_is() -> None:
    """The only exception of the task is in no group, and the block is cancelled."""
    with pytest.raises(ValueError, match="the task's"):
        async with running_beside(fail):
            await trio.sleep_forever()


async def test_no_cancel_leaves_its_scope_with_an_interrupt() -> None:
    """Exceptions of two nested tasks come out without the cancel that passed between them.

    A cancel that leaves its scope in a group with an interrupt would hide the interrupt.
    """

    async def fail_later(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await wait_all_tasks_blocked()
        raise ValueError

    async def nest() -> None:
        async with running_beside(fail_later), running_beside(interrupt_when_cancelled):
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await nest()
    assert caught.value.subgroup(trio.Cancelled) is None
    assert caught.value.subgroup(KeyboardInterrupt) is not None
    assert caught.value.subgroup(ValueError) is not None
