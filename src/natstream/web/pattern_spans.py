"""The spans of time that `/api/patterns` compares. Pure.

In: the parameters of a request, and when each release of an app was first seen. Out: for each app
two spans of equal length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from natstream.entries.filters import FILTER_PARAMETERS, Filter, check_parameter
from natstream.errors import BadQuery
from natstream.web.pattern_tally import PatternTally
from natstream.web.query import parse_duration

__all__ = [
    "LONGEST",
    "PATTERN_PARAMETERS",
    "Comparison",
    "Spans",
    "deploys_of",
    "is_number",
    "parse_comparison",
    "releases_of",
    "spans_of",
]

PATTERN_PARAMETERS = frozenset({"compare"})
# Seconds that can be compared.
SHORTEST, LONGEST = 5, 1_800


@attrs.frozen
class Comparison:
    """What a request compares: nothing, spans of some seconds, or the time around deployments."""

    seconds: int = 0
    is_deploy: bool = False


def parse_comparison(query: Iterable[tuple[str, str]]) -> tuple[Filter, Comparison]:
    """Return the filter and the comparison of a request.

    Raises:
        BadQuery: a parameter is unknown or given twice, or its value is not valid.
    """
    pairs = list(query)
    for name, _ in pairs:
        check_parameter(name, FILTER_PARAMETERS | PATTERN_PARAMETERS)
    filter = Filter.from_query(pair for pair in pairs if pair[0] in FILTER_PARAMETERS)
    values = [value.strip() for name, value in pairs if name == "compare"]
    if not values:
        return filter, Comparison()
    if len(values) > 1:
        raise BadQuery("compare is given twice; give it once", parameter="compare")
    if values[0] == "deploy":
        return filter, Comparison(is_deploy=True)
    milliseconds = parse_duration(values[0])
    if milliseconds is None or not SHORTEST * 1000 <= milliseconds <= LONGEST * 1000:
        raise BadQuery(
            "compare must be deploy, or a duration from 5s to 30m, for example 10m",
            parameter="compare",
        )
    if milliseconds % 1000:
        raise BadQuery("compare takes whole seconds, for example 10s", parameter="compare")
    return filter, Comparison(milliseconds // 1000)


@attrs.frozen
class Spans:
    """Two spans of equal length in Unix seconds, or one if `since` is `start`."""

    start: int
    since: int
    end: int
    release: str = ""

    @property
    def length(self) -> int:
        return self.end - self.since

    def known(self, from_second: float) -> float:
        """Return the part of the earlier span that lies behind a time."""
        known = self.since - max(self.start, from_second)
        return min(1.0, max(0.0, known / self.length))


def spans_of(
    compare: Comparison, end: int, deploys: Mapping[str, tuple[str, int]]
) -> dict[str, Spans]:
    """Return the spans of each app with a deployment, and those of all others at "".

    A deployment longer ago than can be compared is left out.

    Args:
        compare: what to compare.
        end: Unix second at which the later spans end.
        deploys: app → its newest release and the Unix second of its first line.
    """
    if compare.seconds:
        since = end - compare.seconds
        return {"": Spans(since - compare.seconds, since, end)}
    spans = {"": Spans(end - LONGEST, end - LONGEST, end)}
    if compare.is_deploy:
        for app, (release, since) in deploys.items():
            if not 0 < end - since <= LONGEST:
                continue
            spans[app] = Spans(since - (end - since), since, end, release)
    return spans


def deploys_of(known: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[str, int]]:
    """Return the newest release of each app that is newer than another one, and its first second.

    Args:
        known: app → release → Unix ms of its first line.
    """
    found = {}
    for app, releases in known.items():
        numbers = {int(release): ms for release, ms in releases.items() if is_number(release)}
        if len(numbers) < 2:
            continue
        newest = max(numbers)
        if min(numbers.values()) < numbers[newest]:
            found[app] = (str(newest), numbers[newest] // 1000)
    return found


def is_number(release: str) -> bool:
    return release.isascii() and release.isdecimal() and len(release) < 10


def releases_of(tallies: Iterable[PatternTally]) -> dict[str, dict[str, int]]:
    """Return the releases of each app as the lines of these tallies tell them."""
    found: dict[str, dict[str, int]] = {}
    for tally in tallies:
        known = found.setdefault(tally.app, {})
        for release, ms in tally.releases.items():
            known[release] = min(ms, known.get(release, ms))
    return found
