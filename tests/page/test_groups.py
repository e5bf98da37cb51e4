"""Stack traces: one line in the list that shows all of its lines, and is copied with them."""

from __future__ import annotations

import json
import time

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer, select

TRACE = (
    "Traceback (most recent call last):",
    '  File "/app/views.py", line 88, in checkout',
    "    total = cart.total(currency)",
    '  File "/app/money.py", line 12, in __mul__',
    "    raise CurrencyError(other)",
    "shop.CurrencyError: no EUR",
)
FAILED = "ERROR checkout failed"


def publish_trace(viewer: Viewer) -> None:
    """Publish an error with its trace, and lines of another machine between its lines."""
    at = time.time()  # A busy machine may take more than a second between two of them.
    viewer.publish("before", FAILED, at=at)
    for number, line in enumerate(TRACE):
        viewer.publish(line, at=at)
        if number % 2:
            viewer.publish(f"job {number}", machine="other", at=at)
    viewer.publish("after", at=at)


def test_a_trace_is_folded_to_its_head(viewer: Viewer) -> None:
    """A trace is one row, which says how many lines it has and what happened.

    A click or the keyboard shows its lines in one piece, also those that arrive later.
    """
    publish_trace(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(6)
    head = viewer.row(FAILED)
    expect(head.locator(".more-lines")).to_have_text("6 more lines")
    expect(head.locator(".telling")).to_have_text("shop.CurrencyError: no EUR")
    expect(head.locator(".l")).to_have_text("ERROR")
    head.locator(".more-lines").click()
    expect(viewer.rows).to_have_count(12)
    rows = viewer.page.locator("#rows .row .m")
    expect(rows.nth(1)).to_contain_text(FAILED)
    expect(rows.nth(2)).to_have_text(TRACE[0])
    expect(rows.nth(7)).to_have_text(TRACE[5])
    viewer.press("ArrowDown")
    expect(viewer.page.locator(".chosen")).to_contain_text("Traceback")
    viewer.press("ArrowUp")
    viewer.press("ArrowLeft")
    expect(viewer.rows).to_have_count(6)
    viewer.press("ArrowRight")
    expect(viewer.rows).to_have_count(12)
    viewer.row("CurrencyError(other)").click()
    expect(viewer.drawer).to_contain_text("from the first line of its group; Fly says info")


def test_the_next_error_is_the_next_trace(viewer: Viewer) -> None:
    """`n` finds errors that Fly calls info, and each trace once; a search finds lines in it."""
    publish_trace(viewer)
    viewer.publish("warn: nothing", '{"level":50,"msg":"pino failed"}')
    viewer.open()
    expect(viewer.row("pino failed")).to_be_visible()
    chosen = viewer.page.locator("#rows .chosen")
    viewer.press("g")
    for text in (FAILED, "pino failed"):
        viewer.press("n")
        expect(chosen).to_contain_text(text)
    viewer.press("n")
    expect(viewer.page.locator("#hint")).to_contain_text("No later error")
    viewer.search(f"app:{viewer.app} in __mul__")
    viewer.page.click("#context")
    expect(viewer.row("warn: nothing")).to_be_visible()
    viewer.press("g")
    viewer.press("n")
    expect(chosen).to_contain_text("in __mul__")


def test_traces_can_be_shown_unfolded(viewer: Viewer) -> None:
    """The View menu shows the lines of all traces, and the browser remembers the choice."""
    publish_trace(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(6)
    viewer.page.click("#view-button")
    viewer.page.locator("#fold").uncheck()
    expect(viewer.rows).to_have_count(12)
    viewer.open()
    expect(viewer.rows).to_have_count(12)
    viewer.row(FAILED).locator(".more-lines").click()
    expect(viewer.rows).to_have_count(6)


def test_a_folded_trace_leaves_the_page_whole(viewer: Viewer) -> None:
    """Copying the row, the button in the details and a download give every line of a trace."""
    publish_trace(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(6)
    clipboard = "navigator.clipboard.readText()"
    select(viewer, ("before", ".t"), (FAILED, ".m"))
    viewer.page.keyboard.press("Control+c")
    copied = eventually(lambda: viewer.page.evaluate(clipboard), "a copy").splitlines()
    assert [line.partition("] ")[2].partition("] ")[2] for line in copied] == [
        "before", FAILED, *(line.strip() and line for line in TRACE),
    ]  # fmt: skip
    viewer.page.evaluate("getSelection().removeAllRanges()")
    viewer.row(FAILED).locator(".t").click()
    viewer.drawer.get_by_role("button", name="Copy all 7 lines").click()
    expect(viewer.page.locator("#hint")).to_have_text("Lines copied")
    assert viewer.page.evaluate(clipboard) == "\n".join([FAILED, *TRACE])
    events = viewer.lines()
    assert [event["message"] for event in events if event.get("continues")] == list(TRACE)


def test_a_filter_that_matches_a_part_shows_the_whole_trace(viewer: Viewer) -> None:
    """One click shows all lines of a trace of which the filter has matched one."""
    publish_trace(viewer)
    for matched in (FAILED, TRACE[4].strip()):
        viewer.open(f"&q={matched}")
        expect(viewer.rows).to_have_count(1)
        viewer.row(matched).locator(".more-lines").click()
        expect(viewer.rows).to_have_count(7)
        assert viewer.messages()[1:] == list(TRACE)
        assert [event["message"] for event in viewer.lines()] == [FAILED, *TRACE]
        viewer.row("in checkout").click()
        expect(viewer.drawer.locator(".message")).to_have_text(TRACE[1])
        viewer.page.locator(".more-lines").click()
        expect(viewer.rows).to_have_count(1)


def test_levels_are_those_of_the_apps(viewer: Viewer) -> None:
    """Colours and chips show the level that an app gave to its line, `trace` as well."""
    viewer.publish("[WARN] slow", "[TRACE] select", json.dumps({"level": 50, "msg": "no"}), "plain")
    viewer.open()
    for text, level in (("slow", "warn"), ("select", "trace"), ("no", "error"), ("plain", "info")):
        expect(viewer.page.locator(f"#rows .lv-{level}")).to_contain_text(text)
        chip = viewer.page.locator(f"[data-chip='level:{level}']")
        expect(chip).to_have_class(f"chip level-{level}")
    viewer.row("slow").click()
    expect(viewer.drawer).to_contain_text("from the message; Fly says info")
    viewer.search(f"app:{viewer.app} level>=trace")
    expect(viewer.rows).to_have_count(4)
