"""The room that the lines have: on usual screens, at 400 % zoom, and on telephones."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer

SEEN = """() => {
  const inside = (box, { top, bottom }) => box.top >= top - 1 && box.bottom <= bottom + 1;
  const list = document.getElementById('lines').getBoundingClientRect();
  const screen = { top: 0, bottom: innerHeight };
  return [...document.querySelectorAll('#rows .row')].map((row) => row.getBoundingClientRect())
    .filter((box) => inside(box, list) && inside(box, screen)).length;
}"""


def publish_many(viewer: Viewer) -> None:
    """Publish lines with so many values that their chips fill more than a row."""
    for number in range(12):
        viewer.publish(
            *(f"line {number}" for _ in range(10)),
            region=f"r{number}",
            machine=f"machine-{number}",
            level=("info", "warn", "error", "debug", "trace", "odd")[number % 6],
        )


@pytest.mark.parametrize("size", [(1280, 720), (1280, 640)])
def test_24_lines_are_seen_on_a_small_screen(viewer: Viewer, size: tuple[int, int]) -> None:
    """The page shows 24 lines at 1280 pixels, with the histogram and one row of chips."""
    viewer.page.set_viewport_size({"width": size[0], "height": size[1]})
    publish_many(viewer)
    viewer.open()
    expect(viewer.page.locator("#chips-more")).to_be_visible()
    expect(viewer.page.locator("#strip-canvas")).to_be_visible()
    eventually(lambda: viewer.page.evaluate(SEEN) >= 24, "24 lines")
    first = viewer.page.locator("#chips .chip").first.bounding_box()
    room = viewer.page.locator("#chips").bounding_box()
    assert first is not None
    assert room is not None
    assert room["height"] <= first["height"] + 1


def test_the_chips_unfold(viewer: Viewer) -> None:
    """A button shows all chips, says how many that are hidden are chosen, and is remembered."""
    publish_many(viewer)
    viewer.open("&type=log")
    more = viewer.page.locator("#chips-more")
    expect(more).to_have_text("more filters (1 chosen)")
    chosen = viewer.page.locator("[data-chip='type:log']")
    expect(chosen).not_to_be_in_viewport()
    more.click()
    expect(more).to_have_text("fewer filters")
    expect(more).to_have_attribute("aria-expanded", "true")
    expect(chosen).to_be_in_viewport()
    viewer.open()
    expect(more).to_have_text("fewer filters")
    more.click()
    expect(more).to_have_text("more filters")
    # Where all chips fit, there is no button.
    viewer.page.set_viewport_size({"width": 2600, "height": 720})
    expect(more).to_be_hidden()


@pytest.mark.parametrize("size", [(320, 180), (320, 256), (740, 360), (667, 375)])
def test_lines_are_seen_at_400_percent(viewer: Viewer, size: tuple[int, int]) -> None:
    """At 400 % zoom, and on a telephone on its side, the newest lines are on the screen.

    The page scrolls to the chips and the histogram, and never sideways.
    """
    viewer.page.set_viewport_size({"width": size[0], "height": size[1]})
    publish_many(viewer)
    viewer.open()
    eventually(lambda: viewer.page.evaluate(SEEN) >= 2, "two lines")
    expect(viewer.rows.last).to_be_in_viewport()
    viewer.page.locator("#strip").scroll_into_view_if_needed()
    expect(viewer.page.locator("#strip")).to_be_in_viewport()
    assert viewer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    viewer.rows.last.click()
    expect(viewer.drawer).to_be_in_viewport()
    if size[0] < 700:
        box = viewer.drawer.bounding_box()
        assert box is not None
        assert box["height"] > size[1] * 0.9
    viewer.drawer.get_by_role("button", name="Copy message").click()
    expect(viewer.page.locator("#hint")).to_be_in_viewport()
    viewer.page.keyboard.press("Escape")
    expect(viewer.drawer).to_be_hidden()
