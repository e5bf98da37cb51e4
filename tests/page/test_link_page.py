"""A scoped link in a real browser: it opens the viewer on a part of the logs."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Browser, expect
from tests.support.browser import Stage, open_page_service, publish
from tests.support.closed import TOKEN, grant_text
from tests.support.mistreated import MistreatedServer


def test_a_link_opens_the_viewer_on_its_part(
    chromium: Browser, stage: Stage, nats: MistreatedServer
) -> None:
    """A link shows its lines and the state without any others, and leaves the address clean."""
    with open_page_service(nats, NATSTREAM_TOKEN=TOKEN) as service:
        page = chromium.new_page()
        asked: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        link = grant_text(("app", "web"), seconds=600)
        page.goto(f"{service.url}/link#{link}")
        expect(page.locator("#state-text")).to_have_text("Live")
        assert page.url == f"{service.url}/"
        for app in ("api", "web"):
            payload = json.dumps({"message": f"a line of {app}", "timestamp": time.time()})
            publish(stage, nats, f"logs.{app}.iad.m1", [payload.encode()])
        expect(page.locator("#rows .row").filter(has_text="a line of web")).to_be_visible()
        expect(page.locator("#rows .row").filter(has_text="a line of api")).to_have_count(0)
        page.click("#state")
        expect(page.locator("#status")).to_contain_text("connected")
        expect(page.locator("#status")).not_to_contain_text("api")
        assert not [url for url in asked if link in url.partition("#")[0]]
        assert page.evaluate("document.cookie") == ""
        assert problems == []
        page.close()


@pytest.mark.parametrize(
    ("fragment", "said"),
    [("", "not whole"), ("#eyJlIjoxfQ.spoiled", "not valid"), ("#expired", "not valid")],
)
def test_a_link_that_is_not_valid_says_so(chromium: Browser, fragment: str, said: str) -> None:
    """A link that is cut, forged or expired opens no logs, and the page says why."""
    with open_page_service(None, NATSTREAM_TOKEN=TOKEN) as service:
        page = chromium.new_page()
        if fragment == "#expired":
            fragment = f"#{grant_text(('app', 'web'), seconds=-5)}"
        page.goto(f"{service.url}/link{fragment}")
        expect(page.locator("#said")).to_contain_text(said)
        page.close()
