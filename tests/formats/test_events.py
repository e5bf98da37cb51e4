"""Section 4 of the specification, on the wire: events and their ids, safe from any content."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.formats.events import (
    FORMATS,
    NDJSON,
    SSE,
    TEXT,
    EventId,
    gap_notice,
    write_event_id,
)

ENTRY = LogEntry(
    "0e286551c30586",
    "Listening on :8080",
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
ID = "1664310877300-a1b2c3d4-17"


@attrs.frozen
class Event:
    """An event as an EventSource hands it to `onmessage`."""

    data: str
    last_event_id: str


@attrs.define
class EventSource:
    """The parser of the HTML standard (9.2.6), for a whole stream."""

    events: list[Event] = attrs.field(factory=list)
    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = attrs.field(factory=list)
    _named: bool = False

    def feed(self, stream: bytes) -> EventSource:
        data: list[str] = []
        for line in re.split("\r\n|\r|\n", stream.decode("utf-8")):
            if not line:
                if data:
                    self.events.append(Event("\n".join(data), self.last_event_id))
                data = []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments.append(value)
                case "data":
                    data.append(value)
                case "id" if "\0" not in value:
                    self.last_event_id = value
                case "retry" if value.isascii() and value.isdigit():
                    self.retry = int(value)
                case _:
                    pytest.fail(f"a field that is not ours: {line!r}")
        assert not data, "an event without its end"
        return self


def sse(stream: bytes) -> EventSource:
    """Return the events that an EventSource makes of the stream."""
    return EventSource().feed(stream)


# --- SSE ---------------------------------------------------------------------------------------


def test_a_live_entry() -> None:
    """An entry has an id, one line of JSON and no event name, so `onmessage` sees it."""
    assert SSE.entry(ENTRY, ID) == (
        b"id: 1664310877300-a1b2c3d4-17\n"
        b'data: {"message":"Listening on :8080","timestamp":1664310877252,"type":"log",'
        b'"persistent":false,"app":"web","region":"sjc","machine":"0e286551c30586",'
        b'"stream":"stdout","level":"info","provider":"app","source":"nats"}\n\n'
    )


@pytest.mark.parametrize(
    ("fields", "type"),
    [
        ({"stream": "system"}, "system"),
        ({"stream": "system", "level": "error"}, "system"),
        ({"stream": "stderr"}, "log"),
        ({"stream": "stderr", "level": "fatal"}, "log"),
        ({"stream": "audit"}, "log"),
        ({"stream": "stdout", "provider": "proxy"}, "log"),
    ],
)
def test_the_type_is_system_for_the_system_stream_alone(fields: dict[str, Any], type: str) -> None:
    """An entry's type is `system` for the stream `system`, and `log` for every other stream."""
    (event,) = sse(SSE.entry(attrs.evolve(ENTRY, **fields), ID)).events
    assert json.loads(event.data)["type"] == type


def test_the_connection_notice() -> None:
    """`retry:` comes first, then the notice, then an id in a block of its own if given."""
    notice = Notice("Connected to log stream", unix_ms=5)
    connected = (
        b'data: {"message":"Connected to log stream","timestamp":5,"type":"system",'
        b'"persistent":false}\n\n'
    )
    assert SSE.opening(notice, 1_234) == b"retry: 1234\n" + connected
    assert SSE.opening(notice, 1_234, ID) == b"retry: 1234\n" + connected + b"id: %b\n\n" % (
        ID.encode()
    )
    assert sse(SSE.opening(notice, 1_234)).retry == 1_234


def test_a_notice_has_no_id_and_may_be_an_error() -> None:
    """An EventSource keeps its last id when it gets a notice."""
    reader = sse(SSE.entry(ENTRY, ID) + SSE.notice(Notice("NATS is lost", "error", 5)))
    assert json.loads(reader.events[1].data) == {
        "message": "NATS is lost", "timestamp": 5, "type": "error", "persistent": False,
    }  # fmt: skip
    assert b"id:" not in SSE.notice(Notice("NATS is lost", "error", 5))
    assert reader.last_event_id == ID


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (Gap(1_000, 7), {"missed": 1_000, "since": 7}),
        (Gap(1_000, 7, at_most=True), {"missed": 1_000, "since": 7, "at_most": True}),
        (Gap(None, None), {"missed": None, "since": None}),
        (Gap(None, 7, doubles=True), {"missed": None, "since": 7}),
        (Gap(0, None), {"missed": 0, "since": None}),
    ],
)
def test_a_gap(gap: Gap, told: dict[str, Any]) -> None:
    """A gap is a system event, followed by an id alone, which raises no event."""
    reader = sse(SSE.notice(gap_notice(gap), ID))
    (event,) = reader.events
    assert event.last_event_id == ""
    assert reader.last_event_id == ID
    value = json.loads(event.data)
    assert (value["type"], value["gap"]) == ("system", told)
    assert list(value)[:4] == ["message", "timestamp", "type", "persistent"]
    (line,) = NDJSON.notice(gap_notice(gap), ID).splitlines()
    assert json.loads(line)["gap"] == told
    assert json.loads(line)["id"] == ID


def test_a_gap_in_words() -> None:
    """The message of a gap says how many lines are missing."""
    assert gap_notice(Gap(1, 7)).message == "1 line is missing here"
    assert gap_notice(Gap(1_000, 7)).message == "1,000 lines are missing here"
    assert gap_notice(Gap(2, 7, at_most=True)).message == "Up to 2 lines are missing here"
    assert gap_notice(Gap(None, 7)).message.startswith("Lines may be missing here")
    assert "before" in gap_notice(Gap(None, 7, doubles=True)).message


def test_a_keep_alive_raises_no_event() -> None:
    """A keep-alive is a comment, with the reader's resume id if that has changed."""
    assert SSE.keep_alive() == b": keep-alive\n\n"
    reader = sse(SSE.entry(ENTRY, "1-a-1") + SSE.keep_alive() + SSE.keep_alive(ID))
    assert len(reader.events) == 1
    assert reader.last_event_id == ID


# --- NDJSON ------------------------------------------------------------------------------------


def test_ndjson_holds_the_same_objects_with_their_ids() -> None:
    """Each line of NDJSON is the object of an SSE event with its id."""
    (line,) = NDJSON.entry(ENTRY, ID).splitlines()
    (event,) = sse(SSE.entry(ENTRY, ID)).events
    assert json.loads(line) == json.loads(event.data) | {"id": ID}
    assert NDJSON.content_type == "application/x-ndjson"


def test_ndjson_notices_have_an_id_only_as_a_place_to_resume_from() -> None:
    """A notice has an id only if one is given, and the opening has no `retry`."""
    notice = Notice("Connected to log stream", unix_ms=5)
    bare = {"message": notice.message, "timestamp": 5, "type": "system", "persistent": False}
    assert json.loads(NDJSON.notice(notice)) == bare
    assert json.loads(NDJSON.opening(notice, 1_234)) == bare
    assert json.loads(NDJSON.opening(notice, 1_234, ID)) == bare | {"id": ID}


def test_an_ndjson_keep_alive_is_an_empty_line() -> None:
    """A changed resume id comes before the empty line, to avoid a false gap on resume."""
    assert NDJSON.keep_alive() == b"\n"
    resume_id, empty, _ = NDJSON.keep_alive(ID).split(b"\n")
    assert (json.loads(resume_id), empty) == ({"id": ID}, b"")


# --- text --------------------------------------------------------------------------------------


def test_text_reads_as_fly_logs_prints() -> None:
    """A line shows time, app, machine, region, level and message."""
    assert TEXT.entry(ENTRY, ID) == (
        b"2022-09-27T20:34:37Z web[0e286551c30586] sjc [info] Listening on :8080\n"
    )
    assert TEXT.content_type == "text/plain; charset=utf-8"


def test_text_indents_inner_line_breaks() -> None:
    """Inner line breaks are indented, and the last one ends the line."""
    assert TEXT.entry(attrs.evolve(ENTRY, message="one\r\ntwo\n\nthree\n"), ID) == (
        b"2022-09-27T20:34:37Z web[0e286551c30586] sjc [info] one\n    two\n    \n    three\n"
    )


def test_text_keeps_colours_and_removes_other_sequences() -> None:
    """Escape sequences of a log line never control a terminal."""
    hostile = "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07\x1b[1A\x9b5n gone"
    line = TEXT.entry(attrs.evolve(ENTRY, message=hostile), ID).decode()
    assert line.endswith(" [info] \x1b[31mred\x1b[0m  gone\n")


def test_text_notices_are_comments() -> None:
    """A notice is a comment on one line."""
    assert TEXT.notice(Notice("one\ntwo\x1b[2J", "error"), ID) == b"# one two\n"
    assert TEXT.opening(Notice("Connected"), 1_234, ID) == b"# Connected\n"
    assert TEXT.keep_alive().startswith(b"#")
    assert TEXT.keep_alive().endswith(b"\n")


def test_a_time_that_no_calendar_has_is_shown_all_the_same() -> None:
    """An entry of a library's user with an impossible time is shown."""
    for unix_ns in (-(10**27), 10**27):
        assert TEXT.entry(attrs.evolve(ENTRY, unix_ns=unix_ns), ID).endswith(b":8080\n")


# --- ids ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**15 - 1), st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True),
       st.integers(0, 10**18 - 1))  # fmt: skip
def test_an_id_reads_as_it_was_written(unix_ms: int, epoch: str, number: int) -> None:
    """An id holds the arrival, the epoch and the number."""
    event_id = EventId(unix_ms, epoch, number)
    assert str(event_id) == write_event_id(unix_ms, epoch, number)
    assert EventId.parse(str(event_id)) == event_id
    assert EventId.parse(f" {event_id}\r\n") == event_id


@pytest.mark.parametrize(
    "text",
    ["", "5", "1-2", "1-a-2-3", "a-b-c", "-1-a-1", "1-a--1", "1-A-1", "1-a-1x", "1-a-" + "9" * 19,
     "9" * 16 + "-a-1", "١-a-1", "1-a-1\x00", "1-" + "a" * 33 + "-1", "1" * 10_000],
)  # fmt: skip
def test_an_id_that_is_not_ours_is_none(text: str) -> None:
    """A text that natstream did not write gives None and raises nothing."""
    assert EventId.parse(text) is None


@given(st.text())
def test_any_text_is_an_id_or_none(text: str) -> None:
    """Any text of a client is an id or gives None."""
    event_id = EventId.parse(text)
    assert event_id is None or EventId.parse(str(event_id)) == event_id


# --- nothing breaks out ------------------------------------------------------------------------

attacks = st.sampled_from(
    ["\n", "\r", "\r\n", "\n\n", "data: x", "id: 1-a-1", "event: x", "retry: 1", ": x", "\x00",
     "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff", "\x1b[2J", "\x1b]", "# x",
     "\ud800", "\udc00", '"', "\\", "}", '","id":"', "é", "🚀", "    ", "2022-09-27T20:34:37Z "]
)  # fmt: skip
hostile = st.lists(attacks | st.text(max_size=5)).map("".join)
entries = st.builds(
    LogEntry,
    hostile,
    hostile,
    hostile | st.sampled_from(["stdout", "stderr", "system"]),
    hostile,
    hostile,
    region=hostile,
    level=hostile,
    provider=hostile,
    host=hostile,
    unix_ns=st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1),
    source=hostile,
    continues=st.booleans(),
    group=hostile,
    release=hostile,
)
gaps = st.builds(Gap, st.none() | st.integers(0), st.none() | st.integers(0, 2**53), st.booleans())
notices = st.builds(
    Notice,
    hostile,
    st.sampled_from(["system", "error"]),
    st.integers(0, 2**53),
    st.none() | gaps.filter(lambda gap: (gap.missed or 0) < 2**63),
)
resume_ids = st.sampled_from(["", ID])


def whole(text: str) -> str:
    """Return the text as it can be sent: halves of surrogate pairs are replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def event_of(entry: LogEntry) -> dict[str, Any]:
    """Return the object that clients must see."""
    texts = {
        "app": entry.app_name,
        "region": entry.region,
        "machine": entry.machine_id,
        "stream": entry.stream,
        "level": entry.level,
        "provider": entry.provider,
        "source": entry.source,
    }
    return {
        "message": whole(entry.message),
        "timestamp": entry.unix_ns // 1_000_000,
        "type": "system" if entry.stream == "system" else "log",
        "persistent": False,
        **{name: whole(text) for name, text in texts.items()},
        **({"continues": True} if entry.continues else {}),
        **({"group": whole(entry.group)} if entry.group else {}),
        **({"release": whole(entry.release)} if entry.release else {}),
    }


@given(entries)
def test_an_entry_is_one_sse_event_whatever_it_holds(entry: LogEntry) -> None:
    """The event has equal content, its id, and its keys in their order."""
    before, after = SSE.entry(ENTRY, "1-a-1"), SSE.entry(ENTRY, "1-a-3")
    reader = sse(before + SSE.entry(entry, ID) + after)
    assert [event.last_event_id for event in reader.events] == ["1-a-1", ID, "1-a-3"]
    value = json.loads(reader.events[1].data)
    assert value == event_of(entry)
    assert list(value) == list(event_of(entry))
    assert (reader.retry, reader.comments) == (None, [])


@given(notices, resume_ids)
def test_a_notice_is_one_sse_event_whatever_it_holds(notice: Notice, resume_id: str) -> None:
    """A notice has no id, and an id after it raises no event."""
    reader = sse(SSE.notice(notice, resume_id) + SSE.opening(notice, 1_000, resume_id))
    assert len(reader.events) == 2
    assert json.loads(reader.events[0].data)["message"] == whole(notice.message)
    assert reader.events[0].last_event_id == ""
    assert reader.last_event_id == resume_id


@given(entries, notices, resume_ids)
def test_each_is_one_line_of_ndjson_whatever_it_holds(
    entry: LogEntry, notice: Notice, resume_id: str
) -> None:
    """Clients that split at line feeds or at any Unicode line break read one line."""
    stream = NDJSON.entry(entry, ID) + NDJSON.notice(notice, resume_id)
    assert stream.endswith(b"\n")
    for lines in (stream[:-1].split(b"\n"), stream.decode().splitlines()):
        first, second = map(json.loads, lines)
        assert first == event_of(entry) | {"id": ID}
        assert second["message"] == whole(notice.message)
        assert second.get("id", "") == resume_id


@given(entries, notices)
def test_each_is_one_block_of_text_whatever_it_holds(entry: LogEntry, notice: Notice) -> None:
    """An entry starts with a time, its other lines are indented, and notices start with #."""
    first, *rest = TEXT.entry(entry, ID).decode().removesuffix("\n").split("\n")
    assert re.match(r"-?\d+-\d\d-\d\dT\d\d:\d\d:\d\dZ ", first)
    assert all(line.startswith("    ") for line in rest)
    assert len(rest) <= entry.message.count("\n")
    said = TEXT.notice(notice).decode()
    assert said.startswith("# ")
    assert said.count("\n") == 1
    for text in ("\n".join([first, *rest]), said):
        assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;:]*m)", text)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_whole_events_can_be_joined(format: Any) -> None:
    """Each event ends where the next one may start."""
    for piece in (
        format.entry(ENTRY, ID),
        format.notice(Notice("x"), ID),
        format.keep_alive(ID),
        format.keep_alive(),
        format.opening(Notice("x"), 1_000, ID),
    ):
        assert piece.endswith(b"\n\n" if format is SSE else b"\n")


def test_server_sent_events_are_the_choice_on_a_tie() -> None:
    """The first of the formats is SSE."""
    assert next(iter(FORMATS)) == "sse"
    assert {name: format.content_type.partition(";")[0] for name, format in FORMATS.items()} == {
        "sse": "text/event-stream", "ndjson": "application/x-ndjson", "text": "text/plain",
    }  # fmt: skip
