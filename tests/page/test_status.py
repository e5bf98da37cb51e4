"""The state of the service, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect
from tests.support.browser import Stage, open_nats, open_page_service
from tests.support.viewer import Viewer


def test_the_state_of_nats_is_shown(
    open_viewer: Callable[[str], Viewer], stage: Stage, context: BrowserContext
) -> None:
    """The state tells a lost NATS, a denied one and a connected one apart."""
    with open_nats(stage) as nats, open_page_service(nats) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        expect(viewer.state).to_have_text("Live")
        stage.run(nats.kill)
        expect(viewer.state).to_contain_text("Connected · NATS lost")
        expect(viewer.page.locator("#state")).to_have_attribute("data-tone", "bad")
        expect(viewer.notes.first).to_have_class(re.compile("error"))
        viewer.page.click("#state")
        panel = viewer.page.locator("#status")
        expect(panel.locator(".source")).to_have_text("lost")
        expect(panel).to_contain_text("logs.>")
        viewer.page.keyboard.press("Escape")
        stage.run(nats.restart)
        expect(viewer.state).to_have_text("Live")
        stage.run(lambda: _sync(nats.revoke))
        expect(viewer.state).to_contain_text("NATS denied")
        expect(viewer.notes.last).to_contain_text("ACCESS_TOKEN")


async def _sync(function: Callable[[], None]) -> None:
    function()
