"""The page on other screens and under other wishes of the system, in each browser."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python  # type: ignore[import-untyped]  # no types
import pytest
from tests.support.browser_log import ROW, LogPage

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
# Escapes of all kinds: the sixteen colours, their backgrounds, 256 and true colours, and faint.
ANSI = [
    "".join(
        f"\x1b[{first + number}m {number} \x1b[0m" for first in (30, 90) for number in range(8)
    ),
    "".join(
        f"\x1b[{first + number}m {number} \x1b[0m" for first in (40, 100) for number in range(8)
    ),
    "".join(f"\x1b[38;5;{number}m {number} \x1b[0m" for number in range(16, 256, 7)),
    "\x1b[38;2;40;40;60mdark\x1b[38;2;240;240;90mbright\x1b[0m \x1b[48;2;200;60;60mred\x1b[0m",
    "\x1b[2mfaint\x1b[0m \x1b[7minverse\x1b[0m \x1b[31;1mbold\x1b[0m",
]


def serious(log: LogPage) -> list[str]:
    """Return the problems that axe-core calls serious or worse, with some of their elements."""
    found: list[str] = log.tab.call(
        "async () => (await axe.run()).violations"
        ".filter(({ impact }) => ['serious', 'critical'].includes(impact))"
        ".map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html)}`)"
    )
    return found


def load_axe(log: LogPage) -> None:
    """Put axe-core into the page, past the policy that lets the page load nothing foreign."""
    source = AXE.read_text(encoding="utf-8")
    log.tab.call(f"() => {{ const module = undefined; {source}; window.axe ??= axe; }}")


@pytest.mark.parametrize(
    "_scheme",
    [
        pytest.param("light", marks=pytest.mark.look()),
        pytest.param("dark", marks=pytest.mark.look(dark=True)),
    ],
)
def test_nothing_serious_stands_in_the_way(log: LogPage, _scheme: str) -> None:
    """axe-core finds no serious problem in coloured lines, the details, the menus and the help."""
    log.publish(*ANSI, '{"json": true, "n": 1}', "GET /x status=200")
    log.publish("slow needle", level="warn")
    log.publish("broken", level="error")
    log.publish("quiet", level="debug")
    log.publish("machine exited", provider="runner")
    log.open("&q=needle&show=all")
    log.wait_for_row("machine exited")
    load_axe(log)
    found = {"list": serious(log)}
    log.tab.click(ROW, "json")
    log.tab.wait_for_element("#details", "stdout")
    found["details"] = serious(log)
    log.tab.press("Escape")
    for menu in ("#status", "#view", "#download"):
        log.tab.click(f"[popovertarget={menu[1:]}]")
        log.tab.wait_for_element(menu)
        found[menu] = serious(log)
        log.tab.click(f"[popovertarget={menu[1:]}]")
        log.tab.wait_until_gone(menu)
    log.tab.press("?")
    log.tab.wait_for_element("#help")
    found["help"] = serious(log)
    assert {place: problems for place, problems in found.items() if problems} == {}


@pytest.mark.look(reduced_motion=True)
def test_motion_is_reduced_on_request(log: LogPage) -> None:
    """No element moves by itself for a reader who has asked the system for less motion."""
    log.open()
    assert log.tab.call("() => matchMedia('(prefers-reduced-motion: reduce)').matches")
    log.tab.call("() => { document.getElementById('state').dataset.tone = 'busy'; }")
    assert log.tab.call("() => document.getAnimations().length") == 0


@pytest.mark.look(width=390, height=760, ratio=2)
def test_a_phones_width_holds_the_page(log: LogPage) -> None:
    """At a phone's width no element is wider than the screen, and the details can be closed."""
    log.publish("GET /a/rather/long/path?with=a&query=string 200 in 12ms " * 3)
    log.open()
    log.wait_for_row("GET /a/rather")
    widths = log.tab.call(
        "() => [document.documentElement, document.getElementById('lines')]"
        ".map((one) => one.scrollWidth - innerWidth)"
    )
    assert max(widths) <= 0
    log.tab.click(f"{ROW} .m", "GET /a/rather")
    log.tab.wait_for_element("#details", "GET /a/rather")
    log.tab.click("#details button[title^=Close]")
    log.tab.wait_until_gone("#details")


# What a window of 1280 by 800 has at a zoom of 400 %.
@pytest.mark.look(width=320, height=200, ratio=4)
def test_lines_are_seen_at_a_zoom_of_400_percent(log: LogPage) -> None:
    """At 400 % the newest line can be read, and so can the field of the search."""
    log.publish(*(f"line {number}" for number in range(50)))
    log.open()
    log.wait_for_row("line 49")
    assert log.tab.call("() => devicePixelRatio") == 4
    assert visible_height(log, f"{ROW} .m", "line 49") > 8
    assert log.tab.call("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.look(ratio=3)
def test_a_screen_of_three_points_a_pixel_shows_the_lines(log: LogPage) -> None:
    """On a screen with three points for each pixel, the newest of many long lines are shown."""
    many = 5_000
    log.publish(*(f"n{number} " + "word " * 150 for number in range(many)))
    log.open()
    log.wait_for_row(f"n{many - 1} ")
    assert visible_height(log, f"{ROW} .m", f"n{many - 1} ") > 8
    log.tab.press("g")
    log.tab.wait_until_gone(ROW, f"n{many - 1} ")
    log.tab.wait_for_element(f"{ROW} .m", "word")


@pytest.mark.needs("forced colours")
@pytest.mark.look(forced_colours=True)
def test_forced_colours_show_what_is_chosen_and_pressed(log: LogPage) -> None:
    """With forced colours a chosen row and a pressed button look different from the others."""
    log.publish("one", "two", "three")
    log.open()
    log.wait_for_row("three")
    assert log.tab.call("() => matchMedia('(forced-colors: active)').matches")
    style = (
        "(selector) => { const s = getComputedStyle(document.querySelector(selector));"
        " return [s.backgroundColor, s.color, s.outlineStyle, s.borderColor, s.boxShadow]; }"
    )
    released = log.tab.call(style, "#pause")
    log.tab.press("k")
    log.tab.wait_for_element(f"{ROW}.chosen")
    assert log.tab.call(style, f"{ROW}.chosen") != log.tab.call(style, f"{ROW}:not(.chosen)")
    log.tab.click("#pause")
    log.wait_for_state("Paused")
    assert log.tab.call(style, "#pause") != released


@pytest.mark.needs("touch")
@pytest.mark.look(width=390, height=760, ratio=2, touch=True)
def test_a_slow_drag_of_a_finger_leaves_the_end(log: LogPage) -> None:
    """A finger that moves slowly over the lines shows earlier ones, and the list stays there."""
    log.publish(*(f"line {number}" for number in range(200)))
    log.open()
    log.wait_for_row("line 199")
    for _ in range(3):
        log.tab.swipe(195, 400, 200, seconds=1.5)
    log.tab.wait_for_element("#newest")
    log.publish("the newest")
    log.tab.wait_for_element("#newest", "1 new line")
    assert not log.is_at_end()


def visible_height(log: LogPage, selector: str, text: str) -> float:
    """Return how many pixels of an element's height lie in the window, uncovered in the middle."""
    height: float = log.tab.call(
        "(selector, text) => { const one = [...document.querySelectorAll(selector)]"
        ".find((each) => each.innerText.includes(text)); if (!one) return 0;"
        " const { left, top, right, bottom } = one.getBoundingClientRect();"
        " const [above, below] = [Math.max(top, 0), Math.min(bottom, innerHeight)];"
        " const hit = document.elementFromPoint((left + Math.min(right, innerWidth)) / 2,"
        " (above + below) / 2); return one.contains(hit) ? below - above : 0; }",
        selector,
        text,
    )
    return height
