"""One filling: the new lines of some apps, read from Fly's logs interface and published.

In: apps, and the lines that were shown. Out: the other lines of the interface, in its order for
each app, and what could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.fly_api.logs import LogReader
from natstream.fly_api.merge import Merge
from natstream.hub.sink import Sink

__all__ = ["Filling", "limited"]


@attrs.define(eq=False)
class Filling:
    """What one filling has read so far."""

    client: FlyClient
    base: str
    """The address of the interface."""
    sink: Sink
    is_hidden: Callable[[LogEntry], bool]
    """Return whether an entry is natstream's own, which readers do not see."""
    since_ns: int
    merge: Merge
    lines: int = 0
    problems: dict[str, FlyApiError] = attrs.field(factory=dict)
    """The last failure of each app that could not be read."""
    _readers: dict[str, LogReader] = attrs.field(factory=dict)

    @contextmanager
    def noting(self, app: str) -> Iterator[None]:
        """Note whether the block could read the app; an error of the interface ends there."""
        try:
            yield
        except FlyApiError as error:
            self.problems[app] = error
        else:
            self.problems.pop(app, None)

    def visible(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Return the entries that readers see."""
        return [entry for entry in entries if not self.is_hidden(entry)]

    async def round(self, apps: Sequence[str], wanted: Callable[[], bool]) -> None:
        """Publish the new lines of some apps, for as long as they are wanted.

        The next round reads the lines that this one leaves.
        """

        async def read(app: str) -> None:
            reader = self._reader(app)
            with self.noting(app):
                # An app that logs faster than it can be read must not hide that NATS is back.
                while wanted():
                    await self._publish(await reader.next_page())
                    if reader.is_at_end or reader.is_short:
                        return

        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(read, app)

    async def read_rest(self, apps: Sequence[str], deadline: float, seconds: float) -> None:
        """Publish all new lines of some apps, until the deadline, which is `seconds` away."""

        async def read(app: str) -> None:
            reader = self._reader(app)
            with self.noting(app):
                while True:
                    # Only the question is cut short: lines that were read have to be published.
                    with limited(deadline, seconds):
                        page = await reader.next_page()
                    await self._publish(page)
                    if reader.is_caught_up:
                        return

        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(read, app)

    def go_back(self, seconds: float) -> None:
        """Look again at the last seconds of each app, because some lines come late."""
        for reader in self._readers.values():
            reader.go_back(seconds)

    def _reader(self, app: str) -> LogReader:
        if app not in self._readers:
            self._readers[app] = LogReader(self.client, self.base, app, self.since_ns)
        return self._readers[app]

    async def _publish(self, page: Sequence[LogEntry]) -> None:
        new = self.merge.new_from_fly(self.visible(page))
        await self.sink.publish(new)
        self.lines += len(new)


@contextmanager
def limited(deadline: float, seconds: float) -> Iterator[None]:
    """End the block at a time on trio's clock, which is `seconds` after the work began.

    Raises:
        FlyApiError: the block was ended.
    """
    with trio.move_on_at(deadline) as scope:
        yield
    if scope.cancelled_caught:
        raise FlyApiError(f"not all of them could be read within {seconds:g} s", "limited")
