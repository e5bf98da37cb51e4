"""The level of a JSON object, by the keys that logging libraries give it. Pure.

In: a message that is an object, or the object of a sender. Out: the level, or "". Only known names
and the scales of known libraries count: `{"level": "gold"}` says nothing, and neither does the
`{"level": 3}` of a game.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from natstream.entries.entry import decode_json
from natstream.entries.level_names import (
    fold_level,
    name_of,
    number_level,
    otel_level,
    python_level,
    syslog_level,
)
from natstream.entries.members import LARGE, raw_members_of

__all__ = ["level_beside", "level_in_json", "sent_level"]

# The keys whose value is a level's name, in the order in which they count.
_NAMED = {
    "level": "level",
    "lvl": "lvl",
    "severity": "severity",
    "levelname": "levelname",
    "level_name": "level_name",
    "ecs": "log.level",
    "loglevel": "loglevel",
    "dotnet": "LogLevel",
    "at_level": "@level",
    "serilog": "@l",
    "otel_text": "severityText",
    "severity_text": "severity_text",
    "log_level": "log_level",
    "log_level_camel": "logLevel",
    "level_name_camel": "levelName",
    "level_upper": "Level",
    "severity_upper": "Severity",
}
_NUMBERED = {
    "levelno": "levelno",
    "otel_number": "severityNumber",
    "severity_number": "severity_number",
}
# An object of a logging library has one of these beside a number for its level. Without one it may
# be a game's level, or the severity of a ticket.
_COMPANIONS = {
    "msg": "msg",
    "message": "message",
    "time": "time",
    "timestamp": "timestamp",
    "ts": "ts",
    "pid": "pid",
    "hostname": "hostname",
    "v": "v",
    "channel": "channel",
    "context": "context",
}
_OTHERS = {
    "log": "log",
    "gelf": "short_message",
    "mongo": "s",
    "mongo_time": "t",
    "mongo_part": "c",
}
_MONGO = {"F": "fatal", "E": "error", "W": "warn", "I": "info", "D": "debug"}

_NONE = msgspec.Raw()
# The decoder passes over all other keys. One struct takes a third of the time of a dict.
_KEYS = {**_NAMED, **_NUMBERED, **_OTHERS}
_Keys = msgspec.defstruct(
    "_Keys",
    [(name, Any, None) for name in _KEYS] + [(name, msgspec.Raw, _NONE) for name in _COMPANIONS],
    rename={**_KEYS, **_COMPANIONS},
    gc=False,
)
_decode_small = msgspec.json.Decoder(_Keys).decode
_raw_keys = raw_members_of([*_KEYS.values(), *_COMPANIONS.values()])
# Bytes of a name, a number or an object around them.
MAX_VALUE = 4_096
_decode_text = msgspec.json.Decoder(str).decode
# The keys of `level_beside` alone. Most objects have none of them, which comparing two structs
# tells in a fifth of the time that `_level_of` takes.
_BESIDE = {key: name for key, name in _KEYS.items() if name not in ("level", "severity", "log")}
_Beside = msgspec.defstruct(
    "_Beside", [(name, msgspec.Raw, _NONE) for name in _BESIDE], rename=_BESIDE, gc=False
)
_decode_beside = msgspec.json.Decoder(_Beside).decode
_NOTHING_BESIDE = _Beside()


def level_in_json(message: str) -> str:
    """Return the level of a message that is a JSON object, or an object in a JSON string.

    A message that is no JSON, for example because it was cut, says nothing.
    """
    try:
        keys = _decode(message if message[:1] == "{" else _decode_text(message))
    except (ValueError, RecursionError):
        return ""
    # Nearly all objects that have a level have it here.
    if (level := name_of(keys.level) or number_level(keys.level)) and (
        type(keys.level) is str or _is_log(keys)
    ):
        return level
    return _level_of(keys)


def _decode(record: bytes | str) -> Any:
    """Return the keys of an object. Of a large one, a key with a large value counts as absent.

    Otherwise a list of a million items in the place of a level would be made for nothing.
    """
    if len(record) <= LARGE:
        return _decode_small(record)
    known = _raw_keys(record if isinstance(record, bytes) else record.encode())
    return _keys({key: decode_json(raw) for key, raw in known.items() if len(raw) <= MAX_VALUE})


def _is_log(keys: Any) -> bool:
    return any(getattr(keys, name) is not _NONE for name in _COMPANIONS)


def level_beside(record: Mapping[str, Any] | bytes) -> str:
    """Return the level that a sender's object says in other keys than `level` and `severity`.

    Args:
        record: the object, or its JSON.
    """
    try:
        if isinstance(record, bytes) and _decode_beside(record) == _NOTHING_BESIDE:
            return ""
        keys = _decode(record) if isinstance(record, bytes) else _keys(record)
    except (ValueError, RecursionError):
        return ""
    keys.level = keys.severity = keys.log = None
    return _level_of(keys)


def _keys(record: Mapping[str, Any]) -> Any:
    names = {**_KEYS, **_COMPANIONS}
    return _Keys(**{name: record[key] for name, key in names.items() if key in record})


def sent_level(key: str, value: str | float, record: Mapping[str, Any] | bytes) -> str:
    """Return the level that a sender gave to its own object, under its name if it has one.

    Args:
        key: `level` or `severity`.
        value: what stands there; a number may be of any known scale.
        record: the object, or its JSON, which may say whose scale it is.
    """
    if key == "severity":
        level = syslog_level(value)
    else:
        name = b"short_message" if isinstance(record, bytes) else "short_message"
        level = number_level(value) or (syslog_level(value) if name in record else "")
    return level or name_of(value) or fold_level(str(value))


def _level_of(keys: Any) -> str:
    for key in _NAMED:
        value = getattr(keys, key)
        if value is not None and (level := name_of(value)):
            return level
    if isinstance(keys.log, dict) and (level := name_of(keys.log.get("level"))):
        return level
    if keys.gelf is not None and (level := syslog_level(keys.level)):
        return level
    if isinstance(keys.mongo, str) and keys.mongo_time is not None and keys.mongo_part is not None:
        return _MONGO.get(keys.mongo[:1], "")
    level = number_level(keys.level) or number_level(keys.lvl) or syslog_level(keys.severity)
    if level and _is_log(keys):
        return level
    return (
        python_level(keys.levelno)
        or otel_level(keys.otel_number)
        or otel_level(keys.severity_number)
    )
