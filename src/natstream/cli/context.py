"""The lines around each match, as `grep -C` shows them, with groups kept together. Pure.

In: the lines of all machines in order, and which of them match. Out: the lines to print, and `None`
where lines were left out. The lines around a match are those of its machine. A group, for example a
stack trace, is printed whole if any line of it matches.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import chain, islice

import attrs

from natstream.entries.entry import LogEntry

__all__ = ["Context", "Missing"]

# The lines of so many machines are kept; the lines of the machine that was silent longest are
# forgotten first, and asked for again if they are needed.
MACHINES = 200
# A line of a group may stand behind other lines of its machine, so so many more lines are kept.
MORE_LINES = 100
# Lines of a group that are kept until one of them matches.
GROUP_LINES = 1_000
# Groups of a machine that may go on. A machine has few streams and levels.
GROUPS = 20


@attrs.define(eq=False)
class _Record:
    entry: LogEntry
    number: int
    """Counts the lines of the machine."""
    is_shown: bool = False


@attrs.define(eq=False)
class _Group:
    """A line, and the lines that continue it."""

    records: list[_Record] = attrs.field(factory=list)
    is_wanted: bool = False

    @property
    def has_head(self) -> bool:
        return bool(self.records) and not self.records[0].entry.continues


@attrs.frozen
class Missing:
    """Lines before the first known line of a machine, which are needed now."""

    first: LogEntry
    lines: int


class _MachineLines:
    def __init__(self, size: int) -> None:
        self.records: deque[_Record] = deque(maxlen=size)
        self.groups: dict[tuple[str, str], _Group] = {}
        """The newest group of each stream and level, because a group has one of each."""
        self.count = 0
        self.after = 0
        """How many lines are still to be printed after the last match."""
        self.is_complete = False
        """Whether the earlier lines were asked for."""

    def append(self, entry: LogEntry) -> tuple[_Record, _Group]:
        record = _Record(entry, self.count)
        self.count += 1
        self.records.append(record)
        group = self.groups.get((entry.stream, entry.level)) if entry.continues else None
        if group is None:
            group = self.groups[entry.stream, entry.level] = _Group()
            if len(self.groups) > GROUPS:
                del self.groups[next(iter(self.groups))]
        if len(group.records) < GROUP_LINES:
            group.records.append(record)
        return record, group

    def before(self, number: int, lines: int) -> list[_Record]:
        """Return the last `lines` records before a number."""
        end = max(0, number - self.records[0].number)
        return list(islice(self.records, max(0, end - lines), end))

    def prepend(self, entries: Sequence[LogEntry]) -> None:
        """Add lines before the first record, and the start of the groups that lack it."""
        first = self.records[0].number if self.records else self.count
        numbers = range(first - len(entries), first)
        earlier = [_Record(*pair) for pair in zip(entries, numbers, strict=True)]
        for key in {(entry.stream, entry.level) for entry in entries}:
            group = self.groups.setdefault(key, _Group())
            if not group.has_head:
                group.records[:0] = _end_of_group(earlier, key)
        self.records = deque(chain(earlier, self.records), self.records.maxlen)
        self.is_complete = True


def _end_of_group(records: Sequence[_Record], key: tuple[str, str]) -> list[_Record]:
    """Return the newest group of this stream and level."""
    group: list[_Record] = []
    for record in reversed(records):
        if (record.entry.stream, record.entry.level) == key:
            group.append(record)
            if not record.entry.continues:
                break
    return group[::-1]


class Context:
    """Chooses the lines to print.

    Args:
        before, after: how many lines to print around each match.
    """

    def __init__(self, before: int, after: int) -> None:
        self._before, self._after = before, after
        self._machines: OrderedDict[tuple[str, str], _MachineLines] = OrderedDict()
        self._last: _Record | None = None
        """The record that was printed last."""
        self._last_machine: _MachineLines | None = None

    def missing(self, entry: LogEntry) -> Missing | None:
        """Return the lines that are needed first if `entry`, the next line, matches."""
        machine = self._machine(entry)
        is_full = len(machine.records) == machine.records.maxlen
        if machine.is_complete or is_full or not entry.machine_id:
            return None
        group = machine.groups.get((entry.stream, entry.level)) if entry.continues else None
        number = group.records[0].number if group is not None else machine.count
        known = number - (machine.records[0].number if machine.records else number)
        lines = self._before - known
        if entry.continues and (group is None or not group.has_head):
            lines = max(lines, MORE_LINES)
        first = machine.records[0].entry if machine.records else entry
        return Missing(first, lines) if lines > 0 else None

    def learn(self, entry: LogEntry, lines: Sequence[LogEntry]) -> None:
        """Take the lines that were `missing` before the machine's first line."""
        self._machine(entry).prepend(lines)

    def add(self, entry: LogEntry, *, matches: bool) -> list[LogEntry | None]:
        """Return the lines to print because of the next one."""
        machine = self._machine(entry)
        record, group = machine.append(entry)
        wanted = [record]
        if matches and not group.is_wanted:
            group.is_wanted = True
            wanted = machine.before(group.records[0].number, self._before)
            wanted += [*group.records, record]
        if group.is_wanted:
            machine.after = self._after
        elif machine.after:
            machine.after -= 1
        else:
            return []
        printed: list[LogEntry | None] = []
        for each in wanted:
            if not each.is_shown:
                if self._is_apart(machine, each):
                    printed.append(None)
                each.is_shown = True
                self._last, self._last_machine = each, machine
                printed.append(each.entry)
        return printed

    def _is_apart(self, machine: _MachineLines, record: _Record) -> bool:
        """Return whether lines were left out between the line printed last and this one."""
        if self._last is None or not (self._before or self._after):
            return False
        return machine is not self._last_machine or record.number != self._last.number + 1

    def _machine(self, entry: LogEntry) -> _MachineLines:
        key = (entry.app_name, entry.machine_id)
        machine = self._machines.get(key)
        if machine is None:
            machine = self._machines[key] = _MachineLines(self._before + MORE_LINES)
            if len(self._machines) > MACHINES:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return machine
