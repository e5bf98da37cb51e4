"""JSON objects that are small when compressed and would fill the memory when decoded."""

from __future__ import annotations

from itertools import count, takewhile

__all__ = ["BOMBS", "bomb"]

_LISTS = {"numbers": b"0,", "objects": b"{},", "lists": b"[[]],", "objects of objects": b'{"":{}},'}

BOMBS = (*_LISTS, "names")
"""The kinds: what the millions of tiny values are. `names` are the names of members."""


def bomb(kind: str, size: int, member: str = "a") -> bytes:
    """Return an object of about `size` bytes with a text in `message` and a time of 2026.

    Args:
        kind: one of BOMBS.
        size: bytes.
        member: the name of the list of tiny values, or of the object with many names.
    """
    start = b'{"machine_id":"x","timestamp":"2026-01-01T00:00:00Z"'
    if member != "message":
        start += b',"message":"m"'
    if kind == "names":
        names = takewhile(lambda number: number * 11 < size, count())
        inner = b",".join(b'"%x":0' % (number + 0x100000) for number in names)
        return b'%b,"%b":{%b},%b}' % (start, member.encode(), inner, inner)
    part = _LISTS[kind]
    return b'%b,"%b":[%b]}' % (start, member.encode(), (part * (size // len(part)))[:-1])
