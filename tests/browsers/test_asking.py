"""The words of the search, links to lines and the tab's title, in each browser."""

from __future__ import annotations

from tests.support.browser_log import ROW, LogPage


def test_the_search_excludes_and_offers_alternatives(log: LogPage) -> None:
    """The search knows `a|b`, exclusions of values, and the beginnings of names of machines."""
    red = f"red fox {log.app}"  # Lines of other browsers may be in the same service.
    log.publish(red, "blue dog")
    log.publish("green cat", level="error")
    log.open()
    for text, found in (
        ("red|cat", [red, "green cat"]),
        ("-level:error", [red, "blue dog"]),
        ("machine:0e28…", [red, "blue dog", "green cat"]),
        ("-red|cat", ["blue dog"]),
        ("-region:iad", []),
        (f'-app:{log.app} "{red}"', []),
    ):
        log.search(text if "-app" in text else f"app:{log.app} {text}")
        log.wait_for_messages(found)
    log.search(f"app:{log.app} red OR blue")
    log.tab.wait_for_element("#query-hint", "type red|blue")


def test_a_query_with_an_end_ends(log: LogPage) -> None:
    """With `until` the page shows the lines before that time, and says that it has ended."""
    log.publish("early")
    log.open()
    log.wait_for_messages(["early"])
    now = "() => new Promise((done) => setTimeout(() => done(new Date().toISOString()), 100))"
    until = log.tab.call(now)
    log.tab.call(now)  # so that the next line is later
    log.publish("late")
    log.wait_for_messages(["early", "late"])
    log.search(f"app:{log.app} until:{until}")
    log.wait_for_state("Ended")
    log.wait_for_messages(["early"])


def test_hiding_lines_keeps_other_codes(log: LogPage) -> None:
    """*Hide lines like this* hides lines with other numbers, but not with another status code."""
    log.publish("GET /pay 200 in 12ms", "GET /pay 500 in 9ms", "GET /pay 200 in 7ms")
    log.publish("costs\u00a05\u00a0EUR for 3ms", "costs\u00a05\u00a0EUR for 8ms")
    log.open()
    log.wait_for_row("for 8ms")
    for text in ("GET /pay 200 in 12ms", "for 3ms"):
        log.tab.click(f"{ROW} .m", text)
        log.tab.click("#details button", "Hide lines like this")
        log.tab.wait_until_gone(ROW, text)
    log.wait_for_messages(["GET /pay 500 in 9ms"])


def test_a_link_opens_the_line_with_its_neighbours(log: LogPage) -> None:
    """The link to a line shows it among lines that the filter leaves out, and leads back."""
    log.publish("left out", "this one")
    log.publish(*(f"after {number:03}" for number in range(300)))
    log.open("&q=this")
    log.wait_for_row("this one")
    log.tab.click(f"{ROW} .m", "this one")
    log.tab.click("#details button", "Copy link")
    link = log.tab.pasted()
    other = log.tab.open_beside()
    other.open(link)
    other.wait_for_element("#neighbours .chosen", "this one")
    other.wait_for_element("#neighbours-rows .row", "left out")
    other.wait_for_element("#details", "this one")
    other.click("#neighbours-back")
    other.wait_for_element(ROW, "this one")


def test_the_title_shows_the_state(log: LogPage) -> None:
    """The tab's title says whether the page is live or paused, and for which query."""
    log.open()
    log.wait_for_title(f"● Live · app:{log.app}")
    log.tab.press(" ")
    log.wait_for_title("⏸ Paused")
    log.tab.press(" ")
    log.search(f"app:{log.app} tea")
    log.wait_for_title(f"● Live · app:{log.app} tea")
