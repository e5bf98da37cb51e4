"""The pattern of a line: its message with the varying parts masked, and a stable id for it. Pure.

In: a message. Out: a short text that all lines of its kind have in common. A JSON message and a
logfmt line are known by their text, the names of their fields, and the few values that tell a
failure: a status, a code and an error. A message has one pattern at every process, and so one id.
The time is linear in the message. Of a text only the beginning is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from natstream.entries.entry import decode_json
from natstream.entries.escapes import sanitize
from natstream.entries.json_object import find_object
from natstream.entries.patterns_words import LONGEST, mask_name, mask_words, status_name

__all__ = ["HEAD_DIGITS", "LOOKED_AT", "head_id", "pattern_id", "pattern_of"]

LOOKED_AT = 512
"""Characters of a text that are looked at."""
# Decoding so much takes half a millisecond. A longer message is looked at as a text.
MAX_JSON = 64 * 1024
# Names of fields that a pattern shows. An object with more is data, whose names are values.
MAX_NAMES = 20
MAX_KNOWN = 500
ERROR_LENGTH = 120

HEAD_DIGITS = 12
"""Hexadecimal digits of an id that tell the head; the others tell the frames of a trace."""
_NO_FRAMES = "000000"

_TEXTS = ("msg", "message", "event", "body", "text", "short_message", "desc", "description")
_ERRORS = ("error", "err", "exception", "error_message", "exc_info", "cause")
_STATUSES = ("status", "status_code", "statusCode", "http_status", "http.status_code", "code")
_WITH_STATUS = ("res", "response", "http", "resp")
_CODES = ("code", "error_code", "err_code", "errno", "kind", "type", "name", "class")
# Members that nearly each line of a logging library has.
_USUAL = frozenset(
    {
        *("time", "ts", "timestamp", "@timestamp", "level", "severity", "lvl", "pid", "hostname"),
        *("v", "t", "host", "@version", "log.level", "ecs.version"),
    }
)
_PAIRS = re.compile(
    r"""(?:^|(?<=[\s,;]))([A-Za-z_@][\w.@/-]{0,60}+)="""
    r"""(?:"((?:[^"\\]|\\.)*+)"?|'((?:[^'\\]|\\.)*+)'|([^\s"']*+))"""
)
_FIRST_PAIR = re.compile(r"[A-Za-z_@][\w.@/-]{0,60}+=\S")
_STATUS = re.compile(r"[1-5]\d\d")
_CODE = re.compile(r"[A-Za-z_][\w.:-]{0,60}")

_names: dict[tuple[str, ...], str] = {}


def pattern_of(message: str) -> str:
    """Return the pattern of a message; of the first line of a trace, the pattern of that line."""
    last = message[-1:]
    if last == "}" and len(message) <= MAX_JSON and "{" in message:
        masked = _mask_json(message)
        if masked is not None:
            return masked
    text = message if len(message) <= LOOKED_AT else message[:LOOKED_AT]
    if "\x1b" in text:
        text = sanitize(text, keep_colours=False)
    if "=" in text:
        if _FIRST_PAIR.match(text):
            return _mask_pairs(text, 0)
        start = max(text.find(" msg="), text.find(" message="))
        if start > 0:
            return _mask_pairs(text, start)
    return mask_words(text)


def head_id(app: str, level: str, head: str) -> str:
    """Return the part of an id that tells the app, the level and the pattern of the first line."""
    return _digest(f"{app}\0{level}\0{head}", HEAD_DIGITS)


def pattern_id(app: str, level: str, head: str, trace: str = "") -> str:
    """Return the id of a pattern.

    Args:
        app, level: of the line.
        head: the pattern of the line, or of the first line of a trace.
        trace: what tells the trace from others with this head.
    """
    frames = _digest(trace, len(_NO_FRAMES)) if trace else _NO_FRAMES
    return head_id(app, level, head) + frames


def _digest(text: str, digits: int) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=digits // 2).hexdigest()


# --- objects and pairs ---------------------------------------------------------------------------


def _mask_json(message: str) -> str | None:
    """Return the pattern of a JSON message, perhaps behind a prefix; None if it is not JSON."""
    prefix = ""
    try:
        value = decode_json(message) if message[0] == "{" else None
    except ValueError:
        return None
    if value is None:
        found = find_object(message.strip())
        if found is None:
            return None
        prefix, value = found.prefix, found.value
    if type(value) is not dict:
        return None
    masked = _mask_fields(value)
    return f"{mask_words(prefix)} {masked}"[:LONGEST] if prefix.strip() else masked


def _mask_pairs(text: str, start: int) -> str:
    """Return the pattern of a line of pairs, of which the first begins at or behind `start`."""
    fields: dict[str, str] = {}
    for name, double, single, plain in _PAIRS.findall(text, start):
        fields.setdefault(name, double or single or plain)
    masked = _mask_fields(fields)
    return f"{mask_words(text[:start])} {masked}"[:LONGEST] if start else masked


def _mask_fields(fields: Mapping[str, Any]) -> str:
    parts = []
    for name in _TEXTS:
        text = fields.get(name)
        if type(text) is str and text:
            parts.append(mask_words(text[:LOOKED_AT]))
            break
    else:
        parts += _request(fields)
    status = _status(fields)
    if status:
        parts.append(f"status={status}")
    parts += _failure(fields)
    names = tuple(fields)
    parts.append(_names.get(names) or _mask_names(names))
    return " ".join(parts)[:LONGEST]


def _request(fields: Mapping[str, Any]) -> list[str]:
    """Return what tells a line without a text: the method of a request."""
    method = fields.get("method")
    return [method] if type(method) is str and method.isalpha() and len(method) < 10 else []


def _status(fields: Mapping[str, Any]) -> str:
    for name in _STATUSES:
        if name in fields and _STATUS.fullmatch(found := str(fields[name])[:4]):
            return status_name(found)
    for name in _WITH_STATUS:
        inner = fields.get(name)
        if type(inner) is dict and (found := _status(inner)):
            return found
    return ""


def _failure(fields: Mapping[str, Any]) -> list[str]:
    """Return what tells one failure from another: a code, and an error's text or class."""
    parts = []
    code = fields.get("code")
    if type(code) is str and _CODE.fullmatch(code):
        parts.append(f"code={code}")
    for name in _ERRORS:
        error = fields.get(name)
        if type(error) is dict:
            known = [error[each] for each in _CODES if type(error.get(each)) is str]
            known += [error[each] for each in _TEXTS if type(error.get(each)) is str]
            error = ": ".join(known[:2])
        if type(error) is str and error:
            parts.append(f"{name}={mask_words(error[:LOOKED_AT])[:ERROR_LENGTH]}")
            break
    return parts


def _mask_names(names: tuple[str, ...]) -> str:
    own = sorted({mask_name(name[:60]) for name in names[:500] if name and name not in _USUAL})
    shown = [name for name in own if name not in _TEXTS]
    masked = f"{{{', '.join(shown[:MAX_NAMES])}{', …' if len(shown) > MAX_NAMES else ''}}}"
    if len(names) <= 2 * MAX_NAMES:
        if len(_names) >= MAX_KNOWN:
            _names.clear()
        _names[names] = masked
    return masked
