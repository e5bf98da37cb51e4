"""Section 3 of the specification: entries, and how they are made of bytes and objects."""

from __future__ import annotations

import inspect
import json
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.payloads import sent
from tests.support.strategies import fly_lines, json_values, subjects

from natstream.entries import envelopes
from natstream.entries import fly as parsing
from natstream.entries.entry import ENTRY_OVERHEAD, LogEntry, decode_json, make_entry
from natstream.entries.fly import (
    LONGEST_NAME,
    Origin,
    parse_log_entry,
    parse_messages,
    parse_nats,
    parse_ndjson,
    parse_object,
    parse_objects,
    parse_text,
)
from natstream.entries.message import text_message
from natstream.entries.times import parse_time
from natstream.formats.events import FORMATS

ROWS = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures" / "payloads.jsonl").read_bytes().splitlines()
]
SUBJECT = "logs.web.sjc.0e286551c30586"
FLY_LINE: dict[str, Any] = {
    "event": {"provider": "app"},
    "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "sjc"},
    "host": "0ad1",
    "log": {"level": "info"},
    "message": "hello",
    "timestamp": "2022-09-27T20:34:37.252022967Z",
}


def nats(subject: str = SUBJECT, **fields: Any) -> LogEntry:
    """Return the entry of a NATS message: a Fly line with other fields."""
    return parse_nats(subject, json.dumps(FLY_LINE | fields).encode())


def shown(entry: LogEntry) -> list[bytes]:
    """Return the entry in each format, because any entry must be sendable."""
    return [format.entry(entry, "1-a-1") for format in FORMATS.values()]


# --- samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_sample(row: dict[str, Any]) -> None:
    """Each sample payload gives the fields that the sample expects."""
    if row["via"] == "nats":
        entry: LogEntry | None = parse_nats(row["subject"], row["payload"].encode())
    else:
        entry = parse_log_entry(row["raw"])
    if row["expect"] is None:
        assert entry is None
        return
    assert entry is not None
    assert {name: getattr(entry, name) for name in row["expect"]} == row["expect"]
    assert all(shown(entry))


def test_all_that_fly_publishes_arrives() -> None:
    """Every field of the shape that Fly documents has a field in the entry."""
    assert nats() == LogEntry(
        "0e286551c30586",
        "hello",
        "stdout",
        "2022-09-27T20:34:37.252022967Z",
        "web",
        region="sjc",
        level="info",
        provider="app",
        host="0ad1",
        unix_ns=1_664_310_877_252_022_967,
        source="nats",
    )


# --- the entry ---------------------------------------------------------------------------------


def test_an_entry_is_made_as_in_the_library_before() -> None:
    """LogEntry takes six positional arguments, and the others by keyword only."""
    entry = LogEntry("m", "hi", "stdout", "now", "web", {"a": 1})
    assert (entry.machine_id, entry.message, entry.stream) == ("m", "hi", "stdout")
    assert (entry.timestamp, entry.app_name, entry.raw) == ("now", "web", {"a": 1})
    bare = LogEntry("m", "hi", "stdout")
    assert (bare.timestamp, bare.app_name, bare.raw) == ("", "", {})
    assert LogEntry("m", "hi", "stdout", raw={"a": 1}).raw == {"a": 1}
    with pytest.raises(TypeError):
        LogEntry("m", "hi", "stdout", "", "", {}, "sjc")  # type: ignore[call-arg]  # the point


def test_an_entry_is_frozen() -> None:
    """An entry cannot be changed, because readers share it."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        sent().message = "other"  # type: ignore[misc]  # the point
    assert isinstance(hash(nats()), int)


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"[1]", {}),
        (b"plain text", {}),
        (b"\xff", {}),
        (b"[" * 10_000, {}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_raw_is_given_as_bytes_and_read_as_the_object(given_: bytes, read: dict[str, Any]) -> None:
    """A payload that is not an object reads as an empty object."""
    assert LogEntry("m", "hi", "stdout", raw=given_).raw == read


def test_raw_is_the_original_object() -> None:
    """`raw` of a drain entry is the same object, and `raw` of a NATS entry an equal one."""
    raw = {"instance": "m", "message": "x", "extra": [1, {"b": None}]}
    entry = parse_log_entry(raw)
    assert entry is not None
    assert entry.raw is raw
    assert nats(extra=[1]).raw == FLY_LINE | {"extra": [1]}


def test_a_drain_entry_may_keep_bytes_in_the_objects_place() -> None:
    """An entry that keeps bytes takes an eighth of the memory, and its cost says so."""
    payload = b'{"instance":"m","message":"hi"}'
    entry = parse_log_entry(decode_json(payload), payload=payload)
    assert entry is not None
    assert entry.raw == {"instance": "m", "message": "hi"}
    assert entry.cost == len(payload) + sys.getsizeof("hi") + ENTRY_OVERHEAD


# --- objects -----------------------------------------------------------------------------------


def test_the_machine_is_the_first_of_four() -> None:
    """`fly.app.instance` wins, then `fly.machine.id`, `instance` and `machine_id`."""
    raw: dict[str, Any] = {
        "fly": {"app": {"instance": "a"}, "machine": {"id": "b"}},
        "instance": "c",
        "machine_id": "d",
    }
    found = []
    for _ in range(4):
        entry = parse_log_entry(raw)
        assert entry is not None
        found.append(entry.machine_id)
        match entry.machine_id:
            case "a":
                raw["fly"]["app"] = {}
            case "b":
                raw["fly"]["machine"] = None
            case "c":
                del raw["instance"]
            case "d":
                raw["machine_id"] = ""
    assert found == ["a", "b", "c", "d"]
    assert parse_log_entry(raw) is None
    assert parse_log_entry({}) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"message": "a", "log": "b", "msg": "c"}, "a"),
        ({"log": "b", "msg": "c"}, "b"),
        ({"msg": "c"}, "c"),
        ({"message": "", "log": "b"}, ""),
        ({"log": "", "msg": "c"}, ""),
        ({"message": None, "log": "b"}, "b"),
        ({"message": True, "log": "b"}, "b"),
        ({"message": False, "msg": "c"}, "c"),
        ({"message": {"text": "a"}, "msg": "c"}, "c"),
        ({"message": ["a"], "msg": "c"}, "c"),
        ({"log": {"level": "info", "message": "no"}, "msg": "c"}, "c"),
        ({"message": 0}, "0"),
        ({"message": -1.5, "log": "b"}, "-1.5"),
    ],
)
def test_the_message_is_the_first_text_or_number(fields: dict[str, Any], message: str) -> None:
    """An empty message is a blank line; an object or a boolean is not a message."""
    assert sent(**fields).message == message
    assert parse_nats(SUBJECT, json.dumps(fields).encode()).message == message


SHOWN = [
    (b'{"message": {"b": 1.0, "a":[]}}', '{"b": 1.0, "a":[]}'),
    (b'{"message":[1, "\xc3\xa9"],"event":"x"}', '[1, "é"]'),
    (b'{"message":true}', "true"),
    (b'{"message":{"a":"\xff"}}', '{"a":"\ufffd"}'),
    (b'{"message":{"a":"\\ud800"}}', '{"a":"\\ud800"}'),
    (b'{"message":null,"event":"user.login","user":7}', "user.login"),
    (b'{"body":"started","severityText":"INFO"}', "started"),
    (b'{"text":"a"}', "a"),
    (b'{"short_message":"a","full_message":"b"}', "a"),
    (b'{"error":{"message":"boom","code":1}}', "boom"),
    (b'{"error.message":"boom"}', "boom"),
    (b'{"err":{"message":"boom"}}', "boom"),
    (b'{"exception":"E: boom"}', "E: boom"),
    (b'{"event":{"provider":"app"},"body":"","text":5}', "5"),
    (b' {"event": {"provider":"app"}, "user":7}\n', '{"event": {"provider":"app"}, "user":7}'),
    (b'{"log":{"level":"info"}}', '{"log":{"level":"info"}}'),
    (b"{}", "{}"),
]


@pytest.mark.parametrize(("payload", "message"), SHOWN)
def test_no_object_is_shown_blank(payload: bytes, message: str) -> None:
    """Where the three names have no text, other names are looked at, or JSON is shown as sent."""
    assert parse_nats(SUBJECT, payload).message == message
    raw = decode_json(payload)
    # The library's function keeps to the three names.
    assert sent(**raw).message == ""
    named = payload.strip()[:-1] + (b"," if raw else b"") + b'"instance":"m"}'
    entry = parse_object(named)
    assert entry is not None
    assert entry.message == (message if message[0] != "{" or "message" in raw else named.decode())


def test_a_blank_line_of_fly_stays_blank() -> None:
    """An empty message is a blank line that an app wrote, not an absent message."""
    assert nats(message="", event={"provider": "app"}).message == ""


@pytest.mark.parametrize(
    ("fields", "stream"),
    [
        ({"stream": "stderr"}, "stderr"),
        ({"stream": "StdErr"}, "stderr"),
        ({"stream": "stdout", "source": "fly"}, "stdout"),
        ({"stream": "stderr", "event": {"provider": "proxy"}}, "stderr"),
        ({"stream": "audit"}, "audit"),
        ({"stream": ""}, "stdout"),
        ({"stream": None, "source": "fly"}, "system"),
        ({"stream": ["stderr"]}, "stdout"),
        *(({"source": who}, "system") for who in ("fly", "proxy", "machine", "runner", "health")),
        *(
            ({"event": {"provider": who}}, "system")
            for who in ("fly", "proxy", "machine", "runner", "health", "Proxy")
        ),
        ({"source": "app", "event": {"provider": "runner"}}, "system"),
        ({"source": "fly", "event": {"provider": "app"}}, "system"),
        ({"source": "app"}, "stdout"),
        ({"event": {"provider": "app"}}, "stdout"),
        ({"event": "proxy"}, "stdout"),
        ({}, "stdout"),
    ],
)
def test_the_stream(fields: dict[str, Any], stream: str) -> None:
    """The stream is the sender's name for it, case-folded, or else `system` or `stdout`."""
    assert sent(**fields).stream == stream
    assert parse_nats(SUBJECT, json.dumps(fields).encode()).stream == stream
    assert nats(**{"event": {}, **fields}).stream == stream


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("info", "info"),
        ("WARNING", "warn"),
        ("Warn", "warn"),
        ("err", "error"),
        ("Critical", "fatal"),
        ("notice", "info"),
        ("Gold", "gold"),
        (30, "info"),
        (3, "3"),
        (None, ""),
        (True, ""),
    ],
)
def test_the_level_is_case_folded_and_has_one_name(text: Any, level: str) -> None:
    """Both fields that may hold a level give the same level."""
    assert sent(level=text).level == level
    assert sent(log={"level": text}).level == level
    assert nats(log={"level": text}).level == level
    assert nats(log={}, level=text).level == level


@pytest.mark.parametrize("key", ["lvl", "levelname", "@l", "log.level", "severityText"])
@pytest.mark.parametrize("first", [{"event": {"provider": "app"}}, {"host": "h"}])
def test_a_level_that_a_shipper_added_to_flys_object_counts(
    first: dict[str, Any], key: str
) -> None:
    """A level beside Fly's own fields wins over the platform's, whatever the object begins with."""
    object_ = first | {"event": {"provider": "app"}, "log": {"level": "info"}, "message": "x"}
    object_ |= {"fly": {"app": {"instance": "m"}}, "timestamp": "2022-09-27T20:34:37Z"}
    for added, level in (({}, "info"), ({key: "error"}, "error")):
        payload = json.dumps(object_ | added, separators=(",", ":")).encode()
        entry = parse_object(payload)
        assert entry is not None
        assert (entry.level, entry.machine_id) == (level, "m")


def test_where_the_rest_stands() -> None:
    """App, region, provider and host are found in Fly's fields and in flat ones."""
    fly = sent(
        fly={"app": {"name": "web"}, "region": "sjc"}, event={"provider": "app"}, host="0ad1"
    )
    assert (fly.app_name, fly.region, fly.provider, fly.host) == ("web", "sjc", "app", "0ad1")
    assert (sent(app="web").app_name, sent(region="sjc").region) == ("web", "sjc")
    assert sent(app_name="api", app="web").app_name == "api"
    assert (sent().app_name, sent().region, sent().provider, sent().host) == ("", "", "", "")
    assert sent().source == "drain"
    assert nats().source == "nats"


@pytest.mark.parametrize(
    ("fields", "app", "machine"),
    [
        ({"application": "web"}, "web", ""),
        ({"service": "web", "hostname": "h1"}, "web", "h1"),
        ({"container_name": "/web-1"}, "web-1", "web-1"),
        ({"service": "web", "container_name": "/c"}, "web", "c"),
        ({"app": "a", "application": "b", "service": "c"}, "a", ""),
        ({"instance": "m", "hostname": "h1"}, "", "m"),
        ({"service": {"name": "web"}, "hostname": 5}, "", "5"),
    ],
)
def test_other_senders_have_other_names(fields: dict[str, Any], app: str, machine: str) -> None:
    """Names of other log senders count where the usual ones are absent."""
    payload = json.dumps({"message": "x", **fields}).encode()
    entry = parse_nats("logs", payload)
    assert (entry.app_name, entry.machine_id) == (app, machine)
    dropped = parse_object(payload)
    assert (dropped.machine_id if dropped else "") == machine


def test_what_a_nats_line_lacks_is_empty() -> None:
    """Both ways of decoding give empty texts for absent fields."""
    for rest in ({}, {"host": None}):
        line = {"message": "x", "timestamp": "2022-09-27T20:34:37Z", **rest}
        entry = parse_nats(SUBJECT, json.dumps(line).encode())
        assert (entry.level, entry.provider, entry.host, entry.stream) == ("", "", "", "stdout")


def test_a_line_of_text_may_have_no_origin() -> None:
    """A line of text comes from a drain, unless the caller gives another source."""
    entry = parse_text(b"x")
    assert (entry.machine_id, entry.app_name, entry.region, entry.source) == ("", "", "", "drain")


def test_a_drains_default_app_is_for_entries_that_name_none() -> None:
    """The app that a line names wins over the drain's default."""
    for raw, app in (({"instance": "m"}, "default"), ({"instance": "m", "app": "web"}, "web")):
        entry = parse_log_entry(raw, app_name="default")
        assert entry is not None
        assert entry.app_name == app


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-7, "-7"),
        (1.5, "1.5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (10**400, str(10**400)),
        (10**4299, "1" + "0" * 4299),
    ],
)
def test_a_number_where_text_belongs_is_its_decimal_text(number: float, text: str) -> None:
    """A number in a text field is written without an exponent."""
    entry = sent(message=number, host=number, instance=number)
    name = text[:LONGEST_NAME]
    assert (entry.message, entry.host, entry.machine_id) == (text, name, name)


def test_a_number_that_python_does_not_print_counts_as_absent() -> None:
    """Python refuses to print an integer of more than 4,300 digits."""
    assert sent(message=10**4300, host=10**4300).host == ""


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_numbers_that_are_none_never_raise(number: float) -> None:
    """Infinity and NaN, which Python's JSON decoder accepts, do not raise."""
    entry = sent(message=number, timestamp=number, level=number)
    assert entry.unix_ns > 0
    assert shown(entry)


@pytest.mark.parametrize(
    "wrong", [None, True, False, 5, 1.5, "text", [], ["fly"], {}, {"app": "web"}, {"app": None},
              {"app": {"name": {}, "instance": []}, "machine": "m", "region": {}}]
)  # fmt: skip
@pytest.mark.parametrize("field", ["fly", "event", "log", "host", "timestamp", "stream", "source"])
def test_a_field_of_the_wrong_shape_counts_as_absent(field: str, wrong: Any) -> None:
    """A field of the wrong type does not affect the other fields."""
    entry = nats(**{field: wrong})
    assert (entry.machine_id, entry.app_name, entry.region) == ("0e286551c30586", "web", "sjc")
    assert entry.message == "hello"
    assert sent(message="hello", **{field: wrong}).message == "hello"


def test_ten_thousand_nested_brackets_are_a_line_of_text() -> None:
    """Deep nesting raises nowhere: in a message, in a field, or in NDJSON."""
    brackets = b"[" * 10_000
    assert parse_nats(SUBJECT, brackets).message == brackets.decode()
    deep = b'{"message":"x","fly":' + b'{"app":' * 10_000 + b"1" + b"}" * 10_001
    assert parse_nats(SUBJECT, deep).machine_id == "0e286551c30586"
    assert parse_ndjson(brackets + b"\n" + deep + b"\n{}").skipped == 2


def test_an_object_may_be_any_dict() -> None:
    """Subclasses of dict are read like dicts."""
    fly = OrderedDict(app=OrderedDict(instance="m"))
    entry = parse_log_entry(OrderedDict(fly=fly, message="x"))
    assert entry is not None
    assert entry.machine_id == "m"


# --- time --------------------------------------------------------------------------------------

SECOND = 1_664_310_877


@pytest.mark.parametrize(
    ("number", "text", "unix_ns"),
    [
        (SECOND, "1664310877", SECOND * 10**9),
        (1664310877.25, "1664310877.25", SECOND * 10**9 + 250_000_000),
        (1664310877252022967, "1664310877252022967", SECOND * 10**9 + 252_022_967),
    ],
)
def test_a_time_may_be_a_number(number: float, text: str, unix_ns: int) -> None:
    """The text of a numeric time is the number's decimal text."""
    for name in ("timestamp", "time", "ts"):
        entry = sent(**{name: number})
        assert (entry.timestamp, entry.unix_ns) == (text, unix_ns)


def test_the_time_is_the_first_that_can_be_read() -> None:
    """Of the names of a time, the first whose value can be read wins."""
    assert sent(timestamp="1", time="2", ts="3").timestamp == "1"
    assert sent(timestamp="", time="2", ts="3").timestamp == "2"
    assert sent(timestamp=None, time={}, ts="3").timestamp == "3"
    assert nats(timestamp="", time="2").timestamp == "2"
    names = ["timestamp", "time", "ts", "@timestamp", "date", "dt"]
    for index, name in enumerate(names):
        times = {**dict.fromkeys(names[:index], "soon"), **dict.fromkeys(names[index:], str(index))}
        assert (nats(**times).timestamp, nats(**times).unix_ns) == (str(index), index * 10**9)
        assert sent(**times).unix_ns == index * 10**9, name
        entry = parse_object(json.dumps({"instance": "m", "message": "x", **times}).encode())
        assert entry is not None
        assert entry.timestamp == str(index)
    assert sent(timestamp="soon", time="later").timestamp == "soon"
    assert sent(date="later").timestamp == "later"


# --- NATS --------------------------------------------------------------------------------------


def test_the_subject_is_the_authority() -> None:
    """A payload that names another origin than the subject changes nothing."""
    other = {"app": {"instance": "m2", "name": "api"}, "region": "lhr"}
    entry = nats(fly=other, app="api", region="lhr", machine_id="m2", instance="m2")
    assert (entry.app_name, entry.region, entry.machine_id) == ("web", "sjc", "0e286551c30586")


@pytest.mark.parametrize(
    ("subject", "origin"),
    [
        ("logs", ("api", "lhr", "m2")),
        ("logs.web", ("web", "lhr", "m2")),
        ("logs.web.sjc", ("web", "sjc", "m2")),
        ("logs.web.sjc.m1", ("web", "sjc", "m1")),
        ("logs.web.sjc.m1.more", ("web", "sjc", "m1.more")),
        ("", ("api", "lhr", "m2")),
    ],
)
def test_the_payload_fills_what_the_subject_lacks(
    subject: str, origin: tuple[str, str, str]
) -> None:
    """The payload names the app, region or machine that the subject does not name."""
    entry = nats(subject, fly={"app": {"instance": "m2", "name": "api"}, "region": "lhr"})
    assert (entry.app_name, entry.region, entry.machine_id) == origin


@pytest.mark.parametrize(
    "payload",
    [b"hello", b"[1,2,3]", b'"text"', b"5", b"null", b"", b" ", b'{"message":', b"{'message': 1}",
     b'{"message":"x"} trailing', b"\x00\x01", "grüß".encode()],
)  # fmt: skip
def test_what_is_no_object_is_a_line_of_text(payload: bytes) -> None:
    """A payload that is not an object becomes a line of text with a known origin."""
    entry = parse_nats(SUBJECT, payload)
    assert entry.message == payload.decode()
    assert (entry.app_name, entry.region, entry.machine_id) == ("web", "sjc", "0e286551c30586")
    assert (entry.stream, entry.level, entry.timestamp, entry.source) == ("stdout", "", "", "nats")
    assert entry.raw == {}


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    """Invalid UTF-8 is replaced, and a line of JSON keeps its fields."""
    assert parse_nats(SUBJECT, b"a\xff\xfeb").message == "a\ufffd\ufffdb"
    entry = parse_nats(SUBJECT, json.dumps(FLY_LINE).encode().replace(b"hello", b"a\xff"))
    assert entry == attrs.evolve(nats(), message="a\ufffd")
    assert entry.raw["message"] == "a\ufffd"
    assert parse_nats(SUBJECT, b'{"message":"a\xff"').message == '{"message":"a\ufffd"'
    dropped = parse_object(b'{"instance":"m","message":"a\xff"}')
    assert dropped is not None
    assert dropped.message == "a\ufffd"


def test_bytes_that_are_no_text_in_a_field_that_nobody_reads_cost_nothing() -> None:
    """Invalid UTF-8 in another field does not affect Fly's fields."""
    payload = json.dumps(FLY_LINE)[:-1].encode() + b',"http":"\xff"}'
    assert parse_nats(SUBJECT, payload) == nats()
    assert parse_nats(SUBJECT, payload).raw["http"] == "\ufffd"


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    """Half of a surrogate pair is replaced, and a whole pair is kept."""
    payload = rb'{"message":"a \ud800 b \ud83d\ude80","host":"\udfff","fly":{"region":"\udc00"}}'
    entry = parse_nats("logs.web", payload)
    assert entry.message == "a \ufffd b 🚀"
    assert (entry.host, entry.region) == ("\ufffd", "\ufffd")
    assert all(shown(entry))
    assert sent(message="\ud83d\ude80"[:1]).message == "\ufffd"


def test_what_the_fast_decoder_refuses_is_given_to_the_standard_librarys() -> None:
    """A byte order mark, NaN and infinite numbers lose no line."""
    assert parse_nats(SUBJECT, b'\xef\xbb\xbf{"message":"x"}').message == "x"
    assert parse_nats(SUBJECT, b'{"message":"x","cpu":NaN,"mem":1e999}').message == "x"
    assert nats(extra=10**1_000).message == "hello"


def test_what_both_refuse_is_a_line_of_text() -> None:
    """A payload with an integer of 5,000 digits is kept as text, since no decoder reads it."""
    payload = b'{"message":' + b"9" * 5_000 + b"}"
    assert parse_nats(SUBJECT, payload).message == payload.decode()


def test_a_message_may_have_256_kib() -> None:
    """A longer message is cut between two characters, and says how long it was."""
    for longest in ("x" * 262_144, "é" * 131_072):
        assert nats(message=longest).message == longest
        for entry in (
            nats(message=longest + "é"),
            nats(message=longest + "é", host=None),
            sent(msg=longest + "é"),
            parse_nats(SUBJECT, (longest + "é").encode()),
        ):
            assert entry.message == f"{longest}… [cut here: the line was 262,146 bytes long]"
    odd = nats(message="x" + "é" * 131_072).message
    assert odd.startswith("xééé")
    assert "\ufffd" not in odd
    assert len(odd.encode()) < 262_144 + 100


def test_fields_of_an_apps_own_json_are_data() -> None:
    """JSON inside a message does not overwrite the entry's fields, except the level."""
    own = {
        "level": "fatal", "stream": "stderr", "timestamp": "1999-01-01T00:00:00Z", "host": "x",
        "fly": {"app": {"name": "other", "instance": "m2"}, "region": "lhr"},
    }  # fmt: skip
    expected = attrs.evolve(nats(), message=json.dumps(own), level="fatal")
    assert nats(message=json.dumps(own)) == expected


# --- NDJSON ------------------------------------------------------------------------------------


def test_one_object_a_line() -> None:
    """CRLF, blank lines, a byte order mark and a missing last line feed are accepted."""
    lines = parse_ndjson(b'\xef\xbb\xbf{"a":1}\r\n\r\n \t\n{"b":"\\n"}\n{"c":3}')
    assert lines == [{"a": 1}, {"b": "\n"}, {"c": 3}]
    assert lines.skipped == 0
    assert parse_ndjson(b"") == []


def test_other_lines_are_skipped_and_counted() -> None:
    """Lines that are malformed or not objects are skipped and counted."""
    body = b'{"a":1}\n{"b":\n[1]\n5\n"x"\nnull\n\xff\n' + b"9" * 5_000 + b'\n{"c":3}\n'
    lines = parse_ndjson(body)
    assert lines == [{"a": 1}, {"c": 3}]
    assert lines.skipped == 7


# --- anything ----------------------------------------------------------------------------------


def check(entry: LogEntry) -> None:
    """Assert that an entry can be sent in every format, and kept."""
    for name in ("machine_id", "message", "stream", "timestamp", "app_name", "region", "level",
                 "provider", "host", "source"):  # fmt: skip
        assert isinstance(getattr(entry, name), str)
        if name in ("message", "level", "host"):
            assert getattr(entry, name).encode("utf-8") is not None
    assert all(shown(entry))
    assert entry.cost > ENTRY_OVERHEAD
    assert isinstance(entry.raw, dict)


@given(subjects, st.binary())
def test_any_bytes_are_an_entry(subject: str, payload: bytes) -> None:
    """No bytes that NATS may bring raise an exception."""
    check(parse_nats(subject, payload))


@given(subjects, fly_lines | json_values)
def test_any_json_is_an_entry(subject: str, value: Any) -> None:
    """JSON of Fly's shape, of a similar shape and of any other shape is an entry."""
    entry = parse_nats(subject, json.dumps(value).encode())
    check(entry)
    assert entry.source == "nats"


@given(fly_lines)
def test_any_object_is_an_entry_or_names_no_machine(raw: dict[str, Any]) -> None:
    """No object that a drain sender may write raises an exception."""
    entry = parse_log_entry(raw)
    assert entry is None or entry.machine_id
    if entry is not None:
        check(entry)
        assert entry.raw is raw


@given(st.lists(st.binary() | fly_lines.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_objects_and_skipped_lines(lines: list[bytes]) -> None:
    """Each line that is not blank is either an object or counted as skipped."""
    body = b"\n".join(lines)
    parsed = parse_ndjson(body)
    assert all(isinstance(value, dict) for value in parsed)
    assert len(parsed) + parsed.skipped == sum(1 for line in body.split(b"\n") if line.strip())


@given(fly_lines)
def test_both_ways_of_reading_a_fly_line_give_the_same(raw: dict[str, Any]) -> None:
    """The decoder for Fly's shape and the one for any object give equal entries."""
    payload = json.dumps(raw).encode()
    fast = parse_nats(SUBJECT, payload)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "decode_line", refuse)
        slow = parse_nats(SUBJECT, payload)
    if parse_time(fast.timestamp) is None:
        slow = attrs.evolve(slow, unix_ns=fast.unix_ns)  # the arrival
    assert fast == slow


@given(fly_lines, st.sampled_from(["", "default"]))
def test_both_ways_of_reading_a_drain_line_give_the_same(raw: dict[str, Any], app: str) -> None:
    """The decoder for a shipper's shape and the one for any object give equal entries."""
    payload = json.dumps(raw).encode()
    fast, slow = (
        parse_object(payload, Origin(app)),
        parse_log_entry(decode_json(payload), app_name=app),
    )
    if fast and slow and parse_time(fast.timestamp) is None:
        slow = attrs.evolve(slow, unix_ns=fast.unix_ns)  # the arrival
    if fast and slow and text_message(raw) is None:
        slow = attrs.evolve(slow, message=fast.message, level=fast.level)  # what readers see
    assert fast == slow
    assert fast is None or fast.raw == decode_json(payload)


# Members in any order, perhaps twice, so that a message stands at any place.
members = fly_lines.flatmap(
    lambda line: st.lists(st.sampled_from([*line.items()]), max_size=12) if line else st.just([])
)


@given(
    members | st.tuples(st.just(("timestamp", "1")), st.just(("message", "x"))),
    st.sampled_from(["", ',"message":"a","timestamp":"1664310877"', ',"logs":[{"a":1}]']),
    st.booleans(),
    st.booleans(),
)
def test_both_ways_of_reading_an_envelope_give_the_same(
    members: Sequence[tuple[str, Any]], more: str, begins_as_flys: bool, needs_machine: bool
) -> None:
    """A line whose envelope is known gives the same entry as one that is read as a whole."""
    texts = [
        f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in members
    ]
    if begins_as_flys:
        texts.insert(0, '"event":{"provider":"app"}')
    payload = f"{{{','.join(texts)}{more if texts else more[1:]}}}".encode()
    arguments = (Origin("web", "sjc"), needs_machine)
    several = [payload, b"no object", payload]
    known = (
        *parse_messages([(SUBJECT.encode(), each) for each in several]),
        *parse_objects(several, *arguments),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "envelope_end", lambda payload: -1)
        whole = (
            *[parse_nats(SUBJECT, each) for each in several],
            *[parse_object(each, *arguments) for each in several],
        )
    for fast, slow in zip(known, whole, strict=True):
        if fast and slow and parse_time(fast.timestamp) is None:
            slow = attrs.evolve(slow, unix_ns=fast.unix_ns)  # the arrival
        assert fast == slow
        assert (fast and fast.raw) == (slow and slow.raw)


@pytest.mark.parametrize(
    "envelope",
    [b'{"event":{', b'{"message":5,', b'[{', b'{"a":1}{', b'{"\\', b'{"log":{"level":"x"', b"{]",
     b'{"fly":{"app":{"instance":"m"}},"a":"', b'{"level":3,', b'{"meta":{},', b"{,", b'{"x":1,',
     b'{"message": "real","\\'],
)  # fmt: skip
@pytest.mark.parametrize("beginning", [b"", b'{"event":{"provider":"app"},'])
def test_what_is_no_envelope_is_read_as_a_whole(envelope: bytes, beginning: bytes) -> None:
    """A message that is not at the top of an object, or beside a level, is not split off."""
    if beginning:
        envelope = beginning + envelope.lstrip(b"[{")
    payload = envelope + b'"message":"hello","timestamp":"2022-09-27T20:34:37Z"}'
    entries = (parse_nats(SUBJECT, payload), parse_object(payload, needs_machine=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "envelope_end", lambda payload: -1)
        whole = (parse_nats(SUBJECT, payload), parse_object(payload, needs_machine=False))
    for entry, other in zip(entries, whole, strict=True):
        assert (entry and entry.message) == (other and other.message)
        assert (entry and entry.level) == (other and other.level)


def test_no_line_reaches_into_the_next() -> None:
    """Lines that are JSON only when they are joined, or hold two objects, are read one by one."""
    envelope = b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m2","name":"web"}},'
    whole = envelope + b'"message":"ok","timestamp":"2022-09-27T20:34:37Z"}'
    lines = [
        envelope
        + b'"message":"a","timestamp":"2022-09-27T20:34:37Z"},{"message":"b","timestamp":""}',
        envelope + b'"message":"cut',
        envelope + b'"message":"cut","timestamp":"x"',
        whole,
    ]
    entries = parse_objects([whole, *lines])
    assert [entry and entry.message for entry in entries] == ["ok", None, None, None, "ok"]
    messages = [(SUBJECT.encode(), each) for each in (whole, *lines)]
    parsed = [entry.message for entry in parse_messages(messages)]
    assert parsed == ["ok", *map(bytes.decode, lines[:3]), "ok"]


def test_envelopes_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of any machines and envelopes in any order have their own names, within the memory."""
    monkeypatch.setattr(parsing, "_KEPT_ENVELOPES", 2)
    parsing._last_beginnings.clear()
    named = b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m9","name":"own"}},'
    bare = b'{"event":{"provider":"app"},"log":{"level":"warn"},'
    messages = [
        (b"logs.web.sjc.m%d" % machine, envelope + b'"message":"%d","timestamp":"1664310877"}' % n)
        for n in range(6)
        for machine in (1, 2, 3, 1)
        for envelope in (named, bare, bare)
    ]
    whole = [parse_nats(subject.decode(), payload) for subject, payload in messages]
    assert parse_messages(messages) == whole
    assert {(entry.machine_id, entry.level) for entry in whole} == {
        (f"m{machine}", level) for machine in (1, 2, 3) for level in ("", "warn")
    }
    assert 0 < len(parsing._last_beginnings) <= 2


def test_an_envelope_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the second line of a machine only the message and the time are decoded."""
    start = (
        b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m1","name":"web"},"region":"sjc"},'
    )
    lines = [start + b'"message":"%d","timestamp":"2022-09-27T20:34:37.00000%dZ"}' % (n, n)
             for n in range(3)]  # fmt: skip
    parse_object(lines[0])
    parse_nats(SUBJECT, lines[0])
    monkeypatch.setattr(parsing, "decode_line", refuse)
    monkeypatch.setattr(parsing, "decode_sent", refuse)
    assert [entry and entry.message for entry in parse_objects(lines)] == ["0", "1", "2"]
    assert parse_nats(SUBJECT, lines[1]).unix_ns == 1664310877000001000


def test_what_fly_ships_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of Fly's shipper is decoded by msgspec alone; only this test notices it."""
    monkeypatch.setattr(parsing, "decode_json", refuse)
    payload = b"""{"fly":{"app":{"instance":"m","name":"web"},"region":"sjc"},
        "log":{"level":"info"},"message":"hello","timestamp":"2022-09-27T20:34:37.252022967Z","error":{"code":1}}"""
    entry = parse_object(payload)
    assert entry is not None
    assert (entry.machine_id, entry.app_name, entry.region) == ("m", "web", "sjc")
    assert entry.unix_ns == 1664310877252022967


@pytest.mark.parametrize("payload", [b"", b"[]", b"5", b'"x"', b"{", b"\xff", b"{}{}"])
def test_what_is_no_object_gives_no_entry(payload: bytes) -> None:
    """A text that is not an object gives None, even where no machine is needed."""
    assert parse_object(payload, needs_machine=False) is None
    assert parse_object(b"{}") is None


def test_a_parsed_entry_is_like_one_made_by_hand() -> None:
    """An entry that is set first and frozen later behaves like any other."""
    names = [field.name.removeprefix("_") for field in attrs.fields(LogEntry)]
    assert names == list(inspect.signature(make_entry).parameters)
    parsed = parse_object(b'{"instance":"m","message":"x","timestamp":"2022-09-27T20:34:37Z"}')
    made = LogEntry("m", "x", "stdout", "2022-09-27T20:34:37Z", unix_ns=1664310877 * 10**9)
    assert (parsed, hash(parsed), repr(parsed)) == (made, hash(made), repr(made))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        parsed.message = "y"  # type: ignore[misc,union-attr] # frozen


def refuse(payload: bytes) -> None:
    """Refuse every payload, as a decoder does with one of another shape."""
    raise msgspec.ValidationError


def test_what_fly_writes_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of Fly is decoded by msgspec alone; only this test notices it."""
    monkeypatch.setattr(parsing, "decode_json", refuse)
    assert nats(error={"code": 2000}, http={"request": {}}).message == "hello"


@pytest.mark.parametrize(
    "payload",
    [b"[" * 2**20, b'{"a":' * 2**18, b'{"message":"' + b"\\ud800" * 2**18 + b'"}', b"9" * 2**20,
     b'{"message":"x","n":' + b"9" * 2**20 + b"}", b"\xff" * 2**20,
     b'{"message":"x","timestamp":"' + b"9" * 2**20 + b'"}',
     b'{"message":"x","timestamp":"2022-09-27T20:34:37.' + b"9" * 2**20 + b'x"}',
     b"{" + b",".join(b'"k%d":0' % n for n in range(2**17)) + b"}"],
)  # fmt: skip
def test_a_hostile_megabyte_costs_no_more_than_a_dull_one(payload: bytes) -> None:
    """No payload takes quadratic time, which would be minutes."""
    started = time.process_time()
    parse_nats(SUBJECT, payload)
    parse_nats("logs", payload)
    parse_ndjson(payload)
    assert time.process_time() - started < 2


def test_a_large_body_is_decoded_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call of the decoder gets more than 1,000 lines, because no thread runs beside it."""
    envelope = b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m2","name":"web"}},'
    lines = [
        b'%b"message":"%d","timestamp":"2022-09-27T20:34:37Z"}' % (envelope, n)
        for n in range(2_500)
    ]
    calls: list[int] = []
    decode = envelopes._decode_rests

    def count(text: bytes) -> Any:
        calls.append(text.count(b"message"))
        return decode(text)

    monkeypatch.setattr(envelopes, "_decode_rests", count)
    entries = parse_objects(lines)
    assert calls == [1_000, 1_000, 500]
    assert [entry and entry.message for entry in entries] == [str(n) for n in range(2_500)]


def test_lines_with_other_members_are_not_split_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line shows that a sender adds a member behind the message, and all are read at once."""
    envelope = b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m2","name":"web"}},'
    line = envelope + b'"message":"a","timestamp":"2022-09-27T20:34:37Z","subject":"x"}'
    calls: list[bytes] = []
    decode = envelopes._decode_rest

    def count(text: bytes) -> Any:
        calls.append(text)
        return decode(text)

    monkeypatch.setattr(envelopes, "_decode_rest", count)
    assert [entry and entry.message for entry in parse_objects([line] * 100)] == ["a"] * 100
    assert len(calls) == 1
