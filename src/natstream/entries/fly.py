"""Fly's JSON, and JSON that resembles it → `LogEntry`. Pure.

In: a NATS subject and payload, or an object that a sender made. Out: one entry. No content of a log
line raises an exception: a field of the wrong type counts as absent, and a payload that is not a
JSON object becomes a line of raw text.

Two decoders lead to one entry. `FlyLine` is the shape of nearly every payload, and msgspec decodes
straight into it. `tidied` brings any other object into the same shape, so that `_origin` and
`_entry` are the only places that choose between fields.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from natstream.entries.batches import find_batch
from natstream.entries.entry import LogEntry, decode_json, make_entry
from natstream.entries.envelopes import (
    MAX_KEPT,
    MESSAGE,
    Envelope,
    decode_envelope,
    entries_behind,
    entry_behind,
    envelope_end,
)
from natstream.entries.level_keys import level_beside, sent_level
from natstream.entries.level_names import fold_level
from natstream.entries.levels import level_of
from natstream.entries.members import known_members
from natstream.entries.message import (
    SHORT_MESSAGE,
    cut_text,
)
from natstream.entries.payloads import (
    FlyLine,
    SentLine,
    WholeLine,
    decode_line,
    decode_sent,
)
from natstream.entries.tidied import tidied
from natstream.entries.times import line_time

__all__ = [
    "LONGEST_NAME",
    "NdjsonLines",
    "Origin",
    "origin_of",
    "parse_log_entry",
    "parse_messages",
    "parse_nats",
    "parse_ndjson",
    "parse_object",
    "parse_objects",
    "parse_text",
]

# Characters of a name, such as the app's; the rest is dropped, because an entry counts as large as
# its payload and its message. Names in a payload of at most `MAX_NAMES` bytes are short enough.
LONGEST_NAME, MAX_NAMES = 256, 1_000

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
    start = envelope_end(payload)
    if start > 0:
        envelope = _published_envelope(payload[:start], subject, source)
        if envelope is not None and (entry := entry_behind(envelope, payload, start)) is not None:
            return entry
    return _parse_published(subject, payload, source)


def _parse_published(subject: str, payload: bytes, source: str) -> LogEntry:
    """Do the same as `parse_nats`, and read the payload as a whole."""
    named = app, region, machine = _named_by(subject)
    if app and region and machine:
        try:
            line = decode_line(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if (
                len(line.message) <= SHORT_MESSAGE
                and (unix_ns := line_time(line.timestamp)) is not None
            ):
                return _entry(line, named, payload, source, unix_ns)
    try:
        raw = known_members(payload)
    except ValueError:
        return parse_text(payload, machine, app_name=app, region=region, source=source)
    sent, unix_ns = tidied(raw, payload)
    return _entry(sent, _origin(sent, named, _NOWHERE), payload, source, unix_ns)


def parse_messages(messages: Sequence[tuple[bytes, bytes]]) -> list[LogEntry]:
    """Return what `parse_nats` returns for each subject and payload, in less time."""
    payloads, starts, envelopes = [], [], []
    for subject, payload in messages:
        last = _last_beginnings.get(subject)
        # Most envelopes are those of the machine's line before.
        if last is None or not payload.startswith(last.text):
            last = _beginning(subject, payload)
        payloads.append(payload)
        starts.append(last.end)
        envelopes.append(last.envelope)
    entries = entries_behind(envelopes, payloads, starts)
    return [
        entry or _parse_published(subject.decode(errors="replace"), payload, "nats")
        for entry, (subject, payload) in zip(entries, messages, strict=True)
    ]


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
    start = envelope_end(payload)
    if start > 0:
        envelope = _sent_envelope(payload[:start], default)
        if envelope is not None and (envelope.machine or not needs_machine):
            entry = entry_behind(envelope, payload, start)
            if entry is not None:
                return entry
    return _parse_sent(payload, default, needs_machine)


def _parse_sent(payload: bytes, default: Origin, needs_machine: bool) -> LogEntry | None:
    """Do the same as `parse_object`, and read the text as a whole."""
    try:
        line = decode_sent(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not payload.lstrip().startswith(b"{"):
            return None
    else:
        if (
            line.message is not UNSET
            and len(line.message) <= SHORT_MESSAGE
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
        raw = known_members(payload)
    except ValueError:
        return None
    line, arrival = tidied(raw, payload)
    origin = _origin(line, _UNNAMED, default)
    if needs_machine and not origin[2]:
        return None
    return _entry(line, origin, payload, "drain", arrival)


def parse_objects(
    payloads: Sequence[bytes], default: Origin = _NOWHERE, needs_machine: bool = True
) -> list[LogEntry | None]:
    """Return what `parse_object` returns for each of many texts, in less time."""
    envelopes: list[Envelope | None] = []
    starts: list[int] = []
    envelope: Envelope | None = None
    beginning, start = b"\n", 0  # no object begins so
    for payload in payloads:
        if not payload.startswith(beginning):
            start = envelope_end(payload)
            envelope = _sent_envelope(payload[:start], default) if start > 0 else None
            if envelope is not None and needs_machine and not envelope.machine:
                envelope = None
            beginning = payload[: start + len(MESSAGE)] if start > 0 else b"\n"
        envelopes.append(envelope)
        starts.append(start)
    entries = entries_behind(envelopes, payloads, starts)
    if not all(entries):
        for index, entry in enumerate(entries):
            if entry is None:
                entries[index] = _parse_sent(payloads[index], default, needs_machine)
    return entries


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
    line, unix_ns = tidied(raw)
    origin = _origin(line, _UNNAMED, Origin(app_name))
    if not origin[2]:
        return None
    return _entry(line, origin, raw if payload is None else payload, "drain", unix_ns)


def origin_of(raw: Mapping[str, Any], default: Origin = _NOWHERE) -> Origin:
    """Return the names that an object gives to all lines of its batch."""
    return Origin(*_origin(tidied(raw)[0], _UNNAMED, default))


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
        message=(message := cut_text(line)),
        stream="stdout",
        timestamp="",
        app_name=app_name,
        raw=line if len(line) <= MAX_KEPT else message.encode(),
        region=region,
        level=level_of(message),
        provider="",
        host="",
        unix_ns=time.time_ns(),
        source=source,
    )


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


def _origin(line: SentLine, named: _Origin, default: _Origin) -> _Origin:
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


def _other_app(line: SentLine) -> str:
    # Docker writes a slash before the name of a container.
    return line.application or line.service or line.container_name.lstrip("/")


def _entry(
    line: FlyLine, origin: _Origin, raw: Mapping[str, Any] | bytes, source: str, unix_ns: int
) -> LogEntry:
    app, region, machine = origin
    message, provider = line.message, line.event.provider
    stream = _stream(line.stream, provider, line.source)
    level, timestamp, host = _level(line, stream, raw, source), line.timestamp, line.host
    if type(raw) is not bytes or len(raw) > MAX_NAMES:
        app, region, machine, stream, level, timestamp, provider, host = [
            text if type(text) is not str or len(text) <= LONGEST_NAME else text[:LONGEST_NAME]
            for text in (app, region, machine, stream, level, timestamp, provider, host)
        ]
    return make_entry(
        machine_id=machine,
        message=message,
        stream=stream,
        timestamp=timestamp,
        app_name=app,
        raw=raw if len(raw) <= MAX_KEPT or source != "drain" else _kept(raw, message),
        region=region,
        level=level,
        provider=provider,
        host=host,
        unix_ns=unix_ns,
        source=source,
    )


# --- envelopes -----------------------------------------------------------------------------------


# Two levels of each of 5,000 machines; an envelope takes about 1.5 KB. The lines of an even larger
# fleet, all of whose machines take turns, take 3 µs longer each than without envelopes.
_KEPT_ENVELOPES = 10_000


@lru_cache(maxsize=_KEPT_ENVELOPES)
def _published_envelope(envelope: bytes, subject: str, source: str) -> Envelope | None:
    """Return the envelope of a payload from NATS; None if its line is to be read as a whole."""
    return _make_published(envelope, subject, source)


def _make_published(envelope: bytes, subject: str, source: str) -> Envelope | None:
    named = _named_by(subject)
    if not all(named):
        return None
    line = decode_envelope(envelope, decode_line)
    return None if line is None else _envelope(line, named, source)


class _Beginning(NamedTuple):
    """How a payload begins: its envelope, and the bytes in front of the message's text."""

    text: bytes
    end: int
    """Where the envelope ends."""
    envelope: Envelope | None


# By the subject: how its newest line with an envelope began.
_last_beginnings: dict[bytes, _Beginning] = {}


def _beginning(subject: bytes, payload: bytes) -> _Beginning:
    """Return how a payload begins; its next lines begin so, too, if there is an envelope."""
    end = envelope_end(payload)
    envelope = _received_envelope(payload[:end], subject) if end > 0 else None
    beginning = _Beginning(payload[: end + len(MESSAGE)], end, envelope)
    if envelope is not None:
        if subject not in _last_beginnings and len(_last_beginnings) >= _KEPT_ENVELOPES:
            _last_beginnings.clear()
        _last_beginnings[subject] = beginning
    return beginning


@lru_cache(maxsize=_KEPT_ENVELOPES)
def _received_envelope(envelope: bytes, subject: bytes) -> Envelope | None:
    """Do the same for a subject as it was received."""
    return _make_published(envelope, subject.decode(errors="replace"), "nats")


@lru_cache(maxsize=_KEPT_ENVELOPES)
def _sent_envelope(envelope: bytes, default: Origin) -> Envelope | None:
    """Return the envelope of a sender's payload; None if its line is to be read as a whole."""
    line = decode_envelope(envelope, decode_sent)
    # A level or a batch of lines may stand in another member.
    if type(line) is not WholeLine or line.meta is not UNSET:
        return None
    return _envelope(line, _origin(line, _UNNAMED, default), "drain")


def _envelope(line: FlyLine, origin: _Origin, source: str) -> Envelope | None:
    platform, provider, host = line.log.level, line.event.provider, line.host
    stream = _stream(line.stream, provider, line.source)
    # How a level of the sender counts depends on the whole payload.
    says_level = line.severity != "" or line.level not in ("", platform)
    level = fold_level(platform)
    names = (*origin, stream, provider, host, level)
    if says_level or max(map(len, names)) > LONGEST_NAME:
        return None
    is_of_app = stream != "system" and provider in _APP_PROVIDERS
    return Envelope(*origin, stream, provider, host, level, is_of_app, source)


def _stream(stream: str, provider: str, source: str) -> str:
    if stream:
        return stream.casefold()
    if provider.casefold() in INFRASTRUCTURE or source.casefold() in INFRASTRUCTURE:
        return "system"
    return "stdout"


def _level(line: FlyLine, stream: str, raw: Mapping[str, Any] | bytes, source: str) -> str:
    """Return the sender's own level, else the app's own word, else the platform's level."""
    platform = line.log.level
    # Fly's recipe for Loki copies the platform's level to `level`, unless the app has one there.
    if line.level != "" and line.level != platform:
        return sent_level("level", line.level, raw)
    if line.severity != "":
        return sent_level("severity", line.severity, raw)
    if source == "drain" and type(line) is not WholeLine and (level := level_beside(raw)):
        return level
    level = ""
    if stream != "system" and line.event.provider in _APP_PROVIDERS:
        level = level_of(line.message)
    return level or fold_level(platform)


def _kept(payload: Mapping[str, Any] | bytes, message: str) -> Mapping[str, Any] | bytes:
    """Return the known members of a payload that is too large to be kept, as an object."""
    if not isinstance(payload, bytes):
        return payload
    try:
        known = known_members(payload)
    except ValueError:
        return b""
    short = {
        name: value
        for name, value in known.items()
        if type(value) is not str or len(value) <= SHORT_MESSAGE
    }
    note = f"The object had {len(payload):,} bytes, so only its known members were kept."
    return msgspec.json.encode({**short, "message": message, "natstream": note})
