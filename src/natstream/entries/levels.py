"""The level that an app gave to its own line, found in the line's text. Pure.

Fly's platform gives the level `info` to nearly every line of an app. So the level is taken from the
message, if the message says one: a JSON object by its keys (`level_keys`), logfmt by its pairs, a
text by a level word where logging libraries put it (`level_prefix`, `level_words`), and by the
first line of a crash (`level_crashes`). A level word in the middle of a sentence says nothing, and
in doubt nothing is derived.

The time is linear in a JSON message. Of a text only the first characters are looked at. Most lines
are told by their first character or word, because every line of the service comes here.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

from natstream.entries.level_crashes import (
    CRASH_WORDS,
    level_of_letter,
    level_of_marked,
    level_of_runtime,
)
from natstream.entries.level_keys import level_in_json
from natstream.entries.level_names import LEVEL_WORDS, name_of
from natstream.entries.level_prefix import skip_prefix
from natstream.entries.level_words import SHORT, TOKEN, is_placed, level_at_start, level_of_word

__all__ = ["level_of"]

# Logging libraries put the level behind a time, a process, a thread, a module and a request id.
LOOKED_AT = 512
# `Re: [error]` is the subject of a mail.
SHORTEST_PROGRAM = 4
# More pairs of one key stand in no line of a logging library.
MAX_PAIRS = 4

_CALENDAR = frozenset(
    {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon",
        "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
    }
)  # fmt: skip
# A line whose first word is another one says no level, unless pairs or a bar follow.
_FIRST_WORDS = frozenset(LEVEL_WORDS) | CRASH_WORDS | _CALENDAR
_STARTS = frozenset("0123456789[](<{-*|>/ _$")
_LETTERS = frozenset(string.ascii_letters)
_RUNTIMES = frozenset("#=")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


def level_of(message: str, *, may_have_name: bool = True) -> str:
    """Return the level that a message says, or "" if it says none.

    Args:
        message: a line as the app wrote it, perhaps with colours.
        may_have_name: whether a name and a bar may stand before the line. Only one name may, so
            that a row of names costs no more.
    """
    first = message[:1]
    if first in _LETTERS:
        # Most lines are sentences, whose first word came before.
        blank = message.find(" ", 0, SHORT)
        if (
            blank > 0
            and _is_plain_word(message[:blank])
            and "=" not in message
            and "|" not in message
            and "\x1b" not in message
        ):
            return ""
    elif first == "{":
        return level_in_json(message)
    elif first == "\t":
        return ""  # It is a line of a stack trace.
    text = message if len(message) <= LOOKED_AT else message[:LOOKED_AT]
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
        first = text[:1]
    if first in _LETTERS:
        blank = text.find(" ", 0, SHORT)
        word = text[:blank] if blank > 0 else text
        level = _level_of_words(text, word)
        return level or (_level_behind_name(message, text) if may_have_name else "")
    if first in _STARTS and not text.startswith("  "):
        if "=" in text and (level := _level_in_pairs(text)):
            return level
        level = _level_behind_prefix(text)
        return level or (_level_behind_name(message, text) if may_have_name else "")
    return _level_of_indented(message, text) if first.isascii() else _level_behind_symbol(text)


def _is_plain(word: str) -> bool:
    """Return whether a line whose first word this is says no level, unless in pairs."""
    return word.isalpha() and word not in _FIRST_WORDS and word[-5:] != "Error"


_is_plain_word = lru_cache(maxsize=4_096)(_is_plain)


def _level_of_words(text: str, word: str) -> str:
    """Return the level of a line that begins with a letter, as most lines do."""
    is_plain = _is_plain(word)
    if not is_plain and "=" not in word and (level := level_at_start(text)):
        return level
    if "=" in text and (level := _level_in_pairs(text)):
        return level
    # The name of a file or a program, a pair, and a month or a day may stand before a level.
    if is_plain or not ("=" in word or ":" in word or word[:3] in _CALENDAR):
        return ""
    return _level_behind_prefix(text) or _level_of_program(text, word)


def _level_of_indented(message: str, text: str) -> str:
    """Return the level of a line that begins with blanks, or with a character unlike a level's.

    An indented line belongs to the line before it, unless it begins with a date.
    """
    if text.startswith("  "):
        text = text.lstrip(" ")
        if text.startswith("+ Exception Group Traceback ("):
            return "error"
        return _level_behind_prefix(text) if text[:4].isdigit() and _USUAL.match(text) else ""
    if text[:1] in _RUNTIMES:
        return level_of_runtime(text)
    return level_in_json(message) if message.startswith('"{') else ""


def _level_behind_symbol(text: str) -> str:
    """Return the level that a mark says, or a word behind an emoji or another symbol."""
    if level := level_of_marked(text) or "":
        return level
    if text[0] == "»":
        return _level_behind_prefix(text)
    # Boxes draw tables, in which a word is a cell.
    if unicodedata.category(text[0]) != "So" or "\u2500" <= text[0] <= "\u257f":
        return ""
    rest = text[1:SHORT].lstrip("\ufe0f ")
    if rest[:1] == "[":
        return _level_behind_prefix(rest)
    return level_at_start(text[1:].lstrip("\ufe0f ")) if rest[:1].isalpha() else ""


# --- behind a prefix, and in pairs --------------------------------------------------------------

_KEYS = ("level=", "lvl=", "severity=")
# slog writes its custom levels as `ERROR+4`.
_PAIR_VALUE = re.compile(r"""(["']?)([A-Za-z]{3,13})(?:[+-]\d{1,3})?+\1(?=[\s,;\])}]|$)""")
# The usual order: a time, a thread or a process or a logger, and the level, perhaps in brackets.
# Most lines that begin with a time are of this form, and `skip_prefix` takes three times as long.
_USUAL = re.compile(
    r"""(\[?(?:\d{4}[-/]\d\d[-/]\d\d[T\ ])?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?+
        (?:Z|\ ?[+-]\d\d:?\d\d|\ (?:UTC|GMT|[A-Z]{1,3}[SD]T|[CEW]ES?T)(?=[\ \]]))?+
        (\]?):?)[\ \t]{1,2}
        (?:\[([\w\ -]{1,40})\]\ |\d{1,8}\ )?+(?:[-|]\ (?:(?![A-Z]{3,9}\ )[\w.]{1,60}+\ -\ )?+)?+
        (?:\w{1,40}\.(?=[A-Z]{3,9}:))?+\[?([A-Z]{3,9}(?=[\ :\t\]/]))?+""",
    re.VERBOSE,
)
# These words stand where a level may, but a level never follows them.
_NO_LEVELS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
# `nginx: [emerg] message`, and `main.py: error: message`.
_BEHIND_PROGRAM = re.compile(
    r" (?:\[([A-Za-z]{3,9})\] |(error|warning|warn|info|debug|fatal)(?=: ))"
)
_NAME = re.compile(r"[\w.-]{1,60}+ {0,20}\| {0,4}")


def _level_behind_prefix(text: str) -> str:
    stamp = 0
    if (usual := _USUAL.match(text)) is not None:
        before, closing, in_bracket, word = usual.groups()
        if in_bracket is not None and (level := LEVEL_WORDS.get(in_bracket)) is not None:
            return level
        if word is not None:
            if (level := LEVEL_WORDS.get(word)) is not None:
                return level if is_placed(text, word, usual.end(4), behind_prefix=True) else ""
            if word in _NO_LEVELS or (text[usual.end(4)] == ":" and word not in CRASH_WORDS):
                return ""
        if closing or text[0] != "[":
            stamp = len(before)
    elif (level := level_of_marked(text)) is not None:
        return level
    level, start = skip_prefix(text, stamp)
    if level or start < 0:
        return level
    found = TOKEN.match(text, start)
    if found is None:
        return ""
    token, end = found[0], found.end()
    if end == start + 1 and text[end : end + 1] in ("!", " "):
        return level_of_letter(text, start)
    return level_of_word(text, token, end, behind_prefix=True)


def _level_in_pairs(text: str) -> str:
    """Return the level of a logfmt pair outside quotes, beside another pair or at the start."""
    # Heroku's router begins its lines with `at=`.
    if text.startswith("at=") and (value := _PAIR_VALUE.match(text, 3)) is not None:
        return name_of(value[2])
    for key in _KEYS:
        at = -1
        for _ in range(MAX_PAIRS):
            at = text.find(key, at + 1)
            if at < 0:
                break
            value = _PAIR_VALUE.match(text, at + len(key))
            if value is not None and _is_pair(text, at, value.end()):
                return name_of(value[2])
    return ""


def _is_pair(text: str, start: int, end: int) -> bool:
    before = text[:start].removesuffix("log.")
    if before[-1:] not in ("", " ", "\t", ",", "[", "(", "{"):
        return False
    if before.replace('\\"', "").count('"') % 2:
        return False  # It stands in a quoted text.
    last = before.rstrip(" ,")
    return (
        not last
        or "=" in last[last.rfind(" ") + 1 :]
        or last.endswith('"')
        or "=" in text[end : end + SHORT].lstrip(" ,").partition(" ")[0]
        or skip_prefix(before)[1] == len(before)
    )


def _level_of_program(text: str, word: str) -> str:
    """Return the level behind the name of a program that the line begins with."""
    found = (
        _BEHIND_PROGRAM.match(text, len(word))
        if word[-1] == ":" and word.islower() and len(word) > SHORTEST_PROGRAM
        else None
    )
    if found is None:
        return ""
    if found[1] is not None:
        return LEVEL_WORDS.get(found[1], "")
    # A word without a dot or a hyphen may begin a sentence.
    is_program = "-" in word or "." in word
    is_level = is_program and is_placed(text, found[2], found.end(), behind_prefix=True)
    return LEVEL_WORDS[found[2]] if is_level else ""


def _level_behind_name(message: str, text: str) -> str:
    """Return the level behind a name and a bar, as docker compose puts before each line."""
    if "|" not in text:
        return ""
    name = _NAME.match(text)
    if name is None or "|" in text[name.end() : name.end() + SHORT]:
        return ""
    return level_of(message[message.find("|") + 1 :].lstrip(" "), may_have_name=False)
