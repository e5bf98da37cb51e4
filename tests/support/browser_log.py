"""The log page in a tab of any browser, with short names for its parts.

A test publishes under an app of its own and looks at that app only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from tests.support.browser_tab import Tab
from tests.support.viewer import line

__all__ = ["ROW", "LogPage"]

ROW = "#rows .row"


@attrs.frozen
class LogPage:
    """The page, looking at one app."""

    tab: Tab
    url: str
    app: str
    _publish: Callable[[str, Sequence[bytes]], None]

    def open(self, query: str = "", *, live: bool = True) -> LogPage:
        """Go to the page, and wait until it is connected."""
        self.tab.open(f"{self.url}/?app={self.app}{query}")
        if live:
            self.wait_for_state("Live")
        return self

    def publish(self, *messages: str, **more: Any) -> None:
        """Publish lines of this page's app."""
        payloads = [line(message, app=self.app, **more) for message in messages]
        self._publish(f"logs.{self.app}.iad.0e286551c30586", payloads)

    def wait_for_state(self, text: str) -> None:
        """Wait until the button of the connection says this."""
        self.tab.wait_for_element("#state-text", text)

    def wait_for_row(self, text: str) -> None:
        """Wait until a row shows this."""
        self.tab.wait_for_element(ROW, text)

    def wait_for_messages(self, messages: Sequence[str]) -> None:
        """Wait until the rows show exactly these messages."""
        self.tab.wait_for(
            f"the messages {messages}",
            "(wanted) => JSON.stringify([...document.querySelectorAll('#rows .m')]"
            ".map((one) => one.innerText)) === JSON.stringify(wanted)",
            messages,
        )

    def messages(self) -> list[str]:
        """Return the messages of the drawn rows."""
        return self.tab.texts("#rows .m")

    def search(self, text: str) -> None:
        """Type a query into the search field, and press Enter."""
        self.tab.fill("#query", text)
        self.tab.press("Enter")

    def is_at_end(self) -> bool:
        """Return whether the list shows its newest line."""
        return bool(
            self.tab.call(
                "() => { const l = document.getElementById('lines');"
                " return l.scrollHeight - l.scrollTop - l.clientHeight < 5; }"
            )
        )
