"""The lines around a match, and groups, as `natstream tail -C` chooses them."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from natstream.cli.context import MACHINES, MORE_LINES, Context
from natstream.entries.entry import LogEntry

HEAD = LogEntry("m1", "Traceback", "stderr", app_name="web", level="error")
MEMBER = attrs.evolve(HEAD, continues=True)


def line(text: str, machine: str = "m1", **fields: object) -> LogEntry:
    return LogEntry(machine, text, "stdout", app_name="web", level="info", **fields)  # type: ignore[arg-type]  # fields of an entry


def member(text: str) -> LogEntry:
    return attrs.evolve(MEMBER, message=text)


def printed(context: Context, *entries: LogEntry, match: str = "!") -> list[str]:
    """Return the printed messages; lines that hold `match` match, and "--" is a separator."""
    got: list[str] = []
    for entry in entries:
        chosen = context.add(entry, matches=match in entry.message)
        got += ["--" if each is None else each.message for each in chosen]
    return got


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_it_prints_what_grep_prints(matching: list[bool], before: int, after: int) -> None:
    """For the lines of one machine, the output is that of `grep -B -A`."""
    texts = [f"{n}!" if is_match else str(n) for n, is_match in enumerate(matching)]
    got = printed(Context(before, after), *map(line, texts))
    expected: list[str] = []
    last = -1
    hits = [n for n, is_match in enumerate(matching) if is_match]
    for number, text in enumerate(texts):
        if any(hit - before <= number <= hit + after for hit in hits):
            if expected and number != last + 1 and (before or after):
                expected.append("--")
            expected.append(text)
            last = number
    assert got == expected


def test_the_lines_of_another_machine_are_no_context() -> None:
    """The lines around a match are those of its machine, however the lines are mixed."""
    names = ("a1", "b1", "a2", "b2!", "a3", "b3")
    lines = [line(name, name[0]) for name in names]
    assert printed(Context(5, 5), *lines) == ["b1", "b2!", "b3"]


def test_a_match_in_the_head_shows_the_whole_group() -> None:
    """After a head that matches, its members are printed, also behind other lines."""
    head = attrs.evolve(HEAD, message="Traceback!")
    lines = [line("a"), head, member("1"), line("b"), member("2"), line("c")]
    assert printed(Context(0, 0), *lines) == ["Traceback!", "1", "2"]


def test_a_match_in_a_member_shows_the_whole_group() -> None:
    """When a member matches, the head and the members before it are printed first."""
    lines = [line("a"), line("b"), HEAD, member("1"), line("c"), member("ValueError!"), member("3")]
    assert printed(Context(1, 1), *lines, line("d"), line("e")) == [
        *["b", "Traceback", "1", "--", "ValueError!", "3", "d"],
    ]


def test_earlier_lines_are_asked_for_once() -> None:
    """A match too near to the first known line needs lines before it, and only the first time."""
    context = Context(3, 0)
    assert context.missing(line("x!")) is not None
    context.add(line("1"), matches=False)
    missing = context.missing(line("x!"))
    assert missing is not None
    assert (missing.first.message, missing.lines) == ("1", 2)
    context.learn(line("x!"), [line("-1"), line("0")])
    assert printed(context, line("x!")) == ["-1", "0", "1", "x!"]
    assert context.missing(line("y!")) is None
    assert Context(0, 5).missing(line("x!")) is None


def test_a_group_that_began_before_the_first_line_is_completed() -> None:
    """A member whose head was not seen needs the lines before it, in which the head is found."""
    context = Context(0, 0)
    missing = context.missing(member("2!"))
    assert missing is not None
    assert missing.lines == MORE_LINES
    context.learn(member("2!"), [line("a"), HEAD, member("1"), line("b")])
    assert printed(context, member("2!"), member("3")) == ["Traceback", "1", "2!", "3"]


def test_memory_is_bounded() -> None:
    """The lines of the machine that was silent longest are forgotten, and groups are bounded."""
    context = Context(2, 2)
    for number in range(MACHINES * 2):
        context.add(line("x", f"m{number}"), matches=False)
    assert len(context._machines) == MACHINES
    for number in range(5_000):
        context.add(attrs.evolve(line("x"), level=str(number)), matches=False)
        context.add(attrs.evolve(MEMBER, level="w"), matches=False)
    machine = context._machines["web", "m1"]
    assert len(machine.records) <= MORE_LINES + 2
    assert len(machine.groups) <= 20
