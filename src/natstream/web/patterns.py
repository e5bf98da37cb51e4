"""`GET /api/patterns`: the kinds of lines, and what has changed.

In: the counts of patterns, a filter, and what to compare. Out: for each pattern its counts, an
example, a small curve, and a verdict on the comparison, the most telling first.

The counters answer a filter by app, region, level, stream and type. For any other one, the lines in
memory are counted anew. One answer is made at a time, in turns, and kept for a second for readers
who ask the same.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import trio

from natstream.entries.filters import Filter
from natstream.formats.events import write_event_id
from natstream.hub.budget import ReaderBudget
from natstream.hub.hub import Hub
from natstream.web.fair_turns import FairTurns
from natstream.web.pattern_counts import KEPT, PatternCounts
from natstream.web.pattern_search import search_patterns
from natstream.web.pattern_spans import (
    LONGEST,
    Comparison,
    Spans,
    deploys_of,
    is_number,
    releases_of,
    spans_of,
)
from natstream.web.pattern_tally import MAX_MACHINES, PatternTally
from natstream.web.pattern_verdicts import ORDER, Verdict, judge

__all__ = ["Patterns"]


MAX_PATTERNS = 200
MAX_NAMES = 20
BINS = 30
# Tallies that are looked at in one turn: about a millisecond of work.
TURN = 200
# Seconds by which the journal's clock, which gives the arrivals, may be ahead of this process's.
# Without them, lines of the last seconds would lie behind the end of the spans.
MAX_AHEAD = 10.0
# Seconds for which an answer is kept. An answer takes about 200 KB.
KEPT_SECONDS = 1.0
MAX_ANSWERS = 10

# The fields of an entry by which tallies are apart.
_COUNTED = frozenset({"app_name", "level", "stream", "region", "type"})
_SEVERE = frozenset({"warn", "error", "fatal"})


@attrs.define
class _Row:
    """A pattern in an answer: the tallies of its streams and regions."""

    tallies: list[PatternTally]
    spans: Spans
    count: int = 0
    verdict: Verdict | None = None

    @property
    def rank(self) -> tuple[int, float]:
        verdict = self.verdict
        if verdict is None:
            return ORDER[""], -self.count
        return ORDER[verdict.name], -max(verdict.before, verdict.now)


class Patterns:
    """The answers of one process."""

    def __init__(self, hub: Hub, counts: PatternCounts) -> None:
        self.counts = counts
        self._hub = hub
        self._turns = FairTurns()
        self._answers: OrderedDict[tuple[Filter, Comparison], tuple[float, dict[str, Any]]] = (
            OrderedDict()
        )

    async def read(
        self, filter: Filter, compare: Comparison, budget: ReaderBudget | None = None
    ) -> dict[str, Any]:
        """Return the answer of `GET /api/patterns`, perhaps as it was a second ago.

        Args:
            filter: of the reader, within its scope if it has one.
            compare: what to compare.
            budget: the reader's CPU time.

        Raises:
            ExpressionTooSlow: the filter has used up its CPU time for too long.
        """
        budget = budget or self._hub.budgets.reader()
        if budget.is_used_up:
            await budget.wait()
        async with self._turns.turn(budget.holder):
            now = trio.current_time()
            kept = self._answers.get((filter, compare))
            if kept is not None and now - kept[0] < KEPT_SECONDS:
                return kept[1]
            answer = await self._answer(filter, compare, budget)
            self._answers[filter, compare] = (now, answer)
            self._answers.move_to_end((filter, compare))
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
            return answer

    async def _answer(
        self, filter: Filter, compare: Comparison, budget: ReaderBudget
    ) -> dict[str, Any]:
        wall = self.counts.wall()
        newest = self._hub.backlog.newest_ms / 1000
        end = math.floor(newest if wall < newest < wall + MAX_AHEAD else wall) + 1
        if is_countable(filter):
            counts = self.counts
        else:
            since = (end - (KEPT if compare != Comparison() else LONGEST)) * 1000
            counts = await search_patterns(self._hub, filter, since, self.counts, budget)
        making = _make(self.counts, counts, filter, compare, end)
        while True:
            with budget.measured():
                made = next(making)
            if made is not None:
                return {**made, "from": "counters" if counts is self.counts else "backlog"}
            await trio.lowlevel.checkpoint()


def is_countable(filter: Filter | None) -> bool:
    """Return whether the counters can answer a filter and its scope."""
    return filter is None or (
        not filter.is_costly
        and all(field in _COUNTED for field, _ in filter.exact | filter.excluded)
        and is_countable(filter.within)
    )


def _make(
    all_counts: PatternCounts, counts: PatternCounts, filter: Filter, compare: Comparison, end: int
) -> Iterator[dict[str, Any] | None]:
    """Yield the answer at last, and None after each piece of work."""
    scope = filter.scope
    rows: dict[str, list[PatternTally]] = {}
    for run in _runs(counts.tallies):
        for tally in run:
            # The lines of a search match already, and the sample of their tally knows less.
            if counts is not all_counts or filter.matches(tally.sample):
                rows.setdefault(tally.id, []).append(tally)
        yield None
    deploys: dict[str, tuple[str, int]] = {}
    if compare.is_deploy:
        deploys = _deploys(all_counts, counts, scope, end)
    spans = spans_of(compare, end, deploys)
    known_from = counts.start_ms / 1000
    judged: list[_Row] = []
    for run in _runs(list(rows.values())):
        for tallies in run:
            row = _Row(tallies, spans.get(tallies[0].app, spans[""]))
            if _judge(row, counts, known_from, is_deploy=compare.is_deploy):
                judged.append(row)
        yield None
    judged.sort(key=lambda row: (row.rank, row.tallies[0].id))
    shown: list[dict[str, Any]] = []
    for row in judged[:MAX_PATTERNS]:
        shown.append(_shown(row, known_from))
        yield None
    whole = spans[""]
    start = min(each.start for each in spans.values())
    other = sum(row.count for row in judged[MAX_PATTERNS:])
    # Lines that were not counted apart may be of any app, and outside of a scope.
    if filter.is_everything or counts is not all_counts:
        other += counts.other.between(whole.since, end)
    compared = None
    apps = {tallies[0].app for tallies in rows.values()}
    named = {app: each for app, each in spans.items() if app in apps}
    if compare.seconds:
        compared = {"kind": "span", "since_ms": whole.since * 1000}
    elif named:
        compared = {
            "kind": "deploy",
            "since_ms": max(each.since for each in named.values()) * 1000,
            "apps": {
                app: {"since_ms": each.since * 1000, "release": each.release}
                for app, each in sorted(named.items())
            },
        }
    answer: dict[str, Any] = {
        "patterns": shown,
        "other": {"count": other},
        "compare": compared,
        "sampled": counts.weight(start, end) > 1,
        "since_ms": int(max(start * 1000, counts.start_ms)),
        "until_ms": int(all_counts.wall() * 1000),
    }
    if compare.is_deploy:
        answer["older_deploys"] = {
            app: {"since_ms": since * 1000, "release": release}
            for app, (release, since) in sorted(deploys.items())
            if app in apps and end - since > LONGEST
        }
    yield answer


def _deploys(
    all_counts: PatternCounts, counts: PatternCounts, scope: Filter | None, end: int
) -> dict[str, tuple[str, int]]:
    """Return the newest release of each app, as far as the scope shows it, and since when it runs.

    The reader's own filter does not matter, because it may select lines of one release only.
    """
    if scope is None:
        return deploys_of(all_counts.deploys)
    if not is_countable(scope):
        return deploys_of(counts.deploys)  # The search has noted all lines of the scope.
    found = deploys_of(releases_of(t for t in all_counts.tallies if scope.matches(t.sample)))
    if any(field != "app_name" for field, _ in scope.exact | scope.excluded):
        return found
    for app, (release, since) in found.items():
        # The first lines of a release name none, because its machines are not known yet.
        released = (all_counts.released_at(app, release) or end * 1000) // 1000
        if end - released <= LONGEST:
            found[app] = release, min(since, released)
    return found


def _runs(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), TURN):
        yield items[start : start + TURN]


# --- rows ----------------------------------------------------------------------------------------


def _judge(row: _Row, counts: PatternCounts, known_from: float, *, is_deploy: bool) -> bool:
    """Count a row in its spans, and return whether there is anything to show."""
    spans, tallies = row.spans, row.tallies
    row.count = sum(tally.between(spans.since, spans.end) for tally in tallies)
    if spans.start == spans.since:
        return row.count > 0
    before = sum(tally.between(spans.start, spans.since) for tally in tallies)
    machines = len({machine for tally in tallies for machine in tally.machines})
    if machines >= MAX_MACHINES:
        machines = max(machines, sum(map(counts.machines, tallies)))
    # Each machine says once that it has started, and the platform tells of its own work.
    is_told_by_starts = row.count <= machines or all(tally.sample.is_system for tally in tallies)
    row.verdict = judge(
        before,
        row.count,
        spans.known(known_from),
        weight=counts.weight(spans.start, spans.end),
        is_start=is_deploy and tallies[0].key[1] not in _SEVERE and is_told_by_starts,
    )
    return bool(row.count or before)


def _shown(row: _Row, known_from: float) -> dict[str, Any]:
    tallies, spans = row.tallies, row.spans
    first = tallies[0]
    newest = max((tally.newest for tally in tallies if tally.newest), key=lambda line: line.arrival)
    machines = sorted({name for tally in tallies for name in tally.machines})
    releases = sorted({name for tally in tallies for name in tally.releases}, key=_by_number)
    seconds = max(1.0, spans.end - max(spans.since, known_from))
    shown = {
        "id": first.id,
        "app": first.app,
        "pattern": first.pattern,
        "level": first.key[1],
        "count": row.count,
        "rate": round(row.count / seconds, 3),
        "first_ms": min(tally.first_ms for tally in tallies),
        "last_ms": max(tally.last_ms for tally in tallies),
        "example": {
            "id": write_event_id(newest.arrival, newest.epoch, newest.number),
            "message": newest.message,
        },
        "levels": {first.key[1]: row.count},
        "machines": machines[:MAX_NAMES],
        "releases": releases[-MAX_NAMES:],
        "series": _series(tallies, spans),
    }
    if row.verdict is not None:
        verdict = row.verdict
        factor = verdict.factor
        shown |= {
            "verdict": verdict.name,
            "before": round(verdict.before, 1) if verdict.before % 1 else int(verdict.before),
            "now": verdict.now,
            "factor": None if factor is None else round(factor, 2),
            "sure": round(verdict.sure, 3),
        }
    return shown


def _by_number(release: str) -> tuple[int, str]:
    return (int(release) if is_number(release) else -1, release)


def _series(tallies: Sequence[PatternTally], spans: Spans) -> list[int]:
    """Return the counts in equal bins; if spans are compared, half of the bins are of each."""
    bins: Counter[int] = Counter()
    length = spans.end - spans.start
    for tally in tallies:
        for second, lines in tally.since(spans.start):
            bins[(second - spans.start) * BINS // length] += lines
    return [bins[index] for index in range(BINS)]
