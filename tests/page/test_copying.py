"""Lines that leave the page, by the clipboard or as a file."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
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

    origin = f"2024-02-29T13:34:56.007+01:00 {viewer.app}[0e286551c30586] iad [warn]"
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


def copied(viewer: Viewer) -> str:
    """Return what Ctrl+C copies."""
    viewer.page.evaluate("navigator.clipboard.writeText('')")
    viewer.page.keyboard.press("Control+c")
    text = eventually(lambda: viewer.page.evaluate("navigator.clipboard.readText()"), "a copy")
    return str(text)


def drag_over(viewer: Viewer, start: str, pixels: int) -> None:
    """Press on a line, turn the wheel, and let go at another line, which is returned."""
    box = eventually(viewer.message(start).bounding_box, "the line")
    viewer.page.mouse.move(box["x"] + 12, box["y"] + 8)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + 30, box["y"] + 8)
    for _ in range(10):
        viewer.page.mouse.wheel(0, pixels / 10)
        viewer.page.wait_for_timeout(80)
        viewer.page.mouse.move(box["x"] + 30, box["y"] + 4)
        viewer.page.mouse.move(box["x"] + 30, box["y"] + 8)
    viewer.page.wait_for_timeout(300)
    viewer.page.mouse.move(box["x"] + 34, box["y"] + 8)
    viewer.page.mouse.up()


def at_point(viewer: Viewer, x: float, y: float) -> int:
    """Return the number of the line at a point."""
    row = "([x, y]) => document.elementFromPoint(x, y).closest('.row').lastElementChild.textContent"
    return int(viewer.page.evaluate(row, [x, y])[5:9])


@pytest.mark.parametrize("pixels", [8_000, -8_000], ids=["down", "up"])
@pytest.mark.parametrize("way", ["drag", "shift"])
def test_a_selection_beyond_the_drawn_rows_is_copied_whole(
    viewer: Viewer, pixels: int, way: str
) -> None:
    """All lines between the ends of a selection are copied, though most have no rows any more."""
    viewer.publish(*(f"line {number:04}" for number in range(1_000)))
    viewer.open()
    expect(viewer.row("line 0999")).to_be_visible()
    viewer.press("g")
    viewer.scroll(9_000)
    viewer.page.wait_for_timeout(400)
    first = viewer.rows.nth(30).locator(".m").inner_text()
    box = eventually(viewer.message(first).bounding_box, "the line")
    x, y = box["x"] + 34, box["y"] + 8
    if way == "drag":
        drag_over(viewer, first, pixels)
        last = at_point(viewer, x, y)
    else:
        viewer.message(first).click()
        expect(viewer.drawer).to_be_visible()
        viewer.scroll(pixels)
        viewer.page.wait_for_timeout(500)
        last = at_point(viewer, x, y)
        viewer.page.keyboard.down("Shift")
        viewer.page.mouse.click(x, y)
        viewer.page.keyboard.up("Shift")
    numbers = sorted([int(first[5:9]), last])
    assert numbers[1] - numbers[0] > 300
    wanted = list(range(numbers[0], numbers[1] + 1))

    def copies_all() -> None:
        lines = copied(viewer).splitlines()
        assert [int(line[-4:]) for line in lines] == wanted
        assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\+0[12]:00 ", line) for line in lines)

    copies_all()
    expect(viewer.page.locator("#hint")).to_have_text(f"{len(wanted)} lines copied")
    viewer.publish("later")
    for moved in (-pixels / 2, pixels * 3, -pixels * 3, pixels):
        viewer.scroll(int(moved))
        viewer.page.wait_for_timeout(300)
        copies_all()


def test_control_a_selects_the_lines(viewer: Viewer) -> None:
    """Ctrl+A selects all lines of the list and nothing else, in the time zone that is shown."""
    viewer.publish(*(f"line {number:04}" for number in range(600)))
    viewer.open()
    expect(viewer.row("line 0599")).to_be_visible()
    viewer.page.keyboard.press("Control+a")
    viewer.publish("later")
    expect(viewer.page.locator("#newest")).to_have_text("1 new line")
    lines = copied(viewer).splitlines()
    assert [line[-9:] for line in lines] == [f"line {number:04}" for number in range(600)]
    viewer.page.click("#view-button")
    viewer.page.locator("#view").get_by_label("UTC").check()
    viewer.page.keyboard.press("Escape")
    viewer.row("line 0590").click()
    expect(viewer.drawer).to_be_visible()
    viewer.page.keyboard.press("Control+a")
    lines = copied(viewer).splitlines()
    assert len(lines) == 601
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z ", lines[0])
    viewer.page.keyboard.press("Control+f")
    expect(viewer.page.locator("#query")).to_be_focused()
    viewer.page.keyboard.press("Control+a")
    viewer.page.keyboard.type("app:other")
    expect(viewer.page.locator("#query")).to_have_value("app:other")


def test_ornaments_are_not_copied(viewer: Viewer) -> None:
    """A message is copied as it came: without signs, and with what the row leaves out."""
    long = "start " + " ".join(f"word{number}" for number in range(900)) + " end"
    viewer.publish(long, "plain")
    viewer.publish("machine exited with exit code 0", provider="runner")
    viewer.open()
    expect(viewer.row("start").locator(".rest")).to_be_attached()
    for text, wanted in (("start", long), ("machine exited", "machine exited with exit code 0")):
        viewer.message(text).click(click_count=3)
        assert copied(viewer) == wanted
    viewer.page.keyboard.press("Control+a")
    text = copied(viewer)
    assert long in text
    assert text.endswith("machine exited with exit code 0")
    assert not re.search("[◆↻…]| more", text)


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
