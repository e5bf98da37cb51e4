"""The search field and the address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer


def test_the_service_filters(viewer: Viewer) -> None:
    """Every word of the search language narrows what the service sends, and matches are marked."""
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


# The pauses are timers of the page, which the browser runs in the order in which they are due. So
# they keep their relation to the page's own pause, also on a busy machine.
TYPE = """async ([text, pause]) => {
  const field = document.querySelector('#query');
  for (const letter of text) {
    field.value += letter;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}"""


def test_typing_asks_once_the_fingers_rest(viewer: Viewer) -> None:
    """The page asks once the reader stops typing, and asks nothing for a half-typed word."""
    viewer.publish("needle in here", "hay")
    viewer.open()
    expect(viewer.rows).to_have_count(2)
    asked = len(viewer.requests)
    viewer.page.locator("#query").focus()
    viewer.page.evaluate(TYPE, [" needle", 20])
    expect(viewer.rows).to_have_count(1)
    assert len(viewer.requests) == asked + 1
    viewer.page.evaluate(TYPE, [" level:", 0])
    viewer.page.wait_for_timeout(900)
    assert len(viewer.requests) == asked + 1
    # One slow finger is no reason to ask for each letter.
    viewer.page.evaluate(TYPE, [" in here", 400])
    viewer.page.wait_for_timeout(900)
    assert len(viewer.requests) == asked + 2


def test_what_cannot_be_asked_is_said(viewer: Viewer) -> None:
    """The page shows why it or the service refuses a query, until the next query."""
    viewer.publish("fine")
    viewer.open()
    expect(viewer.rows).to_have_count(1)
    error = viewer.page.locator("#query-error")
    viewer.search("level<warn")
    expect(error).to_contain_text("name the levels that you want")
    viewer.search(f"app:{viewer.app} /(unclosed/")
    expect(error).to_contain_text("regular expression")
    viewer.search(f"app:{viewer.app} fine")
    expect(error).to_be_hidden()
    expect(viewer.rows).to_have_count(1)
    expect(viewer.state).to_have_text("Live")


def test_what_is_not_understood_leaves_the_stream_as_it_is(viewer: Viewer) -> None:
    """A declined query leaves lines, stream and address alone; the next query replaces them."""
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


def test_a_hostile_address_is_only_a_query(viewer: Viewer) -> None:
    """Markup and expensive expressions in an address are a query and do nothing else."""
    viewer.publish("a" * 60 + "!", "<img src=x onerror=window.hacked=1>")
    viewer.open("&q=/(a%2B)%2B%24/&not=%3Cimg&show=all&format=%3Cscript%3E#line=<img src=x>")
    expect(viewer.rows).to_have_count(2)
    viewer.press("n")
    expect(viewer.page.locator("#query")).to_have_value(re.compile(r"/\(a\+\)\+\$/ -<img"))
    assert viewer.page.evaluate("window.hacked") is None


def test_a_wrong_address_shows_nothing_rather_than_everything(viewer: Viewer) -> None:
    """An address with an error shows the error and no lines, until the next query."""
    viewer.publish("needle", "hay")
    error = viewer.page.locator("#query-error")
    for query, said in (
        ("appp=x", "appp"), ("min_level=loud", "one of trace"), ("q=needle&foo=bar", "foo"),
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


def test_the_address_is_the_view(viewer: Viewer, open_viewer: Callable[[str], Viewer]) -> None:
    """An address shows the same lines in another tab, and "back" returns to the view before."""
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


def entries_of_history(viewer: Viewer) -> int:
    """Return the number of entries in the browser's history."""
    return int(viewer.page.evaluate("history.length"))


def test_an_address_in_another_form_does_not_trap_back(viewer: Viewer) -> None:
    """Loading an address and going back to it make no entry, whatever the form of the address."""
    viewer.publish("one")
    page = viewer.page
    page.goto(f"{viewer.url}/static/icon.svg")
    first = entries_of_history(viewer)
    page.goto(f"{viewer.url}/?level=info,error&app={viewer.app},zoo&tail=5&show=all")
    expect(viewer.rows).to_have_count(1)
    assert entries_of_history(viewer) == first + 1
    expect(page).to_have_url(re.compile("level=info%2Cerror"))
    viewer.search(f"app:{viewer.app} one")
    expect(page).to_have_url(re.compile("q=one"))
    assert entries_of_history(viewer) == first + 2
    page.go_back()
    expect(page.locator("#query")).to_have_value(f"app:{viewer.app},zoo level:info,error")
    page.go_forward()
    expect(page.locator("#query")).to_have_value(f"app:{viewer.app} one")
    page.go_back()
    page.go_back()
    expect(page).to_have_url(re.compile(r"icon\.svg"))


def test_equal_queries_are_one_entry_of_the_history(viewer: Viewer) -> None:
    """A query in another order or form is neither a new entry nor a new request."""
    viewer.publish("b a")
    viewer.open(",zoo&q=a&q=b")
    expect(viewer.rows).to_have_count(1)
    first, asked = entries_of_history(viewer), len(viewer.requests)
    for text in (f"b a app:zoo,{viewer.app}", f"app:zoo app={viewer.app} b a b", "min_level:"):
        viewer.search(text if "app" in text else f"{text} a b app:zoo,{viewer.app}")
        expect(viewer.page.locator("#query-error")).to_be_hidden()
    assert entries_of_history(viewer) == first
    assert len(viewer.requests) == asked
    viewer.search(f"app:{viewer.app} a")
    eventually(lambda: len(viewer.requests) == asked + 1, "the next request")
    assert entries_of_history(viewer) == first + 1


def test_a_refused_query_is_no_entry_of_the_history(viewer: Viewer) -> None:
    """After the service has refused a query, "back" leads to the view before the present one."""
    viewer.publish("one")
    viewer.page.goto(f"{viewer.url}/static/icon.svg")
    viewer.open()
    address = viewer.page.url
    viewer.search(f"app:{viewer.app} /[/")
    expect(viewer.page.locator("#query-error")).to_contain_text("regular expression")
    expect(viewer.page).to_have_url(address)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} /[/")
    viewer.page.go_back()
    expect(viewer.page).to_have_url(re.compile(r"icon\.svg"))


def test_values_are_excluded_and_machines_are_named_by_their_beginning(viewer: Viewer) -> None:
    """The service applies exclusions, beginnings of ids and alternatives that are typed."""
    viewer.publish("red fox", "blue dog", region="iad", machine="668f12345678")
    viewer.publish("green | cat", region="ams", machine="7712345678ab", level="error")
    viewer.open()
    expect(viewer.rows).to_have_count(3)
    app = f"app:{viewer.app} "
    for text, found in (
        ("-region:iad", ["green | cat"]),
        ("region!=ams", ["red fox", "blue dog"]),
        ("-level:error,warn", ["red fox", "blue dog"]),
        ("machine:668f…", ["red fox", "blue dog"]),
        ("-machine:668f*", ["green | cat"]),
        ("red|cat", ["red fox", "green | cat"]),
        ("-red|cat", ["blue dog"]),
        ('"green | cat"', ["green | cat"]),
        ('"red|cat"', []),
    ):
        viewer.search(app + text)
        eventually(partial(viewer.shows, found), f"what {text} finds")
    viewer.search(app + "red|cat")
    expect(viewer.page.locator("#rows mark")).to_have_text(["red", "cat"])
    viewer.page.reload()
    expect(viewer.page.locator("#query")).to_have_value(f"{app}red|cat")


def test_words_of_other_products_have_a_hint(viewer: Viewer) -> None:
    """A hint below the field says what to type here, and the word is searched all the same."""
    viewer.publish("this OR that", "this")
    viewer.open()
    expect(viewer.rows).to_have_count(2)
    hint = viewer.page.locator("#query-hint")
    expect(hint).to_be_hidden()
    viewer.search(f"app:{viewer.app} this OR that")
    expect(hint).to_contain_text("type this|that")
    expect(viewer.rows).to_have_count(1)
    expect(viewer.page.locator("#query-error")).to_be_hidden()
    viewer.search(f"app!={viewer.app}")
    expect(hint).to_contain_text(f"read as -app:{viewer.app}")
    viewer.search(f"app:{viewer.app} this|that")
    expect(hint).to_be_hidden()
    expect(viewer.rows).to_have_count(2)


def test_a_query_with_an_end_ends(viewer: Viewer) -> None:
    """With `until`, the page shows the lines until that time, and then says that it has ended."""
    viewer.publish("early")
    viewer.open()
    expect(viewer.rows).to_have_count(1)
    viewer.page.wait_for_timeout(100)
    until = viewer.page.evaluate("new Date().toISOString()")
    viewer.page.wait_for_timeout(100)
    viewer.publish("late")
    expect(viewer.rows).to_have_count(2)
    viewer.search(f"app:{viewer.app} until:{until}")
    expect(viewer.state).to_have_text("Ended")
    assert viewer.messages() == ["early"]
    asked = len(viewer.requests)
    viewer.page.wait_for_timeout(4_000)  # a stream that was cut is asked for again after 1 to 3 s
    assert len(viewer.requests) == asked
    viewer.search(f"app:{viewer.app}")
    expect(viewer.rows).to_have_count(2)
    expect(viewer.state).to_have_text("Live")


def test_a_time_can_be_gone_to(viewer: Viewer) -> None:
    """`at:` opens the list at a time, with the lines before and after it, and "back" returns."""
    viewer.publish("before it")
    viewer.open()
    expect(viewer.rows).to_have_count(1)
    viewer.page.wait_for_timeout(1_100)
    moment = viewer.page.evaluate("new Date().toTimeString().slice(0, 8)")
    viewer.page.wait_for_timeout(50)
    viewer.publish("then", "after it")
    expect(viewer.rows).to_have_count(3)
    viewer.search(f"app:{viewer.app} after at:{moment}")
    around = viewer.page.locator("#neighbours-rows .row")
    expect(around.filter(has_text="before it")).to_have_count(1)
    expect(viewer.page.locator("#neighbours-rows .chosen")).to_contain_text("after it")
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} after")
    viewer.page.go_back()
    expect(around).to_have_count(0)
    expect(viewer.rows).to_have_count(1)
    viewer.search(f"app:{viewer.app} at:noon")
    expect(viewer.page.locator("#query-error")).to_contain_text("at:noon is no time")


def test_recent_queries_are_suggested(viewer: Viewer) -> None:
    """The field suggests the queries that were typed before, each once, also after a reload."""
    viewer.open()
    for text in ("zebra one", "zebra two", "one zebra"):
        viewer.search(f"app:{viewer.app} {text}")
    viewer.page.reload()
    viewer.page.locator("#query").fill("")
    viewer.page.press("#query", "ArrowDown")
    options = viewer.page.locator("#suggestions [role=option] span:first-child")
    expect(options).to_have_text([f"app:{viewer.app} one zebra", f"app:{viewer.app} zebra two"])
    viewer.page.press("#query", "ArrowDown")
    viewer.page.press("#query", "ArrowDown")
    viewer.page.press("#query", "Enter")
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} zebra two")
    viewer.page.press("#query", "Enter")
    expect(viewer.page).to_have_url(re.compile("q=zebra&q=two"))


def test_a_line_can_be_linked_to(viewer: Viewer, open_viewer: Callable[[str], Viewer]) -> None:
    """The link to a line opens among its neighbours, also if newer lines have come since."""
    viewer.publish("a line that the filter leaves out")
    viewer.open("&q=this")
    viewer.publish("before this", "this one")
    viewer.row("this one").click()
    viewer.drawer.get_by_role("button", name="Copy link").click()
    link = eventually(lambda: viewer.page.evaluate("navigator.clipboard.readText()"), "the link")
    viewer.publish(*(f"after {number}" for number in range(300)))
    other = open_viewer(viewer.url)
    other.page.goto(link)
    expect(other.page.locator(".chosen")).to_contain_text("this one")
    expect(other.drawer).to_contain_text("this one")
    neighbours = other.page.locator("#neighbours-rows .row")
    expect(neighbours.filter(has_text="a line that the filter leaves out")).to_be_visible()
    other.page.click("#neighbours-later")
    other.page.keyboard.press("G")
    expect(neighbours.filter(has_text="after 249")).to_be_visible()
    other.page.click("#neighbours-back")
    expect(other.rows).to_have_count(2)


def test_a_link_to_a_forgotten_line_says_so(viewer: Viewer) -> None:
    """The page says that a linked line is gone, at the first live line or after a silence."""
    viewer.publish("still there")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    link = f"&since={since}#line={int(time.time() * 1000)}-anotherprocess-7"
    hint = viewer.page.locator("#hint")
    viewer.open(link)
    expect(hint).to_have_text("That line is no longer remembered")
    expect(viewer.row("still there")).to_be_visible()
    lost = viewer.page.locator("#lost")
    expect(lost).to_contain_text("The service no longer has that line")
    lost.get_by_role("button", name="Close the message").click()
    expect(lost).to_be_hidden()
    viewer.page.goto("about:blank")
    viewer.open(link.replace("line", "context"))
    viewer.press("g")
    lost.get_by_role("button", name="Live lines").click()
    expect(lost).to_be_hidden()
    assert viewer.is_at_end()
    viewer.page.clock.install()
    viewer.page.clock.pause_at(time.time() + 3_600)  # no silence is long enough
    viewer.page.goto("about:blank")
    viewer.open(link)
    expect(viewer.row("still there")).to_be_visible()
    expect(hint).to_have_text("")
    viewer.publish("live")
    expect(hint).to_have_text("That line is no longer remembered")
