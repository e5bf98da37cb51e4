"""The beginning of a payload, in front of its message, which most lines of a machine share. Pure.

In: a payload. Out: where its envelope ends, and the entry of a line behind an envelope that was
read before. Of such a line only the message and the time are decoded, which takes a third of the
time. A payload of another shape gives None, and is read as a whole.

The envelope begins as those of Fly do, and ends in front of the first `"message":"`, if a comma
stands before it. No string holds these bytes, because quotes in a string have backslashes. They
begin a member at the top of the object if the envelope is valid JSON with nothing but a message, a
time and a bracket behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from natstream.entries.entry import LogEntry, make_entry
from natstream.entries.levels import level_of
from natstream.entries.message import SHORT_MESSAGE
from natstream.entries.payloads import FlyLine
from natstream.entries.times import line_time

__all__ = [
    "MAX_KEPT",
    "MESSAGE",
    "Envelope",
    "decode_envelope",
    "entries_behind",
    "entry_behind",
    "envelope_end",
]

# A longer payload of a sender is not kept. It is as long as the payloads that NATS accepts.
MAX_KEPT = 1 << 20
# Lines that are decoded in one call, during which no other thread runs.
RUN_LINES = 1_000
COMMA = ord(",")
# Bytes of an envelope, and characters of a time. Longer ones are not Fly's.
LONGEST, LONGEST_TIME = 512, 64

BEGINNING = b'{"event":{'
MESSAGE = b'"message":"'
"""The bytes behind an envelope."""
_REST = b'"message":"","timestamp":""}'

Line = TypeVar("Line", bound=FlyLine)


class Envelope(NamedTuple):
    """All that an entry takes from its payload's envelope."""

    app: str
    region: str
    machine: str
    stream: str
    provider: str
    host: str
    level: str
    """The platform's level, for a line that says none."""
    is_of_app: bool
    """Whether its message may say a level."""
    source: str


class _Rest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """What stands behind an envelope: a message and a time, and nothing else."""

    message: str
    timestamp: str


_decode_rest = msgspec.json.Decoder(_Rest).decode
_decode_rests = msgspec.json.Decoder(list[_Rest]).decode


def envelope_end(payload: bytes) -> int:
    """Return where the envelope of a payload ends; less than 1 if it has none."""
    if not payload.startswith(BEGINNING):
        return 0
    end = payload.find(MESSAGE, 0, LONGEST)
    return end if payload[end - 1] == COMMA else 0


def decode_envelope(envelope: bytes, decode: Callable[[bytes], Line]) -> Line | None:
    """Return the line of an envelope, without message and time; None if it is not an envelope."""
    try:
        return decode(envelope + _REST)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def entry_behind(envelope: Envelope, payload: bytes, start: int) -> LogEntry | None:
    """Return the entry of a line behind an envelope, or None if it is to be read as a whole."""
    try:
        rest = _decode_rest(b"{" + payload[start:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _entry(envelope, payload, rest)


def entries_behind(
    envelopes: Sequence[Envelope | None], payloads: Sequence[bytes], starts: Sequence[int]
) -> list[LogEntry | None]:
    """Return what `entry_behind` returns for each of many lines, in less time.

    If the first line of a run is to be read as a whole, then so are all of the run, because the
    lines of a sender mostly have the same members.

    Args:
        envelopes: that of each line; None for a line that is to be read as a whole.
        payloads: the lines.
        starts: where the envelope of each line ends.
    """
    if len(payloads) > RUN_LINES:
        return [
            entry
            for first in range(0, len(payloads), RUN_LINES)
            for entry in entries_behind(
                envelopes[first : first + RUN_LINES],
                payloads[first : first + RUN_LINES],
                starts[first : first + RUN_LINES],
            )
        ]
    if not all(envelopes):
        entries: list[LogEntry | None] = [None] * len(payloads)
        lines = [index for index, envelope in enumerate(envelopes) if envelope is not None]
        found = [(envelopes[index], payloads[index], starts[index]) for index in lines]
        if found:
            for index, entry in zip(lines, entries_behind(*zip(*found, strict=True)), strict=True):
                entries[index] = entry
        return entries
    # No line can end in another one, since no string of JSON holds a line feed, and the message is
    # a member of an object. If one line has two objects, then there are more of them than lines.
    rests = [payload[start:] for payload, start in zip(payloads, starts, strict=True)]
    try:
        decoded = _decode_rests(b"[{%b]" % b",\n{".join(rests))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = []
    if len(decoded) != len(payloads):
        if entry_behind(envelopes[0], payloads[0], starts[0]) is None:  # type: ignore[arg-type]  # no None
            return [None] * len(payloads)
        return [*map(entry_behind, envelopes, payloads, starts)]  # type: ignore[arg-type]  # no None
    return [*map(_entry, envelopes, payloads, decoded)]  # type: ignore[arg-type]  # no None


def _entry(envelope: Envelope, payload: bytes, rest: _Rest) -> LogEntry | None:
    message, timestamp = rest.message, rest.timestamp
    if len(message) > SHORT_MESSAGE or len(payload) > MAX_KEPT or len(timestamp) > LONGEST_TIME:
        return None
    unix_ns = line_time(timestamp)
    if unix_ns is None:
        return None
    app, region, machine, stream, provider, host, level, is_of_app, source = envelope
    return make_entry(
        machine_id=machine,
        message=message,
        stream=stream,
        timestamp=timestamp,
        app_name=app,
        raw=payload,
        region=region,
        level=(level_of(message) or level) if is_of_app else level,
        provider=provider,
        host=host,
        unix_ns=unix_ns,
        source=source,
    )
