"""Regular expressions of filters, compiled by RE2 and bounded in size, time and memory. Pure.

In: the text of an expression. Out: an `Expression`, which says whether a message matches. One call
takes at most 20 ms, because an expensive expression searches only the beginning of a long message.
`BadQuery` is raised for a text that is not an expression of RE2, or is too large.

RE2 makes an automaton while it searches. The automata of all expressions together have 64 MiB.
Equal expressions are one object, and its automaton goes with the last filter that has it. If there
is no room for an automaton, the oldest ones are dropped, and made anew when they are needed.

Functions import RE2 themselves, because most services run long without an expression, and it takes
0.9 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakValueDictionary

import attrs

from natstream.errors import BadQuery

__all__ = ["MAX_INSTRUCTIONS", "Expression", "is_expression"]

# RE2's time is linear in the line, but each byte may cost as much as the whole expression: at worst
# 20 ns for each instruction (measured with [ab]*a[ab]{900}x), and 30 ns on a slow machine. \pL has
# 1,200 instructions. A counted repetition can have ten thousand, and then one long line takes
# seconds. This is the limit for all expressions of a filter together.
MAX_INSTRUCTIONS = 1_500
# Therefore one call searches so many bytes at most, which takes 10 to 15 ms at worst: 25 KB with
# the 20 instructions of /timeout|refused/, and 330 bytes with the most expensive expression.
INSTRUCTIONS_TIMES_BYTES = 500_000
# The automaton of so small an expression stays in memory, so that a byte costs at most 15 ns. The
# longest message, of 256 KiB, then takes 4 ms, and it is searched as a whole.
SMALL = 15
ALL = 1 << 20

# The time is measured after so many characters of messages, or before 2 ms of work at worst.
MEASURED = 2_000

# Bytes of all automata together. RE2 takes a tenth more than it is told, and malloc some more.
MAX_MEMORY = 48 << 20
# Bytes of one automaton: at most, and at least for each instruction. With less memory an expression
# such as e.{12}zq takes five times as long, and RE2 needs the least to work at all. An automaton
# gets a part of the memory that is left, so that a few have the most, and hundreds have some.
MOST = 1 << 20
LEAST, LEAST_FOR_EACH = 128 << 10, 400
PART = 8


def is_expression(text: str) -> bool:
    """Return whether a text of `q` or `not` is an expression, which stands between slashes."""
    return len(text) > 2 and text.startswith("/") and text.endswith("/")


@attrs.define(eq=False)
class Expression:
    """A compiled expression; it ignores case."""

    pattern: bytes
    instructions: int
    """The size of its program, which its cost depends on."""
    reach: int = attrs.field(init=False)
    """How many bytes of a message are searched."""
    _automaton: Any = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        is_small = self.instructions <= SMALL
        self.reach = ALL if is_small else INSTRUCTIONS_TIMES_BYTES // self.instructions

    @classmethod
    def compile(cls, text: str, parameter: str) -> Expression:
        """Return the expression between the slashes of a text.

        Raises:
            BadQuery: it is not an expression of RE2, or it is too large.
        """
        pattern = text[1:-1].encode("utf-8", "replace")
        expression = _known.get(pattern)
        if expression is None:
            expression = _known[pattern] = cls(pattern, _check(pattern, parameter))
        return expression

    def __del__(self) -> None:
        _automata.drop(self.pattern)

    @property
    def measured(self) -> int:
        """After how many characters the time should be measured."""
        return min(MEASURED, self.reach // 10)

    def matches(self, text: bytes) -> bool:
        """Return whether the beginning of a text matches, up to the reach."""
        automaton = self._automaton
        if automaton is None:
            automaton = self._automaton = _automata.make(self)
        return automaton(text[: self.reach]) is not None

    def forget(self) -> None:
        """Drop the automaton; the next search makes it anew."""
        self._automaton = None


class Automata:
    """The automata in memory, the oldest first, within a bound for all of them together."""

    def __init__(self) -> None:
        self._made: OrderedDict[bytes, int] = OrderedDict()
        """The bytes that each automaton may use."""
        self.memory: int = 0
        """Bytes that all of them may use."""

    def make(self, expression: Expression) -> Any:
        """Return the function that searches; others are dropped if there is no room for it."""
        pattern = expression.pattern
        least = min(MOST, LEAST + LEAST_FOR_EACH * expression.instructions)
        memory = min(MOST, max(least, (MAX_MEMORY - self.memory) // PART))
        if memory < MOST and not _works(pattern, memory):
            memory = MOST
        while self._made and self.memory + memory > MAX_MEMORY:
            oldest = next(iter(self._made))
            if (other := _known.get(oldest)) is not None:
                other.forget()
            self.drop(oldest)
        self._made[pattern] = memory
        self.memory += memory
        return _compile(memory, pattern).Match

    def drop(self, pattern: bytes) -> None:
        """Take back the memory of an automaton, if there is one."""
        self.memory -= self._made.pop(pattern, 0)


_automata = Automata()
_known: WeakValueDictionary[bytes, Expression] = WeakValueDictionary()


def _options(memory: int) -> Any:
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = memory
    return options


def _check(pattern: bytes, parameter: str) -> int:
    """Return how many instructions an expression has.

    Raises:
        BadQuery: see `Expression.compile`.
    """
    import re2

    try:
        compiled = re2.compile(pattern, options=_options(MOST))  # type: ignore[no-untyped-call]  # re2 has no types
        instructions = int(compiled.programsize)
    except re2.error as error:
        reason = error.args[0] if error.args else "not understood"
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise BadQuery(
            f"{parameter} is not a regular expression of RE2: {reason}", parameter=parameter
        ) from None
    finally:
        re2.purge()  # type: ignore[no-untyped-call]  # the same; it would keep 128 programs
    if instructions > MAX_INSTRUCTIONS:
        raise BadQuery(f"{parameter} is too large a regular expression", parameter)
    return instructions


def _compile(memory: int, *patterns: bytes) -> Any:
    import re2

    # A set answers only whether it matches, not where, which takes a third of the time.
    compiled = re2.Set.SearchSet(_options(memory))  # type: ignore[no-untyped-call]  # the same
    for pattern in patterns:
        compiled.Add(pattern)
    compiled.Compile()
    return compiled


def _works(pattern: bytes, memory: int) -> bool:
    """Return whether RE2 can search with so little memory; otherwise it would find nothing."""
    import re2

    try:
        return _compile(memory, pattern, b"").Match(b"") is not None
    except re2.error:
        return False
