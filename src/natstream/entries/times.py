"""Times as senders write them → nanoseconds since 1970. Pure.

In: the text of a line's time, in ISO 8601 or as a number of seconds, ms, µs or ns since 1970. Out:
an integer, or None for a text that is not a time. No text makes a function of this module raise.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from natstream.entries.message import text_of

__all__ = ["first_time", "line_time", "parse_time"]

# The form that nearly every sender writes. The standard library reads the other forms of ISO 8601.
_ISO_8601 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|z|[+-]\d\d(?::?\d\d)?|)",
    re.ASCII,
)
_OTHER_ISO_8601 = re.compile(
    r"\d{4}(-?)\d\d\1\d\d(?:[T ]\d\d[\d:]{0,6}(?:[.,]\d{1,30})?(?:Z|[+-][\d:]{2,5})?)?", re.ASCII
)
# A time in another spelling: slashes in the date, small letters, and behind a space the zone or its
# name. Go prints `2022-09-27 22:34:37 +0200 CEST`, perhaps with ` m=+0.012` for its own clock, and
# Java `2022-09-27T22:34:37+02:00[Europe/Paris]`.
_SPELLING = re.compile(
    r"(\d{4})([-/])(\d\d)\2(\d\d)([Tt ])([\d:]{5,8}(?:[.,]\d{1,30})?)"
    r"(?: ?([+-]\d\d(?::?\d\d)?)(?: [A-Z]{1,5})?| ?(?:UTC|GMT|Z))?"
    r"(?: m=[+-][\d.]{1,30}|\[[\w/+-]{1,40}\])?",
    re.ASCII | re.IGNORECASE,
)
_LEAP_SECOND = re.compile(r"(.{10}[T ]\d\d:\d\d:)60(.*)", re.ASCII)
_DIGITS = re.compile(r"-?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,2})?", re.ASCII)

# Characters. A longer text is no time, whatever spaces stand around it.
LONGEST = 100

# The names of a line's time, in the order in which they count.
_NAMES = ("timestamp", "time", "ts", "@timestamp", "date", "dt")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# By the number of a fraction's digits: the nanoseconds for which its last digit counts.
_NS_OF_DIGITS: list[int] = [10 ** (9 - digits) for digits in range(10)]
# Years 1 to 9999, because the formats and every client can show these.
_FIRST_NS, _LAST_NS = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9


def parse_time(text: str) -> int | None:
    """Return the nanoseconds since 1970 of an ISO 8601 or epoch time, or None if it is neither.

    A time without a zone is UTC. Epoch times are seconds, ms, µs or ns; their size tells which.
    """
    if len(text) > LONGEST:
        return None  # before any expression, which would try each digit of a megabyte nine times
    unix_ns = _iso_ns(text)
    if unix_ns is None:
        text = text.strip()
    if unix_ns is None and _DIGITS.fullmatch(text):
        # A smaller number than 1e11 is seconds, since these reach 1e11 only in the year 5138.
        number = Decimal(text)
        size = abs(number)
        scale = 9 if size < 10**11 else 6 if size < 10**14 else 3 if size < 10**17 else 0
        unix_ns = int(number.scaleb(scale))
    elif unix_ns is None and (spelling := _SPELLING.fullmatch(text)):
        year, _, month, day, _, clock, zone = spelling.groups()
        unix_ns = _iso_ns(f"{year}-{month}-{day}T{clock}{zone or 'Z'}")
    return unix_ns if unix_ns is not None and _FIRST_NS <= unix_ns < _LAST_NS else None


def _iso_ns(text: str) -> int | None:
    if text[17:19] == "60" and (leap := _LEAP_SECOND.fullmatch(text)):
        before = _iso_ns(f"{leap[1]}59{leap[2]}")
        return None if before is None else before + 10**9
    if match := _ISO_8601.fullmatch(text):
        whole, fraction, zone = match.groups()
        seconds = _epoch_seconds(whole, zone)
        if seconds is None:
            return None
        return seconds * 10**9 + (int(fraction.ljust(9, "0")) if fraction else 0)
    if _OTHER_ISO_8601.fullmatch(text) and (moment := _moment(text)):
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
    return None


def line_time(text: str) -> int | None:
    """Return `parse_time` of a line's time. It is fast for the times that Fly writes."""
    # Fly writes "….252022967Z". The second is usually known from the line before.
    if len(text) == 30 and text[29] == "Z" and text[19] == "." and text.isascii():
        fraction = text[20:29]
        if fraction.isdigit() and (second := _second_ns(text[:19])) is not None:
            return second + int(fraction)
    if text[19:20] == "." and text.endswith("Z") and text.isascii():
        fraction = text[20:-1]
        if fraction.isdigit() and len(fraction) <= 9:
            second = _second_ns(text[:19])
            if second is not None:
                return second + int(fraction) * _NS_OF_DIGITS[len(fraction)]
    return parse_time(text) if text else None


def first_time(raw: Mapping[str, Any]) -> tuple[str, int]:
    """Return the first time in an object that can be read, as it was sent and as a number.

    Without one, these are the first text in the place of a time, and the time of arrival.
    """
    first = ""
    for name in _NAMES:
        text = text_of(raw.get(name))
        if text and (unix_ns := parse_time(text)) is not None:
            return text, unix_ns
        first = first or text
    return first, time.time_ns()


@lru_cache(maxsize=1024)
def _second_ns(text: str) -> int | None:
    return parse_time(text + "Z") if _ISO_8601.fullmatch(text) else None


@lru_cache(maxsize=1024)  # lines of the same second differ only in the fraction
def _epoch_seconds(whole: str, zone: str) -> int | None:
    moment = _moment(whole + zone.upper())
    return None if moment is None else (moment - _EPOCH) // timedelta(seconds=1)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
