"""NDJSON bytes of a natstream service → entries and notices: the opposite of `events`. Pure.

In: bytes, in pieces as the network cuts them. Out: entries and notices. Each line is decoded by
itself, so that a broken line does not affect the others. A bad line raises no exception; a notice
counts the bad lines.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import msgspec

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.formats.events import EventId

__all__ = ["CONTENT_TYPE", "Reading", "Received"]

CONTENT_TYPE = "application/x-ndjson"
# The longest message of the service has 256 KiB, and JSON may take six bytes for one byte.
LONGEST_LINE = 4 * 2**20

Received = list[LogEntry | Notice]


class _ReceivedEvent(msgspec.Struct):
    id: str = ""
    message: str = ""
    timestamp: int = 0
    """Unix ms."""
    type: str = "system"
    app: str = ""
    region: str = ""
    machine: str = ""
    stream: str | None = None
    level: str = ""
    provider: str = ""
    source: str = "nats"
    continues: bool = False
    group: str = ""
    release: str = ""
    gap: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_ReceivedEvent).decode


@attrs.define
class Reading:
    """How far a stream has been read, over all its connections."""

    resume_id: str = ""
    """The last event id, from which to resume; "" before the first."""
    opened: int = 0
    """Unix ms of the service's first notice, by the service's clock; 0 before that."""
    idle: bool = False
    """Whether the service has had nothing to send at least once, so the replay is complete."""
    _rest: bytes = b""

    def begin(self) -> None:
        """Begin a new connection. Drop the half line with which the last one may have ended."""
        self._rest = b""

    def feed(self, data: bytes) -> Received:
        """Return the entries and notices that `data` completes, in order."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        batch: Received = []
        unreadable = 0
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
            unreadable += 1
        for line in lines:
            if not line.strip():
                self.idle = True
                continue
            try:
                event = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                unreadable += 1
                continue
            if (event_id := EventId.parse(event.id)) is not None:
                self.resume_id = str(event_id)  # Any other text might not be allowed in a header.
            if event.stream is not None:
                batch.append(_entry(event, event.stream, line))
            elif event.message:
                self.opened = self.opened or event.timestamp
                batch.append(_notice(event))
        if unreadable:
            batch.append(Notice(f"Lines that could not be read: {unreadable:,}", "error"))
        return batch


def _entry(event: _ReceivedEvent, stream: str, line: bytes) -> LogEntry:
    return LogEntry(
        machine_id=event.machine,
        message=event.message,
        stream=stream,
        timestamp=str(event.timestamp),
        app_name=event.app,
        raw=line,
        region=event.region,
        level=event.level,
        provider=event.provider,
        unix_ns=event.timestamp * 1_000_000,
        source=event.source,
        continues=event.continues,
        group=event.group,
        release=event.release,
    )


def _notice(event: _ReceivedEvent) -> Notice:
    type_: Literal["system", "error"] = "error" if event.type == "error" else "system"
    if event.gap is None:
        return Notice(message=event.message, type=type_, unix_ms=event.timestamp)
    missed, since = event.gap.get("missed"), event.gap.get("since")
    gap = Gap(
        missed=missed if isinstance(missed, int) else None,
        since=since if isinstance(since, int) else None,
        at_most=event.gap.get("at_most") is True,
    )
    return Notice(message=event.message, type=type_, unix_ms=event.timestamp, gap=gap)
