"""The bell: the browser's notifications of new lines of the present query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect
from tests.support.browser import PageService, eventually
from tests.support.viewer import HIDING, Viewer

# A browser without a window shows no notifications, so the tests see those that the page makes. The
# pause of 30 s ends when a test says so.
STAND_IN = """
  window.shown = []; window.permissionRequests = 0; window.pauses = [];
  window.Notification = class {
    static permission = 'default';
    static answer = 'granted';
    static async requestPermission() {
      window.permissionRequests += 1;
      return (this.permission = this.answer);
    }
    constructor(title, options) { window.shown.push({ title, ...options, it: this }); }
    close() { this.isClosed = true; }
  };
  const later = window.setTimeout;
  window.setTimeout = (work, ms, ...more) =>
    (ms === 30000 ? window.pauses.push(work) : later(work, ms, ...more));
"""


def start(viewer: Viewer, more: str = "", query: str = "&q=panic") -> Viewer:
    viewer.page.add_init_script(STAND_IN + more)
    return viewer.open(query)


def shown(viewer: Viewer) -> list[dict[str, Any]]:
    found = viewer.page.evaluate("shown.map(({ title, body, tag }) => ({ title, body, tag }))")
    return [dict(one) for one in found]


def rings(viewer: Viewer, times: int) -> None:
    eventually(lambda: len(shown(viewer)) == times, f"{times} notifications")


def test_the_bell_rings_at_most_every_30_seconds(viewer: Viewer) -> None:
    """It rings at once for a match, not for other or earlier lines, and then says how many came."""
    viewer.publish("panic before the bell")
    start(viewer)
    expect(viewer.row("panic before")).to_be_visible()
    bell = viewer.page.locator("#bell")
    assert viewer.page.evaluate("permissionRequests") == 0
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    assert viewer.page.evaluate("permissionRequests") == 1
    viewer.publish("calm", "panic one")
    rings(viewer, 1)
    assert shown(viewer)[0]["body"] == f"{viewer.app}: panic one"
    assert shown(viewer)[0]["title"].startswith(f"1 line of app:{viewer.app} panic"[:40])
    viewer.publish("panic two", "panic three")
    expect(viewer.row("panic three")).to_be_visible()
    assert len(shown(viewer)) == 1
    viewer.page.evaluate("pauses.shift()()")
    rings(viewer, 2)
    assert shown(viewer)[1]["title"].startswith("2 lines")
    assert shown(viewer)[1]["body"].endswith("panic two")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "false")
    viewer.publish("panic four")
    expect(viewer.row("panic four")).to_be_visible()
    assert len(shown(viewer)) == 2


def test_a_click_on_the_notification_goes_to_the_line(viewer: Viewer) -> None:
    """A click focuses the tab and shows the line among its neighbours."""
    start(viewer, "window.focus = () => { window.focused = true; };")
    viewer.page.click("#bell")
    viewer.publish("calm", "panic here", "calm again")
    rings(viewer, 1)
    viewer.page.evaluate("shown[0].it.onclick()")
    expect(viewer.page.locator("#neighbours-rows .chosen")).to_contain_text("panic here")
    assert viewer.page.evaluate("window.focused && shown[0].it.isClosed")


def test_the_bell_belongs_to_its_query(viewer: Viewer) -> None:
    """The bell is off for another query and after a reload, and says so."""
    start(viewer)
    bell = viewer.page.locator("#bell")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    viewer.search(f"app:{viewer.app} other")
    expect(bell).to_have_attribute("aria-pressed", "false")
    expect(viewer.page.locator("#hint")).to_contain_text("the query before")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    viewer.page.reload()
    expect(bell).to_have_attribute("aria-pressed", "false")


def test_among_all_lines_the_bell_rings_for_matches(viewer: Viewer) -> None:
    """Where other lines are shown as well, the bell rings for those of the query only."""
    start(viewer, query="&q=panic&show=all")
    viewer.page.click("#bell")
    viewer.publish("calm")
    expect(viewer.row("calm")).to_be_visible()
    viewer.publish("panic now")
    rings(viewer, 1)
    assert shown(viewer)[0]["body"].endswith("panic now")


def test_a_browser_that_refuses_is_named(viewer: Viewer) -> None:
    """If notifications are denied, the bell stays off and says where they can be allowed."""
    start(viewer, "Notification.answer = 'denied';")
    viewer.page.click("#bell")
    expect(viewer.page.locator("#hint")).to_contain_text("does not allow notifications")
    expect(viewer.page.locator("#bell")).to_have_attribute("aria-pressed", "false")


def test_a_browser_without_notifications_has_no_bell(viewer: Viewer) -> None:
    """Where the browser has no notifications, or lets no page make them, there is no bell."""
    start(viewer, "delete window.Notification;")
    expect(viewer.page.locator("#bell")).to_be_hidden()


def test_a_browser_that_lets_no_page_notify_is_named(viewer: Viewer) -> None:
    """Where only service workers may notify, the bell goes away at the first line and says why."""
    start(
        viewer,
        "Notification = class { static permission = 'granted';"
        " constructor() { throw new TypeError('Illegal constructor'); } };",
    )
    viewer.page.click("#bell")
    viewer.publish("panic")
    expect(viewer.page.locator("#bell")).to_be_hidden()
    expect(viewer.page.locator("#hint")).to_contain_text("shows no notifications of a page")


def test_a_hidden_tab_with_a_bell_keeps_its_stream(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """A hidden tab gives its stream up after ten seconds, but not while it has a bell."""
    viewer = open_viewer(service.url)
    start(viewer, HIDING)
    viewer.page.click("#bell")
    viewer.page.evaluate("look(true)")
    viewer.page.wait_for_timeout(11_000)
    viewer.publish("panic while hidden")
    rings(viewer, 1)
    viewer.page.evaluate("look(false)")
    viewer.page.click("#bell")
    viewer.page.evaluate("look(true)")
    eventually(lambda: "At rest" in viewer.page.title(), "a tab at rest")
