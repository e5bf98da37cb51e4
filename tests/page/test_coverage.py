"""Lines that the page lacks: the list and the histogram show that, and how to get them."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, expect
from tests.support.browser import open_page_service
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer


def hatched(viewer: Viewer) -> int:
    """Return how many pixels at the bottom left of the histogram are drawn, in the next frame."""
    viewer.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    count: int = viewer.page.evaluate(
        "() => { const c = document.getElementById('strip-canvas');"
        " const pixels = c.getContext('2d').getImageData(0, 12, 200, c.height - 12).data;"
        " return pixels.filter((value, index) => index % 4 === 3 && value > 0).length; }"
    )
    return count


def before(viewer: Viewer) -> Locator:
    return viewer.page.locator("#before")


def test_lines_that_were_not_loaded_are_drawn_as_such(viewer: Viewer) -> None:
    """The page says that it lacks earlier lines of the filter, and a click loads them."""
    old = time.time() - 200
    viewer.publish(*(f"old {number}" for number in range(3_000)), at=old)
    viewer.publish(*(f"new {number}" for number in range(10_000)))
    viewer.open("&since=30m")
    expect(viewer.row("new 9999")).to_be_visible()
    expect(before(viewer)).to_be_hidden()
    viewer.press("g")
    expect(before(viewer)).to_contain_text("are not loaded")
    slider = viewer.page.locator("#strip-slider")
    assert hatched(viewer) > 100
    slider.click(position={"x": 7, "y": 30})
    expect(viewer.page.locator("#held")).to_contain_text("13,000 lines")
    viewer.press("g")
    expect(viewer.row("old 0").first).to_be_visible()
    # The lines are old, but the service has just started.
    expect(before(viewer)).to_contain_text("The service has no lines from before")
    expect(viewer.page.locator("#earlier")).to_be_hidden()


def test_lines_that_the_service_lacks_are_drawn_as_such(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """The list and the histogram say from when on the service has lines."""
    with open_page_service(nats, NATSTREAM_BACKLOG_LINES="100") as service:
        viewer = open_viewer(service.url)
        viewer.publish(*(f"line {number}" for number in range(300)))
        viewer.open()
        viewer.press("g")
        expect(viewer.row("line 200")).to_be_visible()
        expect(before(viewer)).to_contain_text("The service has no lines from before")
        slider = viewer.page.locator("#strip-slider")
        slider.hover(position={"x": 7, "y": 30})
        expect(viewer.page.locator("#strip-tip")).to_contain_text("not held by the service")
        assert hatched(viewer) > 100


def test_lines_that_the_page_has_let_go_can_be_read(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """A full page says that it has let its oldest lines go, and shows them as neighbours."""
    with open_page_service(
        nats,
        NATSTREAM_BACKLOG_LINES="200000",
        NATSTREAM_BACKLOG_BYTES="300000000",
        NATSTREAM_MAX_LAG="600",  # A busy machine shows them later.
    ) as service:
        viewer = open_viewer(service.url).open()
        for part in range(11):
            lines = (f"{part} {number}." for number in range(10_000))
            viewer.publish(*lines, at=time.time() - 60)  # from before the service's start
        expect(viewer.row("10 9999.")).to_be_visible(timeout=240_000)
        viewer.press("g")
        expect(before(viewer)).to_contain_text("This page has let go of the lines before")
        viewer.page.click("#earlier")
        row = viewer.page.locator("#neighbours-rows .row").filter(has_text="0 9999.")
        expect(row.first).to_be_attached()
