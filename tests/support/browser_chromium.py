"""Chromium, driven by Playwright, behind the same names as the other browsers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from playwright.sync_api import Browser, Error, Page
from tests.support.browser import open_browser
from tests.support.browser_tab import DOUBLE_CLICK, Look, PageLeft, Tab

__all__ = ["Chromium", "ChromiumTab", "open_chromium"]


@attrs.frozen
class Chromium:
    """A running Chromium."""

    playwright: Browser

    @contextmanager
    def open_tab(self, look: Look) -> Iterator[ChromiumTab]:
        context = self.playwright.new_context(
            viewport={"width": look.width, "height": look.height},
            device_scale_factor=look.ratio,
            color_scheme="dark" if look.dark else "light",
            reduced_motion="reduce" if look.reduced_motion else "no-preference",
            forced_colors="active" if look.forced_colours else "none",
            has_touch=look.touch,
            is_mobile=look.touch,
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        try:
            yield ChromiumTab(context.new_page())
        finally:
            context.close()


@attrs.define
class ChromiumTab(Tab):
    """A tab of Chromium."""

    page: Page
    browser: str = "chromium"

    def load(self, url: str) -> None:
        self.page.goto(url)

    def back(self) -> None:
        self.page.go_back()

    def reload(self) -> None:
        self.page.reload()

    def call(self, function: str, *args: Any) -> Any:
        try:
            return self.page.evaluate(f"(args) => ({function})(...args)", list(args))
        except Error as error:
            if "context was destroyed" in error.message:
                raise PageLeft from error
            raise

    def click_at(self, x: float, y: float, *, times: int = 1) -> None:
        self.page.mouse.move(x, y)
        for count in range(1, times + 1):
            if count > 1:
                time.sleep(DOUBLE_CLICK)
            self.page.mouse.down(click_count=count)
            self.page.mouse.up(click_count=count)

    def drag_between(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=5)
        self.page.mouse.up()

    def wheel_at(self, x: float, y: float, pixels: int) -> None:
        self.page.mouse.move(x, y)
        self.page.mouse.wheel(0, pixels)

    def swipe(self, x: float, y: float, pixels: float, seconds: float) -> None:
        touch = self.page.context.new_cdp_session(self.page)
        steps = 20
        for step in range(steps + 1):
            point = {"x": x, "y": y + pixels * step / steps}
            kind = "touchMove" if step else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
            time.sleep(seconds / steps)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        touch.detach()

    def press(self, chord: str) -> None:
        self.page.keyboard.press(chord)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def save_picture(self, path: Path) -> None:
        self.page.screenshot(path=path)


@contextmanager
def open_chromium() -> Iterator[Chromium]:
    """Run Chromium. Skip the test if the machine has none."""
    with open_browser() as playwright:
        yield Chromium(playwright)
