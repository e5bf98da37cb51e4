"""A JSON object of any shape → the fields of a line. Pure.

In: a decoded object, as any sender may write it. Out: a `SentLine`, the shape of nearly every
payload, and the line's time. A field of the wrong type counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from natstream.entries.message import cut, shown_message, text_message, text_of
from natstream.entries.payloads import FlyApp, FlyEvent, FlyLog, FlyOrigin, MachineId, SentLine
from natstream.entries.times import first_time

__all__ = ["tidied"]


def tidied(raw: Mapping[str, Any], payload: bytes | None = None) -> tuple[SentLine, int]:
    """Return an object's fields as texts, and its time; a field of the wrong type is empty.

    Args:
        raw: the object.
        payload: what it was decoded from, if its message is the `shown_message`.
    """
    texts = {name: text_of(value) for name, value in raw.items() if name in _TEXTS}
    if payload is None:
        texts["message"] = cut(text_message(raw) or "")
    else:
        texts["message"] = shown_message(raw, payload)
    texts["timestamp"], unix_ns = first_time(raw)
    event, log, fly = _object(raw.get("event")), _object(raw.get("log")), _object(raw.get("fly"))
    provider = text_of(event.get("provider")) or _provider_in(_object(raw.get("meta")))
    line = SentLine(
        event=FlyEvent(provider),
        log=FlyLog(text_of(log.get("level"))),
        fly=_tidied_fly(fly) if fly else FlyOrigin(),
        level=_number(raw.get("level")),
        severity=_number(raw.get("severity")),
        **texts,  # type: ignore[arg-type]  # names of texts alone
    )
    return line, unix_ns


def _provider_in(meta: Mapping[str, Any]) -> str:
    """Return the provider in `meta`, which Fly's interface calls event and its command Event."""
    event, printed = _object(meta.get("event")), _object(meta.get("Event"))
    return text_of(event.get("provider")) or text_of(printed.get("Provider"))


def _tidied_fly(fly: Mapping[str, Any]) -> FlyOrigin:
    app, machine = _object(fly.get("app")), _object(fly.get("machine"))
    return FlyOrigin(
        app=FlyApp(text_of(app.get("instance")), name=text_of(app.get("name"))),
        machine=MachineId(text_of(machine.get("id"))),
        region=text_of(fly.get("region")),
    )


# The fields of a payload that are texts at its top.
_TEXTS = frozenset(field.name for field in msgspec.structs.fields(SentLine) if field.type is str)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NO_FIELDS


_NO_FIELDS: Mapping[str, Any] = {}


def _number(value: Any) -> str | float:
    """Return a number as it is, and everything else as `text_of` does."""
    return value if type(value) in (int, float) else text_of(value)
