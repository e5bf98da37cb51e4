"""A sender's body → the positions of its lines and JSON values. Pure.

In: bytes. Out: where values begin and end. msgspec finds the end of a value without decoding it, so
neither a large value nor many small ones take memory before the drain has counted them. Otherwise
an array of ones, for example, would take fifty times its size before it is refused.

A text in which no value can be read may be text, or JSON with a fault. Finding out takes work that
a hostile body could repeat at every line, so `Scan` has one budget of such work for a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

__all__ = ["PIECE_BYTES", "Scan", "array_items", "next_piece"]

# Lines are cut from pieces of a body, so that the body does not stand in memory twice.
PIECE_BYTES = 1 << 18
# A longer array is decoded in parts, which are cut between two items. If so many possible cuts all
# stand inside an item, the items are scanned one by one.
LARGE_PIECE, JOINTS_TRIED = 4 * PIECE_BYTES, 8
# The budget of a body: bytes that may be read in vain, for each byte of the body and in any case.
WORK_FOR_BYTE, WORK = 4, 1 << 16

_OPEN, _CLOSE = b"[{", b"]}"
_SPACE = re.compile(rb"[ \t\r\n]*")
# An item of an array follows another here, unless this stands inside an item.
_ITEM_JOINT = re.compile(rb"\}\s*,\s*\{")
# Half of a surrogate pair is valid JSON, but msgspec 0.22 calls it malformed or truncated.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# A number that was cut before its last digit. msgspec does not call that text truncated.
_CUT_NUMBER = re.compile(rb"(?:-|\d\.|\d[eE][+-]?)\Z")
# A string, even one without its end, so that no byte is looked at twice; or what may end an item.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
# msgspec 0.22 names the byte after the one at which it stopped.
_STOPPED_AT = re.compile(r"\(byte (\d+)\)\Z")

Values = Sequence[bytes | msgspec.Raw]

_skim = msgspec.json.Decoder(msgspec.Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def next_piece(body: bytes, start: int, size: int) -> int:
    """Return where a piece of about `size` bytes ends: at a line feed, or at the body's end."""
    end = len(body)
    if start + size < end:
        end = body.rfind(b"\n", start, start + size)
        if end < 0:
            end = body.find(b"\n", start + size)
        if end < 0:
            end = len(body)
    return end


class Value(NamedTuple):
    """What stands at a position of a text."""

    state: Literal["complete", "cut", "broken"]
    """`cut`: the text ends within the value. `broken`: it is no JSON."""
    end: int
    """The end of a complete value and the space after it; otherwise where the reading stopped."""


class Scan:
    """Finds the JSON values in a text, within a budget of work.

    Args:
        text: what is scanned. All positions are positions in it.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._view = memoryview(text)
        self._is_mended = False
        self._work = WORK + WORK_FOR_BYTE * len(text)

    @property
    def may_go_on(self) -> bool:
        """Whether there is budget left to look for values beyond a line."""
        return self._work > 0

    def value(self, start: int, end: int | None = None) -> Value:
        """Return what stands at `start`, where the text is taken to end at `end`."""
        view = self._view[start:end]
        try:
            _skim(view)
        except msgspec.DecodeError as error:
            sentence = str(error)
            stopped = _STOPPED_AT.search(sentence)
            at = int(stopped[1]) - 1 if stopped else len(view)
            if "trailing" in sentence and "comma" not in sentence:
                return Value("complete", start + at)
            self._work -= at
            if not self._is_mended:
                self._is_mended = True
                if b"\\u" in self.text:
                    # The replacement is as long as half a pair, so that all positions stay.
                    self._view = memoryview(_SURROGATE.sub(rb"\\ufffd", self.text))
                    return self.value(start, end)
            if not stopped or (at >= len(view) - 1 and _CUT_NUMBER.search(view[-4:])):
                return Value("cut", start + len(view))
            return Value("broken", start + at)
        except RecursionError:
            self._work -= len(view)
            return Value("broken", start)
        return Value("complete", start + len(view))

    def closed(self, start: int, limit: int) -> int | None:
        """Return the end of the brackets that open at `start`, by counting brackets alone.

        Return None if they do not end within `limit` bytes.
        """
        return self._outside(start, b"", start + limit) if self.may_go_on else None

    def items(self, start: int, limit: int) -> tuple[list[bytes], int] | None:
        """Return the items of the array at `start`, and its end, or more than `limit` items of it.

        Items that are no JSON are among them, each with its own extent, so that a broken item does
        not take its neighbours along. Return None if the text is no array with a valid object, or
        if the array does not end.
        """
        text, found, is_array = self.text, list[bytes](), False
        at = self.skip_space(start + 1)
        while at < len(text) and self.may_go_on:
            if text[at : at + 1] == b"]":
                return (found, at + 1) if is_array else None
            if text[at : at + 1] == b",":
                at = self.skip_space(at + 1)
                continue
            state, end = self.value(at)
            if state == "complete":
                is_array = is_array or text[at : at + 1] == b"{"
            elif (past := self._end_of_broken(at)) is None:
                return None
            else:
                end = past
            found.append(text[at:end].rstrip())
            at = self.skip_space(end)
            if len(found) > limit:
                return found, at
        return None

    def skip_space(self, start: int) -> int:
        """Return the position of the next byte that is no space."""
        space = _SPACE.match(self.text, start)
        return space.end() if space else start

    def _end_of_broken(self, start: int) -> int | None:
        """Return where the broken item of an array ends, or None if that cannot be told."""
        end = self._outside(start, b",]")
        if end is not None and end > start:
            return end
        for joint in islice(_ITEM_JOINT.finditer(self.text, start), JOINTS_TRIED):
            if self.value(joint.end() - 1).state == "complete":
                return joint.start() + 1
        return None

    def _outside(self, start: int, ends: bytes, limit: int | None = None) -> int | None:
        """Return the first position outside all brackets at one of `ends`, or after a bracket.

        Return None if there is none before `limit`.
        """
        depth = 0
        limit = len(self.text) if limit is None else min(limit, len(self.text))
        for token in _TOKEN.finditer(self.text, start, limit):
            char = token[0]
            if not depth and char in ends and char:
                self._work -= token.start() - start
                return token.start()
            if char in _OPEN:
                depth += 1
            elif char in _CLOSE:
                depth -= 1
                if depth < 0:
                    break
                if not depth and not ends:
                    self._work -= token.end() - start
                    return token.end()
        self._work -= limit - start
        return None


def array_items(array: bytes) -> Iterator[Values]:
    """Yield the items of an array, each as its own bytes, in steps of bounded size.

    Raises:
        ValueError: msgspec cannot read the array. `Scan.items` may find its items.
    """
    start = 1
    try:
        if len(array) <= LARGE_PIECE:
            yield _array(array)
            return
        while len(array) - start > LARGE_PIECE:
            part, start = _part(array, start)
            yield part
        yield _array(b"[" + array[start:])
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("not an array that msgspec reads") from None


def _part(array: bytes, start: int) -> tuple[Values, int]:
    """Return the items from `start` to a cut between two items, and the position after the cut."""
    for joint in islice(
        _ITEM_JOINT.finditer(array, start + PIECE_BYTES, start + LARGE_PIECE), JOINTS_TRIED
    ):
        # `start` is the start of an item, so this part is JSON only if an item ends here.
        with suppress(msgspec.DecodeError, RecursionError):
            return _array(b"[%b]" % array[start : joint.start() + 1]), joint.end() - 1
    raise ValueError("no cut between two items")
