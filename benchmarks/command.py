"""What the commands `python -m benchmarks` and `python -m benchmarks.soak` have in common."""

from __future__ import annotations

import signal
import sys

import trio

__all__ = ["cancel_when_terminated", "say"]


async def cancel_when_terminated(scope: trio.CancelScope) -> None:
    """Cancel `scope` on SIGTERM, because the command would leave its servers running otherwise."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def say(text: str) -> None:
    """Print a line to stderr at once."""
    print(text, file=sys.stderr, flush=True)
