"""The focus and the keys: after clicks, after closed windows, and where a control goes away."""

from __future__ import annotations

import json
from functools import partial

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer

FOCUS = """() => {
  const active = document.activeElement;
  return active.getAttribute('aria-label') || active.id || active.textContent || active.tagName;
}"""


def focus(viewer: Viewer) -> str:
    return str(viewer.page.evaluate(FOCUS))


def has_focus(viewer: Viewer, *names: str) -> bool:
    return focus(viewer) in names


def tab_to(viewer: Viewer, selector: str) -> None:
    """Press Tab until an element has the focus."""
    wanted = viewer.page.locator(selector).first
    for _ in range(80):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        viewer.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def paused(viewer: Viewer) -> str:
    return str(viewer.page.locator("#pause").get_attribute("aria-pressed"))


CLICKED = (
    "[data-chip='level:info']", "#mute", "#pause", "#clear", "#help-button", "#view-button",
    "#find-previous", "#rows .fold", "#rows .more-lines", "#state", "#strip-slider",
    "#download-button", "#rows .row",
)  # fmt: skip
CLICKED_IN_THE_DETAILS = ("[aria-label='Next line']", ".actions button:has-text('JSON')", "pre")


def test_space_pauses_after_a_click(viewer: Viewer) -> None:
    """Space pauses and goes on, whatever was clicked last, and does not press it again."""
    viewer.publish('{"a": 1}', "needle one", "needle two", level="info")
    viewer.publish("ERROR failed", "Traceback (most recent call last):", "  File x", "KeyError: 1")
    for selector in (*CLICKED, *(f"#details {one}" for one in CLICKED_IN_THE_DETAILS)):
        viewer.open()
        expect(viewer.row("needle two")).to_be_visible()
        viewer.page.locator("[data-chip='level:info']").wait_for()
        if selector.startswith("#details"):
            viewer.row("needle one").click()
        control = viewer.page.locator(selector).first
        control.click()
        if selector == "#help-button":
            viewer.page.keyboard.press("Escape")
        expect(viewer.state).to_contain_text("ive")
        before = paused(viewer)
        pressed = control.get_attribute("aria-pressed") if control.count() else None
        viewer.page.keyboard.press("Space")
        pause = viewer.page.locator("#pause")
        expect(pause, selector).not_to_have_attribute("aria-pressed", before)
        if pressed is not None and selector != "#pause":
            expect(control, selector).to_have_attribute("aria-pressed", pressed)
        viewer.page.keyboard.press("Space")
        expect(pause, selector).to_have_attribute("aria-pressed", before)


def test_space_presses_the_button_that_tab_has_reached(viewer: Viewer) -> None:
    """A reader with a keyboard presses buttons with space and Enter, also after clicks before."""
    viewer.publish("one")
    viewer.open()
    chip = viewer.page.locator("[data-chip='level:info']")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    viewer.page.click("#mute")
    viewer.page.keyboard.press("Shift+Tab")
    tab_to(viewer, "#mute")
    viewer.page.keyboard.press("Space")
    expect(viewer.page.locator("#mute")).to_have_attribute("aria-pressed", "false")
    assert paused(viewer) == "false"
    viewer.page.locator("#skip, .skip").first.focus()
    tab_to(viewer, "#pause")
    viewer.page.keyboard.press("Space")
    assert paused(viewer) == "true"
    viewer.page.keyboard.press("Enter")
    assert paused(viewer) == "false"


def test_after_a_click_the_arrows_choose_lines(viewer: Viewer) -> None:
    """After a click on a chip, the keys of the list work, and Enter opens the details."""
    viewer.publish("one", "two", "three")
    viewer.open()
    viewer.page.locator("[data-chip='level:info']").click()
    expect(viewer.rows).to_have_count(3)
    viewer.page.keyboard.press("ArrowUp")
    expect(viewer.page.locator("#rows .chosen")).to_contain_text("three")
    viewer.page.keyboard.press("Enter")
    expect(viewer.drawer).to_be_visible()


def test_the_focus_stays_where_a_panel_is_built_again(viewer: Viewer) -> None:
    """The focus stays at its control or in its panel when a press builds the panel again."""
    viewer.publish(json.dumps({"msg": "one", "user": 7}), json.dumps({"msg": "two", "user": 7}))
    viewer.open()
    viewer.row("one").click()
    for name in ("Next line", "Previous line"):
        viewer.drawer.get_by_role("button", name=name).focus()
        viewer.page.keyboard.press("Enter")
        eventually(partial(has_focus, viewer, name), name)
    for name in ("Only user 7", "Only level info"):
        viewer.drawer.get_by_role("button", name=name).focus()
        viewer.page.keyboard.press("Enter")
        expect(viewer.page.locator("#chips [aria-pressed=true]").first).to_be_visible()
        expect(viewer.state).to_have_text("Live")
        eventually(partial(has_focus, viewer, name, "Log lines"), name)
    viewer.page.evaluate("delete Navigator.prototype.clipboard")
    for by in ("click", "key"):
        if not viewer.drawer.is_visible():
            viewer.row("one").click()
        button = viewer.drawer.get_by_role("button", name="Copy message")
        if by == "click":
            button.click()
        else:
            button.focus()
            viewer.page.keyboard.press("Enter")
        expect(viewer.page.locator("#hint")).to_have_text("Message copied")
        assert focus(viewer) == "Copy message"


def test_the_focus_goes_to_the_list_when_its_control_goes(viewer: Viewer) -> None:
    """A condition that is removed, a closed panel and a hidden button leave it to the list."""
    viewer.publish(*(json.dumps({"msg": f"line {n}", "n": 1}) for n in range(100)))
    viewer.open("&field=n=1")
    chip = viewer.page.locator("#chips .condition")
    chip.focus()
    viewer.page.keyboard.press("Enter")
    expect(chip).to_have_count(0)
    eventually(lambda: focus(viewer) == "Log lines", "the focus")
    expect(viewer.row("line 99")).to_be_visible()
    viewer.press("g")
    viewer.page.locator("#newest").focus()
    viewer.page.keyboard.press("Enter")
    expect(viewer.page.locator("#newest")).to_be_hidden()
    eventually(lambda: focus(viewer) == "Log lines", "the focus")
    viewer.row("line 99").locator(".fold").click()
    expect(viewer.row("line 99").locator(".fold[aria-expanded=true]")).to_be_visible()
    eventually(lambda: focus(viewer) == "Log lines", "the focus")
    viewer.row("line 99").click()
    viewer.drawer.get_by_role("button", name="In context").click()
    expect(viewer.page.locator("#neighbours-title")).to_contain_text("lines around")
    viewer.drawer.get_by_role("button", name="Close").click()
    eventually(lambda: focus(viewer) == "Lines around the line", "the focus")
    scope = viewer.page.locator("[data-scope=app]")
    scope.focus()
    viewer.page.keyboard.press("Enter")
    expect(scope).to_have_attribute("aria-pressed", "true")
    assert focus(viewer) == f"app {viewer.app}"
    viewer.page.locator("#neighbours-back").focus()
    viewer.page.keyboard.press("Enter")
    eventually(lambda: focus(viewer) == "Log lines", "the focus")


def test_escape_closes_the_window_on_top(viewer: Viewer) -> None:
    """Escape closes one thing at a time, the topmost first, and the focus returns."""
    viewer.publish("one", "two")
    viewer.open()
    viewer.row("two").click()
    for button, menu in (
        ("#view-button", "#view"), ("#download-button", "#download"), ("#state", "#status"),
    ):  # fmt: skip
        viewer.page.click(button)
        expect(viewer.page.locator(menu)).to_be_visible()
        viewer.page.keyboard.press("Escape")
        expect(viewer.page.locator(menu)).to_be_hidden()
        expect(viewer.page.locator(button)).to_be_focused()
        expect(viewer.drawer).to_be_visible()
        # From within, and after a click on nothing in it.
        viewer.page.click(button)
        box = viewer.page.locator(menu).bounding_box()
        assert box is not None
        viewer.page.mouse.click(box["x"] + 4, box["y"] + 4)
        viewer.page.keyboard.press("Escape")
        expect(viewer.page.locator(menu)).to_be_hidden()
        expect(viewer.page.locator(button)).to_be_focused()
        expect(viewer.drawer).to_be_visible()
    viewer.page.click("#view-button")
    viewer.page.keyboard.press("/")
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#view")).to_be_hidden()
    expect(viewer.page.locator("#query")).to_be_focused()
    viewer.page.keyboard.type(" l")
    expect(viewer.page.locator("#suggestions")).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#suggestions")).to_be_hidden()
    expect(viewer.page.locator("#query")).to_be_focused()
    viewer.page.keyboard.press("Backspace")
    viewer.page.keyboard.press("Backspace")
    viewer.page.keyboard.press("Escape")
    assert focus(viewer) == "Log lines"
    viewer.press("?")
    viewer.page.mouse.click(640, 790)  # on nothing
    viewer.page.keyboard.press("Space")
    assert paused(viewer) == "false", "the dialog lies over the list"
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#help")).to_be_hidden()
    assert focus(viewer) == "Log lines"
    viewer.page.locator("#strip-slider").hover()
    expect(viewer.page.locator("#strip-tip")).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#strip-tip")).to_be_hidden()
    expect(viewer.drawer).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(viewer.drawer).to_be_hidden()
    expect(viewer.page.locator("#rows .chosen")).to_have_count(1)
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#rows .chosen")).to_have_count(0)
