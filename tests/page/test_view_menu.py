"""The View menu, and the times in the list."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.support.viewer import Viewer


def test_choices_are_remembered(viewer: Viewer) -> None:
    """Theme, clock, columns and wrapping survive a reload; the first theme is the system's."""
    viewer.publish("a line", at=1_709_210_096.007)
    ground = "getComputedStyle(document.body).backgroundColor"
    viewer.page.emulate_media(color_scheme="dark")
    viewer.open()
    dark = viewer.page.evaluate(ground)
    viewer.page.emulate_media(color_scheme="light")
    assert viewer.page.evaluate(ground) != dark
    viewer.page.click("#view-button")
    for name in ("UTC", "Dark"):
        viewer.page.get_by_role("radio", name=name).check()
    viewer.page.get_by_role("checkbox", name="Wrap").uncheck()
    viewer.page.get_by_role("checkbox", name="Region").uncheck()
    viewer.page.reload()
    expect(viewer.row("a line").locator(".t")).to_have_text("2024-02-29 12:34:56.007")
    expect(viewer.row("a line").locator(".r")).to_be_hidden()
    assert viewer.page.evaluate(ground) == dark
    expect(viewer.page.locator("#rows.wrap")).to_have_count(0)
    viewer.page.click("#view-button")
    viewer.page.get_by_role("radio", name="Relative").check()
    expect(viewer.row("a line").locator(".t")).to_have_text(re.compile(r"^\d+ d ago$"))


def test_lines_of_other_days_say_which(viewer: Viewer) -> None:
    """A time has its date if it is not of today, also after midnight has passed."""
    viewer.page.clock.install(time=1_709_164_790)  # 28 February, 23:59:50 in UTC
    viewer.page.add_init_script("localStorage.natstream = JSON.stringify({ clock: 'utc' })")
    viewer.publish("of today", at=1_709_161_200.25)
    viewer.open()
    today = viewer.row("of today")
    expect(today.locator(".t")).to_have_text("23:00:00.250")
    before = today.locator(".m").bounding_box()
    viewer.publish("of the day before yesterday", at=1_708_930_923.123)
    old = viewer.row("of the day before").locator(".t")
    expect(old).to_have_text("02-26 07:02:03.123")
    assert old.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert today.locator(".m").bounding_box() == before
    viewer.page.clock.run_for(20_000)
    expect(today.locator(".t")).to_have_text("02-28 23:00:00.250")


def test_relative_times_move_on(viewer: Viewer) -> None:
    """Relative times change without a new line and without a click."""
    viewer.page.clock.install()
    viewer.publish("a line")
    viewer.open()
    viewer.page.click("#view-button")
    viewer.page.get_by_role("radio", name="Relative").check()
    shown = viewer.row("a line").locator(".t")
    expect(shown).to_have_text(re.compile("^(now|.* s ago)$"))
    viewer.page.clock.run_for(125_000)
    expect(shown).to_have_text("2 min ago")


def test_views_are_kept_by_name(viewer: Viewer) -> None:
    """A view can be kept, opened after a reload, renamed and deleted, and holds no token."""
    viewer.publish("red", "blue")
    viewer.open("&q=red&cols=path")
    expect(viewer.rows).to_have_count(1)
    page = viewer.page
    views = page.locator("#views-list li")

    def keep(name: str) -> None:
        page.fill("#views-name", name)
        page.press("#views-name", "Enter")

    page.click("#view-button")
    keep("")
    expect(page.locator("#views-error")).to_contain_text("needs a name")
    keep("only red")
    expect(views).to_have_count(1)
    assert page.evaluate("JSON.parse(localStorage['natstream views'])") == [
        {"name": "only red", "search": f"app={viewer.app}&q=red&cols=path"}
    ]
    page.goto(f"{viewer.url}/?app={viewer.app}")
    expect(viewer.rows).to_have_count(2)
    page.click("#view-button")
    page.get_by_role("button", name="only red", exact=True).click()
    expect(viewer.rows).to_have_count(1)
    expect(page.locator("#query")).to_have_value(f"app:{viewer.app} red")
    page.go_back()
    expect(viewer.rows).to_have_count(2)
    page.click("#view-button")
    page.get_by_role("button", name="Rename the view only red").click()
    page.keyboard.type("the red ones")
    page.keyboard.press("Enter")
    expect(views).to_contain_text(["the red ones"])
    page.get_by_role("button", name="Delete the view the red ones").click()
    expect(views).to_have_count(0)
    assert page.evaluate("localStorage['natstream views']") == "[]"
