"""Entries → lines that are safe to print on a terminal. Pure.

In: an entry, or any text. Out: text without escape sequences, except colours where they are wanted.
No text raises an exception, and the time is linear in the text's length.

A log line may hold escape sequences. They could move the cursor over other lines, set the
clipboard, or make the terminal type. `sanitize` removes every sequence except colours, and shows
stray control characters as their pictures (`␇`, `␛`).

The grammar is ECMA-48's (5th edition, 5.4 and 5.6), as xterm reads it.
"""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from natstream.entries.entry import LogEntry

__all__ = ["json_line", "one_line", "sanitize", "text_line"]

RESET = "\x1b[0m"
FAINT = "\x1b[2m"
# The basic colours follow the reader's own theme. Levels have the colours of `fly logs`. Apps get
# the other colours, so that no app looks like a warning.
LEVEL_COLOURS = {
    "trace": "\x1b[36m",
    "debug": "\x1b[36m",
    "info": "\x1b[34m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "fatal": "\x1b[1;31m",
}
APP_COLOURS = [f"\x1b[{code}m" for code in (32, 35, 36, 94, 92, 95, 96, 34)]

# The characters that must not reach a terminal unchanged. Most lines are printable, so they cost
# only a call of `str.isprintable`. Most other lines hold a tab or an unusual space, and none of
# these characters.
SUSPECT = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_suspect = re.compile(SUSPECT).search
_suspect_sub = re.compile(SUSPECT).sub

# No sequence extends past the start of the next one. That keeps the time linear, and a string
# without an end loses only its own start. The look-ahead makes the search six times as fast.
_tokens = re.compile(
    rf"(?={SUSPECT})(?:"
    r"""
      (?P<colour> \x1b \[ [0-9;:]*+ m )                # SGR; not xterm's private CSI > … m
    | (?P<removed>
        (?: \x1b [\]PX^_k] | [\x90\x98\x9d-\x9f] )     # OSC, DCS, SOS, PM, APC, screen's title:
          (?: [^\x00-\x1f\x80-\x9f]*+                  #   up to BEL or ST, if there is one
              (?: \x07 | \x1b \\ | \x9c ) )?
      | (?: \x1b \[ | \x9b ) [0-?]*+ [ -/]*+ [@-~]?    # CSI
      | \x1b [ -/]++ [0-~]?                            # character sets and the like
      | \x1b [0-~]                                     # two characters
      | \r (?= \n | \Z )                               # a line's end from Windows or a tty
      | [\x80-\x9f]                                    # other 8-bit controls
      | [\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069] # bidi: they reorder what is shown
      )
    | (?P<control> [\x00-\x1f\x7f] )
    | (?P<surrogate> [\ud800-\udfff] )                 # no encoding has a form for it
    )""",
    re.VERBOSE,
)
_pictures = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421"}
_is_reset = re.compile(r"\x1b\[0*m").fullmatch


def sanitize(text: str, *, keep_colours: bool) -> str:
    """Return `text` without anything that could control a terminal. Line feeds and tabs stay.

    With `keep_colours`, SGR sequences (colour, bold, …) stay too, and a reset is appended to a
    text that leaves one on. Sanitizing a result again changes nothing.
    """
    if text.isprintable() or not _suspect(text):
        return text
    last = ""

    def replace(match: re.Match[str]) -> str:
        nonlocal last
        token = match[0]
        match match.lastgroup:
            case "colour":
                if keep_colours:
                    last = token
                    return token
                return ""
            case "control":
                return _pictures[token]
            case "surrogate":
                return "\ufffd"
            case _:
                return ""

    safe = _tokens.sub(replace, text)
    return safe + RESET if last and not _is_reset(last) else safe


def text_line(entry: LogEntry, *, paint: bool = False, keep_colours: bool = True) -> str:
    """Return a readable line, as `fly logs` prints it. Lines after an inner break are indented.

    `paint` adds colours to the origin and level, and `keep_colours` keeps those in the message.
    """
    origin = _origin(entry.app_name or entry.provider, entry.machine_id, entry.region, paint)
    level = _level(entry.level, paint)
    message = sanitize(entry.message, keep_colours=keep_colours)
    if "\n" in message:
        message = message.rstrip("\n").replace("\n", "\n    ")
    return f"{_moment(entry.unix_ns // 1_000_000_000, paint)} {origin}{level} {message}"


def json_line(entry: LogEntry) -> str:
    """Return the entry's original object as one line of JSON, with unsafe characters escaped."""
    text = msgspec.json.encode(entry.raw).decode()
    return text if text.isprintable() else _suspect_sub(_escape, text)


# Lines of the same second follow each other, and strftime costs more than all other steps.
@lru_cache(maxsize=1_000)
def _moment(seconds: int, paint: bool) -> str:
    try:
        text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        text = "1970-01-01T00:00:00Z"
    return f"{FAINT}{text}{RESET}" if paint else text


def _origin(app: str, machine: str, region: str, paint: bool) -> str:
    origin = one_line(f"{app}[{machine}]")
    if paint:
        number = zlib.crc32(app.encode("utf-8", "replace"))  # an app always has the same colour
        origin = f"{APP_COLOURS[number % len(APP_COLOURS)]}{origin}{RESET}"
    return f"{origin} {one_line(region)}".rstrip()


def _level(level: str, paint: bool) -> str:
    text = one_line(level)
    if paint and level in LEVEL_COLOURS:
        text = f"{LEVEL_COLOURS[level]}{text}{RESET}"
    return f" [{text}]" if level else ""


def one_line(text: str) -> str:
    """Return `text` made safe, without colours and line breaks."""
    return sanitize(text, keep_colours=False).replace("\n", " ")


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
