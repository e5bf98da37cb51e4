"""The texts of single lines: line breaks, times that go on, and the end of a traceback."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer

FRAMES = tuple(f'  File "/app/shop.py", line {number}, in pay' for number in range(12))
TRACE = ("Traceback (most recent call last):", *FRAMES, "shop.NoSuchShop: 7")


def test_line_breaks_of_windows_are_line_breaks(viewer: Viewer) -> None:
    """A carriage return before a line break leaves no trace, in rows, details and JSON."""
    viewer.publish("one\r\ntwo\r\n", "\x1b[31mred\r\x1b[0m\ngreen\r", '{"msg": "a\\r\\nb"}')
    viewer.publish("10%\r20%")
    viewer.open()
    expect(viewer.row("20%").locator(".unseen")).to_have_text("␍")
    for text in ("one", "red", "a"):
        viewer.message(text).first.click()
        expect(viewer.drawer).to_be_visible()
    expect(viewer.page.locator("#rows .unseen")).to_have_count(1)
    assert viewer.messages()[:2] == ["one\ntwo", "red\ngreen"]
    viewer.row("one").click()
    expect(viewer.drawer.locator(".message")).to_have_text("one\ntwo")
    expect(viewer.drawer.locator(".message .unseen")).to_have_count(0)
    assert "␍" not in viewer.download("[data-download=text]").replace("10%‹␍›20%", "")


def test_times_ago_go_on(viewer: Viewer) -> None:
    """The details say how long ago a line was, and the figure grows while they are open."""
    viewer.publish("one")
    viewer.open()
    viewer.row("one").click()
    since = viewer.drawer.locator("[data-since]")
    expect(since).to_have_text(re.compile(r"^[2-9](\.\d)? s ago"))
    first = since.inner_text()
    eventually(lambda: since.inner_text() != first, "the next second")


def test_the_end_of_a_traceback_is_seen_when_it_is_folded(viewer: Viewer) -> None:
    """The exception is seen while its traceback is folded, in one message or in many lines."""
    viewer.publish("\n".join(TRACE), machine="whole")
    viewer.publish(*TRACE, machine="lines")
    viewer.open()
    expect(viewer.rows).to_have_count(2)
    for wrapped in (True, False):
        expect(viewer.page.locator("#rows .telling")).to_have_text(["shop.NoSuchShop: 7"] * 2)
        if wrapped:
            viewer.press("w")
            expect(viewer.page.locator("#rows.wrap")).to_have_count(0)
    viewer.row("whole").locator(".fold").click()
    expect(viewer.row("whole").locator(".telling")).to_have_count(0)
    expect(viewer.row("whole")).to_contain_text("shop.NoSuchShop: 7")
