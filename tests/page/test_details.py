"""The panel with a line's details."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer


def test_a_click_opens_the_details(viewer: Viewer) -> None:
    """The details show every field, the message and the event, and copy message and event."""
    viewer.open()
    viewer.publish("first", "the \x1b[1mone\x1b[0m", machine="m7", level="error")
    viewer.row("the one").click()
    for text in ("m7", "error", "stdout", "nats", "iad", "the one", '"persistent": false', "0ad1"):
        expect(viewer.drawer).to_contain_text(text)
    clipboard = "() => navigator.clipboard.readText()"
    viewer.drawer.get_by_role("button", name="Copy message").click()
    eventually(lambda: viewer.page.evaluate(clipboard) == "the one", "the copy")
    viewer.drawer.get_by_role("button", name="Copy JSON").click()
    event = eventually(
        lambda: (text := viewer.page.evaluate(clipboard))[0] == "{" and json.loads(text), "JSON"
    )
    assert (event["machine"], event["type"]) == ("m7", "log")
    viewer.press("ArrowUp")
    viewer.drawer.get_by_role("button", name="Previous line").click()
    expect(viewer.drawer).to_contain_text("first")
    viewer.press("Escape")
    expect(viewer.drawer).to_be_hidden()


def test_the_details_are_those_of_the_chosen_line(viewer: Viewer) -> None:
    """The details show the chosen line, and close when a new filter hides that line."""
    viewer.publish("red one", "blue two", "red three")
    viewer.publish("broken red", level="error")
    viewer.open()
    viewer.row("red one").click()
    chosen, query = viewer.page.locator(".chosen"), viewer.page.locator("#query")
    for key, text in (
        ("j", "blue two"),
        ("j", "red three"),
        ("n", "broken red"),
        ("k", "red three"),
    ):
        viewer.press(key)
        expect(chosen).to_contain_text(text)
        expect(viewer.drawer.locator(".message")).to_have_text(text)
    viewer.search(f"app:{viewer.app} red")
    expect(viewer.rows).to_have_count(3)
    expect(chosen).to_contain_text("red three")
    expect(viewer.drawer.locator(".message")).to_have_text("red three")
    viewer.search(f"app:{viewer.app} blue")
    expect(viewer.drawer).to_be_hidden()
    expect(query).to_be_focused()
    expect(viewer.page.locator("#hint")).to_have_text("")


def test_only_this_machine_and_hide_lines_like_this(viewer: Viewer) -> None:
    """Two clicks lead from a line to the lines of its machine, or hide similar lines.

    The page says that it cannot ask for a name with a comma, and changes nothing.
    """
    viewer.open()
    viewer.publish("GET /health 200 in 12ms", "GET /cart 200 in 3ms", machine="m1")
    viewer.publish("GET /health 200 in 7ms", "boot", machine="m2")
    viewer.row("boot").click()
    viewer.drawer.get_by_role("button", name="Only this machine").click()
    expect(viewer.rows).to_have_count(2)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} machine:m2")
    viewer.row("/health").click()
    viewer.drawer.get_by_role("button", name="Hide lines like this").click()
    expect(viewer.rows).to_have_count(1)
    viewer.search(viewer.page.input_value("#query").replace("machine:m2", ""))
    expect(viewer.rows).to_have_count(2)
    assert viewer.messages() == ["GET /cart 200 in 3ms", "boot"]
    viewer.publish("odd", machine="m,1")
    viewer.row("odd").click()
    before = viewer.page.input_value("#query")
    viewer.drawer.get_by_role("button", name="Only this machine").click()
    expect(viewer.page.locator("#hint")).to_contain_text('machine "m,1" cannot be asked for')
    assert viewer.page.input_value("#query") == before


def test_only_and_hide_for_the_fields_of_a_line(viewer: Viewer) -> None:
    """Each field of a line, for example its region, has *only* and *hide* in the details."""
    viewer.publish("from iad", machine="m1")
    viewer.publish("from ams", region="ams", machine="m2")
    viewer.publish("broken", machine="m3", level="error")
    viewer.open()
    query = viewer.page.locator("#query")
    viewer.row("from ams").click()
    viewer.drawer.get_by_role("button", name="Hide region ams").click()
    expect(viewer.rows).to_have_count(2)
    expect(query).to_have_value(f"app:{viewer.app} -region:ams")
    viewer.row("broken").click()
    viewer.drawer.get_by_role("button", name="Hide level error").click()
    expect(viewer.rows).to_have_count(1)
    viewer.row("from iad").click()
    viewer.drawer.get_by_role("button", name="Hide machine m1").click()
    expect(viewer.page.locator("#empty")).to_be_visible()
    expect(query).to_have_value(f"app:{viewer.app} -region:ams -machine:m1 -level:error")
    viewer.search(f"app:{viewer.app}")
    viewer.row("from ams").click()
    viewer.drawer.get_by_role("button", name="Only region ams").click()
    expect(viewer.rows).to_have_count(1)


def test_lines_can_be_hidden_again_and_again(viewer: Viewer) -> None:
    """The service accepts ten of the texts that "Hide lines like this" makes from long lines."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    for word in words:
        viewer.publish(f"12:00:01.5 [{word}] task 77 of 90 for {word} at x9 " + "then 4 " * 30)
    viewer.publish("the last")
    viewer.open()
    held = viewer.page.locator("#held")
    expect(held).to_contain_text("11 lines")
    for left in range(10, 0, -1):
        viewer.press("g")
        viewer.rows.first.click()
        viewer.drawer.get_by_role("button", name="Hide lines like this").click()
        expect(held).to_contain_text(re.compile(rf"^{left} line"))
        expect(viewer.page.locator("#query-error")).to_be_hidden()
    assert viewer.messages() == ["the last"]
