"""The sink between the NATS source and the hub or the journal, while the logs interface is read.

In: the lines of NATS. Out: the ones that the interface has not brought before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import trio

from natstream.entries.entry import Gap, LogEntry
from natstream.fly_api.merge import Merge
from natstream.hub.sink import Sink

__all__ = ["FlySink"]

# Seconds for which lines of NATS wait at the end of an outage, so that filled lines come first.
HOLD = 1.0


class FlySink:
    """Publishes the lines of NATS, except those that the logs interface brought before."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.merge: Merge | None = None
        self._released = trio.Event()
        self._released.set()
        self._deadline: float | None = None

    async def publish(self, entries: Sequence[LogEntry]) -> None:
        """Publish the entries that are new."""
        if not self._released.is_set():
            if self._deadline is None:
                self._deadline = trio.current_time() + HOLD
            with trio.move_on_at(self._deadline):
                await self._released.wait()
        if self.merge is not None:
            entries = self.merge.new_from_nats(entries)
        await self._sink.publish(entries)

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Pass a notice on."""
        self._sink.announce(message, type, gap=gap, public=public)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let entries wait for the end of the block, but for `HOLD` seconds at most."""
        self._released, self._deadline = trio.Event(), None
        try:
            yield
        finally:
            self._released.set()
