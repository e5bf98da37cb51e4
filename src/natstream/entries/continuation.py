"""Continuation lines: the lines of a stack trace, which belong to the line before them. Pure.

In: the entries of one order, run by run. Out: the same entries; a continuation has `continues` set
and the level of its group's head.
"""

from __future__ import annotations

from collections.abc import Sequence

from natstream.entries.entry import LogEntry

__all__ = ["Continuations"]


class Continuations:
    """Finds the continuation lines of one order of entries."""

    def join(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Return the next entries of the order, each continuation joined to its group."""
        return entries

    def copy(self) -> Continuations:
        """Return the same state, for an order that goes on from here by itself."""
        return Continuations()
