"""Waiting for a state, instead of sleeping and hoping.

`until(state)` waits until `state()` is true and raises `trio.TooSlowError` if it does not become
true in time. `seconds_until(state)` measures how long that takes. `state` may be a plain or a
coroutine function.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

__all__ = ["PATIENCE", "seconds_until", "until"]

PATIENCE = 30.0
"""Seconds to wait for what should come in far less, because the machine may be busy."""
# A look costs microseconds, or a request to a service.
POLL = 0.01

State = Callable[[], Any] | Callable[[], Awaitable[Any]]


async def until(state: State, patience: float = PATIENCE) -> None:
    """Wait until `state()` is true.

    Raises:
        trio.TooSlowError: it is still false after `patience` seconds.
    """
    with trio.fail_after(patience):
        while not await _is_true(state):
            await trio.sleep(POLL)


async def seconds_until(state: State, patience: float = PATIENCE) -> float:
    """Wait until `state()` is true.

    Returns:
        The seconds that it took; infinity if it is still false after `patience` seconds.
    """
    started = trio.current_time()
    with trio.move_on_after(patience):
        await until(state, math.inf)
        return trio.current_time() - started
    return math.inf


async def _is_true(state: State) -> bool:
    answer = state()
    return bool(await answer if isinstance(answer, Awaitable) else answer)
