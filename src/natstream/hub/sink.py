"""Where sources put what they read: the hub itself, or a journal that the hub follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from natstream.entries.entry import Gap, LogEntry

__all__ = ["Receipt", "Sink"]


class Receipt(Protocol):
    """What is known of the entries that were handed over with it."""

    async def confirmed(self) -> None:
        """Wait until all of them are stored.

        Raises:
            JournalUnavailable: they are not, and will not be: whoever sent them has to again.
        """


class Sink(Protocol):
    """Takes entries, in order."""

    def publish_nowait(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Take a few entries. Never waits."""

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Take any number of entries, at the pace at which they can be handed on."""

    def open_receipt(self, key: str) -> Receipt | None:
        """Something to wait for, where it takes more than handing over.

        `key` is the sender's own name for what follows, if it has one: the same again is stored
        once.

        Raises:
            JournalUnavailable: nothing can be stored just now.
        """

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Say something to all readers, in its place between the entries. Never waits."""
