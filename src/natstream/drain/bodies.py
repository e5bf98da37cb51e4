"""Bodies that drain senders POST, as unpacked: bytes in, entries out. Pure.

`read_entries` takes a whole body apart into runs of entries: one JSON object a line, objects one
after the other, an array, `{"logs": [...]}`, or lines of text.

What is no log line is left out and counted by reason. `BadBody` is raised for a body that is
broken, of which nothing can be read, or that has too many lines, and always before the first
entry is given: a batch counts whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Literal

import msgspec

from natstream.drain.content_encoding import BodyTooLarge, UnknownFormat
from natstream.entries.entry import LogEntry, decode_json
from natstream.entries.fly import parse_object, parse_text
from natstream.errors import BadBody

__all__ = ["MAX_LINES", "read_entries"]

# Lines of a body. What is no log line takes a byte or two and up to 10 µs: 16 MiB of it a minute.
MAX_LINES = 200_000

# Lines that are read in one go: a few ms, which is how long everything else then waits.
RUN_LINES = 1_000
# Lines and items are cut from a body in pieces, so that a body is not in memory twice.
PIECE_BYTES = 1 << 18
# An item so large, or in which so many joints stand, is looked for in the slow way.
LARGE_PIECE, JOINTS_TRIED = 4 * PIECE_BYTES, 8

_BRACKET = ord("[")
_SPACE = re.compile(r"[ \t\r\n]*")
# Where one object follows another, though it may also stand inside a string.
_JOINT = re.compile(rb"\}\s*\{")
# Where one item of an array follows another, though it may also stand inside of one.
_ITEM_JOINT = re.compile(rb"\}\s*,\s*\{")
# Half a surrogate pair: valid JSON, which msgspec 0.22 calls malformed or truncated.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# How objects begin that are meant as JSON.
_OBJECT = re.compile(rb"[\[\s]*\{\s*[\"}]")
# A number that a cut has left without its last digit, which is not what decoders call it.
_CUT_NUMBER = re.compile(rb"(?:-|\d\.|\d[eE][+-]?)\Z")


class _Envelope(msgspec.Struct):
    logs: list[msgspec.Raw]


class _LargeEnvelope(msgspec.Struct):
    logs: msgspec.Raw


_skim = msgspec.json.Decoder(msgspec.Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_large_envelope = msgspec.json.Decoder(_LargeEnvelope).decode
_scan = json.JSONDecoder().raw_decode


def read_entries(
    body: bytes,
    dropped: Counter[str],
    *,
    app_name: str = "",
    plain: bool = False,
    max_lines: int = MAX_LINES,
) -> Iterator[list[LogEntry]]:
    """The entries of a body, in runs of at most a thousand; a run may be empty.

    A body that starts with `{` or `[` is JSON, any other is lines of text. What is left out is
    counted in `dropped`: `not_json`, `no_machine`, `not_utf8`; `too_many` for a line, not the
    first, that holds more values than there may be.

    Args:
        body: as unpacked.
        dropped: an empty counter.
        app_name: the app of entries that name none.
        plain: it is said to be text: it is, unless it is JSON.
        max_lines: lines, or values where a line holds several.

    Raises:
        BodyTooLarge: it has more lines. No entry was given then.
        BadBody: it ends early, or nothing in it can be read. No entry was given then.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    stripped = body.lstrip()
    if stripped.startswith(b"{") and stripped.find(b"\n") in (-1, len(stripped) - 1):
        # One object, as senders that do not batch send it: no need to take it apart.
        with suppress(ValueError):
            if entry := parse_object(stripped.rstrip(), app_name):
                yield [entry]
                return
    if not stripped:
        return
    budget = _Budget(max_lines)
    # Blank lines go, and the first that is none keeps its indentation.
    first = body.rfind(b"\n", 0, len(body) - len(stripped)) + 1
    is_json = stripped.startswith((b"{", b"[")) and not (plain and _is_prose(stripped))
    if is_json:
        runs = _read_json(_json_texts(stripped, budget), dropped, app_name, budget)
    elif stripped.startswith(b"\x1f\x8b"):
        raise UnknownFormat("The body is gzip; say so with Content-Encoding: gzip.")
    else:
        runs = _read_text(body[first:], dropped, app_name, budget)
    for run in runs:
        budget.given = budget.given or bool(run)
        yield run
    if budget.given or not dropped or "no_machine" in dropped:
        return
    if not (plain and is_json):
        raise BadBody(
            "Nothing in the body can be read: send UTF-8, as one JSON object a line, "
            "a JSON array of objects, or lines of text that start with neither { nor [."
        )
    dropped.clear()
    yield from _read_text(body[first:], dropped, app_name, budget)


class _Budget:
    """How many lines of a body may be read, and of values in them."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit
        self.given = False
        """Whether entries have been given: then it is too late to refuse the body."""

    def check(self, count: int) -> None:
        if count > self.left:
            # What is left is not for another: looking for its end may cost as much.
            self.left = 0
            raise BodyTooLarge(
                f"The body has more than {self.limit:,} lines; send it in smaller batches."
            )

    def check_lines(self, text: bytes) -> None:
        if len(text) > self.limit:
            self.check(text.count(b"\n") + (not text.endswith(b"\n")))

    def take(self, count: int) -> None:
        self.check(count)
        self.left -= count


def _read_text(
    text: bytes, dropped: Counter[str], app_name: str, budget: _Budget
) -> Iterator[list[LogEntry]]:
    budget.check_lines(text)
    lines = _lines(text)
    while batch := list(islice(lines, RUN_LINES)):
        run = []
        for line in batch:
            line = line.removesuffix(b"\r")
            if not line:
                continue
            try:
                line.decode()
            except UnicodeDecodeError:
                dropped["not_utf8"] += 1
            else:
                run.append(parse_text(line, app_name=app_name))
        yield run


def _read_json(
    texts: Iterator[bytes],
    dropped: Counter[str],
    app_name: str,
    budget: _Budget,
    *,
    unfold: bool = True,
) -> Iterator[list[LogEntry]]:
    """The entries of JSON texts, each of which is one object, or unfolds to several (once)."""
    while batch := list(islice(texts, RUN_LINES)):
        run: list[LogEntry] = []
        for text in batch:
            if not text or text.isspace():
                continue
            reason = "no_machine"
            try:
                entry = parse_object(text, app_name)
            except ValueError:
                entry, reason = None, "not_json"
            if entry is not None:
                run.append(entry)
                continue
            parts = None
            if unfold:
                try:
                    parts = yield from _unfold(text, budget)
                except BodyTooLarge:
                    if not budget.given:
                        raise
                    reason = "too_many"
            if parts is None:
                dropped[reason] += 1
                continue
            yield run
            run = []
            yield from _read_json(parts, dropped, app_name, budget, unfold=False)
        yield run


def _unfold(
    text: bytes, budget: _Budget
) -> Generator[list[LogEntry], None, Iterator[bytes] | None]:
    """The JSON texts in an array, in `{"logs": [...]}`, or in several values; `None`: no such.

    Yields an empty run now and then: a turn for others.

    Raises:
        BodyTooLarge: they are too many.
    """
    text = array = text.strip()
    with suppress(msgspec.DecodeError, RecursionError):
        if len(text) <= LARGE_PIECE:
            raws = _array(text) if text[0] == _BRACKET else _envelope(text).logs
            budget.take(len(raws))
            return map(bytes, raws)
        if text[0] != _BRACKET:
            array = bytes(_large_envelope(text).logs)
    if array[0] == _BRACKET:
        with suppress(ValueError):
            return (yield from _collect(_items(array), budget))
    if text[0] != _BRACKET:
        raw = None
        with suppress(ValueError):
            raw = decode_json(text)
        if type(raw) is dict and type(raw.get("logs")) is list:
            budget.take(len(raw["logs"]))
            return (json.dumps(item).encode() for item in raw["logs"])
        if raw is not None:
            return None
    if b"\n" in text or _JOINT.search(text):
        return (yield from _collect(_values(text), budget))
    return None


def _collect(
    steps: Iterator[Sequence[bytes | msgspec.Raw]], budget: _Budget
) -> Generator[list[LogEntry], None, Iterator[bytes]]:
    found: list[bytes | msgspec.Raw] = []
    for step in steps:
        if found:
            yield []
        found += step
        budget.check(len(found))
    budget.take(len(found))
    return map(bytes, found)


def _items(array: bytes) -> Iterator[Sequence[bytes | msgspec.Raw]]:
    """The items of an array, each its own bytes, in steps that are bounded in time and memory.

    Raises:
        ValueError: it is no array, or does not end where the text does.
    """
    start = 1
    while len(array) - start > LARGE_PIECE:
        for joint in islice(
            _ITEM_JOINT.finditer(array, start + PIECE_BYTES, start + LARGE_PIECE), JOINTS_TRIED
        ):
            # From the start of an item on, this is JSON only if an item ends here.
            with suppress(msgspec.DecodeError, RecursionError):
                yield _array(b"[%b]" % array[start : joint.start() + 1])
                start = joint.end() - 1
                break
        else:
            break
    else:
        with suppress(msgspec.DecodeError, RecursionError):
            yield _array(b"[" + array[start:])
            return
    yield from _scanned_items(array[start:].decode("utf-8", "replace"))


def _scanned_items(text: str) -> Iterator[list[bytes]]:
    """The same for what msgspec refuses, one by one: `text` is what follows a `[` or a comma."""
    step: list[bytes] = []
    end = 0
    while True:
        start = _skip_space(text, end)
        try:
            _, end = _scan(text, start)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        step.append(text[start:end].encode())
        end = _skip_space(text, end)
        if text[end : end + 1] != ",":
            break
        end += 1
        if len(step) == RUN_LINES:
            yield step
            step = []
    if text[end : end + 1] != "]" or _skip_space(text, end + 1) < len(text):
        raise ValueError("no array")
    yield step


def _is_prose(body: bytes) -> bool:
    """Whether what starts with a bracket is text all the same: `[INFO] started`."""
    line = body.partition(b"\n")[0]
    return not _OBJECT.match(line) and _state(line) == "broken"


def _json_texts(body: bytes, budget: _Budget) -> Iterator[bytes]:
    """The lines of the body; all of it at once where the value on its first line goes on.

    Raises:
        BodyTooLarge: they, or the values on the last, are too many.
        BadBody: it ends within a value: something has cut it, and the sender has the rest.
    """
    line_end = body.find(b"\n")
    whole = line_end >= 0 and _state(body[:line_end]) == "cut"
    if not whole:
        budget.check_lines(body)
    # A last line that has its line break was not cut; if it is broken, it is merely dropped.
    last = body if whole else body[body.rfind(b"\n") + 1 :]
    state = _state(last)
    if state == "broken" and (whole or _JOINT.search(last)):
        text = last.decode("utf-8", "replace")
        count = end = 0
        for value_end in _value_ends(text):
            count, end = count + 1, value_end
            budget.check(count)
            # A turn for others: nothing is given before the end was seen.
            yield b""
        state = _state(text[end:].encode())
    if state == "cut":
        raise BadBody("The JSON ends early; send the whole body again.")
    if whole:
        yield body
    else:
        yield from _lines(body)


def _values(text: bytes) -> Iterator[list[bytes]]:
    """Values that follow one another; from the first that is none on, what is left, by lines."""
    decoded = text.decode("utf-8", "replace")
    step: list[bytes] = []
    start = 0
    for end in _value_ends(decoded):
        step.append(decoded[start:end].encode())
        start = end
        if len(step) == RUN_LINES:
            yield step
            step = []
    yield step
    lines = _lines(decoded[start:].encode())
    while batch := list(islice(lines, RUN_LINES)):
        yield [line for line in batch if line and not line.isspace()]


def _value_ends(text: str) -> Iterator[int]:
    """Where each of the values that follow one another ends, up to the first that is none."""
    end = 0
    while True:
        try:
            _, end = _scan(text, _skip_space(text, end))
        except (ValueError, RecursionError):
            return
        yield end


def _skip_space(text: str, start: int) -> int:
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _state(text: bytes) -> Literal["complete", "cut", "broken"]:
    """What there is of the JSON value in `text`; blank text is complete."""
    if not text or text.isspace():
        return "complete"
    if _CUT_NUMBER.search(text[-4:]):
        text += b"0"
    state = _skimmed(text)
    if state != "complete":
        text, halves = _SURROGATE.subn(rb"\\ufffd", text)
        if halves:
            return _skimmed(text)
    return state


def _skimmed(text: bytes) -> Literal["complete", "cut", "broken"]:
    try:
        _skim(text)
    except msgspec.DecodeError as error:
        return "cut" if "truncated" in str(error) else "broken"
    except RecursionError:
        return "broken"
    return "complete"


def _lines(body: bytes) -> Iterator[bytes]:
    return chain.from_iterable(piece.split(b"\n") for piece in _pieces(body))


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body, cut at line breaks."""
    start = 0
    while start < len(body):
        end = len(body)
        if start + PIECE_BYTES < end:
            end = body.rfind(b"\n", start, start + PIECE_BYTES)
            if end < 0:
                end = body.find(b"\n", start)
            if end < 0:
                end = len(body)
        yield body[start:end]
        start = end + 1
