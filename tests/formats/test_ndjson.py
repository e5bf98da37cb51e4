"""The reading of a stream that `formats.events` wrote."""

from __future__ import annotations

import json
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_service import ENTRY, event_id, line, notice

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.escapes import json_line, text_line
from natstream.formats.events import NDJSON
from natstream.formats.ndjson import LONGEST_LINE, Reading


def test_an_entry_comes_back_as_it_was() -> None:
    """Every field that the service sends of an entry is read back."""
    (entry,) = Reading().feed(NDJSON.entry(ENTRY, "1-a-1"))
    assert isinstance(entry, LogEntry)
    names = ("machine_id", "message", "stream", "app_name", "region", "level", "provider", "source")
    assert [getattr(entry, name) for name in names] == [getattr(ENTRY, name) for name in names]
    assert entry.unix_ns == ENTRY.unix_ns // 1_000_000 * 1_000_000
    assert entry.raw["id"] == "1-a-1"


def test_a_continuation_comes_back_as_one() -> None:
    """An entry without the key is no continuation, and the key is sent only of continuations."""
    joined = attrs.evolve(ENTRY, continues=True)
    stream = NDJSON.entry(joined, "1-a-1") + NDJSON.entry(ENTRY, "1-a-2")
    assert stream.count(b"continues") == 1
    read = [entry for entry in Reading().feed(stream) if isinstance(entry, LogEntry)]
    assert [entry.continues for entry in read] == [True, False]


def test_the_group_and_the_release_come_back() -> None:
    """What is known of a machine is read back, and an entry without it has no such keys."""
    known = attrs.evolve(ENTRY, group="worker", release="42")
    stream = NDJSON.entry(known, "1-a-1") + NDJSON.entry(ENTRY, "1-a-2")
    assert stream.count(b'"group"') == stream.count(b'"release"') == 1
    read = [entry for entry in Reading().feed(stream) if isinstance(entry, LogEntry)]
    assert [(entry.group, entry.release) for entry in read] == [("worker", "42"), ("", "")]


def test_notices_and_gaps_come_back() -> None:
    """A gap is read from its numbers, not from its words, and its id can be resumed from."""
    reading = Reading()
    gap = Gap(7, 1_664_310_877_000, at_most=True)
    assert reading.feed(notice("NATS is lost", type="error", unix_ms=5)) == [
        Notice("NATS is lost", "error", 5)
    ]
    assert reading.feed(notice("7 missing", gap=gap, unix_ms=6, resume_id="1-a-9")) == [
        Notice("7 missing", "system", 6, gap)
    ]
    assert (reading.resume_id, reading.opened) == ("1-a-9", 5)


@given(st.lists(st.integers(0, 400)))
def test_it_does_not_matter_how_the_network_cuts(cuts: list[int]) -> None:
    """The pieces of a stream give the same items as the whole."""
    whole = notice(unix_ms=1) + line(1, "é\n\u2028") + b"\n" + line(2, "") + line(3)
    cuts_in_order = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    reading = Reading()
    pieces = [whole[start:stop] for start, stop in pairwise(cuts_in_order)]
    assert [item for piece in pieces for item in reading.feed(piece)] == Reading().feed(whole)
    assert reading.resume_id == event_id(3)
    assert reading.idle


@given(st.lists(st.binary() | st.sampled_from([b"null", b"{}", b"[1]", b'{"message":3}', b"\xff"])))
def test_garbage_costs_only_itself(lines: list[bytes]) -> None:
    """Entries are read in spite of broken lines between them."""
    reading = Reading()
    *_, last = [*reading.feed(b"\n".join(lines) + b"\n"), *reading.feed(line(1))]
    assert isinstance(last, LogEntry)
    assert last.message == "line 1"


def test_what_is_unreadable_is_told() -> None:
    """One notice for each piece counts its bad lines."""
    (told,) = Reading().feed(b"<html>\n<body>\n")
    assert told == Notice("Lines that could not be read: 2", "error", told.unix_ms)  # type: ignore[union-attr]  # it is a notice


def test_a_line_without_an_end_is_given_up() -> None:
    """Memory stays bounded, because a line that is too long is dropped."""
    reading = Reading()
    assert len(reading.feed(b"x" * (LONGEST_LINE + 1))) == 1
    assert len(reading.feed(b"\n" + line(1))) == 1


def test_half_a_line_is_void_after_a_cut() -> None:
    """Half a line of the last connection is not joined to the next connection."""
    reading = Reading()
    reading.feed(line(1) + line(2)[:20])
    reading.begin()
    assert len(reading.feed(line(2))) == 1
    assert reading.resume_id == event_id(2)


@pytest.mark.parametrize("id", ["é", "1-a-1\n2", "x", "1-a-1\r\nX: y", "9" * 5_000])
def test_an_id_that_no_natstream_wrote_is_not_resumed_from(id: str) -> None:
    """Only an event id is kept to resume from, because any other text may break a request."""
    reading = Reading(resume_id="1-a-7")
    reading.feed(json.dumps({"id": id, "message": "x", "stream": "stdout"}).encode() + b"\n")
    assert reading.resume_id == "1-a-7"
    reading.feed(b'{"id":" 1-a-8\\n"}\n')
    assert reading.resume_id == "1-a-8"


@pytest.mark.parametrize(
    "value",
    [
        *[b'"\\ud800"', b"1e999", b"9" * 5_000, b"-" + b"9" * 40, b"NaN", b'"\xff"'],
        *[
            b"[" * 100_000 + b"]" * 100_000,
            b"[" * 990 + b"]" * 990,
            b'{"a":' * 900 + b"1" + b"}" * 900,
        ],
    ],
    ids=lambda value: value[:8],
)
def test_no_line_of_a_service_raises(value: bytes) -> None:
    """A line with any value is an entry that can be printed, or counts as unreadable."""
    for text in (b'{"stream":"x","message":"m","evil":%b}\n', b'{"stream":"x","timestamp":%b}\n'):
        for item in Reading().feed(text % value):
            if isinstance(item, LogEntry):
                assert json_line(item)
                assert text_line(item, paint=True)
            else:
                assert item.message.startswith("Lines that could not be read")
