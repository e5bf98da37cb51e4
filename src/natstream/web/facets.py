"""Counts and rates by app, region, machine, level, stream and type, for the page's chips. Pure.

In: the entries, batch by batch, as they are published. Out: for each field the values seen in
the last half hour, with their lines and their lines a second.

Lines are counted by combination (app, region, machine, level, stream, source), of which there
are few however many lines there are. So a filter or a scope can be applied afterwards, to the
combinations: a reader that may see only a part gets the counts of that part. Texts (`q`, `not`)
cannot be answered that way: a reader's are passed over, and a scope that holds any gets nothing.

Memory is bounded: what comes in too many combinations, or with overlong names, is counted
together as "other". Counting takes about 0.4 µs a line in batches of a thousand.
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

# What is counted, by the names that readers use → the entry's field.
FACETS = {
    "app": "app_name",
    "region": "region",
    "machine": "machine_id",
    "level": "level",
    "stream": "stream",
    "type": "type",
}

# Rates are over three slices of ten seconds: long enough to be calm, short enough to be live.
SLICE = 10.0
RATE_SLICES = 3

# Lines are counted over half an hour, forgotten in steps of two minutes: that a machine is gone
# should show, and that a quiet app has said something a while ago as well.
SLICES_A_CHUNK = 12
CHUNKS = 15

# 500 machines with five levels and two streams. Each takes about 2 KB.
MAX_COMBINATIONS = 5_000
# Names of apps have 63 characters, machines 14; what is longer is a stranger's text.
MAX_NAME = 128
# Values of one field in an answer, the most frequent ones: about 10 KB.
MAX_VALUES = 200

_Key = tuple[str, str, str, str, str, str]
_key: Callable[[LogEntry], _Key] = attrgetter(
    "app_name", "region", "machine_id", "level", "stream", "source"
)


@attrs.define
class _Tally:
    """The lines of one combination: by slice and by chunk, the newest last."""

    probe: LogEntry
    """An entry of this combination, to ask filters about."""
    slices: deque[int] = attrs.field(factory=lambda: deque([0], RATE_SLICES))
    chunks: deque[int] = attrs.field(factory=lambda: deque([0], CHUNKS))

    def add(self, lines: int) -> None:
        self.slices[-1] += lines
        self.chunks[-1] += lines


class Facets:
    """The counts of one process. Nothing waits; use it from one thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall = clock, wall
        self._start = clock()
        self._slice = 0
        """The number of the current slice, counted from the start."""
        self._tallies: dict[_Key, _Tally] = {}
        self._other = _Tally(LogEntry("", "", ""))

    def count(self, entries: Iterable[LogEntry]) -> None:
        """Count a batch; the larger it is, the less a line costs."""
        self._forget()
        for key, lines in Counter(map(_key, entries)).items():
            (self._tallies.get(key) or self._admit(key)).add(lines)

    def read(self, filter: Filter = EVERYTHING, scope: Filter | None = None) -> dict[str, Any]:
        """The answer of `GET /api/facets`: `{"app": {"web": {"lines": 12, "rate": 0.4}}, …}`.

        Each field's counts leave out what `filter` says of that same field, so that a reader of
        one app still sees the others to choose from; `scope` always holds in full. `since` is
        the start of the counting in Unix ms. `other` has, by field, what there was no room to
        tell apart (for a scoped reader only what this answer had no room for, since nobody
        knows whether the rest is in its scope).
        """
        self._forget()
        age = self._clock() - self._start
        # The current slice is not over; less than a second would make a burst of one line.
        past_slices = min(self._slice, RATE_SLICES - 1)
        seconds = max(past_slices * SLICE + age - self._slice * SLICE, 1.0)
        hidden = scope is not None and bool(scope.q or scope.not_)
        tallies = () if hidden else tuple(self._tallies.values())
        answer: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for name, field in FACETS.items():
            wanted = _without(filter, field)
            if scope is not None:
                wanted &= scope
            lines: Counter[str] = Counter()
            recent: Counter[str] = Counter()
            for tally in tallies:
                if wanted.matches(tally.probe):
                    value = _value(tally.probe, field)
                    lines[value] += sum(tally.chunks)
                    recent[value] += sum(tally.slices)
            ranked = lines.most_common()
            answer[name] = {
                value: _figures(n, recent[value] / seconds) for value, n in ranked[:MAX_VALUES]
            }
            rest = ranked[MAX_VALUES:]
            rest_lines, rest_recent = sum(n for _, n in rest), sum(recent[v] for v, _ in rest)
            if scope is None:
                rest_lines += sum(self._other.chunks)
                rest_recent += sum(self._other.slices)
            other[name] = _figures(rest_lines, rest_recent / seconds)
        chunk, in_chunk = divmod(self._slice, SLICES_A_CHUNK)
        covered = min(chunk, CHUNKS - 1) * SLICES_A_CHUNK + in_chunk - self._slice
        since = self._wall() - age - covered * SLICE
        return {**answer, "since": int(since * 1000), "other": other}

    def _admit(self, key: _Key) -> _Tally:
        if len(self._tallies) >= MAX_COMBINATIONS or max(map(len, key)) > MAX_NAME:
            return self._other
        app, region, machine, level, stream, source = key
        tally = self._tallies[key] = _Tally(
            LogEntry(
                machine,
                "",
                stream,
                app_name=app,
                region=region,
                level=level,
                source=source,
                unix_ns=0,
            )
        )
        return tally

    def _forget(self) -> None:
        """Turn to the current slice and chunk; drop the combinations that fell silent."""
        now = int((self._clock() - self._start) / SLICE)
        if now == self._slice:
            return
        # A deque that has taken as many as it holds is all zeros: no need for more turns.
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
    """`filter` without what it says of `field`, and without its texts."""
    return attrs.evolve(
        filter,
        exact=frozenset(pair for pair in filter.exact if pair[0] != field),
        min_level="" if field == "level" else filter.min_level,
        q=(),
        not_=(),
    )


def _value(entry: LogEntry, field: str) -> str:
    if field == "type":
        return "system" if entry.is_system else "log"
    value: str = getattr(entry, field)
    return value


def _figures(lines: int, rate: float) -> dict[str, float]:
    return {"lines": lines, "rate": round(rate, 2)}
