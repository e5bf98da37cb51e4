"""The figures of a hub at one moment. Pure."""

from __future__ import annotations

import attrs

__all__ = ["HubStatistics"]


@attrs.frozen
class HubStatistics:
    """A snapshot of the hub; counts are since its start."""

    readers: int
    published: int
    """Entries."""
    backlog_lines: int
    backlog_bytes: int
    oldest_ms: int | None
    """Unix ms of the oldest remembered entry's arrival."""
    gaps: int
    """Gaps that readers were told of, including gaps at a resume."""
    missed: int
    """Lines that these gaps counted as missing, in all."""
    slowest: int
    """Lines that the reader furthest behind has yet to see."""
    round_seconds: float
    """CPU seconds that handing a batch to all readers costs, as measured."""
