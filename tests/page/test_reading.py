"""A new query leaves the line that is being read where it is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.support.browser import PageService, eventually
from tests.support.viewer import Viewer

NEAR = 2.0
"""Pixels by which a position may differ, because a browser rounds them."""


def publish_story(viewer: Viewer, service: PageService) -> None:
    """Publish 600 lines: every fifth is a warning, every third a needle."""
    before = service.status()["sources"]["nats"]["lines"]
    for start in range(0, 600, 5):
        numbers = range(start, start + 5)
        texts = [f"n{number:03} {'needle' * (number % 3 == 0)}" for number in numbers]
        viewer.publish(texts[0], level="warn")
        viewer.publish(*texts[1:])
    eventually(lambda: service.status()["sources"]["nats"]["lines"] == before + 600, "the lines")


def y_of(viewer: Viewer, text: str) -> float:
    """Return where the line stands, once it has stood there for a while."""

    def steady() -> float | None:
        row = viewer.row(text)
        if row.count() != 1:
            return None
        first = row.bounding_box()
        viewer.page.wait_for_timeout(200)
        second = row.bounding_box() if row.count() == 1 else None
        return first["y"] + 1 if first and first == second else None

    return float(eventually(steady, f"{text} at rest")) - 1


def held(viewer: Viewer, count: int) -> None:
    expect(viewer.page.locator("#held")).to_contain_text(re.compile(rf"^{count:,} line"))


CHANGES: dict[str, tuple[str, Callable[[Viewer], None], int]] = {
    "a chip": ("", lambda viewer: viewer.page.click(".chip.level-warn"), 120),
    "a filter": ("", lambda viewer: viewer.search(f"app:{viewer.app} needle"), 200),
    "without the filter": ("&q=needle", lambda viewer: viewer.search(f"app:{viewer.app}"), 600),
    "all lines": ("&q=needle", lambda viewer: viewer.page.click("#context"), 600),
    "only matches": ("&q=needle&show=all", lambda viewer: viewer.page.click("#context"), 200),
}


@pytest.mark.parametrize("is_chosen", [True, False], ids=["chosen", "at the top"])
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_new_query_keeps_the_line(
    viewer: Viewer, service: PageService, change: str, is_chosen: bool
) -> None:
    """The chosen line, or the first one on the screen, stays where it is."""
    publish_story(viewer, service)
    query, act, count = CHANGES[change]
    viewer.open(query)
    expect(viewer.row("n59").first).to_be_visible()
    viewer.press("g")
    viewer.scroll(700 if query == "&q=needle" else 2_000)
    viewer.page.wait_for_timeout(400)
    if is_chosen:
        text = "n120"
        viewer.row(text).click()
        expect(viewer.drawer).to_be_visible()
    else:
        # The top line must be among the new lines.
        text = "n120"
        top = viewer.page.evaluate("document.getElementById('lines').getBoundingClientRect().top")
        viewer.scroll(int(y_of(viewer, text) - top))
        viewer.page.wait_for_timeout(400)
    before = y_of(viewer, text)
    act(viewer)
    held(viewer, count)
    assert abs(y_of(viewer, text) - before) <= NEAR
    if is_chosen:
        expect(viewer.page.locator(".chosen")).to_contain_text(text)
        expect(viewer.drawer.locator(".message")).to_contain_text(text)
    viewer.publish("a later needle", level="warn")
    held(viewer, count + 1)
    assert abs(y_of(viewer, text) - before) <= NEAR


def test_load_earlier_keeps_the_line(viewer: Viewer, service: PageService) -> None:
    """*Load earlier lines* puts them above the first line, which stays where it is."""
    before = service.status()["sources"]["nats"]["lines"]
    viewer.publish(*(f"line {number:05}" for number in range(11_000)))
    eventually(lambda: service.status()["sources"]["nats"]["lines"] == before + 11_000, "the lines")
    viewer.open()
    held(viewer, 10_000)
    viewer.press("g")
    y = y_of(viewer, "line 01000")
    viewer.page.click("#earlier")
    held(viewer, 11_000)
    assert abs(y_of(viewer, "line 01000") - y) <= NEAR
    expect(viewer.row("line 00999")).to_be_attached()


def test_a_query_that_lacks_the_line_shows_the_next_one(
    viewer: Viewer, service: PageService
) -> None:
    """If the new lines lack the line that is read, the next one of them stands in its position."""
    publish_story(viewer, service)
    viewer.open()
    expect(viewer.row("n599")).to_be_visible()
    viewer.press("g")
    viewer.scroll(3_000)
    viewer.row("n151").click()
    expect(viewer.drawer).to_be_visible()
    y = y_of(viewer, "n151")
    viewer.search(f"app:{viewer.app} needle")
    held(viewer, 200)
    assert abs(y_of(viewer, "n153") - y) <= NEAR
    expect(viewer.drawer).to_be_hidden()


def test_a_pause_holds_through_a_new_query(viewer: Viewer, service: PageService) -> None:
    """A filter while paused shows the lines from before the pause, and the others go on waiting."""
    publish_story(viewer, service)
    viewer.open()
    expect(viewer.row("n599")).to_be_visible()
    viewer.page.click("#pause")
    viewer.publish("a later needle", "later hay")
    expect(viewer.page.locator("#newest")).to_have_text("2 new lines")
    viewer.search(f"app:{viewer.app} needle")
    held(viewer, 200)
    expect(viewer.page.locator("#newest")).to_have_text("1 new line")
    expect(viewer.page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    viewer.search(f"app:{viewer.app}")
    held(viewer, 600)
    expect(viewer.page.locator("#newest")).to_have_text("2 new lines")
    viewer.publish("later still")
    expect(viewer.page.locator("#newest")).to_have_text("3 new lines")
    viewer.page.click("#pause")
    held(viewer, 603)
    assert [event["message"] for event in viewer.lines()][-3:] == [
        "a later needle",
        "later hay",
        "later still",
    ]


def test_a_clearing_holds_through_a_new_query(viewer: Viewer, service: PageService) -> None:
    """After Clear, a filter brings no earlier line, until a button shows them again."""
    publish_story(viewer, service)
    viewer.open("&q=needle")
    held(viewer, 200)
    viewer.publish("hay before")
    viewer.page.wait_for_timeout(300)
    viewer.page.click("#clear")
    expect(viewer.rows).to_have_count(0)
    viewer.search(f"app:{viewer.app}")
    expect(viewer.page.locator("#empty")).to_contain_text("The list was cleared")
    viewer.publish("a new needle", "new hay")
    expect(viewer.rows).to_have_count(2)
    viewer.search(f"app:{viewer.app} needle")
    expect(viewer.rows).to_have_count(1)
    viewer.page.press("#query", "Escape")
    viewer.press("g")
    again = viewer.page.get_by_role("button", name="Show the cleared lines")
    again.click()
    held(viewer, 201)
    expect(again).to_be_hidden()


def test_the_context_opens_at_the_line(viewer: Viewer, service: PageService) -> None:
    """*In context*, its ranges, *earlier* and the way back leave the line where it is."""
    publish_story(viewer, service)
    viewer.open("&q=needle")
    held(viewer, 200)
    viewer.press("g")
    viewer.scroll(1_000)
    viewer.row("n120").click()
    expect(viewer.drawer).to_be_visible()
    before = y_of(viewer, "n120")
    row = viewer.page.locator("#neighbours-rows .row").filter(has_text="n120")

    def stays() -> None:
        expect(row).to_be_visible()
        viewer.page.wait_for_timeout(400)
        box = row.bounding_box()
        assert box is not None
        assert abs(box["y"] - before) <= NEAR

    viewer.press("c")
    stays()
    viewer.page.locator("#neighbours-scopes").get_by_role("button", name="app").click()
    stays()
    viewer.page.click("#neighbours-earlier")
    expect(viewer.page.locator("#neighbours-title")).to_contain_text("171 lines")
    stays()
    viewer.page.click("#neighbours-back")
    assert abs(y_of(viewer, "n120") - before) <= NEAR
    viewer.press("c")
    stays()
    viewer.page.click(".chip.level-warn")
    held(viewer, 40)
    assert abs(y_of(viewer, "n120") - before) <= NEAR
