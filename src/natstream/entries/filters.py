"""Filter: the entries that one reader wants to see, as a frozen value. Pure.

In: query parameters. Out: a predicate over entries. `BadQuery` is raised for a value that its
parameter cannot have. Two filters with equal values are equal and have the same hash, so that their
readers share the work of selecting and framing. `a & b` selects the entries that both select, so
that a reader can narrow the filter of its scope and never widen it.

If one of them is a scope, the other is looked at only for entries that the scope lets through.
Otherwise a reader could learn from the time that its expressions take what the other entries hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import getsizeof

import attrs

from natstream.entries.conditions import Condition
from natstream.entries.entry import LogEntry
from natstream.entries.expressions import MAX_INSTRUCTIONS, Expression, is_expression
from natstream.entries.fields import FieldCache
from natstream.entries.level_names import LEVEL_ALIASES
from natstream.entries.patterns import HEAD_DIGITS
from natstream.entries.selecting import (
    FieldStep,
    PatternStep,
    Selecting,
    Step,
    expression_search,
    text_search,
)
from natstream.entries.values import (
    EXACT,
    EXCLUDED,
    Check,
    Values,
    exact_values,
    is_prefix,
    value_check,
)
from natstream.errors import BadQuery, ExpressionTooSlow

__all__ = ["EVERYTHING", "FILTER_PARAMETERS", "PATTERNS", "Filter", "check_parameter"]

LEVELS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "error": 4, "fatal": 5}
PATTERNS = ("pattern", "not_pattern")
FILTER_PARAMETERS = frozenset({*EXACT, *EXCLUDED, "min_level", "q", "not", "field", *PATTERNS})

# Each reader's filter runs on every line, so these limits bound the cost of one reader.
MAX_TEXTS = 20
MAX_TEXT_LENGTH = 1_000
# The values and texts of a filter take so much memory at most, estimated: 100 names of machines, or
# six texts of the greatest length. A reader takes 24 KB besides, and most filters 1 KB.
MAX_BYTES = 16_000
BYTES_OF_VALUE, BYTES_OF_TEXT = 60, 250

# `Filter.select` gives no turns, so it ends after this many seconds of CPU time for so many lines.
MAX_SECONDS = 0.1
MEASURED_LINES = 1_000

_PATTERN_ID = re.compile(r"[0-9a-f]{18}", re.ASCII)


@attrs.frozen
class Filter:
    """Which entries a reader sees. The default selects every entry."""

    exact: Values = frozenset()
    """Pairs of a field (or `type`) and the values that it may have; an entry meets each pair. The
    value `668f*` of `machine_id` means every machine whose id begins like that."""
    min_level: str = ""
    q: tuple[str, ...] = ()
    """Texts or `/regular expressions/` that the visible message must contain; case is ignored."""
    not_: tuple[str, ...] = ()
    """Texts or expressions, as in `q`, that the message must not contain."""
    fields: tuple[str, ...] = ()
    """Conditions on fields, such as `status>=500`, which must all hold."""
    patterns: frozenset[tuple[str, frozenset[str]]] = attrs.field(default=frozenset(), kw_only=True)
    """Pairs of `pattern` or `not_pattern` and ids, of which the line, or the first line of its
    trace, must have one, or must have none."""
    excluded: Values = attrs.field(default=frozenset(), kw_only=True)
    """Pairs of a field (or `type`) and values that it must not have. A scope hides entries without
    a value, too, because it cannot tell whether they are excluded ones."""
    scoped: bool = attrs.field(default=False, kw_only=True)
    """Whether the filter is a scope, so that notices are reduced and gaps have no counts."""
    within: Filter | None = attrs.field(default=None, kw_only=True)
    """The scope whose entries this filter selects from; `None` means all entries."""
    _checks: tuple[Check, ...] = attrs.field(init=False, eq=False, repr=False)
    _steps: tuple[Step, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._check_size()
        checks = [value_check(field, values) for field, values in sorted(self.exact, key=str)]
        checks += [
            value_check(field, values, excluded=True, strict=self.is_scope)
            for field, values in sorted(self.excluded, key=str)
        ]
        if self.min_level:
            checks.append(_level_check(LEVELS[self.min_level]))
        object.__setattr__(self, "_checks", tuple(checks))
        object.__setattr__(self, "_steps", tuple(self._make_steps()))

    def _check_size(self) -> None:
        """Raise BadQuery if the filter takes too much memory; it names the largest parameter."""
        sizes: Counter[str] = Counter()
        for parameters, pairs in ((EXACT, self.exact), (EXCLUDED, self.excluded)):
            names = {field: name for name, field in parameters.items()}
            for field, values in pairs:
                sizes[names.get(field, field)] += sum(map(_size, values))
        for name, texts in (("q", self.q), ("not", self.not_), ("field", self.fields)):
            # A text is kept twice, the second time in lower case.
            sizes[name] += sum(2 * getsizeof(text) + BYTES_OF_TEXT for text in texts)
        for name, ids in self.patterns:
            sizes[name] += sum(map(_size, ids))
        sizes["field"] += BYTES_OF_VALUE * sum(text.count(",") for text in self.fields)
        if sizes.total() > MAX_BYTES:
            [(parameter, _)] = sizes.most_common(1)
            raise BadQuery(
                f"The texts and values of this filter take too much memory together, most of them "
                f"in {parameter}: use fewer or shorter ones",
                parameter=parameter,
            )

    def _make_steps(self) -> Iterator[Step]:
        """Yield the expensive conditions, the cheaper ones first.

        Raises:
            BadQuery: one of them is wrong, or the expressions are too large together.
        """
        # A scope must not show what it cannot judge. Its reader may see all that it lets through.
        searches = [("q", text) for text in self.q] + [("not", text) for text in self.not_]
        for parameter, text in searches:
            if not is_expression(text):
                yield text_search(parameter, text)
        for text in self.fields:
            yield FieldStep(Condition.parse(text, strict=self.is_scope))
        for parameter, ids in sorted(self.patterns, key=str):
            yield PatternStep(parameter, frozenset(id[:HEAD_DIGITS] for id in ids))
        instructions = 0
        for parameter, text in searches:
            if is_expression(text):
                expression = Expression.compile(text, parameter)
                instructions += expression.instructions
                if instructions > MAX_INSTRUCTIONS:
                    raise BadQuery(
                        f"{parameter} is too large a regular expression, with the others",
                        parameter=parameter,
                    )
                yield expression_search(parameter, expression, strict=self.is_scope)

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
            exact=_pairs(EXACT, values),
            excluded=_pairs(EXCLUDED, values),
            min_level=_min_level(values.get("min_level", [])),
            q=_texts("q", values),
            not_=_texts("not", values),
            fields=_texts("field", values),
            patterns=frozenset(
                (name, _pattern_ids(name, values[name])) for name in PATTERNS if name in values
            ),
        )

    def __and__(self, other: Filter) -> Filter:
        # Raises BadQuery if the regular expressions of both together are too large for one reader.
        if self.scoped != other.scoped:
            scope, wanted = (self, other) if self.scoped else (other, self)
            return scope if wanted.is_everything else wanted._inside(scope)
        return Filter(
            exact=self.exact | other.exact,
            excluded=self.excluded | other.excluded,
            min_level=max(self.min_level, other.min_level, key=lambda text: LEVELS.get(text, -1)),
            q=tuple(dict.fromkeys(self.q + other.q)),
            not_=tuple(dict.fromkeys(self.not_ + other.not_)),
            fields=tuple(dict.fromkeys(self.fields + other.fields)),
            patterns=self.patterns | other.patterns,
            scoped=self.scoped,
            within=self.within or other.within,
        )

    def _inside(self, scope: Filter) -> Filter:
        return attrs.evolve(self, scoped=True, within=scope)

    @property
    def is_everything(self) -> bool:
        """Whether the filter selects every entry."""
        return not (self._checks or self._steps or self.within)

    @property
    def scope(self) -> Filter | None:
        """The scope that bounds what the reader may see; `None` if it may see everything."""
        return self.within or (self if self.scoped else None)

    @property
    def is_scope(self) -> bool:
        """Whether the filter is a scope itself, and not that of a reader within a scope."""
        return self.scoped and self.within is None

    @property
    def is_costly(self) -> bool:
        """Whether it looks at messages, which may take long; its scope does not count."""
        return bool(self._steps)

    def values(self, field: str) -> frozenset[str] | None:
        """Return the values that an entry's field may have; `None` if it may have any other."""
        asked = [
            values
            for name, values in self.exact
            if name == field and not any(is_prefix(field, value) for value in values)
        ]
        if self.within is not None and (values := self.within.values(field)) is not None:
            asked.append(values)
        return frozenset.intersection(*asked) if asked else None

    def allows(self, field: str, value: str) -> bool:
        """Return whether it can select an entry with this value, as far as this field decides."""
        values = self.values(field)
        return (
            (values is None or value in values)
            and not any(name == field and value in values for name, values in self.excluded)
            and (self.within is None or self.within.allows(field, value))
        )

    def matches(self, entry: LogEntry) -> bool:
        """Return whether the reader sees this entry."""
        return (
            (self.within is None or self.within.matches(entry))
            and all(check(entry) for check in self._checks)
            and (not self._steps or self._selects(entry))
        )

    def _selects(self, entry: LogEntry) -> bool:
        selecting = Selecting(self._steps, [entry], [0], FieldCache([entry]))
        while not selecting.advance(MAX_SECONDS):
            pass
        return bool(selecting.indices)

    def select(self, entries: Sequence[LogEntry], cache: FieldCache | None = None) -> Sequence[int]:
        """Return the indices of the entries that the filter selects, ascending.

        Args:
            entries: a run of entries.
            cache: the fields of these entries, if other filters look at them, too.

        Raises:
            ExpressionTooSlow: it takes too long on these entries; `selecting` is for such filters.
        """
        cache = cache or FieldCache(entries)
        indices = range(len(entries)) if self.within is None else self.within.select(entries, cache)
        indices = self.check(entries, indices)
        if not self._steps:
            return indices
        selecting = self.selecting(entries, indices, cache)
        most = MAX_SECONDS * max(1.0, len(entries) / MEASURED_LINES)
        while not selecting.advance(most):
            if selecting.seconds > most:
                raise ExpressionTooSlow.of(selecting.parameter)
        return selecting.indices

    def check(self, entries: Sequence[LogEntry], indices: Sequence[int]) -> Sequence[int]:
        """Return those of the indices whose entries meet the cheap conditions (not of its scope).

        It takes a microsecond for about ten entries.
        """
        for check in self._checks:
            indices = [index for index in indices if check(entries[index])]
        return indices

    def selecting(
        self, entries: Sequence[LogEntry], indices: Sequence[int], cache: FieldCache
    ) -> Selecting:
        """Begin to select by the other conditions (not of its scope), among these indices."""
        return Selecting(self._steps, entries, indices, cache)


def check_parameter(name: str, known: frozenset[str]) -> None:
    """Raise BadQuery if there is no such parameter."""
    if name not in known:
        raise BadQuery(
            f"{name[:100]!r} is not a parameter, so the request was refused. "
            f"The parameters are {', '.join(sorted(known))}",
            parameter=name[:100],
        )


def _size(text: str) -> int:
    return getsizeof(text) + BYTES_OF_VALUE


def _level_check(least: int) -> Check:
    # An unknown level passes, because it may be more severe than every known one.
    return lambda entry: LEVELS.get(entry.level, least) >= least


def _pairs(parameters: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> Values:
    return frozenset(
        (field, exact_values(name, values[name]))
        for name, field in parameters.items()
        if name in values
    )


def _min_level(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    level = LEVEL_ALIASES.get(texts[0].strip().casefold(), texts[0].strip().casefold())
    if len(texts) > 1 or level not in LEVELS:
        raise BadQuery(f"min_level takes one of {', '.join(LEVELS)}", parameter="min_level")
    return level


def _pattern_ids(name: str, texts: Iterable[str]) -> frozenset[str]:
    ids = exact_values(name, texts)
    if not all(map(_PATTERN_ID.fullmatch, ids)):
        raise BadQuery(f"{name} takes ids as /api/patterns gives them", parameter=name)
    return ids


def _texts(name: str, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    texts = values.get(name, ())
    if len(texts) > MAX_TEXTS:
        raise BadQuery(f"{name} may be given {MAX_TEXTS} times at the most", parameter=name)
    if any(len(text) > MAX_TEXT_LENGTH for text in texts):
        raise BadQuery(f"{name} takes at most {MAX_TEXT_LENGTH:,} characters", parameter=name)
    return tuple(dict.fromkeys(texts))


# A filter can be made only after the functions above are defined, so this comes last.
EVERYTHING = Filter()
