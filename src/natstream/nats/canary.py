"""The line that natstream writes so that Fly brings it back: how it is made and recognised. Pure.

In: `ACCESS_TOKEN` and the name of natstream's own app, which all instances share. Out: a line, and
which entries are such lines. A line holds the time of writing, a nonce, and a MAC by a key that is
derived from the token. So the line of another app, or a line that a program makes up, is a line
like any other.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections import OrderedDict

from natstream.entries.entry import LogEntry

__all__ = ["CANARY_MARK", "Canaries"]

CANARY_MARK = b"natstream canary "
"""The beginning of each such line."""

_LINE = re.compile(
    r"natstream canary (?P<text>(?P<ns>[0-9]{1,20}) [0-9a-f]{16}) (?P<mac>[0-9a-f]{32})"
)
# Seconds. An older line is a repetition: it says nothing about the present. Machines' clocks differ
# by less than this.
MAX_AGE = 60.0
# Lines that are remembered, so that none counts twice: far more than instances write in `MAX_AGE`.
MAX_SEEN = 10_000


class Canaries:
    """Makes and recognises the lines of one app's instances.

    Args:
        token: the secret that all instances share.
        app: the app whose instances write these lines.
    """

    def __init__(self, token: str, app: str) -> None:
        self.app = app
        self._key = hmac.digest(token.encode(), b"natstream canary", "sha256")
        self._seen: OrderedDict[str, None] = OrderedDict()

    def make(self) -> bytes:
        """Return a new line, with its end."""
        text = f"{time.time_ns()} {secrets.token_hex(8)}"
        return CANARY_MARK + f"{text} {self._mac(text)}\n".encode()

    def is_genuine(self, entry: LogEntry) -> bool:
        """Return whether an instance of the app has written this line, now or at any time."""
        return entry.app_name == self.app and self._match(entry) is not None

    def delay_of(self, entry: LogEntry) -> float | None:
        """Return the seconds since a line was written, if it was written just now.

        Return None for a line that is not genuine, and for a repetition, because only the first
        arrival of a line shows that lines are delivered at present.
        """
        if entry.app_name != self.app or (match := self._match(entry)) is None:
            return None
        delay = (time.time_ns() - int(match["ns"])) / 1e9
        if abs(delay) > MAX_AGE or match["text"] in self._seen:
            return None
        self._seen[match["text"]] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return max(0.0, delay)

    def _match(self, entry: LogEntry) -> re.Match[str] | None:
        match = _LINE.fullmatch(entry.message.rstrip("\r\n"))
        if match is None or not hmac.compare_digest(match["mac"], self._mac(match["text"])):
            return None
        return match

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key, f"{self.app} {text}".encode(), "sha256")[:16].hex()
