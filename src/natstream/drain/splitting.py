"""A sender's body → the texts of its lines and JSON values. Pure.

In: bytes. Out: bytes, one piece for each line or value, in order. A body that ends within a value,
or that has more lines or values than allowed, raises `BadBody`.

A body, or a line of it, may hold many values: an array, `{"logs": [...]}`, or values that follow
each other. msgspec finds their ends where it can, and the standard library where it cannot. Both
look for them in steps of bounded size. Otherwise an array of ones, for example, would take fifty
times its size in memory before it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Literal

import msgspec

from natstream.drain.content_encoding import BodyTooLarge
from natstream.entries.entry import decode_json
from natstream.errors import BadBody

__all__ = ["check_lines", "is_prose", "json_texts", "split_lines", "unfold"]

# Lines are cut from pieces of a body, so that the body does not stand in memory twice.
PIECE_BYTES = 1 << 18
# A longer array is decoded in parts, which are cut between two items. If so many possible cuts all
# stand inside an item, the items are scanned one by one.
LARGE_PIECE, JOINTS_TRIED = 4 * PIECE_BYTES, 8
# Values that the standard library scans in one step.
STEP_VALUES = 1_000

_BRACKET = ord("[")
_SPACE = re.compile(r"[ \t\r\n]*")
# An object follows another here, unless this stands inside a string.
_JOINT = re.compile(rb"\}\s*\{")
# An item of an array follows another here, unless this stands inside an item.
_ITEM_JOINT = re.compile(rb"\}\s*,\s*\{")
# Half of a surrogate pair is valid JSON, but msgspec 0.22 calls it malformed or truncated.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# The beginning of a text that is meant to be a JSON object.
_OBJECT = re.compile(rb"[\[\s]*\{\s*[\"}]")
# A number that was cut before its last digit. msgspec does not call that text truncated.
_CUT_NUMBER = re.compile(rb"(?:-|\d\.|\d[eE][+-]?)\Z")


class _Envelope(msgspec.Struct):
    logs: list[msgspec.Raw]


class _LargeEnvelope(msgspec.Struct):
    logs: msgspec.Raw


Values = Sequence[bytes | msgspec.Raw]

_skim = msgspec.json.Decoder(msgspec.Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_large_envelope = msgspec.json.Decoder(_LargeEnvelope).decode
_scan = json.JSONDecoder().raw_decode


# --- lines ---------------------------------------------------------------------------------------


def split_lines(body: bytes) -> Iterator[bytes]:
    """Yield the lines of a body, without their line feeds."""
    return chain.from_iterable(piece.split(b"\n") for piece in _pieces(body))


def _pieces(body: bytes) -> Iterator[bytes]:
    """Yield the body in pieces, cut at line feeds."""
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


def check_lines(body: bytes, max_lines: int) -> None:
    """Raise BodyTooLarge if a body has more than `max_lines` lines."""
    if len(body) > max_lines:
        _check_count(body.count(b"\n") + (not body.endswith(b"\n")), max_lines)


def _check_count(count: int, max_lines: int) -> None:
    if count > max_lines:
        raise BodyTooLarge(
            f"The body has more than {max_lines:,} lines; send it in smaller batches."
        )


# --- the JSON texts of a body --------------------------------------------------------------------


def is_prose(body: bytes) -> bool:
    """Return whether a body that starts with a bracket is text, such as `[INFO] started`."""
    line = body.partition(b"\n")[0]
    return not _OBJECT.match(line) and _state(line) == "broken"


def json_texts(body: bytes, max_lines: int) -> Iterator[bytes]:
    """Return the lines of a JSON body, or the whole body if its first value spans lines.

    Raises:
        BodyTooLarge: the body has too many lines, or values on its last line.
        BadBody: the body ends within a value. It was cut on its way, and the sender has the rest.
    """
    line_end = body.find(b"\n")
    whole = line_end >= 0 and _state(body[:line_end]) == "cut"
    if not whole:
        check_lines(body, max_lines)
    # A last line that has its line feed was not cut. If it is broken, only this line is dropped.
    last = body if whole else body[body.rfind(b"\n") + 1 :]
    state = _state(last)
    if state == "broken" and (whole or _JOINT.search(last)):
        text = last.decode("utf-8", "replace")
        end = 0
        for count, value_end in enumerate(_value_ends(text), 1):
            _check_count(count, max_lines)
            end = value_end
        state = _state(text[end:].encode())
    if state == "cut":
        raise BadBody("The JSON ends early; send the whole body again.")
    return iter([body]) if whole else split_lines(body)


def _state(text: bytes) -> Literal["complete", "cut", "broken"]:
    """Return how much there is of the JSON value in `text`; a blank text is complete."""
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


# --- the values of a text ------------------------------------------------------------------------


def unfold(text: bytes, max_values: int) -> Values | None:
    """Return the JSON texts in an array, in `{"logs": [...]}`, or that follow each other.

    Return None for a text that is none of these.

    Raises:
        BodyTooLarge: the text holds more than `max_values` values.
    """
    text = array = text.strip()
    with suppress(msgspec.DecodeError, RecursionError):
        if len(text) <= LARGE_PIECE:
            raws = _array(text) if text[0] == _BRACKET else _envelope(text).logs
            _check_count(len(raws), max_values)
            return raws
        if text[0] != _BRACKET:
            array = bytes(_large_envelope(text).logs)
    if array[0] == _BRACKET:
        with suppress(ValueError):
            return _collect(_items(array), max_values)
    if text[0] != _BRACKET:
        raw = None
        with suppress(ValueError):
            raw = decode_json(text)
        if type(raw) is dict and type(raw.get("logs")) is list:
            _check_count(len(raw["logs"]), max_values)
            return [json.dumps(item).encode() for item in raw["logs"]]
        if raw is not None:
            return None
    if b"\n" in text or _JOINT.search(text):
        return _collect(_values(text), max_values)
    return None


def _collect(steps: Iterator[Values], max_values: int) -> Values:
    found: list[bytes | msgspec.Raw] = []
    for step in steps:
        found += step
        _check_count(len(found), max_values)
    return found


def _items(array: bytes) -> Iterator[Values]:
    """Yield the items of an array, each as its own bytes, in steps of bounded size.

    Raises:
        ValueError: the text is not an array, or does not end with the array.
    """
    start = 1
    while len(array) - start > LARGE_PIECE:
        for joint in islice(
            _ITEM_JOINT.finditer(array, start + PIECE_BYTES, start + LARGE_PIECE), JOINTS_TRIED
        ):
            # `start` is the start of an item, so this part is JSON only if an item ends here.
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
    """Yield the items that msgspec refuses, where `text` is what follows a `[` or a comma."""
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
        if len(step) == STEP_VALUES:
            yield step
            step = []
    if text[end : end + 1] != "]" or _skip_space(text, end + 1) < len(text):
        raise ValueError("not an array")
    yield step


def _values(text: bytes) -> Iterator[list[bytes]]:
    """Yield values that follow each other; after the last valid one, yield the remaining lines."""
    decoded = text.decode("utf-8", "replace")
    step: list[bytes] = []
    start = 0
    for end in _value_ends(decoded):
        step.append(decoded[start:end].encode())
        start = end
        if len(step) == STEP_VALUES:
            yield step
            step = []
    yield step
    lines = split_lines(decoded[start:].encode())
    while batch := list(islice(lines, STEP_VALUES)):
        yield [line for line in batch if line and not line.isspace()]


def _value_ends(text: str) -> Iterator[int]:
    """Yield the end of each value in a text of values, up to the first that is not valid."""
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
