"""Conditions on the fields of an entry, such as `status>=500`. Pure.

In: the texts of the parameter `field`. Out: a `Condition` for each. It is a name, an operator and a
value; a name alone, if the field must exist; or `!` and a name, if it must not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Container, Iterable
from typing import TypeVar

import attrs

from natstream.entries.fields import MAX_DEPTH, MAX_TEXT, UNREADABLE, Value, number_of
from natstream.errors import BadQuery

__all__ = ["Condition"]

MAX_VALUES = 100
# A condition mostly has one value. So few values are searched one after the other.
FEW = 4

T = TypeVar("T")

_FORM = re.compile(r"(!?)([^=<>!]+)(?:(!=|[<>]=?|=)(.*))?", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@attrs.frozen
class Condition:
    """What a field must be, and a function that says whether a value is so."""

    path: str
    holds: Callable[[Value | None], bool]
    """Gets the value of the field, or None if the entry has no such field."""

    @classmethod
    def parse(cls, text: str, *, strict: bool = False) -> Condition:
        """Return the condition that a text describes.

        Args:
            text: for example `status>=500`, `user.id=7,8`, `error` or `!error`.
            strict: whether a field of a message that cannot be read counts as forbidden, so that
                `!=` and `!name` do not hold. A scope must not show what it cannot judge.

        Raises:
            BadQuery: the text is not a condition.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise _bad("takes a name, an operator and a value, for example status>=500")
        absent, name, sign, value = form[1], form[2].strip(), form[3], (form[4] or "").strip()
        if not name:
            raise _bad("has no name before its operator; write for example status>=500")
        if name.count(".") >= MAX_DEPTH:
            raise _bad(f"takes names of at most {MAX_DEPTH} parts between dots")
        if absent and sign:
            raise _bad(f"has ! before a comparison; write {name[:40]}!=… or !{name[:40]}")
        if sign and not value:
            raise _bad(f"has no value behind {sign}; write the name alone if any value will do")
        if not sign:
            return cls(name, _absent(strict) if absent else _exists)
        if sign in _ORDER:
            return cls(name, _ordered(_ORDER[sign], number_of(value)))
        return cls(name, _differs(value, strict) if sign == "!=" else _equals(value))


def _bad(problem: str) -> BadQuery:
    return BadQuery(f"field {problem}", parameter="field")


def _exists(value: Value | None) -> bool:
    return value is not None and value is not UNREADABLE


def _absent(strict: bool) -> Callable[[Value | None], bool]:
    if strict:
        return lambda value: value is None
    return lambda value: value is None or value is UNREADABLE


def _ordered(
    compare: Callable[[float, float], bool], wanted: float | None
) -> Callable[[Value | None], bool]:
    if wanted is None:  # These operators hold only between two numbers.
        return lambda value: False
    number = wanted
    return lambda value: value is not None and value[0] is not None and compare(value[0], number)


def _equals(text: str) -> Callable[[Value | None], bool]:
    values = {value.strip() for value in text.split(",")} - {""}
    if len(values) > MAX_VALUES:
        raise _bad(f"takes at most {MAX_VALUES} values between commas")
    # A value may have a comma itself.
    values.add(text)
    numbers = {value: number_of(value) for value in values}
    texts = _members(value[:MAX_TEXT].casefold() for value in numbers if numbers[value] is None)
    figures = _members(number for number in numbers.values() if number is not None)
    if not figures:
        return lambda value: value is not None and value[1] in texts
    return lambda value: value is not None and (value[0] in figures or value[1] in texts)


def _members(values: Iterable[T]) -> Container[T]:
    """Return a set, or a tuple of a few values, because a set takes at least 200 bytes."""
    members = frozenset(values)
    return members if len(members) > FEW else tuple(members)


def _differs(text: str, strict: bool) -> Callable[[Value | None], bool]:
    equals = _equals(text)
    if strict:
        return lambda value: value is not UNREADABLE and not equals(value)
    return lambda value: not equals(value)
