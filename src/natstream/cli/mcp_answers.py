"""Answers of `/api/status`, `/api/facets` and `/api/patterns` → lines for an assistant. Pure.

Another program than natstream may have answered, so the answers are checked. `read` raises
`SourceUnavailable` for an answer of another shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from natstream.cli.mcp_text import counted, shorten
from natstream.entries.escapes import line_time, one_line
from natstream.errors import SourceUnavailable

__all__ = [
    "Counts",
    "Kinds",
    "ServiceStatus",
    "count_lines",
    "deploy_lines",
    "gap_sentence",
    "kind_line",
    "moment",
    "read",
    "since_sentence",
    "status_lines",
]

# The names of one field that are shown. A service may have hundreds of machines.
MOST_NAMES = 20
LONGEST_NAME = 100
LONGEST_EXAMPLE = 200

Answer = TypeVar("Answer")
Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class _Source(msgspec.Struct):
    state: str
    detail: str = ""
    since: Whole = 0
    lost: Whole = 0
    last_line: Whole | None = None


class _Backlog(msgspec.Struct):
    lines: Whole = 0
    first_ms: Whole | None = None


class ServiceStatus(msgspec.Struct):
    """The answer of `/api/status`. Times are Unix ms."""

    sources: dict[str, _Source]
    version: str = ""
    backlog: _Backlog | None = None
    scope: str | None = None
    expires: Whole = 0


class _Figures(msgspec.Struct):
    lines: Whole = 0
    rate: float = 0.0


class Counts(msgspec.Struct):
    """The answer of `/api/facets`: for each field, its values with their lines."""

    app: dict[str, _Figures]
    level: dict[str, _Figures]
    region: dict[str, _Figures]
    machine: dict[str, _Figures]
    since: Whole
    other: dict[str, _Figures] = msgspec.field(default_factory=dict)


class _Example(msgspec.Struct):
    id: str = ""
    message: str = ""


class _Kind(msgspec.Struct):
    id: str
    app: str
    pattern: str
    level: str
    count: Whole
    rate: float = 0.0
    last_ms: Whole | None = None
    example: _Example | None = None
    verdict: str | None = None
    before: float | None = None
    now: float | None = None


class _Deploy(msgspec.Struct):
    since_ms: Whole = 0
    release: str = ""


class _Compared(msgspec.Struct):
    since_ms: Whole
    apps: dict[str, _Deploy] | None = None


class _Other(msgspec.Struct):
    count: Whole = 0


class Kinds(msgspec.Struct):
    """The answer of `/api/patterns`."""

    patterns: list[_Kind]
    since_ms: Whole
    compare: _Compared | None = None
    other: _Other = msgspec.field(default_factory=_Other)
    sampled: bool = False
    older_deploys: dict[str, _Deploy] | None = None

    @property
    def lines(self) -> int:
        """The lines of all patterns, in which a stack trace counts once."""
        return sum(kind.count for kind in self.patterns) + self.other.count


def read(answer: Mapping[str, Any], type: type[Answer]) -> Answer:
    """Return an answer of a service as a checked value.

    Raises:
        SourceUnavailable: it has another shape.
    """
    try:
        return msgspec.convert(answer, type)
    except msgspec.ValidationError as error:
        raise SourceUnavailable(
            "The service gave an answer that cannot be read, so it may be of another release"
        ) from error


def status_lines(status: ServiceStatus) -> Iterator[str]:
    """Yield a line for each source, and what the service remembers."""
    for name, source in [*status.sources.items()][:MOST_NAMES]:
        parts = [f"source {_name(name)}: {_name(source.state)} since {moment(source.since)}"]
        if source.last_line is not None:
            parts.append(f"last line {moment(source.last_line)}")
        if source.lost:
            parts.append(f"{source.lost:,} lines lost")
        if source.detail:
            parts.append(shorten(one_line(source.detail), LONGEST_EXAMPLE))
        yield "; ".join(parts)
    if status.scope is not None:
        scope = shorten(one_line(status.scope), 1_000) or "all lines"
        yield f"this link shows {scope}, until {moment(status.expires)}"
    if status.backlog is not None and status.backlog.first_ms is not None:
        first = moment(status.backlog.first_ms)
        yield f"in memory: {status.backlog.lines:,} lines since {first}"


def gap_sentence(status: ServiceStatus) -> str:
    """Return how many lines never arrived at the service."""
    if status.scope is not None:
        return "Gaps: a link does not tell how many lines never arrived; search shows where."
    lost = sum(source.lost for source in status.sources.values())
    return f"Gaps: {counted(lost, 'line')} known to be lost since the service started."


def count_lines(counts: Counts) -> Iterator[str]:
    """Yield a line for each app and so on, with its lines and its rate."""
    for field in ("app", "level", "region", "machine"):
        values: dict[str, _Figures] = getattr(counts, field)
        shown = [*values.items()][:MOST_NAMES]
        for value, figures in shown:
            yield f"{field} {_name(value) or '(none)'}: {_figures(figures)}"
        rest = sum(figures.lines for figures in values.values())
        rest -= sum(figures.lines for _, figures in shown)
        rest += counts.other.get(field, _Figures()).lines
        if rest:
            more = len(values) - len(shown)
            yield f"{field}: {more:,} more values, {rest:,} lines that are not listed"


def kind_line(kind: _Kind) -> str:
    """Return the line of a pattern."""
    change = f"{counted(kind.count, 'line')}, {kind.rate:,.2f}/s"
    if kind.verdict is not None and kind.before is not None and kind.now is not None:
        change = f"{_name(kind.verdict)}, {kind.before:,.0f} before, {kind.now:,.0f} now"
    level = f" [{_name(kind.level)}]" if kind.level else ""
    pattern = shorten(one_line(kind.pattern), 1_000)
    text = f"pattern {_name(kind.id)}: {change}; {_name(kind.app)}{level} {pattern}"
    if kind.example is None:
        return text
    message = shorten(one_line(kind.example.message), LONGEST_EXAMPLE)
    return f"{text}\n    example {_name(kind.example.id)} {message}"


def since_sentence(kinds: Kinds) -> str:
    """Return which time the counts are about."""
    if kinds.compare is None:
        text = f"Counted since {moment(kinds.since_ms)}."
        if kinds.older_deploys:
            text += " Not compared, because no release is newer than half an hour."
        elif kinds.older_deploys is not None:
            text += " Not compared, because no newer release is known."
    elif kinds.compare.apps:
        text = "Compared: the time since the newest release of each app, with as much before it."
    else:
        since = moment(kinds.compare.since_ms)
        text = f"Compared: the time since {since}, with as much before it."
    if kinds.sampled:
        text += " So many lines came that only a sample of them was counted."
    return text


def deploy_lines(kinds: Kinds) -> Sequence[str]:
    """Return a line for each app with a newer release, also if it is too old to be compared."""
    compared = kinds.compare.apps if kinds.compare is not None and kinds.compare.apps else {}
    apps = compared | (kinds.older_deploys or {})
    return [
        f"deploy of {_name(app)}: release {_name(deploy.release)}, {moment(deploy.since_ms)}"
        for app, deploy in [*apps.items()][:MOST_NAMES]
    ]


def _figures(figures: _Figures) -> str:
    return f"{counted(figures.lines, 'line')}, {figures.rate:,.2f}/s"


def _name(text: str) -> str:
    return shorten(one_line(text), LONGEST_NAME)


def moment(unix_ms: int) -> str:
    """Return a time in UTC."""
    return line_time(unix_ms * 1_000_000)
