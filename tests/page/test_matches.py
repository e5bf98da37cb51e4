"""Matches that a row does not show whole: `n` goes to them, and the page marks them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect
from tests.support.viewer import Viewer


def is_in_view(mark: Locator, frame: str) -> bool:
    """Whether a mark is within the part of a scrolled element that is on the screen."""
    return bool(
        mark.evaluate(
            """(mark, frame) => {
              const inner = mark.getBoundingClientRect();
              const outer = mark.closest(frame).getBoundingClientRect();
              return inner.top >= outer.top && inner.bottom <= outer.bottom
                && inner.left >= outer.left && inner.right <= outer.right;
            }""",
            frame,
        )
    )


@pytest.mark.parametrize("show", ["", "&show=all"], ids=["only matches", "all lines"])
@pytest.mark.parametrize("wrap", [True, False], ids=["wrapped", "one line"])
@pytest.mark.parametrize("query", ["needle", "/ne+dle/"])
def test_n_finds_matches_beyond_what_is_shown(
    viewer: Viewer, show: str, wrap: bool, query: str
) -> None:
    """The key `n` goes to matches past the 10,000th character, in a folded part, and beside.

    The row shows the match with some words around it, and the details mark it in the message.
    """
    viewer.publish(*(f"hay {number}" for number in range(100)))
    viewer.publish("first " + "x " * 900 + "a needle beside" + " y" * 50)
    viewer.publish("second " + "long words " * 1_500 + "a needle far away")
    viewer.publish("third\n" + "frame\n" * 40 + "a needle below\n" + "frame\n" * 40)
    viewer.publish(*(f"hay {number}" for number in range(100, 300)))
    viewer.open(show)
    viewer.search(f"app:{viewer.app} {query}")
    expect(viewer.page.locator("#held")).to_have_text(
        re.compile("^303 lines" if show else "^3 lines")
    )
    viewer.page.press("#query", "Escape")
    if not wrap:
        viewer.press("w")
        expect(viewer.page.locator("#rows.wrap")).to_have_count(0)
    viewer.press("g")
    chosen = viewer.page.locator("#rows .chosen")
    for start in ("first", "second", "third"):
        viewer.press("n")
        expect(chosen).to_contain_text(start)
        expect(chosen.locator("mark").first).to_have_text("needle")
        assert is_in_view(chosen.locator("mark").first, "#lines")
    viewer.press("n")
    expect(viewer.page.locator("#hint")).to_have_text("No later match")
    viewer.press("Enter")
    for start in ("third", "second", "first"):
        expect(viewer.drawer.locator(".message")).to_contain_text(start)
        mark = viewer.drawer.locator(".message mark")
        expect(mark).to_have_text("needle")
        assert is_in_view(mark, ".message")
        viewer.press("N")


def test_n_finds_matches_in_a_folded_group(viewer: Viewer) -> None:
    """The key `n` unfolds the group that a match is in, and goes to the line."""
    viewer.publish("before")
    viewer.publish("Traceback (most recent call last):", level="error")
    viewer.publish('  File "app.py", line 1, in needle', "ValueError: no", level="error")
    viewer.publish("after")
    viewer.open()
    expect(viewer.row("Traceback")).to_contain_text("more line")
    viewer.search(f"app:{viewer.app} needle")
    expect(viewer.rows).to_have_count(1)
    viewer.page.click("#context")
    expect(viewer.page.locator("#held")).to_contain_text("5 lines")
    viewer.page.press("#query", "Escape")
    viewer.press("g")
    viewer.press("n")
    expect(viewer.page.locator("#rows .chosen mark")).to_have_text("needle")


def test_the_details_mark_what_is_searched_for_now(viewer: Viewer) -> None:
    """While the details are open, a new search marks its matches in the message and its JSON."""
    viewer.publish('{"msg": "red blue", "colour": "red"}')
    viewer.open()
    viewer.row("red blue").click()
    expect(viewer.drawer).to_be_visible()
    expect(viewer.drawer.locator("mark")).to_have_count(0)
    viewer.search(f"app:{viewer.app} red")
    expect(viewer.drawer.locator(".message mark")).to_have_text(["red", "red"])
    expect(viewer.drawer.locator(".json.of-message mark")).to_have_text(["red", "red"])
    viewer.search(f"app:{viewer.app}")
    expect(viewer.drawer.locator("mark")).to_have_count(0)
