"""The state of one watch, and what it did, for `/readyz`, `/metrics` and the page. Pure.

In: changes that the watch reports. Out: plain values for JSON, which hold no secret.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import attrs

__all__ = ["Fired", "WatchStatus"]

# The page marks the last times that a watch fired; older ones are no longer in the backlog.
MAX_FIRED = 20


@attrs.define
class Fired:
    """One time that a watch fired."""

    kind: str
    """`matched`, `absent`, `back` or `unknown`."""
    at_ms: int
    """Unix ms."""
    count: int
    """How many lines matched, so far; 0 if none did."""
    first_id: str
    """The event id of the first of these lines; empty if there is none."""


@attrs.define(eq=False)
class WatchStatus:
    """The state of a watch, and its counters (since the process started)."""

    name: str
    query: str
    state: str = "watching"
    """`watching`; `absent` after a message that nothing matches; `unknown` after a message that
    this cannot be told, because a source is lost or mute."""
    problem: str = ""
    """One sentence if the last message could not be delivered; it holds no secret."""
    since: float = attrs.field(factory=time.time)
    """Unix seconds of the last change of `problem`."""
    fired: int = 0
    """Times that the watch fired, which other processes may have told."""
    sent: int = 0
    """Messages that this process delivered."""
    failed: int = 0
    """Messages that this process could not deliver."""
    suppressed: int = 0
    """Matching lines that came during a cooldown."""
    missed: int = 0
    """Lines that the watch did not see, and that may have matched."""
    last: deque[Fired] = attrs.field(factory=lambda: deque(maxlen=MAX_FIRED))
    """The last times that the watch fired, the oldest first."""

    def note(self, fired: Fired) -> None:
        """Count a time that the watch fired."""
        self.fired += 1
        self.last.append(fired)

    def tell(self, problem: str) -> None:
        """Set the reason why messages cannot be delivered; an empty text if they can."""
        if bool(problem) is not bool(self.problem):
            self.since = time.time()
        self.problem = problem

    def summary(self) -> dict[str, Any]:
        """Return the state and the counts, as `/readyz` shows them."""
        return {
            "state": self.state,
            "problem": self.problem,
            "since": int(self.since * 1000),
            "fired": self.fired,
            "sent": self.sent,
            "failed": self.failed,
            "suppressed": self.suppressed,
            "missed": self.missed,
        }

    def shown(self) -> dict[str, Any]:
        """Return the state and the last times that the watch fired, as `/api/watches` has them."""
        return {
            "name": self.name,
            "query": self.query,
            "state": self.state,
            "problem": self.problem,
            "fired": [attrs.asdict(each) for each in self.last],
        }
