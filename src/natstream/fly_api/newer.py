"""Lines that the logs interface has and NATS did not bring: the sign of a mute NATS.

In: apps, a time, and the lines that were shown. Out: whether one of the apps has another line of
that time; or nothing, if the interface does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.fly_api.logs import LogReader
from natstream.fly_api.merge import Merge

__all__ = ["Question"]


@attrs.frozen
class Question:
    """Whether there are lines of a time that were not shown."""

    client: FlyClient
    base: str
    """The address of the interface."""
    shown: Merge
    is_hidden: Callable[[LogEntry], bool]
    """Return whether an entry is natstream's own, which does not count."""
    first_ns: int
    last_ns: int

    async def ask(self, apps: Sequence[str]) -> bool | None:
        """Return whether one of the apps has such a line; None if that is not known."""
        answers: list[bool | None] = []

        async def look(app: str) -> None:
            try:
                answers.append(await self._has_new(app))
            except FlyApiError:
                answers.append(None)

        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(look, app)
        if True in answers:
            return True
        return None if None in answers or not answers else False

    async def _has_new(self, app: str) -> bool:
        reader = LogReader(self.client, self.base, app, self.first_ns)
        while not reader.is_at_end:
            page = await reader.next_page()
            lines = [
                entry
                for entry in page
                if self.first_ns <= entry.unix_ns <= self.last_ns and not self.is_hidden(entry)
            ]
            if self.shown.new_from_fly(lines):
                return True
            if page and page[-1].unix_ns > self.last_ns:
                break
        return False
