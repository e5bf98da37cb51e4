"""JSON messages as people read them."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Locator, expect
from tests.support.viewer import Viewer

PAID = json.dumps({"level": "info", "msg": "paid", "user": {"id": 7}, "status": 200})


def switch(viewer: Viewer) -> Locator:
    viewer.page.click("#view-button")
    return viewer.page.locator("#raw")


def test_a_json_message_shows_its_text_first(viewer: Viewer) -> None:
    """A JSON message shows its text and then its fields, also after a prefix and in a string.

    The opened row shows it as indented JSON, and the copied message is the one that was sent.
    """
    viewer.publish(PAID, 'api | {"event":"login","ok":true}', json.dumps('{"msg":"inner","a":1}'))
    viewer.publish("no { json", "{}", '{"msg": "x\\u001b[31m red", "note": "two words"}')
    viewer.open()
    expect(viewer.rows).to_have_count(6)
    assert viewer.messages() == [
        "paid user.id=7 status=200", "api | login ok=true", "inner a=1", "no { json", "{}",
        'x red note="two words"',
    ]  # fmt: skip
    viewer.row("login").locator(".fold").click()
    expect(viewer.message("api |")).to_have_text(
        re.compile(r'^api \| \{\n  "event": "login",\n  "ok": true\n\}$')
    )
    viewer.row("paid").click()
    viewer.drawer.get_by_role("button", name="Copy message").click()
    expect(viewer.page.locator("#hint")).to_have_text("Message copied")
    assert viewer.page.evaluate("navigator.clipboard.readText()") == PAID


def test_one_switch_shows_json_as_it_came(viewer: Viewer) -> None:
    """The switch is kept by the address and by the browser, and both ways of showing are kept."""
    viewer.publish(PAID)
    viewer.open()
    expect(viewer.message("paid")).to_have_text("paid user.id=7 status=200")
    switch(viewer).check()
    expect(viewer.message("paid")).to_have_text(PAID)
    assert "json=raw" in viewer.page.url
    viewer.open()
    expect(viewer.message("paid")).to_have_text(PAID)
    expect(switch(viewer)).to_be_checked()
    viewer.page.locator("#raw").uncheck()
    expect(viewer.message("paid")).to_have_text("paid user.id=7 status=200")
    assert "json=raw" not in viewer.page.url
    viewer.open("&json=raw")
    expect(viewer.message("paid")).to_have_text(PAID)
    viewer.open()
    expect(viewer.message("paid")).to_have_text("paid user.id=7 status=200")


def test_a_match_is_always_shown(viewer: Viewer) -> None:
    """A row is shown as it came if its match would not be visible in the short form."""
    viewer.publish(PAID)
    viewer.open("&q=paid")
    expect(viewer.page.locator("#rows mark")).to_have_text(["paid"])
    expect(viewer.message("paid")).to_have_text("paid user.id=7 status=200")
    viewer.search(f'app:{viewer.app} "\\"msg\\": "')
    expect(viewer.page.locator("#rows mark")).to_have_text(['"msg"', ":", " "])
    expect(viewer.message("paid")).to_have_text(PAID)
