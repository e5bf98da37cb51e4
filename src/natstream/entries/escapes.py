"""Entries → lines that are safe to print on a terminal. Pure.

In: an entry, or any text. Out: text without escape sequences, except colours where they are wanted.
No text raises an exception, and the time is linear in the text's length.

A log line may hold escape sequences. They could move the cursor over other lines, set the
clipboard, or make the terminal type. `sanitize` removes every sequence except colours, and shows
stray control characters as their pictures (`␇`, `␛`). It also removes characters that a terminal
does not show (zero-width characters, tags, soft hyphens), because they hide text from people that
programs read, and characters that change the order of the text.

The grammar is ECMA-48's (5th edition, 5.4 and 5.6), as xterm reads it.
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from natstream.entries.colours import SafeColours
from natstream.entries.entry import LogEntry
from natstream.entries.readable import read_message

__all__ = ["indented", "json_line", "line_time", "one_line", "sanitize", "text_line"]

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

# Characters without a shape: they reorder or hide text, or are read as something else than shown.
# One joiner (U+200C, U+200D) between characters beyond ASCII stays, as part of letters and emoji.
UNSEEN = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
JOINERS = r"\u200c\u200d"
# The characters that must not reach a terminal unchanged. Most lines are ASCII and printable, so
# they cost only two calls. Most other lines hold a tab or a letter, and none of these characters.
SUSPECT = rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{UNSEEN}{JOINERS}\u2028\u2029\ud800-\udfff]"
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
      )
    | (?P<control> [\x00-\x1f\x7f\u2028\u2029] )
    | (?P<surrogate> [\ud800-\udfff] )                 # no encoding has a form for it
    | (?P<unseen>"""
    rf"(?!(?<=[^\x00-\x9f])[{JOINERS}](?=[^\x00-\x9f{UNSEEN}{JOINERS}]))[{UNSEEN}{JOINERS}]+))",
    re.VERBOSE,
)
_pictures = {chr(code): chr(0x2400 + code) for code in range(32)} | {
    "\x7f": "\u2421",
    "\u2028": "\u2424",
    "\u2029": "\u2424",
}
_is_reset = re.compile(r"\x1b\[0*m").fullmatch


def sanitize(text: str, *, keep_colours: bool) -> str:
    """Return `text` without anything that could control a terminal. Line feeds and tabs stay.

    With `keep_colours`, SGR sequences (colour, bold, …) stay too, as far as they hide no text (see
    `colours`), and a reset is appended to a text that leaves one on. Sanitizing a result again
    changes nothing.
    """
    if (text.isascii() and text.isprintable()) or not _suspect(text):
        return text
    last = ""
    colours = SafeColours()

    def replace(match: re.Match[str]) -> str:
        nonlocal last
        token = match[0]
        match match.lastgroup:
            case "colour":
                kept = colours.keep(token) if keep_colours else ""
                last = kept or last
                return kept
            case "control":
                return _pictures[token]
            case "surrogate":
                return "\ufffd"
            case _:
                return ""

    safe = _tokens.sub(replace, text)
    return safe + RESET if last and not _is_reset(last) else safe


def text_line(
    entry: LogEntry, *, paint: bool = False, keep_colours: bool = True, for_people: bool = False
) -> str:
    """Return a readable line, as `fly logs` prints it. Lines after an inner break are indented.

    Args:
        entry: the line.
        paint: add colours to the origin and level.
        keep_colours: keep the colours in the message.
        for_people: show the text of a JSON message first, and then its other fields.
    """
    origin = _origin(entry.app_name or entry.provider, entry.machine_id, entry.region, paint)
    level = _level(entry.level, paint)
    if for_people:
        message = _readable(entry.message, paint, keep_colours)
    else:
        message = indented(sanitize(entry.message, keep_colours=keep_colours))
    return f"{line_time(entry.unix_ns, paint)} {origin}{level} {message}"


def _readable(message: str, paint: bool, keep_colours: bool) -> str:
    plain = sanitize(message, keep_colours=False) if "\x1b" in message else message
    text, fields = read_message(plain)
    # A message without an object keeps its colours.
    text = indented(sanitize(message if text == plain else text, keep_colours=keep_colours))
    if not fields:
        return text
    quiet = one_line(" ".join(f"{name}={value}" for name, value in fields))
    return f"{text} {FAINT}{quiet}{RESET}".lstrip() if paint else f"{text} {quiet}".lstrip()


def indented(text: str) -> str:
    """Return a text whose lines after the first are indented, without line feeds at its end."""
    return text.rstrip("\n").replace("\n", "\n    ") if "\n" in text else text


def line_time(unix_ns: int, paint: bool = False) -> str:
    """Return the time of a line, to the second."""
    return _moment(unix_ns // 1_000_000_000, paint)


def json_line(entry: LogEntry) -> str:
    """Return the entry's original object as one line of JSON, with unsafe characters escaped."""
    try:
        text = msgspec.json.encode(entry.raw).decode()
    except (UnicodeEncodeError, OverflowError):
        text = json.dumps(entry.raw, separators=(",", ":"))  # It has a form for half a character.
    return _suspect_sub(_escape, text)


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
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
