"""Counts and rates by app, region, machine, level and so on, for the page's chips.

In: batches of entries, as they are published. Out: for each field, the values of the last half
hour, each with its number of lines and its lines per second.

Lines are counted by combination (app, region, machine, level, stream, source, group, release),
because there are few combinations even if there are many lines. A filter or a scope is applied to
the combinations later. So a reader that may see only a part of the logs gets the counts of that
part. Filters on messages (`q`, `not`, `field`, `pattern`) cannot be applied to combinations.
Therefore those of a reader are ignored, and a scope with such a filter gets no counts at all.

Memory is bounded: lines with overlong names, and lines of new combinations once there are too
many, are counted together as "other". Counting takes about 0.4 µs per line in batches of a
thousand.

An answer over all combinations takes 20 ms, so it is made in turns of a millisecond, and it is kept
for a second for other readers who ask for the same.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub.budget import ReaderBudget
from natstream.web.fair_turns import FairTurns

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
# Combinations of new lines that wait until they are added to the tallies together, because adding a
# few lines at a time took a third of the time of counting.
MAX_FRESH = 2_000
# An answer holds the most frequent values of each field, which takes about 10 KB.
MAX_VALUES = 200

# Combinations that are looked at in one turn: less than a millisecond of work.
TURN = 500
# Seconds for which an answer is kept, because each open page asks for the same every few seconds.
KEPT_SECONDS = 1.0
# An answer takes about 100 KB with its 1,200 values.
MAX_ANSWERS = 20

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

    lines: int = 0
    """The sum of the chunks."""

    def add(self, lines: int) -> None:
        self.slices[-1] += lines
        self.chunks[-1] += lines
        self.lines += lines


class Facets:
    """The counts of one process. Use it from one thread only."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall = clock, wall
        self._start = clock()
        self._slice = 0
        """The index of the current slice; the first slice has index 0."""
        self._tallies: dict[_Key, _Tally] = {}
        self._fresh: Counter[_Key] = Counter()
        """The lines of the current slice that are not in a tally yet."""
        self._other = _Tally(LogEntry(machine_id="", message="", stream=""))
        self._turns = FairTurns()
        self._answers: OrderedDict[tuple[Filter, Filter | None], tuple[float, dict[str, Any]]] = (
            OrderedDict()
        )
        """Filter and scope → when the answer was begun, and the answer; the oldest first."""

    def count(self, entries: Iterable[LogEntry]) -> None:
        """Count the entries of a batch. The cost per line is lower in a larger batch."""
        self._forget()
        self._fresh.update(map(_key, entries))
        if len(self._fresh) > MAX_FRESH:
            self._count_fresh()

    def read(self, filter: Filter = EVERYTHING, scope: Filter | None = None) -> dict[str, Any]:
        """Return the answer of `GET /api/facets`.

        It looks like `{"app": {"web": {"lines": 12, "rate": 0.4}}, …}`. The counts of a field
        ignore the part of `filter` about this field, so that a reader of one app still sees the
        other apps to choose from. `scope` always applies as a whole. `since` is the start of the
        counting in Unix ms. `other` has, for each field, the lines whose value is not listed.
        For a scoped reader, these are only the lines that this answer has no room for. The lines
        that were counted together are left out, since they may be outside of the scope.

        With many combinations this takes long; `read_in_turns` gives other tasks their turns.
        """
        turns = self._answer(filter, scope)
        while True:
            try:
                next(turns)
            except StopIteration as end:
                answer: dict[str, Any] = end.value
                return answer

    async def read_in_turns(
        self, filter: Filter, scope: Filter | None = None, budget: ReaderBudget | None = None
    ) -> dict[str, Any]:
        """Return what `read` returns, perhaps as it was a second ago.

        One answer is made at a time, because the turns of many answers would add up to a long
        wait for other tasks. Links and addresses take turns. An answer's CPU time counts for
        `budget`, as that of the filters.
        """
        asked = (_without(filter, ""), scope)
        if budget is not None and budget.is_used_up:
            await budget.wait()
        async with self._turns.turn(None if budget is None else budget.holder):
            now = self._clock()
            kept = self._answers.get(asked)
            if kept is not None and now - kept[0] < KEPT_SECONDS:
                return kept[1]
            turns = self._answer(filter, scope)
            answer: dict[str, Any] | None = None
            while answer is None:
                try:
                    with nullcontext() if budget is None else budget.measured():
                        next(turns)
                except StopIteration as end:
                    answer = end.value
                else:
                    await trio.lowlevel.checkpoint()
            self._answers[asked] = (now, answer)
            self._answers.move_to_end(asked)
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
            return answer

    def _answer(
        self, filter: Filter, scope: Filter | None
    ) -> Generator[None, None, dict[str, Any]]:
        """Make the answer of `read`; each piece of work ends with a `yield`."""
        self._forget()
        self._count_fresh()
        age = self._clock() - self._start
        # The current slice is incomplete. The time counts as one second at least, because
        # otherwise a single line in the first moment would give a very high rate.
        past_slices = min(self._slice, RATE_SLICES - 1)
        seconds = max(past_slices * SLICE + age - self._slice * SLICE, 1.0)
        chunk, in_chunk = divmod(self._slice, SLICES_A_CHUNK)
        covered = min(chunk, CHUNKS - 1) * SLICES_A_CHUNK + in_chunk - self._slice
        since = self._wall() - age - covered * SLICE
        has_texts = scope is not None and scope.is_costly
        tallies = [] if has_texts else list(self._tallies.values())
        if scope is not None:
            tallies = yield from _selected(tallies, scope)
        answer: dict[str, Any] = {}
        other: dict[str, Any] = {}
        # Most fields are not in the filter, so that they have the same combinations.
        selections: dict[Filter, list[_Tally]] = {EVERYTHING: tallies}
        for name, field in FACETS.items():
            wanted = _without(filter, field)
            if wanted not in selections:
                selections[wanted] = yield from _selected(tallies, wanted)
            lines: Counter[str] = Counter()
            recent: Counter[str] = Counter()
            for run in _runs(selections[wanted]):
                for tally in run:
                    value = _value(tally.sample, field)
                    lines[value] += tally.lines
                    recent[value] += sum(tally.slices)
                yield
            if field in _ONLY_KNOWN:
                del lines[""], recent[""]
            listed = lines.most_common(MAX_VALUES)
            answer[name] = {value: _figures(n, recent[value] / seconds) for value, n in listed}
            other_lines = lines.total() - sum(n for _, n in listed)
            other_recent = recent.total() - sum(recent[value] for value, _ in listed)
            if scope is None:
                other_lines += self._other.lines
                other_recent += sum(self._other.slices)
            other[name] = _figures(other_lines, other_recent / seconds)
            yield
        return {**answer, "since": int(since * 1000), "other": other}

    def _count_fresh(self) -> None:
        for key, lines in self._fresh.items():
            (self._tallies.get(key) or self._new_tally(key)).add(lines)
        self._fresh.clear()

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
        self._count_fresh()
        # After as many zeros as the deque holds, all of it is zeros, so more would change nothing.
        slices = min(now - self._slice, RATE_SLICES)
        chunks = min(now // SLICES_A_CHUNK - self._slice // SLICES_A_CHUNK, CHUNKS)
        self._slice = now
        for tally in (*self._tallies.values(), self._other):
            tally.slices.extend([0] * slices)
            if chunks:
                tally.chunks.extend([0] * chunks)
                tally.lines = sum(tally.chunks)
        if chunks:
            self._tallies = {key: tally for key, tally in self._tallies.items() if tally.lines}
        self._answers.clear()


def _runs(tallies: Sequence[_Tally]) -> Iterator[Sequence[_Tally]]:
    """Yield the tallies in runs, each of which is work for one turn."""
    for start in range(0, len(tallies), TURN):
        yield tallies[start : start + TURN]


def _selected(tallies: Sequence[_Tally], wanted: Filter) -> Generator[None, None, list[_Tally]]:
    """Return the tallies whose lines `wanted` selects; each piece of work ends with a `yield`."""
    selected: list[_Tally] = []
    for run in _runs(tallies):
        selected += [tally for tally in run if wanted.matches(tally.sample)]
        yield
    return selected


def _without(filter: Filter, field: str) -> Filter:
    """Return `filter` without its conditions on `field`, and without those on messages."""
    return attrs.evolve(
        filter,
        exact=frozenset(pair for pair in filter.exact if pair[0] != field),
        excluded=frozenset(pair for pair in filter.excluded if pair[0] != field),
        min_level="" if field == "level" else filter.min_level,
        q=(),
        not_=(),
        fields=(),
        patterns=frozenset(),
    )


def _value(entry: LogEntry, field: str) -> str:
    if field == "type":
        return "system" if entry.is_system else "log"
    value: str = getattr(entry, field)
    return value


def _figures(lines: int, rate: float) -> dict[str, float]:
    return {"lines": lines, "rate": round(rate, 2)}
