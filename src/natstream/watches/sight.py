"""Whether lines would come if there were any: what the sources say of themselves. Pure.

In: the states of the sources. Out: the reason why the absence of lines says nothing at present.
"""

from __future__ import annotations

import time

import attrs

from natstream.hub.health import Health, SourceState

__all__ = ["Sight"]

# Seconds in which a source finds out why it is silent, and a few more.
CHECK = 25.0
# Seconds within which a line of the journal shows that another process still brings lines.
RECENT = 60.0


@attrs.frozen
class Sight:
    """Judges by the health of the sources.

    Args:
        health: the states of the sources.
        silence: seconds of silence after which NATS finds out why; `None` if it does not.
    """

    health: Health
    silence: float | None

    def trouble(self) -> str:
        """Return which source is down, as a clause; an empty text if all are up."""
        sources = self.health.sources
        down = [status for status in sources.values() if status.state is not SourceState.UP]
        if not down:
            return ""
        journal = sources.get("journal")
        if journal is not None and journal not in down and time.time() < journal.last_line + RECENT:
            return ""  # The other processes store the lines that this one does not get.
        return f"{_NAMES.get(down[0].name, down[0].name)} is {down[0].state}"

    def is_checking(self) -> bool:
        """Return whether it is being found out if NATS is mute."""
        nats = self.health.sources.get("nats")
        if nats is None or self.silence is None or nats.is_uncheckable:
            return False
        heard = max(nats.last_line, nats.since)
        silent = time.time() - heard
        return self.silence <= silent < self.silence + CHECK and nats.checked <= heard


_NAMES = {"nats": "NATS", "drain": "the drain", "journal": "the journal"}
