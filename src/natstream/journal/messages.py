"""Entries ↔ the journal's messages. Pure.

A line from NATS is stored with its original payload, under its original subject behind the
stream's name: `natstream.logs.<app>.<region>.<machine>`. An entry that parsing would not give back
in this way is stored as its fields, under `natstream.entries.<app>.<region>.<machine>`: for example
an entry of a drain, or one with a name that cannot stand in a subject, or with an unreadable time.
So the server itself can filter by app, region and machine, and other tools can read most lines.
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
from natstream.entries.fly import parse_nats
from natstream.entries.message import cut
from natstream.entries.times import parse_time

__all__ = ["content_id", "decode", "encode", "subject", "wanted_subjects"]

_LINES, _ENTRIES = "logs", "entries"

# A subject holds at most so many bytes of a name, because the server closes a connection that sends
# it a line of more than 4 KiB.
NAME_BYTES = 128
_PLAIN = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_BYTES}}}", re.ASCII)
_OTHER = re.compile(rb"[^A-Za-z0-9_-]")

# The server searches for each subject. With more subjects than this, sending everything is as fast.
MAX_SUBJECTS = 64

# The most bytes of the words that `cut` puts at the end of a message.
_MARKER_BYTES = 64

_NS = 10**9
_TEXTS = (
    "machine_id", "stream", "timestamp", "app_name", "region", "level", "provider", "host", "source"
)  # fmt: skip


class _StoredFields(msgspec.Struct, array_like=True):
    """The fields of an entry, in their order."""

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
_unpack = msgspec.msgpack.Decoder(_StoredFields).decode


def encode(entry: LogEntry, max_bytes: int) -> tuple[str, bytes]:
    """Return the subject, without the stream's name, and the payload under which to store an entry.

    Args:
        entry: an entry of a source.
        max_bytes: the largest payload that the server accepts. If the entry needs more, its
            original payload is left out, and if that is not enough, its message is cut.
    """
    payload = _payload(entry)
    if len(payload) <= max_bytes and _is_given_back(entry):
        return subject(entry), payload
    seconds, ns = divmod(entry.unix_ns, _NS)
    fields = _StoredFields(
        machine_id=entry.machine_id,
        message=entry.message,
        stream=entry.stream,
        timestamp=entry.timestamp,
        app_name=entry.app_name,
        raw=payload,
        region=entry.region,
        level=entry.level,
        provider=entry.provider,
        host=entry.host,
        seconds=seconds,
        ns=ns,
        source=entry.source,
    )
    packed = _pack(fields)
    if len(packed) > max_bytes:
        fields.raw = b""
        packed = _pack(fields)
    if len(packed) > max_bytes:
        packed = _pack(_shortened(fields, max_bytes))
    origin = ".".join(map(_token, (fields.app_name, fields.region, fields.machine_id)))
    return f"{_ENTRIES}.{origin}", packed


def _payload(entry: LogEntry) -> bytes:
    raw = entry._raw
    return raw if isinstance(raw, bytes) else json.dumps(raw).encode()


def _shortened(fields: _StoredFields, max_bytes: int) -> _StoredFields:
    """Return the fields cut so that they fit, because no line may hold up the lines behind it.

    Other fields are cut first, so that as much of the message is kept as possible.
    """
    for name in _TEXTS:
        setattr(fields, name, _beginning(getattr(fields, name), max_bytes // 16))
    message, fields.message = fields.message, ""
    fields.message = cut(message, max(0, max_bytes - len(_pack(fields)) - _MARKER_BYTES))
    return fields


def _beginning(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _is_given_back(entry: LogEntry) -> bool:
    """Return whether parsing the entry's payload in another process gives the same entry."""
    return (
        entry.source == "nats"
        and _PLAIN.fullmatch(entry.app_name) is not None
        and _PLAIN.fullmatch(entry.region) is not None
        and _PLAIN.fullmatch(entry.machine_id) is not None
        and parse_time(entry.timestamp) is not None
    )


def decode(subject: bytes, payload: bytes) -> LogEntry:
    """Return the entry of a message.

    Args:
        subject: the message's subject, without the stream's name.
        payload: the message's payload.

    Raises:
        ValueError: another program has stored this message.
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
    """Return Fly's subject for the app, region and machine of an entry."""
    return f"{_LINES}.{entry.app_name}.{entry.region}.{entry.machine_id}"


def content_id(entry: LogEntry) -> str:
    """Return an id for a message of NATS, which is the same in every process."""
    content = (entry.app_name, entry.region, entry.machine_id, _payload(entry))
    return blake2b(_pack(content), digest_size=15).hexdigest()


def wanted_subjects(filter: Filter, stream: str) -> list[str]:
    """Return the fewest subjects that hold every entry that the filter lets through.

    The list is empty, which means the whole stream, if these would be too many subjects, or if the
    filter names no app, region or machine.
    """
    names: list[list[str]] = []
    for name in ("app_name", "region", "machine_id"):
        asked = filter.values(name)
        # The server refuses equal subjects, and two long names may begin alike.
        names.append(["*"] if asked is None else sorted(set(map(_token, asked))))
    if names == [["*"]] * 3 or prod(map(len, names)) > MAX_SUBJECTS:
        return []
    # A filter that contradicts itself gets a subject under which no entry is stored.
    return [".".join([stream, "*", *tokens]) for tokens in product(*names)] or [f"{stream}.none"]


def _token(name: str) -> str:
    """Return a name as one part of a subject: `=` and two digits stand for each special byte.

    Only the beginning of a long name is kept, so a reader that asks for it may be sent entries of
    other names as well; its filter rejects them.
    """
    if _PLAIN.fullmatch(name):
        return name
    if not name:
        return "="
    encoded = name.encode("utf-8", "replace")[:NAME_BYTES]
    return _OTHER.sub(lambda match: b"=%02X" % match[0][0], encoded).decode()
