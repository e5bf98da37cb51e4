"""Fixtures for the page in a real chromium, before the real service with a real nats-server.

All tests of this folder in one pytest process share chromium, the nats-server and the service,
because starting them takes seconds. The three end with the folder (package scope) and not with the
session, because a running Playwright changes asyncio for the tests of other folders. Each test
publishes under an app of its own and looks at that app only. A test that stops or configures its
service starts one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.support.browser import (
    PATIENCE,
    PageService,
    Stage,
    open_browser,
    open_nats,
    open_page_service,
    publish,
)
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer

expect.set_options(timeout=PATIENCE * 1000)

# What the page reports of its Content-Security-Policy, from the first script on.
WATCH = """
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (event) => {
    window.violations.push(event.violatedDirective + ' ' + event.blockedURI);
  });
"""

# Playwright does not see the requests of a shared worker, so the page tells which it asks it for.
TELL = """
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (message, ...more) {
    if (message?.ask) window.asked(message.url);
    return post.call(this, message, ...more);
  };
"""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def stage(chromium: Browser) -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="package")
def nats(stage: Stage) -> Iterator[MistreatedServer]:
    with open_nats(stage) as nats:
        yield nats


@pytest.fixture(scope="package")
def service(nats: MistreatedServer) -> Iterator[PageService]:
    """One service for the tests that do not mistreat it."""
    with open_page_service(nats) as service:
        yield service


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", timezone_id="Europe/Berlin"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(WATCH)
    yield context
    context.close()


@pytest.fixture
def open_viewer(
    context: BrowserContext,
    stage: Stage,
    nats: MistreatedServer,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], Viewer]]:
    """Make viewers of a service at some address; at the end, no page may have complained."""
    name: str = request.node.name
    app = re.sub(r"[^a-z0-9]+", "-", name.lower())[5:60].strip("-")
    pages: list[Page] = []
    complaints: list[str] = []

    def send(subject: str, payloads: Sequence[bytes]) -> None:
        publish(stage, nats, subject, payloads)

    def open_at(url: str) -> Viewer:
        page = context.new_page()
        pages.append(page)
        viewer = Viewer(page, url, app, send)

        def note(url: str) -> None:
            if "/api/logs" in url:
                viewer.requests.append(urlsplit(url).query)

        page.on("request", lambda request: note(request.url))
        page.expose_function("asked", note)
        page.add_init_script(TELL)
        page.on("pageerror", lambda error: complaints.append(f"{error} {error.stack}"))
        page.on("console", lambda message: complaints.append(message.text))
        return viewer

    yield open_at
    for page in pages:
        assert page.evaluate("window.violations") == []
    # Answers that a test has provoked, and hints for developers.
    harmless = ("Failed to load resource", "[DOM]", "Clear-Site-Data")
    assert [one for one in complaints if not one.startswith(harmless)] == []


@pytest.fixture
def viewer(open_viewer: Callable[[str], Viewer], service: PageService) -> Viewer:
    return open_viewer(service.url)
