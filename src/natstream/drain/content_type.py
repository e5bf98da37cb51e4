"""The content types of a drain's bodies: bytes → UTF-8, or a refusal of binary formats. Pure.

In: a Content-Type, and a body that is decompressed. Out: the body in UTF-8. A format from which no
line could be read raises `UnsupportedMediaType`, so that its bytes do not become lines of garbage.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

from natstream.drain.content_encoding import UnsupportedMediaType

__all__ = ["check_content_type", "in_utf8", "is_plain"]

# Content types that some senders can be set to use, and from which no line could be read.
_BINARY = re.compile(
    r"multipart/|image/|audio/|video/|font/"
    r"|.*(?:msgpack|messagepack|protobuf|cbor|avro|bson|smile|thrift|parquet|vnd\.fdo\.journal)"
)
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
# The names of codecs for text. Others are slow, or read escapes as code points.
_TEXT_CODEC = re.compile(
    r"ascii|latin_1|utf-?_?(?:8|16|32)(?:[-_](?:[lb]e|sig))?|iso8859[-_]\d+|cp\d+|mac[-_]\w+"
    r"|koi8[-_]\w|gb\w+|big5\w*|euc[-_]\w+|shift[-_]jis\w*|tis[-_]620|johab|kz1048|ptcp154"
)
# How the formats begin that senders compress or export with, and forget to say so.
_BEGINNINGS = {
    b"\x1f\x8b": "The body is gzip; say so with Content-Encoding: gzip.",
    b"x\x9c": "The body is deflated; say so with Content-Encoding: deflate.",
    b"x\xda": "The body is deflated; say so with Content-Encoding: deflate.",
    b"\x28\xb5\x2f\xfd": "The body is zstd; send gzip, deflate or none.",
    b"\x04\x22\x4d\x18": "The body is lz4; send gzip, deflate or none.",
    b"\xff\x06\x00\x00sNaPpY": "The body is snappy; send gzip, deflate or none.",
    b"PK\x03\x04": "The body is a zip file; send gzip, deflate or none.",
    b"__CURSOR=": (
        "The body is the export format of systemd's journal, which cannot be read here; send "
        "`journalctl --output=json`, or use rsyslog or syslog-ng."
    ),
}
_FIRST_BYTES = frozenset(beginning[:1] for beginning in _BEGINNINGS)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@lru_cache(maxsize=64)
def check_content_type(content_type: str) -> None:
    """Raise UnsupportedMediaType for a binary content type, or a charset that is not known.

    Other content types do not matter, since many senders use a default that says nothing about the
    body.
    """
    if _BINARY.match(content_type.lower()):
        otlp = " OpenTelemetry's exporters send to /v1/logs." if "proto" in content_type else ""
        raise UnsupportedMediaType(
            f"Content-Type {content_type[:80]!r} cannot be read here; "
            f"send application/json, application/x-ndjson or text/plain.{otlp}"
        )
    _codec(content_type)


def is_plain(content_type: str) -> bool:
    """Return whether the sender says that the body is text."""
    return content_type.lower().startswith("text/plain")


def in_utf8(body: bytes, content_type: str) -> bytes:
    """Return a body in UTF-8, by its charset. Bytes that are not in the charset become U+FFFD.

    A body without a charset is UTF-8, whose faults only the lines with them need to mend, or UTF-16
    if it begins with that byte order mark.

    Raises:
        UnsupportedMediaType: the body begins like a binary format.
    """
    codec = _codec(content_type)
    if codec == "utf-8":
        if not body.startswith(_UTF_16):
            _check_beginning(body)
            return body
        codec = "utf-16"
    return body.decode(codec, "replace").encode("utf-8", "replace")


def _check_beginning(body: bytes) -> None:
    if body[:1] not in _FIRST_BYTES:
        return
    for beginning, sentence in _BEGINNINGS.items():
        if body.startswith(beginning):
            raise UnsupportedMediaType(sentence)


@lru_cache(maxsize=64)
def _codec(content_type: str) -> str:
    """Return Python's name of the charset in a content type. ASCII is read as UTF-8."""
    found = _CHARSET.search(content_type)
    if not found or not found[1]:
        return "utf-8"
    try:
        name = codecs.lookup(found[1][:40]).name
    except (LookupError, ValueError):
        name = ""
    name = {"ascii": "utf-8", "utf-8-sig": "utf-8"}.get(name, name)
    if not _TEXT_CODEC.fullmatch(name):
        raise UnsupportedMediaType(f"The charset {found[1][:40]!r} is not known here; send UTF-8.")
    return name
