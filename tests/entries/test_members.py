"""`natstream.entries.members`: the members of objects of any size, and what is made of them."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from tests.support.bombs import BOMBS, bomb

from natstream.entries import members, payloads
from natstream.entries.batches import find_batch
from natstream.entries.envelopes import MAX_KEPT
from natstream.entries.fields import Fields
from natstream.entries.fly import Origin, origin_of, parse_nats, parse_object, parse_text
from natstream.entries.level_keys import level_in_json
from natstream.entries.members import LARGE, known_members, raw_members
from natstream.entries.message import MAX_MESSAGE_BYTES

SUBJECT = "logs.shop.iad.m1"
SIZE = 2 << 20
# A message and the members that natstream knows, and no list of a million values.
ROOM = 4 << 20


def with_padding(size: int = LARGE, **more: Any) -> bytes:
    """Return a large object of a sender."""
    return json.dumps({**more, "padding": "x" * size}).encode()


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("member", ["a", "level", "message", "event", "meta", "fly", "log", "lvl"])
def test_a_large_object_takes_little_memory(kind: str, member: str) -> None:
    """An object with a million values becomes one line, and its values no Python objects."""
    payload = bomb(kind, SIZE, member)
    tracemalloc.start()
    try:
        sent = parse_object(payload)
        got = parse_nats(SUBJECT, payload)
        batch = find_batch(payload)
        level = level_in_json(payload.decode())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent is not None
    assert (sent.machine_id, got.machine_id, batch, level) == ("x", "m1", None, "")
    if member != "message":
        assert (sent.message, got.message) == ("m", "m")
    assert peak < 2 * len(payload) + ROOM


@pytest.mark.parametrize("kind", BOMBS)
def test_fields_beside_a_message_take_little_memory(kind: str) -> None:
    """A filter on a field beside a message decodes no large payload whole."""
    entry = parse_nats(SUBJECT, bomb(kind, 1 << 20))
    tracemalloc.start()
    try:
        fields = Fields(entry)
        found = fields.get("a"), fields.get("user"), list(fields.items())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == (None, None, [])
    assert not fields.is_complete
    assert peak < ROOM


def test_fields_beside_a_long_message_are_found() -> None:
    """A short member beside a message of 200 KB is a field, and a long one is not read."""
    payload = {"message": "x" * 200_000, "user": {"id": 7}, "long": "y" * LARGE, "last": 1}
    fields = Fields(parse_nats(SUBJECT, json.dumps(payload).encode()))
    assert fields.get("user.id") == 7
    assert fields.get("last") is None
    assert not fields.is_complete


@pytest.mark.parametrize(
    "sent",
    [
        {"machine_id": "m", "msg": "hello", "lvl": "warn", "time": 1_700_000_000},
        {"hostname": "m", "event": "started", "severity": 3, "service": "shop"},
        {"fly": {"app": {"instance": "m", "name": "a"}, "region": "iad"}, "log": "line\n"},
        {"container_name": "/m", "message": {"a": [1, 2]}, "date": "2026-01-01T00:00:00Z"},
        {"instance": "m", "err": {"message": "broken"}, "meta": {"event": {"provider": "proxy"}}},
        {"machine_id": "m", "message": "half \ud800", "level": 40, "ts": 1_700_000_000},
        {"machine_id": "m", "message": "x", "@l": "Error", "@timestamp": "2026-01-01T00:00:00Z"},
        {"machine_id": "m", "short_message": "gelf", "level": 3, "host": "h", "region": "ams"},
    ],
)
def test_a_large_object_gives_the_same_line(sent: dict[str, Any]) -> None:
    """An object gives the same line, with and without a long member that natstream ignores."""
    small, large = parse_object(json.dumps(sent).encode()), parse_object(with_padding(**sent))
    assert small is not None
    assert large is not None
    for name in ("machine_id", "message", "level", "app_name", "region", "stream", "provider"):
        if name == "message" and "half" in small.message:
            continue
        assert getattr(large, name) == getattr(small, name)
    if "time" in sent or "date" in sent:
        assert large.unix_ns == small.unix_ns


def test_every_field_of_a_line_is_a_known_member() -> None:
    """A large object keeps each member that a small one's line is made of."""
    names = set(payloads.SentLine.__struct_fields__)
    assert names <= set(members._NAMES)


def test_what_is_no_object_is_told() -> None:
    """A text that is no object, or a large one that is no strict JSON, raises ValueError."""
    large_nan = with_padding()[:-1] + b', "n": NaN}'
    for text in (b"[]", b"1", b"{", b"", b"[" * 100_000, large_nan, b"[" + b"0," * LARGE + b"0]"):
        with pytest.raises(ValueError, match=r".*"):
            known_members(text)
        with pytest.raises(ValueError, match=r".*"):
            raw_members(text)
    assert known_members(b'{"n": NaN}')["n"] != 0
    assert known_members(with_padding(a=1, app="x")) == {"app": "x"}


def test_a_large_batch_keeps_the_names_around_it() -> None:
    """The machine that a large object names holds for the lines of its batch."""
    batch = find_batch(with_padding(machine_id="m", logs=[{"message": "x"}]))
    assert batch is not None
    assert json.loads(batch.items) == [{"message": "x"}]
    assert origin_of(batch.around) == Origin(machine="m")
    assert find_batch(with_padding(records=[])) is None


def test_a_payload_that_is_too_large_is_not_kept() -> None:
    """Of a sender's object of more than a MiB, readers get the known members and a note."""
    payload = with_padding(MAX_KEPT, machine_id="m", message="hello", user=1)
    entry = parse_object(payload)
    assert entry is not None
    assert entry.raw == {
        "machine_id": "m",
        "message": "hello",
        "natstream": f"The object had {len(payload):,} bytes, so only its known members were kept.",
    }
    assert entry.cost < 2_000
    text = parse_text(b"x" * (2 << 20))
    assert text.message.endswith("… [cut here: the line was 2,097,152 bytes long]")
    assert text.cost < 4 * MAX_MESSAGE_BYTES


def test_a_large_object_is_read_quickly() -> None:
    """Reading an object of two million values takes the time of a few passes over its bytes."""
    payload = bomb("lists", 8 << 20)
    started = time.perf_counter()
    parse_object(payload)
    assert time.perf_counter() - started < 1
