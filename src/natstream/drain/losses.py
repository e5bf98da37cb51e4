"""What senders lost: lines that were dropped, and bodies that were refused for good.

In: counts by reason. Out: the source's counts, and at most once in `EVERY` seconds a line in the
service's log and a notice to the readers, which say what was lost since the last ones. The first
loss is told at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import trio

from natstream.hub.health import SourceStatus

__all__ = ["Losses"]

log: logging.Logger = logging.getLogger(__name__)

# Seconds. A sender that is configured wrongly loses lines with every batch.
EVERY = 60.0

_WORDS = {
    "no_machine": "without a machine",
    "not_json": "in an array, but no object",
    "not_otlp": "in another form than OpenTelemetry's log records",
    "too_large": "too large for a record",
    "too_deep": "nested too deeply",
}


class Losses:
    """Counts losses and tells them.

    Args:
        status: the drain's status, whose `lost` and `parse_failures` are kept up to date.
    """

    def __init__(self, status: SourceStatus) -> None:
        self._status = status
        self._news = trio.Event()
        self._untold_lines: Counter[str] = Counter()
        self._untold_bodies: Counter[int] = Counter()
        self.lines: Counter[str] = Counter()
        """Lines that were dropped since the start, by reason."""

    def add_lines(self, dropped: Mapping[str, int]) -> None:
        """Count lines that were dropped, by reason."""
        count = sum(dropped.values())
        self._status.lost += count
        self._status.parse_failures += count
        self.lines.update(dropped)
        self._untold_lines.update(dropped)
        self._news.set()

    def add_body(self, status: int) -> None:
        """Count a body that was refused with a status after which its sender does not retry."""
        self._untold_bodies[status] += 1
        self._news.set()

    async def tell_regularly(self) -> None:
        """Tell losses until cancelled."""
        while True:
            await self._news.wait()
            self.tell()
            await trio.sleep(EVERY)

    def tell(self) -> None:
        """Tell the losses since the last time, if there are any."""
        self._news = trio.Event()
        lost = [
            f"{count:,} {'line' if count == 1 else 'lines'} {_WORDS[reason]}"
            for reason, count in self._untold_lines.items()
        ]
        lost += [
            f"{count:,} {'batch' if count == 1 else 'batches'}, refused with {status}"
            for status, count in sorted(self._untold_bodies.items())
        ]
        self._untold_lines.clear()
        self._untold_bodies.clear()
        if lost:
            sentence = f"The drain could not take what its senders sent: {'; '.join(lost)}"
            log.warning("%s. The answer to each sender says why.", sentence)
            self._status.tell(sentence, "error")
