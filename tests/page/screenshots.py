"""Pictures of the page's main states, for the README and the documentation: `make screenshots`.

Run `python -m tests.page.screenshots` from the root. The pictures show the real service with the
lines of the demo's tea shop. Five minutes of them are published at once, so that the histogram has
bars, and half a minute at its own pace, so that the rates are right.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import trio
from playwright.sync_api import Browser, Page, expect
from tests.support.browser import (
    PATIENCE,
    PageService,
    Stage,
    open_browser,
    open_nats,
    open_page_service,
)
from tests.support.mistreated import MistreatedServer

from natstream.demo.line import encode
from natstream.demo.traffic import traffic

DOCS = Path(__file__).parents[2] / "docs"
HISTORY = 300.0
"""Seconds of the tea shop's lines that the service has before the first picture."""
LIVE = 32.0
"""Seconds of live lines before the first picture, so that the rates are those of the shop."""

DESKTOP = {"width": 1280, "height": 760}
TELEPHONE = {"width": 390, "height": 760}


@asynccontextmanager
async def open_shop(nats: MistreatedServer) -> AsyncIterator[None]:
    """Publish the shop's last minutes, each line with its own time, and go on during the block."""
    opened = time.time() - HISTORY
    lines = traffic(Random(11))

    async def live() -> None:
        with suppress(trio.BrokenResourceError):  # nats-server is killed for the last picture
            async with nats.publisher() as publisher:
                for at, said in lines:
                    await trio.sleep(max(0.0, opened + at - time.time()))
                    await publisher.publish([encode(said, int((opened + at) * 1e9))])

    async with nats.publisher() as publisher:
        past = itertools.takewhile(lambda line: line[0] < HISTORY, lines)
        await publisher.publish(encode(said, int((opened + at) * 1e9)) for at, said in past)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        yield
        nursery.cancel_scope.cancel()


def look(browser: Browser, url: str, **options: Any) -> Page:
    """Open a page that shows the newest lines."""
    page = browser.new_page(locale="en-GB", **options)
    page.goto(url)
    expect(page.locator("#state-text")).to_have_text("Live", timeout=PATIENCE * 1000)
    page.wait_for_timeout(1_500)  # until the counts are there and nothing moves any more
    return page


def save(page: Page, name: str) -> None:
    page.screenshot(path=DOCS / f"{name}.png")
    print(DOCS / f"{name}.png")
    page.close()


def take_all(stage: Stage, browser: Browser, service: PageService, nats: Any) -> None:
    for scheme in ("light", "dark"):
        # For the README, so sharp on fine screens. The others are small.
        page = look(
            browser, service.url, viewport=DESKTOP, color_scheme=scheme, device_scale_factor=2
        )
        save(page, "screenshot" if scheme == "light" else "screenshot-dark")

    page = look(browser, f"{service.url}/?q=order&show=all", viewport=DESKTOP, color_scheme="dark")
    page.locator("body").press("N")
    page.locator("body").press("ArrowRight")
    page.locator("body").press("Enter")
    page.wait_for_timeout(500)
    save(page, "screenshot-details")

    page = look(
        browser,
        f"{service.url}/?min_level=warn",
        viewport=TELEPHONE,
        color_scheme="light",
        device_scale_factor=2,
    )
    save(page, "screenshot-phone")

    page = look(browser, service.url, viewport=DESKTOP, color_scheme="light")
    stage.run(nats.kill)
    expect(page.locator("#state-text")).to_contain_text("lost", timeout=PATIENCE * 1000)
    page.click("#state")
    page.wait_for_timeout(500)
    save(page, "screenshot-nats-lost")


def main() -> None:
    with (
        Stage() as stage,
        open_nats(stage) as nats,
        open_page_service(nats) as service,
        open_browser() as browser,
    ):
        page = look(browser, service.url, viewport=DESKTOP, color_scheme="light")
        save(page, "screenshot-empty")
        with stage.have(open_shop(nats)):
            time.sleep(LIVE)
            take_all(stage, browser, service, nats)


if __name__ == "__main__":
    main()
