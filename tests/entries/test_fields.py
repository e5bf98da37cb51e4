"""The fields of an entry: where they are found in a message and beside it, and what bounds them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.payloads import SUBJECT, payload, sent
from tests.support.strategies import json_values

from natstream.entries.entry import LogEntry
from natstream.entries.fields import (
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_MESSAGE,
    MAX_PAIRS,
    UNREADABLE,
    FieldCache,
    Fields,
    number_of,
    value_of,
)
from natstream.entries.fly import parse_nats

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'


def fields(message: str) -> Fields:
    return Fields(LogEntry("m", message, "stdout"))


def all_of(message: str) -> dict[str, Any]:
    return dict(fields(message).items())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"status":500,"ok":false,"user":null}', {"status": 500, "ok": False, "user": None}),
        ('  {\n  "a": 1\n}\n', {"a": 1}),
        ('{"user":{"id":7},"items":[{"sku":"x"}]}', {"user.id": 7, "items.0.sku": "x"}),
        ('api | {"status":500}', {"status": 500}),
        ('web.1 {x} [12] {"status":500}', {"status": 500}),
        ('\x1b[32mINFO\x1b[0m {"status":500}', {"status": 500}),
        (json.dumps('{"status":500}'), {"status": 500}),
        ('level=info msg="a \\"b\\"" took=1.2 empty=', {
            "level": "info", "msg": 'a "b"', "took": "1.2", "empty": "",
        }),
        ("2026/11/10 23:00:00 INFO hello count=3 user.id=7", {"count": "3", "user.id": "7"}),
        ("level='error' event='payment failed' a='tis", {
            "level": "error", "event": "payment failed", "a": "'tis",
        }),
        ("write=0.500 s, sync=0.004 s, total=60.311 s", {
            "write": "0.500", "sync": "0.004", "total": "60.311",
        }),
        ("\x1b[36mINFO\x1b[0m[0000] up \x1b[36mport\x1b[0m=8080", {"port": "8080"}),
        (COMMON, {
            "method": "GET", "path": "/apache_pb.gif", "protocol": "HTTP/1.0", "status": "200",
            "bytes": "2326",
        }),
        (f'{COMMON} "http://a.example/" "Mozilla \\"4\\""', {
            "method": "GET", "path": "/apache_pb.gif", "protocol": "HTTP/1.0", "status": "200",
            "bytes": "2326", "referer": "http://a.example/", "agent": 'Mozilla \\"4\\"',
        }),
        ("GET /search?q=tea 200", {}),
        ("a == b, x <= 3 and y=", {"y": ""}),
        ("[1, 2]", {}),
        ('"a text"', {}),
        ("", {}),
    ],
)  # fmt: skip
def test_fields_of_messages(message: str, expected: dict[str, Any]) -> None:
    """Each kind of message has the fields that it names."""
    assert all_of(message) == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("user.id", 7),
        ("user.roles.1", "b"),
        ("log.level", "warn"),
        ("http.url.path", "/x"),
        ("user", {"id": 7, "roles": ["a", "b"]}),
        ("user.roles.2", None),
        ("user.roles.-1", None),
        ("user.id.x", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_paths(path: str, value: object) -> None:
    """A path leads into objects and lists, and through keys that have dots themselves."""
    message = {
        "user": {"id": 7, "roles": ["a", "b"]},
        "log.level": "warn",
        "http": {"url.path": "/x"},
    }
    assert fields(json.dumps(message)).get(path) == value


def test_fields_beside_the_message() -> None:
    """Fields of Fly's proxy beside the message are found, and those of the envelope are not."""
    http = {"response": {"status_code": 502}}
    line = Fields(parse_nats(SUBJECT, payload("refused", http=http, error={"code": 2001})))
    assert dict(line.items()) == {"http.response.status_code": 502, "error.code": 2001}
    assert line.get("host") is line.get("event.provider") is line.get("fly") is None


def test_the_message_wins() -> None:
    """A field of the message wins over a field with the same path beside it."""
    line = Fields(parse_nats(SUBJECT, payload('{"url":"in"}', url="beside", other="beside")))
    assert dict(line.items()) == {"url": "in", "other": "beside"}


def test_a_senders_object_has_fields_beside_its_text() -> None:
    """The members of a drain sender's object are fields, except those that the entry has itself."""
    line = Fields(sent(message="slow", status=500, log={"logger": "a.b"}, level="warn"))
    assert dict(line.items()) == {"status": 500, "log.logger": "a.b"}


def test_what_cannot_be_read_is_said() -> None:
    """A field of a message that is too long or cut off may be anything, and is not absent."""
    whole = json.dumps({"a": 1, "b": "x" * MAX_MESSAGE})
    for message in (whole, whole[:1000], f"api | {whole[:1000]}", "k=v " + "a=b " * 9_000):
        assert not fields(message).is_complete
        assert value_of(fields(message), "secret") is UNREADABLE
    pairs = " ".join(f"k{number}=1" for number in range(MAX_PAIRS + 1))
    assert value_of(fields(pairs), "secret") is UNREADABLE
    assert fields("{worker} starts").is_complete


def test_numbers() -> None:
    """Texts that are numbers as a whole are numbers, and whole numbers keep all digits."""
    assert [number_of(text) for text in ("502", "1.2", "-3", "1e3")] == [502, 1.2, -3, 1000]
    assert number_of("9007199254740993") == 9007199254740993
    for text in ("", "12ms", "1.2.3", "0x10", "nan", "inf", "1e999", " 5", "1_000", "٣", "9" * 99):
        assert number_of(text) is None


def test_a_list_of_fields_is_bounded() -> None:
    """An object with very many or very deep members gives a list of bounded length."""
    assert len(all_of(json.dumps({str(n): n for n in range(3_000)}))) == MAX_FIELDS
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    [(path, _)] = all_of(json.dumps(deep)).items()
    assert path.count(".") < 20


class _Counted(str):
    """A message that counts how often it is read."""

    reads = 0

    def strip(self, *args: Any) -> str:
        type(self).reads += 1
        return str(self)


def test_a_message_is_decoded_once_for_all_filters() -> None:
    """The cache of a batch decodes each message once, whatever the number of filters."""
    cache = FieldCache([LogEntry("m", _Counted('{"a":1,"b":2}'), "stdout")])
    for path in ("a", "b", "a", "c"):
        cache.select(path, lambda value: value is not None, [0])
    assert _Counted.reads == 1


def test_a_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is full gives the same answers."""
    monkeypatch.setattr(FieldCache, "MAX_KEPT", 10)
    monkeypatch.setattr(FieldCache, "MAX_COLUMNS", 1)
    lines = [LogEntry("m", json.dumps({"a": n, "b": -n}), "stdout") for n in range(9)]
    cache = FieldCache(lines)
    for path, sign in (("a", 1), ("b", -1), ("a", 1), ("b", -1)):
        holds = (4 * sign, str(4 * sign)).__eq__
        assert cache.select(path, holds, range(9)) == [4]


PARTS = st.sampled_from(
    ["{", "}", '"', "\\", "=", " ", "a", "k=", '{"a":', "[", "\x1b[3", "\n", '"GET ', "é", ","]
)


@given(json_values | st.lists(PARTS).map("".join), st.text())
def test_no_message_raises(value: Any, path: str) -> None:
    """Whatever a message holds, its fields are values or absent."""
    message = value if isinstance(value, str) else json.dumps(value)
    line = fields(message)
    value_of(line, path)
    for name, found in line.items():
        assert isinstance(name, str)
        assert not isinstance(found, dict) or name.count(".") >= MAX_DEPTH - 1 or not found


@pytest.mark.parametrize(
    "part",
    [
        "{",
        '{"',
        '"GET ',
        'a="',
        "a=",
        "a=\\",
        " a='",
        ' a="',
        ' a="\\ ',
        '{"a":',
        '"\\',
        "{ ",
        ". - x[",
        "[" * 9,
        "a.",
        "  ",
    ],
)
def test_adversarial_messages_are_not_slow(part: str) -> None:
    """The time is bounded for each byte of an adversarial message."""
    for message in (part * (60_000 // len(part)), "a" + part * (60_000 // len(part)) + "}"):
        seconds = []
        for _ in range(3):  # a garbage collection of other tests' objects may take one of them
            started = time.thread_time()
            line = fields(message)
            value_of(line, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s")
            list(line.items())
            seconds.append(time.thread_time() - started)
        assert min(seconds) < 0.1
