"""What tells one stack trace from another: its exception and its innermost frames. Pure.

In: the continuation lines of a head, in order. Out: a short text, which is empty while no line of
a trace has come. Line numbers are masked, so that a trace keeps its pattern if a deployment only
moves the lines of its source.
"""

from __future__ import annotations

import re

import attrs

from natstream.entries.patterns_words import mask_words

__all__ = ["TraceLines"]

FRAMES = 2
LOOKED_AT = 200
# Lines of a group that are looked at. A longer trace is a recursion, or no trace.
MAX_LINES = 200

_FRAME = re.compile(
    r"at (?!\d)\S|from \S{1,200}:\d|#\d{1,4} |\d{1,3}: {1,4}\S|\S{1,150}\.rb:\d|"
    r"\([\w.]{1,80} [\d.]{1,20}\) \S|[\w./~%@-]{1,150}\.[\w.*()\[\]{}·-]{1,100}\(.{0,150}\)$"
)
_CAUSE = re.compile(r"Caused by: |Wrapped by: |Next ")
_EXCEPTION = re.compile(
    r"[A-Za-z_][\w.$]{0,120}(?:Error|Exception|Exit|Interrupt|Warning)\b|"
    r"(?:[a-z_]\w{0,60}\.){1,8}[A-Z]\w{0,60}(?::|$)"
)
_ARGUMENTS = re.compile(r"\((?:0x[\da-f]+|[{}, ?.…]|0x)+\)$")


@attrs.define
class TraceLines:
    """The continuation lines of one head, as far as they tell its pattern."""

    _exception: str = ""
    _frames: list[str] = attrs.field(factory=list)
    _is_python: bool = False
    _lines: int = 0

    def add(self, message: str) -> None:
        """Look at the next line of the group."""
        self._lines += 1
        if self._lines > MAX_LINES or (
            len(self._frames) == FRAMES and not self._is_python and message[:3] == "\tat"
        ):
            return
        text = message[:LOOKED_AT].strip()
        if text.startswith('File "'):
            # Python shows the innermost frame last.
            self._is_python = True
            self._frames = [*self._frames[-1:], text]
        elif _CAUSE.match(text):
            # The innermost cause is the last one.
            self._exception, self._frames = text, []
        elif len(self._frames) < FRAMES and _FRAME.match(text):
            self._frames.append(text)
        elif not message[:1].isspace() and _EXCEPTION.match(text):
            self._exception = text

    def pattern(self) -> str:
        """Return what tells this trace from others with the same head."""
        frames = reversed(self._frames) if self._is_python else self._frames
        parts = [self._exception, *(_frame(text) for text in frames)]
        return " < ".join(mask_words(part) for part in parts if part)


def _frame(text: str) -> str:
    if text.startswith('File "'):
        return text[5:].replace('"', "")
    return _ARGUMENTS.sub("(…)", text)
