"""The interface to which sources publish entries: the hub, or a journal that the hub follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from natstream.entries.entry import Gap, LogEntry

__all__ = ["Receipt", "Sink"]


class Receipt(Protocol):
    """Tells a sender when the entries that it published with this receipt are stored."""

    async def confirmed(self) -> None:
        """Wait until all of the entries are stored.

        Raises:
            JournalUnavailable: some are not stored, so the sender has to send all of them again.
        """


class Sink(Protocol):
    """Accepts entries, in order."""

    def publish_nowait(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Publish a few entries without waiting."""

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Publish any number of entries, and wait while readers or the journal are busy."""

    def open_receipt(self, key: str) -> Receipt | None:
        """Return a receipt for entries that a journal stores; `None` if there is no journal.

        Args:
            key: the sender's own name for the entries, or an empty text. Equal entries that come
                again under the same key are stored once.

        Raises:
            JournalUnavailable: the journal is away, so that no entry can be stored.
        """

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Tell all readers something between the entries published before and after, at once."""
