"""Which line is which: the names of lines, and what is known of those that bear them. No I/O.

The journal stores each name once, for a while. So every process has to give the same name to the
same line; and each remembers which names it has seen in the stream, and which of its own lines its
readers have had while that was away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from natstream.entries.entry import LogEntry
from natstream.hub.timeline import Outage
from natstream.journal.jetstream import DUPLICATE_WINDOW
from natstream.journal.messages import content_id

__all__ = ["Followed", "Names", "Shown"]

# The same message of NATS may come twice, and both are told apart by their count: of this many,
# and for longer than the server knows the first.
REPEATS_KNOWN = 20_000
REPEATS_FOR = 2 * DUPLICATE_WINDOW
# A process may read from NATS what the stream has shown it: another was faster, by seconds if this
# one was busy. A line that comes again once the server has forgotten the first is another line.
FOLLOWED_KNOWN = 50_000
FOLLOWED_FOR = DUPLICATE_WINDOW / 2
# As many as may wait for the journal, twice.
SHOWN_KNOWN = 200_000


class Names:
    """Names that every process gives to the same lines of NATS."""

    def __init__(self) -> None:
        # Of a plain dict, the way to the first one passes all that were deleted before it.
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def name(self, entry: LogEntry, now: float) -> str:
        """The next line's. `now` is in seconds."""
        name = content_id(entry)
        count, at = self._seen.pop(name, (0, now))
        # The second of two equal ones is a line of its own, in every process that sees both.
        count = 1 if now - at > REPEATS_FOR else count + 1
        self._seen[name] = count, now
        if len(self._seen) > REPEATS_KNOWN:
            self._seen.popitem(last=False)
        return name if count == 1 else f"{name}-{count}"


class Followed:
    """Names that the stream was seen to hold, lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add(self, names: Iterable[str], now: float) -> None:
        """These were just seen, at `now` in seconds."""
        seen = self._seen
        seen.update(dict.fromkeys(names, now))
        while len(seen) > FOLLOWED_KNOWN or (
            seen and next(iter(seen.values())) < now - FOLLOWED_FOR
        ):
            seen.popitem(last=False)

    def holds(self, name: str, now: float) -> bool:
        """Whether one was."""
        return self._seen.get(name, float("-inf")) >= now - FOLLOWED_FOR

    def clear(self) -> None:
        """The stream is gone."""
        self._seen.clear()


class Shown:
    """Names of what readers have had while the journal was away, until it is known to be stored."""

    def __init__(self) -> None:
        self._outages: OrderedDict[str, Outage] = OrderedDict()
        self._unsettled: set[Outage] = set()
        self._oldest_since = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._outages

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to be known."""
        return not self._unsettled

    @property
    def is_known(self) -> bool:
        """Whether each is stored, as far as it will be."""
        return not self._outages

    @property
    def oldest_since(self) -> float | None:
        """Unix seconds when the oldest line came that is to be recognised; `None` if none is."""
        return self._oldest_since if self._outages else None

    def add(self, names: Iterable[str], outage: Outage, since: float) -> None:
        """Remember the names of lines that an outage has shown.

        Args:
            names: the lines' message ids.
            outage: when they were shown.
            since: Unix seconds when the oldest of them came.
        """
        self._unsettled.add(outage)
        self._oldest_since = min(since, self._oldest_since) if self._outages else since
        for name in names:
            self._outages[name] = outage
        while len(self._outages) > SHOWN_KNOWN:
            self.lose(next(iter(self._outages)))

    def stored(self, name: str, number: int) -> bool:
        """The stream has this one, under this number; whether it was shown."""
        if (outage := self._outages.pop(name, None)) is None:
            return False
        outage.numbers.add(number)
        return True

    def lose(self, name: str) -> None:
        """Nobody will know this one again, if another process has stored it."""
        if (outage := self._outages.pop(name, None)) is not None:
            outage.overflowed = True

    def settle(self) -> None:
        """All are known that will be."""
        for outage in self._unsettled:
            outage.is_over = True
        self._unsettled.clear()
        self._outages.clear()
