"""Which of several processes sends a message: what they tell each other. Pure.

In: the last `ClaimRecord` of a watch, which all processes share, and a report that this process
wants to send. Out: whether another process has told it already. A process claims a message by
writing a record over the one that it has read; of two that do so, one succeeds. The record holds
the message, so that another process can send it if the one that claimed it has died.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import attrs
import msgspec

from natstream.watches.file import Watch
from natstream.watches.report import Report

__all__ = ["ClaimRecord", "Claims", "Slot", "decode_record", "encode_record", "is_told", "key_of"]


class ClaimRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last message of a watch."""

    version: int = 1
    key: str
    """What the watch looks for; the record of another watch of the same name does not count."""
    owner: str
    """The process that sends it."""
    done: bool = False
    """Whether it was delivered, or given up."""
    beat: int = 0
    """Counts how often the owner has shown that it lives."""
    report: Report


@attrs.frozen
class Slot:
    """The place of a watch's record."""

    number: int
    """The number of the record; 0 if there is none."""
    content: bytes = b""


class Claims(Protocol):
    """Keeps one record for each watch. Every coroutine may raise `SourceError`."""

    @property
    def max_bytes(self) -> int:
        """Bytes that a record may have."""

    async def read(self, watch: str) -> Slot:
        """Return the record of a watch."""

    async def write(self, watch: str, content: bytes, over: int) -> int | None:
        """Write a record over the one with this number, and return its number.

        Return `None` if there is another record by now, so that nothing was written.
        """


_decode = msgspec.json.Decoder(ClaimRecord).decode


def encode_record(record: ClaimRecord, max_bytes: int) -> bytes:
    """Return a record as JSON, without the lines of its report if it would be too large."""
    content = msgspec.json.encode(record)
    if len(content) > max_bytes:
        report = msgspec.structs.replace(record.report, lines=())
        content = msgspec.json.encode(msgspec.structs.replace(record, report=report))
    return content


def decode_record(content: bytes) -> ClaimRecord | None:
    """Return the record of a slot; `None` if it has none that this release can read."""
    try:
        record = _decode(content)
    except msgspec.DecodeError:  # it includes wrong types
        return None
    return record if record.version == 1 else None


def key_of(watch: Watch) -> str:
    """Return what a watch looks for, as a short text."""
    words = (watch.query, watch.absent, watch.count, watch.within, watch.cooldown)
    return blake2b(repr(words).encode(), digest_size=10).hexdigest()


def is_told(report: Report, record: ClaimRecord, cooldown_ms: float) -> bool:
    """Return whether the record's message makes this one superfluous."""
    last = record.report
    if report.kind == "matched":
        return last.kind == "matched" and report.at_ms < last.at_ms + cooldown_ms
    if report.kind == "unknown":
        return last.kind in ("unknown", "absent")
    return last.kind == report.kind
