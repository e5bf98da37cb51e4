"""The level that an app or a sender gave to its own line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_log_entry, parse_nats, parse_object, parse_text
from natstream.entries.level_names import LEVEL_ALIASES
from natstream.entries.levels import level_of
from natstream.entries.trace_shapes import head_of, shape_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES = {"trace", "debug", "info", "warn", "error", "fatal"}


def labelled(name: str) -> list[Any]:
    """Return the lines of a fixture as parameters."""
    rows = [json.loads(row) for row in (FIXTURES / name).read_text().splitlines()]
    return [
        pytest.param(row["message"], row["level"], id=f"{number}-{row['why'][:40]}")
        for number, row in enumerate(rows)
    ]


def from_fly(message: str, provider: str = "app", platform: str = "info", **own: Any) -> LogEntry:
    """Return the entry of a message as Fly publishes it."""
    record = {
        "event": {"provider": provider},
        "log": {"level": platform},
        "message": message,
        "timestamp": "2026-03-01T10:00:00.123Z",
        **own,
    }
    return parse_nats("logs.web.sjc.m1", json.dumps(record).encode())


def from_drain(**record: Any) -> LogEntry:
    """Return the entry of a sender's object, which is the same from its bytes and decoded."""
    record = {"machine_id": "m1", "message": "hi", "timestamp": "2026-03-01T10:00:00Z", **record}
    payload = json.dumps(record).encode()
    entry = parse_object(payload)
    assert entry is not None
    assert entry == parse_log_entry(record)
    return entry


@pytest.mark.parametrize(
    ("message", "level"),
    [
        *labelled("levels.jsonl"),
        *labelled("levels_formats.jsonl"),
        *labelled("levels_variants.jsonl"),
    ],
)
def test_a_line_says_its_level(message: str, level: str) -> None:
    """Each line of many frameworks has the level that a person would give it, or none."""
    assert level_of(message) == level


@pytest.mark.parametrize(
    "words",
    [
        "ERROR", "ERROR:", "error:", "[ERROR]", "[error]", "| error |", "<Error>", "WARN", "FATAL:",
        "level=error", "fatal error:", "Error", "errors", "TypeError", "TypeError:", "panicked at",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "sentence",
    [
        "the job said {} and went on", "retried after {} twice", "no {} so far", "see {} for more",
        "user wrote: {} is bad", 'GET /search?q={} HTTP/1.1" 200', "count of {} is 3",
    ],
)  # fmt: skip
def test_a_word_in_a_sentence_is_no_level(sentence: str, words: str) -> None:
    """The same words that say a level at its place say nothing in the middle of a sentence."""
    assert level_of(sentence.format(words)) == ""


@pytest.mark.parametrize(
    "message",
    [
        "Warning: none", "error: 0", "Error: 0 of 12 tests", "errors: 3", "Info: true",
        "err: <nil>", "Errors", "Error", "error", "warning", "Debug: off", "ERROR: 0",
        "Warnings: 0, errors: 0",
    ],
)  # fmt: skip
def test_a_label_with_its_value_is_no_level(message: str) -> None:
    """A word, a colon and a number or a plain answer are a label, and so is a word alone."""
    assert level_of(message) == ""


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ({"level": "Information"}, "info"),
        ({"level": "verbose", "msg": "x"}, "debug"),
        ({"level": "wrn", "msg": "x"}, "warn"),
        ({"level": "fine", "msg": "x"}, "debug"),
        ({"lvl": "eror"}, "error"),
        ({"severity": "CRITICAL"}, "fatal"),
        ({"severity": 4, "message": "x"}, "warn"),
        ({"severity": 4, "ticket": 7}, ""),
        ({"severity": 9}, ""),
        ({"levelname": "WARNING"}, "warn"),
        ({"log.level": "ERROR"}, "error"),
        ({"log": {"level": "error"}}, "error"),
        ({"@l": "Warning"}, "warn"),
        ({"@level": "debug"}, "debug"),
        ({"LogLevel": "Critical"}, "fatal"),
        ({"severity_text": "Warn"}, "warn"),
        ({"severityText": "ERROR4"}, ""),
        ({"severityNumber": 13}, "warn"),
        ({"severity_number": 24}, "fatal"),
        ({"severity_number": 25}, ""),
        ({"levelno": 25}, "info"),
        ({"level": 10, "time": 1}, "trace"),
        ({"level": 35, "time": 1}, ""),
        ({"level": "50", "time": 1}, "error"),
        ({"level": 50, "coins": 1}, ""),
        ({"level": 250, "channel": "app"}, "info"),
        ({"level": 600, "channel": "app"}, "fatal"),
        ({"level": 2, "short_message": "x"}, "fatal"),
        ({"level": 2, "message": "x"}, ""),
        ({"level": True, "message": "x"}, ""),
        ({"level": None, "lvl": "warn"}, "warn"),
        ({"level": "gold", "severity": "error"}, "error"),
        ({"level": {"name": "error"}}, ""),
        ({"s": "W", "t": {"$date": "x"}, "c": "NETWORK"}, "warn"),
        ({"s": "E"}, ""),
        ({"data": {"level": "error"}}, ""),
        ({"status": 500}, ""),
    ],
)
def test_a_json_object_says_its_level_by_known_keys(record: dict[str, Any], level: str) -> None:
    """Names of levels and numbers of known scales count, and no other values."""
    message = json.dumps(record)
    assert level_of(message) == level
    assert level_of(f"api-1  | {message}") == level
    assert level_of(json.dumps(message)) == level


@pytest.mark.parametrize(
    "message",
    [
        "NOTICE OF TERMINATION", "(error) => {}", "<Error>404</Error>", "error|warn|info",
        "| error | 3 |", "Exception in thread safe mode", "trace: 4bf92f3577b34da6", "TRACE_ID=abc",
        "Setting level=debug for all loggers", 'msg="level=error" n=3', "user level=error wins",
        "ERROR_LOG=/dev/stderr", "alert('x')", "CRITICAL_CSS inlined", "panic button mounted",
        "Uncaught foxes", "Unhandled events: 0", "fail2ban started", "[errors] 0", "F1 connected",
        "E2E tests passed", "<5 items left", "TRACE / HTTP/1.1", "2026-03-01 10:00:00 no ERROR yet",
    ],
)  # fmt: skip
def test_what_only_resembles_a_level_is_none(message: str) -> None:
    """Names, markup, tables, code and labels that hold a level word say no level."""
    assert level_of(message) == ""


def test_the_apps_word_beats_the_platform() -> None:
    """Fly says `info` for lines of apps; where the line says nothing, that stays."""
    assert from_fly("ERROR: boom").level == "error"
    assert from_fly("hello").level == "info"
    assert from_fly("hello", platform="Warning").level == "warn"
    assert from_fly("DEBUG: x", platform="error").level == "debug"


@pytest.mark.parametrize("provider", ["runner", "proxy", "health", "machine", "other"])
def test_the_platforms_own_lines_keep_their_level(provider: str) -> None:
    """A line that no app wrote has the level that the platform gives it."""
    assert from_fly("ERROR: boom", provider=provider).level == "info"


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ({"level": "warning"}, "warn"),
        ({"level": "error", "log": {"level": "info"}}, "error"),
        ({"level": "info", "log": {"level": "info"}, "message": "ERROR: boom"}, "error"),
        ({"level": "info", "log": {"level": "info"}, "severity": "ERROR"}, "error"),
        ({"level": "info", "log": {"level": "info"}, "lvl": "warn"}, "warn"),
        ({"level": "info", "message": "ERROR: boom"}, "info"),
        ({"level": 50}, "error"),
        ({"level": 400}, "error"),
        ({"level": 3}, "3"),
        ({"level": 3, "short_message": "x"}, "error"),
        ({"level": "gold"}, "gold"),
        ({"severity": 3}, "error"),
        ({"severity": "notice"}, "info"),
        ({"levelname": "CRITICAL"}, "fatal"),
        ({"LogLevel": "Trace"}, "trace"),
        ({"message": "ERROR: boom"}, "error"),
        ({"message": "hello"}, ""),
        ({"log": {"level": "info"}, "message": "WARN: x"}, "warn"),
        ({"source": "fly", "message": "WARN: x"}, ""),
    ],
)
def test_a_sender_has_the_first_word(record: dict[str, Any], level: str) -> None:
    """A sender's own level wins, unless Fly's recipe for Loki copied it from the platform."""
    assert from_drain(**record).level == level


def test_a_line_of_text_says_its_level() -> None:
    """A text without an object around it is read as an app's line."""
    assert parse_text(b"ERROR: boom").level == "error"
    assert parse_nats("logs.web.sjc.m1", b"2026-03-01 10:00:00 WARN slow").level == "warn"


def test_raw_shows_what_the_platform_said() -> None:
    """The payload is kept, so its level and the entry's can be compared."""
    assert from_fly("ERROR: boom").raw["log"] == {"level": "info"}


def test_every_alias_is_understood_in_brackets() -> None:
    """A level in brackets is recognised under each of its names."""
    for alias, level in LEVEL_ALIASES.items():
        assert level_of(f"[{alias}] hello") == level
        assert level_of(f"2026-03-01 10:00:00 [{alias.upper()}] hello") == level


# --- hostile text -------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        "[", "]", "[ERROR", "[error]", "(", "{", "<", "|", "- ", "::", "at ", "at (", "a.b(", "a.",
        "2026-03-01", "T10:00:00", " 10:00:00.123 ", "Jan 1 ", "level=", "level=error ", '"', "'",
        "\\", "=", "key=value ", "\x1b[31m", "\x1b[", "ERROR", "error: ", "Error", "Caused by: ",
        "thread '", 'File "', "/a/b.c:1", ":in `", "0x1", "#1 ", "** (", "~^", " ", "\t", "\n",
        "{\"level\":", "lvl=", "a |", " " * 70, "🚨 ", "é", "\u2028", "\ud800", "~", "1",
        "goroutine 1 [",
    ]
)  # fmt: skip
hostile = st.text() | st.lists(pieces, max_size=200).map("".join)
readings: list[Callable[[str], object]] = [level_of, shape_of, head_of]


@given(hostile)
def test_no_text_raises(text: str) -> None:
    """Each text has one of the known levels or none."""
    assert level_of(text) in NAMES | {""}
    for reading in readings:
        reading(text)


@given(st.lists(pieces, min_size=1, max_size=4).map("".join))
def test_no_text_is_slow(piece: str) -> None:
    """The time does not grow faster than the text: at most 0.4 µs a byte, for 4 KiB and more."""
    for size in (4_096, 65_536):
        text = (piece * (size // len(piece) + 1))[:size]
        for reading in readings:
            assert min(_seconds(reading, text) for _ in range(5)) < size * 0.4e-6


def test_a_row_of_names_is_bounded() -> None:
    """Only one name and its bar may stand before a line, however many are sent."""
    assert level_of("api |  ERROR: boom") == "error"
    assert level_of(("a |" + " " * 70) * 3_600) == ""


def _seconds(reading: Callable[[str], object], text: str) -> float:
    started = time.thread_time()
    reading(text)
    return time.thread_time() - started
