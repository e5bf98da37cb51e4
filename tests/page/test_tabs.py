"""Several tabs of one browser: they share streams, wait for one, and give theirs up when hidden."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, expect
from tests.support.browser import (
    PageService,
    Stage,
    eventually,
    open_page_service,
    open_wire,
)
from tests.support.closed import TOKEN, grant_text
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import HIDING, Viewer


def messages(viewer: Viewer) -> list[str]:
    return [event["message"] for event in viewer.lines()]


@contextmanager
def own_service(nats: MistreatedServer, **more: str) -> Iterator[PageService]:
    """Run a service whose readers are only those of the test."""
    with open_page_service(nats, **more) as service:
        yield service


def test_tabs_with_equal_queries_share_one_stream(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """Tabs with equal queries use one connection, and each shows its lines once and in order."""
    with own_service(nats) as service:
        first = open_viewer(service.url)
        first.publish(*(f"old {number}" for number in range(300)))
        first.open("&stream=stdout,stderr&q=o")
        tabs = [first]
        for turn in range(3):
            first.publish(*(f"on the way {turn} {number}" for number in range(200)))
            tab = open_viewer(service.url)
            tab.app = first.app
            tab.page.goto(f"{service.url}/?q=o&stream=stderr&app={first.app}&stream=stdout")
            first.publish(*(f"on the way {turn} {number}" for number in range(200, 400)))
            tabs.append(tab)
        for tab in tabs:
            expect(tab.state).to_have_text("Live")
        first.publish("the last one")
        expected = [f"old {number}" for number in range(300)]
        expected += [f"on the way {turn} {number}" for turn in range(3) for number in range(400)]
        for tab in tabs:
            expect(tab.row("the last one")).to_be_visible()
            assert messages(tab) == [*expected, "the last one"]
        assert service.status()["readers"] == 1
        # The stream goes on when the tab that opened it is closed.
        first.page.goto("about:blank")
        tabs[1].publish("once more")
        for tab in tabs[1:]:
            expect(tab.row("once more")).to_be_visible()
            assert tab.notes.count() == 0
        assert service.status()["readers"] == 1


def test_a_seventh_tab_says_what_it_waits_for(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """Of seven tabs with seven queries four have a stream, and the others say what to do."""
    with own_service(nats) as service:
        tabs = [open_viewer(service.url).open(f"&q={n}", live=n < 4) for n in range(7)]
        for tab in tabs[4:]:
            expect(tab.state).to_have_text("Waiting for a stream")
            expect(tab.page.locator("#empty")).to_contain_text("Close one of these tabs")
        assert service.status()["readers"] == 4
        tabs[0].page.goto("about:blank")
        expect(tabs[4].state).to_have_text("Live")
        expect(tabs[5].state).to_have_text("Waiting for a stream")
        # A tab that has a stream keeps its place when its query changes.
        tabs[1].search(f"app:{tabs[1].app} other")
        expect(tabs[1].state).to_have_text("Live")
        # A tab needs no place for the query of another tab.
        tabs[5].search(f"app:{tabs[5].app} other")
        expect(tabs[5].state).to_have_text("Live")
        expect(tabs[6].state).to_have_text("Waiting for a stream")
        eventually(lambda: service.status()["readers"] == 4, "four readers")


def test_a_hidden_tab_gives_its_stream_up(
    viewer: Viewer, open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """A tab that is hidden for ten seconds has no stream, and misses nothing when it is shown."""
    with own_service(nats, NATSTREAM_BACKLOG_LINES="100") as service:
        viewer = open_viewer(service.url)

        def publish(*messages: str) -> None:
            """Publish lines, and wait until the service has read them."""
            before = service.status()["sources"]["nats"]["lines"]
            viewer.publish(*messages)
            eventually(
                lambda: service.status()["sources"]["nats"]["lines"] >= before + len(messages),
                "the lines are read",
            )

        viewer.page.add_init_script(HIDING)
        viewer.page.clock.install()
        viewer.open()
        viewer.publish("before")
        expect(viewer.row("before")).to_be_visible()
        viewer.page.evaluate("look(true)")
        viewer.page.clock.fast_forward(9_000)
        viewer.publish("soon after")
        expect(viewer.row("soon after")).to_have_count(1)
        assert service.status()["readers"] == 1
        viewer.page.clock.fast_forward(2_000)
        eventually(lambda: service.status()["readers"] == 0, "no reader")
        viewer.page.evaluate("look(false)")
        expect(viewer.state).to_have_text("Live")
        assert viewer.notes.count() == 0, "nothing was missed, so there is nothing to say"
        viewer.page.evaluate("look(true)")
        viewer.page.clock.fast_forward(11_000)
        eventually(lambda: service.status()["readers"] == 0, "no reader")
        publish("meanwhile 1", "meanwhile 2")
        viewer.page.evaluate("look(false)")
        expect(viewer.notes).to_contain_text("the page was hidden): 2 lines replayed")
        assert messages(viewer) == ["before", "soon after", "meanwhile 1", "meanwhile 2"]
        # The backlog has moved on.
        viewer.page.evaluate("look(true)")
        viewer.page.clock.fast_forward(11_000)
        eventually(lambda: service.status()["readers"] == 0, "no reader")
        publish(*(f"many {number}" for number in range(150)))
        viewer.page.evaluate("look(false)")
        expect(viewer.row("many 149")).to_be_visible()
        viewer.press("g")
        expect(viewer.page.locator(".note.gap")).to_contain_text("50 lines missed")
        assert messages(viewer)[4:] == [f"many {number}" for number in range(50, 150)]


def test_a_dead_worker_is_replaced(
    chromium: Browser, open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """If the worker with the streams dies, the tabs go on without a lost or a doubled line."""
    with own_service(nats) as service:
        tabs = [open_viewer(service.url).open() for _ in range(2)]
        for tab in tabs:
            tab.app = tabs[0].app
        tabs[1].open()
        tabs[0].publish("before")
        for tab in tabs:
            expect(tab.row("before")).to_be_visible()
        session = chromium.new_browser_cdp_session()
        workers = [
            target["targetId"]
            for target in session.send("Target.getTargets")["targetInfos"]
            if target["type"] == "shared_worker" and service.url in target["url"]
        ]
        assert len(workers) == 1
        session.send("Target.closeTarget", {"targetId": workers[0]})
        tabs[0].publish("meanwhile")
        for tab in tabs:
            expect(tab.row("meanwhile")).to_be_visible(timeout=40_000)
        tabs[0].publish("the end")
        for tab in tabs:
            expect(tab.row("the end")).to_be_visible()
            assert messages(tab) == ["before", "meanwhile", "the end"]
        eventually(lambda: service.status()["readers"] == 1, "one reader")


def test_a_frozen_tab_gets_its_lines_when_it_wakes(
    context: BrowserContext, open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """A frozen tab holds up no other tab with its query, and misses nothing when it wakes."""
    with own_service(nats) as service:
        frozen, other = open_viewer(service.url).open(), open_viewer(service.url)
        other.app = frozen.app
        other.open()
        session = context.new_cdp_session(frozen.page)
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        text = "x" * 5_000
        for part in range(25):
            frozen.publish(*(f"{part} {number} {text}" for number in range(200)))
        expect(other.row("24 199 ")).to_be_visible()
        session.send("Page.setWebLifecycleState", {"state": "active"})
        expect(frozen.row("24 199 ")).to_be_visible()
        numbers = [message.rpartition(" ")[0] for message in messages(frozen)]
        assert numbers == [f"{part} {number}" for part in range(25) for number in range(200)]


def test_different_logins_never_share(
    context: BrowserContext, open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """A tab with a link does not get the lines of a tab that was logged in with a token before."""
    with own_service(nats, NATSTREAM_TOKEN=TOKEN) as service:
        whole = open_viewer(service.url)
        whole.page.goto(service.url)
        whole.page.fill("#token", TOKEN)
        whole.page.press("#token", "Enter")
        expect(whole.state).to_have_text("Live")
        linked = open_viewer(service.url)
        linked.page.goto(
            f"{service.url}/link#{grant_text(('app', linked.app + '-b'), seconds=600)}"
        )
        expect(linked.state).to_have_text("Live")
        assert service.status()["readers"] == 2
        whole.publish("of the first app")
        expect(whole.row("of the first app")).to_be_visible()
        linked.app += "-b"
        linked.publish("of the second app")
        expect(linked.row("of the second app")).to_be_visible()
        assert messages(linked) == ["of the second app"]
        assert messages(whole) == ["of the first app", "of the second app"]
        third = open_viewer(service.url)
        third.page.goto(service.url)
        expect(third.row("of the second app")).to_be_visible()
        assert messages(third) == ["of the second app"]
        assert service.status()["readers"] == 2


def test_a_browser_without_shared_workers_has_streams(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """Without shared workers, and if the worker cannot run, each tab connects by itself."""
    for script in (
        "delete window.SharedWorker",
        "const Real = SharedWorker; window.SharedWorker = class extends Real {"
        " constructor(url, options) { super(String(url) + 'x', options); } }",
    ):
        viewer = open_viewer(service.url)
        viewer.page.add_init_script(script)
        viewer.open()
        viewer.publish("a line")
        expect(viewer.row("a line").first).to_be_visible()


def test_a_cut_network_is_resumed_from_by_all_tabs(
    open_viewer: Callable[[str], Viewer], stage: Stage, nats: MistreatedServer
) -> None:
    """After a cut each tab of a shared stream has each line once, and they share one again."""
    with own_service(nats) as service, open_wire(stage, service.port) as wire:
        tabs = [open_viewer(f"http://127.0.0.1:{wire.port}") for _ in range(3)]
        for tab in tabs:
            tab.app = tabs[0].app
            tab.open()
        tabs[0].publish("before")
        for tab in tabs:
            expect(tab.row("before")).to_be_visible()
        stage.run(wire.cut)
        for tab in tabs:
            expect(tab.state).to_contain_text("Disconnected")
        tabs[0].publish(*(f"meanwhile {number}" for number in range(40)))
        stage.run(wire.mend)
        for tab in tabs:
            expect(tab.row("meanwhile 39")).to_be_visible()
            expect(tab.notes).to_have_text(re.compile(r"Reconnected after .* 40 lines replayed"))
            assert messages(tab) == ["before", *(f"meanwhile {number}" for number in range(40))]
        eventually(lambda: service.status()["readers"] == 1, "one reader")
