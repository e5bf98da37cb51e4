"""The histogram above the list."""

from __future__ import annotations

import time

from playwright.sync_api import expect
from tests.support.viewer import Viewer


def test_the_histogram_jumps_in_time(viewer: Viewer) -> None:
    """The histogram counts lines by level, and a click or the keys jump to the lines of a bar."""
    then = time.time() - 120
    viewer.publish("two minutes ago", at=then, level="error")
    viewer.publish("Pulling container image x", at=then, provider="runner")
    viewer.publish(*(f"now {number}" for number in range(200)))
    viewer.open()
    expect(viewer.row("now 199")).to_be_visible()
    slider = viewer.page.locator("#strip-slider")
    box = slider.bounding_box()
    assert box is not None
    bars = int(box["width"] / 5)
    slider.focus()
    for _ in range(bars):  # not a count from now, because the histogram moves on meanwhile
        slider.press("ArrowLeft")
        if "1 error" in (slider.get_attribute("aria-valuetext") or ""):
            break
    text = slider.get_attribute("aria-valuetext") or ""
    assert "1 error, 1 info" in text
    assert "▲ Pulling container image x" in text
    expect(viewer.page.locator("#strip-tip")).to_have_text(text)
    slider.press("Enter")
    expect(viewer.page.locator(".chosen")).to_contain_text("two minutes ago")
    viewer.press("G")
    expect(viewer.row("now 199")).to_be_visible()
    index = int(slider.get_attribute("aria-valuenow") or 0)
    slider.click(position={"x": index * 5 + 2, "y": 30})
    expect(viewer.page.locator(".chosen")).to_contain_text("two minutes ago")
    viewer.press("G")
    viewer.row("now 199").click()
    expect(viewer.drawer).to_contain_text("now 199")
    slider.click(position={"x": index * 5 + 2, "y": 30})
    expect(viewer.drawer).to_contain_text("two minutes ago")
    assert bars > index > 0
    painted = viewer.page.evaluate(
        "() => { const c = document.getElementById('strip-canvas');"
        " const pixels = c.getContext('2d').getImageData(0, 12, c.width, c.height - 12).data;"
        " return new Set(new Uint32Array(pixels.buffer)).size; }"
    )
    assert painted > 2


def test_a_click_beside_a_bar_goes_to_its_lines(viewer: Viewer) -> None:
    """A click on an empty bar that nothing can fill goes to the nearest bar with lines."""
    viewer.publish("an older line", at=time.time() - 120)
    viewer.publish(*(f"now {number}" for number in range(100)))
    viewer.open()
    expect(viewer.row("now 99")).to_be_visible()
    slider = viewer.page.locator("#strip-slider")
    slider.hover(position={"x": 3, "y": 30})
    expect(viewer.page.locator("#strip-tip")).to_contain_text("not held by the service")
    slider.click(position={"x": 3, "y": 30})
    expect(viewer.page.locator(".chosen")).to_contain_text("an older line")
