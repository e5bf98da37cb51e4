"""Whether lines would come if there were any: what the sources say of themselves. Pure.

In: the states of the sources. Out: the reason why the absence of lines says nothing at present.
"""

from __future__ import annotations

import time

import attrs

from natstream.hub.health import Health, SourceState, SourceStatus

__all__ = ["Sight"]

# Seconds in which a source finds out why it is silent, and a few more.
CHECK = 25.0
# Seconds within which a line of the journal shows that another process still brings the lines of a
# source that is lost here. The lines that this process had read were stored earlier than `STORED`
# seconds after the loss.
RECENT, STORED = 60.0, 5.0


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
        for status in self.health.sources.values():
            if status.state is not SourceState.UP and not self._is_replaced(status):
                return f"{_NAMES.get(status.name, status.name)} is {status.state}"
        return ""

    def _is_replaced(self, lost: SourceStatus) -> bool:
        """Return whether other processes store the lines that this one does not get."""
        journal = self.health.sources.get("journal")
        if journal is None or journal.state is not SourceState.UP:
            return False
        stored = journal.last_lines.get(lost.name, 0.0)
        return stored > lost.since + STORED and time.time() < stored + RECENT

    def is_checking(self) -> bool:
        """Return whether it is being found out if NATS is mute."""
        nats = self.health.sources.get("nats")
        if nats is None or self.silence is None or nats.is_uncheckable:
            return False
        heard = max(nats.last_line, nats.since)
        silent = time.time() - heard
        return self.silence <= silent < self.silence + CHECK and nats.checked <= heard


_NAMES = {"nats": "NATS", "drain": "the drain", "journal": "the journal"}
