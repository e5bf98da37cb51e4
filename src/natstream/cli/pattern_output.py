"""An answer of `/api/patterns` → the lines that a terminal shows. Pure.

Texts of the answer come from other programs' logs, so control characters are removed from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from natstream.entries.escapes import one_line, sanitize

__all__ = ["pattern_lines"]

_BARS = "▁▂▃▄▅▆▇█"
_COLOURS = {"new": "31", "more": "33", "gone": "36", "less": "36"}
_RESET = "\x1b[0m"
_UNKNOWN = "# The time before is not known, so nothing is called new"


def pattern_lines(
    answer: Mapping[str, Any], *, most: int, width: int | None, paint: bool
) -> Iterator[str]:
    """Yield a heading, a line for each pattern, and what was left out.

    Args:
        answer: of the service.
        most: patterns to show.
        width: of a line, or None for any.
        paint: whether to use colours.
    """
    compared = answer.get("compare")
    heading = _heading(answer, compared)
    yield from [heading] if width is None else wrap(heading, width, subsequent_indent="#   ")
    patterns = answer.get("patterns", [])
    if compared is not None and not any(row.get("verdict") in ("new", "more") for row in patterns):
        is_known = answer.get("since_ms", 0) < compared["since_ms"]
        yield "# Nothing is new, and nothing has grown" if is_known else _UNKNOWN
    for row in patterns[:most]:
        line = _row(row, is_compared=bool(compared))
        line = line if width is None or len(line) <= width else line[: max(1, width - 1)] + "…"
        colour = _COLOURS.get(str(row.get("verdict"))) if paint else None
        yield f"\x1b[{colour}m{line}{_RESET}" if colour else line
    unshown = len(patterns) - most
    left = [f"{unshown:,} more pattern{'' if unshown == 1 else 's'}"] if unshown > 0 else []
    if other := answer.get("other", {}).get("count", 0):
        left.append(f"{other:,} lines of other patterns")
    if answer.get("sampled"):
        left.append("so many lines came that a sample of them was counted")
    if left:
        yield f"# {'; '.join(left)}"


def _heading(answer: Mapping[str, Any], compared: Mapping[str, Any] | None) -> str:
    if compared is None:
        heading = f"# Since {_time(answer.get('since_ms', 0))}"
        older = answer.get("older_deploys")
        if older is None:
            return heading
        if not older:
            return f"{heading}, not compared, because no newer release is known"
        return f"{heading}, not compared, because no release is newer than 30 min: {_named(older)}"
    apps = compared.get("apps")
    if not apps:
        return f"# Since {_time(compared['since_ms'])}, against as much time before"
    return f"# Since the newest release, against as much time before: {_named(apps)}"


def _named(deploys: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{_clean(app)} (release {_clean(str(each.get('release')))}, "
        f"{_time(each.get('since_ms', 0))})"
        for app, each in deploys.items()
    )


def _row(row: Mapping[str, Any], *, is_compared: bool) -> str:
    change = ""
    if is_compared:
        now, before = row.get("now"), row.get("before")
        counts = "" if now is None else f"{before:,} → {now:,}"
        change = f"{row.get('verdict', ''):<5} {counts:>15}"
    else:
        change = f"{row['count']:>9,} {row['rate']:>9,.2f}/s"
    level, app = _clean(str(row["level"])), _clean(str(row["app"]))
    return f"{change} {_curve(row.get('series', []))} {level:<5} {app}  {_clean(row['pattern'])}"


def _curve(series: Sequence[int]) -> str:
    """Return a curve of ten characters."""
    size = max(1, len(series) // 10)
    sums = [sum(series[at : at + size]) for at in range(0, len(series), size)]
    most = max(sums, default=0)
    return "".join(_BARS[-(-each * 7 // most)] if most else _BARS[0] for each in sums)


def _clean(text: str) -> str:
    return one_line(sanitize(text, keep_colours=False))


def _time(unix_ms: float) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%H:%M:%S} UTC"
