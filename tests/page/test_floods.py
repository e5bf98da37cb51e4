"""Floods: thousands of lines a second."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import expect
from tests.support.browser import Stage, open_page_service
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer

# A busy machine shows the lines later, and a reader that is late is moved to the newest line.
PATIENT = {
    "NATSTREAM_BACKLOG_LINES": "200000",
    "NATSTREAM_BACKLOG_BYTES": "300000000",
    "NATSTREAM_MAX_LAG": "600",
}


def test_a_flood_is_shown_without_loss(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer, stage: Stage
) -> None:
    """At 5,000 lines a second the page loses none of 100,000, needs few elements, and reacts."""
    with open_page_service(nats, **PATIENT) as service:
        viewer = open_viewer(service.url).open()
        start = time.monotonic()
        for second in range(200):
            numbers = range(second * 500, second * 500 + 500)
            viewer.publish(
                *(f"{number} GET /teas/{number % 97} 200 in {number % 31}ms" for number in numbers)
            )
            if second % 20 == 10:
                assert viewer.rows.count() < 500
            if second == 100:
                viewer.page.click("#view-button")
                viewer.page.get_by_role("radio", name="UTC").check()
                viewer.page.keyboard.press("Escape")
            time.sleep(max(0.0, start + (second + 1) * 0.1 - time.monotonic()))
        expect(viewer.row("99999 GET")).to_be_visible(timeout=120_000)
        expect(viewer.page.locator("#held")).to_contain_text("100,000 lines")
        assert viewer.is_at_end()
        viewer.press("g")
        expect(viewer.row("0 GET /teas/0 200 in 0ms").first).to_be_visible()
        viewer.press("G")
        numbers_held = [int(event["message"].split()[0]) for event in viewer.lines()]
        assert numbers_held == list(range(100_000))
        viewer.publish("one more")
        expect(viewer.row("one more")).to_be_visible()
        assert viewer.rows.count() < 500


def test_a_read_line_stays_under_a_flood(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """A flood does not push out the lines on the screen while the reader has scrolled up."""
    with open_page_service(nats, **PATIENT) as service:
        viewer = open_viewer(service.url).open()
        viewer.publish(*(f"old {number}" for number in range(500)))
        expect(viewer.row("old 499")).to_be_visible()
        viewer.press("g")
        expect(viewer.row("old 0").first).to_be_visible()
        for part in range(11):
            viewer.publish(*(f"new {part} {number}" for number in range(10_000)))
        many = re.compile("1[0-9]{2},[0-9]{3} new lines")
        expect(viewer.page.locator("#newest")).to_have_text(many, timeout=240_000)
        expect(viewer.row("old 0").first).to_be_visible()
        viewer.page.click("#newest")
        expect(viewer.row("new 10 9999")).to_be_visible()
