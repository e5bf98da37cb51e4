"""Entries ↔ the journal's messages. Pure.

A line from NATS is stored as it came, under the subject that it came with, behind the stream's
name: `natstream.logs.<app>.<region>.<machine>`. Whatever that would not give back (what a drain
sent, names that are no part of a subject, a time that cannot be read) is stored as the entry's
fields, under `natstream.entries.<app>.<region>.<machine>`. So a filter for any of the three can
be answered by the server, and other tools can read most of it.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import product
from math import prod

import msgspec

from natstream.entry import EntryFields, LogEntry, freeze
from natstream.filtering import Filter
from natstream.parsing import parse_nats, parse_time

__all__ = ["content_id", "decode", "encode", "subject", "wanted_subjects"]

_LINES, _ENTRIES = "logs", "entries"

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_OTHER = re.compile(rb"[^A-Za-z0-9_-]")

# The server looks for each of them; more than this and it may as well send everything.
MAX_SUBJECTS = 64


class _Fields(msgspec.Struct, array_like=True):
    """An entry's fields, in its order."""

    machine_id: str
    message: str
    stream: str
    timestamp: str
    app_name: str
    raw: bytes
    region: str
    level: str
    provider: str
    host: str
    unix_ns: int
    source: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Fields).decode


def encode(entry: LogEntry, max_bytes: int) -> tuple[str, bytes]:
    """The subject, without the stream's name, and the payload to store it as.

    Args:
        entry: as a source gave it.
        max_bytes: what the server takes as one payload. Past it the original payload is left out.
    """
    payload = entry._raw
    if not isinstance(payload, bytes):
        payload = msgspec.json.encode(payload)
    elif _gives_it_back(entry, len(payload) <= max_bytes):
        return subject(entry), payload
    fields = _Fields(
        entry.machine_id,
        entry.message,
        entry.stream,
        entry.timestamp,
        entry.app_name,
        payload,
        entry.region,
        entry.level,
        entry.provider,
        entry.host,
        entry.unix_ns,
        entry.source,
    )
    packed = _pack(fields)
    if len(packed) > max_bytes:
        fields.raw = b""
        packed = _pack(fields)
    place = ".".join(map(_token, (entry.app_name, entry.region, entry.machine_id)))
    return f"{_ENTRIES}.{place}", packed


def _gives_it_back(entry: LogEntry, fits: bool) -> bool:
    """Whether parsing its payload anew, in another process, gives the same entry."""
    return (
        fits
        and entry.source == "nats"
        and _PLAIN.fullmatch(entry.app_name) is not None
        and _PLAIN.fullmatch(entry.region) is not None
        and _PLAIN.fullmatch(entry.machine_id) is not None
        and parse_time(entry.timestamp) is not None
    )


def decode(subject: bytes, payload: bytes) -> LogEntry:
    """The entry that was stored under a subject, without the stream's name.

    Raises:
        ValueError: it was stored by somebody else.
    """
    text = subject.decode(errors="replace")
    if not text.startswith(f"{_ENTRIES}."):
        return parse_nats(text, payload)
    try:
        fields = _unpack(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not an entry") from error
    return freeze(
        EntryFields(
            fields.machine_id,
            fields.message,
            fields.stream,
            fields.timestamp,
            fields.app_name,
            fields.raw,
            fields.region,
            fields.level,
            fields.provider,
            fields.host,
            fields.unix_ns,
            fields.source,
        )
    )


def subject(entry: LogEntry) -> str:
    """Fly's subject for an entry's place."""
    return f"{_LINES}.{entry.app_name}.{entry.region}.{entry.machine_id}"


def content_id(entry: LogEntry) -> str:
    """A name that every process gives to the same message of NATS."""
    raw = entry._raw
    payload = raw if isinstance(raw, bytes) else msgspec.json.encode(raw)
    return blake2b(subject(entry).encode() + b"\0" + payload, digest_size=15).hexdigest()


def wanted_subjects(filter: Filter, stream: str) -> list[str]:
    """Subjects that hold all that the filter lets through, and as little else as they can.

    None where that is too many of them, or the filter names no place: all of the stream then.
    """
    places: list[list[str]] = []
    for place in ("app_name", "region", "machine_id"):
        asked = [values for field, values in filter.exact if field == place]
        places.append(sorted(map(_token, frozenset.intersection(*asked))) if asked else ["*"])
    if places == [["*"]] * 3 or prod(map(len, places)) > MAX_SUBJECTS:
        return []
    # What is asked for twice, and cannot be both, is a subject under which nothing is stored.
    return [".".join([stream, "*", *place]) for place in product(*places)] or [f"{stream}.none"]


def _token(name: str) -> str:
    """A name as one part of a subject: `=` and two digits for each byte that none may hold."""
    if _PLAIN.fullmatch(name):
        return name
    if not name:
        return "="
    encoded = name.encode("utf-8", "replace")[:128]
    return _OTHER.sub(lambda match: b"=%02X" % match[0][0], encoded).decode()
