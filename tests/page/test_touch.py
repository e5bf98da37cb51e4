"""Hands on the list: a slow finger, a scroll bar and keys leave the newest line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A telephone."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True
    )
    context.add_init_script("window.violations = [];")
    yield context
    context.close()


@contextmanager
def flowing(viewer: Viewer) -> Iterator[None]:
    """Publish a line every 25 ms during the block."""
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.wait(0.025):
            viewer.publish(f"flow {number}")
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def touch(viewer: Viewer, type: str, x: float, y: float, session: Any) -> None:
    points = [] if type == "touchEnd" else [{"x": x, "y": y}]
    session.send("Input.dispatchTouchEvent", {"type": type, "touchPoints": points})


@pytest.mark.parametrize("step", [1, 3])
def test_a_slow_finger_leaves_the_end(viewer: Viewer, step: int) -> None:
    """A finger that draws slowly leaves the newest line, while lines arrive all the time."""
    viewer.publish(*(f"line {number}" for number in range(200)))
    viewer.open()
    expect(viewer.row("line 199")).to_be_visible()
    session = viewer.page.context.new_cdp_session(viewer.page)
    with flowing(viewer):
        expect(viewer.rows.filter(has_text="flow").first).to_be_visible()
        touch(viewer, "touchStart", 200, 300, session)
        for moved in range(step, 80, step):
            touch(viewer, "touchMove", 200, 300 + moved, session)
            viewer.page.wait_for_timeout(20)
        touch(viewer, "touchEnd", 0, 0, session)
        expect(viewer.page.locator("#newest")).to_be_visible()
        first = viewer.messages()[0]
        viewer.page.wait_for_timeout(500)
        assert viewer.messages()[0] == first


def test_a_slow_scroll_bar_leaves_the_end(viewer: Viewer) -> None:
    """Moves of one pixel, as those of a scroll bar or of a smooth key, add up."""
    viewer.publish(*(f"line {number}" for number in range(100)))
    viewer.open()
    expect(viewer.row("line 99")).to_be_visible()
    with flowing(viewer):
        eventually(lambda: viewer.rows.filter(has_text="flow").count() > 3, "new lines")
        viewer.page.evaluate(
            "async () => { for (let i = 0; i < 30; i++) {"
            " document.getElementById('lines').scrollTop -= 1;"
            " await new Promise((resolve) => setTimeout(resolve, 30)); } }"
        )
        expect(viewer.page.locator("#newest")).to_be_visible()


def test_a_larger_screen_leaves_nothing(viewer: Viewer) -> None:
    """A list that follows the newest line goes on to do so when its height changes."""
    viewer.publish(*(f"line {number}" for number in range(100)))
    viewer.open()
    expect(viewer.row("line 99")).to_be_visible()
    for height in (900, 500, 1000, 460, 700):
        viewer.page.set_viewport_size({"width": 390, "height": height})
        viewer.publish(f"at {height}")
        expect(viewer.row(f"at {height}")).to_be_in_viewport()
        expect(viewer.page.locator("#newest")).to_be_hidden()
