"""A line of the demo, and the NATS message that Fly would publish for it. Pure.

In: a `Line` and its time. Out: the subject and the payload, with the keys that Fly's payloads have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Line", "Machine", "Script", "encode", "to_json"]


class Machine(NamedTuple):
    """A Fly machine."""

    app: str
    region: str
    id: str
    host: str


class Line(NamedTuple):
    """A line that a machine writes, or that Fly writes about a machine."""

    machine: Machine
    message: str
    """`{now}` in it stands for the time of the line."""
    level: str = "info"
    """What the platform says, which is `info` for each line of an app, errors included."""
    provider: str = "app"
    extra: Mapping[str, Any] = {}
    """The fields that Fly's proxy adds: `error`, `http` and `url`."""
    kind: str = ""
    """The kind of line that the generator means, which is not published."""


Script = Iterator[Line | float]
"""An actor: an iterator over its lines and over the seconds that pass between them."""


def encode(line: Line, unix_ns: int) -> tuple[str, bytes]:
    """Return the subject and the payload that Fly publishes for a line at this time."""
    machine = line.machine
    seconds, fraction = divmod(unix_ns, 10**9)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
    payload = {
        "event": {"provider": line.provider},
        "fly": {"app": {"instance": machine.id, "name": machine.app}, "region": machine.region},
        "host": machine.host,
        "log": {"level": line.level},
        "message": line.message.replace("{now}", now[:23] + "Z"),
        "timestamp": now,
        **line.extra,
    }
    subject = f"logs.{machine.app}.{machine.region}.{machine.id}"
    return subject, to_json(payload).encode()


def to_json(value: Mapping[str, Any]) -> str:
    """Return `value` as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
