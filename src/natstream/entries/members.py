"""The known members of a JSON object of any size, in bounded memory. Pure.

In: the text of an object. Out: its members that natstream knows by name, as plain values. A small
object is decoded whole. Of a large one, msgspec passes over the unknown members without making
Python objects of them, because sixteen million bytes of `{},{},…` would become half a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from natstream.entries.entry import decode_json

__all__ = ["LARGE", "known_members", "raw_members", "raw_members_of"]

LARGE = 64 * 1024
"""Bytes of an object that is not decoded whole. Decoding takes up to 30 times as much memory."""
# Bytes of a known member of a large object. Of a longer object, the known members are taken again,
# and a longer value that is neither an object nor a text counts as empty.
MAX_MEMBER = 16 * 1024
# Objects in each other that are taken apart so. The longest path is `fly.app.name`.
MAX_DEPTH = 3

# The members that make an entry, and those that make the object a batch.
_NAMES = (
    *("fly", "event", "log", "host", "meta", "level", "severity", "stream", "source"),
    *("instance", "machine_id", "hostname", "container_name"),
    *("machine", "id", "name", "provider"),  # in `fly`, `event` and `meta`
    *("app_name", "app", "application", "service", "region"),
    *("timestamp", "time", "ts", "@timestamp", "date", "dt"),
    *("message", "msg", "body", "text", "short_message", "exception"),
    *("error", "err", "error.message", "err.message"),
    *("logs", "records", "entries", "events", "logEvents", "data"),
)

# Half of a surrogate pair is valid JSON, but msgspec 0.22 refuses it.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_NONE = msgspec.Raw()
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def raw_members_of(names: Iterable[str]) -> Callable[[bytes], dict[str, bytes]]:
    """Return a function that finds the members of these names in an object of any size.

    The function returns their JSON by name. It raises ValueError if the text is no object.
    """
    keys = {f"_{number}": name for number, name in enumerate(names)}
    shape = msgspec.defstruct(
        "_Known", [(field, msgspec.Raw, _NONE) for field in keys], rename=keys, gc=False
    )
    decode = msgspec.json.Decoder(shape).decode

    def members(text: bytes) -> dict[str, bytes]:
        found = _mended(decode, text)
        return {
            name: bytes(raw)
            for field, name in keys.items()
            if (raw := getattr(found, field)) is not _NONE
        }

    return members


def raw_members(text: bytes) -> dict[str, bytes]:
    """Return the JSON of each member of an object; of a large object, the known members alone.

    Raises:
        ValueError: the text is no object, or a large one that is no strict JSON.
    """
    if len(text) > LARGE:
        return _known(text)
    return {name: bytes(raw) for name, raw in _mended(_members, text).items()}


def known_members(text: bytes) -> Mapping[str, Any]:
    """Return an object's members as plain values; of a large object, the known members alone.

    Raises:
        ValueError: the text is no object, or a large one that is no strict JSON.
    """
    if len(text) > LARGE:
        return {name: _value(raw) for name, raw in _known(text).items()}
    value = decode_json(text)
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


_known = raw_members_of(_NAMES)


def _value(raw: bytes, depth: int = 1) -> Any:
    """Return a member's value, or the part of it that is decoded in little memory."""
    if len(raw) <= MAX_MEMBER or raw.startswith(b'"'):
        return decode_json(raw)
    if raw.startswith(b"{") and depth < MAX_DEPTH:
        return {name: _value(member, depth + 1) for name, member in _known(raw).items()}
    return {} if raw.startswith(b"{") else [] if raw.startswith(b"[") else None


def _mended(decode: Callable[[bytes], Any], text: bytes) -> Any:
    """Decode a text, or what it becomes without the bytes for which msgspec refuses valid JSON."""
    try:
        return decode(text)
    except _WRONG:
        pass
    try:
        readable = text.decode("utf-8-sig", "replace").encode()
        return decode(_LONE_SURROGATE.sub(rb"\\ufffd", readable))
    except _WRONG:
        raise ValueError("not an object that msgspec reads") from None
