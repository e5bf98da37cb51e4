"""Lines that two ways bring, each shown once: by NATS, and from Fly's logs interface. Pure.

Two lines are the same line if the machine, the millisecond and the message are equal. Equal lines
are counted, so that a machine that writes the same line three times in a millisecond keeps all
three. The nanoseconds are not compared, because Fly does not promise that both ways have them.

In: the lines of both ways, in any order. Out: the ones that the other way has not brought.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from natstream.entries.entry import LogEntry

__all__ = ["FROM_FLY", "Merge"]

FROM_FLY = "fly"
"""The `source` of an entry of the logs interface."""

# More than ten minutes of 100 lines a second, for each way. A line whose twin was forgotten is
# shown twice, and `overflowed` says that this may happen.
MAX_LINES = 100_000


class Merge:
    """Remembers the lines of each way that the other has not brought yet.

    Args:
        seen: lines that were shown before, of either way.
    """

    def __init__(self, seen: Iterable[LogEntry] = ()) -> None:
        self._nats: OrderedDict[int, int] = OrderedDict()
        self._fly: OrderedDict[int, int] = OrderedDict()
        self.overflowed: bool = False
        """Whether lines were forgotten, so that some may be shown twice."""
        self.had(seen)

    def had(self, entries: Iterable[LogEntry]) -> None:
        """Note lines of either way that were shown before the merge began."""
        for entry in entries:
            self._add(self._nats, _key(entry))

    def saw(self, entries: Iterable[LogEntry]) -> None:
        """Note lines of NATS that are shown, in this process or by way of the journal.

        Lines of the interface are passed over, because `new_from_fly` has counted them.
        """
        for entry in entries:
            if entry.source != FROM_FLY:
                self._add(self._nats, _key(entry))

    def new_from_fly(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Return the lines of the interface that NATS has not brought; they count as shown."""
        return self._new(entries, self._nats, self._fly)

    def new_from_nats(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Return the lines of NATS that the interface has not brought.

        They do not count as shown until `saw` is called.
        """
        return self._new(entries, self._fly, None)

    def _new(
        self,
        entries: Sequence[LogEntry],
        others: OrderedDict[int, int],
        own: OrderedDict[int, int] | None,
    ) -> list[LogEntry]:
        new = []
        for entry in entries:
            key = _key(entry)
            count = others.get(key, 0)
            if count > 1:
                others[key] = count - 1
            elif count:
                del others[key]
            else:
                new.append(entry)
                if own is not None:
                    self._add(own, key)
        return new

    def _add(self, lines: OrderedDict[int, int], key: int) -> None:
        lines[key] = lines.get(key, 0) + 1
        if len(lines) > MAX_LINES:
            lines.popitem(last=False)
            self.overflowed = True


def _key(entry: LogEntry) -> int:
    # A number takes a tenth of the memory of the texts. The hash is of 64 bits, and differs in each
    # process, so no sender can make two lines collide.
    return hash((entry.machine_id, entry.unix_ns // 1_000_000, entry.message.rstrip("\r\n")))
