"""Values of an entry that a filter names: the wanted ones, and the excluded ones. Pure.

In: the values of a query parameter such as `app` or `not_app`. Out: a set of values, and a check
for entries. `BadQuery` is raised for a value that the parameter cannot have.

A value is exact, except that `668f*` (or `668f…`, as the page abbreviates it) as a machine means
all machines whose id begins like that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from natstream.entries.entry import LogEntry
from natstream.entries.level_names import LEVEL_ALIASES
from natstream.errors import BadQuery

__all__ = ["EXACT", "EXCLUDED", "Check", "Values", "exact_values", "is_prefix", "value_check"]

# Query parameter → the entry's field, or `type`; values are comma-separated and repeatable.
EXACT = {
    "app": "app_name",
    "region": "region",
    "machine": "machine_id",
    "stream": "stream",
    "level": "level",
    "source": "source",
    "group": "group",
    "release": "release",
    "type": "type",
}
# The exclusions have parameters of their own, and not a sign in front of the value. So a release
# that does not know them refuses the request or the link, and never shows more than was meant.
EXCLUDED = {f"not_{name}": field for name, field in EXACT.items()}

TYPES = frozenset({"log", "system"})
# The service spells these in lower case.
_LOWER = frozenset({"level", "stream", "type", "source"})

# Each reader's filter runs on every line, so this limit bounds the cost of one reader.
MAX_VALUES = 100

Values = frozenset[tuple[str, frozenset[str]]]
"""Pairs of an entry's field (or `type`) and values."""
Check = Callable[[LogEntry], bool]


def exact_values(name: str, texts: Iterable[str]) -> frozenset[str]:
    """Return the values in the texts of a parameter, as the service spells them.

    Raises:
        BadQuery: there is none, there are too many, or the parameter cannot have one of them.
    """
    field = (EXACT | EXCLUDED).get(name, name)
    values = {value.strip() for text in texts for value in text.split(",") if value.strip()}
    if not values:
        raise BadQuery(f"{name} is empty; leave it out or give it a value", parameter=name)
    if len(values) > MAX_VALUES:
        raise BadQuery(f"{name} takes at most {MAX_VALUES} values", parameter=name)
    if field in _LOWER:
        values = {value.casefold() for value in values}
    if field == "level":
        values = {LEVEL_ALIASES.get(value, value) for value in values}
    if field == "type" and not values <= TYPES:
        raise BadQuery(f"{name} takes log or system", parameter=name)
    if field == "machine_id":
        values = {_machine(name, value) for value in values}
    return frozenset(values)


def _machine(name: str, value: str) -> str:
    whole = value.rstrip("*…")
    if not whole:
        raise BadQuery(
            f"{name} needs the beginning of an ID before the *, for example 668f*", parameter=name
        )
    return whole if whole == value else f"{whole}*"


def is_prefix(field: str, value: str) -> bool:
    """Return whether a value stands for all values of the field that begin like it."""
    return field == "machine_id" and value.endswith("*")


def value_check(
    field: str, values: frozenset[str], *, excluded: bool = False, strict: bool = False
) -> Check:
    """Return the check that an entry has one of the values, or none of them if they are excluded.

    Args:
        field: the entry's field, or `type`.
        values: as `exact_values` returns them.
        excluded: whether entries with these values are rejected.
        strict: whether an entry without a value is rejected, too, when values are excluded. A scope
            must not show an entry that may be an excluded one.
    """
    read = _reader(field)
    begins = tuple(value[:-1] for value in values if is_prefix(field, value))
    whole = frozenset(value for value in values if not is_prefix(field, value))
    if excluded:
        rejected = whole | {""} if strict else whole
        if begins:
            return lambda entry: (
                not ((value := read(entry)) in rejected or value.startswith(begins))
            )
        return lambda entry: read(entry) not in rejected
    if begins:
        return lambda entry: (value := read(entry)) in whole or value.startswith(begins)
    return lambda entry: read(entry) in whole


def _reader(field: str) -> Callable[[LogEntry], str]:
    if field == "type":
        return lambda entry: "system" if entry.is_system else "log"
    return attrgetter(field)
