"""Firefox without a window, driven by WebDriver BiDi, which it speaks itself.

Neither geckodriver nor a browser of Playwright's is needed: selenium's connection carries the
commands of https://www.w3.org/TR/webdriver-bidi/. Each tab has a container ("user context") of its
own, so that it begins without cookies and without memory. BiDi has no command yet for what the
system asks for (dark, less motion, forced colours), so preferences stand in for it; they are set
in the browser's own window.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from selenium.webdriver.remote.websocket_connection import WebSocketConnection
from tests.support.browser import PATIENCE
from tests.support.browser_actions import ActionTab
from tests.support.browser_process import run_browser
from tests.support.browser_tab import Look, PageLeft

__all__ = ["Firefox", "open_firefox"]

PROGRAM = "firefox-esr"
# Seconds between two looks for an answer of Firefox.
POLL = 0.005
# So that Firefox asks no host on the internet, and shows nothing beside the page.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.contentblocking.introCount": 99,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "network.prefetch-next": False,
    "remote.prefs.recommended": True,
    "security.OCSP.enabled": 0,
    "services.settings.server": "http://127.0.0.1:9/",
    "signon.rememberSignons": False,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
}


@attrs.frozen
class Firefox:
    """A running Firefox."""

    connection: WebSocketConnection

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command of BiDi, and return its result."""
        answer = self.connection.send_cmd(method, parameters)  # type: ignore[no-untyped-call]
        if "destroyed before query" in answer.get("message", ""):
            raise PageLeft
        assert "error" not in answer, f"{method}: {answer['error']}: {answer['message']}"
        return answer["result"]

    @contextmanager
    def open_tab(self, look: Look) -> Iterator[FirefoxTab]:
        self._ask_for(look)
        container = self.send("browser.createUserContext")["userContext"]
        try:
            yield self.add_tab(container, look)
        finally:
            self.send("browser.removeUserContext", userContext=container)

    def add_tab(self, container: str, look: Look, opener: str = "") -> FirefoxTab:
        """Open a tab in a container, in front of the others."""
        created = self.send("browsingContext.create", type="tab", userContext=container)
        self.send(
            "browsingContext.setViewport",
            context=created["context"],
            viewport={"width": look.width, "height": look.height},
            devicePixelRatio=look.ratio,
        )
        return FirefoxTab(self, created["context"], container, look, opener)

    def _ask_for(self, look: Look) -> None:
        """Set what the pages see as wishes of the system."""
        wishes = {
            "layout.css.prefers-color-scheme.content-override": 0 if look.dark else 1,
            "ui.prefersReducedMotion": int(look.reduced_motion),
            "browser.display.document_color_use": 2 if look.forced_colours else 0,
        }
        window = self.send("browsingContext.getTree", **{"moz:scope": "chrome"})["contexts"][0]
        for name, value in wishes.items():
            self.send(
                "script.evaluate",
                expression=f"Services.prefs.setIntPref({json.dumps(name)}, {value})",
                target={"context": window["context"]},
                awaitPromise=False,
            )


@attrs.define
class FirefoxTab(ActionTab):
    """A tab of Firefox."""

    firefox: Firefox
    id: str
    container: str
    look: Look
    opener: str
    browser: str = "firefox"

    def load(self, url: str) -> None:
        self.firefox.send("browsingContext.navigate", context=self.id, url=url, wait="complete")

    def back(self) -> None:
        self.firefox.send("browsingContext.traverseHistory", context=self.id, delta=-1)

    def reload(self) -> None:
        self.firefox.send("browsingContext.reload", context=self.id, wait="complete")

    def call(self, function: str, *args: Any) -> Any:
        answer = self.firefox.send(
            "script.callFunction",
            functionDeclaration=(
                f"async (args) => JSON.stringify(await ({function})(...JSON.parse(args)))"
            ),
            arguments=[{"type": "string", "value": json.dumps(args)}],
            target={"context": self.id},
            awaitPromise=True,
            userActivation=False,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        text = answer["result"].get("value")
        return None if text is None else json.loads(text)

    def perform(self, source: dict[str, Any]) -> None:
        self.firefox.send("input.performActions", context=self.id, actions=[source])

    def open_beside(self) -> FirefoxTab:
        return self.firefox.add_tab(self.container, self.look, self.id)

    def close(self) -> None:
        self.firefox.send("browsingContext.close", context=self.id)
        if self.opener:
            self.firefox.send("browsingContext.activate", context=self.opener)

    def save_picture(self, path: Path) -> None:
        picture = self.firefox.send("browsingContext.captureScreenshot", context=self.id)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def open_firefox() -> Iterator[Firefox]:
    """Run Firefox. Skip the test if the machine has none."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(
            f"no {PROGRAM}, so the page is not tested in Firefox: apt-get install {PROGRAM}"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        profile = Path(home, "profile")
        profile.mkdir()
        profile.joinpath("user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                for name, value in PREFERENCES.items()
            )
        )
        command = [
            PROGRAM, "--headless", "--no-remote", "--profile", str(profile),
            "--remote-debugging-port", "0", "--remote-allow-system-access",
        ]  # fmt: skip
        environ = os.environ | {"HOME": home, "TZ": "Europe/Berlin"}
        with run_browser(command, environ, stderr=subprocess.PIPE) as process:
            connection = WebSocketConnection(_address(process), PATIENCE, POLL)  # type: ignore[no-untyped-call]
            firefox = Firefox(connection)
            try:
                firefox.send("session.new", capabilities={})
                assert connection._ws is not None
                socket = connection._ws.sock
                yield firefox
                firefox.send("browser.close")
                socket.shutdown()  # Selenium leaves it open if Firefox closes first.
            finally:
                connection.close()  # type: ignore[no-untyped-call]


def _address(process: subprocess.Popen[bytes]) -> str:
    """Return the address that Firefox says it listens on."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(rb"listening on (ws://\S+)", line):
            return f"{found[1].decode()}/session"
    pytest.fail(f"{PROGRAM} does not start")
