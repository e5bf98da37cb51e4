"""Structured messages as people read them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.entry import LogEntry
from natstream.entries.escapes import text_line
from natstream.entries.readable import MAX_FIELDS, MAX_LENGTH, read_message

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["msg", "event", "a", "b c", "error"]), values))
def test_no_object_raises_or_loses_a_value(found: dict[str, object]) -> None:
    """The text and the fields of an object are all of its leaves."""
    text, fields = read_message(json.dumps(found))
    if not fields and text == json.dumps(found):
        return
    assert len(fields) + bool(text) >= len(found)


@given(st.text(max_size=50))
def test_no_text_raises(text: str) -> None:
    """Any text is a message, and text that is no JSON object is shown as it is."""
    shown, fields = read_message(text)
    assert fields or shown == text or text.strip().startswith(("{", '"'))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"msg":"a","message":"b"}', "a"),
        ('{"message":"b","event":"c"}', "b"),
        ('{"message":{"x":1},"event":"c"}', "c"),
        ('{"msg":"","text":"t"}', "t"),
        ('{"error":{"message":"boom"},"n":1}', "boom"),
        ('{"n":1}', ""),
        ('app-1  | {"msg":"a"}', "app-1  | a"),
        ('2026-01-01T00:00:00Z [x] {"msg":"a"}', "2026-01-01T00:00:00Z [x] a"),
        ('we send {"msg":"a"}', "we send a"),
        ('{"msg":"a"} twice', '{"msg":"a"} twice'),
        ("{}", "{}"),
        ('["msg"]', '["msg"]'),
    ],
)
def test_the_text_is_where_logging_libraries_put_it(message: str, text: str) -> None:
    """The first usual name that holds a text gives it, behind the words before the object."""
    assert read_message(message)[0] == text


SHARED = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures/summaries.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case["message"][:30])
def test_a_terminal_shows_what_the_page_shows(case: dict[str, str]) -> None:
    """A terminal shows a message as the page does, whose test has the same cases."""
    line, empty = (
        text_line(LogEntry("m", message, "stdout", unix_ns=0), keep_colours=False, for_people=True)
        for message in (case["message"], "")
    )
    assert line == empty + case["shown"].replace("\n", "\n    ")


@pytest.mark.parametrize(
    "message",
    [
        "{" * MAX_LENGTH + "}",
        json.dumps({str(n): n for n in range(MAX_FIELDS + 1)}),
        json.dumps({"msg": "x" * MAX_LENGTH}),
        '{"a":' + "[" * 900 + "]" * 900 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
    ],
    ids=["braces", "many", "long", "lists", "objects"],
)
def test_a_message_too_large_to_read_is_shown_as_it_is(message: str) -> None:
    """Messages with too much in them are not taken apart, and cost no time."""
    started = time.process_time()
    text, fields = read_message(message)
    assert text == message or fields
    assert time.process_time() - started < 0.5
