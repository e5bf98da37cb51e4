"""A log line can be read on a terminal, and cannot control it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.entries.escapes import UNSEEN, json_line, sanitize, text_line

introducers = st.sampled_from(
    ["\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b\\", "\x9b", "\x9d", "\x9c", "\x07", "\x90", "[", "]"]
)
parts = st.sampled_from(
    [
        *["31", "0", ";", ":", "m", "H", "?25l", ">4", " ", "(B", "k", "\r", "\n"],
        *["8", "41", "48;5;", "38:2::", "1", "49", "\x1b[8m", "\x1b[47m", "\x1b[30;40m"],
    ]
)
wholes = st.sampled_from(["\x1b[31m", "\x1b[0m", "\x1b[m", "\t", "\x08", "\u202e", "\ud800", "é"])
unseen = st.sampled_from(
    ["\u200b", "\u200c", "\u200d", "\u2028", "\u00ad", "\ufeff", "\U000e0041", "\u3164", "\u034f"]
)
pieces = introducers | parts | wholes | unseen
hostile = st.lists(pieces | st.text(max_size=3)).map("".join)
harmful = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\u00ad\u034f\u115f\u1160\u200b\u2028\u2029\u2060-\u206f\u3164\ufeff\U000e0000-\U000e0fff]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


@given(hostile)
def test_nothing_but_colours_survives(text: str) -> None:
    """In any sanitized text, colours are the only controls besides tab and line feed."""
    kept = sanitize(text, keep_colours=True)
    assert not harmful.search(re.sub(r"\x1b\[[0-9;:]*m", "", kept))
    assert not harmful.search(sanitize(text, keep_colours=False))


@given(hostile, st.booleans())
def test_twice_is_once(text: str, keep_colours: bool) -> None:
    """Sanitizing changes nothing in a sanitized text."""
    once = sanitize(text, keep_colours=keep_colours)
    assert sanitize(once, keep_colours=keep_colours) == once


@given(hostile)
def test_colours_never_leak(text: str) -> None:
    """A text that holds colours ends with all of them off."""
    colours = re.findall(r"\x1b\[[0-9;:]*m", sanitize(text, keep_colours=True))
    assert not colours or re.fullmatch(r"\x1b\[0*m", colours[-1])


LETTERS = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Cn", "Zl", "Zp"])


@given(st.text(LETTERS.filter(lambda char: not re.match(f"[{UNSEEN}]", char))))
def test_text_is_left_alone(text: str) -> None:
    """Text of any language, tabs and line feeds pass as they are."""
    assert sanitize(text, keep_colours=False) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a \x1b[1;31mred\x1b[0m b", "a red b"),
        ("\x1b[38:2::255:0:0mtrue colour", "true colour"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b[>4;2mkeys", "keys"),
        ("\x1b[0 q\x1b[?1049hscreen", "screen"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;cm0gLXJm\x1b\\x", "x"),
        ("\x9d0;title\x9cx", "x"),
        ("\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\x", "x"),
        ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
        ("\x1bktitle\x1b\\x", "x"),
        ("\x9b31mred", "red"),
        ("\x1b(0lqk\x1b(B", "lqk"),
        ("\x1bcreset \x1b7\x1bM", "reset "),
        ("ding\x07 back\x08\x08\x7f", "ding␇ back␈␈␡"),
        ("10%\r20%\r\nnext\r", "10%␍20%\nnext"),
        ("\x00 \x1b", "␀ ␛"),
        ("user\u202egpj.exe\u2066", "usergpj.exe"),
        ("half \ud83d", "half \ufffd"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("pass\u200bw\u200co\u200dr\u2060d\ufeff", "password"),
        ("one\u2028two\u2029", "one␤two␤"),
        ("soft\xadware \u3164\u115f\u034f", "software "),
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
        ("é\u200d\u200c\u200dé", "éé"),
    ],
)
def test_sequences_go_and_stray_controls_show(text: str, plain: str) -> None:
    """A sequence is removed whole; a control character that stands alone is shown."""
    assert sanitize(text, keep_colours=False) == plain


@pytest.mark.parametrize("start", ["\x1b]0;", "\x1bP", "\x1b_", "\x9d", "\x1b[", "\x1b[31"])
def test_a_sequence_without_an_end_takes_nothing_with_it(start: str) -> None:
    """The text after an unterminated sequence, and above all the next line, is kept."""
    assert "é this\nand that" in sanitize(f"{start}é this\nand that", keep_colours=True)


def test_colours_stay_where_wanted_and_end_with_the_text() -> None:
    """Colours that the line itself switches off are untouched; others get a reset."""
    assert sanitize("\x1b[32mok\x1b[m", keep_colours=True) == "\x1b[32mok\x1b[m"
    assert sanitize("\x1b[32mok", keep_colours=True) == "\x1b[32mok\x1b[0m"
    assert sanitize("\x1b[38;5;0mok", keep_colours=True) == "\x1b[38;5;0mok\x1b[0m"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\x1b[8mhidden", "hidden"),
        ("\x1b[0;31;8;1mhidden", "\x1b[0;31;1mhidden\x1b[0m"),
        ("\x1b[08mhidden\x1b[28m", "hidden"),
        ("\x1b[5mblink\x1b[6mblink", "blinkblink"),
        ("\x1b[30;40mhidden", "\x1b[30mhidden\x1b[0m"),
        ("\x1b[40m\x1b[30mhidden", "\x1b[30mhidden\x1b[0m"),
        ("\x1b[38;5;231;48;2;250;250;250mhidden", "\x1b[38;5;231mhidden\x1b[0m"),
        ("\x1b[38:2::1:2:3;48:5:16mhidden", "\x1b[38:2::1:2:3mhidden\x1b[0m"),
        ("\x1b[47mwhite on white?", "white on white?"),
        ("\x1b[41;37mbadge\x1b[0m", "\x1b[37;41mbadge\x1b[0m"),
        ("\x1b[41m\x1b[97mbadge\x1b[49m!\x1b[m", "\x1b[97;41mbadge\x1b[49m!\x1b[m"),
        ("\x1b[31;41m\x1b[37mx\x1b[0m", "\x1b[31m\x1b[37;41mx\x1b[0m"),
        ("\x1b[38;9;1;1mx", "x"),
        ("\x1b[" + "9" * 5_000 + "mx", "x"),
        ("\x1b[²m\x1b[48;5;²mx", "²m²mx"),
    ],
)
def test_colours_hide_nothing(text: str, kept: str) -> None:
    """Concealed text, blinking text and text in the colour of its background become readable."""
    assert sanitize(text, keep_colours=True) == kept
    assert sanitize(kept, keep_colours=True) == kept


@pytest.mark.parametrize(
    "part",
    [
        *["\x1b", "\x1b]", "\x1b]a", "\x9d", "\x9da", "\x1b[", "\x1b[1", "\x1b ", "\r", "\x1bP"],
        *["\x1b[8m", "\x1b[1;41;38;5;1m", ";8", "\u200d", "é\u200d", "\u200b", "\U000e0041"],
    ],
)
def test_a_hostile_line_costs_no_more_than_its_length(part: str) -> None:
    """The longest line of the service (256 KiB) takes well under a second."""
    start = time.process_time()
    sanitize(part * (262_144 // len(part)), keep_colours=True)
    sanitize(part + "1" * 262_144, keep_colours=True)
    assert time.process_time() - start < 1  # a quadratic search would take hours


def entry(message: str = "Listening on :8080", **fields: Any) -> LogEntry:
    fields = {"app_name": "web", "region": "sjc", "level": "info"} | fields
    moment = 1_664_310_877_252_022_967
    return LogEntry("0e286551c30586", message, "stdout", unix_ns=moment, **fields)


def test_a_line_reads_as_fly_logs_prints_it() -> None:
    """A line shows time, app, machine, region, level and message."""
    expected = "2022-09-27T20:34:37Z web[0e286551c30586] sjc [info] Listening on :8080"
    assert text_line(entry()) == expected


def test_what_is_missing_leaves_no_trace() -> None:
    """Without a level or a region there are no empty brackets; without an app, the provider."""
    line = text_line(entry("hi", app_name="", provider="proxy", region="", level=""))
    assert line == "2022-09-27T20:34:37Z proxy[0e286551c30586] hi"


def test_inner_breaks_are_indented() -> None:
    """A line that starts at the margin is always a new entry."""
    assert text_line(entry("Traceback:\n  File\r\n\n")).endswith("] Traceback:\n      File")


def test_painted_lines_hold_the_same_text() -> None:
    """Colours are all that `paint` adds, and an app has the same one each time."""
    for level in ("debug", "info", "warn", "error", "fatal", "odd", ""):
        painted = text_line(entry(level=level), paint=True)
        assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == text_line(entry(level=level))
    assert text_line(entry(), paint=True) == text_line(entry(), paint=True)
    assert text_line(entry(level="error"), paint=True) != text_line(entry(), paint=True)


@given(hostile, st.booleans())
def test_no_field_drives_the_terminal(text: str, paint: bool) -> None:
    """Every field of an entry may be hostile, and none breaks the line."""
    fields = {"app_name": text, "region": text, "level": text, "provider": text}
    line = text_line(entry("", **fields), paint=paint)
    assert not harmful.search(re.sub(r"\x1b\[[0-9;:]*m", "", line))
    assert "\n" not in line


@pytest.mark.parametrize("unix_ns", [-(10**30), 10**30])
def test_impossible_times_are_shown_as_the_epoch(unix_ns: int) -> None:
    """A forged time costs the line its time and nothing else."""
    assert text_line(LogEntry("m", "hi", "stdout", unix_ns=unix_ns)).startswith("1970-01-01T")


def test_json_is_the_original_made_safe() -> None:
    """Characters that are unsafe on a terminal are escaped, and the value stays the same."""
    original = {"message": "a\x1b[2J\x9b31m\x7f\u202eé\U000e0041\u200b\u200d\u2028", "id": "1-a-1"}
    line = json_line(LogEntry("m", "", "stdout", "", "", json.dumps(original).encode()))
    assert json.loads(line) == original
    assert not harmful.search(line)
