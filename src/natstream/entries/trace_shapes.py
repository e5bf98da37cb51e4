"""The shapes of the lines of stack traces, in the languages that apps are written in. Pure.

In: a line. Out: its `Shape`, or for the first line of a group its `Head`. Only the first characters
of a line are looked at, with expressions that take a time linear in them.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from natstream.entries.level_names import LEVEL_WORDS
from natstream.entries.uncompiled import Uncompiled

__all__ = ["LOOKED_AT", "Head", "Shape", "head_of", "shape_of"]

LOOKED_AT = 512
# A prefix with a time, a process, a user and a database is shorter.
PREFIX = 160


class Head(Enum):
    """What the first line of a group is."""

    LOGGED = auto()
    """A line of a logging library."""
    TRACEBACK = auto()
    """The start of a traceback of Python."""
    PANIC = auto()
    """A panic of Go."""
    RUST_PANIC = auto()
    """A panic of Rust whose message is on the next line."""
    EXCEPTION = auto()
    """An exception with its message."""


class Shape(Enum):
    """What a line looks like. An indented line is judged by its text."""

    FRAME = auto()
    """A frame, or another line that only traces have."""
    CHAIN = auto()
    """The announcement of another traceback of Python."""
    TRACEBACK = auto()
    """The start of a traceback of Python."""
    GOROUTINE = auto()
    """The start of a goroutine's stack."""
    CALL = auto()
    """A call as Go prints it."""
    EXCEPTION = auto()
    """The name of an exception, perhaps with its message."""
    NAME = auto()
    """Another name, perhaps with a text, as some exceptions have them."""
    DETAIL = auto()
    """A line that explains the error before it."""
    END = auto()
    """A line that stands behind a trace."""
    BLANK = auto()
    OTHER = auto()


_AT = r"at\ (?!\d)(?:async\ |new\ )?(?:[^\s.(/<:]*+[.(/<:]|[^\s.(/<:]++\ [(\[])"
_RUBY = r"/?[\w@./-]{1,300}+(?<=\.rb|erb|aml|lim):\d{1,7}(?::in\ [`']|$)"
_ELIXIR = r"[\w./-]{1,300}+(?<=[.erlx]{3}):\d{1,7}:\ "

# The first character of a line → its possible shapes, because most lines have none of them.
_BY_FIRST: dict[str, re.Pattern[str] | Uncompiled] = {}
_BY_FIRST |= {
    first: Uncompiled(_BY_FIRST, first, pattern)
    for first, pattern in {
        "a": rf"(?P<FRAME>{_AT}|{_RUBY}|{_ELIXIR})",  # Java, JavaScript, .NET
        "C": r"(?P<FRAME>Caused\ by:(?:\ |$))|(?P<DETAIL>CONTEXT:\ \ |Client\ \#PID<)",
        "W": r"(?P<FRAME>Wrapped\ by:\ )|(?P<DETAIL>Write\ at\ 0x)",
        "P": r"(?P<DETAIL>Previous\ (?:read|write)\ at\ 0x)",  # Go's race detector
        "G": r"(?P<DETAIL>Goroutine\ \d{1,12}\ \()",
        "R": r"(?P<DETAIL>Read\ at\ 0x|Require\ stack:$)",
        "H": r"(?P<DETAIL>HINT:\ \ )",
        "Q": r"(?P<DETAIL>QUERY:\ \ )",
        "p": r"(?P<CALL>panic\()",
        '"': r"(?P<END>\"\}$)",
        ".": r"(?P<FRAME>\.\.\.\ \d{1,9}\ (?:more|common\ frames))",
        "-": r"(?P<FRAME>--->\ \S|---\ End\ of\b)|(?P<DETAIL>-\ /\S{1,300}+$)",
        "~": r"(?P<FRAME>[~^]{2}[~^\ ]*+$)",  # Python
        "^": r"(?P<FRAME>\^[~^\ ]*+$)",
        "F": r"""(?P<FRAME>File\ "[^"\n]{1,300}+",\ line\ \d)|(?P<DETAIL>Function:)""",
        "D": r"(?P<CHAIN>During\ handling\ of\ the\ above\ exception,)"
        r"|(?P<DETAIL>DETAIL:\ \ )",
        "+": r"(?P<TRACEBACK>\+\ Exception\ Group\ Traceback\ \()",
        "T": r"(?P<TRACEBACK>Traceback\ \(most\ recent\ call\ last\):)"
        r"|(?P<CHAIN>The\ above\ exception\ was\ the\ direct\ cause\ of\ )",
        "g": r"(?P<GOROUTINE>goroutine\ \d{1,12}\ )",
        "c": r"(?P<FRAME>created\ by\ [^\s.]{1,300}+\.|coroutine\ \d{1,9}:$)",
        "[": r"(?P<FRAME>\[signal\ SIG|\[stacktrace\]$)|(?P<DETAIL>\[SQL:\ )",
        "e": r"(?P<END>exit\ status\ \d)",
        "/": rf"(?P<FRAME>/\S{{1,300}}+\ \+0x|{_RUBY})",
        "n": r"(?P<FRAME>note:\ (?:run\ with\ |Some\ details\ ))",  # Rust
        "s": r"(?P<FRAME>stack\ (?:backtrace|traceback):$)",
        "f": r"(?P<FRAME>from\ (?=\S{1,300}:\d))",
        "l": rf"(?P<FRAME>{_RUBY}|{_ELIXIR})",
        "(": rf"(?P<FRAME>\([\w.]{{1,80}}+\ \d[\w.+-]{{0,40}}+\)\ {_ELIXIR})"
        r"|(?P<DETAIL>\((?:Last\ message|State|Background\ on\ this\ error)\b)",
        "#": r"(?P<FRAME>\#\d{1,5}\ (?:\S{1,300}\(\d{1,7}\):\ |\{main\}|\[internal\ function\]"
        r"|\ {1,8}\S.{0,200}\ \())",  # PHP, Dart
        "S": r"(?P<FRAME>Suppressed:\ |Stack\ (?:trace|backtrace):$)"
        r"|(?P<DETAIL>State:|STATEMENT:\ \ )",
        "*": r"(?P<DETAIL>\*\*\ \S)",
        "L": r"(?P<DETAIL>Last\ message\b[^:\n]{0,80}+:|LINE\ \d{1,9}:\ |LOCATION:\ \ )",
        "A": r"(?P<DETAIL>(?:Args|Ancestors):)",
        "I": r"(?P<DETAIL>Initial\ Call:)",
        "M": r"(?P<DETAIL>Message\ Queue\b)",
        "t": r"(?P<DETAIL>thrown\ in\ /)",
        "r": r"(?P<DETAIL>right:\ )",
        "N": r"(?P<END>Node\.js\ v\d)|(?P<FRAME>Next\ [\w\\]{1,200}+:\ )",
        "}": r"(?P<END>[}\])]{1,4}[,;]?$)",
        "]": r"(?P<END>[}\])]{1,4}[,;]?$)",
        ")": r"(?P<END>[}\])]{1,4}[,;]?$)",
    }.items()
}
_SHAPES = {shape.name: shape for shape in Shape}
_RUST = re.compile(r"\d{1,3}: {1,4}(?:0x[0-9a-f]{1,16}+ - )?<?[\w$]++::")
# PostgreSQL explains an error in lines that have the same prefix, this word and two blanks.
_POSTGRES = ("DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION")
_NAME = re.compile(r"[A-Za-z_][\w.$]{0,200}+")
_CALL = re.compile(r"[\w./~%@-]{1,300}\.[\w.*()\[\]{}·/-]{1,200}\(.{0,400}\)$")
_EXCEPTIONS = (
    "Error", "Exception", "Interrupt", "Exit", "Iteration", "Timeout", "Group", "Throwable",
    "Warning",
)  # fmt: skip


def shape_of(message: str) -> Shape:
    """Return what a line looks like."""
    text = message[:LOOKED_AT].strip()
    if not text:
        return Shape.BLANK
    first = text[0]
    if first.isdigit():
        colon = text.find(":  ", 0, PREFIX)
        if colon > 0 and text[:colon].endswith(_POSTGRES):
            return Shape.DETAIL
        return Shape.FRAME if text[1:4].find(":") >= 0 and _RUST.match(text) else Shape.OTHER
    shapes = _BY_FIRST.get(first)
    if shapes is not None and (found := shapes.match(text)) is not None:
        return _SHAPES[found.lastgroup or ""]
    blank = text.find(" ")
    if blank < 0 or text[blank - 1] == ":":
        word = (text if blank < 0 else text[:blank]).removesuffix(":")
        if _NAME.fullmatch(word):
            if word.endswith(_EXCEPTIONS):
                return Shape.EXCEPTION
            # `INFO: text` has the shape of a name, and other threads log between a trace's lines.
            return Shape.OTHER if word in LEVEL_WORDS else Shape.NAME
    return Shape.CALL if text[-1] == ")" and _CALL.match(text) else Shape.OTHER


def head_of(message: str) -> Head:
    """Return what the first line of a group is."""
    text = message[:LOOKED_AT].rstrip()
    if text.startswith("Traceback (most recent call last):"):
        return Head.TRACEBACK
    if text.startswith(("panic: ", "fatal error: ")) or " http: panic serving " in text:
        return Head.PANIC
    if text.startswith("thread '") and " panicked at " in text:
        return Head.RUST_PANIC if text.endswith(":") else Head.EXCEPTION
    name = _EXCEPTION.match(text)
    is_exception = name is not None and name[1].endswith(("Error", "Exception"))
    return Head.EXCEPTION if is_exception or _CRASH.match(text) else Head.LOGGED


_EXCEPTION = re.compile(
    r"([A-Za-z_][\w.$]{0,200}+(?:::[\w$]{1,80}+){0,9}+)(?: \[\w{1,60}\])?(?:: |:?$)"
)
_CRASH = re.compile(r"Unhandled|Uncaught|\*\* \(|PHP |[^\s:]{1,300}:\d{1,7}:in ")
