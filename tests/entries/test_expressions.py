"""The memory of expressions: bounded together, shared if they are equal, and given back."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from natstream.entries import expressions
from natstream.entries.entry import LogEntry
from natstream.entries.expressions import MAX_INSTRUCTIONS, MAX_MEMORY, Expression
from natstream.entries.filters import MAX_BYTES, Filter
from natstream.errors import BadQuery


def resident() -> int:
    """Return the memory of this process in bytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def random_texts(count: int) -> list[bytes]:
    """Return texts for which an automaton needs new states all the time."""
    draw = random.Random(3)
    return ["".join(draw.choices("abeiou ", k=10_000)).encode() for _ in range(count)]


def test_equal_expressions_share_an_automaton() -> None:
    """Two filters with the same expression have one automaton, which goes with the last one."""
    one = Expression.compile("/shared [a-z]+/", "q")
    two = Expression.compile("/shared [a-z]+/", "not")
    assert one is two
    before = expressions._automata.memory
    assert one.matches(b"SHARED x")
    assert before < expressions._automata.memory
    del one
    assert two.matches(b"shared x")
    del two
    assert expressions._automata.memory == before


def test_all_automata_together_are_bounded() -> None:
    """A thousand different expressions on random text take at most 64 MiB, and still match.

    With a MiB for each of them, 25 streams of 40 expressions took 1 GiB.
    """
    texts = random_texts(8)
    before = resident()
    kept = []
    for number in range(1_000):
        pattern = (f"/[ab]*a[ab]{{{20 + number % 60}}}[xyz]{number}/", f"/e.{{12}}z{number}/")
        kept.append(Expression.compile(pattern[number % 2], "q"))
        assert not any(map(kept[-1].matches, texts))
        assert expressions._automata.memory <= MAX_MEMORY
    assert resident() - before < 64 * 2**20
    assert kept[1].matches(b"e" + b"." * 12 + b"z1")
    assert kept[0].matches(b"ab" + b"a" * 30 + b"x0")


@pytest.mark.parametrize(
    "pattern", [r"\pL", "[ab]*a[ab]{700}x", "e.{100}zq", "a?" * 400, "timeout|refused", "(é|ü){99}"]
)
def test_the_least_memory_is_enough(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expression finds the same with the least memory as with the most."""
    text = f"/{pattern}/"
    texts = [
        *random_texts(2),
        b"timeout",
        "é".encode() * 99,
        b"ab" * 500 + b"x",
        b"e" * 500 + b"zq",
    ]
    roomy = [Expression.compile(text, "q").matches(each) for each in texts]
    monkeypatch.setattr(expressions, "PART", 10**9)
    tight = Expression.compile(text, "q")
    assert [tight.matches(each) for each in texts] == roomy
    assert True in roomy or pattern.startswith(("[ab]", "e."))


def test_an_automaton_that_was_dropped_is_made_anew() -> None:
    """An expression without its automaton makes another one at the next search."""
    expression = Expression.compile("/drop (this|that)/", "q")
    assert expression.matches(b"drop that")
    expression.forget()
    assert expression.matches(b"drop this")


def test_refused_expressions_leave_nothing_behind() -> None:
    """A program that is too large is not kept by RE2's own cache."""
    before = resident()
    for number in range(200):
        with pytest.raises(BadQuery, match="too large"):
            Expression.compile(f"/[ab]{{900}}[xy]{{90}}\\pL{number}/", "q")
    assert MAX_INSTRUCTIONS < 2_000
    assert resident() - before < 8 * 2**20


@pytest.mark.parametrize("name", ["q", "not", "field", "machine", "app"])
def test_the_other_state_of_a_filter_is_bounded(name: str) -> None:
    """A filter of many values or long texts is refused, since each reader keeps one."""
    if name in ("q", "not"):
        query = [(name, "x" * 990 + str(n)) for n in range(20)]
    elif name == "field":
        query = [(name, f"a{n}=" + ",".join(map(str, range(100)))) for n in range(20)]
    else:
        query = [(name, ",".join("m" * 100 + str(n) for n in range(100)))]
    with pytest.raises(BadQuery, match="too much memory") as caught:
        Filter.from_query(query)
    assert len(str(caught.value)) < 200
    assert MAX_BYTES <= 40_000
    machines = ",".join(f"{n:014x}" for n in range(90))
    few = Filter.from_query([("machine", machines)])
    assert few.matches(LogEntry(f"{5:014x}", "", "stdout"))
