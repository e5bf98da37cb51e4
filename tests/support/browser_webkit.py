"""WebKitGTK, driven by its own WebKitWebDriver: MiniBrowser in a window on a screen of Xvfb.

Each tab is a process of its own with an empty profile, because what the system asks for (dark, less
motion, the ratio of the screen) reaches GTK only through its environment. It starts in a second.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from selenium.common import JavascriptException
from selenium.webdriver import Remote
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.webkitgtk.options import Options
from tests.support.browser import eventually
from tests.support.browser_actions import ActionTab
from tests.support.browser_process import run_browser
from tests.support.browser_tab import Look, PageLeft
from tests.support.loopback import HOST, free_port
from urllib3.exceptions import ReadTimeoutError

__all__ = ["WebKit", "open_webkit"]

BROWSERS = "*/webkit2gtk-4.*/MiniBrowser"
MISSING = "no {}, so the page is not tested in WebKit: apt-get install webkit2gtk-driver xvfb"
# Large enough for a window of 1280 by 800 with three points a pixel.
SCREEN = "4096x3072x24"
# A command of WebDriver that takes longer has failed, for example a click that is never answered.
COMMAND_SECONDS = 40

CALL = """
  const done = arguments[arguments.length - 1];
  Promise.resolve(JSON.parse(arguments[0])).then((args) => (%s)(...args)).then(
    (value) => done({ value: JSON.stringify(value) }),
    (error) => done({ error: String(error) }));
"""


@attrs.frozen
class WebKit:
    """A screen on which WebKit's windows stand."""

    display: str
    minibrowser: Path

    @contextmanager
    def open_tab(self, look: Look) -> Iterator[WebKitTab]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            environ = self._environ(look, Path(home))
            with ExitStack() as running:
                try:
                    driver = self._start(running, environ)
                except ReadTimeoutError:
                    # Seldom, a MiniBrowser hangs before it has a page, even on an idle machine.
                    running.close()
                    driver = self._start(running, environ)
                try:
                    tab = WebKitTab(driver, driver.current_window_handle, look)
                    tab.resize(look.width, look.height)
                    yield tab
                finally:
                    driver.quit()

    def _environ(self, look: Look, home: Path) -> dict[str, str]:
        settings = home / "gtk-3.0" / "settings.ini"
        settings.parent.mkdir()
        settings.write_text(f"[Settings]\ngtk-enable-animations={int(not look.reduced_motion)}\n")
        return os.environ | {
            "DISPLAY": self.display,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "GDK_BACKEND": "x11",
            "GDK_SCALE": str(look.ratio),
            "GTK_THEME": "Adwaita:dark" if look.dark else "Adwaita",
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # CI runs as root
            "TZ": "Europe/Berlin",
            "LANG": "C.UTF-8",
        }

    def _start(self, running: ExitStack, environ: Mapping[str, str]) -> Remote:
        """Return a MiniBrowser that ends with `running`."""
        port = free_port()
        command = ["WebKitWebDriver", f"--port={port}", f"--host={HOST}"]
        running.enter_context(run_browser(command, environ))
        eventually(partial(_listens, port), "WebKitWebDriver")
        options = Options()
        options.binary_location = str(self.minibrowser)
        options.add_argument("--automation")
        config = ClientConfig(remote_server_addr=f"http://{HOST}:{port}", timeout=COMMAND_SECONDS)
        return Remote(RemoteConnection(client_config=config), options=options)


@attrs.define
class WebKitTab(ActionTab):
    """The tab of a MiniBrowser."""

    driver: Remote
    window: str
    look: Look
    browser: str = "webkit"
    _turned: int = 0
    """Pixels of all turns of the wheel. The driver turns it by the difference to the last state."""

    def wheel_at(self, x: float, y: float, pixels: int) -> None:
        self._turned += pixels
        super().wheel_at(x, y, self._turned)

    @property
    def here(self) -> Remote:
        """The driver, turned to this tab, because it speaks to one at a time."""
        self.driver.switch_to.window(self.window)
        return self.driver

    def resize(self, width: int, height: int) -> None:
        """Give the page this size, in CSS pixels, below the bar of the window.

        The bar's buttons keep the window at least 447 pixels wide.
        """
        bar = self.here.execute_script("return outerHeight - innerHeight")
        self.driver.set_window_size(width, height + bar)

    def load(self, url: str) -> None:
        self.here.get(url)

    def back(self) -> None:
        self.here.back()

    def reload(self) -> None:
        self.here.refresh()

    def call(self, function: str, *args: Any) -> Any:
        try:
            answer = self.here.execute_async_script(CALL % function, json.dumps(args))
        except JavascriptException as error:
            if "unload event" in (error.msg or ""):
                raise PageLeft from error
            raise
        assert "error" not in answer, answer["error"]
        text = answer.get("value")
        return None if text is None else json.loads(text)

    def perform(self, source: dict[str, Any]) -> None:
        self.here.execute("actions", {"actions": [source]})

    def open_beside(self) -> WebKitTab:
        # A click in a tab behind another one is never answered, so it gets a window of its own.
        self.here.switch_to.new_window("window")
        return WebKitTab(self.driver, self.driver.current_window_handle, self.look)

    def close(self) -> None:
        self.here.close()

    def save_picture(self, path: Path) -> None:
        self.here.save_screenshot(str(path))


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((HOST, port)) == 0


@contextmanager
def open_webkit() -> Iterator[WebKit]:
    """Run a screen for WebKit. Skip the test if the machine lacks a part of it."""
    for program in ("WebKitWebDriver", "Xvfb"):
        if shutil.which(program) is None:
            pytest.skip(MISSING.format(program))
    minibrowser = next(Path("/usr/lib").glob(BROWSERS), None)
    if minibrowser is None:
        pytest.skip(MISSING.format("MiniBrowser"))
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp"]
    with run_browser(command, os.environ, stdout=subprocess.PIPE) as xvfb:
        assert xvfb.stdout is not None
        number = xvfb.stdout.readline().decode().strip()
        if not number:
            pytest.fail("Xvfb does not start")
        yield WebKit(f":{number}", minibrowser)
