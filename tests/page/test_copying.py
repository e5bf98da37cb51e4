"""Lines that leave the page, by the clipboard or as a file."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer, select


def test_selected_rows_are_copied_as_lines(viewer: Viewer) -> None:
    """Selected rows are copied as lines of a download, and a part of a message as it is."""
    at = 1_709_210_096.007
    viewer.publish("one \x1b[31mred\x1b[0m", '{"two": 2}', "three", at=at, level="warn")
    viewer.open()
    expect(viewer.rows).to_have_count(3)

    def copy() -> Any:
        viewer.page.evaluate("navigator.clipboard.writeText('')")
        viewer.page.keyboard.press("Control+c")
        return eventually(lambda: viewer.page.evaluate("navigator.clipboard.readText()"), "a copy")

    origin = f"2024-02-29T12:34:56.007Z {viewer.app}[0e286551c30586] iad [warn]"
    lines = [f"{origin} one red", f'{origin} {{"two": 2}}', f"{origin} three"]
    select(viewer, ("one", ".l"), ("three", ".m"))
    assert copy() == "\n".join(lines)
    select(viewer, ("two", ".t"), ("two", ".m"))
    assert copy() == lines[1]
    select(viewer, ("three", ".m"), ("three", ".m"))
    assert copy() == "three"
    # As after three clicks: up to where the next row begins.
    viewer.message("one red").evaluate(
        "e => getSelection().setBaseAndExtent("
        "e, 0, e.parentElement.nextElementSibling.firstChild, 0)"
    )
    assert copy() == "one red"
    viewer.search(f"app:{viewer.app} red")
    viewer.page.locator("#query").select_text()
    assert copy() == f"app:{viewer.app} red"


def test_what_is_copied_is_said_for_a_moment(viewer: Viewer) -> None:
    """The page says that it has copied a message, and the hint disappears by itself."""
    viewer.publish("one")
    viewer.open()
    viewer.row("one").click()
    viewer.drawer.get_by_role("button", name="Copy message").click()
    hint = viewer.page.locator("#hint")
    expect(hint).to_have_text("Message copied")
    expect(hint).to_have_text("")


def test_what_is_filtered_can_be_downloaded(viewer: Viewer) -> None:
    """A download has the lines of the page or all lines of the filter, as NDJSON or as text."""
    viewer.publish("one \x1b[31mred\x1b[0m", "two blue", "three red\nand more", level="warn")
    viewer.open("&q=red")
    expect(viewer.rows).to_have_count(2)
    events = viewer.lines()
    assert [event["message"] for event in events] == [
        "one \x1b[31mred\x1b[0m",
        "three red\nand more",
    ]
    assert set(events[0]) == {
        "message", "timestamp", "type", "persistent", "app", "region", "machine", "stream",
        "level", "provider", "source", "id",
    }  # fmt: skip
    text = viewer.download("[data-download=text]").splitlines()
    assert text[0].endswith(f"Z {viewer.app}[0e286551c30586] iad [warn] one red")
    assert text[1:] == [text[1], "    and more"]
    both = viewer.download("#download-all-ndjson").splitlines()
    assert [json.loads(row)["message"] for row in both if '"app"' in row] == [
        event["message"] for event in events
    ]
    assert "three red" in viewer.download("#download-all-text")


def test_a_download_is_named_after_its_moment(viewer: Viewer) -> None:
    """A download is named after the time of the click, not after that of the last filter."""
    viewer.publish("one")
    viewer.page.clock.install()
    viewer.open()
    expect(viewer.row("one")).to_be_visible()
    viewer.page.clock.fast_forward("02:00:00")
    before = viewer.page.evaluate("new Date(Date.now() - 60_000).toISOString()")
    viewer.page.click("#download-button")
    with viewer.page.expect_download() as info:
        viewer.page.click("#download-all-text")
    name = info.value.suggested_filename
    assert name.endswith(".txt")
    assert re.findall(r"\d+", name)[-1] > re.sub(r"\D", "", before)[:14]
