"""The page in the system's own few colours, as in the high contrast of Windows."""

from __future__ import annotations

from playwright.sync_api import Locator, expect
from tests.support.viewer import Viewer

COLOURS = """element => {
  const { backgroundColor, color, outlineStyle, outlineColor } = getComputedStyle(element);
  return [backgroundColor, color, outlineStyle, outlineStyle === 'none' ? '' : outlineColor].join();
}"""


def colours(element: Locator) -> str:
    return str(element.evaluate(COLOURS))


def text_colour(element: Locator) -> str:
    return str(element.evaluate("element => getComputedStyle(element).color"))


def test_forced_colours_show_states(viewer: Viewer) -> None:
    """With forced colours, a chosen line, a pressed button and a mark differ from the others."""
    viewer.page.emulate_media(forced_colors="active")
    viewer.publish("first needle", "second", "\x1b[31;44mthird\x1b[0m needle")
    viewer.open("&q=needle&show=all")
    expect(viewer.rows).to_have_count(3)
    viewer.press("g")
    viewer.press("j")
    expect(viewer.page.locator("#rows .chosen")).to_contain_text("first")
    viewer.page.mouse.move(0, 0)
    assert colours(viewer.row("first")) != colours(viewer.row("second"))
    mark = viewer.row("third").locator("mark")
    assert colours(mark) != colours(viewer.row("third").locator(".m"))
    viewer.page.click("#pause")
    viewer.page.mouse.move(0, 0)
    pressed, other = viewer.page.locator("#pause"), viewer.page.locator("#clear")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    assert colours(pressed) != colours(other)
    text = text_colour(pressed)
    level = viewer.page.locator("[data-chip='level:info']")
    level.click()
    expect(level).to_have_attribute("aria-pressed", "true")
    assert text_colour(level) == text_colour(level.locator(".count")) == text
    viewer.page.click("#query")
    viewer.page.keyboard.press("End")
    viewer.page.keyboard.type(" l")
    viewer.page.keyboard.press("ArrowDown")
    options = viewer.page.locator("#suggestions li")
    assert colours(options.first) != colours(options.nth(1))
