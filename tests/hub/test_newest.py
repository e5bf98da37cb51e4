"""The remembered entries from the newest back, through an outage of the journal."""

from __future__ import annotations

from typing import cast

import pytest

from natstream.entries.entry import LogEntry
from natstream.hub.backlog import Backlog
from natstream.hub.newest import newest_slices
from natstream.hub.timeline import Archive, Outage, Timeline

ARCHIVE = cast(Archive, object())


def backlog(epoch: str) -> Backlog:
    return Backlog(epoch, max_lines=1_000, max_bytes=2**20, persistent=epoch.startswith("j"))


def add(memory: Backlog, **arrivals: int) -> None:
    """Add lines, each with its text and its Unix ms."""
    entries = [LogEntry("m", text, "stdout") for text in arrivals]
    memory.append(entries, [1] * len(entries), list(arrivals.values()))


@pytest.fixture
def timeline() -> Timeline:
    """A journal that was away from 20 to 40, and has stored "b" and "c" since then."""
    journal, fallback, outage = backlog("j"), backlog("f"), Outage(20)
    timeline = Timeline(journal)
    add(journal, a=10)
    timeline.fall_back(fallback, outage)
    add(fallback, b=20, c=30, lost=35)
    add(journal, b=40, c=41, other=42)
    outage.numbers |= {2, 3}
    timeline.rejoin(journal, ARCHIVE)
    add(journal, d=50)
    return timeline


def read(timeline: Timeline, lines: int, since_ms: int = 0) -> list[str]:
    return [
        batch.entries[index].message
        for batch, shown in newest_slices(timeline.current, lines, since_ms)
        for index in reversed(range(len(batch.entries)))
        if batch.number(index) not in shown
    ]


def test_lines_of_an_outage_come_once(timeline: Timeline) -> None:
    """Lines that the fallback segment has shown, and the journal has stored, come once."""
    assert read(timeline, 1) == ["d", "other", "lost", "c", "b", "a"]
    assert sorted(read(timeline, 100)) == ["a", "b", "c", "d", "lost", "other"]
    timeline.fall_back(backlog("g"), Outage(60))
    assert sorted(read(timeline, 100)) == ["a", "b", "c", "d", "other"], "the newest outage counts"


def test_the_slices_end_at_a_time_of_both_memories(timeline: Timeline) -> None:
    """A line of the outage comes also if a slice of the journal reaches back before it."""
    assert sorted(read(timeline, 100, since_ms=35)) == ["a", "b", "c", "d", "lost", "other"]
    assert read(timeline, 1, since_ms=35) == ["d", "other", "lost"]
    assert read(timeline, 1, since_ms=51) == []
