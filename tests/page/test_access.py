"""The page on small screens, without motion, and for screen readers."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # no types
from playwright.sync_api import Page, expect
from tests.support.viewer import Viewer


def test_it_is_readable_on_a_telephone(viewer: Viewer) -> None:
    """On a telephone no element is wider than the screen, and a message stands below its origin."""
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    viewer.publish("GET /a/rather/long/path?with=a&query=string 200 in 12ms " * 3, machine="m" * 14)
    viewer.open()
    row = viewer.row("GET /a/rather")
    expect(row).to_be_visible()
    assert viewer.page.evaluate(
        "document.documentElement.scrollWidth <= 390"
        " && document.getElementById('lines').scrollWidth <= 390"
    )
    time_box, message_box = (row.locator(part).bounding_box() for part in (".t", ".m"))
    assert time_box is not None
    assert message_box is not None
    assert message_box["y"] > time_box["y"]
    assert message_box["width"] > 350
    row.click()
    close = viewer.drawer.get_by_role("button", name="Close")
    expect(close).to_be_in_viewport()
    close.click()
    expect(row).to_be_visible()
    assert serious(viewer.page) == []


def test_motion_is_reduced_on_request(viewer: Viewer) -> None:
    """With `prefers-reduced-motion` no element is animated."""
    viewer.page.emulate_media(reduced_motion="reduce")
    viewer.open()
    assert viewer.page.evaluate("document.getAnimations().length") == 0
    viewer.page.evaluate("document.getElementById('state').dataset.tone = 'busy'")
    assert viewer.page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anyones_way(viewer: Viewer, scheme: Any) -> None:
    """axe-core finds no serious problem in the list, the details, the menus and the help."""
    viewer.page.emulate_media(color_scheme=scheme)
    viewer.publish("fine", '{"json": true, "n": 1}', "\x1b[31mred\x1b[32mgreen\x1b[34mblue\x1b[0m")
    viewer.publish("slow needle", level="warn")
    viewer.publish("broken", level="error")
    viewer.publish("quiet", level="debug")
    viewer.publish("[PC01] refused", provider="proxy", level="error")
    viewer.publish("machine exited", provider="runner")
    viewer.open("&q=needle&show=all")
    expect(viewer.row("machine exited")).to_be_visible()
    assert serious(viewer.page) == []
    viewer.row("json").click()
    assert serious(viewer.page) == []
    viewer.press("Escape")
    for menu in ("#state", "#view-button", "#download-button"):
        viewer.page.click(menu)
        assert serious(viewer.page) == [], menu
        viewer.page.keyboard.press("Escape")
    viewer.press("?")
    assert serious(viewer.page) == []


def serious(page: Page) -> list[str]:
    """Return the problems that axe-core calls serious or worse."""
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
