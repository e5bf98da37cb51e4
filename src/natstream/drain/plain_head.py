"""The head of an ordinary request, read in a fifth of the time that h11 takes. Pure.

In: the first bytes of a request. Out: its head and where its body begins, or None for h11 to judge.
A request is ordinary if it is a POST of HTTP/1.1 with a body of known length, which leaves the
connection open, and if its head has arrived whole. Senders of logs send nearly no others. All that
is accepted here is a part of what h11 accepts, with the same meaning, and nothing is refused here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PlainHead", "read_plain_head"]

# Bytes. Heads of senders are much shorter.
LONGEST = 4_096

_REQUEST = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n")
# A line that is no header is tried only at its beginning.
_HEADER = re.compile(rb"(?<=\n)([\w!#$%&'*+.^`|~-]+): ([!-~]+(?: [!-~]+)*)\r\n", re.ASCII)
# Those that change where the body ends, or what follows on the connection.
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"connection"))
_KEEP_ALIVE = b"keep-alive"


class PlainHead(NamedTuple):
    """The head of a request."""

    target: bytes
    headers: dict[bytes, bytes]
    """By lower-case name."""
    size: int
    """Bytes of the head."""
    body: int
    """Bytes of the body."""


def read_plain_head(data: bytes) -> PlainHead | None:
    """Return the head that `data` begins with, or None if it is not that of an ordinary request."""
    end = data.find(b"\r\n\r\n", 0, LONGEST)
    first = _REQUEST.match(data, 0, end + 2)
    if end < 0 or first is None:
        return None
    start = first.end()
    pairs = _HEADER.findall(data, start, end + 2)
    headers = {name.lower(): value for name, value in pairs}
    # A line that is no ordinary header was passed over, so that bytes are missing.
    length = sum([len(name) + len(value) for name, value in pairs]) + 4 * len(pairs)
    if start + length != end + 2 or len(headers) != len(pairs) or b"host" not in headers:
        return None
    if not _UNUSUAL.isdisjoint(headers):
        if headers.pop(b"connection", b"").lower() != _KEEP_ALIVE:
            return None
        if not _UNUSUAL.isdisjoint(headers):
            return None
        headers[b"connection"] = _KEEP_ALIVE
    body = headers.get(b"content-length", b"")
    if not body.isdigit() or len(body) > 12:
        return None
    return PlainHead(first[1], headers, end + 4, int(body))
