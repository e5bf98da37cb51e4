"""The content encodings of a drain's bodies: compressed pieces → one decompressed body. Pure.

In: the pieces of a body as they arrive. Out: the whole body. Its size is limited while it is being
decompressed, so that a small body cannot fill the memory. A body that is too large, or that cannot
be decompressed, raises `BadBody`.
"""

from __future__ import annotations

import zlib
from io import BytesIO

from natstream.errors import BadBody

__all__ = ["BodyBuffer", "BodyTooLarge", "UnsupportedMediaType"]

ENCODINGS = ("gzip", "deflate", "identity")

_WBITS_GZIP, _WBITS_ZLIB, _WBITS_RAW = 31, 15, -15  # as zlib.decompressobj takes them


class BodyTooLarge(BadBody):
    """The sender's fault: the body has too many bytes, as sent or decompressed, or lines."""


class UnsupportedMediaType(BadBody):
    """The sender's fault: the body has a content encoding or content type that cannot be read."""


class BodyBuffer:
    """Collects a body piece by piece and decompresses it, up to `limit` bytes.

    Args:
        encoding: the value of Content-Encoding.
        limit: bytes, as sent and as decompressed.

    Raises:
        UnsupportedMediaType: `encoding` is none of `ENCODINGS`.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self.limit = limit
        self.received: int = 0
        """Bytes as sent."""
        codings = [coding.strip().lower() for coding in encoding.split(",")]
        coding = ", ".join(coding for coding in codings if coding not in ("", "identity"))
        self._encoding = {"": "identity", "x-gzip": "gzip"}.get(coding, coding)
        if self._encoding not in ENCODINGS:
            raise UnsupportedMediaType(
                # The value is not quoted, because a sender may have put its token there.
                f"The body's Content-Encoding cannot be read here; send one of "
                f"{', '.join(ENCODINGS)}."
            )
        self._body = BytesIO()
        self._size = 0
        self._head = b""
        self._unpacker: zlib._Decompress | None = None

    def feed(self, data: bytes) -> None:
        """Add the next piece.

        Raises:
            BodyTooLarge: the body is larger than the limit.
            BadBody: the piece cannot be decompressed.
        """
        self.received += len(data)
        self._check_size(self.received)
        if self._encoding == "identity":
            self._body.write(data)
            return
        try:
            self._unpack(data)
        except zlib.error as error:
            raise BadBody(
                f"The body is not what Content-Encoding: {self._encoding} says: {error}."
            ) from None

    def finish(self) -> bytes:
        """Return the whole body, decompressed.

        Raises:
            BadBody: the compressed data ends early.
        """
        if self._head or (self._unpacker and not self._unpacker.eof):
            raise BadBody(f"The {self._encoding} data ends early; send the whole body again.")
        return self._body.getvalue()

    def _unpack(self, data: bytes) -> None:
        if self._unpacker is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            self._unpacker = zlib.decompressobj(self._wbits(data))
        while data:
            if self._unpacker.eof:
                # A gzip file may consist of several members, one after the other.
                self._unpacker = zlib.decompressobj(self._wbits(data))
            unpacked = self._unpacker.decompress(data, self.limit + 1 - self._size)
            self._size += len(unpacked)
            self._check_size(self._size)
            self._body.write(unpacked)
            data = self._unpacker.unused_data

    def _wbits(self, data: bytes) -> int:
        if self._encoding == "gzip":
            return _WBITS_GZIP
        # "deflate" means zlib's wrapping (RFC 9110, 8.4.1.2), but some senders leave it out. The
        # two bytes of a wrapping are a multiple of 31 and name the method 8 (RFC 1950, 2.2).
        wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
        return _WBITS_ZLIB if wrapped else _WBITS_RAW

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise BodyTooLarge(
                f"The body is larger than {self.limit:,} bytes; send it in smaller batches."
            )
