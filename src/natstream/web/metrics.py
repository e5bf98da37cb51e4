"""The statistics that the metrics are made of, and the exposition of them.

In: the statistics of the hub, the sources, the drain and the journal. Out: the exposition, which
`web/exposition` makes at each scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from natstream.hub.health import Health
from natstream.hub.hub import Hub
from natstream.hub.sink import JournalStatistics
from natstream.server.token_guard import TokenGuard
from natstream.web.pattern_counts import PatternCounts

if TYPE_CHECKING:
    from natstream.drain.server import DrainStatistics
    from natstream.watches.status import WatchStatus
    from natstream.web.exposition import Exposition

__all__ = ["Counters", "Metrics"]


@attrs.define
class Counters:
    """Counts of the web application, since its start."""

    sent_lines: int = 0
    """Lines that were sent, added up over all readers."""
    sent_bytes: int = 0


class Metrics:
    """The statistics of one process, over its hub and the health of its sources."""

    def __init__(self, hub: Hub, health: Health) -> None:
        self.hub = hub
        self.health = health
        self.counters: Counters = Counters()
        self.guard: TokenGuard = TokenGuard()
        """Counts the wrong tokens of all listeners."""
        self.drain: Callable[[], DrainStatistics] | None = None
        """Returns the drain's statistics, if there is a drain; called at each scrape."""
        self.journal: Callable[[], JournalStatistics] | None = None
        """Returns the journal's statistics, if there is a journal; called at each scrape."""
        self.patterns: PatternCounts | None = None
        """The counts of patterns, if they are counted."""
        self.watches: Sequence[WatchStatus] = ()
        """The states of the watches."""
        self._exposition: Exposition | None = None

    def exposition(self, accept: str = "", *, with_watches: bool = True) -> tuple[bytes, str]:
        """Return all metrics in the form that an `Accept` header asks for, and its content type."""
        if self._exposition is None:
            # Imported for the first scrape: see there.
            from natstream.web.exposition import Exposition

            self._exposition = Exposition(self)
        return self._exposition.encode(accept, with_watches=with_watches)
