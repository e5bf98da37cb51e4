"""How long a reader has been behind the newest line. Pure.

In: the moments at which the reader falls behind, or is at the newest line. Out: whether it has been
behind for too long.
"""

from __future__ import annotations

import attrs

__all__ = ["LagClock"]


@attrs.define(eq=False)
class LagClock:
    """Says when a reader has been behind for too long; times are seconds of any one clock.

    A replay that the reader asked for may take its time, so the clock starts at its end.
    """

    replaying: bool
    """Whether the reader is still in the replay that it asked for."""
    since: float | None = None
    """Since when the reader has been behind; `None` while it is at the newest line."""

    def replayed(self, now: float) -> None:
        """Start the clock, because the replay is over."""
        self.replaying, self.since = False, now

    def caught_up(self) -> None:
        """Stop the clock, because the reader is at the newest line."""
        self.replaying, self.since = False, None

    def exceeds(self, limit: float, now: float) -> bool:
        """Return whether the reader has been behind for more than `limit` seconds."""
        return not self.replaying and self.since is not None and now - self.since > limit
