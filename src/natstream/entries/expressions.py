"""Regular expressions of filters, compiled by RE2 and bounded in size and time. Pure.

In: the text of an expression. Out: an `Expression`, which says whether a message matches. One call
takes at most 20 ms, because an expensive expression searches only the beginning of a long message.
`BadQuery` is raised for a text that is not an expression of RE2, or is too large.
"""

from __future__ import annotations

from typing import Any

import attrs
import re2

from natstream.errors import BadQuery

__all__ = ["MAX_INSTRUCTIONS", "Expression", "is_expression"]

# RE2's time is linear in the line, but each byte may cost as much as the whole expression: at worst
# 20 ns for each instruction (measured with [ab]*a[ab]{900}x). \pL has 1,200 instructions. A counted
# repetition can have ten thousand, and then one long line takes seconds. This is the limit for all
# expressions of a filter together.
MAX_INSTRUCTIONS = 1_500
# Therefore one call searches so many bytes at most, which takes 20 ms at worst: 50 KB with the 20
# instructions of /timeout|refused/, and 670 bytes with the most expensive expression.
INSTRUCTIONS_TIMES_BYTES = 1_000_000
# The automaton of so small an expression stays in memory, so that a byte costs at most 15 ns. The
# longest message, of 256 KiB, then takes 4 ms, and it is searched as a whole.
SMALL = 15
ALL = 1 << 20

# The time is measured after so many characters of messages, or before 2 ms of work at worst.
MEASURED = 2_000

_MEMORY = 1 << 20  # bytes of one compiled expression; re2 refuses larger ones


def is_expression(text: str) -> bool:
    """Return whether a text of `q` or `not` is an expression, which stands between slashes."""
    return len(text) > 2 and text.startswith("/") and text.endswith("/")


@attrs.frozen(eq=False)
class Expression:
    """A compiled expression; it ignores case."""

    instructions: int
    """The size of its program, which its cost depends on."""
    _match: Any = attrs.field(repr=False)

    @classmethod
    def compile(cls, text: str, parameter: str) -> Expression:
        """Return the expression between the slashes of a text.

        Raises:
            BadQuery: it is not an expression of RE2, or it is too large.
        """
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        options.max_mem = _MEMORY
        encoded = text[1:-1].encode("utf-8", "replace")
        try:
            instructions = re2.compile(encoded, options=options).programsize  # type: ignore[no-untyped-call]  # re2 has no types
            if instructions > MAX_INSTRUCTIONS:
                raise BadQuery(f"{parameter} is too large a regular expression", parameter)
            # A set answers only whether it matches, not where, which takes a third of the time.
            compiled = re2.Set.SearchSet(options)  # type: ignore[no-untyped-call]  # the same
            compiled.Add(encoded)
            compiled.Compile()
        except re2.error as error:
            reason = error.args[0] if error.args else "not understood"
            if isinstance(reason, bytes):
                reason = reason.decode("utf-8", "replace")
            raise BadQuery(
                f"{parameter} is not a regular expression of RE2: {reason}", parameter=parameter
            ) from None
        return cls(instructions, compiled.Match)

    @property
    def reach(self) -> int:
        """How many bytes of a message are searched."""
        if self.instructions <= SMALL:
            return ALL
        return INSTRUCTIONS_TIMES_BYTES // self.instructions

    @property
    def measured(self) -> int:
        """After how many characters the time should be measured."""
        return min(MEASURED, self.reach // 10)

    def matches(self, text: bytes) -> bool:
        """Return whether the beginning of a text matches, up to the reach."""
        return self._match(text[: self.reach]) is not None
