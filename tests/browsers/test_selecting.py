"""Clicks, selections and copies, in each browser."""

from __future__ import annotations

import re
import time

import pytest
from tests.support.browser_log import ROW, LogPage

# One word, so that no click meets a space.
WORD = "alpha_bravo_charlie_delta_echo_foxtrot_golf_hotel_india_juliett_kilo_lima_mike_" * 4
# Seconds after which a click that was not the first of two would have opened the details.
LATER = 1.0


@pytest.mark.parametrize("share", [0.3, 0.95], ids=["left", "right"])
def test_a_double_click_selects_a_word(log: LogPage, share: float) -> None:
    """A double click on a line selects the word there, and moves, opens and presses nothing."""
    log.publish(*(f"line {number:02} {WORD}" for number in range(40)))
    log.open()
    log.wait_for_row("line 39")
    before = log.tab.box(f"{ROW} .m", "line 35")
    query = log.tab.value("#query")
    log.tab.double_click(f"{ROW} .m", "line 35", x=before["width"] * share)
    assert re.fullmatch(r"\w+", log.tab.selected().strip())
    time.sleep(LATER)
    assert log.tab.texts("#details") == []
    assert log.tab.box(f"{ROW} .m", "line 35") == before
    assert log.tab.value("#query") == query


def test_a_selection_beyond_the_drawn_rows_is_copied_whole(log: LogPage) -> None:
    """A drag during which the list scrolls copies all lines between its ends as lines."""
    log.publish(*(f"line {number:04}" for number in range(1_000)))
    log.open()
    log.wait_for_row("line 0999")
    log.tab.press("g")
    start = log.tab.box(f"{ROW} .m", "line 0005")
    x, y = start["left"] + 30, start["y"]
    log.tab.hold_at(x - 18, y)
    log.tab.move_to(x, y)
    for _ in range(10):
        log.tab.wheel_at(x, y, 800)
        log.tab.move_to(x, y - 3)
        log.tab.move_to(x, y + 3)
    log.tab.wait_until_gone(ROW, "line 0005")
    log.tab.move_to(x + 4, y)
    log.tab.let_go()
    lines = log.copied()
    assert len(lines) > 300
    assert [int(line[-4:]) for line in lines] == list(range(5, 5 + len(lines)))
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\+0[12]:00 ", line) for line in lines)


def test_control_a_and_control_f_are_the_lists(log: LogPage) -> None:
    """Ctrl+A selects all lines, whose messages are copied whole; Ctrl+F goes to the search."""
    long = "start " + " ".join(f"word{number}" for number in range(900)) + " end"
    log.publish(long, *(f"line {number:04}" for number in range(600)))
    log.publish("machine exited with exit code 0", provider="runner")
    log.open()
    log.wait_for_row("machine exited")
    log.tab.press("Control+a")
    lines = [line.partition("] ")[2].partition("] ")[2] for line in log.copied()]
    assert lines == [
        long,
        *(f"line {number:04}" for number in range(600)),
        "machine exited with exit code 0",
    ]
    log.tab.press("Control+f")
    log.tab.press("Control+a")
    log.tab.type("app:other")
    assert log.tab.value("#query") == "app:other"
