"""Colours that strangers wrote into their lines → colours that hide no text. Pure.

In: the SGR sequences of one text, in order. Out: the harmless part of each. Conceal, blinking and
all unknown codes go. A background stays only with a foreground that can be read on it, because text
in the colour of its background is as hidden as concealed text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

__all__ = ["SafeColours"]

# Reset, weight, italics, underline, inverse, strike, and their ends; 39 is the default foreground.
_HARMLESS = frozenset(["0", "1", "2", "3", "4", "7", "9", "21", "22", "23", "24", "27", "29", "39"])
# xterm's sixteen colours. A theme may change them, but rarely so that two become alike.
_SIXTEEN = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0)),
    *((0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
    *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
)
_CUBE = (0, 95, 135, 175, 215, 255)
# The least ratio of two colours' luminances, as WCAG defines it. Red on blue has 1.6.
_LEAST_CONTRAST = 1.4

Rgb = tuple[int, int, int]


class SafeColours:
    """The colours that are on after each sequence of one text."""

    def __init__(self) -> None:
        self._text: Rgb | None = None
        self._ground: tuple[str, Rgb] | None = None
        """The background that the text asks for: its code and colour."""
        self._shown = ""
        """The code of the background that is on."""

    def keep(self, sequence: str) -> str:
        """Return the part of an SGR sequence (`ESC [ … m`) that may stay, or ""."""
        kept: list[str] = []
        for code, rgb in _codes(sequence[2:-1]):
            name = code.partition(":")[0].partition(";")[0].lstrip("0") or "0"
            if name in _HARMLESS:
                kept.append(code)
                if name == "0":
                    self._ground, self._shown = None, ""
                if name in ("0", "39"):
                    self._text = None
            elif name == "49":
                self._ground = None
            elif rgb is not None and (name[:-1] in ("3", "9")):
                kept.append(code)
                self._text = rgb
            elif rgb is not None:
                self._ground = code, rgb
        ground = ""
        if self._ground and self._text and _contrast(self._text, self._ground[1]):
            ground = self._ground[0]
        if ground != self._shown:
            kept.append(ground or "49")
            self._shown = ground
        return f"\x1b[{';'.join(kept)}m" if kept else ""


def _codes(parameters: str) -> Iterator[tuple[str, Rgb | None]]:
    """Yield each code with its own parameters, and the colour that it sets if it sets one."""
    parts = iter(parameters.split(";"))
    for part in parts:
        name, _, rest = part.partition(":")
        name = name.lstrip("0") or "0"
        if name in ("38", "48"):
            if rest:
                numbers = [text for text in rest.split(":") if text]
            else:
                mode = next(parts, "")
                numbers = [mode, *islice(parts, 3 if mode == "2" else 1)]
                part = ";".join([part, *numbers])
            rgb = _extended(numbers)
            if rgb is None:
                return  # Terminals disagree about what follows a broken colour.
            yield part, rgb
        elif rest:
            # Some terminals read a colon as a semicolon, so that `4:8` would conceal the text.
            if name == "4" and rest in ("0", "1", "2", "3", "4", "5"):
                yield part, None
        elif len(name) in (2, 3) and name[:-1] in ("3", "4", "9", "10") and name[-1] in "01234567":
            yield part, _SIXTEEN[int(name[-1]) + (8 if name[:-1] in ("9", "10") else 0)]
        else:
            yield part, None


def _extended(numbers: list[str]) -> Rgb | None:
    """Return the colour of the parameters after 38 or 48, or None if they are broken."""
    if not all(text.isdecimal() and len(text) <= 3 for text in numbers):
        return None
    match [int(text) for text in numbers]:
        case [5, n] if n < 16:
            return _SIXTEEN[n]
        case [5, n] if n < 232:
            n -= 16
            return _CUBE[n // 36], _CUBE[n // 6 % 6], _CUBE[n % 6]
        case [5, n] if n < 256:
            return (8 + (n - 232) * 10,) * 3
        case [2, *_, r, g, b] if len(numbers) <= 5 and max(r, g, b) < 256:
            return r, g, b
    return None


@lru_cache(maxsize=1_000)
def _contrast(one: Rgb, other: Rgb) -> bool:
    """Return whether text of one colour can be read on the other."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05) >= _LEAST_CONTRAST


def _luminance(rgb: Rgb) -> float:
    red, green, blue = (
        part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
