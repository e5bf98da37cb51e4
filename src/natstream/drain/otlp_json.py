"""OpenTelemetry's log records in JSON → entries. Pure.

In: a body in the JSON form of OTLP (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
Out: a `ParsedBody`. Numbers of 64 bits may be texts, as JavaScript's exporters write them. Ids are
in hexadecimal digits, or in base64 as protobuf's own JSON has them. Unknown members are ignored.

A record with a wrong type is dropped alone. A fault around the records raises `BadBody`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import Any

import msgspec

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
from natstream.drain.splitting import Scan, array_items
from natstream.entries.fly import Origin
from natstream.errors import BadBody

__all__ = ["parse_otlp_json"]

_INT64, _UINT64 = 1 << 63, 1 << 64
_NONE = msgspec.Raw()
_BOM = b"\xef\xbb\xbf"
_EMPTY = re.compile(rb"\s*\{\s*\}\s*")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Any escape, because the second backslash of `\\\\u` begins none. The group is half a pair alone.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# The names that protobuf's own JSON gives to the numbers 1 to 24.
_SEVERITY = "SEVERITY_NUMBER_"
_SEVERITIES = {
    f"{_SEVERITY}{name}{number or ''}": 4 * base + (number or 1)
    for base, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for number in (0, 2, 3, 4)
}


class _List(msgspec.Struct, gc=False):
    values: list[_Value] | None = None


class _Pairs(msgspec.Struct, gc=False):
    values: list[_Pair] | None = None


class _Value(msgspec.Struct, rename="camel", gc=False):
    """An `AnyValue`, which has one of these members, or none."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: _List | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct, gc=False):
    key: str | None = None
    value: _Value | None = None


class _Attributed(msgspec.Struct, gc=False):
    """A resource, or a scope, which also has a name."""

    attributes: list[_Pair] | None = None
    name: str | None = None
    version: str | None = None


class _LogRecord(msgspec.Struct, rename="camel", gc=False):
    time_unix_nano: int | None = None
    observed_time_unix_nano: int | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _ScopeLogs(msgspec.Struct, rename="camel", gc=False):
    scope: msgspec.Raw = _NONE
    log_records: msgspec.Raw = _NONE


class _ResourceLogs(msgspec.Struct, rename="camel", gc=False):
    resource: msgspec.Raw = _NONE
    scope_logs: msgspec.Raw = _NONE


class _Export(msgspec.Struct, rename="camel", gc=False):
    resource_logs: msgspec.Raw = _NONE


_decode_export = msgspec.json.Decoder(_Export).decode
_decode_resource_logs = msgspec.json.Decoder(_ResourceLogs).decode
_decode_scope_logs = msgspec.json.Decoder(_ScopeLogs).decode
_decode_attributed = msgspec.json.Decoder(_Attributed, strict=False).decode
_decode_record = msgspec.json.Decoder(_LogRecord, strict=False).decode

_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse_otlp_json(
    body: bytes, *, origin: Origin, needs_machine: bool, max_lines: int
) -> ParsedBody:
    """Return the entries of a body.

    Args:
        body: the body, decompressed; an empty one has no records.
        origin: the names of entries that do not have their own.
        needs_machine: records without a machine are dropped.
        max_lines: how many records the body may have.

    Raises:
        BodyTooLarge: the body has more records than `max_lines`.
        NothingTaken: the body has records, and all of them were dropped.
        BadBody: the body is not what OpenTelemetry's exporters send.
    """
    records = Records(origin, needs_machine, max_lines)
    if body and not body.isspace():
        body = _readable(body)
        try:
            _read(body, records, origin)
        except _WRONG as error:
            raise BadBody(
                f"The body is no OTLP logs in JSON: {_what(error)}. Lines of JSON are taken as "
                "application/x-ndjson, or at any other path."
            ) from None
    return records.parsed()


def _read(body: bytes, records: Records, origin: Origin) -> None:
    export = _decode_export(body)
    if export.resource_logs is _NONE and not _EMPTY.fullmatch(body):
        raise msgspec.ValidationError("Object has no `resourceLogs`")
    for one in _items(export.resource_logs, records):
        resource_logs = _decode_resource_logs(one)
        resource = _attributed(resource_logs.resource)
        shared = Resource(_plain(resource.attributes, 0), origin)
        for other in _items(resource_logs.scope_logs, records):
            scope_logs = _decode_scope_logs(other)
            scope = _attributed(scope_logs.scope)
            group = Group(
                shared,
                scope.name or "",
                scope.version or "",
                _plain(scope.attributes, 0),
            )
            for item in _items(scope_logs.log_records, records):
                _add(records, group, bytes(item))


def _add(records: Records, group: Group, text: bytes) -> None:
    if len(text) > MAX_RECORD:
        records.drop("too_large", f"A record has more than {MAX_RECORD:,} bytes.")
        return
    try:
        record = _record(_decode_record(text))
    except TooDeep as error:
        records.drop("too_deep", str(error))
    except _WRONG as error:
        records.drop("not_otlp", f"The first fault: {_what(error)}.")
    else:
        records.add(group, record)


def _record(sent: _LogRecord) -> Record:
    number = sent.severity_number
    return Record(
        time_ns=_number(sent.time_unix_nano, 0, _UINT64),
        observed_ns=_number(sent.observed_time_unix_nano, 0, _UINT64),
        severity_number=_severity(number) if isinstance(number, str) else number or 0,
        severity_text=sent.severity_text or "",
        body=None if sent.body is None else _any(sent.body, 0),
        attributes=_plain(sent.attributes, 0),
        trace_id=id_hex(_id(sent.trace_id)),
        span_id=id_hex(_id(sent.span_id), of_span=True),
        event_name=sent.event_name or "",
    )


def _any(value: _Value, depth: int) -> Any:
    """Return an `AnyValue` as JSON has it. Bytes stay in base64."""
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _number(value.int_value, -_INT64, _INT64)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return finite(value.double_value)
    if value.bytes_value is not None:
        return value.bytes_value
    if value.kvlist_value is not None:
        return _plain(value.kvlist_value.values, depth + 1)
    if value.array_value is not None:
        if depth >= MAX_DEPTH:
            raise TooDeep
        return [_any(item, depth + 1) for item in value.array_value.values or ()]
    return None


def _plain(pairs: Sequence[_Pair] | None, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise TooDeep
    return {
        pair.key or "": None if pair.value is None else _any(pair.value, depth)
        for pair in pairs or ()
    }


def _number(value: int | None, least: int, limit: int) -> int:
    if value is None:
        return 0
    if not least <= value < limit:
        raise msgspec.ValidationError("A number has more than 64 bits")
    return value


def _severity(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 4:
        return int(text)
    if text in _SEVERITIES or text == f"{_SEVERITY}UNSPECIFIED":
        return _SEVERITIES.get(text, 0)
    raise msgspec.ValidationError("Expected a number at `$.severityNumber`")


def _id(text: str | None) -> bytes:
    """Return the bytes of an id, or nothing if it is neither hexadecimal nor base64."""
    if not text:
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""


def _attributed(raw: msgspec.Raw) -> _Attributed:
    text = bytes(raw)
    if len(text) > MAX_RECORD:
        raise msgspec.ValidationError(f"A resource or scope has more than {MAX_RECORD:,} bytes")
    return _Attributed() if text in (b"", b"null") else _decode_attributed(text)


def _items(raw: msgspec.Raw, records: Records) -> Sequence[bytes | msgspec.Raw]:
    """Return the items of a list, and count them before they take memory."""
    text = bytes(raw)
    if text in (b"", b"null"):
        return ()
    if not text.startswith(b"["):
        raise msgspec.ValidationError("Expected `array`")
    items: list[bytes | msgspec.Raw] = []
    try:
        for step in array_items(text):
            items += step
            records.check(len(items))
    except ValueError:
        # An item is large or broken, which takes longer.
        found = Scan(text).items(0, records.room)
        if found is None:
            raise msgspec.DecodeError("A list of objects is broken") from None
        items = [*found[0]]
    records.count(len(items))
    return items


def _readable(body: bytes) -> bytes:
    """Return a body without the bytes for which msgspec refuses it, though it is JSON.

    JavaScript writes half of a surrogate pair as an escape, and other senders cut a text between
    the bytes of a character.
    """
    body = body.removeprefix(_BOM)
    if not body.isascii():
        body = body.decode("utf-8", "replace").encode()
    if not _SURROGATE.search(body):
        return body
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
