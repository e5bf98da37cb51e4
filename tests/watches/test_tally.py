"""When a watch fires, and which message tells of a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.watches.tally import COLLECT_MS, Burst, MatchedLine, Tally

ENTRY = LogEntry("m1", "panic", "stdout", app_name="web")


def line(arrived_ms: int) -> MatchedLine:
    """Return a line that arrived at this time."""
    return MatchedLine(f"{arrived_ms}-e-1", arrived_ms, ENTRY)


def tally(*, count: int = 1, within: int = 10_000, cooldown: int = 60_000, keep: int = 5) -> Tally:
    """Return the tally of a new watch; times are in ms."""
    return Tally(count=count, within_ms=within, cooldown_ms=cooldown, keep=keep)


def bursts(of: Tally, *arrivals: int) -> list[Burst]:
    """Return the bursts that lines with these arrivals make."""
    return [burst for arrived in arrivals if (burst := of.add(line(arrived))) is not None]


def test_one_line_fires() -> None:
    """By default the first line makes the watch fire."""
    [burst] = bursts(tally(), 5)
    assert (burst.at_ms, burst.count, burst.first_ms, burst.suppressed) == (5, 1, 5, 0)


def test_a_count_has_to_come_within_a_time() -> None:
    """A watch fires once so many lines have come within the time, the last one included."""
    [burst] = bursts(tally(count=3), 0, 5_000, 10_001, 15_000)
    assert (burst.first_ms, burst.at_ms, burst.count) == (5_000, 15_000, 3)
    assert bursts(tally(count=3), 0, 5_001, 10_002, 15_003) == []


def test_the_lines_of_a_burst_are_one_message() -> None:
    """A thousand lines within a second are one burst of a thousand, with the first five lines."""
    [burst] = bursts(tally(), *range(1_000))
    assert burst.count == 1_000
    assert [each.arrived_ms for each in burst.lines] == [0, 1, 2, 3, 4]


def test_lines_in_the_cooldown_are_told_by_the_next_message() -> None:
    """The lines of a cooldown are counted, and the next burst has their number."""
    counted = tally()
    first, second = bursts(counted, 0, COLLECT_MS - 1, COLLECT_MS, 59_999, 60_000)
    assert (first.count, first.suppressed) == (2, 0)
    assert (second.at_ms, second.count, second.suppressed) == (60_000, 1, 2)


def test_a_count_begins_anew_after_the_cooldown() -> None:
    """Lines of the cooldown do not count for the next burst, so no line is told twice."""
    counted = tally(count=2, cooldown=10_000)
    [_, second] = bursts(counted, 0, 1, 9_999, 10_001, 10_002)
    assert (second.count, second.suppressed) == (2, 1)


def test_a_burst_that_is_not_told_is_told_later() -> None:
    """The lines of a burst whose message is lost count as suppressed."""
    counted = tally()
    [burst] = bursts(counted, 0, 10)
    counted.give_back(burst)
    [second] = bursts(counted, 20, 60_000)
    assert second.suppressed == 3


def test_another_process_begins_the_cooldown() -> None:
    """A cooldown that another process has begun holds here, too."""
    counted = tally()
    counted.be_quiet_until(1_000)
    [burst] = bursts(counted, 999, 1_000)
    assert burst.suppressed == 1


def test_without_lines_none_is_kept() -> None:
    """A watch that shows no lines keeps none."""
    [burst] = bursts(tally(keep=0, count=2), 0, 1, 2)
    assert (burst.lines, burst.count) == ([], 3)


@given(
    st.lists(st.integers(0, 3_000), max_size=60),
    st.integers(1, 4),
    st.integers(0, 5_000),
    st.integers(1_000, 20_000),
)
def test_each_line_is_told_once(pauses: list[int], count: int, within: int, cooldown: int) -> None:
    """Each line is in one burst or in one number of suppressed lines, unless too few came."""
    counted = tally(count=count, within=within, cooldown=cooldown)
    found: list[Burst] = []
    now = unused = 0
    for pause in pauses:
        now += pause
        suppressed = counted.suppressed
        before = sum(burst.count for burst in found)
        burst = counted.add(line(now))
        if burst is not None:
            assert not found or burst.at_ms >= found[-1].at_ms + cooldown
            assert burst.at_ms - burst.first_ms <= within
            assert burst.suppressed == suppressed
            found.append(burst)
        elif counted.suppressed == suppressed and sum(each.count for each in found) == before:
            unused += 1
    told = sum(burst.count + burst.suppressed for burst in found) + counted.suppressed
    assert told + unused - (count - 1) * len(found) == len(pauses)
    assert count > 1 or unused == 0
