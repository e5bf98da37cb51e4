"""Fly's logs interface: the lines of an app from a moment on, a page at a time.

In: an app and a time. Out: entries with `source` `"fly"`, in Fly's order, each line once. Fly keeps
about seven days and gives about 100 lines a page. Its cursor is a time in ns, and the page begins
with the lines of exactly that time again, so lines are told apart by their ids.

The interface is the one that `fly logs` reads:
`GET {base}/api/v1/apps/{app}/logs?next_token=…&region=…&instance=…`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_nats
from natstream.fly_api.client import Budget, FlyApiError, FlyClient

__all__ = ["LogPage", "LogReader", "parse_page"]

# Two pages of ids: those of the page before are the ones that can come again.
MAX_IDS = 1_000

_encode = msgspec.json.Encoder().encode


@attrs.frozen
class LogPage:
    """One answer of the interface."""

    lines: Sequence[tuple[str, LogEntry]]
    """Pairs of a line's id and its entry."""
    cursor: int | None
    """The time in ns from which the next page is asked; None if the answer names none."""


def parse_page(app: str, answer: Any) -> LogPage:
    """Return the lines and the cursor of an answer. Items of another shape are passed over.

    Raises:
        FlyApiError: the answer is not a page of lines.
    """
    data, meta = (answer.get("data"), answer.get("meta")) if isinstance(answer, dict) else (0, 0)
    if not isinstance(data, list):
        raise FlyApiError("The logs interface gave an answer without lines", "unreadable")
    lines = [
        (_id(item.get("id"), attributes), _entry(app, attributes))
        for item in data
        if isinstance(item, dict) and isinstance(attributes := item.get("attributes"), dict)
    ]
    token = meta.get("next_token") if isinstance(meta, dict) else None
    return LogPage(lines, _cursor(token))


def _id(given: Any, attributes: Mapping[str, Any]) -> str:
    """Return Fly's id of a line, or what tells a line without one from the others of its page."""
    if isinstance(given, str | int) and given:
        return str(given)
    return "\0".join(str(attributes.get(name)) for name in ("timestamp", "instance", "message"))


def _cursor(token: Any) -> int | None:
    if isinstance(token, int) and not isinstance(token, bool):
        return token
    if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 25:
        return int(token)
    return None


def _entry(app: str, attributes: Mapping[str, Any]) -> LogEntry:
    """Return the entry of a line. It is parsed as the line of NATS that Fly would have published.

    So levels, fields and the names of app, region and machine have one meaning for both ways.
    """
    meta = attributes.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    region = attributes.get("region") or meta.get("region") or ""
    machine = attributes.get("instance") or meta.get("instance") or ""
    beside = {name: meta[name] for name in ("error", "http", "url") if name in meta}
    payload = {
        "event": meta.get("event") or {},
        "fly": {"app": {"instance": machine, "name": app}, "region": region},
        "log": {"level": attributes.get("level") or ""},
        "message": attributes.get("message"),
        "timestamp": attributes.get("timestamp") or "",
        **beside,
    }
    subject = f"logs.{app}.{_name(region)}.{_name(machine)}"
    return parse_nats(subject, _encode(payload), source="fly")


def _name(value: Any) -> str:
    return value.replace(".", "") if isinstance(value, str) else ""


@attrs.define
class LogReader:
    """Reads the lines of one app onwards from a time, and goes on where it ended.

    Without `since_ns` it begins with the newest page.
    """

    client: FlyClient
    base: str
    """The address of the interface, for example `https://api.fly.io`."""
    app: str
    since_ns: int | None = None
    instance: str = ""
    """A machine, if only its lines are wanted."""
    budget: Budget | None = None
    """Pays for the requests."""
    is_at_end: bool = attrs.field(default=False, init=False)
    """Whether the last page was not full, so that there is nothing more at present."""
    _full: int = attrs.field(default=1, init=False)
    """The lines of the largest page, since Fly does not say how many a page has."""
    _seen: OrderedDict[str, None] = attrs.field(factory=OrderedDict, init=False)

    async def next_page(self) -> Sequence[LogEntry]:
        """Return the lines of the next page that were not read before; it may have none.

        Raises:
            FlyApiError: the interface does not answer; the reader may be asked again.
        """
        params = {} if self.since_ns is None else {"next_token": str(self.since_ns)}
        if self.instance:
            params["instance"] = self.instance
        url = f"{self.base}/api/v1/apps/{self.app}/logs"
        answer = await self.client.get(url, params, budget=self.budget)
        page = parse_page(self.app, answer)
        new = [entry for id, entry in page.lines if id not in self._seen]
        self._seen.update((id, None) for id, _ in page.lines)
        while len(self._seen) > MAX_IDS:
            self._seen.popitem(last=False)
        cursor = page.cursor
        if cursor is None and new:
            cursor = max(entry.unix_ns for entry in new)
        # A cursor that goes back would give the same lines for ever.
        has_moved = cursor is not None and (self.since_ns is None or cursor > self.since_ns)
        self._full = max(self._full, len(page.lines))
        # Pages differ by a few lines. The lines that come while an app is read make short pages.
        self.is_at_end = not has_moved or not new or len(page.lines) < self._full / 2
        if has_moved:
            self.since_ns = cursor
        return new
