"""What a source needs of the hub, or of the journal that stands in front of the hub. Pure.

Each protocol asks only for what its callers use: the NATS source publishes and announces, and the
drain also wants a receipt where entries are stored. The hub stores nothing and gives no receipts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import attrs

from natstream.entries.entry import Gap, LogEntry

__all__ = ["JournalStatistics", "Receipt", "Sink", "Storage"]


class Sink(Protocol):
    """Accepts entries, in order, and announces what happens to their source."""

    async def publish(self, entries: Sequence[LogEntry]) -> None:
        """Publish any number of entries, at the pace at which they can be handed on."""

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Send a notice to all readers, between the entries before and after it. Never waits."""


class Receipt(Protocol):
    """Tells whether the entries that were published with it are stored."""

    async def confirmed(self) -> None:
        """Wait until all of the entries are stored.

        Raises:
            JournalUnavailable: not all of them are stored, so the sender has to send them again.
        """


class Storage(Protocol):
    """Stores the entries that it accepts, and confirms that with a receipt."""

    def open_receipt(self, key: str) -> Receipt:
        """Return a new receipt for one batch of a sender.

        Args:
            key: the sender's own name for the batch, or empty. A batch that is sent again under
                the same key is stored once.

        Raises:
            JournalUnavailable: nothing can be stored at present.
        """

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        """Store any number of entries, at the pace at which the server stores them."""


@attrs.frozen
class JournalStatistics:
    """A snapshot of the journal; counts are since its start.

    It stands here, and not beside the journal, because the metrics may not import the journal.
    """

    waiting: int
    """Lines that the server has not yet acknowledged."""
    waiting_bytes: int
    """Memory that these lines take."""
    stored: int
    """Lines that the server has acknowledged."""
    duplicates: int
    """Acknowledged lines that the stream had already, because another process was faster."""
    away: bool
    """Whether readers get only this process's own lines."""
    reason: str
    """One word for the trouble; empty while there is none."""
