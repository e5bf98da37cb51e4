"""The tab's title: the state of the connection, and what has come while the tab was hidden."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect
from tests.support.browser import PageService, Stage, open_wire
from tests.support.viewer import HIDING, Viewer


def test_the_title_shows_the_state(
    open_viewer: Callable[[str], Viewer], stage: Stage, service: PageService
) -> None:
    """The title says whether the tab is live, paused or cut off, and for which query."""
    with open_wire(stage, service.port) as wire:
        viewer = open_viewer(f"http://127.0.0.1:{wire.port}").open()
        expect(viewer.page).to_have_title(f"● Live · app:{viewer.app} · natstream")
        viewer.press(" ")
        expect(viewer.page).to_have_title(re.compile("^⏸ Paused · app:"))
        viewer.press(" ")
        viewer.search(f"app:{viewer.app} tea")
        expect(viewer.page).to_have_title(f"● Live · app:{viewer.app} tea · natstream")
        stage.run(wire.cut)
        expect(viewer.page).to_have_title(re.compile("^✕ Lost · app:"))
        stage.run(wire.mend)
        expect(viewer.page).to_have_title(re.compile("^● Live"))


def test_the_title_counts_what_a_hidden_tab_has_got(viewer: Viewer) -> None:
    """The title counts new lines, or new errors, until the tab is shown."""
    viewer.page.add_init_script(HIDING)
    viewer.open()
    viewer.publish("seen", level="error")
    expect(viewer.row("seen")).to_be_visible()
    expect(viewer.page).to_have_title(re.compile("^● Live"))
    viewer.page.evaluate("look(true)")
    viewer.publish("not seen 1", "not seen 2")
    expect(viewer.page).to_have_title(re.compile(r"^\(2 lines\) ● Live"))
    viewer.publish("wrong", level="error")
    expect(viewer.page).to_have_title(re.compile(r"^\(1 error\) ● Live"))
    viewer.page.evaluate("look(false)")
    expect(viewer.page).to_have_title(re.compile("^● Live"))
