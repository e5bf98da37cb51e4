"""Bytes and objects → `LogEntry`. Pure.

In: a NATS subject and payload, or an object that a drain sender made. Out: one entry.
Nothing that a log line holds raises: a field of the wrong shape counts as absent, and a
payload that is not a JSON object is a line of raw text.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from natstream.entries.entry import EntryFields, LogEntry, decode_json, freeze

__all__ = [
    "LEVEL_ALIASES",
    "NdjsonLines",
    "cut",
    "parse_log_entry",
    "parse_nats",
    "parse_ndjson",
    "parse_object",
    "parse_text",
    "parse_time",
]

# A line this long is a dump, not a log line; one such line in a batch would hold up every reader.
MAX_MESSAGE_BYTES = 256 * 1024

# Who speaks for the platform rather than for the application.
INFRASTRUCTURE = frozenset({"fly", "proxy", "machine", "runner", "health"})

LEVEL_ALIASES = {"warning": "warn", "err": "error", "critical": "fatal"}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# What nearly every sender writes; the rest of ISO 8601 is left to the standard library.
_ISO_8601 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|z|[+-]\d\d(?::?\d\d)?|)",
    re.ASCII,
)
_OTHER_ISO_8601 = re.compile(
    r"\d{4}(-?)\d\d\1\d\d(?:[T ]\d\d[\d:]{0,6}(?:[.,]\d{1,30})?(?:Z|[+-][\d:]{2,5})?)?", re.ASCII
)
_DIGITS = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?", re.ASCII)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Years 1 to 9999, as the framing and every client can show them.
_FIRST_NS, _LAST_NS = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9


class NdjsonLines(list[dict[str, Any]]):
    """The objects of an NDJSON body, in order; `skipped` counts the lines that were none."""

    skipped: int = 0


def parse_ndjson(body: bytes) -> NdjsonLines:
    """One JSON object a line; CRLF and blank lines are fine, other lines skipped and counted."""
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


def parse_log_entry(
    raw: Mapping[str, Any], *, payload: bytes | None = None, app_name: str = ""
) -> LogEntry | None:
    """The entry that a drain sender's object describes; `None` if it names no machine.

    Args:
        raw: the decoded object.
        payload: the bytes it was decoded from, kept in its place: they take an eighth of it.
        app_name: the app of an entry that names none.
    """
    fly = _object(raw.get("fly"))
    machine = _machine(raw, fly)
    if not machine:
        return None
    return _entry(raw, fly, payload, machine, app_name, "", "drain")


def parse_object(payload: bytes, app_name: str = "") -> LogEntry | None:
    """`parse_log_entry` of a JSON text, which the entry keeps in place of the object.

    Raises:
        ValueError: it is not a JSON object.
    """
    try:
        line = _decode_drain_line(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not payload.lstrip().startswith(b"{"):
            raise ValueError("not an object") from None
    else:
        fly = line.fly
        machine = fly.app.instance or fly.machine.id or line.instance or line.machine_id
        if not machine:
            return None
        if line.message is not msgspec.UNSET and line.timestamp:
            app = fly.app.name or line.app_name or line.app or app_name
            return _line_entry(line, app, fly.region or line.region, machine, payload, "drain")
    raw = decode_json(payload)
    if type(raw) is not dict:
        raise ValueError("not an object")
    return parse_log_entry(raw, payload=payload, app_name=app_name)


def parse_nats(subject: str, payload: bytes) -> LogEntry:
    """The entry of one NATS message.

    The subject `logs.<app>.<region>.<machine>` is the authority for these three; the payload
    fills what it lacks.
    """
    app, region, machine = _subject_parts(subject)
    if app and region and machine:
        try:
            line = _decode_line(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if line.timestamp:
                return _line_entry(line, app, region, machine, payload, "nats")
    try:
        raw = decode_json(payload)
    except ValueError:
        raw = None
    if type(raw) is not dict:
        return parse_text(payload, machine, app_name=app, region=region, source="nats")
    fly = _object(raw.get("fly"))
    return _entry(raw, fly, payload, machine or _machine(raw, fly), app, region, "nats")


def parse_text(
    line: bytes,
    machine_id: str = "",
    *,
    app_name: str = "",
    region: str = "",
    source: str = "drain",
) -> LogEntry:
    """A line of raw text, of which nothing but its origin is known."""
    return LogEntry(
        machine_id,
        cut(line.decode("utf-8", "replace")),
        "stdout",
        "",
        app_name,
        line,
        region=region,
        source=source,
    )


class _Event(msgspec.Struct, frozen=True, gc=False):
    provider: str = ""


class _Log(msgspec.Struct, frozen=True, gc=False):
    level: str = ""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """What Fly publishes, as far as it matters once the subject has named the machine.

    Decoding into this takes 40 % off the cost of a line. A payload that does not fit takes the
    way of all others; the two give equal entries.
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


class _DrainLine(_Line, frozen=True, gc=False):
    """The same with what no subject has said: where it comes from."""

    message: str | msgspec.UnsetType = msgspec.UNSET  # type: ignore[assignment]  # looked at first
    timestamp: str = ""
    fly: _Fly = _Fly()
    instance: str = ""
    machine_id: str = ""
    app_name: str = ""
    app: str = ""
    region: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_drain_line = msgspec.json.Decoder(_DrainLine).decode


def _line_entry(
    line: _Line, app: str, region: str, machine: str, payload: bytes, source: str
) -> LogEntry:
    provider = line.event.provider
    return freeze(
        EntryFields(
            machine,
            cut(line.message),
            _stream(line.stream, provider, line.source),
            line.timestamp,
            app,
            payload,
            region,
            _level(line.log.level or line.level),
            provider,
            line.host,
            _unix_ns(line.timestamp),
            source,
        )
    )


def _entry(
    raw: Mapping[str, Any],
    fly: Mapping[str, Any],
    payload: bytes | None,
    machine: str,
    app: str,
    region: str,
    source: str,
) -> LogEntry:
    provider = _text(_object(raw.get("event")).get("provider"))
    timestamp = _text(raw.get("timestamp")) or _text(raw.get("time")) or _text(raw.get("ts"))
    return LogEntry(
        machine,
        _message(raw),
        _stream(_text(raw.get("stream")), provider, _text(raw.get("source"))),
        timestamp,
        # An app's name from the subject or the payload comes before the drain's default for it.
        (app if source == "nats" else "")
        or _text(_object(fly.get("app")).get("name"))
        or _text(raw.get("app_name"))
        or _text(raw.get("app"))
        or app,
        raw if payload is None else payload,
        region=region or _text(fly.get("region")) or _text(raw.get("region")),
        level=_level(_text(_object(raw.get("log")).get("level")) or _text(raw.get("level"))),
        provider=provider,
        host=_text(raw.get("host")),
        unix_ns=_unix_ns(timestamp),
        source=source,
    )


def _machine(raw: Mapping[str, Any], fly: Mapping[str, Any]) -> str:
    return (
        _text(_object(fly.get("app")).get("instance"))
        or _text(_object(fly.get("machine")).get("id"))
        or _text(raw.get("instance"))
        or _text(raw.get("machine_id"))
    )


def _message(raw: Mapping[str, Any]) -> str:
    for key in ("message", "log", "msg"):
        value = raw.get(key)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return cut(_text(value))
    return ""


def _stream(stream: str, provider: str, source: str) -> str:
    if stream:
        return stream.casefold()
    if provider.casefold() in INFRASTRUCTURE or source.casefold() in INFRASTRUCTURE:
        return "system"
    return "stdout"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Text as it is, a number as its decimal text, and everything else as the empty string."""
    if isinstance(value, str):
        if value.isascii():
            return value
        # Half a surrogate pair has no UTF-8 form: nothing that we send could hold it.
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # more digits than Python prints; nobody means them
            return ""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f") if math.isfinite(value) else str(value)
    return ""


def cut(message: str, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """A message of at most so many bytes, and words at its end if it was longer."""
    if len(message) <= max_bytes // 4:  # a character takes four bytes at the most
        return message
    encoded = message.encode()
    if len(encoded) <= max_bytes:
        return message
    kept = encoded[:max_bytes].decode("utf-8", "ignore")
    return f"{kept}… [cut here: the line was {len(encoded):,} bytes long]"


def _level(text: str) -> str:
    folded = text.casefold()
    return LEVEL_ALIASES.get(folded, folded)


@lru_cache(maxsize=4096)
def _subject_parts(subject: str) -> tuple[str, str, str]:
    """App, region and machine that a subject names, each empty where it does not."""
    parts = subject.split(".", 3)[1:]
    app, region, machine = parts + [""] * (3 - len(parts))
    return app, region, machine


def _unix_ns(timestamp: str) -> int:
    # As Fly writes it, "….252022967Z": the second is known from the line before.
    if timestamp[19:20] == "." and timestamp.endswith("Z") and timestamp.isascii():
        fraction = timestamp[20:-1]
        if len(fraction) <= 9 and fraction.isdigit():
            second = _second_ns(timestamp[:19])
            if second is not None:
                return second + int(fraction.ljust(9, "0"))
    unix_ns = parse_time(timestamp)
    return time.time_ns() if unix_ns is None else unix_ns


@lru_cache(maxsize=1024)
def _second_ns(text: str) -> int | None:
    return parse_time(text + "Z") if _ISO_8601.fullmatch(text) else None


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 or epoch time; `None` if it is neither.

    A time without a zone is UTC. Epoch times are seconds, ms, µs or ns, told apart by their size.
    """
    if match := _ISO_8601.fullmatch(text):
        whole, fraction, zone = match.groups()
        seconds = _epoch_seconds(whole, zone)
        if seconds is None:
            return None
        unix_ns = seconds * 10**9 + (int(fraction.ljust(9, "0")) if fraction else 0)
    elif _DIGITS.fullmatch(text):
        # Epoch seconds reach 1e11 in the year 5138.
        number = Decimal(text)
        size = abs(number)
        scale = 9 if size < 10**11 else 6 if size < 10**14 else 3 if size < 10**17 else 0
        unix_ns = int(number.scaleb(scale))
    elif _OTHER_ISO_8601.fullmatch(text) and (moment := _moment(text)):
        unix_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
    else:
        return None
    return unix_ns if _FIRST_NS <= unix_ns < _LAST_NS else None


@lru_cache(maxsize=1024)  # lines of the same second share all but the fraction
def _epoch_seconds(whole: str, zone: str) -> int | None:
    moment = _moment(whole + zone.upper())
    return None if moment is None else (moment - _EPOCH) // timedelta(seconds=1)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
