"""The message of a sender's object: its text, or what readers see in the place of one. Pure.

In: an object, and the payload that it was decoded from. Out: a text. A number is its decimal text.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from natstream.entries.members import raw_members_of

__all__ = ["SHORT_MESSAGE", "cut", "cut_text", "shown_message", "text_message", "text_of"]

# A longer message is a dump rather than a log line, and one such line would hold up every reader.
MAX_MESSAGE_BYTES = 256 * 1024
SHORT_MESSAGE = MAX_MESSAGE_BYTES // 4
"""A message of so many characters is never cut, since a character takes at most four bytes."""

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

_members = raw_members_of(["message"])


class _MessageMember(msgspec.Struct, gc=False):
    message: msgspec.Raw


_decode = msgspec.json.Decoder(_MessageMember).decode


def text_message(raw: Mapping[str, Any]) -> str | None:
    """Return the first of `message`, `log` and `msg` that is a text or a number, or None."""
    for key in ("message", "log", "msg"):
        value = raw.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            text = text_of(value)
            # Docker ends each line with the line feed that its container wrote.
            return text.removesuffix("\n").removesuffix("\r") if key == "log" else text
    return None


def cut(message: str, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Return at most `max_bytes` of a message; a note at the end of a cut one gives its length."""
    if len(message) * 4 <= max_bytes:
        return message
    encoded = message.encode()
    if len(encoded) <= max_bytes:
        return message
    return _cut(encoded, max_bytes, len(encoded))


def cut_text(text: bytes) -> str:
    """Return a text as the message of a line, cut as `cut` does. Only what is kept is decoded."""
    if len(text) <= MAX_MESSAGE_BYTES:
        return cut(text.decode("utf-8", "replace"))
    # A character at the end may be cut in half. Replacements take three bytes in place of one.
    kept = getincrementaldecoder("utf-8")("replace").decode(text[:MAX_MESSAGE_BYTES])
    return _cut(kept.encode(), MAX_MESSAGE_BYTES, len(text))


def _cut(encoded: bytes, max_bytes: int, length: int) -> str:
    kept = encoded[:max_bytes].decode("utf-8", "ignore")
    return f"{kept}… [cut here: the line was {length:,} bytes long]"


def shown_message(raw: Mapping[str, Any], payload: bytes) -> str:
    """Return the message of an object as readers should see it. No object is a blank line.

    It is the `text_message`; else an object, a list or a boolean in `message` as its JSON; else a
    text under another usual name; else the object itself as JSON. JSON is shown as it was sent.
    A long message is cut.
    """
    text = text_message(raw)
    if text is not None:
        return cut(text)
    value = raw.get("message")
    if isinstance(value, (dict, list, bool)):
        return _message_as_sent(value, payload)
    for name in _OTHER_NAMES:
        text = text_of(_at(raw, name))
        if text:
            return cut(text)
    return cut_text(payload.removeprefix(BOM_UTF8).strip())


def _at(raw: Mapping[str, Any], name: tuple[str, ...]) -> Any:
    """Return the member of an inner object, or the one whose name has a dot."""
    outer = raw.get(name[0])
    if len(name) == 1:
        return outer
    inner = outer.get(name[1]) if isinstance(outer, dict) else None
    return raw.get(".".join(name)) if inner is None else inner


def _message_as_sent(value: Any, payload: bytes) -> str:
    try:
        return cut_text(bytes(_decode(payload).message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        if not value:  # as the value of a large member is
            return cut_text(_members(payload)["message"])
        return cut(json.dumps(value, separators=(",", ":")))
    except (ValueError, RecursionError):
        return cut_text(payload)


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
