"""The panel of patterns: what is new since the deploy, and what a reader can do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # no types
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.support.browser import PageService, Stage, eventually, open_page_service
from tests.support.closed import TOKEN, grant_text
from tests.support.fly_api import FlyStandIn
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer

NOW = 1_790_541_877_252


def item(id: str, release: str, updated: datetime) -> dict[str, Any]:
    """Return a machine as Fly's Machines interface describes it."""
    return {
        "id": id,
        "name": f"name-of-{id}",
        "state": "started",
        "region": "ams",
        "updated_at": updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "image_ref": {"tag": "deployment-01"},
        "config": {"metadata": {"fly_process_group": "web", "fly_release_version": release}},
    }


@pytest.fixture
def deploy(
    stage: Stage, nats: MistreatedServer, open_viewer: Callable[[str], Viewer]
) -> Iterator[tuple[Viewer, Callable[[], None]]]:
    """A page before an app, and what deploys its second release and waits for the sign of it."""
    with stage.have(FlyStandIn.run()) as fly, open_page_service(nats, **fly.environ) as service:
        viewer = open_viewer(service.url)
        old = item("m1", "41", datetime(2022, 9, 27, tzinfo=UTC))
        fly.machines[viewer.app] = [old]
        viewer.publish(*(f"order {number} placed" for number in range(40)), machine="m1")
        up = lambda: service.status()["interfaces"]["fly_machines"]["state"] == "up"  # noqa: E731
        eventually(up, "the machines")
        viewer.open()
        viewer.publish(*(f"order {number} placed" for number in range(40)), machine="m1")
        expect(viewer.row("order 39 placed").first).to_be_visible()
        # The service asks about an app once in ten seconds. It is asked soon after the deployment
        # then, so that it knows the time before as long as the time since, and "boot" stays rare.
        viewer.page.wait_for_timeout(10_500)
        sign = viewer.page.locator("#rows .sign.release")

        def is_marked() -> bool:  # the machine is looked up when it has said its first line
            viewer.publish("boot", machine="m2")
            viewer.page.wait_for_timeout(500)
            return sign.count() > 0

        def start() -> None:
            fly.machines[viewer.app] = [old, item("m2", "42", datetime.now(UTC))]
            eventually(is_marked, "the first line of the new release")

        yield viewer, start


BROKEN = [f"price {number} is not a number" for number in range(30)]


@pytest.fixture
def deployed(deploy: tuple[Viewer, Callable[[], None]]) -> Viewer:
    """A page before an app whose second release has brought an error."""
    viewer, start = deploy
    start()
    viewer.publish(*BROKEN, machine="m2", level="error")
    expect(viewer.row("price 29 is not a number")).to_be_visible()
    return viewer


def patterns(page: Page) -> Locator:
    return page.locator("#patterns .pattern")


def pattern(text: str, verdict: str, **more: Any) -> dict[str, Any]:
    """Return a pattern as the service answers it."""
    known = {
        "id": text.encode().hex()[:16].ljust(16, "0"),
        "app": "web",
        "pattern": text,
        "level": "error",
        "count": 12,
        "rate": 0.2,
        "first_ms": NOW,
        "last_ms": NOW,
        "example": {"id": "", "message": text},
        "levels": {},
        "machines": [],
        "releases": [],
        "series": [0] * 15 + [1] * 15,
    }
    compared = {"verdict": verdict, "before": 0, "now": 12, "factor": None, "sure": 0.999}
    return known | (compared if verdict else {}) | more


def answer(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "patterns": list(found),
        "other": {"count": 0},
        "compare": {"kind": "span", "since_ms": NOW - 600_000},
        "sampled": False,
        "since_ms": NOW - 1_200_000,
        "until_ms": NOW,
        "from": "counters",
    } | more


def script(page: Page, answers: Callable[[str], dict[str, Any]]) -> list[str]:
    """Answer the page's questions for patterns, and return the addresses that it has asked."""
    asked: list[str] = []

    def reply(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(json=answers(route.request.url))

    page.route("**/api/patterns?*", reply)
    return asked


def test_the_marker_of_a_deploy_opens_what_it_broke(deployed: Viewer) -> None:
    """A click on the marker shows the error of the new release first, with its counts and curve."""
    page = deployed.page
    page.locator("#rows .sign.release").click()
    expect(page.locator("#patterns")).to_be_visible()
    first = patterns(page).first
    expect(first.locator(".text")).to_have_text("price <n> is not a number")
    expect(first.locator(".verdict")).to_have_text("new · 30×")
    expect(first.locator(".curve rect.now")).to_have_count(15)
    expect(page.locator("#patterns-span")).to_contain_text(f"release 42 of {deployed.app}")
    expect(page.locator("#patterns h3").first).to_have_text("New · 1")


def test_an_open_panel_shows_soon_what_a_deploy_breaks(
    deploy: tuple[Viewer, Callable[[], None]],
) -> None:
    """When a new release appears, an open panel asks at once, and every two seconds then."""
    viewer, start = deploy
    viewer.press("p")
    expect(viewer.page.locator("#patterns-span")).to_contain_text("No newer release is known")
    start()
    asked: list[str] = []
    viewer.page.on("request", lambda request: asked.append(request.url))
    viewer.publish(*BROKEN, machine="m2", level="error")
    viewer.page.wait_for_timeout(4_800)
    assert len([url for url in asked if "compare=deploy" in url]) >= 2
    expect(patterns(viewer.page).first.locator(".text")).to_have_text("price <n> is not a number")


def test_the_marker_in_the_histogram_opens_the_panel(deployed: Viewer) -> None:
    """A click on the sign of a release above the bars opens the panel."""
    slider = deployed.page.locator("#strip-slider")
    slider.focus()
    for _ in range(40):
        slider.press("ArrowLeft")
        if "release 42" in (slider.get_attribute("aria-valuetext") or ""):
            break
    index = int(slider.get_attribute("aria-valuenow") or 0)
    slider.click(position={"x": index * 5 + 2, "y": 30})
    expect(deployed.page.locator("#patterns")).to_be_hidden()
    deployed.page.keyboard.press("Escape")
    slider.click(position={"x": index * 5 + 2, "y": 5})
    expect(deployed.page.locator("#patterns")).to_be_visible()


def test_only_and_hide_filter_by_the_pattern_also_on_another_machine(
    deployed: Viewer, chromium: Browser
) -> None:
    """`only` and `hide` ask for a pattern; its link shows the same lines and its text elsewhere."""
    page = deployed.page
    page.click("#patterns-button")
    first = patterns(page).first
    first.get_by_role("button", name="only").click()
    expect(deployed.rows).to_have_count(30)
    expect(page.locator("#query")).to_have_value(f"app:{deployed.app} pattern:{ident(first)}")
    assert f"pattern={ident(first)}" in page.url
    expect(first.get_by_role("button", name="only")).to_have_attribute("aria-pressed", "true")
    # The others are listed still, because what is shown of the patterns does not change the panel.
    assert patterns(page).count() > 1
    with chromium.new_context() as elsewhere:
        other = elsewhere.new_page()
        other.goto(page.url)
        expect(other.locator("#rows .row")).to_have_count(30)
        chip = other.locator("[data-chip^='pattern:']")
        expect(chip).to_have_text("price <n> is not a number")
        chip.click()
        expect(other.locator("#rows .row")).not_to_have_count(30)
    first.get_by_role("button", name="hide").click()
    expect(deployed.row("is not a number")).to_have_count(0)
    expect(deployed.row("boot").first).to_be_visible()
    assert f"not_pattern={ident(first)}" in page.url
    first.get_by_role("button", name="hide").click()
    expect(deployed.row("price 29 is not a number")).to_be_visible()


def ident(item: Locator) -> str:
    return item.get_attribute("data-pattern") or ""


def test_an_example_and_the_first_line_open_in_context(deployed: Viewer) -> None:
    """`example` shows the newest line of a pattern among its neighbours, and `since` the first."""
    page = deployed.page
    page.click("#patterns-button")
    first = patterns(page).first
    chosen = page.locator("#neighbours-rows .chosen")
    first.locator("[data-action=example]").click()
    expect(chosen).to_contain_text("price 29 is not a number")
    page.locator("#neighbours-back").click()
    expect(page.locator("#neighbours")).to_be_hidden()
    first.locator("[data-action=since]").click()
    expect(chosen).to_contain_text("price 0 is not a number")
    expect(page.locator("#patterns")).to_be_visible()


def test_no_row_moves_under_the_pointer(viewer: Viewer) -> None:
    """Under the pointer the figures change and the order stays, until the pointer has gone."""
    turn = {"now": 0}
    old, grown = pattern("old", "more", now=30), pattern("grown", "more", now=20)

    def answers(_url: str) -> dict[str, Any]:
        if not turn["now"]:
            return answer(old, grown)
        return answer(pattern("fresh", "new"), grown | {"now": 99}, old)

    asked = script(viewer.page, answers)
    viewer.open()
    viewer.page.click("#patterns-button")
    texts = viewer.page.locator("#patterns .pattern .text")
    expect(texts).to_have_text(["old", "grown"])
    patterns(viewer.page).first.hover()
    before = patterns(viewer.page).first.bounding_box()
    turn["now"] = 1
    expect(patterns(viewer.page).nth(1).locator(".verdict")).to_contain_text("99")
    expect(texts).to_have_text(["old", "grown"])
    expect(viewer.page.locator("#patterns-fresh")).to_have_text("1 more pattern: show")
    assert patterns(viewer.page).first.bounding_box() == before
    viewer.page.mouse.move(5, 5)
    expect(texts).to_have_text(["fresh", "grown", "old"])
    expect(viewer.page.locator("#patterns-fresh")).to_be_hidden()
    assert len(asked) >= 2


def test_no_row_moves_below_the_focus(viewer: Viewer) -> None:
    """While a button of the list has the focus, the order stays, and a button offers the others."""
    turn = {"now": 0}
    found = [
        answer(pattern("old", "same")),
        answer(pattern("fresh", "new"), pattern("old", "same")),
    ]
    script(viewer.page, lambda _url: found[turn["now"]])
    viewer.open()
    viewer.press("p")
    texts = viewer.page.locator("#patterns .pattern .text")
    expect(texts).to_have_text(["old"])
    viewer.page.locator("#patterns [data-action=only]").focus()
    turn["now"] = 1
    fresh = viewer.page.locator("#patterns-fresh")
    expect(fresh).to_be_visible()
    expect(texts).to_have_text(["old"])
    fresh.press("Enter")
    expect(texts).to_have_text(["fresh", "old"])
    expect(viewer.page.locator("#patterns [data-action=only]").first).to_be_focused()


def test_a_row_that_has_grown_is_offered_while_the_list_is_held(viewer: Viewer) -> None:
    """A known pattern that belongs into another part waits there while the list has the focus."""
    turn = {"now": 0}
    found = [
        answer(pattern("calm", "same"), pattern("old", "same")),
        answer(pattern("fresh", "new"), pattern("old", "more"), pattern("calm", "same")),
    ]
    script(viewer.page, lambda _url: found[turn["now"]])
    viewer.open()
    viewer.press("p")
    texts = viewer.page.locator("#patterns .pattern .text")
    expect(texts).to_have_text(["calm", "old"])
    viewer.page.locator("#patterns [data-action=hide]").first.focus()
    turn["now"] = 1
    fresh = viewer.page.locator("#patterns-fresh")
    expect(fresh).to_have_text("1 more pattern, 1 changed: show")
    found[1]["patterns"].pop(0)
    expect(fresh).to_have_text("1 changed: show")
    fresh.press("Enter")
    expect(texts).to_have_text(["old", "calm"])


def test_hide_says_what_else_it_hides(viewer: Viewer) -> None:
    """Traces with the same first line are shown and hidden together, and the buttons say so."""
    alike = [
        pattern(f"Traceback < {name}", "new", id=f"0123456789ab{n:06}")
        for n, name in enumerate(("AlphaError", "BetaError"), 1)
    ]
    script(viewer.page, lambda _url: answer(*alike, pattern("apart", "new")))
    viewer.open()
    viewer.press("p")
    words = "1 other pattern with the same first line, whatever its trace is"
    for action, what in (("only", "shows"), ("hide", "hides")):
        buttons = viewer.page.locator(f"#patterns [data-action={action}]")
        expect(buttons).to_have_count(3)
        titles = [buttons.nth(n).get_attribute("title") for n in range(3)]
        assert titles == [f"Also {what} {words}"] * 2 + [""]
    viewer.page.locator("#patterns [data-action=hide]").first.click()
    expect(viewer.page.locator("#patterns .is-hidden .text")).to_have_text(
        ["Traceback < AlphaError", "Traceback < BetaError"]
    )


def test_the_keyboard_opens_and_closes_the_panel(viewer: Viewer) -> None:
    """`p` opens the panel with the focus in it, Tab reaches its buttons, and Escape closes it."""
    script(viewer.page, lambda _url: answer(pattern("boom <n>", "new")))
    viewer.open()
    viewer.press("p")
    expect(patterns(viewer.page)).to_have_count(1)
    reached = []
    for _ in range(6):
        viewer.page.keyboard.press("Tab")
        reached.append(viewer.page.evaluate("document.activeElement.ariaLabel"))
    assert {"only: boom <n>", "hide: boom <n>", "example: boom <n>"} <= set(reached)
    assert viewer.page.locator("#patterns-button").get_attribute("aria-expanded") == "true"
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("#patterns")).to_be_hidden()
    expect(viewer.page.locator("#lines")).to_be_focused()
    assert viewer.page.locator("#patterns-button").get_attribute("aria-expanded") == "false"


def test_the_panel_says_what_its_counts_are(viewer: Viewer) -> None:
    """It compares ten minutes without a release; samples, others and lacks have a sentence."""
    plain = answer(pattern("apart", ""), other={"count": 7}, sampled=True, **{"from": "backlog"})
    none = answer(compare=None)
    asked = script(viewer.page, lambda url: none if "compare=deploy" in url else plain)
    viewer.open()
    viewer.page.click("#patterns-button")
    expect(viewer.page.locator("#patterns-span")).to_contain_text("No newer release is known")
    assert "compare=10m" in asked[-1]
    said = viewer.page.locator("#patterns-caveats")
    for words in ("7 lines of other patterns", "a sample", "lines in memory", "not compared"):
        expect(said).to_contain_text(words)
    with viewer.page.expect_request(lambda request: "compare=1m" in request.url):
        viewer.page.select_option("#patterns-compare", "1m")
    with viewer.page.expect_response(lambda response: "compare" not in response.url):
        viewer.page.select_option("#patterns-compare", "")
    assert f"app={viewer.app}" in asked[-1]


def test_a_refusal_is_shown(viewer: Viewer) -> None:
    """If the service refuses the question, the panel says why."""
    why = json.dumps({"error": "That is too much."})
    viewer.page.route("**/api/patterns?*", lambda route: route.fulfill(status=400, body=why))
    viewer.open()
    viewer.page.click("#patterns-button")
    expect(viewer.page.locator("#patterns-error")).to_have_text("That is too much.")


def test_hostile_patterns_stay_text(viewer: Viewer) -> None:
    """Markup and control characters of a pattern are shown as text."""
    hostile = pattern("<img src=x onerror=alert(1)>\u202eevil\x1b[31m", "new", app="<b>\u202e")
    script(viewer.page, lambda _url: answer(hostile))
    viewer.open()
    viewer.page.click("#patterns-button")
    expect(patterns(viewer.page).locator(".text")).to_contain_text("<img src=x onerror=alert(1)>")
    assert "\u202e" not in patterns(viewer.page).inner_text()
    assert viewer.page.locator("#patterns img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_the_panel(viewer: Viewer, scheme: Any) -> None:
    """axe-core finds no serious problem in the panel, on a desk and on a telephone."""
    viewer.page.emulate_media(color_scheme=scheme)
    verdicts = ("new", "more", "gone", "less", "same", "")
    found = [
        pattern(f"{verdict} of a rather long pattern with <n> parts " * 4, verdict, level=level)
        for verdict, level in zip(
            verdicts, ("error", "warn", "info", "debug", "", "odd"), strict=True
        )
    ]
    script(viewer.page, lambda _url: answer(*found))
    viewer.open()
    viewer.page.click("#patterns-button")
    expect(patterns(viewer.page)).to_have_count(6)
    assert serious(viewer.page) == []
    viewer.page.set_viewport_size({"width": 390, "height": 760})
    assert viewer.page.evaluate("document.documentElement.scrollWidth <= 390")
    assert viewer.page.evaluate("document.getElementById('patterns').scrollWidth <= 390")
    assert serious(viewer.page) == []


def serious(page: Page) -> list[str]:
    """Return the problems that axe-core calls serious or worse."""
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in Axe().run(page, "#patterns").response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def test_a_telephone_shows_the_lines_after_a_press(deployed: Viewer) -> None:
    """On a telephone the panel covers the list, so `only` closes it and shows the lines."""
    deployed.page.set_viewport_size({"width": 390, "height": 760})
    deployed.page.click("#patterns-button")
    patterns(deployed.page).first.locator("[data-action=only]").click()
    expect(deployed.page.locator("#patterns")).to_be_hidden()
    expect(deployed.row("price 29 is not a number")).to_be_visible()


def test_a_link_shows_its_part_only(
    nats: MistreatedServer, open_viewer: Callable[[str], Viewer]
) -> None:
    """The holder of a link to one app sees the patterns of that app, and asks for no watches."""
    with open_page_service(nats, NATSTREAM_TOKEN=TOKEN) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(f"{service.url}/link#{grant_text(('app', viewer.app))}")
        expect(viewer.state).to_have_text("Live")
        asked: list[str] = []
        viewer.page.on("request", lambda request: asked.append(request.url))
        viewer.publish("seen one", "seen two")
        other = Viewer(viewer.page, viewer.url, f"{viewer.app}-other", viewer._publish)
        other.publish("unseen one", "unseen two")
        expect(viewer.row("seen two")).to_be_visible()
        viewer.page.click("#patterns-button")
        expect(patterns(viewer.page)).to_have_count(2)
        assert "unseen" not in viewer.page.locator("#patterns").inner_text()
        assert not [url for url in asked if "watches" in url]


@pytest.fixture
def watched(nats: MistreatedServer, tmp_path: Any) -> Iterator[PageService]:
    """A service with a watch whose receiver does not exist."""
    path = tmp_path / "watches.toml"
    path.write_text('[watches.panics]\nquery = "q=panic"\nurl = "http://127.0.0.1:9"\n')
    with open_page_service(nats, NATSTREAM_WATCHES=str(path)) as service:
        yield service


def test_a_watch_that_fired_is_marked(
    watched: PageService, open_viewer: Callable[[str], Viewer]
) -> None:
    """The histogram marks a watch that fired, and Enter there goes to the line that it matched."""
    viewer = open_viewer(watched.url).open()
    viewer.publish("calm", "panic in the kitchen", "calm again")
    expect(viewer.row("panic")).to_be_visible()
    slider = viewer.page.locator("#strip-slider")
    slider.focus()

    def is_marked() -> bool:
        slider.press("End")
        for _ in range(12):
            if "⚑ watch panics: 1 line matched" in (slider.get_attribute("aria-valuetext") or ""):
                return True
            slider.press("ArrowLeft")
        return False

    eventually(is_marked, "the mark")
    slider.press("Enter")
    expect(viewer.page.locator("#neighbours-rows .chosen")).to_contain_text("panic in the kitchen")
