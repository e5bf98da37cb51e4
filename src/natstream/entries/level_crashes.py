"""The level of a crash's first line, and of lines that a runtime or a tool writes itself. Pure.

No logging library wrote these lines, so each has a form of its own.
"""

from __future__ import annotations

import re

from natstream.entries.level_names import SYSLOG

__all__ = [
    "CRASH_WORDS",
    "level_of_crash",
    "level_of_letter",
    "level_of_marked",
    "level_of_runtime",
]

# Each alternative begins with one of these words.
CRASH_WORDS = frozenset(
    {
        "Traceback", "Exception", "thread", "http", "http2", "Unhandled", "UNHANDLED", "Uncaught",
        "panic", "fatal", "FATAL", "Fatal", "UnhandledPromiseRejection", "UnhandledRejection",
        "UnhandledPromiseRejectionWarning", "UnhandledException", "PHP", "npm", "DEPRECATION",
    }
)  # fmt: skip
# PHP's fatal error ends a request, not the server.
_CRASH = re.compile(
    r"""(?P<error>
        Traceback\ \(most\ recent\ call\ last\):
      | Exception\ in\ thread\ (?:"|[^\n]{1,120}:$)
      | thread\ '[^'\n]{0,120}'\ (?:\(\d{1,10}\)\ )?panicked\ at\b
      | http2?:\ panic\ serving\ \S
      | Unhandled\ [Ee]xception(?!\.\ )(?![\w.])
      | (?:Unhandled|UNHANDLED)\ ?(?:[Pp]romise\ )?(?:[Rr]ejection|[Ee]rror|REJECTION|EXCEPTION
          |(?<=d)Exception)(?![\w.])
      | UnhandledPromiseRejection(?:Warning)?\b
      | Uncaught\ (?:[\w.$:]{0,120}(?:Error|Exception)\b|exception\b)
      | Fatal\ error:\ \S
      | PHP\ (?:Fatal|Parse|Recoverable\ fatal)\ error:
      | npm\ (?:ERR!|error)\ )
      | (?P<fatal> panic:\ \S | fatal\ error:\ \S | Fatal\ Python\ error: | FATAL\ ERROR:
      | Unhandled\ [Ee]xception\.\ )
      | (?P<warn> PHP\ Warning: | DEPRECATION\ WARNING: | npm\ (?:WARN|warn)\ )
      | (?P<info> PHP\ (?:Notice|Deprecated): | npm\ (?:info|notice)\ )
    """,
    re.VERBOSE,
)
_ELIXIR = re.compile(r"\*\* \((?:[\w.]{0,120}Error|Mix|EXIT from [^)\n]{1,80})\)")
_RUBY = re.compile(r"[^\s:]{1,200}:\d{1,7}:in [`'][^'`\n]{1,120}['`]: [^\n]*\([A-Z][\w:]{0,80}\)$")
_SYSLOG = re.compile(r"<(\d{1,3})>(?=\S)")
# Erlang's reports, and Ruby's threads that died of an exception.
_REPORT = re.compile(r"=(ERROR|CRASH|SUPERVISOR|WARNING|INFO|NOTICE|PROGRESS) REPORT====")
_REPORTS = {"WARNING": "warn", "INFO": "info", "NOTICE": "info", "PROGRESS": "info"}
_THREAD = re.compile(r"#<Thread:[^>\n]{1,300}> terminated with exception ")
# HAProxy logs an alert when a part of its configuration fails.
_HAPROXY_ALERT = re.compile(r"\[ALERT\] {1,8}(?:\(\d{1,9}\)|\d{1,3}/\d{6}) ")
_KERNEL = re.compile(r"\[ {0,8}\d{1,9}\.\d{6}\]")
# Marks of Next.js and of the package log-symbols.
_MARKS = {"✓": "info", "✔": "info", "ℹ": "info", "⚠": "warn", "⨯": "error", "✖": "error"}
# Redis: `1:M 12 May 2024 09:30:01.123 # message`.
_REDIS = re.compile(r"\d{1,9}:[MSCX] \d\d \w{3} \d{4} [\d:.]{8,15} ([.*#-]) ")
_REDIS_LEVELS = {".": "debug", "-": "debug", "*": "info", "#": "warn"}
_LETTERS = {"D": "debug", "I": "info", "W": "warn", "E": "error", "C": "fatal", "F": "fatal"}
# Ruby's `E, [2024…`, klog's `E0512 12:00:00`, Tornado's `[E 240512 12:00:00 web:1]`, and behind a
# time Telegraf's `E! ` and the `E NETWORK  [conn1]` of old versions of MongoDB.
_LETTER = re.compile(
    r"([DIWEFC])(?:, \[\d{4}-|\d{4,8} \d\d:\d\d:|! | [A-Z]{1,10} {1,8}\[)"
    r"|\[([DIWEC]) (?:\d{6}|\d{4}-\d\d-\d\d) \d\d:\d\d:"
)


def level_of_crash(text: str, start: int = 0) -> str:
    """Return the level that one of `CRASH_WORDS` begins, or ""."""
    crash = _CRASH.match(text, start)
    return "" if crash is None else crash.lastgroup or ""


def level_of_letter(text: str, start: int = 0) -> str:
    """Return the level that a single letter says in the formats that have one, or ""."""
    letter = _LETTER.match(text, start)
    return "" if letter is None else _LETTERS[letter[1] or letter[2]]


def level_of_runtime(text: str) -> str:
    """Return the level of what a runtime says of one of its processes or threads, or ""."""
    if (report := _REPORT.match(text)) is not None:
        return _REPORTS.get(report[1], "error")
    return "error" if _THREAD.match(text) else ""


def level_of_marked(text: str) -> str | None:
    """Return the level of a line that begins with a mark, with digits or in a bracket.

    Returns:
        The level; or "" if the line says none; or `None` if it may say one elsewhere.
    """
    first = text[0]
    if first == "<":
        priority = _SYSLOG.match(text)
        if priority is not None and int(priority[1]) < 192:
            return SYSLOG[int(priority[1]) % 8]
    elif first == "[":
        second = text[1:2]
        if second in "AU" and (
            _HAPROXY_ALERT.match(text) or text.startswith("[UnhandledPromiseRejection: ")
        ):
            return "error"
        if second.isalpha():
            return (text[2:3] == " " and level_of_letter(text)) or None
        return "" if _KERNEL.match(text) else None
    elif first == "*":
        return "error" if _ELIXIR.match(text) else ""
    elif first.isdigit():
        redis = _REDIS.match(text)
        return None if redis is None else _REDIS_LEVELS[redis[1]]
    elif not first.isascii() or first == " ":
        mark = text[first == " " :][:1]
        if mark in _MARKS and text[1 + (first == " ") :][:1] in (" ", "\ufe0f"):
            return _MARKS[mark]
        return None if first == " " or first == "»" else ""
    return "error" if ":in " in text and _RUBY.match(text) else None
