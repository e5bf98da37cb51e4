"""Fly's JSON, and JSON that resembles it → `LogEntry`. Pure.

In: a NATS subject and payload, or an object that a sender made. Out: one entry. No content of a log
line raises an exception: a field of the wrong type counts as absent, and a payload that is not a
JSON object becomes a line of raw text.

Two decoders lead to one entry. `_Line` is the shape of nearly every payload, and msgspec decodes
straight into it. `_tidied` brings any other object into the same shape, so that `_origin` and
`_entry` are the only places that choose between fields.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from natstream.entries.batches import find_batch
from natstream.entries.entry import LogEntry, decode_json, make_entry
from natstream.entries.level_keys import level_beside, sent_level
from natstream.entries.level_names import fold_level
from natstream.entries.levels import level_of
from natstream.entries.message import shown_message, text_message, text_of
from natstream.entries.times import first_time, line_time

__all__ = [
    "NdjsonLines",
    "Origin",
    "cut",
    "origin_of",
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

# The providers of lines that an app has written itself.
_APP_PROVIDERS = frozenset({"", "app"})


class Origin(NamedTuple):
    """The names of where a line comes from. Unknown ones are empty."""

    app: str = ""
    region: str = ""
    machine: str = ""


_NOWHERE = Origin()


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
            if (unix_ns := line_time(line.timestamp)) is not None:
                return _entry(line, named, payload, source, unix_ns)
    try:
        raw = decode_json(payload)
    except ValueError:
        raw = None
    if type(raw) is not dict:
        return parse_text(payload, machine, app_name=app, region=region, source=source)
    sent, unix_ns = _tidied(raw, payload)
    return _entry(sent, _origin(sent, named, _NOWHERE), payload, source, unix_ns)


def parse_object(
    payload: bytes, default: Origin = _NOWHERE, needs_machine: bool = True
) -> LogEntry | None:
    """Return the entry of a JSON text, which keeps the text's bytes.

    Return None if the text is no JSON object, or if the object holds a batch of lines (see
    `find_batch`) or names no machine. It differs from `parse_log_entry` for an object without a
    message: see `shown_message`.

    Args:
        payload: the text.
        default: the names of an entry that does not have its own.
        needs_machine: without it, an object that names no machine is an entry too.
    """
    try:
        line = _decode_sent(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not payload.lstrip().startswith(b"{"):
            return None
    else:
        if (
            line.message is not UNSET
            and line.meta is UNSET
            and (unix_ns := line_time(line.timestamp)) is not None
        ):
            origin = _origin(line, _UNNAMED, default)
            if needs_machine and not origin[2]:
                return None
            return _entry(line, origin, payload, "drain", unix_ns)
    if find_batch(payload):
        return None
    try:
        raw = decode_json(payload)
    except ValueError:
        return None
    if type(raw) is not dict:
        return None
    line, arrival = _tidied(raw, payload)
    origin = _origin(line, _UNNAMED, default)
    if needs_machine and not origin[2]:
        return None
    return _entry(line, origin, payload, "drain", arrival)


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
    line, unix_ns = _tidied(raw)
    origin = _origin(line, _UNNAMED, Origin(app_name))
    if not origin[2]:
        return None
    return _entry(line, origin, raw if payload is None else payload, "drain", unix_ns)


def origin_of(raw: Mapping[str, Any], default: Origin = _NOWHERE) -> Origin:
    """Return the names that an object gives to all lines of its batch."""
    return Origin(*_origin(_tidied(raw)[0], _UNNAMED, default))


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
        message=(message := cut(line.decode("utf-8", "replace"))),
        stream="stdout",
        timestamp="",
        app_name=app_name,
        raw=line,
        region=region,
        level=level_of(message),
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
    # The sender's own level, which may be a number.
    level: str | int | float = ""
    severity: str | int | float = ""
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
    # The names that other senders use.
    application: str = ""
    service: str = ""
    hostname: str = ""
    container_name: str = ""
    meta: msgspec.Raw | UnsetType = UNSET
    """Where Fly's own tools put the provider; `_tidied` reads it."""


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_sent_line = msgspec.json.Decoder(_SentLine).decode


class _WholeLine(_SentLine, forbid_unknown_fields=True, frozen=True, gc=False):
    """A `_SentLine` that has no other keys, so that no level can stand in one of them."""


_decode_whole_line = msgspec.json.Decoder(_WholeLine).decode


def _decode_sent(payload: bytes) -> _SentLine:
    """Decode a sender's object, and Fly's own in a way that saves `_level` a second decoding."""
    if payload.startswith(b'{"event":{'):  # as Fly and Vector write it
        try:
            return _decode_whole_line(payload)
        except msgspec.ValidationError:
            pass
    return _decode_sent_line(payload)


def _tidied(raw: Mapping[str, Any], payload: bytes | None = None) -> tuple[_SentLine, int]:
    """Return an object's fields as texts, and its time; a field of the wrong type is empty.

    Args:
        raw: the object.
        payload: what it was decoded from, if its message is the `shown_message`.
    """
    texts = {name: text_of(value) for name, value in raw.items() if name in _TEXTS}
    if payload is None:
        texts["message"] = text_message(raw) or ""
    else:
        texts["message"] = shown_message(raw, payload)
    texts["timestamp"], unix_ns = first_time(raw)
    event, log, fly = _object(raw.get("event")), _object(raw.get("log")), _object(raw.get("fly"))
    provider = text_of(event.get("provider")) or _provider_in(_object(raw.get("meta")))
    line = _SentLine(
        event=_Event(provider),
        log=_Log(text_of(log.get("level"))),
        fly=_tidied_fly(fly) if fly else _Fly(),
        level=_number(raw.get("level")),
        severity=_number(raw.get("severity")),
        **texts,  # type: ignore[arg-type]  # names of texts alone
    )
    return line, unix_ns


def _provider_in(meta: Mapping[str, Any]) -> str:
    """Return the provider in `meta`, which Fly's interface calls event and its command Event."""
    event, printed = _object(meta.get("event")), _object(meta.get("Event"))
    return text_of(event.get("provider")) or text_of(printed.get("Provider"))


def _tidied_fly(fly: Mapping[str, Any]) -> _Fly:
    app, machine = _object(fly.get("app")), _object(fly.get("machine"))
    return _Fly(
        app=_App(text_of(app.get("instance")), name=text_of(app.get("name"))),
        machine=_Machine(text_of(machine.get("id"))),
        region=text_of(fly.get("region")),
    )


# The fields of a payload that are texts at its top.
_TEXTS = frozenset(field.name for field in msgspec.structs.fields(_SentLine) if field.type is str)


# --- the entry -----------------------------------------------------------------------------------


# App, region and machine of a line, as a subject orders them; unknown ones are empty.
_Origin = tuple[str, str, str]
_UNNAMED: _Origin = ("", "", "")  # a bare tuple, since Python unpacks others more slowly


@lru_cache(maxsize=4096)
def _named_by(subject: str) -> _Origin:
    """Return the app, region and machine that a NATS subject names, each empty if it does not."""
    parts = subject.split(".", 3)[1:]
    app, region, machine = parts + [""] * (3 - len(parts))
    return app, region, machine


def _origin(line: _SentLine, named: _Origin, default: _Origin) -> _Origin:
    """Return where a line comes from. Only this function decides which field wins.

    Args:
        line: the payload.
        named: the names in the message's subject, which win over the payload's.
        default: the drain's names, for a payload that has none.
    """
    app, region, machine = named
    fly = line.fly
    in_fly = fly.app
    return (
        app or in_fly.name or line.app_name or line.app or _other_app(line) or default[0],
        region or fly.region or line.region or default[1],
        machine
        or in_fly.instance
        or fly.machine.id
        or line.instance
        or line.machine_id
        or line.hostname
        or line.container_name.lstrip("/")
        or default[2],
    )


def _other_app(line: _SentLine) -> str:
    # Docker writes a slash before the name of a container.
    return line.application or line.service or line.container_name.lstrip("/")


def _entry(
    line: _Line, origin: _Origin, raw: Mapping[str, Any] | bytes, source: str, unix_ns: int
) -> LogEntry:
    app, region, machine = origin
    message, provider = line.message, line.event.provider
    stream = _stream(line.stream, provider, line.source)
    return make_entry(
        machine_id=machine,
        # Few messages are long, and a call for each would take 3 % of the time of a line.
        message=message if len(message) <= SHORT_MESSAGE else cut(message),
        stream=stream,
        timestamp=line.timestamp,
        app_name=app,
        raw=raw,
        region=region,
        level=_level(line, stream, raw, source),
        provider=provider,
        host=line.host,
        unix_ns=unix_ns,
        source=source,
    )


def _stream(stream: str, provider: str, source: str) -> str:
    if stream:
        return stream.casefold()
    if provider.casefold() in INFRASTRUCTURE or source.casefold() in INFRASTRUCTURE:
        return "system"
    return "stdout"


def _level(line: _Line, stream: str, raw: Mapping[str, Any] | bytes, source: str) -> str:
    """Return the sender's own level, else the app's own word, else the platform's level."""
    platform = line.log.level
    # Fly's recipe for Loki copies the platform's level to `level`, unless the app has one there.
    if line.level != "" and line.level != platform:
        return sent_level("level", line.level, raw)
    if line.severity != "":
        return sent_level("severity", line.severity, raw)
    if source == "drain" and type(line) is not _WholeLine and (level := level_beside(raw)):
        return level
    level = ""
    if stream != "system" and line.event.provider in _APP_PROVIDERS:
        level = level_of(line.message)
    return level or fold_level(platform)


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


def _number(value: Any) -> str | float:
    """Return a number as it is, and everything else as `text_of` does."""
    return value if type(value) in (int, float) else text_of(value)
