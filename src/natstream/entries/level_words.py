"""A level word in a line of text, and whether it stands as logging libraries put it. Pure.

In: a line, and where a word stands in it. Out: the level, or "". A word is judged by what follows
it, because the beginning of a sentence and a label with its value look much like a level.
"""

from __future__ import annotations

import re

from natstream.entries.level_crashes import CRASH_WORDS, level_of_crash, level_of_letter
from natstream.entries.level_names import LEVEL_WORDS

__all__ = ["SHORT", "TOKEN", "is_placed", "level_at_start", "level_of_word"]

# What follows a level word, or stands before it as `api-1  | ` of docker compose, is short.
SHORT = 64
# The value of a label is short.
LONGEST_VALUE = 24

TOKEN = re.compile(r"[A-Za-z_$][\w$]{0,80}+(?:(?:\.|::|-)[\w$]{1,80}+){0,20}+")
# Behind a time or a bracket, each level word counts. At the start of a line, the other words may
# begin a sentence or a name, so that a colon has to follow them.
_PLAIN_WORDS = frozenset(
    {
        "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "SEVERE", "ERR",
        "WRN", "INF", "DBG", "TRC", "FTL", "ERRO", "DEBU", "FATA", "CRIT", "TRAC",
        "PANI",
    }
)  # fmt: skip
_BEFORE_SIGN = frozenset({" ", "\t", "|"})
_SIGNS = frozenset({"\t", "-", "|", "="})
_BEHIND_LEVEL = frozenset({"", " ", "[", "]", "(", ",", ">", ")"})
# In other cases than upper case these are words of their own, also before a colon.
_UPPER_ONLY = frozenset(
    {"log", "note", "config", "fine", "finer", "finest", "system", "alert", "success", "inf"}
)
# `Warning: none` and `error: 0` are labels with their values.
_VALUE = re.compile(
    r"[\"'(<\[]?(?:none|nil|null|undefined|n/?a|false|true|no|yes|ok|on|off|empty|-|\[\]|\{\}|\"\"|"
    r"[-+]?\d[\d.,]{0,20}\s?(?:%|ms|s|kb|mb)?|[0-9a-f-]{6,})?[\"')>\]]?[.,;]?",
    re.IGNORECASE,
)
_ZERO = re.compile(r"0(?:[ ,;]|$)")
# Prisma's `prisma:error message`, and log4j's `log4j:WARN message` about itself.
_NAMED = re.compile(r":(error|warn|info|ERROR|WARN|INFO)(?= )")
# Node.js' `TypeError [ERR_INVALID_ARG_TYPE]: message`.
_NODE_CODE = re.compile(r" \[[A-Z][A-Z0-9_]{2,60}\]:(?: |$)")


def level_at_start(text: str) -> str:
    found = TOKEN.match(text)
    if found is None:
        return ""
    if text[1:2] in ",0123456789" and (level := level_of_letter(text)):
        return level
    return level_of_word(text, found[0], found.end(), behind_prefix=False)


def level_of_word(text: str, token: str, end: int, *, behind_prefix: bool) -> str:
    """Return the level that a word says where logging libraries put the level.

    Args:
        text: the line.
        token: the word, or several joined by dots or colons.
        end: where the word ends.
        behind_prefix: whether a time, a bracket or the like stands before the word.
    """
    if token in CRASH_WORDS and (level := level_of_crash(text, end - len(token))):
        return level
    if token.endswith("Error") and _NODE_CODE.match(text, end):
        return "error"
    if (level := LEVEL_WORDS.get(token, "")) != "":
        return level if is_placed(text, token, end, behind_prefix) else ""
    following = text[end : end + 1]
    is_exception = token.endswith(("Error", "Exception"))
    if following == ":" and text[end + 1 : end + 2] in ("", " "):
        if is_exception:
            return "error" if _is_class(token) else ""
        if token.endswith("Warning"):
            return "warn" if _is_class(token) else ""
        _, dot, last = token.rpartition(".")
        # Monolog's `channel.LEVEL:`
        return LEVEL_WORDS.get(last, "") if dot and last.isupper() and behind_prefix else ""
    if is_exception and "::" in token and text.startswith(" (", end):  # Ruby's and Rails'
        return "error" if text.rstrip().endswith((")", "):")) else ""
    if "::" in token and text.startswith(" (", end) and text.endswith("):"):
        return "error"  # Rails' exceptions that have another name
    if following == ":" and not behind_prefix and (named := _NAMED.match(text, end)):
        return LEVEL_WORDS[named[1]]
    return ""


def _is_class(token: str) -> bool:
    return re.split(r"\.|::|\$", token)[-1][:1].isupper()


def is_placed(text: str, word: str, end: int, behind_prefix: bool) -> bool:
    """Return whether a level word is followed as a level is, and not as a word of a sentence."""
    following = text[end : end + 1]
    is_upper = word.isupper()
    if not is_upper and word.lower() in _UPPER_ONLY:
        return False
    if following == ":":
        rest = text[end + 1 : end + SHORT]
        if not rest or rest[0].isspace():
            value = rest.strip()
            return not _is_value(value) if value else is_upper
        return is_upper and rest[0] not in "/:" and not rest[0].isdigit()
    if following in _BEFORE_SIGN:
        rest = text[end : end + SHORT].lstrip(" ")
        if rest[:1] in _SIGNS:
            if rest.startswith(("\t", "- ", "-- ")):
                return not _is_value(rest.strip(" \t-"))
            if rest.startswith("| "):
                return not _is_value(rest[2:].strip())
            if rest.startswith(("= ", "=> ")):
                return False  # It is the name of a variable.
    if not is_upper:
        # rustc's `error[E0382]:`
        return following == "[" and text[end + 1 : end + 2] == "E" and "]:" in text[end:SHORT]
    if not (behind_prefix or word in _PLAIN_WORDS):
        return False
    if text.startswith("TRACE /", end - len(word)):
        return False  # This is a method of HTTP.
    # Celery's `[… ERROR/MainProcess]`; `INFO/WARN/ERROR counts` is a title.
    return following in _BEHIND_LEVEL or (following == "/" and behind_prefix)


def _is_value(text: str) -> bool:
    """Return whether a word before this text is a label, and the text its value."""
    if len(text) <= LONGEST_VALUE and _VALUE.fullmatch(text) is not None:
        return True
    return text[:1] == "0" and _ZERO.match(text) is not None
