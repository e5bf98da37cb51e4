"""The names and numbers that levels have in logging libraries → natstream's six names. Pure."""

from __future__ import annotations

from typing import Any

__all__ = [
    "LEVEL_ALIASES",
    "LEVEL_WORDS",
    "SYSLOG",
    "fold_level",
    "name_of",
    "number_level",
    "otel_level",
    "python_level",
    "syslog_level",
]

_NAMES = {
    # `finest` and `finer` are java.util.logging's, `silly` is npm's, `vrb` is Serilog's lowest.
    "trace": "trace trc trce trac silly finer finest vrb",
    # npm's and Redis' `verbose` stand between information and debugging.
    "debug": "debug dbg dbug debu verbose verb fine config",
    "info": "info inf information informational notice note log success system",
    "warn": "warn warning wrn warnin",
    "error": "error err erro eror fail failure severe",
    "fatal": "fatal ftl fata critical crit alert emerg emergency panic pani dpanic",
}

LEVEL_ALIASES = {alias: name for name, words in _NAMES.items() for alias in words.split()}
"""What a level may be called, case-folded → its name in natstream."""

LEVEL_WORDS = {
    written: name
    for alias, name in LEVEL_ALIASES.items()
    for written in (alias, alias.upper(), alias.capitalize())
}
"""The same for words of a text, as libraries write them, so that no word has to be folded."""

SYSLOG = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")
"""The levels of syslog's severities 0 to 7 (RFC 5424, section 6.2.1)."""

# pino and bunyan count in tens, Monolog in hundreds (250 is a notice, 550 an alert).
_STEPS = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
_HUNDREDS = {
    100: "debug", 200: "info", 250: "info", 300: "warn", 400: "error", 500: "fatal", 550: "fatal",
    600: "fatal",
}  # fmt: skip
# Longer texts are no names, and need not be folded.
LONGEST = 32
_OTEL = ("trace", "debug", "info", "warn", "error", "fatal")


def fold_level(text: str) -> str:
    """Return a sender's level under its name in natstream, or case-folded if it is another one."""
    if (level := LEVEL_WORDS.get(text)) is not None:
        return level
    folded = text.strip().casefold()
    return LEVEL_ALIASES.get(folded) or number_level(folded) or folded


def name_of(value: Any) -> str:
    """Return the name of a known level, or "" for any other value."""
    if not isinstance(value, str):
        return ""
    if (level := LEVEL_WORDS.get(value)) is not None:
        return level
    if len(value) > LONGEST:
        return ""
    folded = value.strip().casefold()
    if (level := LEVEL_ALIASES.get(folded)) is not None:
        return level
    # Go's slog writes its custom levels as `ERROR+4`.
    word = folded.rstrip("0123456789")
    return LEVEL_ALIASES.get(word[:-1], "") if word[-1:] in ("+", "-") and word != folded else ""


def number_level(value: Any) -> str:
    """Return the level of a number of pino, bunyan or Monolog, or ""."""
    number = _whole(value)
    return _STEPS.get(number) or _HUNDREDS.get(number, "")


def syslog_level(value: Any) -> str:
    """Return the level of a severity of syslog or GELF, or ""."""
    number = _whole(value)
    return SYSLOG[number] if 0 <= number < len(SYSLOG) else ""


def python_level(value: Any) -> str:
    """Return the level of Python's `levelno`, or ""."""
    number = _whole(value)
    return _STEPS[min(number // 10 + 1, 6) * 10] if 0 < number <= 100 else ""


def otel_level(value: Any) -> str:
    """Return the level of OpenTelemetry's severity number (1 to 24), or ""."""
    number = _whole(value)
    return _OTEL[(number - 1) // 4] if 1 <= number <= 24 else ""


def _whole(value: Any) -> int:
    """Return a whole number, which may be written as digits; -1 for everything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 4 else -1
    return value if type(value) is int else -1
