"""NDJSON bytes of a natstream service → entries and notices: `framing`, read from the other side.

Bytes come in pieces as the network cuts them; entries go out, each decoded on its own line, so
that one broken line costs no other. Pure; a bad line never raises: a notice tells of it.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import msgspec

from natstream.entries.entry import Gap, LogEntry, Notice

__all__ = ["CONTENT_TYPE", "Batch", "Reading"]

CONTENT_TYPE = "application/x-ndjson"
# The longest message that the service lets through is 256 KiB; JSON may take six bytes for one.
LONGEST_LINE = 4 * 2**20

Batch = list[LogEntry | Notice]


class _Event(msgspec.Struct):
    id: str = ""
    message: str = ""
    timestamp: int = 0
    type: str = "system"
    app: str = ""
    region: str = ""
    machine: str = ""
    stream: str | None = None
    level: str = ""
    provider: str = ""
    source: str = "nats"
    gap: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Event).decode


@attrs.define
class Reading:
    """How far a stream has been read, over all the connections that it took."""

    place: str = ""
    """The last id, to resume from; "" before the first."""
    opened: int = 0
    """Unix ms on the service's clock of its first word; 0 before that."""
    idle: bool = False
    """Whether the service once had nothing to send: what it had of the past is through."""
    _rest: bytes = b""

    def begin(self) -> None:
        """A new connection: the half line that the last one may have ended with is void."""
        self._rest = b""

    def feed(self, data: bytes) -> Batch:
        """What `data` completes, in order."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        batch: Batch = []
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
            except (msgspec.DecodeError, UnicodeDecodeError):
                unreadable += 1
                continue
            self.place = event.id or self.place
            if event.stream is not None:
                batch.append(_entry(event, event.stream, line))
            elif event.message:
                self.opened = self.opened or event.timestamp
                batch.append(_notice(event))
        if unreadable:
            batch.append(Notice(f"Lines that could not be read: {unreadable:,}", "error"))
        return batch


def _entry(event: _Event, stream: str, line: bytes) -> LogEntry:
    return LogEntry(
        event.machine,
        event.message,
        stream,
        str(event.timestamp),
        event.app,
        line,
        region=event.region,
        level=event.level,
        provider=event.provider,
        unix_ns=event.timestamp * 1_000_000,
        source=event.source,
    )


def _notice(event: _Event) -> Notice:
    type_: Literal["system", "error"] = "error" if event.type == "error" else "system"
    if event.gap is None:
        return Notice(event.message, type_, event.timestamp)
    missed, since = event.gap.get("missed"), event.gap.get("since")
    gap = Gap(
        missed if isinstance(missed, int) else None,
        since if isinstance(since, int) else None,
        at_most=event.gap.get("at_most") is True,
    )
    return Notice(event.message, type_, event.timestamp, gap)
