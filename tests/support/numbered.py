"""Numbered lines for the tests of the hub: each says its number, so that none can be mistaken."""

from __future__ import annotations

from natstream.entries.entry import Gap, LogEntry
from natstream.hub.batch import Selection

__all__ = ["line", "lines", "numbers"]


def line(number: int, size: int = 0) -> LogEntry:
    """Return an entry that says its number; every third entry is of the app `web`."""
    app = "web" if number % 3 == 0 else "api"
    return LogEntry("m1", str(number), "stdout", app_name=app, raw=bytes(size))


def lines(first: int, count: int) -> list[LogEntry]:
    """Return entries with consecutive numbers."""
    return [line(number) for number in range(first, first + count)]


def numbers(item: Selection | Gap) -> list[int]:
    """Return the numbers of a selection's lines."""
    assert isinstance(item, Selection)
    return [int(entry.message) for entry in item.entries]
