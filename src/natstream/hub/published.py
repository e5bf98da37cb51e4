"""Entries that were published, as observers of the hub get them. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence

import attrs

from natstream.entries.entry import LogEntry

__all__ = ["Published"]


@attrs.frozen
class Published:
    """A run of published entries in order, perhaps with holes."""

    epoch: str
    numbers: Sequence[int]
    """The number of each entry."""
    entries: Sequence[LogEntry]
    arrivals: Sequence[int]
    """Unix ms of each entry's arrival."""

    def without(self, indices: Container[int]) -> Published:
        """Return the run without the entries at these indices."""
        left = [index for index in range(len(self.entries)) if index not in indices]
        return Published(
            self.epoch,
            [self.numbers[index] for index in left],
            [self.entries[index] for index in left],
            [self.arrivals[index] for index in left],
        )
