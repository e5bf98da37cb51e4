"""The identity of lines: their names, and memories of names that were read or shown. Pure.

The stream stores one line under a name, for as long as it remembers the name. So every process has
to give the same name to the same line. Each process also remembers the names that it has read from
the stream, and the names of lines that it showed to its readers while the journal was away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from natstream.entries.entry import LogEntry
from natstream.hub.timeline import Outage
from natstream.journal.messages import content_id
from natstream.journal.stream_config import DUPLICATE_WINDOW

__all__ = ["Followed", "Names", "Shown"]

# Two equal messages of NATS are two lines, which get different names because the messages are
# counted. So many names have a count, for longer than the stream remembers the first line.
REPEATS_KNOWN = 20_000
REPEATS_FOR = 2 * DUPLICATE_WINDOW
# A process that is busy may read a line from NATS seconds after the stream has shown it, because
# another process was faster. An equal line that comes later than this is another line, since the
# stream does not remember the first one either.
FOLLOWED_KNOWN = 50_000
FOLLOWED_FOR = DUPLICATE_WINDOW / 2
# Twice as many lines as may wait for the journal.
SHOWN_KNOWN = 200_000


class Names:
    """Names for lines of NATS, which are the same in every process."""

    def __init__(self) -> None:
        # A plain dict would pass all keys that were deleted before on the way to its first key.
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def name(self, entry: LogEntry, now: float) -> str:
        """Return the name of the next line; `now` is in seconds."""
        name = content_id(entry)
        count, at = self._seen.pop(name, (0, now))
        # The second of two equal lines has a name of its own, in every process that sees both.
        count = 1 if now - at > REPEATS_FOR else count + 1
        self._seen[name] = count, now
        if len(self._seen) > REPEATS_KNOWN:
            self._seen.popitem(last=False)
        return name if count == 1 else f"{name}-{count}"


class Followed:
    """The names that were read from the stream lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add(self, names: Iterable[str], now: float) -> None:
        """Remember names that were read at `now`, in seconds."""
        seen = self._seen
        seen.update(dict.fromkeys(names, now))
        while len(seen) > FOLLOWED_KNOWN or (
            seen and next(iter(seen.values())) < now - FOLLOWED_FOR
        ):
            seen.popitem(last=False)

    def holds(self, name: str, now: float) -> bool:
        """Return whether a name was read lately."""
        return self._seen.get(name, float("-inf")) >= now - FOLLOWED_FOR

    def clear(self) -> None:
        """Forget all names, because another stream is followed now."""
        self._seen.clear()


class Shown:
    """The names of lines that readers saw while the journal was away, until each is recognised.

    A line is recognised once the stream is seen to hold it, under a number. Then readers that saw
    the line skip that number.
    """

    def __init__(self) -> None:
        self._outages: OrderedDict[str, Outage] = OrderedDict()
        self._unsettled: set[Outage] = set()
        self._oldest_since = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._outages

    @property
    def is_settled(self) -> bool:
        """Whether every outage has all the numbers that it will get."""
        return not self._unsettled

    @property
    def is_known(self) -> bool:
        """Whether every line is recognised."""
        return not self._outages

    @property
    def oldest_since(self) -> float | None:
        """Unix seconds when the oldest line came that is not yet recognised; `None` if all are."""
        return self._oldest_since if self._outages else None

    def add(self, names: Iterable[str], outage: Outage, since: float) -> None:
        """Remember the names of lines that were shown.

        Args:
            names: the lines' message ids.
            outage: the outage in which they were shown.
            since: Unix seconds when the oldest of them came.
        """
        self._unsettled.add(outage)
        self._oldest_since = min(since, self._oldest_since) if self._outages else since
        for name in names:
            self._outages[name] = outage
        while len(self._outages) > SHOWN_KNOWN:
            self.lose(next(iter(self._outages)))

    def stored(self, name: str, number: int) -> bool:
        """Recognise a line of the stream by its name.

        Returns:
            Whether the line was shown.
        """
        if (outage := self._outages.pop(name, None)) is None:
            return False
        outage.numbers.add(number)
        return True

    def lose(self, name: str) -> None:
        """Forget a name; if another process stores the line, readers may see it twice."""
        if (outage := self._outages.pop(name, None)) is not None:
            outage.overflowed = True

    def settle(self) -> None:
        """Forget all names, because no further line will be recognised."""
        for outage in self._unsettled:
            outage.is_over = True
        self._unsettled.clear()
        self._outages.clear()
