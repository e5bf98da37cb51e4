"""The colours of the page: every text can be read, in both themes and in every state."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.support.viewer import Viewer

ESC = "\x1b"

# The texts whose contrast with their ground is below 4.5, as they are painted.
POOR = """
() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, under) => {
    const part = (name) => top[name] * top.a + under[name] * (1 - top.a);
    return { r: part('r'), g: part('g'), b: part('b'), a: 1 };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest('.unseen-label, :disabled, option, .probe')) continue;
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.push(getComputedStyle(at));
    let ground = { r: 255, g: 255, b: 255, a: 1 };
    let opacity = 1;
    for (const style of chain.toReversed()) {
      ground = over(parse(style.backgroundColor), ground);
      opacity *= Number(style.opacity);
    }
    const text = parse(chain[0].color);
    const shown = over({ ...text, a: text.a * opacity }, ground);
    const [x, y] = [luminance(shown) + 0.05, luminance(ground) + 0.05];
    const contrast = Math.max(x, y) / Math.min(x, y);
    if (contrast > 4.495) continue;
    poor.push(`${contrast.toFixed(2)} ${element.className} ${node.data.slice(0, 40)}`);
  }
  return poor;
}
"""

MESSAGES = (
    f"{ESC}[38;5;226myellow{ESC}[0m {ESC}[38;5;17mnavy{ESC}[0m {ESC}[38;2;250;250;210mpale{ESC}[0m",
    f"{ESC}[31;41mred on red{ESC}[0m {ESC}[2;33mdim{ESC}[0m {ESC}[7mreverse{ESC}[0m "
    f"{ESC}[30;40mblack on black{ESC}[0m {ESC}[37;107mwhite on white{ESC}[0m",
    f"{ESC}[8;38;5;244;48;5;245mhidden{ESC}[0m {ESC}[44ma\x07 bell on blue{ESC}[0m {ESC}[2mfaint",
    json.dumps({"msg": "paid", "user": {"id": 7, "tags": [True, None]}, "note": "needle"}),
    "needle \u202e hides [PC01]",
    f"{ESC}[43mneedle on yellow{ESC}[0m",
)


def publish_all(viewer: Viewer) -> None:
    for level in ("trace", "debug", "info", "warn", "error", "odd"):
        viewer.publish(*MESSAGES, level=level)
    viewer.publish("Successfully prepared image x", provider="runner")
    viewer.publish("machine exited with exit code 0", provider="runner")
    viewer.publish("[PC01] instance refused connection", provider="proxy", level="error")
    viewer.publish("Traceback (most recent call last):", "  File x", "shop.NoSuchShop: 7")


def poor(viewer: Viewer) -> Any:
    return viewer.page.evaluate(POOR)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(viewer: Viewer, scheme: Any) -> None:
    """Every text has a contrast of 4.5 or more: escapes, levels, marks, chosen lines and panels."""
    viewer.page.emulate_media(color_scheme=scheme)
    publish_all(viewer)
    viewer.open("&q=needle&show=all")
    expect(viewer.page.locator("#rows mark").first).to_be_visible()
    assert poor(viewer) == []
    viewer.press("g")
    for _ in range(viewer.rows.count()):
        viewer.press("j")
        assert poor(viewer) == []
        viewer.page.locator("#rows .chosen .m").hover()
        assert poor(viewer) == []
    for text in ("yellow", "paid", "refused"):
        viewer.row(text).last.locator(".t").click()
        expect(viewer.drawer).to_be_visible()
        assert poor(viewer) == []
    viewer.page.click("#view-button")
    assert poor(viewer) == []
    viewer.page.click("#state")
    assert poor(viewer) == []
    viewer.page.keyboard.press("Escape")
    viewer.page.locator("[data-chip='level:error']").click()
    viewer.page.locator("[data-chip='level:debug']").click()
    expect(viewer.page.locator("#chips [aria-pressed=true]")).to_have_count(3)
    for chip in viewer.page.locator("#chips .chip:visible").all():
        chip.hover()
        assert poor(viewer) == []
    viewer.page.click("#query")
    viewer.page.keyboard.type(" l")
    viewer.page.keyboard.press("ArrowDown")
    assert poor(viewer) == []
    viewer.page.keyboard.press("Escape")
    viewer.page.click("#help-button")
    assert poor(viewer) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_selected_text_can_be_read(viewer: Viewer, scheme: Any) -> None:
    """Selected text has colours of its own, whatever the colours of the line are."""
    viewer.page.emulate_media(color_scheme=scheme)
    viewer.publish(*MESSAGES)
    viewer.open("&q=needle&show=all")
    expect(viewer.row("needle on yellow")).to_be_visible()
    pairs = viewer.page.evaluate(
        "() => [...document.querySelectorAll('#rows .m, #rows .m *')].map((element) => {"
        " const { color, backgroundColor } = getComputedStyle(element, '::selection');"
        " return `${color} on ${backgroundColor}`; })"
    )
    expected = {
        "light": "rgb(27, 28, 26) on rgba(185, 215, 247, 0.99)",
        "dark": "rgb(255, 255, 255) on rgba(36, 80, 125, 0.99)",
    }
    assert set(pairs) == {expected[scheme]}
