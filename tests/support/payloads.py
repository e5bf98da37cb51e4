"""Log lines as senders make them: Fly's on NATS, with machine, level and message, and a drain's."""

from __future__ import annotations

import json
from typing import Any

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_log_entry

__all__ = ["MACHINE", "SUBJECT", "payload", "payloads", "sent"]

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


def sent(**fields: Any) -> LogEntry:
    """Return the entry of a drain sender's object with these fields, of the machine `m`."""
    entry = parse_log_entry({"instance": "m", **fields})
    assert entry is not None
    return entry
