"""The JSON object in a message: where it begins, and its members as they were sent. Pure.

The object may stand behind a prefix (`api | {…}`) or in a JSON string. No message raises, and the
time is linear in its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from natstream.entries.entry import decode_json

__all__ = ["JsonObject", "Member", "decode_whole", "find_object", "members_of", "object_start"]

# A prefix such as a container's name, a time and a level is shorter, and may have a bracket itself.
MAX_PREFIX = 300
MAX_STARTS = 4

_START = re.compile(r"\{\s*+[\"}]")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class JsonObject(NamedTuple):
    """An object in a message."""

    prefix: str
    """The text before the object."""
    json: str
    value: Mapping[str, Any]


class Member(NamedTuple):
    """A member of an object."""

    path: str
    text: str
    """A string without its quotes, and everything else as its JSON."""
    is_string: bool


def find_object(text: str) -> JsonObject | None:
    """Return the object of a message that has no blanks at its ends, or None.

    A part of a larger object is never returned.
    """
    last = text[-1:]
    if last == '"' and text[0] == '"':
        inner = _decode(text)
        inner = inner.strip() if type(inner) is str else ""
        value = _decode(inner) if inner[:1] == "{" else None
        return JsonObject("", inner, value) if type(value) is dict else None
    if last == "}":
        for tries, match in enumerate(_START.finditer(text, 0, MAX_PREFIX)):
            if tries >= MAX_STARTS:
                break
            found = text[match.start() :]
            value = _decode(found)
            if type(value) is dict:
                return JsonObject(text[: match.start()], found, value)
            if match[0][-1] == '"':
                break  # This object was cut off, and the next one may be within it.
    return None


def decode_whole(text: str) -> Mapping[str, Any] | None:
    """Return the object that a text is as a whole. Most are, and this takes half of the time."""
    if text[:1] != "{" or text[-1] != "}":
        return None
    try:
        value = decode_json(text)
    except ValueError:
        return None
    return value if type(value) is dict else None


def object_start(text: str) -> int:
    """Return where an object seems to begin, which may not end in this text; -1 if none does."""
    match = _START.search(text) if "{" in text else None
    return -1 if match is None else match.start()


def members_of(found: JsonObject, depth: int) -> list[Member]:
    """Return the members of an object, and those of its inner objects by their path.

    Args:
        found: the object.
        depth: how deep objects are taken apart. Deeper ones are shown as their JSON.
    """
    return list(_members_of(found.json, found.value, "", depth))


def _members_of(text: str, value: Mapping[str, Any], path: str, depth: int) -> Iterator[Member]:
    try:
        sent = {name: bytes(raw).decode() for name, raw in _members(text).items()}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        sent = {}  # only Python's own decoder accepts it, for example because of a NaN
    for name, each in value.items():
        if type(each) is str:
            yield Member(path + name, each, True)
            continue
        shown = sent[name] if name in sent else _encode(each)
        if type(each) is dict and each and depth:
            yield from _members_of(shown, each, f"{path}{name}.", depth - 1)
        else:
            yield Member(path + name, shown, False)


def _decode(text: str) -> Any:
    try:
        return decode_json(text)
    except ValueError:
        return None


def _encode(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return "…"
