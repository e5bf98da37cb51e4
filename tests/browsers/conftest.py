"""Fixtures for the same scenarios in Chromium, Firefox and WebKit.

A scenario is a test that takes `log`, and runs once in each browser:

    def test_a_line_appears(log: LogPage) -> None:
        log.open().publish("hello")
        log.wait_for_row("hello")

`@pytest.mark.look(dark=True)` opens the tab with another `Look`. `@pytest.mark.needs("touch")`
leaves the scenario out in the browsers whose drivers cannot do that: `CANNOT` lists them. `LogPage`
and its `tab` have what a reader can do; a scenario uses nothing of a single driver.

The tests of one browser run on one worker, and share the browser, the nats-server and the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack

import pytest
from tests.support.browser import PageService, Stage, open_nats, open_page_service, publish
from tests.support.browser_chromium import Chromium, open_chromium
from tests.support.browser_firefox import Firefox, open_firefox
from tests.support.browser_log import LogPage
from tests.support.browser_tab import CANNOT, NAMES, Look
from tests.support.browser_webkit import WebKit, open_webkit
from tests.support.mistreated import MistreatedServer

AnyBrowser = Chromium | Firefox | WebKit
OPEN: dict[str, Callable[[], AbstractContextManager[AnyBrowser]]] = {
    "chromium": open_chromium,
    "firefox": open_firefox,
    "webkit": open_webkit,
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "look(**fields): how the reader looks at the page (Look)")
    config.addinivalue_line("markers", "needs(ability): what the driver must be able to do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "browser" not in metafunc.fixturenames:
        return
    needed = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
    metafunc.parametrize(
        "browser",
        [
            pytest.param(name, marks=pytest.mark.xdist_group(f"browsers-{name}"))
            for name in NAMES
            if not any((name, ability) in CANNOT for ability in needed)
        ],
        indirect=True,
        scope="package",
    )


@pytest.fixture(scope="package")
def browser(request: pytest.FixtureRequest) -> Iterator[AnyBrowser]:
    with OPEN[request.param]() as browser:
        yield browser


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
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
def open_log(
    browser: AnyBrowser,
    stage: Stage,
    nats: MistreatedServer,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], LogPage]]:
    """Open tabs for a service at some address; at the end, no page may have complained."""
    mark = request.node.get_closest_marker("look")
    look = Look(**mark.kwargs) if mark else Look()
    app = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[5:60].strip("-")

    def send(subject: str, payloads: Sequence[bytes]) -> None:
        publish(stage, nats, subject, payloads)

    with ExitStack() as tabs:
        pages: list[LogPage] = []

        def open_at(url: str) -> LogPage:
            pages.append(LogPage(tabs.enter_context(browser.open_tab(look)), url, app, send))
            return pages[-1]

        yield open_at
        assert [page.tab.complaints() for page in pages] == [[] for _ in pages]


@pytest.fixture
def log(open_log: Callable[[str], LogPage], service: PageService) -> LogPage:
    return open_log(service.url)
