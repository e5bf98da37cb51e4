"""Fields of messages: as filters, as columns, in the details, and completed while typing."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect
from tests.support.browser import eventually
from tests.support.viewer import Viewer


def request(path: str, status: int, **more: object) -> str:
    return json.dumps({"msg": f"did {path}", "path": path, "status": status, **more})


def publish_requests(viewer: Viewer) -> None:
    viewer.publish(request("/cart", 200, user={"id": 7}), request("/pay", 502, user={"id": 8}))
    viewer.publish('level=info msg="did job" path=/job status=500', "no fields status 500")


def test_fields_filter(viewer: Viewer) -> None:
    """Conditions on fields narrow the list, new lines too, and quotes make them texts."""
    publish_requests(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    cart, pay = (
        "did /cart path=/cart status=200 user.id=7",
        "did /pay path=/pay status=502 user.id=8",
    )
    job, none = 'level=info msg="did job" path=/job status=500', "no fields status 500"
    for text, found in (
        ("status>=500", [pay, job]),
        ("status>=500 path!=/job", [pay]),
        ("user.id=7,8 status<500", [cart]),
        ("!user.id", [job, none]),
        ("field:user.id", [cart, pay]),
        ('"status>=500"', []),
        ("-status=502 did", [cart, job]),
    ):
        viewer.search(f"app:{viewer.app} {text}")
        eventually(partial(viewer.shows, found), f"what {text} finds")
    viewer.search(f"app:{viewer.app} status>=500")
    eventually(partial(viewer.shows, [pay, job]), "the errors")
    assert parse_qs(viewer.requests[-1])["field"] == ["status>=500"]
    viewer.publish(request("/new", 503), request("/new", 201))
    expect(viewer.row("503")).to_be_visible()
    expect(viewer.rows).to_have_count(3)
    viewer.page.reload()
    expect(viewer.rows).to_have_count(3)
    expect(viewer.page.locator("#query")).to_have_value(f"app:{viewer.app} status>=500")


def test_a_condition_is_a_chip(viewer: Viewer) -> None:
    """Each condition has a chip, and a click on it removes the condition."""
    publish_requests(viewer)
    viewer.open("&field=status>=500&field=path!=/job")
    expect(viewer.rows).to_have_count(1)
    chips = viewer.page.locator("#chips .condition")
    expect(chips).to_have_text(["status>=500", "path!=/job"])
    chips.last.click()
    expect(viewer.rows).to_have_count(2)
    expect(chips).to_have_text(["status>=500"])
    chips.click()
    expect(viewer.rows).to_have_count(4)
    expect(chips).to_have_count(0)


def test_among_all_lines_the_next_match_meets_the_conditions(viewer: Viewer) -> None:
    """Where all lines are shown, `n` goes to lines that meet the conditions, which are marked."""
    publish_requests(viewer)
    viewer.open("&field=status>=500&show=all")
    expect(viewer.rows).to_have_count(4)
    chosen = viewer.page.locator("#rows .chosen")
    viewer.press("g")
    for text in ("did /pay", "did job"):
        viewer.press("n")
        expect(chosen).to_contain_text(text)
    viewer.press("n")
    expect(viewer.page.locator("#hint")).to_have_text("No later match")
    expect(viewer.row("/pay").locator("mark")).to_have_text(["status=", "502"])
    viewer.page.click("#context")
    expect(viewer.rows).to_have_count(2)


def test_the_details_show_fields(viewer: Viewer) -> None:
    """The details list the fields of a message. One click shows or hides lines with a value."""
    publish_requests(viewer)
    viewer.open()
    viewer.row("/pay").click()
    fields = viewer.drawer.locator(".fields")
    expect(fields.locator("th")).to_have_text(["msg", "path", "status", "user.id"])
    expect(fields.locator(".value")).to_have_text(["did /pay", "/pay", "502", "8"])
    fields.get_by_role("button", name="Only status 502").click()
    expect(viewer.rows).to_have_count(1)
    query = viewer.page.locator("#query")
    expect(query).to_have_value(f"app:{viewer.app} status=502")
    fields.get_by_role("button", name="Hide path /pay").click()
    expect(viewer.rows).to_have_count(0)
    expect(query).to_have_value(f"app:{viewer.app} status=502 path!=/pay")
    viewer.page.go_back()
    expect(viewer.rows).to_have_count(4)


def test_fields_are_columns(viewer: Viewer) -> None:
    """A field becomes a column from the details, stays in the address, and is removed again."""
    publish_requests(viewer)
    viewer.open("&cols=status")
    expect(viewer.rows).to_have_count(4)
    cells = viewer.page.locator("#rows .x")
    expect(cells).to_have_text(["200", "502", "500", ""])
    expect(viewer.row("/pay").locator(".m")).to_have_text("did /pay path=/pay user.id=8")
    viewer.row("/pay").click()
    viewer.drawer.get_by_role("button", name="user.id as a column").click()
    expect(cells).to_have_text(["200", "7", "502", "8", "500", "", "", ""])
    heads = viewer.page.locator("#heads .x")
    expect(heads).to_have_text(["status", "user.id"])
    assert parse_qs(urlsplit(viewer.page.url).query)["cols"] == ["status,user.id"]
    tops = [cell.bounding_box() for cell in (heads.last, cells.nth(1))]
    assert tops[0] is not None
    assert tops[1] is not None
    assert abs(tops[0]["x"] - tops[1]["x"]) < 2, "a name stands above its column"
    viewer.page.get_by_role("button", name="Remove the column status").click()
    expect(heads).to_have_text(["user.id"])
    expect(cells).to_have_text(["7", "8", "", ""])


def test_columns_leave_room_for_the_message(viewer: Viewer) -> None:
    """Beside the details, columns of long values become narrower, and the message keeps room."""
    long = {name: name * 30 for name in ("a", "b", "c", "d")}
    viewer.publish(json.dumps({"msg": "words " * 20, **long}))
    viewer.page.set_viewport_size({"width": 1280, "height": 700})
    viewer.open("&cols=a,b,c,d")
    viewer.row("words").click()
    expect(viewer.drawer).to_be_visible()
    width = "element => element.getBoundingClientRect().width"
    cells = viewer.page.locator("#rows .x")

    def widths() -> list[float]:
        return [cells.nth(n).evaluate(width) for n in range(4)]

    eventually(lambda: max(widths()) < 70, "narrow columns")
    assert viewer.row("words").locator(".m").evaluate(width) > 100
    viewer.page.set_viewport_size({"width": 2400, "height": 700})
    eventually(lambda: min(widths()) > 150, "wide columns")


def test_names_that_come_late_are_offered(viewer: Viewer) -> None:
    """The names are offered once they are here, although the reader has typed before."""
    publish_requests(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    field, offers = viewer.page.locator("#query"), viewer.page.locator("#suggestions li")
    late: list[Route] = []
    viewer.page.route("**/api/fields?*", lambda route: late.append(route))
    field.focus()
    viewer.page.keyboard.press("End")
    field.press_sequentially(" stat")
    expect(offers).to_have_count(0)
    late.pop(0).continue_()
    expect(offers.first).to_contain_text("status")


def test_typing_completes_names_and_values(viewer: Viewer) -> None:
    """The field offers names and values of the lines in view, for the keyboard and the pointer."""
    publish_requests(viewer)
    viewer.open()
    expect(viewer.rows).to_have_count(4)
    field, offers = viewer.page.locator("#query"), viewer.page.locator("#suggestions li")
    field.focus()
    viewer.page.keyboard.press("End")
    field.press_sequentially(" stat")
    expect(offers.first).to_contain_text("status")
    viewer.page.keyboard.press("ArrowDown")
    viewer.page.keyboard.press("Enter")
    expect(field).to_have_value(f"app:{viewer.app} status=")
    expect(offers.filter(has_text="502")).to_be_visible()
    offers.filter(has_text="502").click()
    expect(offers).to_have_count(0)
    viewer.page.keyboard.press("Enter")
    expect(viewer.rows).to_have_count(1)
    field.press_sequentially(" us")
    expect(offers.first).to_contain_text("user.id")
    viewer.page.keyboard.press("Escape")
    expect(offers).to_have_count(0)
    expect(field).to_be_focused()


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString"])
def test_any_name_is_only_a_name(viewer: Viewer, name: str) -> None:
    """The page works for values and fields whose names have a meaning in JavaScript."""
    viewer.publish(json.dumps({"msg": "odd", name: "x"}), level=name)
    viewer.open(f"&level={name}&field={name}=x&cols={name}")
    expect(viewer.row("odd")).to_be_visible()
    expect(viewer.page.locator("#rows .x")).to_have_text(["x"])
    viewer.row("odd").click()
    expect(viewer.drawer.locator(".fields th")).to_have_text(["msg", name])
    viewer.press("n")
    expect(viewer.state).to_have_text("Live")
