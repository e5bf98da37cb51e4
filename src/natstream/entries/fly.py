"""Fly's JSON, and JSON that resembles it → `LogEntry`. Pure.

In: a NATS subject and payload, or an object that a sender made. Out: one entry. No content of a log
line raises an exception: a field of the wrong type counts as absent, and a payload that is not a
JSON object becomes a line of raw text.

Two decoders lead to one entry. `_Line` is the shape of nearly every payload, and msgspec decodes
straight into it. `_tidied` brings any other object into the same shape, so that `_origin` and
`_entry` are the only places that choose between fields.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from natstream.entries.entry import LogEntry, decode_json, make_entry
from natstream.entries.times import time_or_arrival

__all__ = [
    "LEVEL_ALIASES",
    "NdjsonLines",
    "cut",
    "parse_log_entry",
    "parse_nats",
    "parse_ndjson",
    "parse_object",
    "parse_text",
]

# A longer message is a dump rather than a log line, and one such line would hold up every reader.
MAX_MESSAGE_BYTES = 256 * 1024
# A message of so many characters is never too long, since a character takes at most four bytes.
SHORT_MESSAGE = MAX_MESSAGE_BYTES // 4

# Providers and sources that belong to the platform rather than to the application.
INFRASTRUCTURE = frozenset({"fly", "proxy", "machine", "runner", "health"})

LEVEL_ALIASES = {"warning": "warn", "err": "error", "critical": "fatal"}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NdjsonLines(list[dict[str, Any]]):
    """The objects of an NDJSON body, in order."""

    skipped: int = 0
    """How many lines were not JSON objects."""


def parse_ndjson(body: bytes) -> NdjsonLines:
    """Return the JSON objects of a body that holds one on each line.

    Blank lines are ignored, and lines may end with CRLF. Other lines are skipped and counted.
    """
    lines = NdjsonLines()
    for line in body.split(b"\n"):
        if not (line := line.strip()):
            continue
        try:
            value = decode_json(line)
        except ValueError:
            lines.skipped += 1
            continue
        if isinstance(value, dict):
            lines.append(value)
        else:
            lines.skipped += 1
    return lines


def parse_nats(subject: str, payload: bytes, source: str = "nats") -> LogEntry:
    """Return the entry of one NATS message.

    The subject `logs.<app>.<region>.<machine>` names the app, the region and the machine. The
    payload names only those that the subject lacks. `source` is what the entry says of its source.
    """
    named = app, region, machine = _named_by(subject)
    if app and region and machine:
        try:
            line = _decode_line(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if line.timestamp:
                return _entry(line, named, payload, source)
    try:
        raw = decode_json(payload)
    except ValueError:
        raw = None
    if type(raw) is not dict:
        return parse_text(payload, machine, app_name=app, region=region, source=source)
    sent = _tidied(raw)
    return _entry(sent, _origin(sent, named, ""), payload, source)


def parse_object(payload: bytes, app_name: str = "") -> LogEntry | None:
    """Return the entry of a JSON text, as `parse_log_entry` does; it keeps the text's bytes.

    Raises:
        ValueError: the text is not a JSON object.
    """
    try:
        line = _decode_sent_line(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not payload.lstrip().startswith(b"{"):
            raise ValueError("not an object") from None
    else:
        origin = _origin(line, _UNNAMED, app_name)
        if not origin[2]:
            return None
        if line.message is not UNSET and line.timestamp:
            return _entry(line, origin, payload, "drain")
    raw = decode_json(payload)
    if type(raw) is not dict:
        raise ValueError("not an object")
    return parse_log_entry(raw, payload=payload, app_name=app_name)


def parse_log_entry(
    raw: Mapping[str, Any], *, payload: bytes | None = None, app_name: str = ""
) -> LogEntry | None:
    """Return the entry that a sender's object describes, or None if it names no machine.

    Args:
        raw: the decoded object.
        payload: the bytes from which it was decoded. The entry keeps these instead of the object,
            because they take an eighth of the memory.
        app_name: the app of an entry that names none.
    """
    line = _tidied(raw)
    origin = _origin(line, _UNNAMED, app_name)
    if not origin[2]:
        return None
    return _entry(line, origin, raw if payload is None else payload, "drain")


def parse_text(
    line: bytes,
    machine_id: str = "",
    *,
    app_name: str = "",
    region: str = "",
    source: str = "drain",
) -> LogEntry:
    """Return the entry of a line of raw text, of which at most the origin is known."""
    return make_entry(
        machine_id=machine_id,
        message=cut(line.decode("utf-8", "replace")),
        stream="stdout",
        timestamp="",
        app_name=app_name,
        raw=line,
        region=region,
        level="",
        provider="",
        host="",
        unix_ns=time.time_ns(),
        source=source,
    )


# --- the shape of a payload ----------------------------------------------------------------------


class _Event(msgspec.Struct, frozen=True, gc=False):
    provider: str = ""


class _Log(msgspec.Struct, frozen=True, gc=False):
    level: str = ""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """The fields of a payload that matter once the subject has named its origin.

    Decoding into this shape takes 40 % off the cost of a line. `_tidied` reads the payloads that
    do not fit; both ways give equal entries.
    """

    message: str
    timestamp: str
    event: _Event = _Event()
    log: _Log = _Log()
    level: str = ""
    host: str = ""
    stream: str = ""
    source: str = ""


class _App(msgspec.Struct, frozen=True, gc=False):
    instance: str = ""
    name: str = ""


class _Machine(msgspec.Struct, frozen=True, gc=False):
    id: str = ""


class _Fly(msgspec.Struct, frozen=True, gc=False):
    app: _App = _App()
    machine: _Machine = _Machine()
    region: str = ""


class _SentLine(_Line, frozen=True, gc=False):
    """A `_Line` with the fields that name its origin, for payloads without a complete subject."""

    message: str | UnsetType = UNSET  # type: ignore[assignment]  # checked before use
    timestamp: str = ""
    fly: _Fly = _Fly()
    instance: str = ""
    machine_id: str = ""
    app_name: str = ""
    app: str = ""
    region: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_sent_line = msgspec.json.Decoder(_SentLine).decode


def _tidied(raw: Mapping[str, Any]) -> _SentLine:
    """Return an object's fields as texts. A field of the wrong type is empty."""
    texts = {name: _text(value) for name, value in raw.items() if name in _TEXTS}
    texts["message"] = _message(raw)
    if not texts.get("timestamp"):
        texts["timestamp"] = _text(raw.get("time")) or _text(raw.get("ts"))
    event, log, fly = _object(raw.get("event")), _object(raw.get("log")), _object(raw.get("fly"))
    return _SentLine(
        event=_Event(_text(event.get("provider"))),
        log=_Log(_text(log.get("level"))),
        fly=_tidied_fly(fly) if fly else _Fly(),
        **texts,
    )


def _tidied_fly(fly: Mapping[str, Any]) -> _Fly:
    app, machine = _object(fly.get("app")), _object(fly.get("machine"))
    return _Fly(
        app=_App(_text(app.get("instance")), name=_text(app.get("name"))),
        machine=_Machine(_text(machine.get("id"))),
        region=_text(fly.get("region")),
    )


# The fields of a payload that are texts at its top.
_TEXTS = frozenset(field.name for field in msgspec.structs.fields(_SentLine) if field.type is str)


# --- the entry -----------------------------------------------------------------------------------


# App, region and machine of a line, as a subject orders them; unknown ones are empty.
_Origin = tuple[str, str, str]
_UNNAMED: _Origin = ("", "", "")


@lru_cache(maxsize=4096)
def _named_by(subject: str) -> _Origin:
    """Return the app, region and machine that a NATS subject names, each empty if it does not."""
    parts = subject.split(".", 3)[1:]
    app, region, machine = parts + [""] * (3 - len(parts))
    return app, region, machine


def _origin(line: _SentLine, named: _Origin, default_app: str) -> _Origin:
    """Return where a line comes from. Only this function decides which field wins.

    Args:
        line: the payload.
        named: the names in the message's subject, which win over the payload's.
        default_app: the drain's name for the app, for a payload that names none.
    """
    app, region, machine = named
    fly = line.fly
    in_fly = fly.app
    return (
        app or in_fly.name or line.app_name or line.app or default_app,
        region or fly.region or line.region,
        machine or in_fly.instance or fly.machine.id or line.instance or line.machine_id,
    )


def _entry(line: _Line, origin: _Origin, raw: Mapping[str, Any] | bytes, source: str) -> LogEntry:
    app, region, machine = origin
    message, provider = line.message, line.event.provider
    return make_entry(
        machine_id=machine,
        # Few messages are long, and a call for each would take 3 % of the time of a line.
        message=message if len(message) <= SHORT_MESSAGE else cut(message),
        stream=_stream(line.stream, provider, line.source),
        timestamp=line.timestamp,
        app_name=app,
        raw=raw,
        region=region,
        level=_level(line.log.level or line.level),
        provider=provider,
        host=line.host,
        unix_ns=time_or_arrival(line.timestamp),
        source=source,
    )


def _message(raw: Mapping[str, Any]) -> str:
    for key in ("message", "log", "msg"):
        value = raw.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return _text(value)
    return ""


def _stream(stream: str, provider: str, source: str) -> str:
    if stream:
        return stream.casefold()
    if provider.casefold() in INFRASTRUCTURE or source.casefold() in INFRASTRUCTURE:
        return "system"
    return "stdout"


def _level(text: str) -> str:
    folded = text.casefold()
    return LEVEL_ALIASES.get(folded, folded)


def cut(message: str, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Return at most `max_bytes` of a message; a note at the end of a cut one gives its length."""
    if len(message) * 4 <= max_bytes:
        return message
    encoded = message.encode()
    if len(encoded) <= max_bytes:
        return message
    kept = encoded[:max_bytes].decode("utf-8", "ignore")
    return f"{kept}… [cut here: the line was {len(encoded):,} bytes long]"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NO_FIELDS


_NO_FIELDS: Mapping[str, Any] = {}


def _text(value: Any) -> str:
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
