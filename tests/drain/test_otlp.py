"""OpenTelemetry's records in both encodings: their entries, and bodies that are hostile."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.otlp import (
    SPAN,
    TIME,
    TRACE,
    Export,
    Sent,
    in_json,
    in_protobuf,
    json_record,
    json_value,
)

from natstream.drain import otlp
from natstream.drain.content_encoding import BodyTooLarge
from natstream.drain.otlp_json import parse_otlp_json
from natstream.drain.otlp_protobuf import parse_otlp_protobuf
from natstream.drain.parsed import MAX_LINES, NothingTaken, ParsedBody
from natstream.entries.entry import LogEntry
from natstream.entries.fields import ENVELOPE, Fields
from natstream.entries.fly import Origin
from natstream.errors import BadBody

MIB = 1 << 20


def read_json(body: bytes, **options: Any) -> ParsedBody:
    defaults = {"origin": Origin(), "needs_machine": False, "max_lines": MAX_LINES}
    return parse_otlp_json(body, **{**defaults, **options})


def read_protobuf(body: bytes, **options: Any) -> ParsedBody:
    defaults = {"origin": Origin(), "needs_machine": False, "max_lines": MAX_LINES}
    return parse_otlp_protobuf(body, **{**defaults, **options})


def entry_of(sent: Sent | None = None, **resource: Any) -> LogEntry:
    """Return the entry of a record, which must be the same in both encodings."""
    export = Export(records=[sent or Sent()], resource=resource or {"service.name": "shop"})
    (entry,) = read_protobuf(in_protobuf(export)).entries
    (other,) = read_json(in_json(export)).entries
    assert attrs.evolve(entry, unix_ns=0, timestamp="") == attrs.evolve(
        other, unix_ns=0, timestamp=""
    )
    return entry


def in_list(*records: bytes) -> bytes:
    """Return a body in JSON with these texts as its records."""
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}' % b",".join(records)


def field(number: int, value: bytes) -> bytes:
    """Return a field of protobuf that holds bytes or a message."""
    size, digits = len(value), bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes((number << 3 | 2, *digits, size)) + value


def in_scope(*records: bytes) -> bytes:
    """Return a body in protobuf with these messages as its records."""
    return field(1, field(2, b"".join(field(2, record) for record in records)))


# --- records → entries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [
        *((number, "", "trace") for number in (1, 4)),
        *((number, "", "debug") for number in (5, 8)),
        *((number, "", "info") for number in (9, 12)),
        *((number, "", "warn") for number in (13, 16)),
        *((number, "", "error") for number in (17, 20)),
        *((number, "", "fatal") for number in (21, 24)),
        (18, "WARNING", "error"),
        (0, "WARNING", "warn"),
        (0, "CRITICAL", "fatal"),
        (0, "Audit", "audit"),
        (25, "err", "error"),
        (0, "", ""),
    ],
)
def test_the_severity_is_the_level(number: int, text: str, level: str) -> None:
    """The number decides, then the text; a text that is no known level is kept."""
    assert entry_of(Sent(severity_number=number, severity_text=text)).level == level


def test_without_a_severity_the_message_says_the_level() -> None:
    """A record without a severity gets the level that its text says, as a line of text does."""
    sent = Sent(severity_number=0, severity_text="", body="[ERROR] no route")
    assert entry_of(sent).level == "error"
    sent = attrs.evolve(sent, body={"level": "warn", "msg": "slow"})
    assert entry_of(sent).level == "warn"
    assert entry_of(Sent(severity_number=9, body="[ERROR] no route")).level == "info"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("hello", "hello"),
        ("", ""),
        ("café 日本\nsecond line", "café 日本\nsecond line"),
        ({"msg": "hi", "n": 1}, '{"msg":"hi","n":1}'),
        ({}, "{}"),
        (["a", 1, None], '["a",1,null]'),
        (5, "5"),
        (-(1 << 63), "-9223372036854775808"),
        (1.5, "1.5"),
        (math.inf, "Infinity"),
        (True, "true"),
        (b"\x00\xff", "AP8="),
    ],
)
def test_the_body_is_the_message(body: Any, message: str) -> None:
    """A text is the message as it is, and any other value is the message as JSON."""
    assert entry_of(Sent(body=body)).message == message


def test_a_record_without_a_body_shows_its_event_or_its_attributes() -> None:
    """A record without a body shows the name of its event, its exception or its attributes."""
    assert entry_of(Sent(body=None, event_name="user.login", attributes={"a": 1})).message == (
        "user.login"
    )
    failed = {"exception.type": "KeyError", "exception.message": "x", "a": 1}
    assert entry_of(Sent(body=None, attributes=failed)).message == "KeyError: x"
    assert Fields(entry_of(Sent(body=None, attributes=failed))).get("exception.message") == "x"
    assert entry_of(Sent(body=None, attributes={"a": 1})).message == '{"a":1}'
    assert entry_of(Sent(body=None)).message == ""


@pytest.mark.parametrize(
    ("resource", "origin"),
    [
        ({"service.name": "shop"}, ("shop", "", "")),
        (
            {"service.name": "shop", "host.name": "web-1", "cloud.region": "eu-west-1"},
            ("shop", "eu-west-1", "web-1"),
        ),
        ({"service.name": "shop", "host.id": "i-07"}, ("shop", "", "i-07")),
        (
            {
                "service.name": "shop",
                "host.name": "web-1",
                "cloud.region": "eu",
                "fly.app.name": "web",
                "fly.machine.id": "0e28",
                "fly.region": "sjc",
            },
            ("web", "sjc", "0e28"),
        ),
        ({"fly.app_name": "web", "fly.machine_id": "0e28"}, ("web", "", "0e28")),
        ({"service.name": "", "host.id": 7}, ("", "", "7")),
    ],
)
def test_the_resource_names_where_a_record_comes_from(
    resource: dict[str, Any], origin: tuple[str, str, str]
) -> None:
    """Fly's names win over those of the service, the host and the cloud."""
    entry = entry_of(**resource)
    assert (entry.app_name, entry.region, entry.machine_id) == origin
    assert entry.host == str(resource.get("host.name", resource.get("host.id", "")))
    assert entry.source == "drain"


def test_the_address_names_what_the_resource_does_not() -> None:
    """The names in the drain's address hold for a record without its own."""
    export = Export(records=[Sent()], resource={"service.name": "shop"})
    origin = Origin("backup", "sjc", "nas")
    for parsed in (
        read_json(in_json(export), origin=origin),
        read_protobuf(in_protobuf(export), origin=origin),
    ):
        (entry,) = parsed.entries
        assert (entry.app_name, entry.region, entry.machine_id) == ("shop", "sjc", "nas")


def test_everything_else_is_a_field() -> None:
    """Ids, the event, the scope, and the attributes of record and resource can be filtered by."""
    sent = Sent(
        trace_id=TRACE,
        span_id=SPAN,
        event_name="order.paid",
        attributes={
            "http.response.status_code": 502,
            "user": {"id": 7},
            "tags": ["a", "b"],
            "level": "gold",
            "message": "not the message",
            "scope": "mine",
        },
    )
    export = Export(
        records=[sent],
        resource={"service.name": "shop", "service.version": "1.2"},
        scope="checkout",
        version="3",
    )
    for parsed in (read_json(in_json(export)), read_protobuf(in_protobuf(export))):
        (entry,) = parsed.entries
        fields = Fields(entry)
        assert (entry.message, entry.level, entry.app_name) == ("hello", "info", "shop")
        assert fields.get("trace_id") == TRACE.hex()
        assert fields.get("span_id") == SPAN.hex()
        assert fields.get("event_name") == "order.paid"
        assert fields.get("http.response.status_code") == 502
        assert (fields.get("user.id"), fields.get("tags.1")) == (7, "b")
        assert (fields.get("scope.name"), fields.get("scope.version")) == ("checkout", "3")
        assert fields.get("resource.service.version") == "1.2"
        # The names of the entry's own are kept apart.
        assert fields.get("attributes.level") == "gold"
        assert fields.get("attributes.message") == "not the message"
        assert fields.get("attributes.scope") == "mine"


def test_no_attribute_changes_an_entry() -> None:
    """An attribute with the name of a field of the entry is data, whatever its value is."""
    plain = entry_of()
    names = {*ENVELOPE, "meta", "service", "hostname", "container_name", "trace_id", "attributes"}
    for value in ("zebra", {"provider": "proxy", "level": "fatal"}, 5):
        sent = Sent(attributes=dict.fromkeys(names, value))
        assert entry_of(sent) == plain


def test_the_stream_is_that_of_the_attribute() -> None:
    """`log.iostream` says whether the line was written to stderr."""
    assert entry_of(Sent(attributes={"log.iostream": "stderr"})).stream == "stderr"
    assert entry_of(Sent(attributes={"log.iostream": 5})).stream == "stdout"


def test_the_time_is_the_records_then_the_observers_then_ours() -> None:
    """The record's time has all its nanoseconds; a record without any time has its arrival."""
    entry = entry_of(Sent(time=TIME, observed=5))
    assert (entry.unix_ns, entry.timestamp) == (TIME, "2022-09-27T20:34:37.252022967Z")
    assert entry_of(Sent(time=0, observed=TIME)).unix_ns == TIME
    assert entry_of(Sent(time=1)).unix_ns == 1
    assert entry_of(Sent(time=2**64 - 1)).unix_ns == 2**64 - 1
    assert abs(entry_of(Sent(time=0)).unix_ns - time.time_ns()) < 60 * 10**9


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [(b"", b""), (bytes(16), bytes(8)), (b"\x01" * 15, b"\x01" * 9), (SPAN, TRACE)],
)
def test_an_invalid_id_is_none(trace_id: bytes, span_id: bytes) -> None:
    """An id of zeros or of another length says that the record belongs to no trace."""
    fields = Fields(entry_of(Sent(trace_id=trace_id, span_id=span_id)))
    assert (fields.get("trace_id"), fields.get("span_id")) == (None, None)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["service.name", "host.name", "fly.app.name", "log.iostream", *ENVELOPE])
ATTRIBUTES = st.dictionaries(NAMES | st.text(max_size=8), VALUES, max_size=5)
RECORDS = st.builds(
    Sent,
    body=VALUES,
    severity_number=st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 24),
    severity_text=st.text(max_size=8),
    time=st.integers(1, 2**64 - 1),
    observed=st.integers(0, 2**64 - 1),
    attributes=ATTRIBUTES,
    trace_id=st.binary(max_size=20) | st.binary(min_size=16, max_size=16),
    span_id=st.binary(max_size=20) | st.binary(min_size=8, max_size=8),
    event_name=st.text(max_size=8),
)
EXPORTS = st.builds(
    Export,
    records=st.lists(RECORDS, min_size=1, max_size=3),
    resource=ATTRIBUTES,
    scope=st.text(max_size=8),
    version=st.text(max_size=8),
)


@given(st.lists(EXPORTS, max_size=2))
def test_both_encodings_give_the_same_entries(exports: list[Export]) -> None:
    """Any records give the same entries, payloads and counts in protobuf and in JSON."""
    one, other = read_protobuf(in_protobuf(*exports)), read_json(in_json(*exports))
    assert list(one.entries) == list(other.entries)
    assert [entry.raw for entry in one.entries] == [entry.raw for entry in other.entries]
    assert len(one.entries) == sum(len(export.records) for export in exports)
    assert (one.dropped, one.fault) == (other.dropped, other.fault) == ({}, "")


# --- JSON as other libraries write it -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"timeUnixNano": TIME},
        {"severityNumber": "17"},
        {"severityNumber": "SEVERITY_NUMBER_ERROR"},
        {"traceId": TRACE.hex().upper()},
        {"traceId": "AQIDBAUGBwgJCgsMDQ4PEA==", "spanId": "AQIDBAUGBwg="},
        {"flags": 1, "droppedAttributesCount": 3, "unknown": {"a": [1]}},
        {"observedTimeUnixNano": None, "eventName": None},
        {"attributes": [{"key": "n", "value": {"intValue": 5}}]},
        {"attributes": [{"key": "n", "value": {"intValue": 5.0}}]},
        {"body": {"stringValue": "hello", "intValue": None}},
    ],
    ids=str,
)
def test_other_spellings_of_json_are_read(change: dict[str, Any]) -> None:
    """Numbers may be texts and texts numbers, ids may be in base64, and null is absent."""
    sent = Sent(severity_number=17, trace_id=TRACE, span_id=SPAN, attributes={"n": 5})
    whole = read_json(in_list(json.dumps(json_record(sent)).encode()))
    changed = read_json(in_list(json.dumps(json_record(sent) | change).encode()))
    assert changed.entries == whole.entries
    assert changed.entries[0].raw == whole.entries[0].raw


def test_protobufs_own_json_is_read() -> None:
    """A body that protobuf's library has written as JSON gives the same entries."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    export = Export(records=[Sent(trace_id=TRACE, span_id=SPAN, severity_number=18)])
    body = in_protobuf(export)
    text = MessageToJson(ExportLogsServiceRequest.FromString(body)).encode()
    assert list(read_json(text).entries) == list(read_protobuf(body).entries)


def test_text_that_is_no_unicode_is_mended() -> None:
    """Half a surrogate pair and broken UTF-8 become U+FFFD, and an escaped backslash stays."""
    body = {"body": {"stringValue": "X"}, "timeUnixNano": "1"}
    text = json.dumps(body).replace("X", r"\ud83d\ude00 \ud83d \\ud83d ").encode() + b" "
    (entry,) = read_json(in_list(text.replace(b' "}', b' \xff"}'))).entries
    assert entry.message == "\N{GRINNING FACE} \ufffd \\ud83d \ufffd"
    (entry,) = read_json(b"\xef\xbb\xbf" + in_list(b'{"body":{"stringValue":"a"}}')).entries
    assert entry.message == "a"


# --- bodies that are broken or hostile ------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        b"5",
        b'"text"',
        b"null",
        b"[]",
        b'{"traceId":5}',
        b'{"timeUnixNano":"yesterday"}',
        b'{"timeUnixNano":-1}',
        b'{"timeUnixNano":18446744073709551616}',
        b'{"severityNumber":true}',
        b'{"severityNumber":"LOUD"}',
        b'{"severityText":5}',
        b'{"body":"text"}',
        b'{"body":{"stringValue":5}}',
        b'{"body":{"boolValue":"maybe"}}',
        b'{"body":{"intValue":"9223372036854775808"}}',
        b'{"body":{"arrayValue":[]}}',
        b'{"body":{"kvlistValue":{"values":{"a":1}}}}',
        b'{"attributes":{"a":1}}',
        b'{"attributes":[{"key":5}]}',
        b'{"attributes":[["a","b"]]}',
    ],
)
def test_a_record_of_a_wrong_type_is_dropped_alone(record: bytes) -> None:
    """The other records of the body are taken, and the answer names the fault of this record."""
    good = json.dumps(json_record(Sent())).encode()
    parsed = read_json(in_list(good, record, good))
    assert [entry.message for entry in parsed.entries] == ["hello", "hello"]
    assert parsed.dropped == {"not_otlp": 1}
    assert parsed.fault.startswith("The first fault: ")
    with pytest.raises(NothingTaken) as caught:
        read_json(in_list(record))
    assert "are not log records of OpenTelemetry" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b"[]",
        b"null",
        b'"resourceLogs"',
        b'{"message":"a"}',
        b'{"resource_logs":[]}',
        b'{"resourceLogs":{}}',
        b'{"resourceLogs":[5]}',
        b'{"resourceLogs":[{"resource":5}]}',
        b'{"resourceLogs":[{"resource":{"attributes":5},"scopeLogs":[]}]}',
        b'{"resourceLogs":[{"scopeLogs":5}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"scope":[]}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":"x"}]}]}',
        b'{"resourceLogs":[',
        in_list(b"{}")[:-1],
        in_list(b"{}", b"{]"),
        b"not JSON",
        b'{"a":1}\n{"a":2}',
        b"[" * MIB,
        b'{"resourceLogs":' * 100_000,
        in_list(b'{"body":' * 100_000 + b"{}" + b"}" * 100_000),
    ],
    ids=lambda body: body[:40].decode(),
)
def test_a_body_that_is_no_otlp_is_refused(body: bytes) -> None:
    """A fault around the records refuses the whole body, with a sentence."""
    with pytest.raises(BadBody, match=r"no OTLP logs in JSON: .+\."):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff" * 20,
        b"\x0b\x0c",
        b"\x0d\x00",
        b"{}",
        b"not protobuf",
        field(1, field(1, b"\xff")),
        field(1, field(2, field(1, b"\x0a\x01\xff"))),
        in_protobuf(Export(records=[Sent()]))[:-1],
    ],
)
def test_broken_protobuf_is_refused(body: bytes) -> None:
    """Data that ends early, or that is no protobuf, refuses the whole body."""
    with pytest.raises(BadBody):
        read_protobuf(body)


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: in_scope(data)))
def test_no_bytes_raise_another_error(body: bytes) -> None:
    """Any bytes give entries or a BadBody, in both encodings."""
    for read in (read_protobuf, read_json):
        try:
            parsed = read(body)
        except BadBody:
            continue
        assert isinstance(parsed, ParsedBody)


def test_a_broken_record_in_protobuf_is_dropped_alone() -> None:
    """A record that cannot be decoded, or whose text is not UTF-8, takes no other along."""
    good = in_protobuf(Export(records=[Sent()]))
    broken = in_scope(b"\x0a", field(5, field(1, b"\xff")))
    parsed = read_protobuf(good + broken)
    assert (len(parsed.entries), parsed.dropped) == (1, {"not_otlp": 2})


def test_empty_bodies_have_no_records() -> None:
    """An empty body, and one whose lists are empty or null, is no fault and has no entries."""
    assert read_protobuf(b"").entries == read_protobuf(field(1, b"")).entries == []
    for body in (b"", b" \n", b"{}", b'{"resourceLogs":[]}', b'{"resourceLogs":null}'):
        assert read_json(body) == ParsedBody([], {}, "")
    assert read_json(in_list()).entries == []


def nested(depth: int) -> Any:
    value: Any = "leaf"
    for level in range(depth):
        value = {"in": value} if level % 2 else [value]
    return value


def test_a_value_that_nests_too_deeply_is_dropped_alone() -> None:
    """Up to 20 levels are read; a deeper record is dropped and counted, in both encodings."""
    for sent in (Sent(body=nested(20)), Sent(attributes={"a": nested(20)})):
        entry_of(sent)
    for depth in (21, 30):
        for sent in (Sent(body=nested(depth)), Sent(attributes={"a": nested(depth)})):
            export = Export(records=[Sent(), sent])
            for parsed in (read_json(in_json(export)), read_protobuf(in_protobuf(export))):
                assert (len(parsed.entries), parsed.dropped) == (1, {"too_deep": 1})
                assert "20 levels" in parsed.fault


def test_a_value_deeper_than_protobuf_reads_is_dropped_alone() -> None:
    """The library refuses 100 messages within each other, and the record is counted."""
    value = b""
    for _ in range(3_000):
        value = field(1, field(5, value))
    parsed = read_protobuf(in_scope(field(5, value), b""))
    assert (len(parsed.entries), sum(parsed.dropped.values())) == (1, 1)


@pytest.mark.parametrize("read", [read_json, read_protobuf])
def test_a_record_that_is_too_large_is_dropped_alone(read: Callable[..., ParsedBody]) -> None:
    """A record of more than 1 MiB is counted, and its neighbours are taken whatever their size."""
    write = in_json if read is read_json else in_protobuf
    records = [Sent(body="x" * size) for size in (10, 900_000, 2 * MIB, 900_000, 10)]
    parsed = read(write(Export(records=records)))
    assert (len(parsed.entries), parsed.dropped) == (4, {"too_large": 1})
    assert "[cut here: the line was 900,000 bytes long]" in parsed.entries[1].message


@pytest.mark.parametrize("read", [read_json, read_protobuf])
def test_the_number_of_records_is_limited(read: Callable[..., ParsedBody]) -> None:
    """Records and groups of records beyond the limit refuse the body."""
    write = in_json if read is read_json else in_protobuf
    exports = [Export(records=[Sent()] * 8)] * 2
    assert len(read(write(*exports), max_lines=20).entries) == 16
    with pytest.raises(BodyTooLarge, match="more than 19 records"):
        read(write(*exports), max_lines=19)
    with pytest.raises(BodyTooLarge):
        read(write(*[Export(records=[])] * 11), max_lines=20)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_protobuf, field(1, field(2, b"\x12\x00" * (4 * MIB)))),
        (read_protobuf, field(1, b"\x12\x00" * (4 * MIB))),
        (read_protobuf, b"\x0a\x00" * (4 * MIB)),
        (read_protobuf, field(1, field(1, b"\x0a\x00" * MIB))),
        (read_json, in_list(b"{}" + b",{}" * (3 * MIB))),
        (read_json, b'{"resourceLogs":[{}%b]}' % (b",{}" * (3 * MIB))),
        (read_json, b'{"resourceLogs":[{"resource":{"attributes":[{}%b]}}]}' % (b",{}" * MIB)),
    ],
    ids=["records", "scopes", "resources", "attributes"] + ["JSON"] * 3,
)
def test_many_empty_messages_take_no_memory(
    read: Callable[..., ParsedBody], body: bytes, peak_memory: Callable[[], int]
) -> None:
    """Millions of empty messages are refused before they are decoded."""
    with pytest.raises(BadBody):
        read(body)
    assert peak_memory() < 3 * len(body) + 48 * MIB


@pytest.fixture
def peak_memory() -> Any:
    """Return a function for the most bytes that Python has allocated since the test's start."""
    import tracemalloc

    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("read", [read_json, read_protobuf])
def test_a_large_resource_does_not_fill_the_memory(
    read: Callable[..., ParsedBody], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resource that many records repeat refuses the body once its entries are too large."""
    monkeypatch.setattr(otlp, "MAX_OBJECTS", MIB)
    write = in_json if read is read_json else in_protobuf
    export = Export(records=[Sent()] * 100, resource={"a": "x" * 9_000})
    assert len(read(write(export)).entries) == 100
    with pytest.raises(BodyTooLarge, match="too much memory"):
        read(write(attrs.evolve(export, resource={"a": "x" * 11_000})))


def test_the_collector_needs_a_machine() -> None:
    """Without a hub, records that name no machine are dropped, and the reason says so."""
    exports = [
        Export(records=[Sent()] * 2, resource={"service.name": "shop"}),
        Export(records=[Sent()], resource={"host.name": "web-1"}),
    ]
    for parsed in (
        read_json(in_json(*exports), needs_machine=True),
        read_protobuf(in_protobuf(*exports), needs_machine=True),
    ):
        assert (len(parsed.entries), parsed.dropped) == (1, {"no_machine": 2})
    with pytest.raises(NothingTaken, match=r"1 name no machine.*host\.name"):
        read_json(in_json(Export(records=[Sent()])), needs_machine=True)


def test_a_value_of_several_kinds_is_one_of_them() -> None:
    """An AnyValue has one kind; of several in JSON, one is taken and nothing fails."""
    value = {**json_value("text"), **json_value(5)}
    (entry,) = read_json(in_list(json.dumps({"body": value}).encode())).entries
    assert entry.message == "text"


@pytest.mark.parametrize("name", ["unknown_service", "unknown_service:node"])
def test_the_address_names_an_app_that_nobody_has_named(name: str) -> None:
    """The name that an SDK makes up counts only if the address has none either."""
    export = Export(records=[Sent()], resource={"service.name": name})
    for read, body in ((read_json, in_json(export)), (read_protobuf, in_protobuf(export))):
        (entry,) = read(body, origin=Origin(app="shop")).entries
        assert entry.app_name == "shop"
        (entry,) = read(body).entries
        assert entry.app_name == name


@pytest.mark.parametrize("records", [0, 1])
def test_a_resource_is_encoded_once_and_only_for_records(
    records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large resource and thousands of scopes cost no more than their bytes."""
    encoded: list[Any] = []

    def encode(value: Any) -> bytes:
        encoded.append(value)
        return json.dumps(value).encode()

    monkeypatch.setattr(otlp, "_encode", encode)
    attributes = {f"attribute{number}": number for number in range(1_000)}
    resource = json.loads(in_json(Export(records=[Sent()], resource=attributes)))
    (logs,) = resource["resourceLogs"]
    (scope,) = logs["scopeLogs"]
    logs["scopeLogs"] = [scope | {"logRecords": scope["logRecords"][:records]}] * 50
    parsed = read_json(json.dumps(resource).encode())
    assert len(parsed.entries) == 50 * records
    assert encoded.count(attributes) == records
    assert len(encoded) == 51 * records
