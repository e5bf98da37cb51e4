"""The columns of names: their widths stay while one reads, and names are told apart."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer, line

LONG = "acme-corporation-production-"


def publish(
    viewer: Viewer, app: str, message: str, region: str = "iad", machine: str = "m"
) -> None:
    """Publish a line of another app, which the text finds."""
    viewer._publish(
        f"logs.{app}.{region}.{machine}", [line(f"{message} {viewer.app}", app=app, region=region)]
    )


def open_all(viewer: Viewer) -> None:
    viewer.page.goto(f"{viewer.url}/?q={viewer.app}")
    expect(viewer.state).to_have_text("Live")


def left(viewer: Viewer, text: str) -> float:
    """Return where a message begins."""
    box: Any = eventually(viewer.row(text).locator(".m").bounding_box, f"the row of {text}")
    return float(box["x"])


def test_columns_stay_while_one_reads(viewer: Viewer) -> None:
    """A longer name of an app, region or machine moves nothing until the reader follows again."""
    for number in range(60):
        publish(viewer, "web", f"line {number:02}")
    open_all(viewer)
    expect(viewer.row("line 59")).to_be_visible()
    viewer.row("line 55").click()
    viewer.page.keyboard.press("Escape")
    before = left(viewer, "line 55")
    publish(viewer, "a-longer-name", "news", region="far-away", machine="a-machine-with-a-name")
    expect(viewer.page.locator("#newest")).to_contain_text("1 new line")
    viewer.press("ArrowDown")
    viewer.page.wait_for_timeout(300)
    assert left(viewer, "line 55") == before
    viewer.press("G")
    expect(viewer.row("news").locator(".a")).to_have_text("a-longer-name")
    expect(viewer.row("news").locator(".r")).to_have_text("far-away")
    assert left(viewer, "line 55") > before


def test_long_names_are_told_apart(viewer: Viewer) -> None:
    """Long names of a family differ in text and colour, and their common beginning is dim."""
    words = ("api", "web", "worker")
    for word in words:
        publish(viewer, LONG + word, f"by {word}")
        publish(viewer, f"{LONG}{word}-of-the-shop-in-europe", f"shop {word}")
    open_all(viewer)
    expect(viewer.rows).to_have_count(6)
    cells = viewer.page.locator("#rows .a")
    read = cells.evaluate_all(
        "cells => cells.map((cell) => [...cell.childNodes]"
        " .map((node) => node.className?.includes('cut') ? '…' : node.textContent).join(''))"
    )
    assert len(set(read)) == 6
    assert max(map(len, read)) <= 20
    assert all("…" in one for one in read)
    colours = cells.evaluate_all("cells => cells.map((cell) => getComputedStyle(cell).color)")
    assert len(set(colours)) == 6
    first = viewer.row("by api").locator(".a")
    expect(first).to_have_attribute("title", f"{LONG}api")
    expect(first).to_have_text(f"{LONG}api")
    expect(first.locator(".cut")).to_have_css("width", re.compile(r"^[78]"))
    assert LONG.startswith(first.locator(".shared").first.inner_text())
    assert cells.evaluate_all("cells => cells.every((one) => one.scrollWidth <= one.clientWidth)")


def test_a_name_that_fits_is_not_cut(viewer: Viewer) -> None:
    """A name has room for all of its letters, although its parts are drawn beside each other."""
    publish(viewer, "teashop-search", "found")
    publish(viewer, "teashop-worker", "worked")
    open_all(viewer)
    expect(viewer.row("worked").locator(".shared")).to_have_text("teashop-")
    beyond = viewer.page.locator("#rows .a").evaluate_all(
        """(cells) => cells.map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return range.getBoundingClientRect().right - cell.getBoundingClientRect().right;
        })"""
    )
    assert max(beyond) <= 0
