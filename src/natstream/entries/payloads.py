"""The shapes of a line's JSON, into which msgspec decodes it without a detour. Pure.

In: the payload of a line. Out: its fields, if it has the usual shape. A payload of another shape
raises what msgspec raises, and `natstream.entries.fly` reads it member by member.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "FlyApp",
    "FlyEvent",
    "FlyLine",
    "FlyLog",
    "FlyOrigin",
    "MachineId",
    "SentLine",
    "WholeLine",
    "decode_line",
    "decode_sent",
]


class FlyEvent(msgspec.Struct, frozen=True, gc=False):
    provider: str = ""


class FlyLog(msgspec.Struct, frozen=True, gc=False):
    level: str = ""


class FlyLine(msgspec.Struct, frozen=True, gc=False):
    """The fields of a payload that matter once the subject has named its origin.

    Decoding into this shape takes 40 % off the cost of a line. The payloads that do not fit are
    read member by member; both ways give equal entries.
    """

    message: str
    timestamp: str
    event: FlyEvent = FlyEvent()
    log: FlyLog = FlyLog()
    # The sender's own level, which may be a number.
    level: str | int | float = ""
    severity: str | int | float = ""
    host: str = ""
    stream: str = ""
    source: str = ""


class FlyApp(msgspec.Struct, frozen=True, gc=False):
    instance: str = ""
    name: str = ""


class MachineId(msgspec.Struct, frozen=True, gc=False):
    id: str = ""


class FlyOrigin(msgspec.Struct, frozen=True, gc=False):
    app: FlyApp = FlyApp()
    machine: MachineId = MachineId()
    region: str = ""


class SentLine(FlyLine, frozen=True, gc=False):
    """A `FlyLine` with the fields that name its origin, for payloads without a complete subject."""

    message: str | UnsetType = UNSET  # type: ignore[assignment]  # checked before use
    timestamp: str = ""
    fly: FlyOrigin = FlyOrigin()
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
    """Where Fly's own tools put the provider; it is read member by member."""


decode_line: Callable[[bytes], FlyLine] = msgspec.json.Decoder(FlyLine).decode
_decode_sent_line = msgspec.json.Decoder(SentLine).decode


class WholeLine(SentLine, forbid_unknown_fields=True, frozen=True, gc=False):
    """A `SentLine` that has no other keys, so that no level can stand in one of them."""


_decode_whole_line = msgspec.json.Decoder(WholeLine).decode


def decode_sent(payload: bytes) -> SentLine:
    """Decode a sender's object, and Fly's own in a way that saves the level's search a decoding."""
    if payload.startswith(b'{"event":{'):  # as Fly and Vector write it
        try:
            return _decode_whole_line(payload)
        except msgspec.ValidationError:
            pass
    return _decode_sent_line(payload)
