"""The merge of two ways: each line is shown once, counted with its repetitions."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.fly_api import merge as module
from natstream.fly_api.merge import Merge


def line(message: str, source: str = "nats", unix_ns: int = 0, machine: str = "m") -> LogEntry:
    """Return a line of one machine."""
    return LogEntry(machine, message, "stdout", unix_ns=unix_ns, source=source)


def test_a_line_that_nats_brought_is_not_filled() -> None:
    """The interface's copy of a line that was shown is left out, and only once."""
    merge = Merge([line("a")])
    copies = [line("a", "fly"), line("a", "fly"), line("b", "fly")]
    assert [entry.message for entry in merge.new_from_fly(copies)] == ["a", "b"]


def test_a_line_that_was_filled_is_not_shown_again() -> None:
    """A line of NATS that comes after its copy from the interface is left out."""
    merge = Merge()
    merge.new_from_fly([line("a", "fly")])
    assert merge.new_from_nats([line("a")]) == []
    assert len(merge.new_from_nats([line("a")])) == 1


@pytest.mark.parametrize(
    "other",
    [line("b", "fly"), line("a", "fly", 1_000_000), line("a", "fly", machine="n")],
)
def test_lines_that_differ_are_two_lines(other: LogEntry) -> None:
    """Another message, millisecond or machine makes another line."""
    assert Merge([line("a")]).new_from_fly([other]) == [other]


def test_a_time_without_nanoseconds_and_a_line_break_are_the_same_line() -> None:
    """The ways may differ in the fraction below a millisecond and in a trailing line break."""
    assert Merge([line("a", unix_ns=1_234_567)]).new_from_fly([line("a\n", "fly", 1_000_000)]) == []


def test_memory_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """When lines are forgotten, the merge says that lines may come twice."""
    monkeypatch.setattr(module, "MAX_LINES", 10)
    merge = Merge(line(str(number)) for number in range(10))
    assert not merge.overflowed
    merge.saw([line("one more")])
    assert merge.overflowed
    assert len(merge.new_from_fly([line("0", "fly")])) == 1


messages = st.lists(st.sampled_from("abc"), max_size=12)


@given(both=messages, only_nats=messages, only_fly=messages, order=st.randoms())
def test_each_line_is_shown_as_often_as_the_way_that_has_it_most(
    both: list[str], only_nats: list[str], only_fly: list[str], order: st.DataObject
) -> None:
    """Whatever the order of arrival, the shown lines are those of both ways without doubles."""
    nats, fly = Counter(both + only_nats), Counter(both + only_fly)
    arriving = [line(text) for text in nats.elements()]
    arriving += [line(text, "fly") for text in fly.elements()]
    order.shuffle(arriving)  # type: ignore[attr-defined]  # a random.Random
    merge, shown = Merge(), Counter[str]()
    for entry in arriving:
        if entry.source == "fly":
            new = merge.new_from_fly([entry])
        else:
            new = merge.new_from_nats([entry])
            merge.saw(new)
        shown.update(each.message for each in new)
    assert shown == nats | fly


def test_lines_of_the_interface_that_are_seen_count_once() -> None:
    """An entry of the interface that comes back through the hub is not a line of NATS."""
    merge = Merge()
    filled = merge.new_from_fly([line("a", "fly")])
    merge.saw(filled)
    assert len(merge.new_from_fly([attrs.evolve(filled[0])])) == 1
