"""JSON values with a fault → the parts of them that can be read. Pure.

In: a text and the position of a value that msgspec cannot read. Out: a `FoundValue`, or None. Some
values have a fault in one item, and some are no strict JSON, for example because of a NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from natstream.drain.splitting import Scan
from natstream.entries.batches import batch_start
from natstream.entries.entry import decode_json

__all__ = ["FoundValue", "mended"]

# Bytes of an object around a batch with a broken item, and of an object that is no strict JSON.
MAX_HEAD = 65_536
# Bytes in front of such a batch.
SHORT_HEAD = 512


class FoundValue(NamedTuple):
    """A value of a body, or the items of one that has broken items."""

    text: bytes
    end: int
    """The position after the value in the body."""
    items: Sequence[bytes] | None = None
    around: Mapping[str, Any] = MappingProxyType({})
    """The members of the object around the items."""


def mended(scan: Scan, start: int, offset: int, max_items: int) -> FoundValue | None:
    """Return the value at `start` of a text, though msgspec cannot read it, or None.

    Args:
        scan: of the text.
        start: where the value begins.
        offset: the position of the text in the body.
        max_items: of a broken array. If it has more, so many and one are returned.
    """
    text = scan.text
    if text[start : start + 1] == b"[":
        found = scan.items(start, max_items)
        return FoundValue(b"", offset + found[1], found[0]) if found else None
    array = batch_start(text[start : start + SHORT_HEAD])
    if array >= 0 and (found := scan.items(start + array, max_items)):
        items, end = found
        head = text[start : start + array] + b"[]"
        around = head + text[end : end + MAX_HEAD]
        state, past = Scan(around).value(0)
        if state == "complete":
            members = decode_json(around[:past])
            past = len(around[:past].rstrip()) - len(head)
            return FoundValue(b"", offset + end + past, items, members)
    end_of_object = scan.closed(start, MAX_HEAD)
    if end_of_object is None:
        return None
    try:
        decode_json(text[start:end_of_object])
    except ValueError:
        return None
    return FoundValue(text[start:end_of_object], offset + end_of_object)
