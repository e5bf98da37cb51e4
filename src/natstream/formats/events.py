"""Entries and notices → bytes on the wire, in three forms; and event ids. Pure.

Every event is one line of JSON (or one line of text with its inner breaks indented), so
nothing that a log line holds can end an event early or start another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import msgspec

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.escapes import one_line, text_line

__all__ = ["FORMATS", "NDJSON", "SSE", "TEXT", "EventId", "Format", "gap_notice"]

_encode = msgspec.json.Encoder().encode

_LINE_BREAKS = [(char.encode(), b"\\u%04x" % ord(char)) for char in "\x85\u2028\u2029"]

_EVENT_ID = re.compile(r"(\d{1,15})-([0-9a-z]{1,32})-(\d{1,18})", re.ASCII)


@attrs.frozen
class EventId:
    """A reader's place: the entry `number` of the process `epoch`, which arrived at `unix_ms`."""

    unix_ms: int
    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.unix_ms}-{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """The id that `text` spells, `None` if it is not one of ours."""
        match = _EVENT_ID.fullmatch(text.strip())
        return cls(int(match[1]), match[2], int(match[3])) if match else None


class Format(Protocol):
    """One form of the stream. All methods give whole events, ready to be joined."""

    content_type: str

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        """A live or replayed log line; `persistent` if it is stored durably."""

    def notice(self, notice: Notice, place: str = "") -> bytes:
        """A word of this service; `place` is the event id to resume from after it."""

    def keep_alive(self, place: str = "") -> bytes:
        """What is sent when nothing else is; `place` as above."""

    def opening(self, notice: Notice, retry_ms: int, place: str = "") -> bytes:
        """What comes before anything else: `notice`, and when to come back after a cut."""


def gap_notice(gap: Gap) -> Notice:
    """The announcement of missing lines."""
    if gap.missed is None:
        message = "Lines may be missing here: how many cannot be known"
    else:
        lines = "line is" if gap.missed == 1 else "lines are"
        message = f"{'Up to ' if gap.at_most else ''}{gap.missed:,} {lines} missing here"
    if gap.doubles:
        message += "; some of those that follow may have been shown before"
    return Notice(message, gap=gap)


class _EntryEvent(msgspec.Struct, gc=False):
    """An entry as clients see it, in this order. Made and encoded in half the time of a dict."""

    message: str
    timestamp: int
    type: str
    persistent: bool
    app: str
    region: str
    machine: str
    stream: str
    level: str
    provider: str
    source: str


def _entry_json(entry: LogEntry, persistent: bool) -> bytes:
    return _json(
        _EntryEvent(
            entry.message,
            entry.unix_ns // 1_000_000,
            "system" if entry.is_system else "log",
            persistent,
            entry.app_name,
            entry.region,
            entry.machine_id,
            entry.stream,
            entry.level,
            entry.provider,
            entry.source,
        )
    )


def _notice_json(notice: Notice) -> bytes:
    event: dict[str, Any] = {
        "message": notice.message,
        "timestamp": notice.unix_ms,
        "type": notice.type,
        "persistent": False,
    }
    if notice.gap is not None:
        gap: dict[str, Any] = {"missed": notice.gap.missed, "since": notice.gap.since}
        if notice.gap.at_most:
            gap["at_most"] = True
        event["gap"] = gap
    return _json(event)


def _json(event: _EntryEvent | dict[str, Any]) -> bytes:
    try:
        encoded = _encode(event)
    except UnicodeEncodeError:
        # Parsing leaves no half surrogate pair in an entry; a library user's own may hold one.
        fields = event if isinstance(event, dict) else msgspec.structs.asdict(event)
        encoded = _encode({name: _whole(value) for name, value in fields.items()})
    if not encoded.isascii():
        # Line breaks to Unicode, and so to clients that read with `str.splitlines` (httpx's
        # `iter_lines` does): outside a string, JSON has no place for them.
        for line_break, escaped in _LINE_BREAKS:
            encoded = encoded.replace(line_break, escaped)
    return encoded


def _whole(value: Any) -> Any:
    """A text with U+FFFD for each half of a surrogate pair; anything else as it is."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Sse:
    content_type = "text/event-stream"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return b"id: %b\ndata: %b\n\n" % (event_id.encode(), _entry_json(entry, persistent))

    def notice(self, notice: Notice, place: str = "") -> bytes:
        # A block of its own: an EventSource takes over the id without raising an event, so a
        # cut right after it does not announce the same gap again.
        block = b"id: %b\n\n" % place.encode() if place else b""
        return b"data: %b\n\n%b" % (_notice_json(notice), block)

    def keep_alive(self, place: str = "") -> bytes:
        return b": keep-alive\n%b\n" % (b"id: %b\n" % place.encode() if place else b"")

    def opening(self, notice: Notice, retry_ms: int, place: str = "") -> bytes:
        return b"retry: %d\n%b" % (retry_ms, self.notice(notice, place))


class _Ndjson:
    content_type = "application/x-ndjson"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return b'%b,"id":"%b"}\n' % (_entry_json(entry, persistent)[:-1], event_id.encode())

    def notice(self, notice: Notice, place: str = "") -> bytes:
        event = _notice_json(notice)
        return b'%b,"id":"%b"}\n' % (event[:-1], place.encode()) if place else event + b"\n"

    def keep_alive(self, place: str = "") -> bytes:
        return b'{"id":"%b"}\n\n' % place.encode() if place else b"\n"

    def opening(self, notice: Notice, retry_ms: int, place: str = "") -> bytes:
        return self.notice(notice, place)


class _Text:
    content_type = "text/plain; charset=utf-8"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return text_line(entry).encode("utf-8", "replace") + b"\n"

    def notice(self, notice: Notice, place: str = "") -> bytes:
        return f"# {one_line(notice.message)}\n".encode("utf-8", "replace")

    def keep_alive(self, place: str = "") -> bytes:
        return b"# keep-alive\n"

    def opening(self, notice: Notice, retry_ms: int, place: str = "") -> bytes:
        return self.notice(notice, place)


SSE: Format = _Sse()
NDJSON: Format = _Ndjson()
TEXT: Format = _Text()

# The `format` parameter's words. The first is the choice on a tie.
FORMATS: Mapping[str, Format] = {"sse": SSE, "ndjson": NDJSON, "text": TEXT}
