"""The connection to the service: cut, resumed, refused and released."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

from playwright.sync_api import BrowserContext, expect
from tests.support.browser import PageService, Stage, eventually, open_page_service, open_wire
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import HIDING, Viewer


def test_a_killed_service_loses_and_doubles_nothing(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """When the service is killed and restarted, the page shows each line that it received once."""
    with open_page_service(nats) as service:
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
        expect(viewer.message("c")).to_be_visible()
        messages = [event["message"] for event in viewer.lines()]
        expected = [f"{part}{number}" for part in "ab" for number in range(500)]
        assert messages == [*expected, "c"]
        text = viewer.download("[data-download=text]")
        assert re.search(r"# Reconnected after .*: \d+ lines replayed", text)
        assert "# Lines may be missing here" in text


def test_a_cut_network_is_resumed_from(
    open_viewer: Callable[[str], Viewer], stage: Stage, service: PageService
) -> None:
    """After a cut the page resumes from its last event id and says how many lines were replayed."""
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
    open_viewer: Callable[[str], Viewer], stage: Stage, service: PageService
) -> None:
    """When the browser is online again, the page connects without waiting for its next try."""
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
    """A gap stands where lines are missing that the service no longer has."""
    with (
        open_page_service(nats, NATSTREAM_BACKLOG_LINES="100") as service,
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
    """The page connects anew if no keep-alive arrives for two and a half of its intervals."""
    with (
        open_page_service(nats, NATSTREAM_KEEPALIVE="0.5") as service,
        open_wire(stage, service.port) as wire,
    ):
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}").open()
        stage.run(wire.fall_silent)
        expect(viewer.state).to_contain_text("Disconnected")
        stage.run(wire.cut)
        stage.run(wire.mend)
        expect(viewer.state).to_have_text("Live")


def test_an_outage_of_the_journal_is_shown_and_costs_no_line(
    open_viewer: Callable[[str], Viewer], stage: Stage, nats: MistreatedServer
) -> None:
    """The page shows an outage of the journal, and shows lines that are stored late only once."""
    with (
        stage.have(JournalServer.run()) as journal,
        open_page_service(nats, **journal.environ) as service,
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


def test_a_hidden_page_gives_its_connection_back(
    viewer: Viewer, context: BrowserContext, service: PageService
) -> None:
    """A tab has one connection, and none after ten seconds in the background."""
    viewer.page.add_init_script(HIDING)
    viewer.page.clock.install()
    viewer.open()
    viewer.publish("before")
    expect(viewer.row("before")).to_be_visible()
    for text in ("a", "b", ""):
        viewer.search(f"app:{viewer.app} {text}")
        expect(viewer.state).to_have_text("Live")
    eventually(lambda: service.status()["readers"] == 1, "one reader")
    viewer.page.evaluate("look(true)")
    viewer.page.clock.fast_forward("00:11")
    eventually(lambda: service.status()["readers"] == 0, "no reader")
    viewer.publish("meanwhile")
    viewer.page.evaluate("look(false)")
    expect(viewer.row("meanwhile")).to_be_visible()
    expect(viewer.notes).to_contain_text("the page was hidden")
    expect(viewer.notes).to_contain_text("1 line replayed")


def test_a_full_service_is_waited_for(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """The page says that the service has too many readers, and connects when there is room."""
    with open_page_service(nats, NATSTREAM_MAX_READERS="1") as service:
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
    """A form asks for the token, says that a token is wrong, and opens the logs for a right one."""
    with open_page_service(nats, NATSTREAM_TOKEN="open-sesame") as service:
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
