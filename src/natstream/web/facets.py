"""Counts and rates by app, region, machine, level and so on, for the page's chips. Pure.

In: batches of entries, as they are published. Out: for each field, the values of the last half
hour, each with its number of lines and its lines per second.

Lines are counted by combination (app, region, machine, level, stream, source, group, release),
because there are few combinations even if there are many lines. A filter or a scope is applied to
the combinations later. So a reader that may see only a part of the logs gets the counts of that
part. Filters on messages (`q`, `not`, `field`) cannot be applied to combinations. Therefore those
of a reader are ignored, and a scope with such a filter gets no counts at all.

Memory is bounded: lines with overlong names, and lines of new combinations once there are too
many, are counted together as "other". Counting takes about 0.4 µs per line in batches of a
thousand.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import attrs

from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter

__all__ = ["FACETS", "Facets"]

# The name of each counted field in the API → the attribute of the entry.
FACETS = {
    "app": "app_name",
    "region": "region",
    "machine": "machine_id",
    "level": "level",
    "stream": "stream",
    "type": "type",
    "group": "group",
    "release": "release",
}
# Few services know these, and a line without them is no value to choose.
_ONLY_KNOWN = frozenset({"group", "release"})

# A rate covers three slices of ten seconds: long enough to be steady, short enough to be current.
SLICE = 10.0
RATE_SLICES = 3

# Lines are counted over half an hour, and forgotten in chunks of two minutes. After half an hour
# a machine that has stopped disappears, but an app that logs rarely still shows.
SLICES_A_CHUNK = 12
CHUNKS = 15

# Enough for 500 machines with five levels and two streams, or for 250 that are deployed once in
# half an hour. Each combination takes about 2 KB.
MAX_COMBINATIONS = 5_000
# The name of an app has at most 63 characters, that of a machine 14. A longer name is not Fly's,
# so it is not kept.
MAX_NAME = 128
# An answer holds the most frequent values of each field, which takes about 10 KB.
MAX_VALUES = 200

_Key = tuple[str, str, str, str, str, str, str, str]
_key: Callable[[LogEntry], _Key] = attrgetter(
    "app_name", "region", "machine_id", "level", "stream", "source", "group", "release"
)


@attrs.define
class _Tally:
    """The lines of one combination, by slice and by chunk, the newest last."""

    sample: LogEntry
    """An entry of this combination, which filters are tested against."""
    slices: deque[int] = attrs.field(factory=lambda: deque([0], RATE_SLICES))
    chunks: deque[int] = attrs.field(factory=lambda: deque([0], CHUNKS))

    def add(self, lines: int) -> None:
        self.slices[-1] += lines
        self.chunks[-1] += lines


class Facets:
    """The counts of one process. No method waits. Use it from one thread only."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall = clock, wall
        self._start = clock()
        self._slice = 0
        """The index of the current slice; the first slice has index 0."""
        self._tallies: dict[_Key, _Tally] = {}
        self._other = _Tally(LogEntry(machine_id="", message="", stream=""))

    def count(self, entries: Iterable[LogEntry]) -> None:
        """Count the entries of a batch. The cost per line is lower in a larger batch."""
        self._forget()
        for key, lines in Counter(map(_key, entries)).items():
            (self._tallies.get(key) or self._new_tally(key)).add(lines)

    def read(self, filter: Filter = EVERYTHING, scope: Filter | None = None) -> dict[str, Any]:
        """Return the answer of `GET /api/facets`.

        It looks like `{"app": {"web": {"lines": 12, "rate": 0.4}}, …}`. The counts of a field
        ignore the part of `filter` about this field, so that a reader of one app still sees the
        other apps to choose from. `scope` always applies as a whole. `since` is the start of the
        counting in Unix ms. `other` has, for each field, the lines whose value is not listed.
        For a scoped reader, these are only the lines that this answer has no room for. The lines
        that were counted together are left out, since they may be outside of the scope.
        """
        self._forget()
        age = self._clock() - self._start
        # The current slice is incomplete. The time counts as one second at least, because
        # otherwise a single line in the first moment would give a very high rate.
        past_slices = min(self._slice, RATE_SLICES - 1)
        seconds = max(past_slices * SLICE + age - self._slice * SLICE, 1.0)
        has_texts = scope is not None and bool(scope.q or scope.not_ or scope.fields)
        tallies = () if has_texts else tuple(self._tallies.values())
        answer: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for name, field in FACETS.items():
            wanted = _without(filter, field)
            if scope is not None:
                wanted &= scope
            lines: Counter[str] = Counter()
            recent: Counter[str] = Counter()
            for tally in tallies:
                if wanted.matches(tally.sample):
                    value = _value(tally.sample, field)
                    lines[value] += sum(tally.chunks)
                    recent[value] += sum(tally.slices)
            if field in _ONLY_KNOWN:
                del lines[""]
            ranked = lines.most_common()
            answer[name] = {
                value: _figures(n, recent[value] / seconds) for value, n in ranked[:MAX_VALUES]
            }
            unlisted = ranked[MAX_VALUES:]
            other_lines = sum(n for _, n in unlisted)
            other_recent = sum(recent[value] for value, _ in unlisted)
            if scope is None:
                other_lines += sum(self._other.chunks)
                other_recent += sum(self._other.slices)
            other[name] = _figures(other_lines, other_recent / seconds)
        chunk, in_chunk = divmod(self._slice, SLICES_A_CHUNK)
        covered = min(chunk, CHUNKS - 1) * SLICES_A_CHUNK + in_chunk - self._slice
        since = self._wall() - age - covered * SLICE
        return {**answer, "since": int(since * 1000), "other": other}

    def _new_tally(self, key: _Key) -> _Tally:
        """Add a tally for this combination and return it, or return "other" if it has no room."""
        if len(self._tallies) >= MAX_COMBINATIONS or max(map(len, key)) > MAX_NAME:
            return self._other
        app, region, machine, level, stream, source, group, release = key
        tally = self._tallies[key] = _Tally(
            LogEntry(
                machine_id=machine,
                message="",
                stream=stream,
                app_name=app,
                region=region,
                level=level,
                source=source,
                group=group,
                release=release,
                unix_ns=0,
            )
        )
        return tally

    def _forget(self) -> None:
        """Move on to the current slice and chunk, and drop combinations without recent lines."""
        now = int((self._clock() - self._start) / SLICE)
        if now == self._slice:
            return
        # After as many zeros as the deque holds, all of it is zeros, so more would change nothing.
        slices = min(now - self._slice, RATE_SLICES)
        chunks = min(now // SLICES_A_CHUNK - self._slice // SLICES_A_CHUNK, CHUNKS)
        self._slice = now
        for tally in (*self._tallies.values(), self._other):
            tally.slices.extend([0] * slices)
            tally.chunks.extend([0] * chunks)
        if chunks:
            self._tallies = {
                key: tally for key, tally in self._tallies.items() if any(tally.chunks)
            }


def _without(filter: Filter, field: str) -> Filter:
    """Return `filter` without its conditions on `field`, and without those on messages."""
    return attrs.evolve(
        filter,
        exact=frozenset(pair for pair in filter.exact if pair[0] != field),
        min_level="" if field == "level" else filter.min_level,
        q=(),
        not_=(),
        fields=(),
    )


def _value(entry: LogEntry, field: str) -> str:
    if field == "type":
        return "system" if entry.is_system else "log"
    value: str = getattr(entry, field)
    return value


def _figures(lines: int, rate: float) -> dict[str, float]:
    return {"lines": lines, "rate": round(rate, 2)}
