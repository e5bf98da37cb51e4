"""Entries ↔ the journal's messages. Pure.

A line from NATS is stored as it came, under the subject that it came with, behind the stream's
name: `natstream.logs.<app>.<region>.<machine>`. Whatever that would not give back (what a drain
sent, names that are no part of a subject, a time that cannot be read) is stored as the entry's
fields, under `natstream.entries.<app>.<region>.<machine>`. So a filter for any of the three can
be answered by the server, and other tools can read most of it.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from itertools import product
from math import prod
from typing import Annotated

import msgspec

from natstream.entries.entry import LogEntry, make_entry
from natstream.entries.filters import Filter
from natstream.entries.fly import cut, parse_nats
from natstream.entries.times import parse_time

__all__ = ["content_id", "decode", "encode", "subject", "wanted_subjects"]

_LINES, _ENTRIES = "logs", "entries"

# The server closes a connection over a line of more than 4 KiB: longer names are no part of a
# subject, or only their beginning is.
NAME_BYTES = 128
_PLAIN = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_BYTES}}}", re.ASCII)
_OTHER = re.compile(rb"[^A-Za-z0-9_-]")

# The server looks for each of them; more than this and it may as well send everything.
MAX_SUBJECTS = 64

# What the words at the end of a message that was cut take at the most.
_MARKER_BYTES = 64

_NS = 10**9
_TEXTS = (
    "machine_id", "stream", "timestamp", "app_name", "region", "level", "provider", "host", "source"
)  # fmt: skip


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
    # Years 1 to 9999: nanoseconds do not fit into 64 bits.
    seconds: Annotated[int, msgspec.Meta(ge=-62_135_596_800, lt=253_402_300_800)]
    ns: Annotated[int, msgspec.Meta(ge=0, lt=_NS)]
    source: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Fields).decode


def encode(entry: LogEntry, max_bytes: int) -> tuple[str, bytes]:
    """The subject, without the stream's name, and the payload to store it as.

    Args:
        entry: as a source gave it.
        max_bytes: what the server takes as one payload. Past it the original payload is left out,
            and if that is not enough, the message is cut.
    """
    payload = _payload(entry)
    if _gives_it_back(entry, len(payload) <= max_bytes):
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
        *divmod(entry.unix_ns, _NS),
        entry.source,
    )
    packed = _pack(fields)
    if len(packed) > max_bytes:
        fields.raw = b""
        packed = _pack(fields)
    if len(packed) > max_bytes:
        packed = _pack(_shortened(fields, max_bytes))
    place = ".".join(map(_token, (fields.app_name, fields.region, fields.machine_id)))
    return f"{_ENTRIES}.{place}", packed


def _payload(entry: LogEntry) -> bytes:
    raw = entry._raw
    return raw if isinstance(raw, bytes) else json.dumps(raw).encode()


def _shortened(fields: _Fields, max_bytes: int) -> _Fields:
    """As much of them as fits, the message last: no line may hold up those behind it."""
    for name in _TEXTS:
        setattr(fields, name, _beginning(getattr(fields, name), max_bytes // 16))
    message, fields.message = fields.message, ""
    fields.message = cut(message, max(0, max_bytes - len(_pack(fields)) - _MARKER_BYTES))
    return fields


def _beginning(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not an entry") from error
    return make_entry(
        machine_id=fields.machine_id,
        message=fields.message,
        stream=fields.stream,
        timestamp=fields.timestamp,
        app_name=fields.app_name,
        raw=fields.raw,
        region=fields.region,
        level=fields.level,
        provider=fields.provider,
        host=fields.host,
        unix_ns=fields.seconds * _NS + fields.ns,
        source=fields.source,
    )


def subject(entry: LogEntry) -> str:
    """Fly's subject for an entry's place."""
    return f"{_LINES}.{entry.app_name}.{entry.region}.{entry.machine_id}"


def content_id(entry: LogEntry) -> str:
    """A name that every process gives to the same message of NATS."""
    place_and_payload = (entry.app_name, entry.region, entry.machine_id, _payload(entry))
    return blake2b(_pack(place_and_payload), digest_size=15).hexdigest()


def wanted_subjects(filter: Filter, stream: str) -> list[str]:
    """Subjects that hold all that the filter lets through, and as little else as they can.

    None where that is too many of them, or the filter names no place: all of the stream then.
    """
    places: list[list[str]] = []
    for place in ("app_name", "region", "machine_id"):
        asked = [values for field, values in filter.exact if field == place]
        # The server refuses the same one twice: two long names may begin alike.
        places.append(sorted(set(map(_token, frozenset.intersection(*asked)))) if asked else ["*"])
    if places == [["*"]] * 3 or prod(map(len, places)) > MAX_SUBJECTS:
        return []
    # What is asked for twice, and cannot be both, is a subject under which nothing is stored.
    return [".".join([stream, "*", *place]) for place in product(*places)] or [f"{stream}.none"]


def _token(name: str) -> str:
    """A name as one part of a subject: `=` and two digits for each byte that none may hold.

    Of a long one its beginning: who asks for the name gets some others as well.
    """
    if _PLAIN.fullmatch(name):
        return name
    if not name:
        return "="
    encoded = name.encode("utf-8", "replace")[:NAME_BYTES]
    return _OTHER.sub(lambda match: b"=%02X" % match[0][0], encoded).decode()
