"""Conditions on fields: their operators, values and errors, and what a scope does in doubt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from natstream.entries.entry import LogEntry
from natstream.entries.fields import MAX_MESSAGE
from natstream.entries.filters import EVERYTHING, Filter
from natstream.entries.json_object import MAX_PREFIX
from natstream.errors import BadQuery

LINE = {
    "status": 502,
    "text": "502",
    "took": 1.2,
    "path": "/Teas",
    "user": {"id": 7},
    "ok": False,
    "none": None,
    "list": [1],
    "big": 9007199254740993,
    "name": "Doe, Jane",
}
SHARED = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures/conditions.jsonl").read_text().splitlines()
]


def lets(condition: str, message: object = LINE) -> bool:
    text = message if isinstance(message, str) else json.dumps(message)
    entry = LogEntry("m", text, "stdout")
    filter = Filter.from_query([("field", condition)])
    assert filter.matches(entry) is bool(filter.select([entry]))
    return filter.matches(entry)


@pytest.mark.parametrize(
    "condition",
    [
        "status=502", "status=502.0", "status>=500", "status>501.5", "status<=502", "status<503",
        "text=502", "text>=500", "took=1.20", "took<2", "took>1e0", "path=/teas", "PATH!=/teas",
        "status=500,502", "path=/x, /teas", "status!=500", "status!=500,501", "absent!=1",
        "user.id=7", "user", "none", "none=null", "ok=FALSE", "list=[1]", "!absent", "list.0>0",
        " status >= 500 ", "big=9007199254740993", "name=Doe, Jane", "path!=/teas/x", "status",
    ],
)  # fmt: skip
def test_what_holds(condition: str) -> None:
    """These conditions hold: numbers are compared as numbers, and texts in any case."""
    assert lets(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "status=500", "status>502", "status<502", "path>1", "path<z", "ok<1", "ok=0", "absent=1",
        "absent<1", "absent", "!status", "!none", "status!=502", "status!=500,502", "text!=502.0",
        "path=/tea", "user.id!=7", "big=9007199254740992", "status>=x", "Status=502",
    ],
)  # fmt: skip
def test_what_does_not_hold(condition: str) -> None:
    """These conditions do not hold: an order is only between numbers, and absence only is `!=`."""
    assert not lets(condition)


@pytest.mark.parametrize(
    "condition",
    ["=5", ">5", "!", "!=5", "a=", "a>= ", "!a=5", "a!b", "a" + ".b" * 30, "x" * 1_001,
     "a=" + ",".join(map(str, range(101)))],
)  # fmt: skip
def test_what_is_no_condition(condition: str) -> None:
    """A text that is no condition is refused with an error that names the parameter."""
    with pytest.raises(BadQuery) as caught:
        Filter.from_query([("field", condition)])
    assert caught.value.parameter == "field"
    with pytest.raises(BadQuery, match="20 times"):
        Filter.from_query([("field", f"a{n}") for n in range(21)])


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case["line"][:30])
def test_the_cases_that_the_page_has_too(case: dict[str, Any]) -> None:
    """The service decides these conditions as the page does, whose test has the same cases."""
    assert [text for text in case["hold"] if not lets(text, case["line"])] == []
    assert [text for text in case["fail"] if lets(text, case["line"])] == []


def test_all_conditions_must_hold() -> None:
    """Repeated conditions must all hold, in one filter and in two joined ones."""
    one, other = (Filter.from_query([("field", text)]) for text in ("status>=500", "user.id=8"))
    entry = LogEntry("m", json.dumps(LINE), "stdout")
    assert one.matches(entry)
    assert not (one & other).matches(entry)
    assert (one & other).fields == ("status>=500", "user.id=8")
    assert not one.is_everything
    assert one & EVERYTHING == one


@pytest.mark.parametrize("condition", ["!secret", "secret!=1", "secret", "secret=1", "secret<5"])
@pytest.mark.parametrize(
    "message",
    [
        json.dumps({"x": "x" * MAX_MESSAGE, "secret": 1}),
        '{"x": "cut off, secret":',
        'app {"secret": 1, "user": {"id": 7}',
        f'{"x" * MAX_PREFIX} {{"secret": 1}}',
        '  "secret": 1,',
        'a=1 secret="cut off',
    ],
    ids=["long", "cut", "cut behind an inner object", "behind a long prefix", "indented", "pairs"],
)
def test_a_scope_fails_closed(condition: str, message: str) -> None:
    """A scope hides a line whose fields cannot be read; other filters take them as absent."""
    entry = LogEntry("m", message, "stdout")
    filter = Filter.from_query([("field", condition)])
    assert filter.matches(entry) is ("!" in condition)
    scope = attrs.evolve(filter, scoped=True)
    assert not scope.matches(entry)
    assert not (EVERYTHING & scope).matches(entry)
    assert not scope.select([entry])
