"""A real browser for the tests of the page, with a real service and a real nats-server.

The tests are plain functions, because they drive chromium with Playwright's synchronous API. So
trio runs in a thread behind a `Stage`: it runs the nats-server and everything that a test does to
it. The service is a process of its own, as people run it. A `PageWire` is a network between the
browser and the service that a test can cut.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

import attrs
import httpx
import pytest
import trio
from playwright.sync_api import Browser, Error, sync_playwright
from tests.support.loopback import free_port
from tests.support.mistreated import MistreatedServer

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds to wait for a state that usually comes much sooner, because the machine may be busy."""

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # CI runs as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # because /dev/shm is tiny in containers
)
MISSING = (
    "no browser, so the tests of the page are skipped. To run them: apt-get install chromium, "
    "or put the path of a browser into NATSTREAM_BROWSER."
)


def find_browser() -> str | None:
    """Return the path of a chromium on this machine, or None."""
    if path := os.environ.get("NATSTREAM_BROWSER"):
        return path
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run chromium without a window. Skip the test if the machine has no browser."""
    path = find_browser()
    if path is None:
        pytest.skip(MISSING)
    with _asyncio_as_it_was(), sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except Error as error:
            pytest.fail(f"{path} does not start: {error}")
        yield browser
        browser.close()


@contextmanager
def _asyncio_as_it_was() -> Iterator[None]:
    """Use asyncio's own event loops, because Playwright cannot run in those of trio-asyncio.

    A test that imports trio-asyncio changes the loops of the whole process.
    """
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(policy)


class Stage:
    """Trio in a thread, for tests that cannot run on trio themselves."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,))

    def __enter__(self) -> Stage:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()

    def run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function in that thread and return its result."""
        return trio.from_thread.run(work, *args, trio_token=self._token)

    @contextmanager
    def have(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an async context manager for the block, and return its value."""
        stop, over = trio.Event(), threading.Event()

        async def live(*, task_status: trio.TaskStatus[T]) -> None:
            try:
                async with context as value:
                    task_status.started(value)
                    await stop.wait()
            finally:
                over.set()

        async def start() -> T:
            value: T = await self._nursery.start(live)
            return value

        yield self.run(start)
        trio.from_thread.run_sync(stop.set, trio_token=self._token)
        over.wait(PATIENCE)


@contextmanager
def open_nats(stage: Stage) -> Iterator[MistreatedServer]:
    """Run a real nats-server, as the fixture `nats_server` does for tests on trio."""
    with stage.have(MistreatedServer.run()) as nats:
        yield nats


@attrs.define
class PageService:
    """`natstream serve` as a process, which keeps its port when it is started again."""

    environ: dict[str, str]
    port: int = attrs.field(factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, until: str = "up") -> None:
        """Start the service, and wait until it answers and its NATS source has this state."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NATSTREAM_", "FLY_", "ACCESS_TOKEN"))
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "natstream", "serve"],
            env=environ | self.environ | {"NATSTREAM_BIND": f"127.0.0.1:{self.port}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        sources: Any = None
        # Long, because a whole folder of tests fails with one start, and a dead process is noticed.
        deadline = time.monotonic() + 3 * PATIENCE
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the service has ended"
            try:
                sources = self.get("readyz")["sources"]
            except (httpx.HTTPError, ValueError):
                sources = None
            if sources and sources.get("nats", {"state": until})["state"] == until:
                return
            time.sleep(0.05)
        raise AssertionError(f"the service is not {until}: {sources}")

    def kill(self) -> None:
        """Kill the service, so that it cannot close its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def get(self, path: str) -> Any:
        """Return the JSON that the service answers to a reader with the token."""
        headers = {"Authorization": f"Bearer {self.environ.get('NATSTREAM_TOKEN')}"}
        return httpx.get(f"{self.url}/{path}", headers=headers).json()

    def status(self) -> Any:
        return self.get("api/status")


@contextmanager
def open_page_service(nats: MistreatedServer | None, **more: str) -> Iterator[PageService]:
    """Run a service that reads from this server, or one with only a drain if there is none."""
    environ = {"NATSTREAM_DRAIN_BIND": "off", "NATSTREAM_SOURCES": "nats"}
    if nats is None:
        environ = {"NATSTREAM_DRAIN_BIND": "127.0.0.1:0", "NATSTREAM_SOURCES": "drain"}
    else:
        environ |= {
            "NATSTREAM_NATS_URL": nats.url,
            "FLY_ORG": nats.user,
            "ACCESS_TOKEN": nats.password,
        }
    service = PageService(environ | more)
    try:
        service.start()
        yield service
    finally:
        service.kill()


class PageWire:
    """A network between the browser and a service, which can be cut and can fall silent."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._connections: set[trio.CancelScope] = set()
        self._passing = trio.Event()
        self._passing.set()
        self._up = True
        self.port = 0

    async def run(self, *, task_status: trio.TaskStatus[PageWire]) -> None:
        """Forward connections until cancelled."""
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, self._forward, listeners)
            task_status.started(self)
            await trio.sleep_forever()

    async def _forward(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                if not self._up:
                    return
                far = await trio.open_tcp_stream("127.0.0.1", self._target)
                async with far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._copy, near, far, scope)
                    nursery.start_soon(self._copy, far, near, scope)
            except OSError:
                pass  # the service has ended, and with it this connection
            finally:
                self._connections.discard(scope)

    async def _copy(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some():
                await self._passing.wait()
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def cut(self) -> None:
        """End every connection, and accept no new ones."""
        self._up = False
        for scope in list(self._connections):
            scope.cancel()

    async def mend(self) -> None:
        self._up = True
        self._passing.set()

    async def fall_silent(self) -> None:
        """Keep the connections open, but forward no bytes."""
        self._passing = trio.Event()


@contextmanager
def open_wire(stage: Stage, port: int) -> Iterator[PageWire]:
    """Run a wire to a port of loopback."""

    async def start() -> PageWire:
        wire: PageWire = await stage._nursery.start(PageWire(port).run)
        return wire

    wire = stage.run(start)
    yield wire
    stage.run(wire.cut)


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until the condition is true, and return its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


def publish(stage: Stage, nats: MistreatedServer, subject: str, payloads: Iterable[bytes]) -> None:
    """Publish the payloads, and wait until the server has received all of them."""
    stage.run(nats.publish, subject, list(payloads))


__all__ = [
    "PATIENCE",
    "PageService",
    "PageWire",
    "Stage",
    "eventually",
    "open_browser",
    "open_nats",
    "open_page_service",
    "open_wire",
    "publish",
]
