"""Entries and notices → bytes on the wire, in three forms; and event ids. Pure.

In: a `LogEntry` or a `Notice`. Out: one whole event. Every event is one line of JSON, or one line
of text whose inner line breaks are indented, so that no log line can end an event early or start
another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import msgspec

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.escapes import one_line, text_line

__all__ = [
    "FORMATS",
    "NDJSON",
    "SSE",
    "TEXT",
    "EventId",
    "Format",
    "entry_json",
    "gap_notice",
    "write_event_id",
]

_encode = msgspec.json.Encoder().encode

_LINE_BREAKS = [(char.encode(), b"\\u%04x" % ord(char)) for char in "\x85\u2028\u2029"]

_EVENT_ID = re.compile(r"(\d{1,15})-([0-9a-z]{1,32})-(\d{1,18})", re.ASCII)


def write_event_id(unix_ms: int, epoch: str, number: int) -> str:
    """Return the text of an `EventId`, without making one, because every line needs this text."""
    return f"{unix_ms}-{epoch}-{number}"


@attrs.frozen
class EventId:
    """The id of an entry: its `number` under `epoch`, and `unix_ms`, the time when it arrived."""

    unix_ms: int
    epoch: str
    number: int

    def __str__(self) -> str:
        return write_event_id(self.unix_ms, self.epoch, self.number)

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """Return the id that `text` spells, or None if natstream did not write that text."""
        match = _EVENT_ID.fullmatch(text.strip())
        return cls(int(match[1]), match[2], int(match[3])) if match else None


class Format(Protocol):
    """One form of the stream. Each method returns whole events, so that they can be joined."""

    content_type: str

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        """Return a live or replayed log line; `persistent` says that it is stored durably."""

    def notice(self, notice: Notice, resume_id: str = "") -> bytes:
        """Return a notice. A reader that was cut after it resumes from `resume_id`."""

    def keep_alive(self, resume_id: str = "") -> bytes:
        """Return the sign that a silent stream is alive; `resume_id` as in `notice`."""

    def opening(self, notice: Notice, retry_ms: int, resume_id: str = "") -> bytes:
        """Return the start of a stream: a notice, and how long to wait before a reconnect."""


def gap_notice(gap: Gap) -> Notice:
    """Return the notice that announces missing lines."""
    if gap.missed is None:
        message = "Lines may be missing here: how many cannot be known"
    else:
        lines = "line is" if gap.missed == 1 else "lines are"
        message = f"{'Up to ' if gap.at_most else ''}{gap.missed:,} {lines} missing here"
    if gap.doubles:
        message += "; some of those that follow may have been shown before"
    return Notice(message, gap=gap)


class _EntryEvent(msgspec.Struct, gc=False, omit_defaults=True):
    """An entry as clients see it, in this order. It takes half the time of a dict."""

    message: str
    timestamp: int
    """Unix ms."""
    type: str
    persistent: bool
    app: str
    region: str
    machine: str
    stream: str
    level: str
    provider: str
    source: str
    # A line that is no continuation, or whose machine is not known, does without these keys.
    continues: bool = False
    group: str = ""
    release: str = ""


def entry_json(entry: LogEntry, persistent: bool) -> bytes:
    """Return the event of an entry, without an id, as one line of JSON."""
    stream = entry.stream
    return _json(
        _EntryEvent(
            message=entry.message,
            timestamp=entry.unix_ns // 1_000_000,
            type="system" if stream == "system" else "log",
            persistent=persistent,
            app=entry.app_name,
            region=entry.region,
            machine=entry.machine_id,
            stream=stream,
            level=entry.level,
            provider=entry.provider,
            source=entry.source,
            continues=entry.continues,
            group=entry.group,
            release=entry.release,
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
        # Parsing leaves no half of a surrogate pair in an entry, but a library's user may make one.
        fields = event if isinstance(event, dict) else msgspec.structs.asdict(event)
        # A struct again, because it leaves out its defaults.
        encoded = _encode(type(event)(**{name: _whole(value) for name, value in fields.items()}))
    if not encoded.isascii():
        # Clients that split with `str.splitlines`, for example httpx's `iter_lines`, take these
        # characters for line breaks. They occur only inside strings, where JSON can escape them.
        for line_break, escaped in _LINE_BREAKS:
            encoded = encoded.replace(line_break, escaped)
    return encoded


def _whole(value: Any) -> Any:
    """Return a text with U+FFFD for each half of a surrogate pair, and any other value as it is."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Sse:
    # Without the charset, some clients take the bytes of a `text/` type for Latin-1.
    content_type = "text/event-stream; charset=utf-8"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return b"id: %b\ndata: %b\n\n" % (event_id.encode(), entry_json(entry, persistent))

    def notice(self, notice: Notice, resume_id: str = "") -> bytes:
        # The id stands in a block of its own. An EventSource remembers it without raising an event,
        # so a reader that is cut right after a gap is not told of the same gap again.
        block = b"id: %b\n\n" % resume_id.encode() if resume_id else b""
        return b"data: %b\n\n%b" % (_notice_json(notice), block)

    def keep_alive(self, resume_id: str = "") -> bytes:
        return b": keep-alive\n%b\n" % (b"id: %b\n" % resume_id.encode() if resume_id else b"")

    def opening(self, notice: Notice, retry_ms: int, resume_id: str = "") -> bytes:
        return b"retry: %d\n%b" % (retry_ms, self.notice(notice, resume_id))


class _Ndjson:
    content_type = "application/x-ndjson"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return b'%b,"id":"%b"}\n' % (entry_json(entry, persistent)[:-1], event_id.encode())

    def notice(self, notice: Notice, resume_id: str = "") -> bytes:
        event = _notice_json(notice)
        if not resume_id:
            return event + b"\n"
        return b'%b,"id":"%b"}\n' % (event[:-1], resume_id.encode())

    def keep_alive(self, resume_id: str = "") -> bytes:
        return b'{"id":"%b"}\n\n' % resume_id.encode() if resume_id else b"\n"

    def opening(self, notice: Notice, retry_ms: int, resume_id: str = "") -> bytes:
        return self.notice(notice, resume_id)


class _Text:
    content_type = "text/plain; charset=utf-8"

    def entry(self, entry: LogEntry, event_id: str, persistent: bool = False) -> bytes:
        return text_line(entry).encode("utf-8", "replace") + b"\n"

    def notice(self, notice: Notice, resume_id: str = "") -> bytes:
        return f"# {one_line(notice.message)}\n".encode("utf-8", "replace")

    def keep_alive(self, resume_id: str = "") -> bytes:
        return b"# keep-alive\n"

    def opening(self, notice: Notice, retry_ms: int, resume_id: str = "") -> bytes:
        return self.notice(notice, resume_id)


SSE: Format = _Sse()
NDJSON: Format = _Ndjson()
TEXT: Format = _Text()

# By the value of the `format` parameter. A client that accepts several equally gets the first.
FORMATS: Mapping[str, Format] = {"sse": SSE, "ndjson": NDJSON, "text": TEXT}
