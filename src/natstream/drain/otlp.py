"""OpenTelemetry's log records → entries, whichever encoding they came in. Pure.

In: the attributes of a resource, a scope and its records, as plain values. Out: a `ParsedBody`.
Each record becomes an object of the drain's own form, which `parse_object` reads like the object of
any other sender. So the names, times and levels of all senders follow the same rules.

A record without a time of its own gets the time of its arrival. A body of too many records, or
whose entries would take too much memory, raises `BodyTooLarge`.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import msgspec

from natstream.drain.content_encoding import BodyTooLarge
from natstream.drain.parsed import NothingTaken, ParsedBody
from natstream.entries.entry import LogEntry
from natstream.entries.fields import ENVELOPE, field_text
from natstream.entries.fly import Origin, parse_object
from natstream.entries.level_names import otel_level
from natstream.errors import BadBody

__all__ = [
    "MAX_DEPTH",
    "MAX_RECORD",
    "Group",
    "Record",
    "Records",
    "Resource",
    "TooDeep",
    "finite",
    "id_hex",
]

# Bytes of a record, a resource or a scope. Decoding takes up to 30 times as much memory, and the
# message of an entry has at most a quarter of it.
MAX_RECORD = 1 << 20
# How deep the value of an attribute or a body may nest. Filters reach no deeper either.
MAX_DEPTH = 20
# Bytes of the objects of one body. Each record repeats its resource, so a small body could hold a
# resource that fills the memory.
MAX_OBJECTS = 64 << 20

# The attributes of a resource that name where its lines come from, the best first:
# https://opentelemetry.io/docs/specs/semconv/resource/. Those of Fly come first, since the machine
# that runs an app knows better than a configuration that is copied between apps.
_APP = ("fly.app.name", "fly.app_name", "fly.app", "service.name")
# SDKs send such a name, perhaps with the program behind it, if nobody gave them one.
_UNKNOWN_APP = "unknown_service"
_MACHINE = (
    *("fly.machine.id", "fly.machine_id", "fly.app.instance", "fly.instance"),
    *("host.name", "host.id", "k8s.pod.name", "container.id"),
)
_REGION = ("fly.region", "cloud.region")
_HOST = ("host.name", "host.id")

# An attribute of one of these names is kept under `attributes`, because the name is the entry's.
_RESERVED = ENVELOPE | {
    *("@timestamp", "date", "dt", "application", "service", "hostname", "container_name", "meta"),
    *("trace_id", "span_id", "event_name", "scope", "resource", "attributes"),
}
# https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/
_EXCEPTION = ("exception.type", "exception.message")
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_NS = 10**9

_encode = msgspec.json.Encoder().encode


class TooDeep(BadBody):
    """The sender's fault: a value nests deeper than `MAX_DEPTH`."""

    def __init__(self) -> None:
        super().__init__(f"A value nests deeper than {MAX_DEPTH} levels.")


class Record(NamedTuple):
    """A log record. Absent texts are empty, absent numbers 0, and an absent body is None."""

    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: Any
    attributes: Mapping[str, Any]
    trace_id: str
    """In hexadecimal digits, as `id_hex` returns it."""
    span_id: str
    event_name: str


class Resource:
    """Where the records of some scopes come from.

    It is encoded once, and only if there is a record, because a small body may hold a large
    resource and many scopes.

    Args:
        attributes: of the resource.
        default: the names that the sender's address gives.
    """

    def __init__(self, attributes: Mapping[str, Any], default: Origin) -> None:
        self._attributes, self._default = attributes, default

    @cached_property
    def origin(self) -> Mapping[str, str]:
        """The members of an object that name where the records come from."""
        app = _first(self._attributes, _APP)
        if self._default.app and app.startswith(_UNKNOWN_APP):
            app = ""
        named = {
            "app": app,
            "region": _first(self._attributes, _REGION),
            "machine_id": _first(self._attributes, _MACHINE),
            "host": _first(self._attributes, _HOST),
        }
        return {key: value for key, value in named.items() if value}

    @cached_property
    def encoded(self) -> bytes:
        """The resource as a member of an object; empty if it has no attributes."""
        return b'"resource":%b' % _encode(self._attributes) if self._attributes else b""


class Group:
    """What all records of one resource and one scope have in common."""

    def __init__(
        self,
        resource: Resource,
        name: str = "",
        version: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.resource = resource
        self._scope = {**(attributes or {}), "name": name, "version": version}

    @cached_property
    def shared(self) -> bytes:
        """The members that end the object of each record; empty if there are none."""
        scope = {key: value for key, value in self._scope.items() if value != ""}
        encoded = b'"scope":%b' % _encode(scope) if scope else b""
        return b",".join(filter(None, (encoded, self.resource.encoded)))


class Records:
    """Collects the entries of one body.

    Args:
        origin: the names of entries that do not have their own.
        needs_machine: records without a machine are dropped.
        max_lines: how many records and groups of records the body may have.
    """

    def __init__(self, origin: Origin, needs_machine: bool, max_lines: int) -> None:
        self._entries: list[LogEntry] = []
        self._dropped: Counter[str] = Counter()
        self._fault = ""
        self._origin = origin
        self._needs_machine = needs_machine
        self._max_lines = max_lines
        self._lines = 0
        self._room = MAX_OBJECTS

    @property
    def room(self) -> int:
        """How many more records and groups the body may have."""
        return self._max_lines - self._lines

    def count(self, lines: int) -> None:
        """Count records or groups. Raise BodyTooLarge if there are too many."""
        self.check(lines)
        self._lines += lines

    def check(self, lines: int) -> None:
        """Raise BodyTooLarge if so many more records or groups are too many."""
        if lines > self.room:
            raise BodyTooLarge(
                f"The body has more than {self._max_lines:,} records; send smaller batches."
            )

    def add(self, group: Group, record: Record) -> None:
        """Add the entry of a record."""
        payload = _object(group, record)
        self._room -= len(payload)
        if self._room < 0:
            raise BodyTooLarge(
                "The body's records take too much memory, because each repeats the attributes of "
                "its resource; send smaller batches."
            )
        entry = parse_object(payload, self._origin, self._needs_machine)
        if entry is None:
            self.drop("no_machine")
        else:
            self._entries.append(entry)

    def drop(self, reason: str, fault: str = "") -> None:
        """Count a record that gives no entry."""
        self._dropped[reason] += 1
        self._fault = self._fault or fault

    def parsed(self) -> ParsedBody:
        """Return the result.

        Raises:
            NothingTaken: there are records, and all of them were dropped.
        """
        if self._dropped and not self._entries:
            advice = "Give their resource the attribute host.name, or the address ?machine=…"
            raise NothingTaken(self._dropped, self._fault or advice)
        return ParsedBody(self._entries, self._dropped, self._fault)


def finite(number: float) -> float | str:
    """Return a number, or the name of one that JSON does not have."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def id_hex(id: bytes, *, of_span: bool = False) -> str:
    """Return the id of a trace or a span in hexadecimal digits, or "" if it is not a valid one.

    An id of another length, or of zeros alone, says that there is none: `LogRecord.trace_id` in
    https://github.com/open-telemetry/opentelemetry-proto.
    """
    is_valid = len(id) == (_SPAN_BYTES if of_span else _TRACE_BYTES) and any(id)
    return id.hex() if is_valid else ""


def _object(group: Group, record: Record) -> bytes:
    """Return a record as the JSON object of a sender of the drain."""
    attributes = record.attributes
    members: dict[str, Any] = {
        "timestamp": _time(record.time_ns or record.observed_ns or time.time_ns()),
        "message": _message(record),
    }
    if level := otel_level(record.severity_number) or record.severity_text:
        members["level"] = level
    stream = attributes.get("log.iostream")
    if type(stream) is str and stream:
        members["stream"] = stream
    members |= group.resource.origin
    if record.trace_id:
        members["trace_id"] = record.trace_id
    if record.span_id:
        members["span_id"] = record.span_id
    if record.event_name:
        members["event_name"] = record.event_name
    if attributes.keys() & _RESERVED:
        members |= {name: value for name, value in attributes.items() if name not in _RESERVED}
        hidden = {name: value for name, value in attributes.items() if name in _RESERVED}
        members["attributes"] = hidden
    else:
        members |= attributes
    payload = _encode(members)
    return b"%b,%b}" % (payload[:-1], group.shared) if group.shared else payload


def _message(record: Record) -> str:
    """Return the text that readers see.

    Without a body, it is the event's name, else the exception, else the attributes.
    """
    attributes = record.attributes
    if record.body is not None:
        return field_text(record.body)
    if record.event_name or not attributes:
        return record.event_name
    exception = [field_text(attributes[name]) for name in _EXCEPTION if attributes.get(name)]
    return ": ".join(exception) or field_text(attributes)


def _time(unix_ns: int) -> str:
    seconds, ns = divmod(unix_ns, _NS)
    return f"{_second(seconds)}.{ns:09}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "" and (text := field_text(value)):
            return text
    return ""
