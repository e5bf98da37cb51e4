"""Whether a pattern is new, gone, more, less or the same, and how sure that is. Pure.

In: how often a pattern came in two spans. Out: a verdict. Lines come by chance, so twice as many
lines may mean nothing: two after one say little, and twenty after ten say much. If the rate has not
changed, the chance of a line to fall into one of the spans is that span's share of the time. The
verdict is as sure as it is unlikely that so many lines would fall into one span by chance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["ORDER", "Verdict", "judge", "sureness"]

ORDER = {"new": 0, "more": 1, "gone": 2, "less": 3, "same": 4, "": 5}
"""The most telling first; "" is no verdict."""

LEAST_LINES, LEAST_FACTOR = 3, 2.0
# Twenty lines after ten are surer than this, and ten after five are not. Many patterns are judged
# at once, and some of them would vary so by chance.
LEAST_SURE = 0.95
# If less of the earlier span is known, only what is nearly certain counts: otherwise all patterns
# would be new after the service has started.
LEAST_KNOWN, NEARLY_CERTAIN = 0.2, 0.99
# Above this, the distribution is as good as normal.
MANY = 200


class Verdict(NamedTuple):
    """The comparison of two spans."""

    name: str
    """`new`, `gone`, `more`, `less` or `same`."""
    before: float
    """Lines of the earlier span, scaled to the length of the later one."""
    now: int
    sure: float
    """From 0 to 1."""

    @property
    def factor(self) -> float | None:
        """The later count divided by the earlier one; None if one of them is 0."""
        return self.now / self.before if self.now and self.before else None


def judge(
    before: int, now: int, known: float = 1.0, *, weight: int = 1, is_start: bool = False
) -> Verdict:
    """Return the verdict on two counts.

    Args:
        before, now: lines in two spans of equal length.
        known: the part of the earlier span in which lines were counted.
        weight: how many lines a counted line stands for.
        is_start: whether the lines only tell that machines have started.
    """
    if known <= 0:
        return Verdict("same", 0, now, 0.0)
    scaled = before / known
    sure = sureness(before / weight, now / weight, 1 / (1 + known))
    name = "same"
    least = LEAST_SURE if before and now else 0.0
    if known < LEAST_KNOWN:
        least = NEARLY_CERTAIN
    if max(before, now) / weight >= LEAST_LINES and sure >= least:
        if not before:
            name = "same" if is_start else "new"
        elif not now:
            name = "gone"
        elif now >= LEAST_FACTOR * scaled:
            name = "more"
        elif scaled >= LEAST_FACTOR * now:
            name = "less"
    return Verdict(name, scaled, now, sure)


def sureness(before: float, now: float, share: float) -> float:
    """Return how sure it is that the rate of two counts differs.

    Args:
        before, now: the counts.
        share: the later span's share of the time of both.
    """
    before, now = round(before), round(now)
    lines = before + now
    if now < lines * share:
        now, share = before, 1 - share
    if lines > MANY:
        deviations = (now - lines * share) / math.sqrt(lines * share * (1 - share))
        return 0.5 * (1 + math.erf(deviations / math.sqrt(2)))
    chances = [
        math.comb(lines, n) * share**n * (1 - share) ** (lines - n) for n in range(now, lines + 1)
    ]
    return 1 - sum(chances) + chances[0] / 2 if lines else 0.0
