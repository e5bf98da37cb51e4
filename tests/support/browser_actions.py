"""A mouse and a keyboard for the drivers that speak WebDriver, which has one notation for both.

WebDriver's actions are the same JSON in its classic form (WebKit) and in BiDi (Firefox):
https://www.w3.org/TR/webdriver2/#actions
"""

from __future__ import annotations

from typing import Any

from selenium.webdriver import Keys
from tests.support.browser_tab import DOUBLE_CLICK, Tab

__all__ = ["ActionTab"]

Step = dict[str, Any]

DOWN: Step = {"type": "pointerDown", "button": 0}
UP: Step = {"type": "pointerUp", "button": 0}
PAUSE: Step = {"type": "pause", "duration": int(DOUBLE_CLICK * 1000)}

KEYS = {
    "Control": Keys.CONTROL,
    "Shift": Keys.SHIFT,
    "Enter": Keys.ENTER,
    "Escape": Keys.ESCAPE,
    "Tab": Keys.TAB,
    "Home": Keys.HOME,
    "End": Keys.END,
    "PageUp": Keys.PAGE_UP,
    "PageDown": Keys.PAGE_DOWN,
    "ArrowUp": Keys.ARROW_UP,
    "ArrowDown": Keys.ARROW_DOWN,
    "ArrowLeft": Keys.ARROW_LEFT,
    "ArrowRight": Keys.ARROW_RIGHT,
}


def move(x: float, y: float, duration: int = 0) -> Step:
    return {"type": "pointerMove", "x": round(x), "y": round(y), "duration": duration}


class ActionTab(Tab):
    """A tab whose driver takes WebDriver's actions."""

    def perform(self, source: dict[str, Any]) -> None:
        """Let one source of input act, and wait until it has acted."""
        raise NotImplementedError

    def click_at(self, x: float, y: float, *, times: int = 1) -> None:
        clicks = [DOWN, UP, *[PAUSE, DOWN, UP] * (times - 1)]
        self._point([move(x, y), *clicks])

    def drag_between(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        (left, top), (right, bottom) = start, end
        way = [
            move(left + (right - left) * part / 5, top + (bottom - top) * part / 5, duration=20)
            for part in range(1, 6)
        ]
        self._point([move(*start), DOWN, *way, UP])

    def wheel_at(self, x: float, y: float, pixels: int) -> None:
        turn = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": pixels}
        self.perform({"type": "wheel", "id": "wheel", "actions": [turn]})

    def press(self, chord: str) -> None:
        names = chord.split("+") if len(chord) > 1 else [chord]
        keys = [KEYS.get(name, name) for name in names]
        self._strike(
            [{"type": "keyDown", "value": key} for key in keys]
            + [{"type": "keyUp", "value": key} for key in reversed(keys)]
        )

    def type(self, text: str) -> None:
        self._strike(
            [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        )

    def _point(self, steps: list[Step]) -> None:
        self.perform({"type": "pointer", "id": "mouse", "actions": steps})

    def _strike(self, steps: list[Step]) -> None:
        self.perform({"type": "key", "id": "keyboard", "actions": steps})
