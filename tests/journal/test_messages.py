"""A stored message gives its entry back, and stands under a subject that filters find."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from tests.support.strategies import fly_lines, json_values, subjects

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.entries.fly import LONGEST_NAME, parse_log_entry, parse_nats, parse_object
from natstream.errors import BadQuery
from natstream.formats.events import FORMATS
from natstream.journal.messages import MAX_SUBJECTS, content_id, decode, encode, wanted_subjects

MAX_BYTES = 1 << 20
# The server's default for a line of its protocol, less the room for the rest of our line.
MAX_SUBJECT_BYTES = 4_096 - 1_024

FIXTURES = Path(__file__).parents[1] / "fixtures"
ROWS = [json.loads(row) for row in (FIXTURES / "payloads.jsonl").read_bytes().splitlines()]
FLY_PAYLOAD = (
    b'{"event":{"provider":"app"},"fly":{"app":{"instance":"m1","name":"web"},"region":"sjc"},'
    b'"host":"0ad1","log":{"level":"info"},"message":"hello",'
    b'"timestamp":"2022-09-27T20:34:37.252022967Z"}'
)
NAMES = ["web", "api", "a.b", "a b", "*", ">", "", "=", "=2E", "ü", "日本", "\x00", "\r\n", "x_-1"]


def readable(text: str) -> str:
    """Replace lone surrogates, because a subject is bytes that are read as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def same(one: LogEntry, other: LogEntry) -> bool:
    """Return whether two entries are equal, with the original object and the time."""
    return (
        one == other
        and one.unix_ns == other.unix_ns
        and json.dumps(one.raw) == json.dumps(other.raw)  # NaN is not equal to itself.
    )


def stored(entry: LogEntry, max_bytes: int = MAX_BYTES) -> LogEntry:
    """Store an entry as the server would, and return the entry that comes back."""
    subject, payload = encode(entry, max_bytes)
    check_subject(subject)
    assert len(payload) <= max_bytes
    return decode(subject.encode(), payload)


def check_subject(subject: str) -> None:
    """Check that the server accepts a subject: its parts are printable, and none is a wildcard."""
    parts = subject.split(".")
    assert len(parts) == 4
    assert all(parts)
    assert subject.isascii()
    assert subject.isprintable()
    assert not set(subject) & set(" *>")
    assert len(subject) <= MAX_SUBJECT_BYTES


names = st.sampled_from(NAMES) | st.text(max_size=5).map(readable) | st.text(min_size=100)
entries = st.builds(
    LogEntry,
    names,
    names,
    names,
    names | st.sampled_from(["2022-09-27T20:34:37Z", "9999-12-31T23:59:59Z", "1664310877"]),
    names,
    st.binary() | st.just(FLY_PAYLOAD),
    region=names,
    level=names,
    provider=names,
    host=names,
    unix_ns=st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1),
    source=st.just("drain"),
)


# --- there and back ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_each_sample_comes_back(row: dict[str, Any]) -> None:
    """Each sample comes back as it was, from NATS and from a drain."""
    if row["via"] == "nats":
        entry: LogEntry | None = parse_nats(row["subject"], row["payload"].encode())
    else:
        entry = parse_object(json.dumps(row["raw"]).encode())
    if entry is not None:
        assert same(stored(entry), entry)


@given(subjects.map(readable), st.binary() | fly_lines.map(json.dumps).map(str.encode))
@example("logs.web.sjc.m1", FLY_PAYLOAD)
@example("logs.web.sjc.m1.more", FLY_PAYLOAD)
@example("logs.web.sjc", FLY_PAYLOAD)
@example("logs.*.>.m 1", FLY_PAYLOAD)
@example("logs.web.sjc.m1", FLY_PAYLOAD.replace(b"2022-09-27T", b"yesterday, "))
def test_any_message_of_nats_comes_back(subject: str, payload: bytes) -> None:
    """A message of NATS comes back with its payload, and with a time if it has none."""
    entry = parse_nats(subject, payload)
    again = stored(entry)
    assert same(again, entry)
    assert again._raw == payload


@given(fly_lines | json_values, st.booleans())
def test_any_entry_of_a_drain_comes_back(value: Any, keeps_bytes: bool) -> None:
    """An entry of a drain comes back, kept as bytes or as an object."""
    if not isinstance(value, dict):
        value = {"instance": "m", "message": value}
    payload = json.dumps(value).encode()
    try:
        entry = parse_object(payload) if keeps_bytes else parse_log_entry(json.loads(payload))
    except ValueError:  # A number has more digits than Python reads.
        return
    if entry is not None:
        assert same(stored(entry), entry)


@given(entries)
def test_any_fields_of_an_entry_come_back(entry: LogEntry) -> None:
    """Names that cannot stand in a subject come back, and times from the year 1 to 9999."""
    assert same(stored(entry), entry)


def test_a_line_of_nats_is_stored_as_it_came() -> None:
    """A line of NATS is stored as it was, under Fly's subject, so that other tools can read it."""
    entry = parse_nats("logs.web.sjc.m1", FLY_PAYLOAD)
    assert encode(entry, MAX_BYTES) == ("logs.web.sjc.m1", FLY_PAYLOAD)


def test_a_time_that_cannot_be_read_is_stored_with_the_entry() -> None:
    """A line without a readable time is stored as fields, so that its time stays the same."""
    entry = parse_nats("logs.web.sjc.m1", b"plain text")
    subject, _ = encode(entry, MAX_BYTES)
    assert subject == "entries.web.sjc.m1"
    assert same(stored(entry), entry)


def test_names_of_any_length_make_a_subject_that_the_server_accepts() -> None:
    """Long names are cut in a subject, because the server ends a connection over a long line."""
    for name in ("x" * 5_000, "ü" * 5_000, "*" * 129):
        raw = json.loads(FLY_PAYLOAD)
        raw["fly"] = {"app": {"instance": name, "name": name}, "region": name}
        payload = json.dumps(raw).encode()
        for entry in (parse_nats("logs", payload), parse_object(payload)):
            assert entry is not None
            assert entry.machine_id == name[:LONGEST_NAME]
            assert same(stored(entry), entry)


# --- what does not fit -------------------------------------------------------------------------


@given(entries, st.integers(700, 2_000), st.integers(0, 5_000))
def test_an_entry_that_is_too_large_is_shortened_until_it_fits(
    entry: LogEntry, max_bytes: int, size: int
) -> None:
    """A large entry loses its original, then the ends of long names, then of its message."""
    entry = attrs.evolve(entry, message=entry.message + "x" * size, raw=bytes(size))
    again = stored(entry, max_bytes)
    assert again.unix_ns == entry.unix_ns
    for field in attrs.fields(LogEntry):
        given_, kept = getattr(entry, field.name), getattr(again, field.name)
        if isinstance(given_, str) and field.name != "message":
            assert given_.startswith(kept)
            assert kept == given_ or len(given_.encode()) > max_bytes // 16
    if again.message != entry.message:
        kept, mark, _ = again.message.rpartition("… [cut here: the line was ")
        assert mark
        assert entry.message.startswith(kept)
        assert f"{len(entry.message.encode()):,} bytes" in again.message
    assert again._raw in (b"", entry._raw)


def test_without_its_original_a_line_may_fit() -> None:
    """An entry that fits without its original keeps all other fields."""
    payload = FLY_PAYLOAD[:-1] + b',"more":"' + b"x" * 2_000 + b'"}'
    for entry in (parse_nats("logs.web.sjc.m1", payload), parse_object(payload)):
        assert entry is not None
        assert stored(entry, 1_000) == entry
        assert stored(entry, 1_000).raw == {}
        assert stored(entry, 10_000).raw == entry.raw


def test_as_much_of_a_message_is_kept_as_fits() -> None:
    """A message that is too long is cut to the largest size that fits, and says its length."""
    entry = LogEntry("m1", "é" * 100_000, "stdout", "now", "web", region="sjc", level="info")
    again = stored(entry, 50_000)
    assert again.message.endswith("é… [cut here: the line was 200,000 bytes long]")
    assert 49_000 < len(again.message.encode()) < 50_000
    assert attrs.evolve(again, message="") == attrs.evolve(entry, message="")


def test_a_name_of_a_megabyte_costs_the_message_nothing() -> None:
    """A name of a megabyte is cut, and the message is kept whole."""
    entry = LogEntry("m" * 2_000_000, "hello", "stdout", "2022-09-27T20:34:37Z", "web")
    again = stored(entry)
    assert again.message == "hello"
    assert len(again.machine_id) == MAX_BYTES // 16


# --- messages of other programs ----------------------------------------------------------------


# An entry's fields as msgpack with one more behind them, and a value that is nested too deeply.
EMPTY_FIELDS = b"\x9e" + b"\xa0" * 5 + b"\xc4\0" + b"\xa0" * 4 + b"\0\0\xa0"
DEEP = b"\x91" * 100_000


@given(st.sampled_from([b"entries.a.b.c", b"entries.", b"other", b"\xff", b""]), st.binary())
@example(b"entries.a", DEEP)
@example(b"entries.a", EMPTY_FIELDS + DEEP)
def test_any_message_of_another_program_is_an_entry_or_an_error(
    subject: bytes, payload: bytes
) -> None:
    """A message of another program gives an entry that can be shown, or raises ValueError."""
    try:
        entry = decode(subject, payload)
    except ValueError:
        assert subject.startswith(b"entries.")
    else:
        assert all(format.entry(entry, "1-a-1") for format in FORMATS.values())


@pytest.mark.parametrize(("seconds", "ns"), [(2**62, 0), (-(2**62), 0), (0, 10**9), (0, -1)])
def test_a_message_with_an_impossible_time_is_no_entry(seconds: int, ns: int) -> None:
    """A message with a time that cannot be shown raises ValueError."""
    fields = ["m", "x", "stdout", "", "web", b"", "", "", "", "", seconds, ns, "drain"]
    with pytest.raises(ValueError, match="not an entry"):
        decode(b"entries.a.b.c", msgspec.msgpack.encode(fields))


# --- the id ------------------------------------------------------------------------------------


messages = st.tuples(subjects.map(readable), st.binary(max_size=3))


@given(messages, messages)
@example(("logs.web.sjc.m1", b"x"), ("logs.web.sjc.m1", b"x"))
@example(("logs.web.sjc.m1", b"x"), ("logs.web.sjc.m1", b"y"))
@example(("logs.web.sjc.m1", b"x"), ("logs.web.sjc.m2", b"x"))
@example(("logs.web.sjc.m1", b"x"), ("logs.web.sjc", b"m1\0x"))
def test_equal_messages_have_an_id_in_common_and_others_have_not(
    one: tuple[str, bytes], two: tuple[str, bytes]
) -> None:
    """Equal messages have the same id at any time and in any process; other messages have not."""
    both = [parse_nats(*one), parse_nats(*two)]
    said = {(entry.app_name, entry.region, entry.machine_id, entry._raw) for entry in both}
    ids = {content_id(entry) for entry in both}
    assert len(ids) == len(said)
    assert all(id.isascii() and id.isalnum() and len(id) == 30 for id in ids)
    assert content_id(parse_nats(*one)) in ids


@given(entries, entries)
def test_messages_of_different_origins_have_different_ids(one: LogEntry, two: LogEntry) -> None:
    """Two entries have the same id only if their app, region and machine are the same."""
    two = attrs.evolve(two, raw=one._raw)
    origins = {(entry.app_name, entry.region, entry.machine_id) for entry in (one, two)}
    assert len({content_id(one), content_id(two)}) == len(origins)


def test_dots_in_names_do_not_hide_which_is_which() -> None:
    """Two messages with the same words in their names have different ids if a dot is in a name."""
    raw = {"fly": {"app": {"name": "a.b", "instance": "d"}, "region": "c"}, "message": "x"}
    payload = json.dumps(raw).encode()
    one, two = parse_nats("logs", payload), parse_nats("logs.a.b.c.d", payload)
    assert (one.app_name, two.app_name) == ("a.b", "a")
    assert content_id(one) != content_id(two)


def test_the_id_is_the_same_in_every_release() -> None:
    """The id never changes, because processes of two releases may run beside each other."""
    entry = parse_nats("logs.web.sjc.m1", FLY_PAYLOAD)
    assert content_id(entry) == "fed09e98d34ecabd3b46264c03a3b5"


# --- subjects of a filter ----------------------------------------------------------------------


def covers(pattern: str, subject: str) -> bool:
    """Return whether a subject of NATS with wildcards matches a subject."""
    wanted, parts = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(parts) > index
        if index >= len(parts) or token not in ("*", parts[index]):
            return False
    return len(parts) == len(wanted)


def test_the_matcher_of_these_tests_is_that_of_nats() -> None:
    """The matcher of these tests agrees with the examples of NATS' documentation."""
    assert covers("time.*.east", "time.us.east")
    assert not covers("time.*.east", "time.us.east.atlanta")
    assert covers("time.us.>", "time.us.east.atlanta")
    assert not covers("time.us.>", "time.us")
    assert not covers("time.us", "time.us.east")


values = st.frozensets(names, max_size=4)
exact = st.frozensets(
    st.tuples(st.sampled_from(["app_name", "region", "machine_id", "level", "source"]), values),
    max_size=4,
)


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Return a filter that is made of up to three others, and small enough for a reader."""
    parts = st.lists(st.builds(Filter, exact, excluded=exact), min_size=1, max_size=3)
    try:
        return reduce(lambda one, two: one & two, draw(parts))
    except BadQuery:
        reject()


def check_wanted(filter: Filter, many: Iterable[LogEntry]) -> None:
    """Check that the subjects hold every entry of the filter, and that the server accepts them."""
    wanted = wanted_subjects(filter, "natstream")
    assert len(wanted) <= MAX_SUBJECTS
    assert len(set(wanted)) == len(wanted)
    for one in wanted:
        assert one.startswith("natstream.")
        assert len(one) <= MAX_SUBJECT_BYTES
        assert not any(covers(one, two) for two in wanted if two is not one), "they overlap"
    for entry in many:
        if filter.matches(entry):
            subject, _ = encode(entry, MAX_BYTES)
            assert not wanted or any(covers(one, f"natstream.{subject}") for one in wanted)


@given(filters(), st.lists(entries, max_size=5))
def test_every_entry_of_a_filter_is_under_a_subject_that_it_wants(
    filter: Filter, many: list[LogEntry]
) -> None:
    """Every entry that a filter lets through is stored under one of its subjects."""
    check_wanted(filter, many)


@given(st.data(), entries)
def test_a_filter_made_for_an_entry_finds_it(data: st.DataObject, entry: LogEntry) -> None:
    """A filter that has an entry's names among others finds the entry by its subjects."""
    exact = frozenset(
        (field, data.draw(values) | {getattr(entry, field)})
        for field in data.draw(st.frozensets(st.sampled_from(["app_name", "region", "machine_id"])))
    )
    filter = Filter(exact)
    assert filter.matches(entry)
    check_wanted(filter, [entry])
    for max_bytes in (
        700,
        5_000,
    ):  # A reader sees, and asks for, the short names of a shortened entry.
        subject, payload = encode(entry, max_bytes)
        short = decode(subject.encode(), payload)
        for field, _ in exact:
            asked = Filter(frozenset({(field, frozenset({getattr(short, field)}))}))
            wanted = wanted_subjects(asked, "natstream")
            # A machine that ends with `*` is a prefix, which needs the whole stream.
            assert any(covers(one, f"natstream.{subject}") for one in wanted or ["natstream.>"])


def test_no_more_is_wanted_than_what_is_asked_for() -> None:
    """A filter gets a subject for each app and region, and none if it has only texts."""
    web = Filter.from_query([("app", "web"), ("region", "sjc,lhr"), ("q", "error")])
    assert wanted_subjects(web, "s") == ["s.*.web.lhr.*", "s.*.web.sjc.*"]
    assert wanted_subjects(Filter.from_query([("q", "error"), ("level", "info")]), "s") == []
    begins = Filter.from_query([("app", "web"), ("machine", "668f*"), ("not_region", "sjc")])
    assert wanted_subjects(begins, "s") == ["s.*.web.*.*"]
    assert wanted_subjects(Filter.from_query([("not_app", "web")]), "s") == []
    many = ",".join(f"m{number}" for number in range(MAX_SUBJECTS + 1))
    assert wanted_subjects(Filter.from_query([("machine", many)]), "s") == []
    assert len(wanted_subjects(Filter.from_query([("machine", many[:-4])]), "s")) == MAX_SUBJECTS


def test_a_filter_that_contradicts_itself_wants_a_subject_without_entries() -> None:
    """A filter that contradicts itself does not read the whole stream in vain."""
    filter = Filter.from_query([("app", "web")]) & Filter.from_query([("app", "api")])
    (wanted,) = wanted_subjects(filter, "s")
    for app in ("web", "api", "none"):
        for entry in (
            parse_nats(f"logs.{app}.sjc.m1", FLY_PAYLOAD),
            LogEntry("m", "x", "", "", app),
        ):
            assert not covers(wanted, f"s.{encode(entry, MAX_BYTES)[0]}")
