"""The list without lines."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.support.browser import PATIENCE, PageService, open_page_service
from tests.support.mistreated import MistreatedServer
from tests.support.viewer import Viewer


def test_the_empty_page_explains_itself(
    open_viewer: Callable[[str], Viewer], service: PageService
) -> None:
    """An empty list says that no line matches, and offers to show all lines."""
    viewer = open_viewer(service.url).open("&q=nothing-is-like-this")
    empty = viewer.page.locator("#empty")
    expect(empty).to_contain_text("No line matches")
    viewer.publish("at last: nothing-is-like-this")
    expect(empty).to_be_hidden()
    viewer.search(f"app:{viewer.app} nothing-else")
    empty.get_by_role("button", name="Show all lines").click()
    expect(viewer.page.locator("#query")).to_have_value("")
    expect(viewer.row("at last")).to_be_visible()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("token", ["", "drains-only"])
def test_the_command_for_a_first_line_works(
    open_viewer: Callable[[str], Viewer], token: str
) -> None:
    """The command for a first line works as it is shown, with the drain's address and token."""
    with open_page_service(None, NATSTREAM_DRAIN_TOKEN=token) as drain_only:
        viewer = open_viewer(drain_only.url)
        viewer.page.goto(drain_only.url)
        expect(viewer.page.locator("#empty")).to_contain_text("No lines yet")
        command = viewer.page.locator("#empty code", has_text="curl")
        expect(command).to_be_visible()
        assert command.evaluate("e => e.scrollWidth <= e.clientWidth")
        text = command.inner_text()
        assert ("Authorization" in text) is bool(token)
        subprocess.run(
            ["bash", "-c", text],
            env={"PATH": os.environ["PATH"], "NATSTREAM_DRAIN_TOKEN": token},
            check=True,
            timeout=PATIENCE,
        )
        expect(viewer.row("hello")).to_be_visible()


def test_without_a_drain_none_is_spoken_of(
    open_viewer: Callable[[str], Viewer], nats: MistreatedServer
) -> None:
    """Without a drain, the empty list names only the ways that work."""
    with open_page_service(nats) as service:
        viewer = open_viewer(service.url)
        viewer.page.goto(service.url)
        empty = viewer.page.locator("#empty")
        expect(empty).to_contain_text("fly apps restart")
        expect(empty).not_to_contain_text("curl")


def test_what_was_cleared_can_be_shown_again(viewer: Viewer) -> None:
    """The list says that it was cleared, and a button shows the lines again."""
    viewer.open()
    viewer.publish("one", "two")
    expect(viewer.row("two")).to_be_visible()
    viewer.page.click("#clear")
    empty = viewer.page.locator("#empty")
    expect(empty).to_contain_text("The list was cleared")
    expect(empty).not_to_contain_text("No line matches")
    empty.get_by_role("button", name="Show them again").click()
    expect(viewer.row("two")).to_be_visible()
    assert viewer.messages() == ["one", "two"]
    viewer.search(f"app:{viewer.app} three")
    expect(empty).to_contain_text("No line matches")
