"""The chips below the search field."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect
from tests.support.viewer import Viewer


def test_chips_count_and_filter(viewer: Viewer) -> None:
    """Chips show live counts; a click shows only their value, and more clicks add other values."""
    viewer.publish("a", "b", region="iad", machine="m1")
    viewer.publish("c", region="ams", machine="m2", level="error")
    viewer.open()
    expect(viewer.rows).to_have_count(3)

    def chip(name: str) -> Locator:
        return viewer.page.locator(f"[data-chip='{name}']")

    viewer.page.reload()  # counts are asked for at once, and then every few seconds
    expect(chip("region:ams")).to_have_attribute(
        "title", re.compile("1 line in the last half hour")
    )
    expect(chip(f"app:{viewer.app}")).to_have_attribute("aria-pressed", "true")
    chip("region:ams").click()
    expect(viewer.rows).to_have_count(1)
    expect(chip("region:ams")).to_have_attribute("aria-pressed", "true")
    expect(chip("machine:m1")).to_have_count(0)
    # Of two clicks at one point within half a second, the second one presses no other control.
    viewer.page.wait_for_timeout(600)
    chip("region:iad").click()
    expect(viewer.rows).to_have_count(3)
    viewer.page.wait_for_timeout(600)
    chip("region:iad").click()
    viewer.page.wait_for_timeout(600)
    chip("region:ams").click()
    viewer.page.wait_for_timeout(600)
    chip("warn").click()
    expect(viewer.rows).to_have_count(1)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} level>=warn")


def test_a_press_on_a_chip_outlives_new_counts(viewer: Viewer) -> None:
    """A chip stays the same element under a finger or with the focus, while its count changes."""
    viewer.publish("a", "b", region="iad")
    viewer.publish("c", region="ams")
    viewer.open()
    viewer.page.reload()

    def chip(region: str) -> Locator:
        return viewer.page.locator(f"[data-chip='region:{region}']")

    expect(chip("ams")).to_be_visible()
    chip("ams").evaluate("chip => { window.chip = chip; chip.focus(); }")
    viewer.publish("d", region="ams")
    viewer.publish("e", region="fra")
    expect(chip("fra")).to_be_visible()
    expect(chip("ams")).to_have_attribute("title", re.compile("2 lines in the last half hour"))
    assert chip("ams").evaluate("chip => chip === window.chip && chip === document.activeElement")
    chip("ams").hover()
    viewer.page.mouse.down()
    viewer.publish("f", region="aaa")
    for _ in range(2):  # the first may have been asked for before the line came
        with viewer.page.expect_response("**/api/facets?*") as answer:
            pass
        answer.value.finished()
    viewer.page.wait_for_timeout(100)
    expect(chip("aaa")).to_have_count(0)
    viewer.page.mouse.up()
    expect(chip("ams")).to_have_attribute("aria-pressed", "true")
    expect(viewer.rows).to_have_count(2)
    expect(chip("aaa")).to_be_visible()


def test_every_group_of_chips_can_be_seen_or_is_hinted_at(viewer: Viewer) -> None:
    """A desktop unfolds all groups of chips; on a telephone the row fades where it goes on."""
    for number in range(12):
        viewer.publish("x", machine=f"machine{number:07}", region=f"r{number:02}")
    for level in ("debug", "warn", "error", "fatal", "gold", "audit"):
        viewer.publish(*("x" * (1 + (level == "gold"))), level=level)
    more = viewer.page.locator("[data-chip='machine more']")
    viewer.page.set_viewport_size({"width": 1440, "height": 800})
    viewer.open()
    viewer.page.get_by_role("button", name="more filters").click()
    expect(more).to_be_in_viewport(ratio=1)
    expect(viewer.page.locator("[data-chip='type:log']")).to_be_in_viewport(ratio=1)
    viewer.page.set_viewport_size({"width": 1024, "height": 800})
    expect(more).to_be_in_viewport(ratio=0.3)  # the names of apps are long here
    levels = viewer.page.locator("[data-chip^='level:'] .value").all_inner_texts()
    known = ["fatal", "error", "warn", "info", "debug"]
    assert levels[:-1] == [level for level in known if level in levels]
    assert levels[-1] == "gold"
    viewer.page.set_viewport_size({"width": 390, "height": 800})
    viewer.open("&q=x")
    expect(viewer.page.locator("[data-chip='type:log']")).to_be_attached()
    chips = viewer.page.locator("#chips")
    assert chips.evaluate("c => c.scrollWidth > c.clientWidth")
    expect(chips).to_have_css("mask-image", re.compile("gradient"))
    last = viewer.page.locator("[data-chip='type:log']")
    last.scroll_into_view_if_needed()
    chips.evaluate("c => { c.scrollLeft = c.scrollWidth; }")
    box = last.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390 - 31  # clear of what fades
    assert viewer.page.locator("#query").evaluate("field => field.clientWidth") > 250


def test_a_chip_excludes_its_value(viewer: Viewer) -> None:
    """Alt and a click hide the lines of a value, and a click on its chip shows them again."""
    viewer.publish("a", region="iad")
    viewer.publish("b", region="ams")
    viewer.open()
    viewer.page.reload()
    chip = viewer.page.locator("[data-chip='region:iad']")
    chip.click(modifiers=["Alt"])
    expect(viewer.rows).to_have_count(1)
    expect(viewer.message("b")).to_be_visible()
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} -region:iad")
    expect(chip).to_have_accessible_name("no region iad")
    expect(chip).to_have_attribute("aria-pressed", "true")
    chip.click()
    expect(viewer.rows).to_have_count(2)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app}")


def test_machines_with_one_beginning_have_different_chips(viewer: Viewer) -> None:
    """A machine's chip shows its ID up to where it differs, and so much of it finds its lines."""
    for machine in ("668f12345678ab", "668f12345699cd", "7712345678ef01"):
        viewer.publish(f"from {machine}", machine=machine)
    viewer.open()
    viewer.page.get_by_role("button", name="more filters").click()
    labels = viewer.page.locator("[data-chip^='machine:'] .value")
    expect(labels).to_have_text(["668f1234567…", "668f1234569…", "77123456…"])
    viewer.search(f"app:{viewer.app} machine:668f1234569…")
    expect(viewer.rows).to_have_count(1)
    expect(viewer.row("from 668f12345699cd")).to_be_visible()
