"""Keys, the focus and the way back, in each browser."""

from __future__ import annotations

from tests.support.browser_log import ROW, LogPage

TRACE = (
    "Traceback (most recent call last):",
    '  File "/app/views.py", line 88, in checkout',
    "    raise CurrencyError(other)",
    "shop.CurrencyError: no EUR",
)


def test_space_after_a_click_on_a_chip_pauses(log: LogPage) -> None:
    """After a click on a chip, the space bar pauses and leaves the chip pressed."""
    log.publish("one")
    log.open()
    log.wait_for_row("one")
    log.tab.click("[data-chip='level:info']")
    log.tab.wait_for_element("[data-chip='level:info'][aria-pressed=true]")
    log.wait_for_state("Live")
    log.tab.press(" ")
    log.wait_for_state("Paused")
    log.tab.wait_for_element("[data-chip='level:info'][aria-pressed=true]")


def test_escape_closes_the_topmost_first(log: LogPage) -> None:
    """Escape closes a small window, then the details, and then ends the choice of the line."""
    log.publish("one", "two")
    log.open()
    log.wait_for_row("two")
    log.tab.click(f"{ROW} .m", "two")
    log.tab.wait_for_element("#details", "two")
    for button, window in (
        ("#view-button", "#view"), ("#download-button", "#download"), ("#state", "#status"),
        ("#help-button", "#help"),
    ):  # fmt: skip
        log.tab.click(button)
        log.tab.wait_for_element(window)
        log.tab.press("Escape")
        log.tab.wait_until_gone(window)
        log.tab.wait_for_element("#details", "two")
    log.tab.press("Escape")
    log.tab.wait_until_gone("#details")
    log.tab.wait_for_element(f"{ROW}.chosen")
    log.tab.press("Escape")
    log.tab.wait_until_gone(f"{ROW}.chosen")


def test_back_leaves_an_address_with_commas(log: LogPage) -> None:
    """Loading an address with commas, and going back to it, does not trap the way back."""
    log.publish("one")
    log.tab.load(f"{log.url}/static/icon.svg")
    log.tab.open(f"{log.url}/?level=info,error&app={log.app},zoo&tail=5&show=all")
    log.wait_for_row("one")
    entries = log.tab.call("() => history.length")
    log.search(f"app:{log.app} one")
    log.tab.wait_for("the query's address", "() => location.search.includes('q=one')")
    assert log.tab.call("() => history.length") == entries + 1
    log.tab.back()
    wanted = f"app:{log.app},zoo level:info,error"
    log.tab.wait_for(
        "the query before", "(text) => document.querySelector('#query')?.value === text", wanted
    )
    log.tab.back()
    log.tab.wait_for("the page before", "() => location.pathname.endsWith('icon.svg')")


def test_n_finds_a_match_beyond_what_is_shown(log: LogPage) -> None:
    """The key `n` goes to matches past the 10,000th character and in a folded part."""
    log.publish("first " + "long words " * 1_500 + "a needle far away")
    log.publish("second\n" + "frame\n" * 40 + "a needle below\n" + "frame\n" * 40)
    log.publish(*(f"hay {number}" for number in range(200)))
    log.open("&q=needle&show=all")
    log.wait_for_row("hay 199")
    log.tab.press("g")
    for start in ("first", "second"):
        log.tab.press("n")
        log.tab.wait_for_element(f"{ROW}.chosen", start)
        log.tab.wait_for_element(f"{ROW}.chosen mark", "needle")
    log.tab.press("Enter")
    log.tab.wait_for_element("#details .message mark", "needle")
    log.tab.press("n")
    log.tab.wait_for_element("#hint", "No later match")


def test_a_folded_trace_shows_its_last_line(log: LogPage) -> None:
    """A folded trace of Python shows the line that says what happened, and unfolds by a click."""
    log.publish("ERROR checkout failed", *TRACE)
    log.open()
    log.wait_for_row("shop.CurrencyError: no EUR")
    assert len(log.messages()) == 1
    log.tab.click(".more-lines")
    log.tab.wait_for_element(f"{ROW} .m", TRACE[1].strip())
    assert log.messages()[-1] == TRACE[-1]
