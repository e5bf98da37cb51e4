"""What the page shows of Fly's machines: process groups, releases, names and states."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.support.browser import PageService, Stage, eventually, open_page_service
from tests.support.fly_api import FlyLine, FlyStandIn
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer


@pytest.fixture
def fly(stage: Stage) -> Iterator[FlyStandIn]:
    with stage.have(FlyStandIn.run()) as fly:
        yield fly


@pytest.fixture
def named(nats: MistreatedServer, fly: FlyStandIn) -> Iterator[PageService]:
    """A service that asks the stand-in."""
    with open_page_service(nats, **fly.environ) as service:
        yield service


@pytest.fixture
def viewer(open_viewer: Callable[[str], Viewer], named: PageService, fly: FlyStandIn) -> Viewer:
    """A page before lines of two machines, which are known."""
    viewer = open_viewer(named.url)
    fly.machines[viewer.app] = [item("m1", "web", "41"), item("m2", "worker", "42")]
    viewer.publish("too early", machine="m1")
    status = "fly_machines"
    eventually(lambda: named.status()["interfaces"][status]["state"] == "up", "the machines")
    viewer.open()
    viewer.publish("of the old release", machine="m1")
    viewer.publish("of the new release", "and another", machine="m2")
    return viewer


def item(id: str, group: str, release: str) -> dict[str, Any]:
    """Return a machine as the interface describes it."""
    return {
        "id": id,
        "name": f"name-of-{id}",
        "state": "started",
        "region": "ams",
        "updated_at": "2022-09-27T20:00:00Z",
        "image_ref": {"tag": "deployment-01"},
        "config": {"metadata": {"fly_process_group": group, "fly_release_version": release}},
    }


def test_a_new_release_is_marked_in_the_list_and_the_histogram(viewer: Viewer) -> None:
    """The first line of a newer release names it in its row and in the histogram's tip."""
    row = viewer.row("of the new release")
    expect(row.locator(".sign.release")).to_have_text("▲ release 42")
    expect(viewer.row("and another").locator(".sign")).to_have_count(0)
    expect(viewer.row("of the old release").locator(".sign")).to_have_count(0)
    slider = viewer.page.locator("#strip-slider")
    slider.focus()

    def tells_the_release() -> bool:
        slider.press("End")
        for _ in range(60):
            if f"▲ release 42 of {viewer.app}" in (slider.get_attribute("aria-valuetext") or ""):
                return True
            slider.press("ArrowLeft")
        return False

    eventually(tells_the_release, "the release in the histogram")


def test_groups_and_releases_are_chips_and_words_of_the_search(viewer: Viewer) -> None:
    """A click on a group's chip, and its word in the search field, show only its lines."""
    expect(viewer.rows).to_have_count(4)
    viewer.page.reload()  # counts are asked for at once, and then every few seconds
    chips = viewer.page.locator("[data-chip^='release:'] .value")
    expect(chips).to_have_text(["42", "41"])
    viewer.page.locator("[data-chip='group:worker']").click()
    expect(viewer.rows).to_have_count(2)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} group:worker")
    viewer.search(f"app:{viewer.app} release=41")
    expect(viewer.rows).to_have_count(1)
    expect(viewer.row("of the old release")).to_be_visible()


def test_the_details_describe_the_machine(viewer: Viewer) -> None:
    """The details have the machine's name, state and image, also for a line from before."""
    for text in ("too early", "of the old release"):
        viewer.row(text).click()
        for part in ("name-of-m1", "started", "deployment-01", "Machine, as Fly described it"):
            expect(viewer.drawer).to_contain_text(part)
    viewer.drawer.get_by_role("button", name="Only release 41").click()
    expect(viewer.rows).to_have_count(1)


def test_earlier_lines_of_fly_stand_before_the_list(
    open_viewer: Callable[[str], Viewer], named: PageService, fly: FlyStandIn
) -> None:
    """The button puts lines before the list that natstream never had, and says what they are."""
    viewer = open_viewer(named.url)
    old_ns = time.time_ns() - 3_600 * 10**9
    fly.add(viewer.app, [FlyLine(old_ns + n * 10**9, f"earlier {n}") for n in range(5)])
    viewer.publish("first", "second")
    viewer.open()
    expect(viewer.rows).to_have_count(2)
    viewer.page.get_by_role("button", name="Load earlier lines").click()
    expect(viewer.notes).to_contain_text("earlier ones from Fly")
    expected = [*(f"earlier {n}" for n in range(5)), "first", "second"]
    eventually(lambda: viewer.shows(expected), "the earlier lines")
    viewer.row("earlier 3").click()
    expect(viewer.drawer).to_contain_text("no stream resumes from an earlier line")
    viewer.press("Escape")
    viewer.publish("third")
    eventually(lambda: viewer.shows([*expected, "third"]), "the live line")


def test_a_machine_without_a_name_shows_what_was_shown_before(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """Without the interface there are no such chips, marks and parts of the details."""
    viewer = open_viewer(service.url)
    viewer.publish("hello")
    viewer.open()
    viewer.page.reload()
    expect(viewer.page.locator(f"[data-chip='app:{viewer.app}']")).to_be_visible()
    expect(viewer.page.locator("[data-chip^='group:'], [data-chip^='release:']")).to_have_count(0)
    viewer.row("hello").click()
    expect(viewer.drawer).to_contain_text("As it was sent")
    expect(viewer.drawer).not_to_contain_text("as Fly described it")
    assert '"release"' not in viewer.drawer.inner_text()
