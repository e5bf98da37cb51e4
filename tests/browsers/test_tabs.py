"""Several tabs of one browser, in each browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.browser import eventually, open_page_service
from tests.support.browser_log import LogPage
from tests.support.mistreated import MistreatedServer


def test_tabs_with_equal_queries_share_one_stream(
    open_log: Callable[[str], LogPage], nats: MistreatedServer
) -> None:
    """Tabs with equal queries use one connection, and it outlives the tab that has opened it."""
    with open_page_service(nats) as service:
        first = open_log(service.url).open("&q=o&level=info")
        others = [first.open_beside("&level=info&q=o") for _ in range(2)]
        first.publish("one o", "two o")
        for log in (first, *others):
            log.wait_for_messages(["one o", "two o"])
        assert service.status()["readers"] == 1
        for log in others:
            # Without pings, only its lock tells that a worker is dead.
            log.tab.call("() => { for (let n = 0; n < 1_000; n++) clearInterval(n); }")
        # In WebKit, the worker may die with the tab that has started it.
        first.tab.load("about:blank")
        first.publish("three o")
        others[-1].wait_for_messages(["one o", "two o", "three o"])
        eventually(lambda: service.status()["readers"] == 1, "one reader")


def test_seven_tabs_load(open_log: Callable[[str], LogPage], nats: MistreatedServer) -> None:
    """Seven tabs with seven queries load, at most four have a stream, and the others say so."""
    with open_page_service(nats) as service:
        first = open_log(service.url).open("&q=n0")
        tabs = [first, *(first.open_beside(f"&q=n{n}", live=False) for n in range(1, 7))]
        for log in tabs:
            # A hidden tab may have given its stream up meanwhile.
            log.tab.wait_for(
                "a state",
                "() => ['Live', 'Waiting for a stream', 'New lines wait in the service']"
                ".includes(document.getElementById('state-text').innerText)",
            )
        assert service.status()["readers"] <= 4
        for log in tabs[:3]:
            log.tab.load("about:blank")
        tabs[-1].wait_for_state("Live")
        first.publish("n6 arrives")
        tabs[-1].wait_for_row("n6 arrives")


@pytest.mark.needs("hidden tabs")
def test_a_hidden_tab_gives_its_stream_up(
    open_log: Callable[[str], LogPage], nats: MistreatedServer
) -> None:
    """A tab that is hidden for ten seconds has no stream, and misses nothing when it is shown."""
    with open_page_service(nats) as service:
        log = open_log(service.url).open()
        log.publish("before")
        log.wait_for_row("before")
        other = log.tab.open_beside()
        eventually(lambda: service.status()["readers"] == 0, "no reader")
        log.publish("meanwhile 1", "meanwhile 2")
        other.close()
        log.wait_for_messages(["before", "meanwhile 1", "meanwhile 2"])
        log.wait_for_state("Live")
