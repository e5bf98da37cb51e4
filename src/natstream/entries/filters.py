"""Filter: the entries that one reader wants to see, as a frozen value. Pure.

In: query parameters. Out: a predicate over entries. `BadQuery` is raised for a value that its
parameter cannot have. Two filters with equal values are equal and have the same hash, so that their
readers share the work of selecting and framing. `a & b` selects the entries that both select, so
that a reader can narrow the filter of its scope and never widen it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import attrs
import re2

from natstream.entries.conditions import Condition
from natstream.entries.entry import LogEntry
from natstream.entries.escapes import sanitize
from natstream.entries.fields import FieldCache
from natstream.entries.level_names import LEVEL_ALIASES
from natstream.errors import BadQuery, ExpressionTooSlow

__all__ = ["EVERYTHING", "FILTER_PARAMETERS", "Filter", "check_parameter"]

LEVELS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "error": 4, "fatal": 5}
TYPES = ("log", "system")

# Query parameter → the entry's field; exact values, comma-separated and repeatable.
EXACT = {
    "app": "app_name",
    "region": "region",
    "machine": "machine_id",
    "stream": "stream",
    "level": "level",
    "source": "source",
    "group": "group",
    "release": "release",
}
FILTER_PARAMETERS = frozenset({*EXACT, "type", "min_level", "q", "not", "field"})

# Each reader's filter runs on every line, so these limits bound the cost of one reader.
MAX_VALUES = 100
MAX_TEXTS = 20
MAX_TEXT_LENGTH = 1_000

# RE2's time is linear in the line, but each byte may cost as much as the whole expression: at worst
# 20 ns for each instruction (measured with [ab]*a[ab]{900}x). \pL has 1,200 instructions. A counted
# repetition can have ten thousand, and then one long line takes seconds. This is the limit for all
# expressions of a filter together.
MAX_INSTRUCTIONS = 1_500
# Therefore a filter with more instructions searches less of a very long line: at least 2.7 KB, and
# all 256 KiB if it has at most 15 instructions. That takes 80 ms at worst.
MAX_INSTRUCTIONS_TIMES_BYTES = 4_000_000

# Coloured messages up to this length are cached without their colours, at most a thousand of them.
PLAIN_LENGTH = 1_000

# An expression may take this many seconds of the thread for one batch of lines. The clock is read
# after each MEASURED_BYTES of messages. Most expressions take a thousandth of the limit.
MAX_SECONDS = 0.1
MEASURED_BYTES = 2_000

_REGEX_MEMORY = 1 << 20  # bytes of one compiled expression; re2 refuses larger ones

Check = Callable[[LogEntry], bool]


@attrs.frozen
class Filter:
    """Which entries a reader sees. The default selects every entry."""

    exact: frozenset[tuple[str, frozenset[str]]] = frozenset()
    """Pairs of a field (or `type`) and the values that it may have; an entry meets each pair."""
    min_level: str = ""
    q: tuple[str, ...] = ()
    """Texts or `/regular expressions/` that the visible message must contain; case is ignored."""
    not_: tuple[str, ...] = ()
    """Texts or expressions, as in `q`, that the message must not contain."""
    fields: tuple[str, ...] = ()
    """Conditions on fields, such as `status>=500`, which must all hold."""
    scoped: bool = attrs.field(default=False, kw_only=True)
    """Whether the filter is a scope, so that notices are reduced and gaps have no counts."""
    _checks: tuple[Check, ...] = attrs.field(init=False, eq=False, repr=False)
    _conditions: tuple[Condition, ...] = attrs.field(init=False, eq=False, repr=False)
    _searches: tuple[_Search, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        checks = [_exact_check(field, values) for field, values in sorted(self.exact, key=str)]
        if self.min_level:
            checks.append(_level_check(LEVELS[self.min_level]))
        for texts, wanted in ((self.q, True), (self.not_, False)):
            checks += [_text_check(text, wanted) for text in texts if not _is_expression(text)]
        object.__setattr__(self, "_checks", tuple(checks))
        conditions = tuple(Condition.parse(text, strict=self.scoped) for text in self.fields)
        object.__setattr__(self, "_conditions", conditions)
        object.__setattr__(self, "_searches", _searches(self.q, self.not_, self.scoped))

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Filter:
        """Return the filter that query parameters describe.

        Raises:
            BadQuery: there is no such parameter, or it cannot have its value.
        """
        values: dict[str, list[str]] = {}
        for name, value in query:
            check_parameter(name, FILTER_PARAMETERS)
            if not value.strip():
                raise BadQuery(f"{name} is empty; leave it out or give it a value", parameter=name)
            values.setdefault(name, []).append(value)
        return cls(
            exact=frozenset(
                (EXACT.get(name, name), _exact_values(name, values[name]))
                for name in (*EXACT, "type")
                if name in values
            ),
            min_level=_min_level(values.get("min_level", [])),
            q=_texts("q", values),
            not_=_texts("not", values),
            fields=_texts("field", values),
        )

    def __and__(self, other: Filter) -> Filter:
        # Raises BadQuery if the regular expressions of both together are too large for one reader.
        return Filter(
            exact=self.exact | other.exact,
            min_level=max(self.min_level, other.min_level, key=lambda text: LEVELS.get(text, -1)),
            q=tuple(dict.fromkeys(self.q + other.q)),
            not_=tuple(dict.fromkeys(self.not_ + other.not_)),
            fields=tuple(dict.fromkeys(self.fields + other.fields)),
            scoped=self.scoped or other.scoped,
        )

    @property
    def is_everything(self) -> bool:
        """Whether the filter selects every entry."""
        return not (self._checks or self._conditions or self._searches)

    def matches(self, entry: LogEntry) -> bool:
        """Return whether the reader sees this entry."""
        return (
            all(check(entry) for check in self._checks)
            and (not self._conditions or bool(self._meet(FieldCache([entry]), [0])))
            and all(search.matches(entry.message) for search in self._searches)
        )

    def select(self, entries: Sequence[LogEntry], cache: FieldCache | None = None) -> Sequence[int]:
        """Return the indices of the entries that the filter selects, ascending.

        Args:
            entries: a run of entries.
            cache: the fields of these entries, if other filters look at them, too.

        Raises:
            ExpressionTooSlow: a regular expression takes too long on these entries.
        """
        indices: Sequence[int] = range(len(entries))
        for check in self._checks:
            indices = [index for index in indices if check(entries[index])]
        if self._conditions:
            indices = self._meet(cache or FieldCache(entries), indices)
        for search in self._searches:
            indices = search.select(entries, indices)
        return indices

    def _meet(self, cache: FieldCache, indices: Sequence[int]) -> Sequence[int]:
        for condition in self._conditions:
            indices = cache.select(condition.path, condition.holds, indices)
        return indices


def check_parameter(name: str, known: frozenset[str]) -> None:
    """Raise BadQuery if there is no such parameter."""
    if name not in known:
        raise BadQuery(
            f"{name[:100]!r} is not a parameter, so the request was refused. "
            f"The parameters are {', '.join(sorted(known))}",
            parameter=name[:100],
        )


def _exact_check(field: str, values: frozenset[str]) -> Check:
    if field == "type":
        return lambda entry: ("system" if entry.is_system else "log") in values
    return lambda entry: getattr(entry, field) in values


def _level_check(least: int) -> Check:
    # An unknown level passes, because it may be more severe than every known one.
    return lambda entry: LEVELS.get(entry.level, least) >= least


def _text_check(text: str, wanted: bool) -> Check:
    needle = text.casefold()
    if wanted:
        return lambda entry: needle in _seen(entry.message).casefold()
    return lambda entry: all(needle not in face.casefold() for face in _faces(entry.message))


def _is_expression(text: str) -> bool:
    return len(text) > 2 and text.startswith("/") and text.endswith("/")


def _searches(q: Iterable[str], not_: Iterable[str], scoped: bool) -> tuple[_Search, ...]:
    """Return the compiled expressions of a filter.

    Raises:
        BadQuery: the expressions are too large; they run on every line.
    """
    compiled: list[tuple[str, Any]] = []
    instructions = 0
    for parameter, texts in (("q", q), ("not", not_)):
        for text in filter(_is_expression, texts):
            expression, size = _compile(text[1:-1], parameter)
            compiled.append((parameter, expression))
            instructions += size
            if instructions > MAX_INSTRUCTIONS:
                together = "" if size == instructions else ", with the others"
                raise BadQuery(
                    f"{parameter} is too large a regular expression{together}", parameter=parameter
                )
    reach = MAX_INSTRUCTIONS_TIMES_BYTES // max(1, instructions)
    return tuple(_Search(parameter, match.Match, reach, scoped) for parameter, match in compiled)


@attrs.frozen
class _Search:
    """A regular expression that the message must, or must not, match."""

    parameter: str
    match: Callable[[bytes], Any]
    reach: int
    """How many bytes of a message are searched."""
    strict: bool
    """Whether `not` also hides a message that is too long to be searched as a whole."""

    def matches(self, message: str) -> bool:
        if self.parameter == "q":
            return self.match(_encode(_seen(message))[: self.reach]) is not None
        texts = [_encode(face) for face in _faces(message)]
        if self.strict and any(len(text) > self.reach for text in texts):
            return False
        return all(self.match(text[: self.reach]) is None for text in texts)

    def select(self, entries: Sequence[LogEntry], indices: Iterable[int]) -> Sequence[int]:
        """Return the indices whose entries the search selects."""
        started = time.thread_time()
        size = 0
        found: list[int] = []
        for index in indices:
            message = entries[index].message
            if self.matches(message):
                found.append(index)
            size += len(message)
            if size > MEASURED_BYTES:
                size = 0
                if time.thread_time() - started > MAX_SECONDS:
                    raise ExpressionTooSlow(
                        f"{self.parameter} is too slow a regular expression for these lines, so "
                        "it would delay all readers: use a simpler one, or ask for fewer lines",
                        parameter=self.parameter,
                    )
        return found


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _seen(message: str) -> str:
    """Return a message without its colours, since the words that people look for have none."""
    if "\x1b" not in message:
        return message
    return (
        _plain(message) if len(message) <= PLAIN_LENGTH else sanitize(message, keep_colours=False)
    )


def _faces(message: str) -> tuple[str, ...]:
    """Return a message as it is, and without its colours if it has any.

    An excluded text hides a message if either of these contains the text.
    """
    return (message,) if "\x1b" not in message else (message, _seen(message))


# Many filters look at the same lines, one filter after the other, a batch at a time.
@lru_cache(maxsize=1_000)
def _plain(message: str) -> str:
    return sanitize(message, keep_colours=False)


def _compile(pattern: str, parameter: str) -> tuple[Any, int]:
    """Return an RE2 set of this one expression, and its number of instructions."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    encoded = pattern.encode("utf-8", "replace")
    try:
        instructions = re2.compile(encoded, options=options).programsize  # type: ignore[no-untyped-call]  # re2 has no types
        # A set answers only whether it matches, not where, which takes a third of the time.
        expression = re2.Set.SearchSet(options)  # type: ignore[no-untyped-call]  # the same
        expression.Add(encoded)
        expression.Compile()
    except re2.error as error:
        reason = error.args[0] if error.args else "not understood"
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise BadQuery(
            f"{parameter} is not a regular expression of RE2: {reason}", parameter=parameter
        ) from None
    return expression, instructions


def _exact_values(name: str, texts: Iterable[str]) -> frozenset[str]:
    values = {value.strip() for text in texts for value in text.split(",") if value.strip()}
    if not values:
        raise BadQuery(f"{name} is empty; leave it out or give it a value", parameter=name)
    if len(values) > MAX_VALUES:
        raise BadQuery(f"{name} takes at most {MAX_VALUES} values", parameter=name)
    if name in ("level", "stream", "type", "source"):
        values = {value.casefold() for value in values}
    if name == "level":
        values = {LEVEL_ALIASES.get(value, value) for value in values}
    if name == "type" and not values <= set(TYPES):
        raise BadQuery("type takes log or system", parameter=name)
    return frozenset(values)


def _min_level(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    level = LEVEL_ALIASES.get(texts[0].strip().casefold(), texts[0].strip().casefold())
    if len(texts) > 1 or level not in LEVELS:
        raise BadQuery(f"min_level takes one of {', '.join(LEVELS)}", parameter="min_level")
    return level


def _texts(name: str, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    texts = values.get(name, ())
    if len(texts) > MAX_TEXTS:
        raise BadQuery(f"{name} may be given {MAX_TEXTS} times at the most", parameter=name)
    if any(len(text) > MAX_TEXT_LENGTH for text in texts):
        raise BadQuery(f"{name} takes at most {MAX_TEXT_LENGTH:,} characters", parameter=name)
    return tuple(dict.fromkeys(texts))


# A filter can be made only after the functions above are defined, so this comes last.
EVERYTHING = Filter()
