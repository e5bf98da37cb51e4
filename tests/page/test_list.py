"""The list of lines: its rows, their colours, and how it scrolls."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from tests.support.browser import PageService, eventually, open_page_service
from tests.support.viewer import Viewer, select


def test_lines_appear_with_all_that_is_known_of_them(viewer: Viewer) -> None:
    """A row shows time, level, app, region, machine and message; the newest row is the last."""
    viewer.publish("before the page was there", at=1_709_210_096.007)
    viewer.open()
    expect(viewer.row("before the page")).to_be_visible()
    viewer.publish("hello", "careful", level="warn", region="ams", machine="m1")
    expect(viewer.row("careful")).to_be_visible()
    assert viewer.messages()[-2:] == ["hello", "careful"]
    row = viewer.row("careful")
    expect(row.locator(".l")).to_have_text("WARN")
    expect(row.locator(".a")).to_have_text(viewer.app[:100])
    expect(row.locator(".r")).to_have_text("ams")
    expect(row.locator(".c")).to_have_text("m1")
    old = viewer.row("before the page").locator(".t")
    expect(old).to_have_text("2024-02-29 13:34:56.007")
    expect(old).to_have_attribute("title", re.compile(r"29 February 2024.*\n2024-02-29T12:34:56"))


def test_the_view_follows_until_somebody_scrolls_up(viewer: Viewer) -> None:
    """The list follows the newest line until the reader scrolls up.

    Then its lines stay where they are, and a button counts the new lines and returns to the end.
    """
    viewer.publish(*(f"line {number}" for number in range(200)))
    viewer.open()
    expect(viewer.row("line 199")).to_be_visible()
    assert viewer.is_at_end()
    viewer.scroll(-1500)
    expect(viewer.row("line 199")).not_to_be_attached()
    eventually(lambda: viewer.page.locator("#newest").is_visible(), "the button")
    time.sleep(0.3)  # let the scrolling settle: what follows is about the place, not the motion
    seen = viewer.rows.filter(has_text=re.compile(r"line 1[0-9][05]$")).first
    text, before = seen.inner_text(), seen.bounding_box()
    viewer.publish(*(f"later {number}" for number in range(30)))
    button = viewer.page.locator("#newest")
    expect(button).to_have_text("30 new lines")
    assert viewer.row(text.split()[-1]).first.bounding_box() == before
    button.click()
    expect(viewer.row("later 29")).to_be_visible()
    expect(button).to_be_hidden()
    viewer.publish("the very newest")
    expect(viewer.row("the very newest")).to_be_visible()
    assert viewer.is_at_end()


def test_who_selects_text_is_left_alone(viewer: Viewer) -> None:
    """The list stops following while text is selected, since moving rows lose the selection."""
    viewer.publish(*(f"line {number}" for number in range(200)))
    viewer.open()
    expect(viewer.row("line 199")).to_be_visible()
    select(viewer, ("line 195", ".m"), ("line 197", ".m"))
    viewer.publish(*(f"later {number}" for number in range(100)))
    expect(viewer.page.locator("#newest")).to_have_text("100 new lines")
    assert "line 196" in viewer.page.evaluate("getSelection().toString()")


def test_rows_of_every_height_keep_their_place(viewer: Viewer) -> None:
    """Scrolling up through wrapped and multi-line rows never skips, repeats or moves a line."""
    viewer.publish(*(f"n{number} " + "x" * (number * 37 % 900) for number in range(400)))
    viewer.open()
    expect(viewer.row("n399 ")).to_be_visible()
    seen: set[int] = set()
    for _ in range(60):
        texts = viewer.messages()
        numbers = [int(text[1:].split()[0]) for text in texts]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        seen.update(numbers)
        if 0 in seen:
            break
        viewer.scroll(-900)
        eventually(lambda: viewer.messages()[0] != texts[0], "the rows above")  # noqa: B023 - used at once
    assert seen == set(range(400))


def test_only_what_is_seen_is_in_the_page(viewer: Viewer, service: PageService) -> None:
    """The list shows thousands of lines with few elements, and loads earlier lines on request."""
    before = service.status()["sources"]["nats"]["lines"]
    viewer.publish(*(f"line {number}" for number in range(12_000)))
    eventually(lambda: service.status()["sources"]["nats"]["lines"] == before + 12_000, "the lines")
    viewer.open()
    expect(viewer.row("line 11999")).to_be_visible()
    expect(viewer.page.locator("#held")).to_contain_text("10,000 lines")
    assert viewer.rows.count() < 200
    viewer.press("g")
    viewer.page.click("#earlier")
    expect(viewer.page.locator("#held")).to_contain_text("12,000 lines")
    viewer.press("g")
    expect(viewer.row("line 0").first).to_be_visible()
    expect(viewer.page.locator("#earlier")).to_be_hidden()
    assert viewer.rows.count() < 200


def test_colours_are_shown_and_other_escapes_dropped(viewer: Viewer) -> None:
    """Rows show all kinds of SGR colours; titles, links and cursor movements leave no trace."""
    esc = "\x1b"
    viewer.open()
    viewer.publish(
        f"{esc}[31mred{esc}[0m {esc}[38;5;208morange{esc}[0m {esc}[38;2;1;2;250;1mblue{esc}[0m"
        f"{esc}]0;title\x07{esc}[2J end"
    )
    message = viewer.message("red orange blue end")
    expect(message).to_be_visible()
    assert message.inner_text() == "red orange blue end"
    expect(message.locator(".fg1")).to_have_text("red")
    blue = message.get_by_text("blue")
    expect(blue).to_have_css("font-weight", "700")
    colours = [message.get_by_text(word, exact=True).evaluate("e => getComputedStyle(e).color")
               for word in ("red", "orange", "blue")]  # fmt: skip
    assert len(set(colours)) == 3


def test_json_is_folded_and_pretty(viewer: Viewer) -> None:
    """JSON takes one line until it is opened, and keeps its large numbers and odd keys."""
    viewer.open()
    viewer.publish('{"id":12345678901234567890,"__proto__":{"a":[1,2]},"ok":true}', "after")
    row = viewer.row("12345678901234567890")
    height = eventually(row.bounding_box, "the row")["height"]
    assert height < 30
    row.locator(".fold").click()
    expect(row.locator(".m")).to_contain_text('"__proto__": {\n    "a": [\n      1,\n')
    assert row.bounding_box()["height"] > 150  # type: ignore[index]  # it is visible
    expect(row.locator(".j-key").first).to_have_text('"id"')
    row.locator(".fold").click()
    expect(row.locator(".m")).to_have_text("id=12345678901234567890 __proto__.a=[1,2] ok=true")
    assert row.bounding_box()["height"] == height  # type: ignore[index]


def test_long_lines_are_cut_and_open_on_request(viewer: Viewer) -> None:
    """A stack trace shows its first lines and says how many more there are."""
    viewer.open()
    viewer.publish("Traceback\n" + "\n".join(f"  frame {number}" for number in range(30)))
    row = viewer.row("Traceback")
    expect(row.locator(".rest")).to_have_text("… 23 more lines")
    row.locator(".fold").click()
    expect(row).to_contain_text("frame 29")


def test_lines_are_wrapped_or_not(viewer: Viewer) -> None:
    """The key `w` switches wrapping; without it the list scrolls sideways."""
    viewer.open()
    viewer.publish("start " + "word " * 120 + "end")
    row = viewer.row("start word")
    # Folded is what fills more lines of the row's whole width.
    expect(row).to_contain_text(" end")
    wrapped = row.bounding_box()["height"]  # type: ignore[index]
    sideways = "document.getElementById('lines').scrollWidth > innerWidth"
    assert wrapped > 50
    assert not viewer.page.evaluate(sideways)
    viewer.press("w")
    expect(viewer.page.locator("#rows.wrap")).to_have_count(0)
    assert row.bounding_box()["height"] < wrapped / 2  # type: ignore[index]
    assert viewer.page.evaluate(sideways)


def test_a_line_without_an_app_shows_its_source(open_viewer: Callable[[str], Viewer]) -> None:
    """A line without an app shows its whole source in the column of apps."""
    with open_page_service(None) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        expect(viewer.state).to_have_text("Live")
        httpx.post(service.status()["drain"]["url"], json={"instance": "m1", "message": "hello"})
        origin = viewer.row("hello").locator(".a")
        expect(origin).to_have_text("drain")
        eventually(lambda: origin.evaluate("e => e.scrollWidth <= e.clientWidth"), "its width")


def test_what_fly_did_is_marked_linked_and_muted(viewer: Viewer) -> None:
    """Fly's own lines carry a sign and link to the documentation, and one click mutes them."""
    viewer.publish(
        "Successfully prepared image x", "machine exited with exit code 0", provider="runner"
    )
    viewer.publish("Health check on port 8080 is now failing.", provider="health")
    viewer.publish("[PC01] instance refused connection", provider="proxy", level="error")
    viewer.publish("an app's own line with [PC01]")
    viewer.open()
    signs = viewer.page.locator("#rows .sign")
    expect(signs).to_have_text(["▲", "↻", "✚", "◆"])
    expect(signs.first).to_have_attribute("aria-label", "deploy: show what has changed")
    link = viewer.page.locator("#rows a")
    expect(link).to_have_count(1)
    expect(link).to_have_text("PC01")
    expect(link).to_have_attribute(
        "href", re.compile("^https://fly.io/docs/reference/error-codes/")
    )
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    viewer.page.click("#mute")
    expect(viewer.rows).to_have_count(1)
    viewer.page.click("#mute")
    expect(viewer.rows).to_have_count(5)


def test_clear_empties_the_list_and_the_stream_goes_on(viewer: Viewer) -> None:
    """After Clear the list shows new lines, and no earlier ones."""
    viewer.open()
    viewer.publish("old")
    expect(viewer.row("old")).to_be_visible()
    viewer.page.click("#clear")
    expect(viewer.rows).to_have_count(0)
    viewer.publish("new")
    expect(viewer.row("new")).to_be_visible()
    assert viewer.messages() == ["new"]
