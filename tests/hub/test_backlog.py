"""The bounded memory: the entries that it keeps and evicts, and the batches that it hands out."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.numbered import line, lines

from natstream.entries.entry import ENTRY_OVERHEAD, LogEntry, Notice
from natstream.entries.fields import Fields
from natstream.entries.filters import EVERYTHING, Filter
from natstream.formats.events import NDJSON, SSE, TEXT, Format
from natstream.hub import backlog as module
from natstream.hub.backlog import Backlog
from natstream.hub.batch import PIECE_BYTES, Batch, Position

WEB = Filter.from_query([("app", "web")])


def append(backlog: Backlog, entries: Sequence[LogEntry], now_ms: int) -> None:
    """Append entries that all arrive at the same time."""
    backlog.append(entries, [entry.cost for entry in entries], [now_ms] * len(entries))


def filled(count: int, *, max_lines: int = 1_000, max_bytes: int = 2**30) -> Backlog:
    """Return a backlog to which entries were appended one by one, 10 ms apart from 1,000 ms on."""
    backlog = Backlog("e", max_lines=max_lines, max_bytes=max_bytes)
    for number in range(1, count + 1):
        append(backlog, [line(number)], 990 + 10 * number)
    return backlog


def numbers(batch: Batch) -> list[int]:
    """Return the numbers that the entries say, which must be those that the batch gives them."""
    said = [int(entry.message) for entry in batch.entries]
    assert said == list(range(batch.first, batch.first + len(said)))
    return said


def read_all(backlog: Backlog, position: Position, max_lines: int = 10**9) -> list[int]:
    """Return the numbers of all entries from a position on."""
    return numbers(backlog.read(position, backlog.end.entry, max_lines, 2**40))


# --- keeping and evicting ----------------------------------------------------------------------


def test_an_empty_one() -> None:
    """An empty backlog starts with the number 1."""
    backlog = filled(0)
    assert (backlog.lines, backlog.bytes, backlog.first) == (0, 0, 1)
    assert backlog.end == Position(1, backlog.first_notice)
    assert (backlog.newest_ms, backlog.oldest_ms) == (0, None)
    assert read_all(backlog, Position(1, 0)) == []
    assert backlog.number_at(0) == backlog.number_at(10**15) == 1


def test_entries_get_consecutive_numbers_from_one() -> None:
    """Entries get consecutive numbers from 1, although older entries were evicted."""
    backlog = filled(12, max_lines=5)
    assert (backlog.first, backlog.lines, backlog.end.entry) == (8, 5, 13)
    assert read_all(backlog, Position(8, 0)) == [8, 9, 10, 11, 12]
    assert (backlog.oldest_ms, backlog.newest_ms) == (1_070, 1_110)
    assert [backlog.arrival(number) for number in (8, 12)] == [1_070, 1_110]


def test_the_first_limit_reached_counts() -> None:
    """The backlog evicts entries beyond its limit of lines or its limit of bytes."""
    cost = line(1).cost
    by_bytes = filled(9, max_lines=8, max_bytes=3 * cost)
    assert (by_bytes.lines, by_bytes.bytes) == (3, 3 * cost)
    assert filled(9, max_lines=3, max_bytes=8 * cost).lines == 3
    assert filled(9, max_lines=8, max_bytes=3 * cost - 1).lines == 2


def test_one_entry_is_kept_whatever_it_costs() -> None:
    """The newest entry is kept, even if it needs more than the limit of bytes by itself."""
    backlog = filled(3, max_bytes=1)
    assert read_all(backlog, Position(1, 0)) == [3]
    append(backlog, [line(4, size=10**6)], 2_000)
    assert read_all(backlog, Position(1, 0)) == [4]
    assert backlog.bytes == line(4, size=10**6).cost


def test_bytes_are_what_an_entry_really_costs() -> None:
    """The backlog counts the memory of each entry: its message, its payload and 600 bytes.

    A character beyond ASCII needs two or four bytes.
    """
    assert ENTRY_OVERHEAD == 600
    for message, size in (("x" * 100, 49 + 100), ("é" * 100, 73 + 100), ("日" * 100, 74 + 200)):
        entry = LogEntry("m", message, "stdout", raw=b"p" * 300)
        assert abs(entry.cost - (size + 300 + 600)) < 32  # Python's releases differ a little.
    backlog = Backlog("e", max_lines=10, max_bytes=2**30)
    append(backlog, [line(1), line(2, size=5)], 0)
    assert backlog.bytes == line(1).cost + line(2, size=5).cost
    assert backlog.bytes == line(1).cost + line(2).cost + 5


def test_a_burst_larger_than_the_backlog_leaves_its_end() -> None:
    """The newest entries of a burst that is larger than the backlog are kept."""
    backlog = Backlog("e", max_lines=10, max_bytes=2**30)
    append(backlog, lines(1, 10_000), 5)
    assert read_all(backlog, Position(1, 0)) == list(range(9_991, 10_001))


def test_evicted_entries_are_not_kept_alive() -> None:
    """The lists hold no evicted entry, and are shortened now and then."""
    backlog = filled(900, max_lines=10)
    assert sum(entry is not None for entry in backlog._entries) == 10
    backlog = filled(5_000, max_lines=10)
    assert len(backlog._entries) < 1_100


def test_evicting_costs_the_same_however_much_is_remembered() -> None:
    """Evicting 100,000 entries takes seconds; it would take minutes if the time were quadratic."""
    backlog = Backlog("e", max_lines=50_000, max_bytes=2**40)
    entry = line(1)
    append(backlog, [entry] * 50_000, 0)
    started = time.process_time()
    for _ in range(100_000):
        append(backlog, [entry], 0)
    assert time.process_time() - started < 5


# --- arrivals ----------------------------------------------------------------------------------


def test_since_finds_the_first_entry_that_arrived_then_or_later() -> None:
    """`number_at` finds the first remembered entry that arrived at a time or later."""
    backlog = filled(12, max_lines=5)  # 8 to 12, at 1070 to 1110
    for unix_ms, number in ((0, 8), (1_070, 8), (1_071, 9), (1_080, 9), (1_110, 12), (1_111, 13)):
        assert backlog.number_at(unix_ms) == number


def test_a_clock_that_is_set_back_does_not_disorder_the_arrivals() -> None:
    """An entry never counts as arrived before the entry before it."""
    backlog = filled(0)
    for number, now_ms in ((1, 1_000), (2, 500), (3, 1_200)):
        append(backlog, [line(number)], now_ms)
    assert [backlog.arrival(number) for number in (1, 2, 3)] == [1_000, 1_000, 1_200]
    assert backlog.number_at(600) == 1


def test_a_run_arrives_at_once() -> None:
    """All entries of one call have the same time of arrival."""
    backlog = filled(0)
    append(backlog, lines(1, 3), 7)
    assert backlog.number_at(7) == 1
    assert backlog.number_at(8) == 4


# --- reading -----------------------------------------------------------------------------------


def test_a_run_stops_at_the_first_limit() -> None:
    """A batch ends at the first of three limits, but has one entry if there is one."""
    backlog = filled(10)
    cost = line(1).cost
    for end, max_lines, max_bytes, got in (
        (11, 100, 2**30, [3, 4, 5, 6, 7, 8, 9, 10]),
        (6, 100, 2**30, [3, 4, 5]),
        (11, 2, 2**30, [3, 4]),
        (11, 100, 2 * cost, [3, 4]),
        (11, 100, 2 * cost - 1, [3]),
        (11, 100, 1, [3]),
        (3, 100, 2**30, []),
        (1, 100, 2**30, []),
    ):
        assert numbers(backlog.read(Position(3, 0), end, max_lines, max_bytes)) == got


def test_a_batch_knows_its_position() -> None:
    """A batch has its epoch, its entries' arrivals, and the position of the next batch."""
    batch = filled(10).read(Position(3, 0), 6, 100, 2**30)
    assert (batch.epoch, batch.first, list(batch.arrivals)) == ("e", 3, [1_020, 1_030, 1_040])
    assert batch.end.entry == 6


def test_evicted_entries_are_never_read() -> None:
    """Reading begins at the oldest entry if the position lies before it."""
    backlog = filled(12, max_lines=5)
    assert read_all(backlog, Position(2, 0)) == [8, 9, 10, 11, 12]
    assert read_all(backlog, Position(13, 0)) == []
    evicted = backlog.read(Position(2, 0), 5, 100, 2**30)
    assert (numbers(evicted), evicted.end.entry) == ([], 5)


# --- notices -----------------------------------------------------------------------------------


def test_a_notice_stands_before_the_next_entry() -> None:
    """A notice stands before the next entry, and takes no number."""
    backlog = filled(2)
    backlog.append_notice(Notice("lost"))
    backlog.append_notice(Notice("back"))
    append(backlog, [line(3)], 2_000)
    batch = backlog.read(Position(1, 0), 4, 100, 2**30)
    assert numbers(batch) == [1, 2, 3]
    assert [(number, notice.message) for number, notice in batch.notices] == [
        (3, "lost"),
        (3, "back"),
    ]
    assert batch.end == backlog.end


def test_a_reader_that_has_seen_a_notice_does_not_get_it_again() -> None:
    """A reader does not get a notice again, although it has not seen the entry after the notice."""
    backlog = filled(1)
    backlog.append_notice(Notice("one"))
    end = backlog.end
    backlog.append_notice(Notice("two"))
    append(backlog, [line(2)], 2_000)
    batch = backlog.read(end, backlog.end.entry, 100, 2**30)
    assert [notice.message for _, notice in batch.notices] == ["two"]
    assert numbers(batch) == [2]


def test_a_reader_that_starts_at_an_entry_gets_the_notices_from_there_on() -> None:
    """`notice_at` finds the first notice that stands before an entry or later."""
    backlog = filled(1)
    backlog.append_notice(Notice("before two"))
    append(backlog, [line(2)], 2_000)
    backlog.append_notice(Notice("before three"))
    assert [backlog.notice_at(number) - backlog.first_notice for number in (1, 2, 3, 4)] == [
        0, 0, 1, 2,
    ]  # fmt: skip


def test_a_flapping_source_does_not_grow_memory() -> None:
    """The oldest notices are evicted, and positions go on counting them."""
    backlog = filled(1)
    start = backlog.end
    for number in range(module.MAX_NOTICES + 5):
        backlog.append_notice(Notice(str(number)))
    batch = backlog.read(start, backlog.end.entry, 100, 2**30)
    assert [notice.message for _, notice in batch.notices] == [
        str(number) for number in range(5, module.MAX_NOTICES + 5)
    ]
    assert batch.end == backlog.end


# --- a batch and its selections ----------------------------------------------------------------


def mixed() -> Batch:
    """Return the entries 1 to 6, with a notice before 3 and one before 7."""
    backlog = Backlog("e", max_lines=100, max_bytes=2**30)
    append(backlog, lines(1, 2), 1_000)
    backlog.append_notice(Notice("lost", "error", 5))
    append(backlog, lines(3, 4), 1_001)
    backlog.append_notice(Notice("back", "system", 6))
    return backlog.read(Position(1, 0), 7, 100, 2**30)


def test_filters_share_the_fields_of_a_batch_until_it_is_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each entry is decoded once for all filters of a round, and nothing of that is kept."""
    decoded: list[LogEntry] = []

    class Counted(Fields):
        def __init__(self, entry: LogEntry) -> None:
            decoded.append(entry)
            super().__init__(entry)

    monkeypatch.setattr("natstream.entries.fields.Fields", Counted)
    entries = [LogEntry("m", f'{{"n":{n}}}', "stdout") for n in range(5)]
    backlog = Backlog("e", max_lines=100, max_bytes=2**30)
    append(backlog, entries, 1_000)
    batch = backlog.read(Position(1, 0), 6, 100, 2**30)
    for n in range(5):
        assert batch.select(Filter.from_query([("field", f"n={n}")])).lines == 1
    assert len(decoded) == 5
    batch.release()
    assert batch._fields is None
    assert batch.select(Filter.from_query([("field", "n>=3")])).lines == 2
    assert batch._fields is None


def test_a_batch_can_be_continued_from_any_position_in_it() -> None:
    """`since` leaves out the records before a position."""
    batch = mixed()
    assert batch.since(batch.start) is batch
    second = batch.first_notice + 1
    for position, entries, notices in (
        (Position(1, second), [1, 2, 3, 4, 5, 6], 1),
        (Position(3, batch.first_notice), [3, 4, 5, 6], 2),
        (Position(3, second), [3, 4, 5, 6], 1),
        (Position(7, second), [], 1),
        (batch.end, [], 0),
    ):
        rest = batch.since(position)
        assert (numbers(rest), len(rest.notices)) == (entries, notices)
        assert (rest.start, rest.end) == (position, batch.end)


def test_a_selection_is_what_the_filter_lets_through_and_every_notice() -> None:
    """A selection has the entries that match and every notice; without any of them it is false."""
    selection = mixed().select(WEB)
    assert [entry.message for entry in selection.entries] == ["3", "6"]
    assert [notice.message for notice in selection.notices] == ["lost", "back"]
    nothing = Filter.from_query([("app", "none")])
    assert mixed().select(nothing)
    plain = Batch(epoch="e", first=1, entries=lines(1, 2), arrivals=[0, 0], first_notice=0)
    assert not plain.select(nothing)
    assert plain.select(EVERYTHING)


def test_readers_of_equal_filters_share_their_selection_until_its_round_is_over() -> None:
    """Readers with equal filters share their selection, and its bytes, until `release`."""
    batch = mixed()
    again = Filter.from_query([("app", "web")])
    selection = batch.select(WEB)
    assert batch.select(again) is selection
    assert selection.pieces(SSE) is batch.select(again).pieces(SSE)
    batch.release()
    assert batch.select(WEB) is not selection
    assert batch.select(WEB).pieces(SSE) == selection.pieces(SSE)


def test_an_entry_is_framed_once_per_format() -> None:
    """All readers of a format get the same frame of an entry."""
    batch = mixed()
    assert batch.frame(2, SSE) is batch.frame(2, SSE)
    assert batch.frame(2, SSE) == SSE.entry(batch.entries[2], "1001-e-3")
    assert batch.frame(2, NDJSON).endswith(b'"id":"1001-e-3"}\n')


@pytest.mark.parametrize("format", [SSE, NDJSON, TEXT])
def test_notices_stand_between_the_entries_where_they_were_announced(format: Format) -> None:
    """Notices stand in order between the entries, also if the filter rejects those around them."""
    batch = mixed()
    frames = [batch.frame(index, format) for index in range(6)]
    lost, back = (format.notice(notice) for _, notice in batch.notices)
    assert b"".join(batch.select(EVERYTHING).pieces(format)) == b"".join(
        [*frames[:2], lost, *frames[2:], back]
    )
    assert b"".join(batch.select(WEB).pieces(format)) == b"".join(
        [lost, frames[2], frames[5], back]
    )


@given(st.lists(st.sampled_from([1, 100, 20_000, 32_600, 65_400, 70_000])))
def test_pieces_are_large_enough_and_no_larger(sizes: list[int]) -> None:
    """A piece has at most 64 KiB or one frame, and never fits into the piece before it."""
    entries = [LogEntry("m", "x" * size, "stdout", unix_ns=0) for size in sizes]
    batch = Batch(epoch="e", first=1, entries=entries, arrivals=[0] * len(sizes), first_notice=0)
    frames = [batch.frame(index, SSE) for index in range(len(sizes))]
    pieces = batch.select(EVERYTHING).pieces(SSE)
    assert b"".join(pieces) == b"".join(frames)
    starts = [piece[: piece.index(b"\n\n") + 2] for piece in pieces]
    for piece, following in zip(pieces, starts[1:], strict=False):
        assert len(piece) <= PIECE_BYTES or piece in frames
        assert len(piece) + len(following) > PIECE_BYTES
    if pieces:
        assert len(pieces[-1]) <= PIECE_BYTES or pieces[-1] in frames


# --- against a simple model --------------------------------------------------------------------


@attrs.define
class Model:
    """A simple backlog without regard to cost: one list of all records, which are never evicted."""

    max_lines: int
    max_bytes: int
    records: list[LogEntry | Notice] = attrs.field(factory=list)
    arrivals: list[int] = attrs.field(factory=list)

    @property
    def entries(self) -> list[LogEntry]:
        return [record for record in self.records if isinstance(record, LogEntry)]

    @property
    def first(self) -> int:
        """The number of the oldest entry that the backlog has to remember."""
        kept = self.entries
        number = 1
        while len(kept) > self.max_lines or (
            len(kept) > 1 and sum(entry.cost for entry in kept) > self.max_bytes
        ):
            kept = kept[1:]
            number += 1
        return number

    def from_number(self, first: int) -> list[LogEntry | Notice]:
        """Return the records from the entry `first` on, with the notices just before it."""
        seen = 1
        for index, record in enumerate(self.records):
            if seen == first:
                return self.records[index:]
            seen += isinstance(record, LogEntry)
        return []


steps = st.lists(
    st.tuples(st.just("entries"), st.lists(st.integers(0, 3_000), max_size=5), st.integers(-3, 5))
    | st.tuples(st.just("notice"), st.just([]), st.just(0)),
    max_size=30,
)


def records(batch: Batch) -> list[LogEntry | Notice]:
    """Return the entries and notices of a batch, in order."""
    merged: list[LogEntry | Notice] = []
    waiting = list(batch.notices)
    for index, entry in enumerate(batch.entries):
        while waiting and waiting[0][0] <= batch.first + index:
            merged.append(waiting.pop(0)[1])
        merged.append(entry)
    return merged + [notice for _, notice in waiting]


def is_same(one: Sequence[object], two: Sequence[object]) -> bool:
    """Return whether both hold the same objects, which is more than equal ones."""
    return list(map(id, one)) == list(map(id, two))


@given(steps, st.integers(1, 12), st.integers(1, 20_000), st.data())
def test_a_backlog_keeps_the_same_records_as_a_list(
    steps: list[tuple[str, list[int], int]], max_lines: int, max_bytes: int, data: st.DataObject
) -> None:
    """A backlog gives the records of the model, from any position and in any steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_COMPACT_AT", 3)
        backlog = Backlog("e", max_lines=max_lines, max_bytes=max_bytes)
        model = Model(max_lines, max_bytes)
        clock = 1_000
        for kind, sizes, tick in steps:
            if kind == "notice":
                notice = Notice(str(len(model.records)))
                backlog.append_notice(notice)
                model.records.append(notice)
                continue
            clock += tick
            now = max([clock, *model.arrivals[-1:]])
            run = [line(len(model.entries) + 1 + index, size) for index, size in enumerate(sizes)]
            append(backlog, run, clock)
            model.records += run
            model.arrivals += [now] * len(run)
        check(backlog, model, data)


def check(backlog: Backlog, model: Model, data: st.DataObject) -> None:
    """Compare all that the backlog says with the model."""
    first, total = model.first, len(model.entries)
    kept = model.entries[first - 1 :]
    assert backlog.first == first
    assert backlog.end.entry == total + 1
    assert backlog.lines == len(kept)
    assert backlog.bytes == sum(entry.cost for entry in kept)
    assert backlog.oldest_ms == (model.arrivals[first - 1] if kept else None)
    assert backlog.newest_ms == (model.arrivals[-1] if kept else 0)
    unix_ms = data.draw(st.integers(980, 1_100))
    later = (n for n in range(first, total + 1) if model.arrivals[n - 1] >= unix_ms)
    assert backlog.number_at(unix_ms) == next(later, total + 1)

    start = data.draw(st.integers(first, total + 1))
    position = Position(start, backlog.notice_at(start))
    got: list[LogEntry | Notice] = []
    while not position.reaches(backlog.end):
        max_lines, max_bytes = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 9_000)))
        end = data.draw(st.integers(min(position.entry + 1, total + 1), total + 1))
        batch = backlog.read(position, end, max_lines, max_bytes)
        assert batch.first == position.entry
        assert len(batch.entries) <= max_lines
        assert len(batch.entries) <= 1 or sum(entry.cost for entry in batch.entries) <= max_bytes
        assert batch.entries or position.entry == total + 1
        assert list(batch.arrivals) == model.arrivals[batch.first - 1 : batch.end.entry - 1]
        got += records(batch)
        position = batch.end
    assert is_same(got, model.from_number(start))


def test_the_past_goes_before_the_first_entry() -> None:
    """Entries of the past get the numbers below the first, as many of the newest as have room."""
    backlog = Backlog("e", max_lines=5, max_bytes=10**6, first=4)
    backlog.append(lines(4, 1), [10], [1_000])
    assert backlog.prepend(lines(0, 4), [10] * 4, [1, 2, 3, 4]) == 3
    position = Position(entry=1, notice=1)
    batch = backlog.read(position, backlog.end.entry, 10, 10**6)
    assert [entry.message for entry in batch.entries] == ["1", "2", "3", "4"]
    assert batch.first == 1


@pytest.mark.parametrize("count", [6, 5_000])
def test_the_past_has_no_room_behind_evicted_entries(count: int) -> None:
    """Once an entry was evicted, nothing is put before the others, also after compaction."""
    backlog = Backlog("e", max_lines=5, max_bytes=10**6, first=101)
    for number in range(count):
        backlog.append(lines(number, 1), [10], [1_000])
    assert backlog.prepend(lines(0, 2), [10, 10], [1, 2]) == 0
