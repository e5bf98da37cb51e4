"""Entries → lines that a terminal may be given: they can be seen, and cannot act.

Whoever can write a log line can write escape sequences: they move the cursor over other
lines, set the clipboard, or make the terminal type. `sanitize` lets colours through if asked,
removes every other sequence, and shows stray control characters as their pictures (`␇`, `␛`).
Pure, never raises, takes time linear in the text.

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
# The basic colours follow the reader's own theme. Levels as `fly logs` has them; apps get what
# is left, so that no app looks like a warning.
LEVEL_COLOURS = {
    "debug": "\x1b[36m",
    "info": "\x1b[34m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "fatal": "\x1b[1;31m",
}
APP_COLOURS = [f"\x1b[{code}m" for code in (32, 35, 36, 94, 92, 95, 96, 34)]

# What must not reach a terminal as it is. Most lines are printable, and `str.isprintable` is all
# that they cost; of the others, most hold a tab or an unusual space, and none of these.
SUSPECT = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_suspect = re.compile(SUSPECT).search
_suspect_sub = re.compile(SUSPECT).sub

# No sequence runs past the next one's introducer: that keeps the whole linear, and lets a string
# without an end swallow nothing but its own start. The look-ahead only saves time (six times).
_tokens = re.compile(
    rf"(?={SUSPECT})(?:"
    r"""
      (?P<colour> \x1b \[ [0-9;:]*+ m )                # SGR; not xterm's private CSI > … m
    | (?P<gone>
        (?: \x1b [\]PX^_k] | [\x90\x98\x9d-\x9f] )     # OSC, DCS, SOS, PM, APC, screen's title:
          (?: [^\x00-\x1f\x80-\x9f]*+                  #   up to BEL or ST, where there is one
              (?: \x07 | \x1b \\ | \x9c ) )?
      | (?: \x1b \[ | \x9b ) [0-?]*+ [ -/]*+ [@-~]?    # CSI
      | \x1b [ -/]++ [0-~]?                            # character sets and the like
      | \x1b [0-~]                                     # two characters
      | \r (?= \n | \Z )                               # a line's end from Windows or a tty
      | [\x80-\x9f]                                    # other 8-bit controls
      | [\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069] # bidi: they reorder what is shown
      )
    | (?P<control> [\x00-\x1f\x7f] )
    | (?P<surrogate> [\ud800-\udfff] )                 # no encoding takes it
    )""",
    re.VERBOSE,
)
_pictures = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421"}
_is_reset = re.compile(r"\x1b\[0*m").fullmatch


def sanitize(text: str, *, keep_colours: bool) -> str:
    """`text` without anything that could drive a terminal. Line feeds and tabs stay.

    With `keep_colours`, SGR sequences (colour, bold, …) stay too, and a text that leaves one
    on is ended by a reset. Sanitizing twice changes nothing.
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
    """A readable line, as `fly logs` prints it; inner line breaks are indented.

    `paint` colours what stands before the message, `keep_colours` keeps the message's own.
    """
    origin = _origin(entry.app_name or entry.provider, entry.machine_id, entry.region, paint)
    level = _level(entry.level, paint)
    message = sanitize(entry.message, keep_colours=keep_colours)
    if "\n" in message:
        message = message.rstrip("\n").replace("\n", "\n    ")
    return f"{_moment(entry.unix_ns // 1_000_000_000, paint)} {origin}{level} {message}"


def json_line(entry: LogEntry) -> str:
    """What the entry was made from, as one line of JSON; what a terminal must not get, escaped."""
    text = msgspec.json.encode(entry.raw).decode()
    return text if text.isprintable() else _suspect_sub(_escape, text)


# Lines of the same second follow each other, and strftime would cost more than all the rest.
@lru_cache(maxsize=1_000)
def _moment(seconds: int, paint: bool) -> str:
    try:
        text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        text = "1970-01-01T00:00:00Z"
    return f"{FAINT}{text}{RESET}" if paint else text


def _origin(app: str, machine: str, region: str, paint: bool) -> str:
    place = one_line(f"{app}[{machine}]")
    if paint:
        number = zlib.crc32(app.encode("utf-8", "replace"))  # the same colour every time
        place = f"{APP_COLOURS[number % len(APP_COLOURS)]}{place}{RESET}"
    return f"{place} {one_line(region)}".rstrip()


def _level(level: str, paint: bool) -> str:
    text = one_line(level)
    if paint and level in LEVEL_COLOURS:
        text = f"{LEVEL_COLOURS[level]}{text}{RESET}"
    return f" [{text}]" if level else ""


def one_line(text: str) -> str:
    """`text` made safe, without colours and line breaks."""
    return sanitize(text, keep_colours=False).replace("\n", " ")


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
