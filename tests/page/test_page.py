"""The live viewer in a real chromium, before the real service with a real nats-server.

Each test publishes under an app of its own and looks at that app only, so they share a service.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # no types
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect
from tests.support.browser import (
    PATIENCE,
    ServiceProcess,
    Stage,
    eventually,
    open_browser,
    open_nats,
    open_service,
    open_wire,
    publish,
)
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer

expect.set_options(timeout=PATIENCE * 1000)

# What the page reports of its Content-Security-Policy, from the first script on.
WATCH = """
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (event) => {
    window.violations.push(event.violatedDirective + ' ' + event.blockedURI);
  });
"""


def line(message: str, *, app: str, level: str = "info", **more: Any) -> bytes:
    """A line as Fly publishes it, of this moment unless `at` (Unix seconds) says otherwise."""
    at = more.pop("at", time.time())
    event = {
        "event": {"provider": more.pop("provider", "app")},
        "fly": {"app": {"instance": "0e286551c30586", "name": app}, "region": "iad"},
        "host": "0ad1",
        "log": {"level": level},
        "message": message,
        "timestamp": at,
    }
    return json.dumps(event | more).encode()


@attrs.define
class Viewer:
    """The page in a tab, looking at one app."""

    page: Page
    url: str
    app: str
    _publish: Callable[[str, Sequence[bytes]], None]
    requests: list[str] = attrs.field(factory=list)
    """The queries of /api/logs that the page has asked."""

    def open(self, query: str = "", *, live: bool = True) -> Viewer:
        """Go to the page, and wait until it is connected."""
        self.page.goto(f"{self.url}/?app={self.app}{query}")
        if live:
            expect(self.state).to_have_text("Live")
        return self

    def publish(self, *messages: str, **more: Any) -> None:
        """Lines of this viewer's app."""
        region, machine = more.pop("region", "iad"), more.pop("machine", "0e286551c30586")
        payloads = [line(message, app=self.app, **more) for message in messages]
        self._publish(f"logs.{self.app}.{region}.{machine}", payloads)

    @property
    def state(self) -> Locator:
        return self.page.locator("#state-text")

    @property
    def rows(self) -> Locator:
        return self.page.locator("#rows .row")

    @property
    def notes(self) -> Locator:
        return self.page.locator("#rows .note")

    @property
    def drawer(self) -> Locator:
        return self.page.locator("#details")

    def row(self, text: str) -> Locator:
        return self.rows.filter(has_text=text)

    def message(self, text: str) -> Locator:
        return self.page.locator("#rows .m").filter(has_text=text)

    def messages(self) -> list[str]:
        return self.page.locator("#rows .m").all_inner_texts()

    def shows(self, messages: list[str]) -> bool:
        return self.messages() == messages

    def search(self, text: str) -> None:
        """Type it and press Enter."""
        self.page.fill("#query", text)
        self.page.press("#query", "Enter")

    def press(self, key: str) -> None:
        self.page.locator("body").press(key)

    def scroll(self, pixels: int) -> None:
        """Turn the wheel over the lines."""
        self.page.locator("#lines").hover()
        self.page.mouse.wheel(0, pixels)

    def is_at_end(self) -> bool:
        return bool(
            self.page.evaluate(
                "() => { const l = document.getElementById('lines');"
                " return l.scrollHeight - l.scrollTop - l.clientHeight < 5; }"
            )
        )

    def download(self, button: str) -> str:
        """What a click in the Download menu gives."""
        self.page.click("#download-button")
        with self.page.expect_download() as info:
            self.page.click(button)
        return Path(info.value.path()).read_text()

    def lines(self) -> list[dict[str, Any]]:
        """All lines that the page holds."""
        return [json.loads(row) for row in self.download("[data-download=ndjson]").splitlines()]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def stage(chromium: Browser) -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def nats(stage: Stage) -> Iterator[MistreatedServer]:
    with open_nats(stage) as nats:
        yield nats


@pytest.fixture(scope="module")
def service(nats: MistreatedServer) -> Iterator[ServiceProcess]:
    """One service for the tests that do not mistreat it."""
    with open_service(nats) as service:
        yield service


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", timezone_id="Europe/Berlin"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(WATCH)
    yield context
    context.close()


@pytest.fixture
def open_viewer(
    context: BrowserContext,
    stage: Stage,
    nats: MistreatedServer,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], Viewer]]:
    """Make viewers of a service at some address; at the end, no page may have complained."""
    name: str = request.node.name
    app = re.sub(r"[^a-z0-9]+", "-", name.lower())[5:60].strip("-")
    pages: list[Page] = []
    complaints: list[str] = []

    def send(subject: str, payloads: Sequence[bytes]) -> None:
        publish(stage, nats, subject, payloads)

    def open_at(url: str) -> Viewer:
        page = context.new_page()
        pages.append(page)
        viewer = Viewer(page, url, app, send)

        def note(request: Request) -> None:
            if "/api/logs" in request.url:
                viewer.requests.append(urlsplit(request.url).query)

        page.on("request", note)
        page.on("pageerror", lambda error: complaints.append(f"{error} {error.stack}"))
        page.on("console", lambda message: complaints.append(message.text))
        return viewer

    yield open_at
    for page in pages:
        assert page.evaluate("window.violations") == []
    # Answers that a test has provoked, and hints for developers.
    harmless = ("Failed to load resource", "[DOM]", "Clear-Site-Data")
    assert [one for one in complaints if not one.startswith(harmless)] == []


@pytest.fixture
def viewer(open_viewer: Callable[[str], Viewer], service: ServiceProcess) -> Viewer:
    return open_viewer(service.url)


# --- the stream -------------------------------------------------------------------------------


def test_lines_appear_with_all_that_is_known_of_them(viewer: Viewer) -> None:
    """Time, level, app, region, machine and message of each line, the newest at the bottom."""
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
    """Following at the end; scrolled up it stays put, counts what is new, and goes back there."""
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
    """The list stops following, since a row that moves away takes its selection with it."""
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
        numbers = [int(text[1:].split()[0]) for text in viewer.messages()]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        seen.update(numbers)
        if 0 in seen:
            break
        viewer.scroll(-900)
        viewer.page.wait_for_timeout(60)
    assert seen == set(range(400))


def test_only_what_is_seen_is_in_the_page(viewer: Viewer, service: ServiceProcess) -> None:
    """Thousands of lines held, a few dozen elements; first the newest, earlier ones on request."""
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
    """SGR of 16, 256 and true colours; titles, links and cursor movements leave no trace."""
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
    """One line until it is opened; large numbers and odd keys stay as they were sent."""
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
    expect(row.locator(".m")).to_have_text(re.compile(r"^\{.*\}$"))
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
    """`w` and the menu switch; unwrapped, the list scrolls sideways."""
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


# --- a line's details -------------------------------------------------------------------------


def test_a_click_opens_the_details(viewer: Viewer) -> None:
    """Every field, the message whole, the event as JSON; message and JSON can be copied."""
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
    """With another filter too: it stays chosen where it is shown, and else they are closed."""
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


def select(viewer: Viewer, start: tuple[str, str], end: tuple[str, str]) -> None:
    """Drag from the start of a cell (`row`, `cell`) to the end of another."""
    viewer.page.evaluate("getSelection().removeAllRanges()")  # which would be dragged itself
    ends = [viewer.row(row).locator(cell).bounding_box() for row, cell in (start, end)]
    assert ends[0] is not None
    assert ends[1] is not None
    viewer.page.mouse.move(ends[0]["x"] + 1, ends[0]["y"] + 8)
    viewer.page.mouse.down()
    viewer.page.mouse.move(ends[1]["x"] + ends[1]["width"] - 1, ends[1]["y"] + 8, steps=5)
    viewer.page.mouse.up()


def test_selected_rows_are_copied_as_lines(viewer: Viewer) -> None:
    """A line each, as in a download; a part of a message as it is."""
    at = 1_709_210_096.007
    viewer.publish("one \x1b[31mred\x1b[0m", '{"two": 2}', "three", at=at, level="warn")
    viewer.open()
    expect(viewer.rows).to_have_count(3)

    def copy() -> Any:
        viewer.page.evaluate("navigator.clipboard.writeText('')")
        viewer.page.keyboard.press("Control+c")
        return eventually(lambda: viewer.page.evaluate("navigator.clipboard.readText()"), "a copy")

    origin = f"2024-02-29T12:34:56.007Z {viewer.app}[0e286551c30586] iad [warn]"
    lines = [f"{origin} one red", f'{origin} {{"two": 2}}', f"{origin} three"]
    select(viewer, ("one", ".l"), ("three", ".m"))
    assert copy() == "\n".join(lines)
    select(viewer, ("two", ".t"), ("two", ".m"))
    assert copy() == lines[1]
    select(viewer, ("three", ".m"), ("three", ".m"))
    assert copy() == "three"
    # As after three clicks: up to where the next row begins.
    viewer.message("one red").evaluate(
        "e => getSelection().setBaseAndExtent("
        "e, 0, e.parentElement.nextElementSibling.firstChild, 0)"
    )
    assert copy() == "one red"
    viewer.search(f"app:{viewer.app} red")
    viewer.page.locator("#query").select_text()
    assert copy() == f"app:{viewer.app} red"


def test_what_is_copied_is_said_for_a_moment(viewer: Viewer) -> None:
    """The hint goes away by itself."""
    viewer.publish("one")
    viewer.open()
    viewer.row("one").click()
    viewer.drawer.get_by_role("button", name="Copy message").click()
    hint = viewer.page.locator("#hint")
    expect(hint).to_have_text("Message copied")
    expect(hint).to_have_text("")


def test_only_this_machine_and_hide_lines_like_this(viewer: Viewer) -> None:
    """Two clicks from a line to its machine's lines, and to all lines but its like.

    A comma in its name cannot be asked for: that is said, and nothing is changed.
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


# --- finding ----------------------------------------------------------------------------------


def test_the_service_filters(viewer: Viewer) -> None:
    """Every word of the language narrows what is sent; what matches is marked."""
    viewer.publish("GET /cart timeout", "GET /health ok", region="iad", machine="m1")
    viewer.publish("POST /cart TimedOut", level="warn", region="ams", machine="m2")
    viewer.publish("disk full", level="error", region="ams", machine="m2")
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    app = f"app:{viewer.app} "
    for text, found in (
        ("cart", ["GET /cart timeout", "POST /cart TimedOut"]),
        ('"get /c"', ["GET /cart timeout"]),
        (r"/time(d|o)/", ["GET /cart timeout", "POST /cart TimedOut"]),
        ("cart -post", ["GET /cart timeout"]),
        ("level>=warn", ["POST /cart TimedOut", "disk full"]),
        ("region:ams machine:m2 level:error", ["disk full"]),
        ("region:ams,iad ok", ["GET /health ok"]),
    ):
        viewer.search(app + text)
        # Not the count first: the view before may have shown as many.
        eventually(partial(viewer.shows, found), f"what {text} finds")
    marks = viewer.page.locator("#rows mark")
    expect(marks).to_have_text(["ok"])
    query = parse_qs(viewer.requests[-1])
    assert query == {
        "app": [viewer.app], "region": ["ams,iad"], "q": ["ok"], "tail": query["tail"],
    }  # fmt: skip
    viewer.publish("not ok", "irrelevant")
    expect(viewer.row("not ok")).to_be_visible()
    assert viewer.messages() == ["GET /health ok", "not ok"]


def test_typing_asks_once_the_fingers_rest(viewer: Viewer) -> None:
    """The filter follows what is typed, not letter by letter; a half-typed word asks nothing."""
    viewer.publish("needle in here", "hay")
    viewer.open()
    expect(viewer.rows).to_have_count(2)
    asked = len(viewer.requests)
    viewer.page.locator("#query").focus()
    viewer.page.keyboard.press("End")
    viewer.page.keyboard.type(" needle", delay=20)
    expect(viewer.rows).to_have_count(1)
    assert len(viewer.requests) == asked + 1
    viewer.page.keyboard.type(" level:")
    viewer.page.wait_for_timeout(900)
    assert len(viewer.requests) == asked + 1
    # One slow finger is no reason to ask for each letter.
    viewer.page.keyboard.type(" in here", delay=400)
    viewer.page.wait_for_timeout(900)
    assert len(viewer.requests) == asked + 2


def test_what_cannot_be_asked_is_said(viewer: Viewer) -> None:
    """By the page or by the service, beside the field; the next query is a new beginning."""
    viewer.publish("fine")
    viewer.open()
    expect(viewer.rows).to_have_count(1)
    error = viewer.page.locator("#query-error")
    viewer.search("-app:web")
    expect(error).to_contain_text("app cannot be excluded")
    viewer.search(f"app:{viewer.app} /(unclosed/")
    expect(error).to_contain_text("regular expression")
    viewer.search(f"app:{viewer.app} fine")
    expect(error).to_be_hidden()
    expect(viewer.rows).to_have_count(1)
    expect(viewer.state).to_have_text("Live")


def test_what_is_not_understood_leaves_the_stream_as_it_is(viewer: Viewer) -> None:
    """The lines before go on under the query before; the next that is understood replaces it."""
    viewer.publish("first fine", "first other")
    viewer.open("&q=fine")
    expect(viewer.rows).to_have_count(1)
    address = viewer.page.url
    error = viewer.page.locator("#query-error")
    for number, (text, said) in enumerate((("/[/", "regular expression"), ("since:banana", "10m"))):
        viewer.search(f"app:{viewer.app} {text}")
        expect(error).to_contain_text(said)
        expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} {text}")
        expect(viewer.state).to_have_text("Live")
        assert viewer.page.url == address
        viewer.publish(f"still fine {number}", "still other")
        expect(viewer.row(f"still fine {number}")).to_be_visible()
    assert viewer.messages() == ["first fine", "still fine 0", "still fine 1"]
    viewer.search(f"app:{viewer.app} other")
    expect(error).to_be_hidden()
    expect(viewer.message("still other")).to_have_count(2)
    assert viewer.messages() == ["first other", "still other", "still other"]


def test_lines_can_be_hidden_again_and_again(viewer: Viewer) -> None:
    """The service takes a dozen of what "Hide lines like this" makes, however long the lines."""
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


def test_matches_can_be_visited_among_all_lines(viewer: Viewer) -> None:
    """Without hiding the others: `n` and `N` go from match to match, and say when there is none."""
    viewer.publish(*(f"line {number}" + " needle" * (number % 40 == 7) for number in range(200)))
    viewer.open("&q=needle")
    expect(viewer.rows).to_have_count(5)
    viewer.page.click("#context")
    expect(viewer.page.locator("#held")).to_contain_text("200 lines")
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} needle")
    assert "show=all" in viewer.page.url
    chosen = viewer.page.locator(".chosen")
    for key, number in (("N", 167), ("N", 127), ("n", 167)):
        viewer.press(key)
        expect(chosen).to_contain_text(f"line {number} needle")
        expect(chosen.locator("mark")).to_have_text("needle")
    viewer.press("n")
    expect(viewer.page.locator("#hint")).to_have_text("No later match")
    viewer.page.click("#find-previous")
    expect(chosen).to_contain_text("line 127 needle")


def test_without_a_search_n_goes_to_what_stands_out(viewer: Viewer) -> None:
    """The next error, marker or gap."""
    viewer.publish("calm")
    viewer.publish("broken", level="error")
    viewer.publish("calm again", "and again")
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    viewer.press("N")
    expect(viewer.page.locator(".chosen")).to_contain_text("broken")


def test_chips_count_and_filter(viewer: Viewer) -> None:
    """Live counts of what was seen; a click has only that, another one also the other."""
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
    chip("region:iad").click()
    expect(viewer.rows).to_have_count(3)
    chip("region:iad").click()
    chip("region:ams").click()
    chip("warn").click()
    expect(viewer.rows).to_have_count(1)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} level>=warn")


def test_a_press_on_a_chip_outlives_new_counts(viewer: Viewer) -> None:
    """Counts change every few seconds: the chip under a finger, or with the focus, stays."""
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
    """In two rows on a desk; in one that fades on a telephone. Levels: worst first, odd last."""
    for number in range(12):
        viewer.publish("x", machine=f"machine{number:07}", region=f"r{number:02}")
    for level in ("debug", "warn", "error", "fatal", "notice", "audit"):
        viewer.publish(*("x" * (1 + (level == "notice"))), level=level)
    more = viewer.page.locator("[data-chip='machine more']")
    viewer.page.set_viewport_size({"width": 1440, "height": 800})
    viewer.open()
    expect(more).to_be_in_viewport(ratio=1)
    expect(viewer.page.locator("[data-chip='type:log']")).to_be_in_viewport(ratio=1)
    viewer.page.set_viewport_size({"width": 1024, "height": 800})
    expect(more).to_be_in_viewport(ratio=0.3)  # the names of apps are long here
    levels = viewer.page.locator("[data-chip^='level:'] .value").all_inner_texts()
    known = ["fatal", "error", "warn", "info", "debug"]
    assert levels[:-1] == [level for level in known if level in levels]
    assert levels[-1] == "notice"
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


def test_the_address_is_the_view(viewer: Viewer, open_viewer: Callable[[str], Viewer]) -> None:
    """A link shows the same lines elsewhere, and "back" returns to the view before."""
    viewer.publish("one red", "two blue", "three red")
    viewer.open()
    viewer.page.wait_for_timeout(3_100)  # later changes are a step of their own in the history
    viewer.search(f"app:{viewer.app} red level>=info")
    expect(viewer.rows).to_have_count(2)
    assert parse_qs(urlsplit(viewer.page.url).query) == {
        "app": [viewer.app], "min_level": ["info"], "q": ["red"],
    }  # fmt: skip
    other = open_viewer(viewer.url)
    other.page.goto(viewer.page.url)
    expect(other.rows).to_have_count(2)
    assert other.messages() == viewer.messages()
    expect(other.page.locator("#query")).to_have_value(f"app:{viewer.app} level>=info red")
    viewer.page.go_back()
    expect(viewer.rows).to_have_count(3)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app}")


def test_a_line_can_be_linked_to(viewer: Viewer, open_viewer: Callable[[str], Viewer]) -> None:
    """The link opens with that line chosen and its details shown, whatever has come since."""
    viewer.open()
    viewer.publish("before", "this one")
    viewer.row("this one").click()
    viewer.drawer.get_by_role("button", name="Copy link").click()
    link = eventually(lambda: viewer.page.evaluate("navigator.clipboard.readText()"), "the link")
    viewer.publish(*(f"after {number}" for number in range(300)))
    other = open_viewer(viewer.url)
    other.page.goto(link)
    expect(other.page.locator(".chosen")).to_contain_text("this one")
    expect(other.drawer).to_contain_text("this one")


def test_a_link_to_a_forgotten_line_says_so(viewer: Viewer) -> None:
    """Once the replay is through: in silence, or with the first line that has just happened."""
    viewer.publish("still there")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    link = f"&since={since}#line={int(time.time() * 1000)}-anotherprocess-7"
    hint = viewer.page.locator("#hint")
    viewer.open(link)
    expect(hint).to_have_text("That line is no longer remembered")
    expect(viewer.row("still there")).to_be_visible()
    viewer.page.clock.install()
    viewer.page.clock.pause_at(time.time() + 3_600)  # no silence is long enough
    viewer.page.goto("about:blank")
    viewer.open(link)
    expect(viewer.row("still there")).to_be_visible()
    expect(hint).to_have_text("")
    viewer.publish("live")
    expect(hint).to_have_text("That line is no longer remembered")


# --- seeing -----------------------------------------------------------------------------------


def test_the_histogram_jumps_in_time(viewer: Viewer) -> None:
    """By level, live, with marks; a click or the arrow keys and Enter go to that moment."""
    then = time.time() - 120
    viewer.publish("two minutes ago", at=then, level="error")
    viewer.publish("Pulling container image x", at=then, provider="runner")
    viewer.publish(*(f"now {number}" for number in range(200)))
    viewer.open()
    expect(viewer.row("now 199")).to_be_visible()
    slider = viewer.page.locator("#strip-slider")
    box = slider.bounding_box()
    assert box is not None
    bars = int(box["width"] / 5)
    seconds = -(-300 * 5 // int(box["width"]))
    back = round(120 / seconds)
    slider.focus()
    for _ in range(back + 3):
        slider.press("ArrowLeft")
        if "1 error" in (slider.get_attribute("aria-valuetext") or ""):
            break
    text = slider.get_attribute("aria-valuetext") or ""
    assert "1 error, 1 info" in text
    assert "▲ Pulling container image x" in text
    expect(viewer.page.locator("#strip-tip")).to_have_text(text)
    slider.press("Enter")
    expect(viewer.page.locator(".chosen")).to_contain_text("two minutes ago")
    viewer.press("G")
    expect(viewer.row("now 199")).to_be_visible()
    index = int(slider.get_attribute("aria-valuenow") or 0)
    slider.click(position={"x": index * 5 + 2, "y": 30})
    expect(viewer.page.locator(".chosen")).to_contain_text("two minutes ago")
    viewer.press("G")
    viewer.row("now 199").click()
    expect(viewer.drawer).to_contain_text("now 199")
    slider.click(position={"x": index * 5 + 2, "y": 30})
    expect(viewer.drawer).to_contain_text("two minutes ago")
    assert bars > index > 0
    painted = viewer.page.evaluate(
        "() => { const c = document.getElementById('strip-canvas');"
        " const pixels = c.getContext('2d').getImageData(0, 12, c.width, c.height - 12).data;"
        " return new Set(new Uint32Array(pixels.buffer)).size; }"
    )
    assert painted > 2


def test_what_fly_did_is_marked_linked_and_muted(viewer: Viewer) -> None:
    """Deploys, restarts, health changes and proxy errors carry a sign; one click mutes them."""
    viewer.publish(
        "Successfully prepared image x", "machine exited with exit code 0", provider="runner"
    )
    viewer.publish("Health check on port 8080 is now failing.", provider="health")
    viewer.publish("[PC01] instance refused connection", provider="proxy", level="error")
    viewer.publish("an app's own line with [PC01]")
    viewer.open()
    signs = viewer.page.locator("#rows .sign")
    expect(signs).to_have_text(["▲", "↻", "✚", "◆"])
    expect(signs.first).to_have_attribute("aria-label", "deploy")
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


# --- honesty ----------------------------------------------------------------------------------


def test_a_killed_service_loses_and_doubles_nothing(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """Killed and restarted mid-stream: every line that the service got is shown once, in order."""
    with open_service(nats) as service:
        viewer = open_viewer(service.url).open()
        viewer.publish(*(f"a{number}" for number in range(500)))
        expect(viewer.row("a499")).to_be_visible()
        service.kill()
        expect(viewer.state).to_contain_text("Disconnected")
        service.start()
        viewer.publish(*(f"b{number}" for number in range(500)))
        expect(viewer.row("b499")).to_be_visible()
        expect(viewer.state).to_have_text("Live")
        viewer.publish("c")
        expect(viewer.row("c").last).to_be_visible()
        messages = [event["message"] for event in viewer.lines()]
        expected = [f"{part}{number}" for part in "ab" for number in range(500)]
        assert messages == [*expected, "c"]
        text = viewer.download("[data-download=text]")
        assert re.search(r"# Reconnected after .*: \d+ lines replayed", text)
        assert "# Lines may be missing here" in text


def test_a_cut_network_is_resumed_from(
    open_viewer: Callable[[str], Viewer], stage: Stage, service: ServiceProcess
) -> None:
    """With the last id: what came meanwhile is replayed, and the page says how much."""
    with open_wire(stage, service.port) as wire:
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}").open()
        viewer.publish("before")
        expect(viewer.row("before")).to_be_visible()
        stage.run(wire.cut)
        expect(viewer.state).to_contain_text("Disconnected · again in")
        viewer.publish(*(f"meanwhile {number}" for number in range(40)))
        stage.run(wire.mend)
        expect(viewer.row("meanwhile 39")).to_be_visible()
        expect(viewer.notes).to_have_text(re.compile(r"Reconnected after .* 40 lines replayed"))
        expect(viewer.state).to_have_text("Live")
        assert [event["message"] for event in viewer.lines()] == [
            "before", *(f"meanwhile {number}" for number in range(40)),
        ]  # fmt: skip
        # Nothing happened: no lines, no gap.
        stage.run(wire.cut)
        expect(viewer.state).to_contain_text("Disconnected")
        stage.run(wire.mend)
        expect(viewer.notes.last).to_contain_text("nothing missed")


def test_a_network_that_is_back_is_used_at_once(
    open_viewer: Callable[[str], Viewer], stage: Stage, service: ServiceProcess
) -> None:
    """The browser says that it is online again: the next try does not wait for its time."""
    with open_wire(stage, service.port) as wire:
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}")
        viewer.page.clock.install()
        viewer.open()
        viewer.page.clock.pause_at(time.time() + 3_600)  # no time passes: no try is due
        stage.run(wire.cut)
        expect(viewer.state).to_contain_text("Disconnected · again in")
        stage.run(wire.mend)
        viewer.page.evaluate("dispatchEvent(new Event('online'))")
        expect(viewer.state).to_have_text("Live")


def test_missed_lines_are_drawn_where_they_are_missing(
    open_viewer: Callable[[str], Viewer], stage: Stage, nats: MistreatedServer
) -> None:
    """More came than the service remembers: a gap stands between the last line and the next."""
    with (
        open_service(nats, NATSTREAM_BACKLOG_LINES="100") as service,
        open_wire(stage, service.port) as wire,
    ):
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}")
        viewer.page.goto(viewer.url)  # unfiltered, so that the count is exact
        expect(viewer.state).to_have_text("Live")
        viewer.publish("before")
        expect(viewer.row("before")).to_be_visible()
        stage.run(wire.cut)
        expect(viewer.state).to_contain_text("Disconnected")
        viewer.publish(*(f"m{number}" for number in range(312)))
        eventually(lambda: service.status()["sources"]["nats"]["lines"] == 313, "the lines")
        stage.run(wire.mend)
        expect(viewer.row("m311")).to_be_visible()
        viewer.press("g")
        expect(viewer.page.locator(".note.gap")).to_contain_text("212 lines missed since")
        order = [row.split("\n")[-1] for row in viewer.rows.all_inner_texts()]
        gap = next(index for index, row in enumerate(order) if "212 lines missed" in row)
        assert "before" in order[gap - 2]
        assert "Reconnected" in order[gap - 1]
        assert "m212" in order[gap + 1]


def test_a_connection_that_dies_in_silence_is_noticed(
    open_viewer: Callable[[str], Viewer], stage: Stage, nats: MistreatedServer
) -> None:
    """No keep-alive for two and a half times its interval: the page connects anew."""
    with (
        open_service(nats, NATSTREAM_KEEPALIVE="0.5") as service,
        open_wire(stage, service.port) as wire,
    ):
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}").open()
        stage.run(wire.fall_silent)
        expect(viewer.state).to_contain_text("Disconnected")
        stage.run(wire.cut)
        stage.run(wire.mend)
        expect(viewer.state).to_have_text("Live")


def test_the_state_of_nats_is_shown(
    open_viewer: Callable[[str], Viewer], stage: Stage, context: BrowserContext
) -> None:
    """Connected to the service is not connected to NATS: killed, denied and back are told apart."""
    with open_nats(stage) as nats, open_service(nats) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        expect(viewer.state).to_have_text("Live")
        stage.run(nats.kill)
        expect(viewer.state).to_contain_text("Connected · NATS lost")
        expect(viewer.page.locator("#state")).to_have_attribute("data-tone", "bad")
        expect(viewer.notes.first).to_have_class(re.compile("error"))
        viewer.page.click("#state")
        panel = viewer.page.locator("#status")
        expect(panel.locator(".source")).to_have_text("lost")
        expect(panel).to_contain_text("logs.>")
        viewer.page.keyboard.press("Escape")
        stage.run(nats.restart)
        expect(viewer.state).to_have_text("Live")
        stage.run(lambda: _sync(nats.revoke))
        expect(viewer.state).to_contain_text("NATS denied")
        expect(viewer.notes.last).to_contain_text("ACCESS_TOKEN")


def test_an_outage_of_the_journal_is_shown_and_costs_no_line(
    open_viewer: Callable[[str], Viewer], stage: Stage, nats: MistreatedServer
) -> None:
    """What is wrong, and each line once, though they are stored late, and the page was cut."""
    with (
        stage.have(JournalServer.run()) as journal,
        open_service(nats, **journal.environ) as service,
        open_wire(stage, service.port) as wire,
    ):
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}").open()

        def journal_is(state: str) -> bool:
            return bool(service.status()["sources"]["journal"]["state"] == state)

        viewer.publish("stored")
        viewer.row("stored").click()
        expect(viewer.drawer).to_contain_text('"persistent": true')
        viewer.press("Escape")
        # While it is away, and back, with the connection that there is.
        stage.run(journal.kill)
        expect(viewer.notes.filter(has_text="The journal is away")).to_be_visible()
        expect(viewer.state).to_have_text("Connected · journal unreachable")
        viewer.page.click("#state")
        expect(viewer.page.locator("#status .source.lost")).to_have_text("unreachable")
        expect(viewer.page.locator("#status")).to_contain_text(", epoch ")
        viewer.page.keyboard.press("Escape")
        viewer.publish("shown in its stead")
        expect(viewer.row("shown in its stead")).to_be_visible()
        stage.run(journal.restart)
        expect(viewer.notes.last).to_contain_text("Following the journal natstream")
        expect(viewer.state).to_have_text("Live")
        viewer.publish("stored again")
        expect(viewer.row("stored again")).to_be_visible()
        # The same with a connection that is cut meanwhile, long after the first of these lines.
        stage.run(journal.kill)
        expect(viewer.notes.filter(has_text="The journal is away")).to_have_count(2)
        viewer.publish("long before the cut")
        time.sleep(6)  # beyond the margin within which the page expects repetitions
        viewer.publish("just before the cut")
        expect(viewer.row("just before the cut")).to_be_visible()
        stage.run(wire.cut)
        expect(viewer.state).to_contain_text("Disconnected")
        stage.run(journal.restart)
        eventually(partial(journal_is, "up"), "the journal")
        viewer.publish("while it was cut")
        stage.run(wire.mend)
        expect(viewer.row("while it was cut")).to_be_visible()
        expect(viewer.notes.filter(has_text="Reconnected")).to_contain_text(
            re.compile(r"\b1 line replayed, 2 repeated lines left out")
        )
        lines = viewer.lines()
        assert [event["message"] for event in lines] == [
            "stored", "shown in its stead", "stored again",
            "long before the cut", "just before the cut", "while it was cut",
        ]  # fmt: skip
        assert [event["persistent"] for event in lines] == [True, False, True, False, False, True]


async def _sync(function: Callable[[], None]) -> None:
    function()


def test_a_hidden_page_gives_its_connection_back(
    viewer: Viewer, context: BrowserContext, service: ServiceProcess
) -> None:
    """One connection a tab; none after five minutes in the background; resumed when it is shown."""
    viewer.page.add_init_script(
        "window.away = false;"
        "Object.defineProperty(document, 'hidden', { get: () => window.away });"
        "window.look = (away) => { window.away = away;"
        " document.dispatchEvent(new Event('visibilitychange')); };"
    )
    viewer.page.clock.install()
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    for text in ("a", "b", ""):
        viewer.search(f"app:{viewer.app} {text}")
        expect(viewer.state).to_have_text("Live")
    eventually(lambda: service.status()["readers"] == 1, "one reader")
    viewer.page.evaluate("look(true)")
    viewer.page.clock.fast_forward("05:01")
    eventually(lambda: service.status()["readers"] == 0, "no reader")
    viewer.publish("meanwhile")
    viewer.page.evaluate("look(false)")
    expect(viewer.row("meanwhile")).to_be_visible()
    expect(viewer.notes).to_contain_text("the page was hidden")
    expect(viewer.notes).to_contain_text("1 line replayed")


def test_a_full_service_is_waited_for(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """Too many readers: the page says so, and comes in when there is room."""
    with open_service(nats, NATSTREAM_MAX_READERS="1") as service:
        first = open_viewer(service.url).open()
        second = open_viewer(service.url).open(live=False)
        expect(second.state).to_contain_text("Disconnected")
        expect(second.page.locator("#state")).to_have_attribute(
            "title", re.compile("readers at once")
        )
        first.page.evaluate("() => { window.violations = []; }")
        first.page.goto("about:blank")
        first.page.evaluate("() => { window.violations = []; }")
        second.page.click("#state")
        second.page.get_by_role("button", name="Try now").click()
        expect(second.state).to_have_text("Live")


def test_a_token_is_asked_for(open_viewer: Callable[[str], Viewer], nats: MistreatedServer) -> None:
    """A form, which says when the token is wrong, and opens the logs when it is right."""
    with open_service(nats, NATSTREAM_TOKEN="open-sesame") as service:
        viewer = open_viewer(service.url).open(live=False)
        expect(viewer.page.locator("#login")).to_be_visible()
        expect(viewer.page.locator("#token")).to_be_focused()
        viewer.publish("secret things")
        viewer.page.fill("#token", "wrong")
        viewer.page.press("#token", "Enter")
        error = viewer.page.locator("#login-error")
        expect(error).to_contain_text("does not know this token")
        viewer.page.fill("#token", "open-sesame")
        viewer.page.press("#token", "Enter")
        expect(viewer.page.locator("#login")).to_be_hidden()
        expect(viewer.row("secret things")).to_be_visible()
        viewer.page.reload()
        expect(viewer.row("secret things")).to_be_visible()
        viewer.page.click("#state")
        viewer.page.get_by_role("button", name="log out").click()
        expect(viewer.page.locator("#login")).to_be_visible()
        expect(viewer.rows).to_have_count(0)


# --- comfort ----------------------------------------------------------------------------------


def test_pause_holds_and_goes_on_without_loss(viewer: Viewer) -> None:
    """Paused, lines wait and are counted; then they are all there, in order."""
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    viewer.press(" ")
    expect(viewer.state).to_contain_text("Paused")
    viewer.publish(*(f"held {number}" for number in range(25)))
    expect(viewer.page.locator("#newest")).to_have_text("25 new lines")
    assert viewer.messages() == ["before"]
    viewer.press(" ")
    expect(viewer.row("held 24")).to_be_visible()
    assert viewer.messages() == ["before", *(f"held {number}" for number in range(25))]


def test_a_long_pause_releases_the_connection_and_resumes(
    viewer: Viewer, service: ServiceProcess
) -> None:
    """20,000 held lines are enough: the rest waits in the service, and nothing is lost."""
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    viewer.page.click("#pause")
    viewer.publish(*(f"x{number}" for number in range(24_000)))
    expect(viewer.state).to_have_text("Paused · new lines wait in the service")
    viewer.page.click("#newest")
    expect(viewer.row("x23999")).to_be_visible()
    messages = [event["message"] for event in viewer.lines()]
    assert messages == ["before", *(f"x{number}" for number in range(24_000))]


def test_clear_empties_the_list_and_the_stream_goes_on(viewer: Viewer) -> None:
    """What is new after it is shown; what was there is gone."""
    viewer.open()
    viewer.publish("old")
    expect(viewer.row("old")).to_be_visible()
    viewer.page.click("#clear")
    expect(viewer.rows).to_have_count(0)
    viewer.publish("new")
    expect(viewer.row("new")).to_be_visible()
    assert viewer.messages() == ["new"]


def test_what_was_cleared_can_be_shown_again(viewer: Viewer) -> None:
    """The empty list says that it was cleared, not that there is nothing, and how to undo it."""
    viewer.open()
    viewer.publish("one", "two")
    expect(viewer.row("two")).to_be_visible()
    viewer.page.click("#clear")
    empty = viewer.page.locator("#empty")
    expect(empty).to_contain_text("The list was cleared")
    expect(empty).not_to_contain_text("No line matches")
    empty.get_by_role("button", name="Show them again").click()
    expect(viewer.row("two")).to_be_visible()
    assert viewer.messages() == ["one", "two"]
    viewer.search(f"app:{viewer.app} three")
    expect(empty).to_contain_text("No line matches")


def test_what_is_filtered_can_be_downloaded(viewer: Viewer) -> None:
    """The page's lines or all of the backlog's, as NDJSON or as text."""
    viewer.publish("one \x1b[31mred\x1b[0m", "two blue", "three red\nand more", level="warn")
    viewer.open("&q=red")
    expect(viewer.rows).to_have_count(2)
    events = viewer.lines()
    assert [event["message"] for event in events] == [
        "one \x1b[31mred\x1b[0m",
        "three red\nand more",
    ]
    assert set(events[0]) == {
        "message", "timestamp", "type", "persistent", "app", "region", "machine", "stream",
        "level", "provider", "source", "id",
    }  # fmt: skip
    text = viewer.download("[data-download=text]").splitlines()
    assert text[0].endswith(f"Z {viewer.app}[0e286551c30586] iad [warn] one red")
    assert text[1:] == [text[1], "    and more"]
    both = viewer.download("#download-all-ndjson").splitlines()
    assert [json.loads(row)["message"] for row in both if '"app"' in row] == [
        event["message"] for event in events
    ]
    assert "three red" in viewer.download("#download-all-text")


def test_a_download_is_named_after_its_moment(viewer: Viewer) -> None:
    """And not after that of the last change of the filter."""
    viewer.publish("one")
    viewer.page.clock.install()
    viewer.open()
    expect(viewer.row("one")).to_be_visible()
    viewer.page.clock.fast_forward("02:00:00")
    before = viewer.page.evaluate("new Date(Date.now() - 60_000).toISOString()")
    viewer.page.click("#download-button")
    with viewer.page.expect_download() as info:
        viewer.page.click("#download-all-text")
    name = info.value.suggested_filename
    assert name.endswith(".txt")
    assert re.findall(r"\d+", name)[-1] > re.sub(r"\D", "", before)[:14]


def test_a_line_without_an_app_shows_its_source(open_viewer: Callable[[str], Viewer]) -> None:
    """Whole, in the app's column."""
    with open_service(None) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        expect(viewer.state).to_have_text("Live")
        httpx.post(service.status()["drain"]["url"], json={"instance": "m1", "message": "hello"})
        origin = viewer.row("hello").locator(".a")
        expect(origin).to_have_text("drain")
        eventually(lambda: origin.evaluate("e => e.scrollWidth <= e.clientWidth"), "its width")


def test_the_keyboard_does_everything(viewer: Viewer) -> None:
    """`/`, `g`, `G`, arrows, Enter, `?` and Escape; keys typed into a field are text."""
    viewer.publish(*(f"\x1b[3{number % 8}mline {number}" for number in range(300)))
    viewer.publish('{"a": 1}')
    viewer.open()
    expect(viewer.row('{"a": 1}')).to_be_visible()
    viewer.press("g")
    expect(viewer.row("line 0")).to_be_visible()
    assert not viewer.is_at_end()
    viewer.press("ArrowDown")
    viewer.press("j")
    expect(viewer.page.locator(".chosen")).to_contain_text("line 1")
    expect(viewer.page.locator("#announcer")).to_have_text(f"info {viewer.app} iad: line 1")
    viewer.press("Enter")
    expect(viewer.drawer).to_contain_text("line 1")
    viewer.press("Escape")
    expect(viewer.drawer).to_be_hidden()
    viewer.press("G")
    expect(viewer.row('{"a": 1}')).to_be_visible()
    viewer.press("End")
    viewer.press("ArrowUp")
    viewer.press("ArrowDown")
    viewer.press("ArrowRight")
    expect(viewer.page.locator(".chosen .m")).to_have_text(re.compile(r'\{\s+"a": 1\s+\}'))
    viewer.press("ArrowLeft")
    viewer.press("?")
    expect(viewer.page.locator("#help")).to_be_visible()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#help")).to_be_hidden()
    viewer.press("/")
    expect(viewer.page.locator("#query")).to_be_focused()
    viewer.page.keyboard.type("gG?n w")
    expect(viewer.page.locator("#query")).to_have_value("gG?n w")


def test_choices_are_remembered(viewer: Viewer) -> None:
    """Theme, clock, columns and wrapping survive a reload; the theme is the system's at first."""
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
    """Today's stand where they always do, and say it, too, once midnight has passed."""
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
    """Without a new line, and without a hand."""
    viewer.page.clock.install()
    viewer.publish("a line")
    viewer.open()
    viewer.page.click("#view-button")
    viewer.page.get_by_role("radio", name="Relative").check()
    shown = viewer.row("a line").locator(".t")
    expect(shown).to_have_text(re.compile("^(now|.* s ago)$"))
    viewer.page.clock.run_for(125_000)
    expect(shown).to_have_text("2 min ago")


def test_the_empty_page_explains_itself(
    open_viewer: Callable[[str], Viewer], service: ServiceProcess
) -> None:
    """What is listened to; with a filter, how to get out of it."""
    viewer = open_viewer(service.url).open("&q=nothing-is-like-this")
    empty = viewer.page.locator("#empty")
    expect(empty).to_contain_text("No line matches")
    viewer.publish("at last: nothing-is-like-this")
    expect(empty).to_be_hidden()
    viewer.search(f"app:{viewer.app} nothing-else")
    empty.get_by_role("button", name="Show all lines").click()
    expect(viewer.page.locator("#query")).to_have_value("")
    expect(viewer.row("at last")).to_be_visible()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("token", ["", "drains-only"])
def test_the_command_for_a_first_line_works(
    open_viewer: Callable[[str], Viewer], token: str
) -> None:
    """As it stands there, whole, with the address of this drain, and the token if it needs one."""
    with open_service(None, NATSTREAM_DRAIN_TOKEN=token) as drain_only:
        viewer = open_viewer(drain_only.url)
        viewer.page.goto(drain_only.url)
        expect(viewer.page.locator("#empty")).to_contain_text("No lines yet")
        command = viewer.page.locator("#empty code", has_text="curl")
        expect(command).to_be_visible()
        assert command.evaluate("e => e.scrollWidth <= e.clientWidth")
        text = command.inner_text()
        assert ("Authorization" in text) is bool(token)
        subprocess.run(
            ["bash", "-c", text],
            env={"PATH": os.environ["PATH"], "NATSTREAM_DRAIN_TOKEN": token},
            check=True,
            timeout=PATIENCE,
        )
        expect(viewer.row("hello")).to_be_visible()


def test_without_a_drain_none_is_spoken_of(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """The empty page names what there is to send a first line to, and nothing else."""
    with open_service(nats) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        empty = viewer.page.locator("#empty")
        expect(empty).to_contain_text("fly apps restart")
        expect(empty).not_to_contain_text("curl")


def test_it_is_readable_on_a_telephone(viewer: Viewer) -> None:
    """Nothing is wider than the screen; what a line is from stands above what it says."""
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    viewer.publish("GET /a/rather/long/path?with=a&query=string 200 in 12ms " * 3, machine="m" * 14)
    viewer.open()
    row = viewer.row("GET /a/rather")
    expect(row).to_be_visible()
    assert viewer.page.evaluate(
        "document.documentElement.scrollWidth <= 390"
        " && document.getElementById('lines').scrollWidth <= 390"
    )
    time_box, message_box = (row.locator(part).bounding_box() for part in (".t", ".m"))
    assert time_box is not None
    assert message_box is not None
    assert message_box["y"] > time_box["y"]
    assert message_box["width"] > 350
    row.click()
    close = viewer.drawer.get_by_role("button", name="Close")
    expect(close).to_be_in_viewport()
    close.click()
    expect(row).to_be_visible()
    assert serious(viewer.page) == []


def test_motion_is_reduced_on_request(viewer: Viewer) -> None:
    """With `prefers-reduced-motion`, nothing is animated."""
    viewer.page.emulate_media(reduced_motion="reduce")
    viewer.open()
    assert viewer.page.evaluate("document.getAnimations().length") == 0
    viewer.page.evaluate("document.getElementById('state').dataset.tone = 'busy'")
    assert viewer.page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anyones_way(viewer: Viewer, scheme: Any) -> None:
    """axe-core finds nothing serious: in the list, the details, the menus, the help."""
    viewer.page.emulate_media(color_scheme=scheme)
    viewer.publish("fine", '{"json": true, "n": 1}', "\x1b[31mred\x1b[32mgreen\x1b[34mblue\x1b[0m")
    viewer.publish("slow needle", level="warn")
    viewer.publish("broken", level="error")
    viewer.publish("quiet", level="debug")
    viewer.publish("[PC01] refused", provider="proxy", level="error")
    viewer.publish("machine exited", provider="runner")
    viewer.open("&q=needle&show=all")
    expect(viewer.row("machine exited")).to_be_visible()
    assert serious(viewer.page) == []
    viewer.row('{"json"').click()
    assert serious(viewer.page) == []
    viewer.press("Escape")
    for menu in ("#state", "#view-button", "#download-button"):
        viewer.page.click(menu)
        assert serious(viewer.page) == [], menu
        viewer.page.keyboard.press("Escape")
    viewer.press("?")
    assert serious(viewer.page) == []


def serious(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse."""
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


# --- hostile lines, many lines ----------------------------------------------------------------

ESC = "\x1b"
HOSTILE = {
    "html": "<img src=x onerror=window.hacked=1><b>bold</b>",
    "script": "<script>window.hacked=1</script>",
    "style": "<style>body{display:none}</style>",
    "link": "javascript:window.hacked=1 <a href='javascript:window.hacked=1'>click</a>",
    "markdown": "[x](javascript:window.hacked=1)",
    "bidi": "user\u202egnp.exe\u2066 \u200b\u00ad",
    "nulls": "a\x00b\x07c\x08d\x7fe\x85f",
    "svg": "<svg onload=window.hacked=1>",
    "template": "${window.hacked=1} {{window.hacked=1}}",
    "bomb": f"{ESC}[31mx{ESC}[0m" * 20_000,
    "escapes": ESC * 10_000,
    "nested": "[" * 20_000 + "]" * 20_000,
    "proto": '{"__proto__":{"hacked":1},"constructor":{"prototype":{"hacked":1}}}',
    "long": "x" * 1_000_000,
    "breaks": "\n" * 5_000,
    "osc": f"{ESC}]8;;javascript:window.hacked=1{ESC}\\click{ESC}]8;;{ESC}\\",
    "sse": "x\n\ndata: {}\n\nid: 1\nevent: y",
    "combining": "z" + "\u0301" * 5_000,
    "wide": "漢字" * 5_000,
}


def test_hostile_lines_are_text(viewer: Viewer) -> None:
    """HTML, scripts, links, bidi controls, bombs, a megabyte, odd keys: shown, never obeyed."""
    viewer.open()
    for name, message in HOSTILE.items():
        viewer.publish(f"<{name}> {message}" if name not in ("proto", "nested") else message)
    viewer.publish(
        "hostile fields", region="<b>r</b>", machine="<i>m</i>", level="<u>loud</u>" * 50
    )
    viewer.publish("the end")
    expect(viewer.row("the end")).to_be_visible()
    for wrap in (True, False):
        viewer.press("g")
        for _ in range(30):
            for fold in viewer.page.locator("#rows .fold[aria-expanded=false]").all()[:3]:
                if wrap:
                    fold.click(timeout=2_000, force=True)
                    break
            viewer.press("PageDown")
            viewer.page.wait_for_timeout(20)
        viewer.press("w")
    viewer.press("g")
    for _ in range(len(HOSTILE) + 2):
        viewer.press("j")
        viewer.press("Enter")
    assert viewer.page.evaluate("window.hacked") is None
    assert viewer.page.evaluate("({}).hacked") is None
    # Fly's documentation is all that a line can link to.
    assert viewer.page.locator("#rows a, #details a").count() == 0
    assert (
        viewer.page.locator("#rows img, #rows script, #rows b, #rows svg:not(.icon)").count() == 0
    )
    assert "\u202e" not in (viewer.page.locator("body").text_content() or "")
    viewer.search(f"app:{viewer.app} gnp.exe")
    expect(viewer.page.locator("#rows .unseen").first).to_have_text("U+202E")
    sent = {event["message"] for event in viewer.lines()}
    assert sent == {f"<bidi> {HOSTILE['bidi']}"}


def test_a_hostile_address_is_only_a_query(viewer: Viewer) -> None:
    """Markup and expressions that hang a browser, in a link from a stranger, do nothing."""
    viewer.publish("a" * 60 + "!", "<img src=x onerror=window.hacked=1>")
    viewer.open("&q=/(a%2B)%2B%24/&not=%3Cimg&show=all&format=%3Cscript%3E#line=<img src=x>")
    expect(viewer.rows).to_have_count(2)
    viewer.press("n")
    expect(viewer.page.locator("#query")).to_have_value(re.compile(r"/\(a\+\)\+\$/ -<img"))
    assert viewer.page.evaluate("window.hacked") is None


def test_a_wrong_address_shows_nothing_rather_than_everything(viewer: Viewer) -> None:
    """What is wrong is said, and stays in the address, until something else is asked."""
    viewer.publish("needle", "hay")
    error = viewer.page.locator("#query-error")
    for query, said in (
        ("appp=x", "appp"), ("min_level=loud", "one of debug"), ("q=needle&foo=bar", "foo"),
    ):  # fmt: skip
        viewer.page.goto(f"{viewer.url}/?{query}")
        expect(error).to_contain_text(said)
        expect(viewer.state).to_have_text("Not understood")
        assert viewer.page.url.endswith(f"/?{query}")
        viewer.page.locator("#query").focus()
        viewer.page.locator("#lines").focus()
        expect(error).to_be_visible()
    assert viewer.requests == []
    assert viewer.rows.count() == 0
    viewer.search(f"app:{viewer.app} needle")
    expect(error).to_be_hidden()
    expect(viewer.rows).to_have_count(1)
    viewer.page.go_back()
    expect(error).to_contain_text("foo")
    expect(viewer.rows).to_have_count(0)


def test_a_flood_is_shown_without_loss(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer, stage: Stage
) -> None:
    """5,000 lines a second for 20 s: all 100,000 are held, few elements, and it still reacts."""
    with open_service(nats) as service:
        viewer = open_viewer(service.url).open()
        start = time.monotonic()
        for second in range(200):
            numbers = range(second * 500, second * 500 + 500)
            viewer.publish(
                *(f"{number} GET /teas/{number % 97} 200 in {number % 31}ms" for number in numbers)
            )
            if second % 20 == 10:
                assert viewer.rows.count() < 500
            if second == 100:
                viewer.page.click("#view-button")
                viewer.page.get_by_role("radio", name="UTC").check()
                viewer.page.keyboard.press("Escape")
            time.sleep(max(0.0, start + (second + 1) * 0.1 - time.monotonic()))
        expect(viewer.row("99999 GET")).to_be_visible()
        expect(viewer.page.locator("#held")).to_contain_text("100,000 lines")
        assert viewer.is_at_end()
        viewer.press("g")
        expect(viewer.row("0 GET /teas/0 200 in 0ms").first).to_be_visible()
        viewer.press("G")
        numbers_held = [int(event["message"].split()[0]) for event in viewer.lines()]
        assert numbers_held == list(range(100_000))
        viewer.publish("one more")
        expect(viewer.row("one more")).to_be_visible()
        assert viewer.rows.count() < 500


def test_a_read_line_stays_under_a_flood(
    open_viewer: Callable[[str], Viewer], service: ServiceProcess
) -> None:
    """Scrolled up, the lines being read are not pushed out: new ones wait instead."""
    viewer = open_viewer(service.url).open()
    viewer.publish(*(f"old {number}" for number in range(500)))
    expect(viewer.row("old 499")).to_be_visible()
    viewer.press("g")
    expect(viewer.row("old 0").first).to_be_visible()
    for part in range(11):
        viewer.publish(*(f"new {part} {number}" for number in range(10_000)))
    expect(viewer.page.locator("#newest")).to_have_text(re.compile("1[0-9]{2},[0-9]{3} new lines"))
    expect(viewer.row("old 0").first).to_be_visible()
    viewer.page.click("#newest")
    expect(viewer.row("new 10 9999")).to_be_visible()
