"""Clicks on lines: a plain click opens the details, and selecting text moves nothing."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer

WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november "
DOUBLE_CLICK_MS = 500


def middle(locator: Locator) -> tuple[float, float]:
    box = eventually(locator.bounding_box, "a place on the screen")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def selected(viewer: Viewer) -> str:
    return str(viewer.page.evaluate("getSelection().toString()")).strip()


def opens_nothing(viewer: Viewer) -> None:
    viewer.page.wait_for_timeout(2 * DOUBLE_CLICK_MS)
    expect(viewer.drawer).to_be_hidden()


def open_story(viewer: Viewer) -> Locator:
    """Show lines that are wrapped, and return the message of one."""
    viewer.publish(*(f"line {number:02} {WORDS * 4}" for number in range(40)))
    viewer.open()
    expect(viewer.row("line 39")).to_be_visible()
    return viewer.message("line 35")


def pause(viewer: Viewer) -> None:
    """Stop the page's clock, soon, so that its times need no dates after midnight."""
    now: float = viewer.page.evaluate("Date.now()")
    viewer.page.clock.pause_at(now / 1_000 + 2)


def test_two_quick_clicks_on_a_chip_press_it_twice(viewer: Viewer) -> None:
    """The second click counts, although the first one has changed what the chip says."""
    viewer.page.clock.install()
    viewer.publish("a", region="iad")
    viewer.publish("b", region="ams")
    viewer.open()
    viewer.page.reload()
    chip = viewer.page.locator("[data-chip='region:iad']")
    expect(chip).to_be_visible()
    pause(viewer)
    chip.click(modifiers=["Alt"])
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} -region:iad")
    viewer.page.clock.run_for(200)
    expect(chip).to_have_accessible_name("no region iad")
    chip.click()
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app}")
    viewer.page.clock.resume()
    expect(viewer.rows).to_have_count(2)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95], ids=["left", "middle", "right"])
def test_a_double_click_selects_a_word_and_opens_nothing(viewer: Viewer, share: float) -> None:
    """A double click anywhere on a line selects the word there, and moves and opens nothing."""
    viewer.page.clock.install()
    message = open_story(viewer)
    box = eventually(message.bounding_box, "the line")
    x, y = box["x"] + box["width"] * share, box["y"] + box["height"] / 2
    # On a busy machine the two clicks would otherwise be too far apart.
    pause(viewer)
    viewer.page.mouse.click(x, y)
    viewer.page.clock.run_for(250)
    assert message.bounding_box() == box
    viewer.page.mouse.click(x, y, click_count=2)
    viewer.page.clock.resume()
    assert re.fullmatch(r"\w+", selected(viewer))
    opens_nothing(viewer)
    assert message.bounding_box() == box
    assert re.fullmatch(r"\w+", selected(viewer))


def test_three_clicks_a_drag_and_a_click_with_shift_open_nothing(viewer: Viewer) -> None:
    """Each way to select text leaves the details closed, and a plain click opens them."""
    message = open_story(viewer)
    x, y = middle(message)
    viewer.page.mouse.click(x, y, click_count=3, delay=20)
    assert selected(viewer).startswith("line 35")
    opens_nothing(viewer)
    viewer.page.mouse.move(x, y)
    viewer.page.mouse.down()
    viewer.page.mouse.move(x + 90, y, steps=4)
    viewer.page.mouse.up()
    assert selected(viewer)
    opens_nothing(viewer)
    viewer.page.keyboard.down("Shift")
    viewer.page.mouse.click(x + 150, y)
    viewer.page.keyboard.up("Shift")
    opens_nothing(viewer)
    viewer.page.evaluate("getSelection().removeAllRanges()")
    for key in ("Shift", "Control", "Alt"):
        viewer.page.keyboard.down(key)
        viewer.page.mouse.click(x, y)
        viewer.page.keyboard.up(key)
        viewer.page.evaluate("getSelection().removeAllRanges()")
    opens_nothing(viewer)
    box = eventually(message.bounding_box, "the line")
    viewer.page.mouse.click(x, y)
    expect(viewer.drawer).to_contain_text("line 35")
    assert eventually(message.bounding_box, "the line")["y"] == box["y"]


def test_a_click_and_a_key_open_the_details_at_once(viewer: Viewer) -> None:
    """A key after a click does not wait for a second click: the details follow it."""
    message = open_story(viewer)
    message.click()
    viewer.press("j")
    expect(viewer.drawer.locator(".message")).to_contain_text("line 36", timeout=300)


def test_a_field_keeps_the_focus_when_the_details_open(viewer: Viewer) -> None:
    """The details that open after a click do not take the focus from the search."""
    message = open_story(viewer)
    message.click()
    viewer.page.click("#query")
    expect(viewer.drawer).to_be_visible()
    expect(viewer.page.locator("#query")).to_be_focused()


def test_a_menu_keeps_the_focus_when_the_details_open(viewer: Viewer) -> None:
    """The details that open after a click leave the focus to a menu that was opened meanwhile."""
    message = open_story(viewer)
    message.click()
    viewer.page.click("#view-button")
    viewer.page.keyboard.press("Escape")
    expect(viewer.drawer).to_be_visible()
    expect(viewer.page.locator("#view")).to_be_hidden()
    expect(viewer.page.locator("#view-button")).to_be_focused()


def test_lines_that_arrive_do_not_move_a_pressed_row(viewer: Viewer) -> None:
    """From the press on, new lines leave the row where it is, so that the click meets it."""
    viewer.publish(*(f"line {number:03}" for number in range(100)))
    viewer.open()
    message = viewer.message("line 095")
    x, y = middle(message)
    viewer.page.mouse.move(x, y)
    viewer.page.mouse.down()
    viewer.publish(*(f"later {number}" for number in range(50)))
    expect(viewer.page.locator("#newest")).to_have_text("50 new lines")
    assert middle(message) == (x, y)
    viewer.page.mouse.up()
    expect(viewer.drawer).to_contain_text("line 095")


@pytest.mark.parametrize("button", ["Close (esc)", "In context", "Copy link"])
def test_a_double_click_on_a_button_presses_no_other(viewer: Viewer, button: str) -> None:
    """The second click of a double click does not press what the first has brought there."""
    message = open_story(viewer)
    message.click()
    x, y = middle(viewer.drawer.get_by_role("button", name=button))
    before = viewer.page.input_value("#query")
    viewer.page.mouse.click(x, y)
    viewer.page.mouse.click(x, y, click_count=2)
    viewer.page.wait_for_timeout(2 * DOUBLE_CLICK_MS)
    if button.startswith("Close"):
        expect(viewer.drawer).to_be_hidden()
        expect(viewer.page.locator(".chosen")).to_contain_text("line 35")
    assert viewer.page.input_value("#query") == before


@pytest.mark.parametrize("which", ["#newest", "#earlier"])
def test_a_button_that_appears_is_not_under_the_second_click(viewer: Viewer, which: str) -> None:
    """A button that a click on a line brings appears after the time of a double click."""
    viewer.publish(*(f"line {number:05}" for number in range(10_500)))
    viewer.open()
    # As many as the page asks for, and those that have come since.
    expect(viewer.page.locator("#held")).to_contain_text(re.compile(r"^10,\d{3} lines"))
    if which == "#earlier":
        viewer.press("g")
    else:
        viewer.rows.nth(-3).click()
    covers = viewer.page.evaluate(
        """which => {
          const button = document.querySelector(which);
          const { x, y, width, height } = button.getBoundingClientRect();
          const at = document.elementFromPoint(x + width / 2, y + height / 2);
          return button.contains(at);
        }""",
        which,
    )
    assert not covers
    expect(viewer.page.locator(which)).to_be_visible()


def test_a_long_press_selects_and_opens_nothing(viewer: Viewer) -> None:
    """A finger that rests on a line selects a word, and a tap opens the details."""
    message = open_story(viewer)
    x, y = middle(message)
    client = viewer.page.context.new_cdp_session(viewer.page)
    client.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(milliseconds: int) -> None:
        points = [{"x": x, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
        viewer.page.wait_for_timeout(milliseconds)
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    touch(900)
    opens_nothing(viewer)
    viewer.page.evaluate("getSelection().removeAllRanges()")
    touch(30)
    expect(viewer.drawer).to_contain_text("line 35")
