"""Continuation lines: the lines of a stack trace, which belong to the line before them. Pure.

Fly makes one message of each physical line, so a stack trace is thirty entries. In: the entries of
one order, run by run. Out: the same entries; a continuation has `continues` set, and the level of
the head of its group. Only the lines before of the same origin matter: the machine and stream, and
the app and region, because lines without a machine come from many of them. No line is held back
for a later one. What is kept of an origin is bounded, and so is the number of origins.

The line of a trace is recognised by its shape (see `trace_shapes`), because lines of other threads
may stand between. An indented line is one directly after a line of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from natstream.entries.entry import LogEntry, continuing
from natstream.entries.trace_shapes import LOOKED_AT, Head, Shape, head_of, shape_of

__all__ = ["LOOK_BACK", "Continuations", "Origin", "origin_of"]

Origin: TypeAlias = tuple[str, str, str, str]
"""Machine, stream, app and region. A trace never has lines of two origins."""

# A reader of stored entries that starts inside a trace looks back so many entries for its head.
LOOK_BACK = 100
# The lines of a trace are written at once, so their times differ by less than this (ns).
NEAR = 1_000_000_000
# A line of a trace may stand behind so many other lines of its machine.
LINES_BETWEEN = 20
# Origins that are remembered at the least. One takes about 300 bytes.
MAX_MACHINES = 2_000

# A head of these levels may have a trace.
_SEVERE = frozenset({"warn", "error", "fatal"})
_ERRORS = frozenset({"error", "fatal"})
_NEVER = -(10 * NEAR)
# A look into an enum takes longer, and each line behind a warning needs these.
_OTHER, _BLANK = Shape.OTHER, Shape.BLANK
_NAMES = (Shape.NAME, Shape.EXCEPTION)


@attrs.define
class _Trace:
    """The newest group whose head is a warning or worse."""

    level: str
    unix_ns: int
    """The time of the head."""
    message: str
    """The beginning of the head."""
    between: int = 0
    """How many other lines came after its last line."""
    has_members: bool = False
    has_traceback: bool = False
    """Whether a traceback of Python has begun in it."""
    awaits_exception: bool = False
    """Whether that traceback lacks its last line, which names the exception."""
    is_chained: bool = False
    """Whether another traceback of Python is announced."""
    is_go: bool = False
    _head: Head | None = None

    @property
    def head(self) -> Head:
        """What the first line is. Few lines with a level have a trace, so it is found late."""
        if self._head is None:
            self._head = head_of(self.message)
        return self._head

    @property
    def is_logged_error(self) -> bool:
        """Whether the first line is an error that a logging library wrote."""
        return self.level in _ERRORS and self.head is Head.LOGGED


@attrs.define
class _Order:
    """The lines of one origin, in their order."""

    level: str = ""
    unix_ns: int = _NEVER
    """The level and the time of the head of the newest line's group."""
    in_trace: bool = False
    """Whether that group is `trace`."""
    trace: _Trace | None = None


class Continuations:
    """Finds the continuation lines of one order of entries."""

    def __init__(self) -> None:
        # Once the newer of the two is full, it takes the place of the older. So the machines that
        # spoke last are kept, and a line costs one look into a dict.
        self._orders: dict[Origin, _Order] = {}
        self._older: dict[Origin, _Order] = {}

    def join(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Return the next entries of the order, each continuation with its head's level."""
        orders = self._orders
        joined: list[LogEntry] | None = None
        for index, entry in enumerate(entries):
            key = origin_of(entry)
            order = orders.get(key)
            if order is None:
                order = self._order(key)
                orders = self._orders
            # Without a trace only an indented line continues, and no other line is looked at.
            if order.trace is None and entry.message[:1] not in _BLANKS:
                order.level, order.unix_ns, order.in_trace = entry.level, entry.unix_ns, False
                if entry.level in _SEVERE:
                    _begin(order, entry)
            elif _continues(order, entry):
                if joined is None:
                    joined = list(entries)
                trace = order.trace
                head = trace.message if trace is not None and order.in_trace else ""
                joined[index] = continuing(entry, order.level, head)
        return entries if joined is None else joined

    def copy(self) -> Continuations:
        """Return the same state, for an order that goes on from here by itself."""
        copy = Continuations()
        copy._orders = {key: _copy(order) for key, order in self._orders.items()}
        copy._older = {key: _copy(order) for key, order in self._older.items()}
        return copy

    def _order(self, key: Origin) -> _Order:
        order = self._older.get(key) or _Order()
        if len(self._orders) >= MAX_MACHINES:
            self._older, self._orders = self._orders, {}
        self._orders[key] = order
        return order


# A group of exceptions begins so, although it is indented.
_GROUP = "  + Exception Group Traceback ("
_BLANKS = frozenset({"", " ", "\t", "\n", "\r"})


def origin_of(entry: LogEntry) -> Origin:
    """Return where a line comes from. Only lines of one origin can be of one trace."""
    return (entry.machine_id, entry.stream, entry.app_name, entry.region)


def _copy(order: _Order) -> _Order:
    return attrs.evolve(order, trace=order.trace and attrs.evolve(order.trace))


def _begin(order: _Order, entry: LogEntry) -> None:
    """Remember the head of a group that may become a trace."""
    order.in_trace = True
    message = entry.message[:LOOKED_AT]
    order.trace = _Trace(entry.level, entry.unix_ns, message)
    if message.startswith("Traceback ("):
        order.trace.awaits_exception = True


def _continues(order: _Order, entry: LogEntry) -> bool:
    """Return whether a line continues a group, and note the line in its order."""
    now, message, trace = entry.unix_ns, entry.message, order.trace
    if (
        message.startswith(("\tat ", "    at "))
        and trace is not None
        and order.in_trace
        and abs(now - order.unix_ns) <= NEAR
    ):
        # Most lines of a trace are these, and their shape is known.
        trace.between, trace.has_members = 0, True
        return True
    if trace is not None and abs(now - trace.unix_ns) > NEAR:
        trace = order.trace = None
        order.in_trace = False
    shape = shape_of(message)
    is_indented = message.startswith(("\t", "  ")) and not message.startswith(_GROUP)
    if is_indented and shape in _NAMES:
        shape = _OTHER  # It is source, such as `raise`, and does not end a traceback of Python.
    follows = abs(now - order.unix_ns) <= NEAR
    if trace is not None and _belongs(trace, shape, follows and order.in_trace, message):
        _add(trace, shape)
        order.level, order.unix_ns, order.in_trace = trace.level, trace.unix_ns, True
        return True
    if follows and shape is not _BLANK and is_indented:
        if trace is not None and order.in_trace:
            _add(trace, shape)
        elif trace is not None:
            trace.between += 1
        return True
    order.in_trace = False
    if shape is _BLANK:
        order.unix_ns = _NEVER  # Nothing continues a blank line.
    else:
        order.level, order.unix_ns = entry.level, now
    if entry.level in _SEVERE and shape is not _BLANK:
        _begin(order, entry)
    elif trace is not None:
        trace.between += 1
        if trace.between > LINES_BETWEEN:
            order.trace = None
    return False


def _belongs(trace: _Trace, shape: Shape, follows: bool, message: str) -> bool:
    """Return whether a line belongs to a trace.

    Args:
        trace: the newest trace of the machine.
        shape: the shape of the line.
        follows: whether the line before is one of the trace.
        message: the line.
    """
    is_new = follows and not trace.has_members
    if is_new and trace.message.startswith("thread '") and trace.head is Head.RUST_PANIC:
        return True  # Rust writes the message of a panic on the next line.
    if shape is _OTHER:
        return False
    match shape:
        case Shape.FRAME | Shape.CHAIN | Shape.GOROUTINE:
            return True
        case Shape.CALL:
            return trace.is_go or trace.head is Head.PANIC
        case Shape.TRACEBACK:
            is_first = follows and not trace.has_traceback
            return trace.is_chained or (is_first and trace.is_logged_error)
        case Shape.EXCEPTION if trace.awaits_exception:
            return True
        case Shape.EXCEPTION if is_new:
            # Java and .NET write the exception behind the line that was logged with it.
            return _is_class(message) and trace.is_logged_error
        case Shape.NAME if trace.awaits_exception:
            return follows and trace.has_members
        case Shape.NAME if is_new:
            return _is_class(message) and trace.is_logged_error
        case Shape.BLANK | Shape.END:
            return follows and (trace.has_members or trace.head is not Head.LOGGED)
        case Shape.DETAIL:
            return follows
    return False


def _is_class(message: str) -> bool:
    """Return whether a line begins with a class in a package, such as `a.b.Declined`."""
    *outer, name = message[:200].partition(":")[0].split(".")
    if len(outer) == 0 or not name[:1].isupper():
        return False
    return len(outer) >= 2 if outer[0][:1].islower() else name.endswith("Exception")


def _add(trace: _Trace, shape: Shape) -> None:
    """Note that a line of this shape belongs to the trace."""
    trace.between = 0
    trace.has_members = True
    match shape:
        case Shape.TRACEBACK:
            trace.has_traceback = trace.awaits_exception = True
            trace.is_chained = False
        case Shape.CHAIN:
            trace.is_chained = True
        case Shape.GOROUTINE:
            trace.is_go = True
        case Shape.EXCEPTION | Shape.NAME:
            trace.awaits_exception = False
