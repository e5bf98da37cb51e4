"""The fields of an entry: the values that its message names, and those beside the message. Pure.

In: an entry. Out: its fields by path, such as `user.id` or `items.0.sku`. They are the members of a
JSON object, which may stand behind a prefix (`api | {…}`) or in a JSON string, else the pairs of a
logfmt line, else the parts of a line of an access log. A field that the message lacks is looked for
in the payload beside the envelope, for example in the `http` of Fly's proxy.

The time and the memory are linear in the message. A message of more than MAX_MESSAGE characters is
not read, and neither are members that make so much of a payload. No message makes a function raise.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from natstream.entries.entry import LogEntry, decode_json
from natstream.entries.escapes import sanitize
from natstream.entries.json_object import decode_whole, find_object, object_start

__all__ = [
    "ENVELOPE",
    "MAX_DEPTH",
    "MAX_TEXT",
    "UNREADABLE",
    "FieldCache",
    "Fields",
    "Value",
    "field_text",
    "number_of",
    "value_of",
]

# Decoding so much takes half a millisecond.
MAX_MESSAGE = 64 * 1024
# A payload that is larger than that and has more commas is a dump, whose members are not looked at.
MAX_COMMAS = 20_000
# Pairs are written by people or libraries for people, so more of them are a dump.
MAX_PAIRS = 200
MAX_PAIRS_LENGTH = 16 * 1024
# The fields of one entry in a list, and the deepest that a path leads.
MAX_FIELDS = 200
MAX_DEPTH = 20
# A longer text equals none of the values that a filter can have.
MAX_TEXT = 4_000

# The members of a payload that the entry itself has, so they are no fields beside its message.
ENVELOPE = frozenset(
    {
        *("event", "fly", "host", "log", "message", "msg", "timestamp", "time", "ts", "stream"),
        *("source", "level", "severity", "instance", "machine_id", "app_name", "app", "region"),
    }
)
# In the object of a sender other than Fly these may hold objects with fields, as in `log.logger`.
_SHARED = frozenset({"event", "host", "log"})

_NAME = r"(?:[^\W\d][\w.@/-]*+|@[\w.@/-]++)"
# A value without quotes may have commas, but the next pair does not belong to it.
_PAIR = re.compile(
    rf"""(?:^|(?<=[\s,;]))({_NAME})="""
    r"""(?:"((?:[^"\\]|\\.)*+)"|'((?:[^'\\]|\\.)*+)'|"""
    rf"""([^\s",;]*+(?:[,;](?!{_NAME}=)[^\s",;]*+)*))(?=[\s,;]|$)""",
    re.DOTALL,
)
_MEMBER = re.compile(r'"[^"\\]*+"\s*+:')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
# https://httpd.apache.org/docs/2.4/logs.html#accesslog, the common and the combined format.
_ACCESS = re.compile(
    r'\S{1,300} \S{1,300} [^\["]{1,300}\[[^\]"]{10,60}\] '
    r'"(?:([A-Z]{3,10}) ([^\s"]{1,8000}) ([A-Z]+/[\d.]+)|(?:[^"\\]|\\.)*+)" (\d{3}) (\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*+)" "((?:[^"\\]|\\.)*+)")?',
)
_ACCESS_NAMES = ("method", "path", "protocol", "status", "bytes", "referer", "agent")
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)

_MISSING = object()

# The number that a value is, or None; and its text in lower case. UNREADABLE has no text either.
Value: TypeAlias = tuple[float | None, str | None]
UNREADABLE: Value = (None, None)
"""The value of each field of a message that could not be read, so that it may be anything."""


class Fields:
    """The fields of one entry, decoded when the first of them is asked for."""

    __slots__ = ("_beside", "_entry", "_message", "is_complete")

    def __init__(self, entry: LogEntry) -> None:
        self._entry = entry
        self._beside: Mapping[str, Any] | None = None
        self.is_complete: bool
        self._message, self.is_complete = _read(entry.message)
        """`is_complete`: whether all of the message could be read."""

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a path, in the message or else beside it; any JSON value."""
        found = _member(self._message, path)
        if found is _MISSING:
            found = _member(self._payload(), path)
        return default if found is _MISSING else found

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield the paths and the values that are neither objects nor lists, at most 200."""
        given = set()
        for fields in (self._message, self._payload()):
            for path, value in _leaves(fields):
                if path not in given:
                    given.add(path)
                    yield path, value
                if len(given) >= MAX_FIELDS:
                    return

    def _payload(self) -> Mapping[str, Any]:
        if self._beside is None:
            self._beside, is_whole = _beside(self._entry)
            self.is_complete = self.is_complete and is_whole
        return self._beside


class FieldCache:
    """The fields of the entries of a batch, for all filters that look at the batch.

    Each message is decoded once. Each field that a filter asks for is looked up once.
    """

    # Decoded objects take about eight times the memory of their text. Beyond this many characters,
    # messages are decoded for each field anew, because a batch may hold 10,000 entries.
    MAX_KEPT = 2 * 2**20
    # Each looked-up field of a batch of 250 lines takes about 20 KB.
    MAX_COLUMNS = 100

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self._entries = entries
        self._fields: dict[int, Fields] = {}
        self._columns: dict[str, list[Any]] = {}
        self._room = self.MAX_KEPT

    def select(
        self, path: str, holds: Callable[[Value | None], bool], indices: Iterable[int]
    ) -> list[int]:
        """Return those of the indices at which `holds` says yes to the value of a field.

        Args:
            path: the field's.
            holds: gets None for an absent field.
            indices: of the batch's entries.
        """
        column = self._columns.get(path)
        if column is None:
            column = [_MISSING] * len(self._entries)
            if len(self._columns) < self.MAX_COLUMNS:
                self._columns[path] = column
        found = []
        for index in indices:
            value = column[index]
            if value is _MISSING:
                value = column[index] = value_of(self._at(index), path)
            if holds(value):
                found.append(index)
        return found

    def _at(self, index: int) -> Fields:
        fields = self._fields.get(index)
        if fields is None:
            fields = Fields(self._entries[index])
            self._room -= len(self._entries[index].message)
            if self._room > 0:
                self._fields[index] = fields
        return fields


def value_of(fields: Fields, path: str) -> Value | None:
    """Return the value of a field as filters compare it; None if there is no such field."""
    value = fields.get(path, _MISSING)
    if value is _MISSING:
        return None if fields.is_complete else UNREADABLE
    if type(value) is int and -_EXACT < value < _EXACT:
        return value, str(value)
    if type(value) is int or type(value) is float:
        number: float | None = value if abs(value) < _INFINITY else None
        return number, field_text(value)
    text = field_text(value)
    number = number_of(text) if type(value) is str else None
    return number, text[:MAX_TEXT].casefold()


def field_text(value: Any) -> str:
    """Return a value as text: a string as it is, everything else as its JSON."""
    if type(value) is str:
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError, OverflowError):
        return ""  # for example a number of 5,000 digits


_INFINITY = float("inf")
_EXACT = 10**18  # below this, making the text of an integer takes no time


def number_of(text: str) -> float | None:
    """Return the number that a text is, or None. Whole numbers keep all their digits."""
    if not text or text[0] not in "0123456789+-." or not _NUMBER.fullmatch(text):
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text)
    return number if abs(number) < _INFINITY else None


def _beside(entry: LogEntry) -> tuple[Mapping[str, Any], bool]:
    """Return the members of a payload that are not the entry's own, and whether these are all."""
    payload = entry._raw
    if entry.is_envelope_only:
        return {}, True
    if isinstance(payload, bytes) and len(payload) > MAX_MESSAGE:
        return _short_members(payload)
    raw = entry.raw
    shared = () if "fly" in raw else _SHARED
    return {
        name: value
        for name, value in raw.items()
        if name not in ENVELOPE or (name in shared and type(value) is dict)
    }, True


def _short_members(payload: bytes) -> tuple[Mapping[str, Any], bool]:
    """Return the first members of a large payload that are not the entry's own.

    A large payload has a long message in most cases, so that its other members are short.
    """
    if payload.count(b",") > MAX_COMMAS:
        return {}, False
    try:
        sent = _members(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}, payload[:1] != b"{"
    found: dict[str, Any] = {}
    room = MAX_MESSAGE
    for name, member in sent.items():
        if name in ENVELOPE:
            continue
        room -= len(bytes(member))
        if room < 0:
            return found, False
        found[name] = decode_json(bytes(member))
    return found, True


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


# --- a message → its fields ----------------------------------------------------------------------


def _read(message: str) -> tuple[Mapping[str, Any], bool]:
    """Return the fields of a message, and whether all of it could be read."""
    if len(message) > MAX_MESSAGE:
        return {}, False
    # A coloured message is read without its colours.
    text = (sanitize(message, keep_colours=False) if "\x1b" in message else message).strip()
    whole = decode_whole(text)
    if whole is not None:
        return whole, True
    found = find_object(text)
    if found is not None:
        return found.value, True
    # The rest of an object may be in another line, or cut off. Indented JSON has a member in each.
    start = object_start(text)
    if start == 0:
        return {}, False
    is_cut = start > 0 or _MEMBER.match(text) is not None
    if '"' in text and "[" in text and (access := _ACCESS.match(text)):
        pairs = zip(_ACCESS_NAMES, access.groups(), strict=True)
        return {name: value for name, value in pairs if value not in (None, "-")}, not is_cut
    named, is_whole = _pairs(text) if "=" in text else ({}, True)
    return named, is_whole and not is_cut


def _pairs(text: str) -> tuple[Mapping[str, Any], bool]:
    found: dict[str, str] = {}
    opened = text.count('="')
    for match in _PAIR.finditer(text, 0, MAX_PAIRS_LENGTH):
        name, double, single, plain = match.groups()
        if len(found) >= MAX_PAIRS:
            return found, False
        opened -= double is not None
        quoted = single if double is None else double
        if quoted is None:
            value = plain.rstrip(",;")
        elif "\\" in quoted:
            value = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted)
        else:
            value = quoted
        found.setdefault(name, value)
    # A value whose quotes do not end was cut off.
    return found, len(text) <= MAX_PAIRS_LENGTH and opened <= 0


# --- paths ---------------------------------------------------------------------------------------


def _member(fields: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path. A key may have dots itself, as in `{"log.level": "info"}`."""
    if path in fields:
        return fields[path]
    return _walk(fields, path.split("."), 0) if fields and "." in path else _MISSING


def _walk(value: Any, steps: Sequence[str], at: int) -> Any:
    if at == len(steps):
        return value
    if type(value) is list:
        step = steps[at]
        if _INDEX.fullmatch(step) and int(step) < len(value):
            return _walk(value[int(step)], steps, at + 1)
    elif type(value) is dict:
        for end in range(len(steps), at, -1):
            key = ".".join(steps[at:end])
            if key in value and (found := _walk(value[key], steps, end)) is not _MISSING:
                return found
    return _MISSING


def _leaves(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each leaf, those of the top first."""
    waiting: deque[tuple[str, int, Any]] = deque([("", 0, fields)])
    while waiting:
        path, depth, value = waiting.popleft()
        if depth < MAX_DEPTH and type(value) is dict:
            members: Iterable[tuple[Any, Any]] = value.items()
        elif depth < MAX_DEPTH and type(value) is list:
            members = enumerate(value)
        else:
            yield path, value
            continue
        for key, member in members:
            if len(waiting) >= MAX_FIELDS:
                break
            waiting.append((f"{path}.{key}" if path else str(key), depth + 1, member))
