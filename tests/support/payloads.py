"""Log lines as Fly publishes them on NATS: JSON with the machine, the level and the message."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MACHINE", "SUBJECT", "payload", "payloads"]

MACHINE = "0e286551c30586"
SUBJECT = f"logs.web.sjc.{MACHINE}"


def payload(message: object, **more: Any) -> bytes:
    """Return the payload of one line; `more` replaces or adds fields."""
    return json.dumps(
        {
            "event": {"provider": "app"},
            "fly": {"app": {"instance": MACHINE, "name": "web"}, "region": "sjc"},
            "host": "0ad1",
            "log": {"level": "info"},
            "message": str(message),
            "timestamp": "2022-09-27T20:34:37.252022967Z",
            **more,
        }
    ).encode()


def payloads(first: int, count: int) -> list[bytes]:
    """Return the payloads of `count` lines that say their numbers, from `first` on."""
    return [payload(number) for number in range(first, first + count)]
