"""The level of a JSON object, by the keys that logging libraries give it. Pure.

Only known names and the scales of known libraries count: `{"level": "gold"}` and a game's
`{"level": 3}` say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from natstream.entries.entry import decode_json
from natstream.entries.level_names import (
    name_of,
    number_level,
    otel_level,
    python_level,
    syslog_level,
)

__all__ = ["level_in_json", "level_of_object"]

# The keys whose value is a level's name, in the order in which they count.
_NAMED = (
    "level", "lvl", "severity", "levelname", "level_name", "log.level", "loglevel", "LogLevel",
    "@level", "@l", "severityText", "severity_text", "logLevel", "log_level", "levelName", "Level",
    "Severity", "SeverityText", "LEVEL",
)  # fmt: skip
# A logging library's object with a number for its level has one of these beside it.
_COMPANIONS = (
    "msg", "message", "time", "timestamp", "@timestamp", "ts", "pid", "hostname", "v", "channel",
    "level_name", "context", "datetime", "err", "logger", "name",
)  # fmt: skip
_MONGO = {"F": "fatal", "E": "error", "W": "warn", "I": "info"}


class _Common(msgspec.Struct, gc=False):
    """The keys of nearly all objects that have a level. The decoder skips the others."""

    level: Any = None
    lvl: Any = None
    severity: Any = None
    levelname: Any = None


_decode_common = msgspec.json.Decoder(_Common).decode


def level_in_json(message: str) -> str:
    """Return the level of a message that is a JSON object, or an object in a JSON string.

    A message that is no JSON, for example because it was cut, says nothing.
    """
    try:
        if message[0] == "{":
            # An object with a name for its level, as nearly all have, is not decoded as a whole.
            common = _decode_common(message)
            for value in (common.level, common.lvl, common.severity, common.levelname):
                if value is not None and (level := name_of(value)):
                    return level
        value = decode_json(message)
        if isinstance(value, str):
            value = decode_json(value)
    except (ValueError, UnicodeError, RecursionError):
        return ""
    return level_of_object(value) if isinstance(value, dict) else ""


def level_of_object(record: Mapping[str, Any]) -> str:
    """Return the level that an object's keys say, or "" if they say none."""
    for key in _NAMED:
        if key in record and (level := name_of(record[key])):
            return level
    log = record.get("log")
    if isinstance(log, dict) and (level := name_of(log.get("level"))):
        return level
    if (level := _level_of_numbers(record)) != "":
        return level
    severity = record.get("s")  # MongoDB's
    if isinstance(severity, str) and "t" in record and "c" in record:
        return "debug" if severity[:1] == "D" else _MONGO.get(severity, "")
    return ""


def _level_of_numbers(record: Mapping[str, Any]) -> str:
    if "short_message" in record and "level" in record:  # GELF
        return syslog_level(record["level"])
    if any(key in record for key in _COMPANIONS):
        for key in ("level", "lvl"):
            if level := number_level(record.get(key)):
                return level
    if level := syslog_level(record.get("severity")):
        return level
    if level := python_level(record.get("levelno")):
        return level
    for key in ("severityNumber", "severity_number", "SeverityNumber"):
        if level := otel_level(record.get(key)):
            return level
    return ""
