"""A line in context: its neighbours, whatever the filter is, and the way back."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.support.viewer import Viewer


def publish_story(viewer: Viewer) -> None:
    """Publish 200 lines of two machines, of which every 20th is a needle."""
    for number in range(200):
        kind = "needle" if number % 20 == 10 else "hay"
        viewer.publish(f"{kind} {number:03}", machine=f"m{number % 2}")


def test_a_line_is_shown_among_its_neighbours(viewer: Viewer) -> None:
    """*In context* shows the lines around a line that the filter leaves out.

    They are all lines, those of the line's app or those of its machine. More are loaded on request.
    """
    publish_story(viewer)
    viewer.open("&q=needle")
    expect(viewer.rows).to_have_count(10)
    viewer.row("needle 110").click()
    viewer.drawer.get_by_role("button", name="In context").click()
    rows = viewer.page.locator("#neighbours-rows .row")
    expect(rows.filter(has_text="hay 109")).to_be_visible()
    expect(viewer.page.locator("#neighbours .chosen")).to_contain_text("needle 110")
    scopes = viewer.page.locator("#neighbours-scopes")
    scopes.get_by_role("button", name=f"app {viewer.app}").click()
    expect(viewer.page.locator("#neighbours-title")).to_contain_text("101 lines around")
    scopes.get_by_role("button", name="machine m0").click()
    expect(rows.filter(has_text="hay 109")).to_have_count(0)
    expect(rows.filter(has_text="hay 108")).to_be_visible()
    viewer.page.locator("#neighbours-earlier").click()
    expect(viewer.page.locator("#neighbours-title")).to_contain_text("100 lines around")
    viewer.press("g")
    expect(rows.filter(has_text="hay 000")).to_be_visible()
    viewer.press("j")
    expect(viewer.drawer.locator(".message")).to_have_text("hay 000")


def test_the_way_back_leads_to_the_same_lines(viewer: Viewer) -> None:
    """After the context the filter, the scroll position and the chosen line are as before."""
    publish_story(viewer)
    viewer.open("&q=hay")
    expect(viewer.row("hay 199")).to_be_visible()
    position = "document.getElementById('lines').scrollTop"
    viewer.press("g")
    viewer.scroll(1_000)
    viewer.page.wait_for_timeout(500)
    text = viewer.rows.nth(30).inner_text()[-7:]
    viewer.row(text).click()
    before = (viewer.page.evaluate(position), viewer.page.url, viewer.page.input_value("#query"))
    asked = len(viewer.requests)

    def is_back() -> None:
        expect(viewer.page.locator("#neighbours")).to_be_hidden()
        expect(viewer.page.locator("#rows .chosen")).to_contain_text(text)
        expect(viewer.drawer.locator(".message")).to_have_text(text)
        now = (viewer.page.evaluate(position), viewer.page.url, viewer.page.input_value("#query"))
        assert now == before

    neighbours = viewer.page.locator("#neighbours-rows .row")
    viewer.press("c")
    expect(neighbours.filter(has_text="needle").first).to_be_attached()
    viewer.press("k")
    viewer.publish("hay, later")
    viewer.page.locator("#neighbours-back").click()
    is_back()
    viewer.press("c")
    expect(neighbours.first).to_be_attached()
    viewer.page.go_back()
    is_back()
    viewer.press("c")
    expect(neighbours.first).to_be_attached()
    viewer.press("Escape")
    viewer.press("Escape")
    expect(viewer.page.locator("#neighbours")).to_be_hidden()
    stream = [query for query in viewer.requests[asked:] if "around" not in query]
    assert stream == [], "the stream goes on meanwhile"


def test_a_context_can_be_linked(viewer: Viewer) -> None:
    """The address of a context opens it, and an unknown line is said and shows the list."""
    publish_story(viewer)
    viewer.open("&q=needle")
    viewer.row("needle 110").click()
    viewer.press("c")
    expect(viewer.page.locator("#neighbours .chosen")).to_contain_text("needle 110")
    viewer.page.reload()
    expect(viewer.page.locator("#neighbours .chosen")).to_contain_text("needle 110")
    viewer.page.locator("#neighbours-back").click()
    expect(viewer.rows).to_have_count(10)
    viewer.open("&q=needle#context=1-abc-1")
    expect(viewer.page.locator("#hint")).to_have_text("That line is no longer remembered")
    expect(viewer.page.locator("#neighbours")).to_be_hidden()
    expect(viewer.rows).to_have_count(10)
