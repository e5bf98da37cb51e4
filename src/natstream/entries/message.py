"""The message of a sender's object: its text, or what readers see in the place of one. Pure.

In: an object, and the payload that it was decoded from. Out: a text. A number is its decimal text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["shown_message", "text_message", "text_of"]

# The names under which logging libraries and shippers put their text, if `message`, `log` and `msg`
# have none: structlog, OpenTelemetry, GELF, ECS and pino, and those that only log exceptions.
_OTHER_NAMES = (
    ("event",),
    ("body",),
    ("text",),
    ("short_message",),
    ("error", "message"),
    ("err", "message"),
    ("exception",),
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def text_message(raw: Mapping[str, Any]) -> str | None:
    """Return the first of `message`, `log` and `msg` that is a text or a number, or None."""
    for key in ("message", "log", "msg"):
        value = raw.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return text_of(value)
    return None


def shown_message(raw: Mapping[str, Any], payload: bytes) -> str:
    """Return the message of an object as readers should see it. No object is a blank line.

    It is the `text_message`; else an object, a list or a boolean in `message` as its JSON; else a
    text under another usual name; else the object itself as JSON. JSON is shown as it was sent.
    """
    text = text_message(raw)
    if text is not None:
        return text
    value = raw.get("message")
    if isinstance(value, (dict, list, bool)):
        return _member_as_sent("message", value, payload)
    for name in _OTHER_NAMES:
        text = text_of(_at(raw, name))
        if text:
            return text
    return payload.decode("utf-8-sig", "replace").strip()


def _at(raw: Mapping[str, Any], name: tuple[str, ...]) -> Any:
    """Return the member of an inner object, or the one whose name has a dot."""
    outer = raw.get(name[0])
    if len(name) == 1:
        return outer
    inner = outer.get(name[1]) if isinstance(outer, dict) else None
    return raw.get(".".join(name)) if inner is None else inner


def _member_as_sent(name: str, value: Any, payload: bytes) -> str:
    try:
        return bytes(_members(payload)[name]).decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        pass
    try:
        return json.dumps(value, separators=(",", ":"))
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")


def text_of(value: Any) -> str:
    """Return a text as it is, a number as its decimal text, and "" for everything else."""
    if isinstance(value, str):
        if value.isascii():
            return value
        # Half a surrogate pair has no UTF-8 form, so no answer to a reader could hold it.
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # the number has more digits than Python prints
            return ""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f") if math.isfinite(value) else str(value)
    return ""
