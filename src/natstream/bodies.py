"""Bodies that drain senders POST: bytes in, entries out. Pure.

`BodyBuffer` collects a body, unpacked as its Content-Encoding says and bounded while it is being
unpacked. `read_entries` takes the whole body apart into runs of entries: one JSON object a line,
objects one after the other, an array, `{"logs": [...]}`, or lines of text.

What is no log line is left out and counted by reason. `BadBody` is raised for a body that is
broken or of which nothing can be read, and always before the first entry is given: a batch
counts whole or not at all.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import chain, islice
from typing import Literal

import msgspec

from natstream.entry import LogEntry, decode_json
from natstream.errors import BadBody
from natstream.parsing import parse_object, parse_text

__all__ = [
    "ENCODINGS",
    "BodyBuffer",
    "BodyTooLarge",
    "UnknownFormat",
    "check_content_type",
    "read_entries",
]

ENCODINGS = ("gzip", "deflate", "identity")

# Lines that are read in one go: a few ms, which is how long everything else then waits.
RUN_LINES = 1_000
# Lines are cut from a body in pieces, so that a body is not in memory twice.
PIECE_BYTES = 1 << 18

_WBITS_GZIP, _WBITS_ZLIB, _WBITS_RAW = 31, 15, -15  # as zlib.decompressobj takes them

# Kinds of content that senders can be set to, and that no line could be read from.
_BINARY_CONTENT = re.compile(r"multipart/|image/|audio/|video/|.*(?:msgpack|protobuf|cbor|avro)")

_BRACKET = ord("[")
_SPACE = re.compile(r"[ \t\r\n]*")
# Where one object follows another, though it may also stand inside a string.
_JOINT = re.compile(rb"\}\s*\{")
# A number that a cut has left without its last digit, which is not what decoders call it.
_CUT_NUMBER = re.compile(rb"(?:-|\d\.|\d[eE][+-]?)\Z")


class _Envelope(msgspec.Struct):
    logs: list[msgspec.Raw]


_skim = msgspec.json.Decoder(msgspec.Raw).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_scan = json.JSONDecoder().raw_decode


class BodyTooLarge(BadBody):
    """The sender's: more bytes than the limit, as sent or as unpacked."""


class UnknownFormat(BadBody):
    """The sender's: an encoding or a kind of content that cannot be read here."""


class BodyBuffer:
    """Collects a body piece by piece and unpacks it, never holding more than `limit` bytes of it.

    Args:
        encoding: the value of Content-Encoding.
        limit: bytes, as sent and as unpacked.
        announced: the value of Content-Length, if there is one.

    Raises:
        UnknownFormat: `encoding` is none of `ENCODINGS`.
        BodyTooLarge: it is announced to be.
    """

    def __init__(self, encoding: str, limit: int, announced: int = 0) -> None:
        self.limit = limit
        self.received = 0
        """Bytes as sent."""
        self._encoding = {"": "identity", "x-gzip": "gzip"}.get(encoding, encoding)
        if self._encoding not in ENCODINGS:
            raise UnknownFormat(
                f"Content-Encoding {encoding[:80]!r} cannot be read here; "
                f"send one of {', '.join(ENCODINGS)}."
            )
        self._check_size(announced)
        self._body = BytesIO()
        self._size = 0
        self._head = b""
        self._unpacker: zlib._Decompress | None = None

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            BodyTooLarge: the limit is passed.
            BadBody: it cannot be unpacked.
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
        """The whole body, unpacked.

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
                # A gzip file may be several, one after the other.
                self._unpacker = zlib.decompressobj(self._wbits(data))
            unpacked = self._unpacker.decompress(data, self.limit + 1 - self._size)
            self._size += len(unpacked)
            self._check_size(self._size)
            self._body.write(unpacked)
            data = self._unpacker.unused_data

    def _wbits(self, data: bytes) -> int:
        if self._encoding == "gzip":
            return _WBITS_GZIP
        # "deflate" means zlib's wrapping (RFC 9110, 8.4.1.2), but some senders leave it out. Its
        # two bytes are a multiple of 31 and name the method 8 (RFC 1950, 2.2).
        wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
        return _WBITS_ZLIB if wrapped else _WBITS_RAW

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise BodyTooLarge(
                f"The body is larger than {self.limit:,} bytes; send it in smaller batches."
            )


def check_content_type(content_type: str) -> None:
    """Refuse what cannot be lines; anything else is judged by its first byte, not by its name.

    Raises:
        UnknownFormat: it is a binary format.
    """
    if _BINARY_CONTENT.match(content_type.lower()):
        raise UnknownFormat(
            f"Content-Type {content_type[:80]!r} cannot be read here; "
            "send application/json, application/x-ndjson or text/plain."
        )


def read_entries(
    body: bytes, dropped: Counter[str], *, app_name: str = ""
) -> Iterator[list[LogEntry]]:
    """The entries of a body, in runs of at most a thousand; a run may be empty.

    A body that starts with `{` or `[` is JSON, any other is lines of text. What is left out is
    counted in `dropped`: `not_json`, `no_machine`, `not_utf8`.

    Args:
        body: as unpacked.
        dropped: an empty counter.
        app_name: the app of entries that name none.

    Raises:
        BadBody: it ends early, or nothing in it can be read. No entry was given then.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if body.startswith(b"{") and body.find(b"\n") in (-1, len(body) - 1):
        # One object, as senders that do not batch send it: no need to take it apart.
        with suppress(ValueError):
            if entry := parse_object(body.rstrip(), app_name):
                yield [entry]
                return
    if body.startswith((b"{", b"[")):
        runs = _read_json(_json_texts(body), dropped, app_name)
    elif body.startswith(b"\x1f\x8b"):
        raise UnknownFormat("The body is gzip; say so with Content-Encoding: gzip.")
    else:
        runs = _read_text(_lines(body), dropped, app_name)
    empty = True
    for run in runs:
        empty = empty and not run
        yield run
    if empty and dropped and "no_machine" not in dropped:
        raise BadBody(
            "Nothing in the body can be read: send UTF-8, as one JSON object a line, "
            "a JSON array of objects, or lines of text that start with neither { nor [."
        )


def _read_text(
    lines: Iterator[bytes], dropped: Counter[str], app_name: str
) -> Iterator[list[LogEntry]]:
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
    texts: Iterator[bytes], dropped: Counter[str], app_name: str, *, unfold: bool = True
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
            parts = _unfold(text) if unfold else None
            if parts is None:
                dropped[reason] += 1
                continue
            yield run
            run = []
            yield from _read_json(parts, dropped, app_name, unfold=False)
        yield run


def _unfold(text: bytes) -> Iterator[bytes] | None:
    """The JSON texts in an array, in `{"logs": [...]}`, or in several values; `None`: no such."""
    try:
        # The items' own bytes, without decoding them twice.
        return map(bytes, _array(text) if text[0] == _BRACKET else _envelope(text).logs)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        raw = decode_json(text)
    except ValueError:
        raw = None
    if type(raw) is list:
        raw = {"logs": raw}
    if type(raw) is dict and type(raw.get("logs")) is list:
        return (json.dumps(item).encode() for item in raw["logs"])
    if raw is None and (b"\n" in text or _JOINT.search(text)):
        return _values(text)
    return None


def _json_texts(body: bytes) -> Iterator[bytes]:
    """The lines of the body; all of it at once where the value on its first line goes on.

    Raises:
        BadBody: it ends within a value: something has cut it, and the sender has the rest.
    """
    line_end = body.find(b"\n")
    whole = line_end >= 0 and _state(body[:line_end]) == "cut"
    # A last line that has its line break was not cut; if it is broken, it is merely dropped.
    last = body if whole else body[body.rfind(b"\n") + 1 :]
    state = _state(last)
    if state == "broken" and (whole or _JOINT.search(last)):
        text = last.decode("utf-8", "replace")
        end = 0
        for value_end in _value_ends(text):
            end = value_end
            # A turn for others: nothing is given before the end was seen.
            yield b""
        state = _state(text[end:].encode())
    if state == "cut":
        raise BadBody("The JSON ends early; send the whole body again.")
    if whole:
        yield body
    else:
        yield from _lines(body)


def _values(text: bytes) -> Iterator[bytes]:
    """Values that follow one another; from the first that is none on, what is left, by lines."""
    decoded = text.decode("utf-8", "replace")
    start = 0
    for end in _value_ends(decoded):
        yield decoded[start:end].encode()
        start = end
    yield from _lines(decoded[start:].encode())


def _value_ends(text: str) -> Iterator[int]:
    """Where each of the values that follow one another ends, up to the first that is none."""
    end = 0
    while True:
        space = _SPACE.match(text, end)
        try:
            _, end = _scan(text, space.end() if space else end)
        except (ValueError, RecursionError):
            return
        yield end


def _state(text: bytes) -> Literal["complete", "cut", "broken"]:
    """What there is of the JSON value in `text`; blank text is complete."""
    if not text or text.isspace():
        return "complete"
    try:
        _skim(text + b"0" if _CUT_NUMBER.search(text[-4:]) else text)
    except RecursionError:
        return "broken"
    except msgspec.DecodeError as error:
        if "truncated" not in str(error):
            return "broken"
    else:
        return "complete"
    try:
        # msgspec 0.22 says the same of half a surrogate pair.
        decode_json(text)
    except ValueError:
        return "cut"
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
