"""The connection to the service, in each browser."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.browser import open_page_service
from tests.support.browser_log import LogPage
from tests.support.mistreated import MistreatedServer


def test_a_restart_loses_and_doubles_nothing(
    open_log: Callable[[str], LogPage], nats: MistreatedServer
) -> None:
    """When the service is killed and started again, the page resumes and shows each line once."""
    with open_page_service(nats) as service:
        log = open_log(service.url).open()
        before = [f"a{number}" for number in range(5)]
        log.publish(*before)
        log.wait_for_messages(before)
        service.kill()
        log.wait_for_state("Disconnected")
        service.start()
        after = [f"b{number}" for number in range(5)]
        log.publish(*after)
        log.wait_for_row("b4")
        log.wait_for_state("Live")
        log.publish("zz")
        log.wait_for_row("zz")
        assert [text for text in log.messages() if len(text) == 2] == [*before, *after, "zz"]


def test_a_token_is_asked_for(open_log: Callable[[str], LogPage], nats: MistreatedServer) -> None:
    """A form refuses a wrong token, and a right one opens the logs until the reader logs out."""
    with open_page_service(nats, NATSTREAM_TOKEN="open-sesame-open-sesame") as service:
        log = open_log(service.url).open(live=False)
        log.tab.wait_for_element("#login")
        log.publish("secret things")
        log.tab.fill("#token", "wrong")
        log.tab.press("Enter")
        log.tab.wait_for_element("#login-error", "does not know this token")
        log.tab.fill("#token", "open-sesame-open-sesame")
        log.tab.press("Enter")
        log.wait_for_row("secret things")
        log.tab.reload()
        log.wait_for_row("secret things")
        log.tab.click("#state")
        log.tab.click("#status button", "log out")
        log.tab.wait_for_element("#login")
        assert log.messages() == []
