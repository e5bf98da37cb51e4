"""What stays as it is while one reads, in each browser."""

from __future__ import annotations

import attrs
from tests.support.browser_log import ROW, LogPage

NEAR = 2.0
"""Pixels by which a position may differ, because a browser rounds them."""
STORY = [
    f"{'[WARN] ' * (number % 5 == 0)}n{number:03} {'needle' * (number % 3 == 0)}"
    for number in range(600)
]


def y_of(log: LogPage, text: str) -> float:
    """Return where a line stands, once it has come to rest."""
    return log.tab.box(f"{ROW} .m", text)["y"]


def test_new_queries_keep_the_line(log: LogPage) -> None:
    """The chosen line stays where it is, whatever the query is that still shows it."""
    log.publish(*STORY)
    log.open("&q=needle&show=all")
    log.wait_for_row("n599")
    log.tab.press("g")
    log.tab.wheel("#lines", 2_200)
    log.tab.click(f"{ROW} .m", "n120")
    log.tab.wait_for_element("#details", "n120")
    before = y_of(log, "n120")
    for button, held in (("#context", "200 lines"), (".chip.level-warn", "40 lines")):
        log.tab.click(button)
        log.tab.wait_for_element("#held", held)
        assert abs(y_of(log, "n120") - before) <= NEAR
    log.search(f"app:{log.app}")
    log.tab.wait_for_element("#held", "600 lines")
    assert abs(y_of(log, "n120") - before) <= NEAR
    log.publish("the newest")
    log.tab.wait_for_element("#held", "601 lines")
    assert abs(y_of(log, "n120") - before) <= NEAR
    log.tab.wait_for_element(f"{ROW}.chosen", "n120")


def test_load_earlier_keeps_the_line(log: LogPage) -> None:
    """The page says that it lacks lines of the time that was asked for, and loads them above."""
    log.publish(*(f"line {number:05}" for number in range(11_000)))
    log.open("&since=30m")
    log.tab.wait_for_element("#held", "10,000 lines")
    log.tab.press("g")
    log.tab.wait_for_element("#before", "are not loaded")
    before = y_of(log, "line 01003")
    log.tab.click("#earlier")
    log.tab.wait_for_element("#held", "11,000 lines")
    assert abs(y_of(log, "line 01003") - before) <= NEAR


def test_a_pause_and_a_clearing_hold(log: LogPage) -> None:
    """A filter neither ends a pause nor brings lines back that were cleared."""
    log.publish("needle one", "hay one")
    log.open()
    log.wait_for_row("hay one")
    log.tab.click("#pause")
    log.wait_for_state("Paused")
    log.publish("needle two", "hay two")
    log.tab.wait_for_element("#newest", "2 new lines")
    log.search(f"app:{log.app} needle")
    log.wait_for_messages(["needle one"])
    log.tab.wait_for_element("#newest", "1 new line")
    log.wait_for_state("Paused")
    log.tab.click("#pause")
    log.wait_for_messages(["needle one", "needle two"])
    log.tab.click("#clear")
    log.wait_for_messages([])
    log.search(f"app:{log.app}")
    log.tab.wait_for_element("#empty", "The list was cleared")
    log.publish("hay three")
    log.wait_for_messages(["hay three"])


def test_columns_stay_while_one_reads(log: LogPage) -> None:
    """A longer name moves no column until the reader follows the newest lines again."""
    web, other = attrs.evolve(log, app="web"), attrs.evolve(log, app="a-longer-name")
    web.publish(*(f"line {number:02} {log.app}" for number in range(60)))
    log.tab.open(f"{log.url}/?q={log.app}")
    log.wait_for_row("line 59")
    log.tab.click(f"{ROW} .m", "line 55")
    log.tab.wait_for_element("#details", "line 55")
    log.tab.press("Escape")
    log.tab.wait_until_gone("#details")
    before = log.tab.box(f"{ROW} .m", "line 55")["left"]
    other.publish(f"news {log.app}")
    log.tab.wait_for_element("#newest", "1 new line")
    log.tab.press("ArrowDown")
    log.tab.wait_for_element(f"{ROW}.chosen", "line 56")
    assert log.tab.box(f"{ROW} .m", "line 55")["left"] == before
    log.tab.press("G")
    log.tab.wait_for_element(f"{ROW} .a", "a-longer-name")
    assert log.tab.box(f"{ROW} .m", "line 55")["left"] > before
