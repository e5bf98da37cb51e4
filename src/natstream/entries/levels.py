"""The level that an app gave to its own line, found in the line's text. Pure.

Fly's platform gives the level `info` to nearly every line of an app. So the level is taken from the
message, if the message says one: a JSON object by its keys (`level_keys`), logfmt by its pairs, a
text by a level word where logging libraries put it, and by the first line of a crash. A level word
in the middle of a sentence says nothing, and neither does anything else that is in doubt.

The time is linear in the message for JSON. Of a text only the first characters are looked at, with
expressions that never go back over what they have read.
"""

from __future__ import annotations

import re

from natstream.entries.escapes import sanitize
from natstream.entries.level_keys import level_in_json
from natstream.entries.level_names import LEVEL_WORDS, SYSLOG, name_of

__all__ = ["level_of"]

# Logging libraries put the level behind a time, a process, a thread, a module and a request id.
LOOKED_AT = 512
# A prefix such as `api-1  | ` of docker compose is short.
SHORT = 64


def level_of(message: str) -> str:
    """Return the level that a message says, or "" if it says none.

    Args:
        message: a line as the app wrote it, perhaps with colours.
    """
    first = message[:1]
    if first == "{":
        return level_in_json(message)
    if first == '"':
        return level_in_json(message) if message.startswith('"{') else ""
    text = message[:LOOKED_AT]
    if "\x1b" in text:
        text = sanitize(text, keep_colours=False)
        first = text[:1]
    if text[:2] == "  " or first == "\t" or not first:
        return ""  # An indented line belongs to the line before it.
    if first.isalpha():
        level, goes_on = _at_the_start(text)
        if level or not goes_on:
            return level
    if "=" in text and (level := _in_pairs(text)):
        return level
    return _behind_prefix(text) or _behind_name(message, text)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- words --------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[A-Za-z_$][\w$]{0,80}+(?:(?:\.|::|-)[\w$]{1,80}+){0,20}+")
# Behind a time or a bracket, each level word counts. At the start of a line, these words are also
# the beginnings of sentences and names, so that a colon has to follow them.
_PLAIN_WORDS = _words(
    "TRACE DEBUG INFO WARN WARNING ERROR FATAL CRITICAL SEVERE ERR WRN INF DBG TRC FTL ERRO DEBU"
    " FATA CRIT NOTICE EMERG"
)
# In other cases than upper case these are words of their own, also before a colon.
_UPPER_ONLY = _words("log note config fine finer finest system status alert success inf")
# `Warning: none` and `error: 0` are labels with their values.
_VALUE = re.compile(
    r"[\"'(<\[]?(?:none|nil|null|undefined|n/?a|false|true|no|yes|ok|on|off|empty|-|\[\]|\{\}|\"\"|"
    r"[-+]?\d[\d.,]{0,20}\s?(?:%|ms|s|kb|mb)?)?[\"')>\]]?[.,;]?",
    re.IGNORECASE,
)
_ZERO = re.compile(r"0(?:[ ,;]|$)")


def _at_the_start(text: str) -> tuple[str, bool]:
    """Return the level that the first word says, and whether the word may be a prefix instead."""
    found = _TOKEN.match(text)
    if found is None:
        return "", True
    token, end = found[0], found.end()
    if text[1:2] in ",0123456789" and (letter := _LETTER.match(text)) is not None:
        return _LETTERS[letter[1]], False
    level = _word(text, token, end, behind_prefix=False)
    following = text[end : end + 1]
    goes_on = (
        following in ("=", "|", ",")
        or (following == ":" and text[end + 1 : end + 2].isdigit())
        or token in _CALENDAR
        or text.find("|", end, SHORT) > 0
        or following.isdigit()
        or "=" in text
    )
    return level, goes_on


def _word(text: str, token: str, end: int, *, behind_prefix: bool) -> str:
    """Return the level that a word says where logging libraries put the level.

    Args:
        text: the line.
        token: the word, or several joined by dots or colons.
        end: where the word ends.
        behind_prefix: whether a time, a bracket or the like stands before the word.
    """
    if token in _CRASH_WORDS and (crash := _CRASH.match(text, end - len(token))):
        return crash.lastgroup or ""
    level = LEVEL_WORDS.get(token)
    if level is not None:
        return level if _is_placed(text, token, end, behind_prefix) else ""
    following = text[end : end + 1]
    if following == ":" and text[end + 1 : end + 2] in ("", " "):
        if token.endswith(("Error", "Exception")):
            return "error" if _is_class(token) else ""
        if token.endswith("Warning"):
            return "warn" if _is_class(token) else ""
        _, dot, last = token.rpartition(".")
        if dot and last.isupper() and behind_prefix:  # Monolog's `channel.LEVEL:`
            return LEVEL_WORDS.get(last, "")
    elif token.endswith(("Error", "Exception")) and text.startswith(" (", end):
        return "error" if "::" in token and text.rstrip().endswith(("):", ")")) else ""
    elif following == ":" and (named := _NAMED.match(text, end)) and not behind_prefix:
        return LEVEL_WORDS[named[1]]
    if token in ("PHP", "npm") and (program := _PROGRAM.match(text, end - len(token))):
        return program.lastgroup or ""
    return ""


def _is_class(token: str) -> bool:
    return re.split(r"\.|::|\$", token)[-1][:1].isupper()


def _is_placed(text: str, token: str, end: int, behind_prefix: bool) -> bool:
    """Return whether a level word is followed as a level is, and not as a word of a sentence."""
    following = text[end : end + 1]
    is_upper = token.isupper()
    if not is_upper and token.lower() in _UPPER_ONLY:
        return False
    if following == ":":
        rest = text[end + 1 :]
        if not rest or rest[0] in " \t\r\n":
            value = rest.strip()
            return not ((_VALUE.fullmatch(value) if value else not is_upper) or _ZERO.match(value))
        return is_upper and rest[0] not in "/:" and not rest[0].isdigit()
    if following == "\t" or text.startswith(" - ", end):
        return True
    if text[end : end + 12].lstrip(" ").startswith("|"):
        return True
    if not is_upper:
        # rustc's `error[E0382]:`
        return following == "[" and text[end + 1 : end + 2] == "E" and "]:" in text[end:SHORT]
    if not (behind_prefix or token in _PLAIN_WORDS):
        return False
    if text.startswith("TRACE /", end - len(token)):
        return False  # This is a method of HTTP.
    return following in ("", " ", "[", "]", "/", "(", ",", ">", ")")


# --- the first line of a crash ------------------------------------------------------------------

_CRASH = re.compile(
    r"""(?P<error>
        Traceback\ \(most\ recent\ call\ last\):
      | Exception\ in\ thread\ \S
      | thread\ '[^'\n]{0,120}'\ (?:\(\d{1,10}\)\ )?panicked\ at\b
      | http:\ panic\ serving\ \S
      | (?:Unhandled|UNHANDLED)\ ?(?:promise\ |Promise\ )?(?:rejection|exception|error
            |Rejection|Exception|Error|REJECTION|EXCEPTION)(?![\w.])
      | UnhandledPromiseRejection(?:Warning)?\b
      | Uncaught\ (?:[\w.$:]{0,120}(?:Error|Exception)\b|exception\b)
      )
      | (?P<fatal> panic:\ \S | fatal\ error:\ \S | Fatal\ Python\ error: | FATAL\ ERROR:
      | Unhandled\ [Ee]xception\.\ )
    """,
    re.VERBOSE,
)
_CRASH_WORDS = _words(
    "Traceback Exception thread http Unhandled UNHANDLED UnhandledPromiseRejection"
    " UnhandledPromiseRejectionWarning UnhandledRejection UnhandledException Uncaught panic fatal"
    " Fatal"
)
# PHP's and npm's own lines. PHP's fatal error ends a request, not the server.
_PROGRAM = re.compile(
    r"""(?P<error> PHP\ (?:Fatal|Parse|Recoverable\ fatal)\ error: | npm\ (?:ERR!|error)\ )
      | (?P<warn> PHP\ Warning: | npm\ (?:WARN|warn)\ )
      | (?P<info> PHP\ (?:Notice|Deprecated): | npm\ (?:info|notice)\ )
    """,
    re.VERBOSE,
)
# Prisma's `prisma:error message`.
_NAMED = re.compile(r":(error|warn|info)(?= )")
_ELIXIR = re.compile(r"\*\* \([\w.]{0,120}Error\)")
# Marks of Next.js and of the package log-symbols.
_MARKS = {"✓": "info", "✔": "info", "ℹ": "info", "⚠": "warn", "⨯": "error", "✖": "error"}
# HAProxy logs an alert when a part of its configuration fails.
_HAPROXY_ALERT = re.compile(r"\[ALERT\] {1,8}(?:\(\d{1,9}\)|\d{1,3}/\d{6}) ")
_RUBY = re.compile(
    r"[^\s:]{1,200}:\d{1,7}:in [`'][^'`\n]{1,120}['`]: [^\n]*\([\w:]{0,80}(?:Error|Exception)\)$"
)

# --- behind a prefix ----------------------------------------------------------------------------

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CALENDAR = _words("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun")
_TIME = r"\d{1,2}:\d\d(?::\d\d)?+(?:[.,:]\d{1,9})?+(?:\ ?[AaPp][Mm]\b)?+"
_DATE = (
    rf"(?:\d{{4}}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/ ]{_MONTH}[-/ ]\d{{4}}|\d\d?[-/.]\d\d?[-/.]\d{{4}}"
    rf"|(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\ )?{_MONTH}\ {{1,2}}\d{{1,2}}(?:,?\ \d{{4}}\b)?+)"
)
_STAMP = (
    rf"(?:{_DATE}(?:[T ,:_]{{1,2}}{_TIME})?+|{_TIME}|\d{{10,13}}(?:\.\d{{1,9}})?+(?=[:\s]))"
    r"(?:\ ?(?:Z|[+-]\d\d:?\d\d|UTC|GMT|[A-Z]{1,3}[SD]T|[CEW]ES?T)(?![A-Za-z]))?+(?:\ \d{4}\b)?+"
)
_ANY_LEVEL = "|".join(sorted(set(map(str.lower, LEVEL_WORDS)), key=len, reverse=True))
_UPPER_LEVEL = _ANY_LEVEL.upper()
# A bracket that holds a level and nothing else, or a level in upper case first.
_LEVEL_BRACKET = re.compile(
    rf"""[\[<({{|]\ {{0,4}}(?:[\w.]{{0,40}}+:)?(?P<only>(?i:{_ANY_LEVEL}))\ {{0,8}}[\]>)}}|]
       | \[\ {{0,2}}(?P<first>{_UPPER_LEVEL})[ /|:]""",
    re.VERBOSE,
)
# A level word may not be taken for a bracket of another kind.
_BRACKETS = rf"""
    (?!\[\ {{0,4}}(?:[\w.]{{0,40}}+:)?(?:(?i:{_ANY_LEVEL})\ {{0,8}}\]|(?:{_UPPER_LEVEL})[ /|:]))
      \[[^\]\n]{{0,120}}\]:?+
  | (?!\((?i:{_ANY_LEVEL})\))\([^)\n]{{1,80}}\):?+(?=\s)
  | (?!\{{(?i:{_ANY_LEVEL})\}})\{{[^}}\n]{{0,80}}\}}(?=\s)
  | <[\d.]{{3,40}}>(?=\s)
"""
_PIECES = rf"""
    {_STAMP}[:,]?+(?=[\s\]\[|<]|$)
  | \[{_STAMP}[:,]?+\ {{1,4}}(?=(?:{_UPPER_LEVEL})[ \]/|])
  | {_BRACKETS}
  | \w[\w.-]{{0,60}}+=(?:"[^"\n]{{0,120}}"|'[^'\n]{{0,120}}'|[^\s"']{{0,120}}+)(?=\s)
  | [\w/][\w/-]{{0,120}}+(?:\.[\w/-]{{1,120}}+){{1,9}}+:\d{{1,7}}(?::\d{{1,5}})?+[:\]]?+(?=\s)
  | (?:-{{1,4}}+|\||>|»)(?=\s)
"""
# Behind the first piece, numbers (processes, threads) and names (loggers, hosts) may stand, too.
_PREFIX = re.compile(
    rf"""\ ?(?:{_PIECES})
    (?:\s{{0,8}}+
      (?: {_PIECES}
        | (?:\#?\d{{1,12}}|0x[0-9a-fA-F]{{1,16}})[:\#]?+(?=\s)
        | [\w.-]{{1,60}}+\ [\w./-]{{1,60}}+\[\d{{1,9}}\]:(?=\s)
        | (?!(?:{_UPPER_LEVEL})\b)[\w$]{{1,60}}+(?:\[\d{{1,9}}\])?+:?+(?=\ -\ |\ {{0,20}}\|)
        | [\w$]{{1,60}}+[.@/-][\w.@/$-]{{1,120}}+(?=\s)
      )
    ){{0,16}}+\s{{0,8}}+
    """,
    re.VERBOSE,
)
_SYSLOG = re.compile(r"<(\d{1,3})>")
_KERNEL = re.compile(r"\[ {0,8}\d{1,9}\.\d{6}\]")
_LETTERS = {
    "T": "trace", "D": "debug", "I": "info", "N": "info", "W": "warn", "E": "error", "C": "fatal",
    "F": "fatal",
}  # fmt: skip
# Ruby's `E, [2024…`, klog's `E0512 12:00:00`, Tornado's `[E 240512 12:00:00 web:1]`.
_LETTER = re.compile(
    r"([DIWEFC])(?:, \[\d{4}-|\d{4,8} \d\d:\d\d:)|\[([DIWEC]) (?:\d{6}|\d{4}-\d\d-\d\d) \d\d:\d\d:"
)
# Redis: `1:M 12 May 2024 09:30:01.123 # message`.
_REDIS = re.compile(r"\d{1,9}:[MSCX] \d\d \w{3} \d{4} [\d:.]{8,15} ([.*#-]) ")
_REDIS_LEVELS = {".": "debug", "-": "debug", "*": "info", "#": "warn"}
# Telegraf: `2024-05-12T09:30:01Z E! [outputs] message`.
_BANG = re.compile(r"([DIWE])! ")


def _behind_prefix(text: str) -> str:
    """Return the level that stands behind times, brackets, ids, pairs and dashes, or first."""
    first = text[0]
    if first == "[" and (letter := _LETTER.match(text)) is not None:
        return _LETTERS[letter[2]]
    if first == "<" and (priority := _SYSLOG.match(text)) is not None:
        return SYSLOG[int(priority[1]) % 8] if int(priority[1]) < 192 else ""
    if first == "[" and _KERNEL.match(text):
        return ""
    if first == "[" and _HAPROXY_ALERT.match(text):
        return "error"
    if (mark := text[first == " " :][:1]) in _MARKS and text[1 + (first == " ") :][:1] in (
        " ",
        "\ufe0f",
    ):
        return _MARKS[mark]
    if first == "*":
        return "error" if _ELIXIR.match(text) else ""
    if ":in " in text and _RUBY.match(text):
        return "error"
    if first.isdigit() and (redis := _REDIS.match(text)) is not None:
        return _REDIS_LEVELS[redis[1]]
    prefix = _PREFIX.match(text)
    start = (first == " ") if prefix is None else prefix.end()
    if (bracket := _LEVEL_BRACKET.match(text, start)) is not None:
        return name_of(bracket["only"] or bracket["first"])
    if prefix is None and first != " ":
        return ""
    found = _TOKEN.match(text, start)
    if found is not None:
        if (bang := _BANG.match(text, start)) is not None:
            return _LETTERS[bang[1]]
        return _word(text, found[0], found.end(), behind_prefix=True)
    return "error" if _ELIXIR.match(text, start) else ""


# --- logfmt, and behind a name ------------------------------------------------------------------

_PAIR = re.compile(
    # Heroku's router begins its lines with `at`.
    r"""(?:^at|(?<![\w.-])(?:log[._]?)?(?:level|lvl|severity))"""
    r"""=(["']?)([A-Za-z]{3,13})(?:[+-]\d{1,3})?+\1(?=[\s,;\])}]|$)"""  # slog has `ERROR+4`
)
_NAME = re.compile(r"[\w.-]{1,60}+ {0,20}\| {0,4}")


def _in_pairs(text: str) -> str:
    """Return the level of a logfmt pair outside quotes, beside another pair or at the start."""
    for pair in _PAIR.finditer(text):
        before, after = text[: pair.start()], text[pair.end() :]
        if before.replace('\\"', "").count('"') % 2:
            continue
        neighbours = before.split()[-1:] + after.split()[:1]
        prefix = _PREFIX.match(before)
        is_first = not before.strip() or (prefix is not None and prefix.end() == len(before))
        if is_first or any("=" in neighbour for neighbour in neighbours):
            return name_of(pair[2])
    return ""


def _behind_name(message: str, text: str) -> str:
    """Return the level behind a name and a bar, as docker compose puts before each line."""
    bar = text.find("|", 0, SHORT)
    name = _NAME.match(text) if bar > 0 else None
    if name is None or "|" in text[name.end() : name.end() + SHORT]:
        return ""
    return level_of(message[message.find("|") + 1 :].lstrip(" "))
