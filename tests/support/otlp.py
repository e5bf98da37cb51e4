"""Log records of OpenTelemetry in both encodings, made from plain values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

TRACE, SPAN = bytes(range(1, 17)), bytes(range(1, 9))
TIME = 1_664_310_877_252_022_967


@attrs.frozen(kw_only=True)
class Sent:
    """A log record as an app gives it to its SDK."""

    body: Any = "hello"
    severity_number: int = 9
    severity_text: str = "INFO"
    time: int = TIME
    observed: int = 0
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    trace_id: bytes = b""
    span_id: bytes = b""
    event_name: str = ""


@attrs.frozen(kw_only=True)
class Export:
    """Records of one resource and one scope."""

    records: Sequence[Sent]
    resource: Mapping[str, Any] = attrs.field(factory=lambda: {"service.name": "shop"})
    scope: str = ""
    version: str = ""


def in_protobuf(*exports: Export) -> bytes:
    """Return a body as the exporters of OTLP over protobuf send it."""
    request = ExportLogsServiceRequest()
    for export in exports:
        resource_logs = request.resource_logs.add()
        resource_logs.resource.attributes.extend(_pairs(export.resource))
        scope_logs = resource_logs.scope_logs.add()
        scope_logs.scope.name, scope_logs.scope.version = export.scope, export.version
        for sent in export.records:
            record = scope_logs.log_records.add(
                time_unix_nano=sent.time,
                observed_time_unix_nano=sent.observed,
                severity_text=sent.severity_text,
                attributes=_pairs(sent.attributes),
                trace_id=sent.trace_id,
                span_id=sent.span_id,
                event_name=sent.event_name,
            )
            record.severity_number = sent.severity_number
            if sent.body is not None:
                record.body.CopyFrom(_any_value(sent.body))
    return bytes(request.SerializeToString())


def in_json(*exports: Export) -> bytes:
    """Return the same body as the exporters of OTLP over JSON send it."""
    return json.dumps(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": _json_pairs(export.resource)},
                    "scopeLogs": [
                        {
                            "scope": {"name": export.scope, "version": export.version},
                            "logRecords": [*map(json_record, export.records)],
                        }
                    ],
                }
                for export in exports
            ]
        }
    ).encode()


def json_record(sent: Sent) -> dict[str, Any]:
    """Return one record as OTLP has it in JSON."""
    record = {
        "timeUnixNano": str(sent.time),
        "observedTimeUnixNano": str(sent.observed),
        "severityNumber": sent.severity_number,
        "severityText": sent.severity_text,
        "attributes": _json_pairs(sent.attributes),
        "traceId": sent.trace_id.hex(),
        "spanId": sent.span_id.hex(),
        "eventName": sent.event_name,
    }
    return record if sent.body is None else {**record, "body": json_value(sent.body)}


def json_value(value: Any) -> dict[str, Any]:
    """Return a value as an AnyValue in JSON."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
            return {"doubleValue": special.get(str(value), value)}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [*map(json_value, value)]}}
        case dict():
            return {"kvlistValue": {"values": _json_pairs(value)}}
    return {}


def _json_pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": json_value(value)} for key, value in values.items()]


def _pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items()]


def _any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
    found = AnyValue()
    match value:
        case list():
            found.array_value.SetInParent()
            found.array_value.values.extend(map(_any_value, value))
        case dict():
            found.kvlist_value.SetInParent()
            found.kvlist_value.values.extend(_pairs(value))
    return found
