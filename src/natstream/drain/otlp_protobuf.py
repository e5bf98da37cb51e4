"""OpenTelemetry's log records in protobuf → entries.

In: a body in the binary form of OTLP. Out: a `ParsedBody`. The messages are decoded by
`opentelemetry-proto`, which the extra `natstream[otlp]` installs. It is imported with the first
such body, because most processes never get one. Without it, `check_extra` raises
`UnsupportedMediaType`.

The frame around the records is read here, so that the records are counted before they take memory.
Each empty record takes two bytes of a body, and more than a hundred once it is decoded.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from natstream.drain.content_encoding import UnsupportedMediaType
from natstream.drain.otlp import (
    MAX_DEPTH,
    MAX_RECORD,
    Group,
    Record,
    Records,
    Resource,
    TooDeep,
    finite,
    id_hex,
)
from natstream.drain.parsed import ParsedBody
from natstream.entries.fly import Origin
from natstream.errors import BadBody

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

__all__ = ["check_extra", "parse_otlp_protobuf", "partial_success"]

_CUT = "The protobuf data ends early or is broken; send the whole body again."
# The parts of the wire format: https://protobuf.dev/programming-guides/encoding/
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10


def check_extra() -> None:
    """Raise UnsupportedMediaType if the extra is not installed."""
    try:
        import opentelemetry.proto.logs.v1.logs_pb2  # noqa: F401
    except ImportError:
        raise UnsupportedMediaType(
            "This natstream cannot read protobuf, because it was installed without its extra: "
            "install natstream[otlp], or send JSON (OTEL_EXPORTER_OTLP_PROTOCOL=http/json)."
        ) from None


def parse_otlp_protobuf(
    body: bytes, *, origin: Origin, needs_machine: bool, max_lines: int
) -> ParsedBody:
    """Return the entries of a body.

    Args and errors are those of `parse_otlp_json`.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

    records = Records(origin, needs_machine, max_lines)
    try:
        for number, resource_logs in _fields(body):
            if number != 1:
                continue
            records.count(1)
            shared, all_scope_logs = _parts(resource_logs, records)
            sent = ResourceMessage.FromString(shared)
            resource = Resource(_plain(sent.attributes, 0), origin)
            for scope_logs in all_scope_logs:
                shared, items = _parts(scope_logs, records)
                scope = InstrumentationScope.FromString(shared)
                group = Group(resource, scope.name, scope.version, _plain(scope.attributes, 0))
                for item in items:
                    if len(item) > MAX_RECORD:
                        records.drop("too_large", f"A record has more than {MAX_RECORD:,} bytes.")
                        continue
                    try:
                        record = _record(LogRecord.FromString(item))
                    except TooDeep as error:
                        records.drop("too_deep", str(error))
                    except DecodeError:
                        records.drop("not_otlp", "They cannot be decoded as LogRecord.")
                    else:
                        records.add(group, record)
    except DecodeError:
        raise BadBody(
            "The body is no OTLP logs in protobuf: a resource or scope is broken."
        ) from None
    return records.parsed()


def partial_success(rejected: int, sentence: str) -> bytes:
    """Return an `ExportLogsServiceResponse` for a body of which some records were dropped."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsPartialSuccess,
        ExportLogsServiceResponse,
    )

    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=sentence)
    return bytes(ExportLogsServiceResponse(partial_success=partial).SerializeToString())


# --- messages → plain values ------------------------------------------------------------------


def _record(sent: LogRecord) -> Record:
    return Record(
        time_ns=sent.time_unix_nano,
        observed_ns=sent.observed_time_unix_nano,
        severity_number=sent.severity_number,
        severity_text=sent.severity_text,
        body=_any(sent.body, 0) if sent.HasField("body") else None,
        attributes=_plain(sent.attributes, 0),
        trace_id=id_hex(sent.trace_id),
        span_id=id_hex(sent.span_id, of_span=True),
        event_name=sent.event_name,
    )


def _any(value: AnyValue, depth: int) -> Any:
    """Return an `AnyValue` as JSON has it; bytes in base64."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            return finite(value.double_value)
        case "bytes_value":
            return binascii.b2a_base64(value.bytes_value, newline=False).decode()
        case "kvlist_value":
            return _plain(value.kvlist_value.values, depth + 1)
        case "array_value":
            if depth >= MAX_DEPTH:
                raise TooDeep
            return [_any(item, depth + 1) for item in value.array_value.values]
    return None


def _plain(pairs: Iterable[KeyValue], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise TooDeep
    return {pair.key: _any(pair.value, depth) if pair.HasField("value") else None for pair in pairs}


# --- the frame around the records -------------------------------------------------------------


def _parts(message: bytes, records: Records) -> tuple[bytes, list[bytes]]:
    """Return what the items of a message share, and the items: its fields 1 and 2.

    A field that is given twice is the concatenation of both, as protobuf merges messages.

    Raises:
        BodyTooLarge: there are too many items.
        BadBody: the message is broken, or the shared part is too large.
    """
    shared, items = b"", []
    for number, value in _fields(message):
        if number == 1:
            shared += value
            if len(shared) > MAX_RECORD:
                raise BadBody(f"A resource or scope has more than {MAX_RECORD:,} bytes.")
        elif number == 2:
            records.count(1)
            items.append(value)
    return shared, items


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and values of the fields that hold bytes or messages."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _BYTES:
            size, at = _varint(message, at)
            if size > end - at:
                raise BadBody(_CUT)
            yield number, message[at : at + size]
            at += size
        elif wire_type == _VARINT:
            _, at = _varint(message, at)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        else:
            raise BadBody(_CUT)
    if at > end:
        raise BadBody(_CUT)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = shift = 0
    for byte in message[at : at + _VARINT_BYTES]:
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise BadBody(_CUT)
