"""The list on screens with many pixels, and with few."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect
from tests.page.conftest import WATCH
from tests.support.browser import PageService, eventually
from tests.support.viewer import Viewer

MANY = 100_000


@pytest.fixture
def context(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A context with the screen that the test is parametrized with."""
    context = chromium.new_context(locale="en-GB", timezone_id="Europe/Berlin", **request.param)
    context.add_init_script(WATCH)
    yield context
    context.close()


def tall_lines() -> str:
    """Return a stream of 100,000 messages with eight lines each."""
    ready = {"message": "connected", "timestamp": 1_709_210_096_000, "type": "system"}
    events = [f"data: {json.dumps(ready)}\n\n"]
    for number in range(MANY):
        message = json.dumps(f"n{number}" + "\\n|" * 7)
        events.append(
            f"id: 1709210096000-abc-{number}\n"
            f'data: {{"message":{message},"timestamp":1709210096000,"app":"a","type":"log"}}\n\n'
        )
    return "".join(events).replace("\\\\n", "\\n")


@pytest.mark.parametrize(
    "context",
    [
        {"viewport": {"width": 1280, "height": 800}, "device_scale_factor": 3},
        {"viewport": {"width": 400, "height": 800}, "device_scale_factor": 3},
    ],
    ids=["wide", "telephone"],
    indirect=True,
)
def test_a_list_is_higher_than_a_browser_can_scroll(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """100,000 tall lines are all reached on a screen with three pixels a point.

    The wheel moves them by as much as in a short list, and keys and the scroll bar reach both ends.
    """
    viewer = open_viewer(service.url)
    stream = tall_lines()
    answers = [stream]

    def answer(route: Route) -> None:
        if answers:
            route.fulfill(body=answers.pop(), content_type="text/event-stream")
        else:
            route.abort()

    viewer.page.add_init_script("delete window.SharedWorker")  # whose requests have no routes
    viewer.page.route("**/api/logs*", answer)
    viewer.page.goto(f"{service.url}/")
    expect(viewer.page.locator("#held")).to_contain_text("100,000 lines", timeout=60_000)

    def shown() -> list[int]:
        """Return the numbers of the lines that are on the screen."""
        return list(
            viewer.page.evaluate(
                """() => {
                  const frame = document.getElementById('lines').getBoundingClientRect();
                  return [...document.querySelectorAll('#rows .m')].filter((one) => {
                    const { top, bottom } = one.getBoundingClientRect();
                    return bottom > frame.top && top < frame.bottom;
                  }).map((one) => parseInt(one.textContent.slice(1)));
                }"""
            )
        )

    def scroll_to(share: float) -> None:
        viewer.page.evaluate(
            """(share) => {
              const list = document.getElementById('lines');
              list.scrollTop = share * (list.scrollHeight - list.clientHeight);
            }""",
            share,
        )

    assert eventually(lambda: MANY - 1 in shown() and shown(), "the last line")
    viewer.press("g")
    eventually(lambda: 0 in shown(), "the first line")
    before = viewer.page.evaluate("document.querySelector('#rows .m').getBoundingClientRect().top")
    viewer.scroll(200)
    viewer.page.wait_for_timeout(500)
    after = viewer.page.evaluate("document.querySelector('#rows .m').getBoundingClientRect().top")
    assert abs(before - after - 200) < 3
    for share in (0.25, 0.5, 0.9):
        scroll_to(share)
        viewer.page.wait_for_timeout(400)
        numbers = shown()
        assert abs(numbers[0] - share * MANY) < 0.02 * MANY
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        viewer.page.wait_for_timeout(400)
        assert shown() == numbers
    scroll_to(1)
    eventually(lambda: MANY - 1 in shown(), "the last line")
    scroll_to(0)
    eventually(lambda: 0 in shown(), "the first line")
    viewer.press("G")
    eventually(lambda: MANY - 1 in shown(), "the last line")
    viewer.press("k")
    viewer.press("k")
    viewer.press("k")
    expect(viewer.page.locator("#rows .chosen")).to_contain_text(f"n{MANY - 3}")


@pytest.mark.parametrize(
    "context",
    [{"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4}],
    ids=["400 %"],
    indirect=True,
)
def test_the_list_is_usable_at_400_percent(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """At 1280x1024 and 400 % zoom the list has half of the screen, and all controls are reached."""
    viewer = open_viewer(service.url)
    viewer.publish(*(f"line {number}" for number in range(60)))
    viewer.open()
    expect(viewer.row("line 59")).to_be_in_viewport()
    box = eventually(viewer.page.locator("#lines").bounding_box, "the list")
    assert box["height"] >= 128
    assert box["y"] + box["height"] <= 256
    viewer.scroll(-300)
    expect(viewer.row("line 50")).to_be_in_viewport()
    viewer.row("line 50").click()
    expect(viewer.drawer.locator(".message")).to_have_text("line 50")
    viewer.press("Escape")
    viewer.search(f"app:{viewer.app} 33")
    expect(viewer.row("line 33")).to_be_in_viewport()
    for control in ("#pause", "#state", ".chip.level-warn, .chip", "#strip-slider", "#find-next"):
        viewer.page.locator(control).first.scroll_into_view_if_needed()
        expect(viewer.page.locator(control).first).to_be_in_viewport()
    expect(viewer.row("line 33")).to_be_in_viewport()
