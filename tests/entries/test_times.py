"""Times as senders write them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.payloads import sent

from natstream.entries.entry import LogEntry
from natstream.entries.fly import LONGEST_NAME, parse_nats, parse_text
from natstream.entries.times import parse_time

SECOND = 1_664_310_877


def published(**fields: Any) -> LogEntry:
    """Return the entry of a NATS message with these fields."""
    return parse_nats("logs.web.sjc.m", json.dumps({"message": "hello", **fields}).encode())


@pytest.mark.parametrize(
    ("text", "unix_ns"),
    [
        ("2022-09-27T20:34:37Z", SECOND * 10**9),
        ("2022-09-27T20:34:37.2Z", SECOND * 10**9 + 200_000_000),
        ("2022-09-27T20:34:37.252022967Z", SECOND * 10**9 + 252_022_967),
        ("2022-09-27T20:34:37.2520229679999Z", SECOND * 10**9 + 252_022_967),
        ("2022-09-27T20:34:37,25z", SECOND * 10**9 + 250_000_000),
        ("2022-09-27 20:34:37", SECOND * 10**9),
        ("2022-09-27T22:34:37+02:00", SECOND * 10**9),
        ("2022-09-27T22:34:37.5+0200", SECOND * 10**9 + 500_000_000),
        ("2022-09-27 16:34:37.000000001-04", SECOND * 10**9 + 1),
        ("2022-09-27T20:34Z", (SECOND - 37) * 10**9),
        ("20220927T203437.5Z", SECOND * 10**9 + 500_000_000),
        ("2022-09-27", (SECOND - 37 - 34 * 60 - 20 * 3600) * 10**9),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * 10**9),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_800 * 10**9 - 1),
        ("1664310877", SECOND * 10**9),
        ("1664310877.25", SECOND * 10**9 + 250_000_000),
        ("1664310877252", SECOND * 10**9 + 252_000_000),
        ("1664310877252022", SECOND * 10**9 + 252_022_000),
        ("1664310877252022967", SECOND * 10**9 + 252_022_967),
        (
            "99999999999",
            99_999_999_999 * 10**9,
        ),  # the largest seconds, then ms and µs
        ("100000000000", 10**11 * 10**6),
        ("99999999999999", 99_999_999_999_999 * 10**6),
        ("100000000000000", 10**14 * 10**3),
        ("99999999999999999", 99_999_999_999_999_999 * 10**3),
        ("100000000000000000", 10**17),
        ("2022-09-27t20:34:37.5z", SECOND * 10**9 + 500_000_000),
        ("2022-09-27 20:34:37 UTC", SECOND * 10**9),
        ("2022-09-27 20:34:37.25 utc", SECOND * 10**9 + 250_000_000),
        ("2022-09-27T20:34:37 GMT", SECOND * 10**9),
        ("2022-09-27 20:34:37 Z", SECOND * 10**9),
        ("2022-09-27 20:34:37 +0000", SECOND * 10**9),
        ("2022-09-27 22:34:37.123456789 +02:00", SECOND * 10**9 + 123_456_789),
        ("2022-09-27 20:34:37.5 +0000 UTC", SECOND * 10**9 + 500_000_000),
        ("2022-09-27 22:34:37 +0200 CEST", SECOND * 10**9),
        ("2022-09-27 22:34:37.5 +0200 CEST m=+0.012", SECOND * 10**9 + 500_000_000),
        ("2022-09-27T22:34:37+02:00[Europe/Paris]", SECOND * 10**9),
        (" 1664310877\n", SECOND * 10**9),
        ("2022/09/27 20:34:37", SECOND * 10**9),
        ("2022-09-27T20:34:37Z\n", SECOND * 10**9),
        ("2022-09-27T20:34:60Z", (SECOND + 23) * 10**9),
        ("2016-12-31T23:59:60.25Z", 1_483_228_800 * 10**9 + 250_000_000),
        ("2016-12-31 23:59:60 UTC", 1_483_228_800 * 10**9),
        ("1.664310877e9", SECOND * 10**9),
        ("1.66431087725E+09", SECOND * 10**9 + 250_000_000),
        ("1664310877e3", SECOND * 10**9),
        ("1664310877.", SECOND * 10**9),
        ("0", 0),
        ("-1", -(10**9)),
    ],
)
def test_a_time_that_is_understood(text: str, unix_ns: int) -> None:
    """ISO 8601 in its usual spellings, and epoch seconds, ms, µs and ns are understood."""
    assert parse_time(text) == unix_ns
    for entry in (sent(timestamp=text), published(timestamp=text)):
        assert (entry.timestamp, entry.unix_ns) == (text, unix_ns)


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2022-13-27T20:34:37Z", "2022-09-27T20:34:37+99:00", "9" * 40, "1e999",
     "٣", "2022-09-27T20:34:61Z",
     "2022-09-27 20:34:37 CEST",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "20:34:37", "\x00", "nan",
     "1" * 5_000, "1" * 8 + "T" + "1" * 5_000, "2022-09-27x20:34", "2022-W39-2"]
)  # fmt: skip
def test_a_time_that_is_not_understood_is_the_arrival(text: str) -> None:
    """A line whose time cannot be read has the time of its arrival, and keeps the text's start."""
    before = time.time_ns()
    for entry in (sent(timestamp=text), published(timestamp=text), sent(), parse_text(b"x")):
        assert before <= entry.unix_ns <= time.time_ns()
    for entry in (sent(timestamp=text), published(timestamp=text)):
        assert entry.timestamp == text[:LONGEST_NAME]
    assert parse_time(text) is None


@given(st.text() | st.text(alphabet="0123456789-:.TZ+, "))
def test_any_text_is_a_time_or_none(text: str) -> None:
    """No text raises, and each time that is found can be shown by every client."""
    unix_ns = parse_time(text)
    assert unix_ns is None or -62_135_596_800 * 10**9 <= unix_ns < 253_402_300_800 * 10**9


def test_a_longer_text_is_no_time() -> None:
    """A hundred characters are enough for each spelling, and no expression reads more of them."""
    long = "2022-09-27T20:34:37." + "9" * 79
    assert parse_time(long + "Z") is not None
    assert parse_time(long + "9Z") is None
    assert parse_time(" " * 50 + "1664310877" + " " * 50) is None
