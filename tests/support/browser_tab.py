"""One tab of a browser of any kind, with short names for what a reader does and sees there.

A driver (`browser_chromium`, `browser_firefox`, `browser_webkit`) is a context manager that makes
a `Tab` with an empty profile. It implements the few methods that raise `NotImplementedError` here;
the others are built on them, so that a scenario is the same in every browser. An element is named
by a CSS selector and, if several match, by a text that it contains.

`CANNOT` says which scenarios a driver cannot run, and why.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from tests.support.browser import PATIENCE

__all__ = ["CANNOT", "DOUBLE_CLICK", "NAMES", "Look", "PageLeft", "Tab"]

NAMES = ("chromium", "firefox", "webkit")

CANNOT = {
    ("firefox", "touch"): "its WebDriver BiDi sends touch events, which scroll nothing",
    ("webkit", "touch"): "WebKitWebDriver turns touches into events of a mouse",
    ("webkit", "forced colours"): "WebKitGTK has no forced colours",
    ("chromium", "hidden tabs"): "Playwright keeps every tab shown",
    ("webkit", "hidden tabs"): "WebKitWebDriver brings no other tab of a window to the front",
}
"""What a driver or a browser cannot do, and why; CONTRIBUTING.md shows the same table."""

POLL = 0.05
DOUBLE_CLICK = 0.12
"""Seconds between the two clicks of a double click, as with a hand, so that the page may react."""

# The elements that are shown, for a selector and a part of their text.
FIND = """(selector, text) => [...document.querySelectorAll(selector)].filter(
  (one) => one.checkVisibility({ visibilityProperty: true }) && one.innerText.includes(text))"""

# The middle of the element, once it stands still and nothing covers it.
MIDDLE = f"""async (selector, text) => {{
  const where = () => {{
    const [element] = ({FIND})(selector, text);
    if (!element) return undefined;
    const {{ left, top, width, height }} = element.getBoundingClientRect();
    return {{ element, left, top, width, height }};
  }};
  const before = where();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const box = where();
  if (!before || !box || before.left !== box.left || before.top !== box.top) return undefined;
  const {{ left, top, width, height }} = box;
  const [x, y] = [left + width / 2, top + height / 2];
  const hit = document.elementFromPoint(x, y);
  const covered = !hit || !(box.element.contains(hit) || hit.contains(box.element));
  return covered ? undefined : {{ x, y, left, top, width, height }};
}}"""

# What the page complains about from now on. A notice of Firefox is left out: an observer of sizes
# has changed the size that it observes, so Firefox tells it in the next frame. Nothing is lost.
WATCH = """() => {
  window.complaints = [];
  const note = (text) => {
    if (!String(text).startsWith('ResizeObserver loop')) window.complaints.push(String(text));
  };
  addEventListener('error', (event) => note(event.message));
  addEventListener('unhandledrejection', (event) => note(event.reason));
  document.addEventListener('securitypolicyviolation', (event) =>
    note(`${event.violatedDirective} ${event.blockedURI}`));
}"""


@attrs.frozen
class Look:
    """How a reader looks at the page: the window, in CSS pixels, and what the system asks for."""

    width: int = 1280
    height: int = 800
    ratio: int = 1
    """Points of the screen for each CSS pixel."""
    dark: bool = False
    reduced_motion: bool = False
    forced_colours: bool = False
    touch: bool = False


class PageLeft(Exception):
    """The page was left while it ran a function, for example because it loads itself anew."""


class Tab:
    """A tab that shows one page."""

    browser: str
    """One of NAMES."""

    def load(self, url: str) -> None:
        """Go to an address, and wait until the page and its scripts are loaded."""
        raise NotImplementedError

    def back(self) -> None:
        """Press the browser's button."""
        raise NotImplementedError

    def reload(self) -> None:
        """Load the page anew, and wait as `load` does."""
        raise NotImplementedError

    def call(self, function: str, *args: Any) -> Any:
        """Call a JavaScript function with JSON values, and return the JSON value that it gives.

        A promise is awaited. What the function throws is raised.

        Raises:
            PageLeft: the page went away before the function ended.
        """
        raise NotImplementedError

    def click_at(self, x: float, y: float, *, times: int = 1) -> None:
        """Click the left button, several times with DOUBLE_CLICK between the clicks."""
        raise NotImplementedError

    def hold_at(self, x: float, y: float) -> None:
        """Press the left button there, and keep it down."""
        raise NotImplementedError

    def move_to(self, x: float, y: float) -> None:
        """Move the mouse."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Release the left button."""
        raise NotImplementedError

    def wheel_at(self, x: float, y: float, pixels: int) -> None:
        """Turn the wheel; more than 0 pixels show what is below."""
        raise NotImplementedError

    def swipe(self, x: float, y: float, pixels: float, seconds: float) -> None:
        """Move a finger over the screen: down, or up if `pixels` are less than 0."""
        raise NotImplementedError

    def press(self, chord: str) -> None:
        """Press keys together, with the names of DOM events: "n", "Control+a", "ArrowUp"."""
        raise NotImplementedError

    def type(self, text: str) -> None:
        """Press the keys of a text, one after another."""
        raise NotImplementedError

    def open_beside(self) -> Tab:
        """Open a tab of the same browser with the same cookies and memory, in front of this one."""
        raise NotImplementedError

    def close(self) -> None:
        """Close this tab, and show the one beside which it was opened."""
        raise NotImplementedError

    def save_picture(self, path: Path) -> None:
        """Write what the tab shows as a PNG."""
        raise NotImplementedError

    def open(self, url: str) -> None:
        """Load a page, and from then on note what it complains about."""
        self.load(url)
        self.call(WATCH)

    def complaints(self) -> list[str]:
        """Return the page's errors and violations of its policy since it was opened."""
        found: list[str] = self.call("() => window.complaints ?? []")
        return found

    def wait_for(self, what: str, function: str, *args: Any) -> Any:
        """Wait until the function gives a true value, and return it; `what` is for the failure."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(PageLeft):  # the next page may give it
                if value := self.call(function, *args):
                    return value
            assert time.monotonic() < deadline, f"{self.browser} waited in vain for {what}"
            time.sleep(POLL)

    def wait_for_element(self, selector: str, text: str = "") -> None:
        """Wait until such an element is shown."""
        shown = f"(...args) => ({FIND})(...args).length"
        self.wait_for(f"{selector} with {text!r}", shown, selector, text)

    def wait_until_gone(self, selector: str, text: str = "") -> None:
        """Wait until no such element is shown."""
        self.wait_for(
            f"no {selector} with {text!r}",
            f"(...args) => ({FIND})(...args).length === 0",
            selector,
            text,
        )

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements that are shown, in the page's order."""
        found: list[str] = self.call(
            f"(s) => ({FIND})(s, '').map((one) => one.innerText)", selector
        )
        return found

    def box(self, selector: str, text: str = "") -> dict[str, float]:
        """Return where an element stands (`x` and `y` of its middle) once it has come to rest."""
        place: dict[str, float] = self.wait_for(
            f"{selector} with {text!r} at rest, uncovered", MIDDLE, selector, text
        )
        return place

    def click(self, selector: str, text: str = "") -> None:
        """Click an element."""
        box = self.box(selector, text)
        self.click_at(box["x"], box["y"])

    def double_click(self, selector: str, text: str = "", *, x: float | None = None) -> None:
        """Click an element twice, in its middle or `x` pixels from its left edge."""
        box = self.box(selector, text)
        self.click_at(box["x"] if x is None else box["left"] + x, box["y"], times=2)

    def drag(self, start: tuple[str, str], end: tuple[str, str]) -> None:
        """Drag from the left edge of one element (selector, text) to the right edge of another."""
        first, last = self.box(*start), self.box(*end)
        (left, top), (right, bottom) = (
            (first["left"] + 1, first["y"]),
            (last["left"] + last["width"] - 1, last["y"]),
        )
        self.hold_at(left, top)
        for part in range(1, 6):
            self.move_to(left + (right - left) * part / 5, top + (bottom - top) * part / 5)
        self.let_go()

    def wheel(self, selector: str, pixels: int) -> None:
        """Turn the wheel over an element."""
        box = self.box(selector)
        self.wheel_at(box["x"], box["y"], pixels)

    def fill(self, selector: str, text: str) -> None:
        """Replace what stands in a field by typing."""
        self.click(selector)
        self.press("Control+a")
        self.type(text)

    def value(self, selector: str) -> str:
        """Return what stands in a field."""
        text: str = self.call("(s) => document.querySelector(s).value", selector)
        return text

    def selected(self) -> str:
        """Return the text that is selected."""
        text: str = self.call("() => String(getSelection())")
        return text

    def pasted(self) -> str:
        """Return the clipboard's text, by pasting it into a field beside the page.

        A browser lets no script read the clipboard without asking its reader, but keys may.
        """
        self.call(
            "() => { const field = document.createElement('textarea'); field.id = 'pasted';"
            " document.body.append(field); field.focus(); }"
        )
        deadline = time.monotonic() + PATIENCE
        text = ""
        while not text and time.monotonic() < deadline:  # The page may still be copying.
            self.press("Control+v")
            text = self.value("#pasted")
        self.call("() => document.getElementById('pasted').remove()")
        return text
