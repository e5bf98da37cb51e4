"""The shapes of the lines of stack traces, in the languages that apps are written in. Pure.

In: a line. Out: its `Shape`, or for the first line of a group its `Head`. Only the first characters
of a line are looked at, with expressions that take a time linear in them.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from natstream.entries.level_names import LEVEL_WORDS

__all__ = ["Head", "Shape", "head_of", "is_indented", "shape_of"]

LOOKED_AT = 512


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


_SHAPES = re.compile(
    r"""
    (?P<FRAME>
        at\ (?:async\ |new\ )?(?:[^\s.(/<:]*+[.(/<:]|[^\s.(/<:]++\ [(\[])  # Java, JavaScript, .NET
      | (?:Caused\ by|Suppressed|Wrapped\ by):\ | \.\.\.\ \d{1,9}\ (?:more|common\ frames)
      | --->\ \S | ---\ End\ of\b
      | File\ "[^"\n]{1,300}",\ line\ \d | [~^]{2}[~^\ ]*+$ | \^$      # Python
      | created\ by\ \S | \[signal\ SIG | /\S{1,300}\.go:\d{1,7}\ \+0x  # Go
      | note:\ (?:run\ with\ |Some\ details\ ) | stack\ backtrace:$
      | \d{1,3}:\ +(?:0x[0-9a-f]+\ -\ )?<?[\w$]++::                    # Rust
      | from\ \S{1,300}:\d{1,7}:in\ | /?[\w@./-]{1,300}\.rb:\d{1,7}:in\ [`']   # Ruby
      | (?:\([\w.]{1,80}\ \d[\w.+-]{0,40}\)\ )?[\w./-]{1,300}\.(?:exs?|erl):\d{1,7}:\   # Elixir
      | \#\d{1,5}\ (?:\S{1,300}\(\d{1,7}\):\ |\{main\}|\[internal\ function\])        # PHP
      | Stack\ trace:$
    )
  | (?P<CHAIN> The\ above\ exception\ was\ the\ direct\ cause\ of\ |
        During\ handling\ of\ the\ above\ exception,)
  | (?P<TRACEBACK> Traceback\ \(most\ recent\ call\ last\): )
  | (?P<GOROUTINE> goroutine\ \d{1,12}\ )
  | (?P<EXCEPTION> [A-Za-z_][\w.$]{0,200}?
        (?:Error|Exception|Interrupt|Exit|Iteration|Timeout|Group|Throwable|Warning)(?::\ |:?$) )
  | (?P<NAME> [A-Za-z_][\w.]{0,200}+(?::\ |$) )
  | (?P<CALL> [\w./~%@-]{1,300}\.[\w.*()\[\]{}·/-]{1,200}\(.{0,400}\)$ )
  | (?P<END> [}\])]{1,4}[,;]?$ | Node\.js\ v\d | exit\ status\ \d )
  | (?P<DETAIL> \*\*\ \( | \(?(?:Last\ message|State|Function|Args|Initial\ Call|Ancestors|
        Message\ Queue)\b[^:\n]{0,80}: | thrown\ in\ /? | right:\  )
    """,
    re.VERBOSE,
)
# An explanation of PostgreSQL, which has the same prefix as the error before it.
_POSTGRES = re.compile(r"\d{4}-[^\n]{1,120}?(?:DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):  ")
_ELIXIR_DETAILS = ("Last message", "State", "Function", "Args", "Initial Call", "Ancestors")
_EXCEPTION_HEAD = re.compile(
    r"[A-Za-z_][\w.$:]{0,200}?(?:Error|Exception)(?:: |:?$)|Unhandled|Uncaught|\*\* \("
    r"|PHP |[^\s:]{1,300}:\d{1,7}:in "
)


def is_indented(message: str) -> bool:
    """Return whether a line begins with a tab or two blanks, and holds more than blanks."""
    return message.startswith(("\t", "  ")) and not message[:LOOKED_AT].isspace()


def shape_of(message: str) -> Shape:
    """Return what a line looks like."""
    text = message[:LOOKED_AT].strip()
    if not text:
        return Shape.BLANK
    if (found := _SHAPES.match(text)) is not None:
        shape = Shape[found.lastgroup or ""]
        # `INFO: text` has the shape of a name, and other threads log between the lines of a trace.
        is_level = shape is Shape.NAME and text.partition(":")[0] in LEVEL_WORDS
        if shape is Shape.NAME and text.startswith(_ELIXIR_DETAILS):
            return Shape.DETAIL
        return Shape.OTHER if is_level else shape
    return Shape.DETAIL if text[0].isdigit() and _POSTGRES.match(text) else Shape.OTHER


def head_of(message: str) -> Head:
    """Return what the first line of a group is."""
    text = message[:LOOKED_AT].rstrip()
    if text.startswith("Traceback (most recent call last):"):
        return Head.TRACEBACK
    if text.startswith(("panic: ", "fatal error: ")) or " http: panic serving " in text:
        return Head.PANIC
    if text.startswith("thread '") and " panicked at " in text:
        return Head.RUST_PANIC if text.endswith(":") else Head.EXCEPTION
    return Head.EXCEPTION if _EXCEPTION_HEAD.match(text) else Head.LOGGED
