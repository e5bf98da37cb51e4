"""A task that runs beside a block of code, and ends with it.

An exception of the task or of the block is raised by itself, not in an exception group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

__all__ = ["running_beside"]


@asynccontextmanager
async def running_beside(
    task: Callable[..., Awaitable[Any]], end: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """Start `task` as `nursery.start` does, run the block, then end the task and wait for it.

    An exception of the block is raised as it is, KeyboardInterrupt too, and so is the only
    exception of the task. A nursery would wrap both in a group.

    Args:
        task: the task to start.
        end: tells the task to return. Without it the task is cancelled.
    """
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(task)
            try:
                yield
            except BaseException as error:
                if _holds_cancel(error):
                    raise  # The scope of the cancel catches it, which may be the nursery's.
                failure = error
            finally:
                (end or nursery.cancel_scope.cancel)()
    except BaseException as error:
        if failure is None:
            failure = _alone(error)
        if failure is error:
            raise
    if failure is not None:
        raise failure


def _holds_cancel(error: BaseException) -> bool:
    """Return whether a cancel is on its way, by itself or in a group with another exception."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


def _alone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
