"""The three things that readers see: `LogEntry`, one parsed log line; `Notice`; and `Gap`. Pure.

An entry keeps its payload's bytes instead of the decoded object, because a dict of a Fly payload
takes about 3 KB and its bytes take 400. So the backlog reaches much further back. `LogEntry.raw`
decodes the bytes when it is read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import msgspec

__all__ = ["Gap", "LogEntry", "Notice", "continuing", "decode_json", "make_entry", "of_machine"]

# Bytes of the object, its fields' strings and the backlog's bookkeeping, measured with tracemalloc.
ENTRY_OVERHEAD = 600

_decode = msgspec.json.Decoder().decode


def decode_json(payload: bytes | str) -> Any:
    """Return a JSON text as plain Python values.

    The standard library decodes the texts that msgspec refuses, for example texts with lone
    surrogates or huge numbers. Bytes that are not UTF-8 become replacement characters.

    Raises:
        ValueError: the text is not JSON, or nests too deeply.
    """
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        try:
            return json.loads(payload)
        except UnicodeDecodeError:
            text = payload if isinstance(payload, str) else payload.decode("utf-8-sig", "replace")
            return decode_json(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


# What an object starts with; a byte order mark may stand before it.
_STARTS = (b"{", b" ", b"\t", b"\r", b"\n", b"\xef")


class _BareEnvelope(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Fly's object around a message, without anything beside it."""

    event: msgspec.Raw
    fly: msgspec.Raw
    message: msgspec.Raw
    host: msgspec.Raw = msgspec.Raw()
    log: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()


_check_envelope = msgspec.json.Decoder(_BareEnvelope).decode


class _AnyObject(msgspec.Struct, gc=False):
    """An object, of whose members none is looked at."""


_check_object = msgspec.json.Decoder(_AnyObject).decode


@attrs.define(eq=False, repr=False)
class _Fields:
    """The fields of a `LogEntry` while they can still be set. See `make_entry`."""

    machine_id: str
    message: str
    stream: str
    timestamp: str
    app_name: str
    _raw: Mapping[str, Any] | bytes
    region: str
    level: str
    provider: str
    host: str
    unix_ns: int
    source: str
    continues: bool
    group: str
    release: str
    head: str


@attrs.frozen
class LogEntry(_Fields):
    """One log line. Two entries are equal if all their fields except `raw` are equal.

    `raw` is given as the decoded object or as the payload's bytes. It is read as the object, which
    is empty if the payload is not a JSON object.
    """

    machine_id: str
    message: str
    stream: str
    """`stdout`, `stderr`, `system`, or another name that the sender gave; case-folded."""
    timestamp: str = ""
    """The line's time as the sender wrote it; `unix_ns` is the parsed time."""
    app_name: str = ""
    _raw: Mapping[str, Any] | bytes = attrs.field(factory=dict, eq=False, repr=False)
    region: str = attrs.field(default="", kw_only=True)
    level: str = attrs.field(default="", kw_only=True)
    provider: str = attrs.field(default="", kw_only=True)
    host: str = attrs.field(default="", kw_only=True)
    unix_ns: int = attrs.field(factory=time.time_ns, kw_only=True)
    """Nanoseconds since 1970, UTC; the time of arrival if the line has no time of its own."""
    source: str = attrs.field(default="drain", kw_only=True)
    """`nats`, `drain` or `fly`."""
    continues: bool = attrs.field(default=False, kw_only=True)
    """Whether the line belongs to an earlier line of its machine, as a line of a stack trace does.
    The level is then that line's. See `natstream.entries.continuation`."""
    group: str = attrs.field(default="", kw_only=True)
    """The process group of the machine, for example `worker`; empty if it is not known."""
    release: str = attrs.field(default="", kw_only=True)
    """The number of the release that the machine ran; empty if it is not known."""
    head: str = attrs.field(default="", kw_only=True, eq=False, repr=False)
    """Of a line that continues a trace, the beginning of the trace's first line."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The original object. If the entry keeps bytes, each access decodes them again."""
        if not isinstance(self._raw, bytes):
            return self._raw
        try:
            value = decode_json(self._raw)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def raw_json(self) -> bytes:
        """The original object as JSON. The kept bytes of an object are not decoded for it."""
        if isinstance(self._raw, bytes):
            try:
                self._raw.decode()
                _check_object(self._raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                return self._raw
        return json.dumps(self.raw).encode()

    @property
    def is_envelope_only(self) -> bool:
        """Whether the payload surely has nothing beside Fly's envelope and its message.

        This is told without decoding the payload to Python's objects.
        """
        if not isinstance(self._raw, bytes):
            return False
        try:
            _check_envelope(self._raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._raw[:1] not in _STARTS
        return True

    @property
    def cost(self) -> int:
        """Bytes of memory that this entry takes, as the backlog counts them."""
        raw = self._raw
        kept = len(raw) if isinstance(raw, bytes) else sys.getsizeof(raw)
        return sys.getsizeof(self.message) + kept + ENTRY_OVERHEAD

    @property
    def is_system(self) -> bool:
        """Whether readers see the entry as `"type": "system"` rather than `"log"`."""
        return self.stream == "system"


def make_entry(
    *,
    machine_id: str,
    message: str,
    stream: str,
    timestamp: str,
    app_name: str,
    raw: Mapping[str, Any] | bytes,
    region: str,
    level: str,
    provider: str,
    host: str,
    unix_ns: int,
    source: str,
    continues: bool = False,
    group: str = "",
    release: str = "",
    head: str = "",
) -> LogEntry:
    """Return the entry with these fields, made in a third of the time that `LogEntry(...)` takes.

    attrs sets each field of a frozen class through a detour. This function is for the places that
    make an entry of every line: it sets the fields first and freezes the object afterwards, by
    giving it its final class. Both classes have the same slots, so Python allows that.
    """
    entry: Any = _new(_Fields)
    entry.machine_id = machine_id
    entry.message = message
    entry.stream = stream
    entry.timestamp = timestamp
    entry.app_name = app_name
    entry._raw = raw
    entry.region = region
    entry.level = level
    entry.provider = provider
    entry.host = host
    entry.unix_ns = unix_ns
    entry.source = source
    entry.continues = continues
    entry.group = group
    entry.release = release
    entry.head = head
    entry.__class__ = LogEntry
    return entry  # type: ignore[no-any-return]  # the object is a LogEntry by now


def continuing(entry: LogEntry, level: str, head: str = "") -> LogEntry:
    """Return the entry as one that belongs to an earlier line of this level.

    Args:
        entry: the entry.
        level: of the earlier line.
        head: the beginning of its message, if that is known.
    """
    copy = _copy(entry)
    copy.level, copy.head = level, head
    copy.continues = True
    copy.__class__ = LogEntry
    return copy  # type: ignore[no-any-return]  # as in `make_entry`


def of_machine(entry: LogEntry, group: str, release: str) -> LogEntry:
    """Return the entry with what is known of its machine."""
    copy = _copy(entry)
    copy.group = group
    copy.release = release
    copy.__class__ = LogEntry
    return copy  # type: ignore[no-any-return]  # as in `make_entry`


def _copy(entry: LogEntry) -> Any:
    """Return a copy whose fields can still be set, until it gets its final class."""
    copy: Any = _new(_Fields)
    copy.machine_id = entry.machine_id
    copy.message = entry.message
    copy.stream = entry.stream
    copy.timestamp = entry.timestamp
    copy.app_name = entry.app_name
    copy._raw = entry._raw
    copy.region = entry.region
    copy.level = entry.level
    copy.provider = entry.provider
    copy.host = entry.host
    copy.unix_ns = entry.unix_ns
    copy.source = entry.source
    copy.continues = entry.continues
    copy.group = entry.group
    copy.release = entry.release
    copy.head = entry.head
    return copy


_new = object.__new__


@attrs.frozen
class Gap:
    """Lines that are missing at this point of a stream."""

    missed: int | None
    """How many lines are missing, or None if that cannot be known."""
    since: int | None
    """Unix ms of the arrival after which they are missing, if known."""
    at_most: bool = False
    """`missed` is an upper bound, since the reader's filter may have hidden some of the lines."""
    doubles: bool = False
    """The lines that follow were found by time, so some of them may have been delivered before."""

    def reduced(self) -> Gap:
        """Return the gap without its count, because the count includes lines outside a scope."""
        return attrs.evolve(self, missed=None, at_most=False)


@attrs.frozen
class Notice:
    """A message of this service to its readers, which stands between two entries."""

    message: str
    type: Literal["system", "error"] = "system"
    unix_ms: int = attrs.field(factory=lambda: time.time_ns() // 1_000_000)
    """When it was announced."""
    gap: Gap | None = None
    public: bool = False
    """Whether readers with a limited scope see the notice unchanged, because it reveals no logs."""

    def reduced(self) -> Notice:
        """Return the notice for readers with a limited scope, without names and figures."""
        if self.public:
            return self
        if self.gap is not None:
            message = "Lines may be missing here"
        elif self.type == "error":
            message = "A source of the logs has trouble, so lines may be late or missing"
        else:
            message = "A source of the logs has changed its state"
        gap = self.gap and self.gap.reduced()
        return attrs.evolve(self, message=message, gap=gap, public=True)
