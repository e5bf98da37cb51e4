"""The pause: lines wait, and none is lost."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.support.browser import PageService
from tests.support.viewer import Viewer


def test_pause_holds_and_goes_on_without_loss(viewer: Viewer) -> None:
    """Paused, the list counts the lines that wait, and then shows all of them in order."""
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    viewer.press(" ")
    expect(viewer.state).to_contain_text("Paused")
    viewer.publish(*(f"held {number}" for number in range(25)))
    expect(viewer.page.locator("#newest")).to_have_text("25 new lines")
    assert viewer.messages() == ["before"]
    viewer.press(" ")
    expect(viewer.row("held 24")).to_be_visible()
    assert viewer.messages() == ["before", *(f"held {number}" for number in range(25))]


def test_a_long_pause_releases_the_connection_and_resumes(
    viewer: Viewer, service: PageService
) -> None:
    """Above 20,000 waiting lines the page disconnects, and resumes later without losing a line."""
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    viewer.page.click("#pause")
    viewer.publish(*(f"x{number}" for number in range(24_000)))
    expect(viewer.state).to_have_text("Paused · new lines wait in the service")
    viewer.page.click("#newest")
    expect(viewer.row("x23999")).to_be_visible()
    messages = [event["message"] for event in viewer.lines()]
    assert messages == ["before", *(f"x{number}" for number in range(24_000))]
