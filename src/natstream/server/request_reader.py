"""h11, mended where a request begins.

In: a client's bytes. Out: h11's events. A client may send a blank line before a request, and text
beyond ASCII in the address, as curl and nginx do for `?q=café`. h11 0.16.0 refuses both.
"""

from __future__ import annotations

import re
from typing import Any

import h11
from h11._readers import maybe_read_from_IDLE_client
from h11._receivebuffer import ReceiveBuffer

__all__ = ["RequestReader"]

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


class RequestReader(h11.Connection):
    """h11's end of a server, with our method in place of its faulty one."""

    def _get_io_object(self, role: Any, event: Any, io_dict: Any) -> Any:
        """Return h11's function for the state of the connection, or ours if a request begins."""
        function = super()._get_io_object(role, event, io_dict)
        return _read_request if function is maybe_read_from_IDLE_client else function


def _read_request(buffer: ReceiveBuffer) -> h11.Request | None:
    """Read the head of a request, or return None if it has not arrived."""
    line, end, rest = bytes(buffer).partition(b"\n")
    while end and line == b"\r":  # RFC 9112, 2.2
        buffer.maybe_extract_next_line()
        line, end, rest = rest.partition(b"\n")
    if not end and line in (b"", b"\r"):
        return None
    if end and not line.isascii():
        # Each byte becomes what a browser would have sent for it.
        method, space, target = line.partition(b" ")
        target = _BEYOND_ASCII.sub(lambda match: b"%%%02X" % ord(match[0]), target)
        buffer.maybe_extract_at_most(len(buffer))
        buffer += method + space + target + end + rest
    return maybe_read_from_IDLE_client(buffer)
