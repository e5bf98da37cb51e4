"""Moving through the lines with keys and buttons."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.support.viewer import Viewer


def test_the_keyboard_does_everything(viewer: Viewer) -> None:
    """Keys move through the list, open details and help, and are plain text in a field."""
    viewer.publish(*(f"\x1b[3{number % 8}mline {number}" for number in range(300)))
    viewer.publish('{"a": 1}')
    viewer.open()
    expect(viewer.row("a=1")).to_be_visible()
    viewer.press("g")
    expect(viewer.row("line 0")).to_be_visible()
    assert not viewer.is_at_end()
    viewer.press("ArrowDown")
    viewer.press("j")
    expect(viewer.page.locator(".chosen")).to_contain_text("line 1")
    expect(viewer.page.locator("#announcer")).to_have_text(f"info {viewer.app} iad: line 1")
    viewer.press("Enter")
    expect(viewer.drawer).to_contain_text("line 1")
    viewer.press("Escape")
    expect(viewer.drawer).to_be_hidden()
    viewer.press("G")
    expect(viewer.row("a=1")).to_be_visible()
    viewer.press("End")
    viewer.press("ArrowUp")
    viewer.press("ArrowDown")
    viewer.press("ArrowRight")
    expect(viewer.page.locator(".chosen .m")).to_have_text(re.compile(r'\{\s+"a": 1\s+\}'))
    viewer.press("ArrowLeft")
    viewer.press("?")
    expect(viewer.page.locator("#help")).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#help")).to_be_hidden()
    viewer.press("/")
    expect(viewer.page.locator("#query")).to_be_focused()
    viewer.page.keyboard.type("gG?n w")
    expect(viewer.page.locator("#query")).to_have_value("gG?n w")


def test_without_a_search_n_goes_to_what_stands_out(viewer: Viewer) -> None:
    """Without a search, `N` goes to the previous error, marker or gap."""
    viewer.publish("calm")
    viewer.publish("broken", level="error")
    viewer.publish("calm again", "and again")
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    viewer.press("N")
    expect(viewer.page.locator(".chosen")).to_contain_text("broken")


def test_matches_can_be_visited_among_all_lines(viewer: Viewer) -> None:
    """The keys `n` and `N` go from match to match among all lines, and say when none is left."""
    viewer.publish(*(f"line {number}" + " needle" * (number % 40 == 7) for number in range(200)))
    viewer.open("&q=needle")
    expect(viewer.rows).to_have_count(5)
    viewer.page.click("#context")
    expect(viewer.page.locator("#held")).to_contain_text("200 lines")
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} needle")
    assert "show=all" in viewer.page.url
    chosen = viewer.page.locator(".chosen")
    for key, number in (("N", 167), ("N", 127), ("n", 167)):
        viewer.press(key)
        expect(chosen).to_contain_text(f"line {number} needle")
        expect(chosen.locator("mark")).to_have_text("needle")
    viewer.press("n")
    expect(viewer.page.locator("#hint")).to_have_text("No later match")
    viewer.page.click("#find-previous")
    expect(chosen).to_contain_text("line 127 needle")
