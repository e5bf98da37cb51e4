"""The page in a tab of a real browser, with short names for what a test does and sees there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from playwright.sync_api import Error, Locator, Page, expect

__all__ = ["HIDING", "Viewer", "line", "select"]

# Playwright shows every tab, so a test says itself whether its tab is hidden.
HIDING = """
  window.away = false;
  Object.defineProperty(document, 'hidden', { get: () => window.away });
  window.look = (away) => {
    window.away = away;
    document.dispatchEvent(new Event('visibilitychange'));
  };
"""


def line(message: str, *, app: str, level: str = "info", **more: Any) -> bytes:
    """Return a line as Fly publishes it, of this moment or of `at` (Unix seconds)."""
    at = more.pop("at", time.time())
    event = {
        "event": {"provider": more.pop("provider", "app")},
        "fly": {"app": {"instance": "0e286551c30586", "name": app}, "region": "iad"},
        "host": "0ad1",
        "log": {"level": level},
        "message": message,
        "timestamp": at,
    }
    return json.dumps(event | more).encode()


@attrs.define
class Viewer:
    """The page in a tab, looking at one app."""

    page: Page
    url: str
    app: str
    _publish: Callable[[str, Sequence[bytes]], None]
    requests: list[str] = attrs.field(factory=list)
    """The queries of /api/logs that the page has asked."""
    published: int = 0
    """Lines that this viewer has published."""

    def open(self, query: str = "", *, live: bool = True) -> Viewer:
        """Go to the page, and wait until it is connected and has painted lines that were there."""
        self.page.goto(f"{self.url}/?app={self.app}{query}")
        if live:
            expect(self.state).to_have_text("Live")
            with suppress(Error):  # The query may match no line.
                self.page.wait_for_selector("#rows .row", timeout=1_000 if self.published else 1)
        return self

    def publish(self, *messages: str, **more: Any) -> None:
        """Publish lines of this viewer's app."""
        region, machine = more.pop("region", "iad"), more.pop("machine", "0e286551c30586")
        payloads = [line(message, app=self.app, **more) for message in messages]
        self.published += len(payloads)
        self._publish(f"logs.{self.app}.{region}.{machine}", payloads)

    @property
    def state(self) -> Locator:
        return self.page.locator("#state-text")

    @property
    def rows(self) -> Locator:
        return self.page.locator("#rows .row")

    @property
    def notes(self) -> Locator:
        return self.page.locator("#rows .note")

    @property
    def drawer(self) -> Locator:
        return self.page.locator("#details")

    def row(self, text: str) -> Locator:
        """Return the lines that show a text anywhere; `message` looks at the messages alone."""
        return self.rows.filter(has_text=text)

    def message(self, text: str) -> Locator:
        return self.page.locator("#rows .m").filter(has_text=text)

    def messages(self) -> list[str]:
        return self.page.locator("#rows .m").all_inner_texts()

    def shows(self, messages: list[str]) -> bool:
        return self.messages() == messages

    def search(self, text: str) -> None:
        """Type a query into the search field and press Enter."""
        self.page.fill("#query", text)
        self.page.press("#query", "Enter")

    def press(self, key: str) -> None:
        self.page.locator("body").press(key)

    def scroll(self, pixels: int) -> None:
        """Turn the wheel over the lines."""
        self.page.locator("#lines").hover()
        self.page.mouse.wheel(0, pixels)

    def is_at_end(self) -> bool:
        return bool(
            self.page.evaluate(
                "() => { const l = document.getElementById('lines');"
                " return l.scrollHeight - l.scrollTop - l.clientHeight < 5; }"
            )
        )

    def download(self, button: str) -> str:
        """Return the file that a click in the Download menu gives."""
        self.page.click("#download-button")
        with self.page.expect_download() as info:
            self.page.click(button)
        return Path(info.value.path()).read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines that the page holds."""
        return [json.loads(row) for row in self.download("[data-download=ndjson]").splitlines()]


def select(viewer: Viewer, start: tuple[str, str], end: tuple[str, str]) -> None:
    """Drag from the start of a cell (`row`, `cell`) to the end of another."""
    viewer.page.evaluate("getSelection().removeAllRanges()")  # which would be dragged itself
    ends = [viewer.row(row).locator(cell).bounding_box() for row, cell in (start, end)]
    assert ends[0] is not None
    assert ends[1] is not None
    viewer.page.mouse.move(ends[0]["x"] + 1, ends[0]["y"] + 8)
    viewer.page.mouse.down()
    viewer.page.mouse.move(ends[1]["x"] + ends[1]["width"] - 1, ends[1]["y"] + 8, steps=5)
    viewer.page.mouse.up()
