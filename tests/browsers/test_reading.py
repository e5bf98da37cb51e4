"""What a reader does with lines, in each browser."""

from __future__ import annotations

from tests.support.browser_log import ROW, LogPage


def test_new_lines_appear_at_the_end(log: LogPage) -> None:
    """The list shows the newest lines with their columns and colours, and follows them."""
    log.publish(*(f"line {number}" for number in range(200)))
    log.open()
    log.wait_for_row("line 199")
    assert log.is_at_end()
    log.publish("\x1b[31mred\x1b[0m now", level="warn")
    log.wait_for_row("red now")
    assert log.is_at_end()
    row = log.tab.call(
        "() => { const row = [...document.querySelectorAll('#rows .row')].at(-1);"
        " const [red] = row.querySelectorAll('.fg1');"
        " return [...['.l', '.r'].map((cell) => row.querySelector(cell).innerText),"
        " getComputedStyle(red).color === getComputedStyle(row).color]; }"
    )
    assert row == ["WARN", "iad", False]


def test_the_wheel_leaves_the_end_and_a_button_returns(log: LogPage) -> None:
    """The list stands still once the reader has scrolled up, and a button returns to the end."""
    log.publish(*(f"line {number}" for number in range(300)))
    log.open()
    log.wait_for_row("line 299")
    log.tab.wheel("#lines", -2000)
    log.tab.wait_until_gone(ROW, "line 299")
    log.tab.wait_for_element("#newest")
    log.publish("the newest")
    log.tab.wait_for_element("#newest", "1 new line")
    assert "the newest" not in log.messages()
    log.tab.click("#newest")
    log.wait_for_row("the newest")
    assert log.is_at_end()


def test_a_filter_is_kept_by_the_address(log: LogPage) -> None:
    """A query shows its matches, stands in the address, and holds when the page is loaded anew."""
    log.publish("red one", "blue two", "red three")
    log.publish("red and broken", level="error")
    log.open()
    log.search(f"app:{log.app} red level>=warn")
    log.wait_for_messages(["red and broken"])
    assert log.tab.texts("#rows mark") == ["red"]
    assert "q=red" in log.tab.call("() => location.search")
    log.tab.reload()
    log.wait_for_messages(["red and broken"])
    assert log.tab.value("#query") == f"app:{log.app} level>=warn red"


def test_back_returns_to_the_query_before(log: LogPage) -> None:
    """The browser's button for going back returns to the query before, and its lines."""
    log.publish("red one", "blue two")
    log.open()
    log.wait_for_messages(["red one", "blue two"])
    log.search(f"app:{log.app} red")
    log.wait_for_messages(["red one"])
    log.tab.reload()  # because queries that follow each other quickly are one step
    log.wait_for_messages(["red one"])
    log.search(f"app:{log.app} blue")
    log.wait_for_messages(["blue two"])
    log.tab.back()
    log.wait_for_messages(["red one"])
    assert log.tab.value("#query") == f"app:{log.app} red"
    log.tab.back()
    log.wait_for_messages(["red one", "blue two"])


def test_selected_lines_are_copied(log: LogPage) -> None:
    """A drag over several rows copies them as lines, and one within a message copies its text."""
    log.publish("one \x1b[31mred\x1b[0m", '{"two": 2}', "three", at=1_709_210_096.007, level="warn")
    log.open()
    log.wait_for_row("three")
    log.tab.drag((f"{ROW} .l", ""), (f"{ROW} .m", "three"))
    log.tab.press("Control+c")
    copied = log.tab.pasted().splitlines()
    assert [row.partition(" [warn] ")[2] for row in copied] == ["one red", '{"two": 2}', "three"]
    assert all(log.app in row for row in copied)
    log.tab.drag((f"{ROW} .m", "three"), (f"{ROW} .m", "three"))
    log.tab.press("Control+c")
    assert log.tab.pasted() == "three"


def test_a_click_opens_the_details(log: LogPage) -> None:
    """A click on a line opens its details, a button there copies the message, and Escape closes."""
    log.publish("first", "the \x1b[1mone\x1b[0m", level="error")
    log.open()
    log.wait_for_row("the one")
    log.tab.click(ROW, "the one")
    for text in ("error", "stdout", "nats", "iad", "the one"):
        log.tab.wait_for_element("#details", text)
    log.tab.click("#details button", "Copy message")
    log.tab.wait_for_element("#hint", "Message copied")
    assert log.tab.pasted() == "the one"
    log.tab.press("Escape")
    log.tab.wait_until_gone("#details")


def test_n_goes_from_match_to_match(log: LogPage) -> None:
    """The keys `N` and `n` go to the match before and after, and say when none is left."""
    log.publish(*(f"line {number}" + " needle" * (number % 40 == 7) for number in range(200)))
    log.open("&q=needle&show=all")
    log.wait_for_row("line 199")
    for key, number in (("N", 167), ("N", 127), ("n", 167)):
        log.tab.press(key)
        log.tab.wait_for_element(f"{ROW}.chosen", f"line {number} needle")
    assert "needle" in log.tab.texts("#rows .chosen mark")
    log.tab.press("n")
    log.tab.wait_for_element("#hint", "No later match")


def test_pause_holds_and_goes_on_without_loss(log: LogPage) -> None:
    """Paused with the space bar, the list stands still, and then shows every line that waited."""
    log.publish("before")
    log.open()
    log.wait_for_row("before")
    log.tab.press(" ")
    log.wait_for_state("Paused")
    held = [f"held {number}" for number in range(15)]
    log.publish(*held)
    log.tab.wait_for_element("#newest", "15 new lines")
    assert log.messages() == ["before"]
    log.tab.press(" ")
    log.wait_for_messages(["before", *held])
    log.wait_for_state("Live")
