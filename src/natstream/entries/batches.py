"""JSON objects that hold a batch of log lines → the lines, and the object around them. Pure.

In: the text of one JSON object. Out: the texts of its lines, and the object without them, which may
name a machine for all of them. Nothing in this module raises for a text that is not a batch.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from natstream.entries.entry import decode_json
from natstream.entries.members import LARGE, raw_members

__all__ = ["LineBatch", "batch_start", "find_batch"]

# Names under which senders put the lines of a batch. `data` is the name in JSON:API documents, as
# Fly's interface for logs sends them, and each of its items holds a line in `attributes`.
_NAMES = ("logs", "records", "entries", "events", "logEvents", "data")
# An empty list under one of these names is an empty batch. Under another name, it may be a field of
# a log line.
_SURE_NAMES = frozenset({"logs", "logEvents"})
# An object that has a message of its own is a log line, whatever lists it has.
_MESSAGES = ("message", "msg", "log", "event", "body", "text", "short_message")
# The object around a batch gives the machine, and such names are short.
MAX_MEMBER_BYTES = 16_384

_START = re.compile(rb'"(%b)"\s*:\s*\[' % "|".join(_NAMES).encode())
_OBJECTS = re.compile(rb'\[\s*[{"]')
_RESOURCES = re.compile(rb'\[\s*\{[^{}]*"attributes"\s*:\s*\{')
_EMPTY = re.compile(rb"\[\s*\]")


class LineBatch(NamedTuple):
    """The lines of a batch and the object around them."""

    items: bytes
    """A JSON array. Each item of it is a line, or holds one if `are_resources`."""
    are_resources: bool
    """Whether each line is the `attributes` of an item, as in a JSON:API document."""
    around: dict[str, Any]
    """The other members of the object."""


def find_batch(text: bytes) -> LineBatch | None:
    """Return the batch that a JSON object holds, or None if the object is a log line itself."""
    if b"[" not in text or not _START.search(text):  # most log lines hold no list at all
        return None
    try:
        members = raw_members(text)
    except ValueError:
        return None
    if any(members[name][:1] == b'"' for name in _MESSAGES if name in members):
        return None
    for name in _NAMES:
        if name in members:
            items = members.pop(name)
            if _is_batch(name, items, is_alone=not members and len(text) <= LARGE):
                return LineBatch(items, name == "data", _decoded(members))
    return None


def batch_start(text: bytes) -> int:
    """Return the position of the `[` that begins a batch in an object that is broken, or -1."""
    start = _START.search(text)
    return start.end() - 1 if start else -1


def _is_batch(name: str, items: bytes, is_alone: bool) -> bool:
    if name == "data":
        return bool(_RESOURCES.match(items)) or (is_alone and bool(_EMPTY.match(items)))
    if name in _SURE_NAMES:
        return items.startswith(b"[")
    return bool(_OBJECTS.match(items)) or (is_alone and bool(_EMPTY.match(items)))


def _decoded(members: dict[str, bytes]) -> dict[str, Any]:
    return {
        name: decode_json(value)
        for name, value in members.items()
        if len(value) <= MAX_MEMBER_BYTES
    }
