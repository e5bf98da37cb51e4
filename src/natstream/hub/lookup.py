"""Questions to the archive, asked in a task of the journal's, so that no reader waits for one.

A reader waits at its channel alone, where ticks and new batches reach it. A `Lookup` asks beside
the reader and wakes it with the answer, so cancelling the reader's wait never cuts a question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Generic, TypeVar, cast

import trio

from natstream.errors import JournalClosed
from natstream.hub.timeline import Archive

__all__ = ["Lookup", "ask"]

T = TypeVar("T")


class Lookup(Generic[T]):
    """One question to the archive, and its answer once `is_done`.

    Args:
        archive: the archive, in whose task the question is asked.
        question: a coroutine function that asks; it is called once.
        wake: called when the answer is there; it must neither wait nor raise.
    """

    def __init__(
        self, archive: Archive, question: Callable[[], Awaitable[T]], wake: Callable[[], None]
    ) -> None:
        self._question, self._wake = question, wake
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._is_answered = False
        self._answer: T | None = None
        self._error: Exception | None = None
        try:
            archive.start_soon(self._run)
        except JournalClosed:
            self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether the answer, or an exception, is there."""
        return self._done.is_set()

    async def wait(self) -> None:
        """Wait for the answer; for a reader with a closed channel, which cannot be woken."""
        await self._done.wait()

    def result(self) -> T:
        """Return the answer, or raise the exception that the question has raised.

        Raises:
            JournalClosed: the journal was closed before it answered.
        """
        # An exception refers to this frame, and so to the lookup. If the lookup kept it, both would
        # stay in memory until the garbage collector runs.
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error
        if not self._is_answered:
            raise JournalClosed("The journal was closed before all stored lines were read")
        return cast(T, self._answer)

    def cancel(self) -> None:
        """Stop asking, because the reader no longer needs the answer."""
        self._scope.cancel()

    async def _run(self) -> None:
        try:
            with self._scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                self._answer = await self._question()
                self._is_answered = True
        except Exception as error:  # noqa: BLE001 - `result` raises it, in the reader's task
            self._error = error
        finally:
            self._done.set()
            self._wake()


def ask(
    archive: Archive, question: Callable[[], Awaitable[T]], wake: Callable[[], None]
) -> Generator[Lookup[T], None, T]:
    """Ask from a generator: it yields the lookup until that is done, and returns the answer.

    Closing the generator stops asking.
    """
    lookup = Lookup(archive, question, wake)
    try:
        while not lookup.is_done:
            yield lookup
    finally:
        lookup.cancel()
    return lookup.result()
