"""Fly's logs interface: the lines of an app from a moment on, a page at a time.

In: an app and a time. Out: entries with `source` `"fly"`, in Fly's order, each line once. Fly keeps
about seven days and gives about 100 lines a page. Its cursor is a time in ns, and the page begins
with the lines of exactly that time again, so lines are told apart by their ids and texts.

The interface is the one that `fly logs` reads:
`GET {base}/api/v1/apps/{app}/logs?next_token=…&region=…&instance=…`.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_nats
from natstream.fly_api.client import Budget, FlyApiError, FlyClient

__all__ = ["LogPage", "LogReader", "parse_page"]

# Lines that are remembered, because a page can bring them again: those of the page before, and
# those of the last seconds, when the reader goes back.
MAX_SEEN = 5_000
# A cursor is a time in ns. A larger number would name a time that no line ever reaches.
MAX_CURSOR = 2**63
# An app that goes on logging never gives a page without new lines. A reader has caught up with it
# after a short page of the last seconds or, since clocks may be off, after so many short pages.
JUST_NOW_NS = 5 * 10**9
SHORT_PAGES = 5

_encode = msgspec.json.Encoder().encode


@attrs.frozen
class LogPage:
    """One answer of the interface."""

    lines: Sequence[tuple[int, LogEntry]]
    """Pairs of what tells a line from others, and its entry."""
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
        (_key(item.get("id"), attributes), _entry(app, attributes))
        for item in data
        if isinstance(item, dict) and isinstance(attributes := item.get("attributes"), dict)
    ]
    token = meta.get("next_token") if isinstance(meta, dict) else None
    return LogPage(lines, _cursor(token))


def _key(id: Any, attributes: Mapping[str, Any]) -> int:
    # With the text beside it, an id that is missing or given twice costs no line.
    texts = (str(attributes.get(name)) for name in ("timestamp", "instance", "message"))
    return hash((str(id), *texts))


def _cursor(token: Any) -> int | None:
    if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 25:
        token = int(token)
    if isinstance(token, int) and not isinstance(token, bool) and 0 <= token < MAX_CURSOR:
        return token
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
    """Whether the last page brought nothing, so that there is nothing more at present."""
    is_short: bool = attrs.field(default=False, init=False)
    """Whether the last page was far from full. There is probably nothing more, but pages may have
    any size."""
    is_caught_up: bool = attrs.field(default=False, init=False)
    """Whether the lines are read up to the present."""
    _short_pages: int = attrs.field(default=0, init=False)
    """Short pages in a row."""
    _full: int = attrs.field(default=1, init=False)
    """The lines of the largest page, since Fly does not say how many a page has."""
    _last: Sequence[int] = attrs.field(default=(), init=False)
    """The lines of the last page."""
    _seen: OrderedDict[int, int] = attrs.field(factory=OrderedDict, init=False)
    """How often each line stood in one page."""

    async def next_page(self) -> Sequence[LogEntry]:
        """Return the lines of the next page that were not read before; it may have none.

        Raises:
            FlyApiError: the interface does not answer, or with the same page whatever the cursor
                is; the reader may be asked again.
        """
        params = {} if self.since_ns is None else {"next_token": str(self.since_ns)}
        if self.instance:
            params["instance"] = self.instance
        url = f"{self.base}/api/v1/apps/{self.app}/logs"
        answer = await self.client.get(url, params, budget=self.budget)
        page = parse_page(self.app, answer)
        new = self._unseen(page)
        cursor, since_ns = page.cursor, self.since_ns
        if new and (cursor is None or (since_ns is not None and cursor <= since_ns)):
            # A cursor that stands still would give the same lines for ever. A time is one too.
            cursor = max(entry.unix_ns for entry in new)
        has_moved = cursor is not None and (since_ns is None or cursor > since_ns)
        keys = [key for key, _ in page.lines]
        if not has_moved and len(keys) > 1 and keys == self._last and self._is_before(page):
            raise FlyApiError(
                "The logs interface gives the same lines again, whatever it is asked", "unreadable"
            )
        self._last = keys
        self._full = max(self._full, len(keys))
        self.is_short = len(keys) < self._full / 2
        self.is_at_end = not keys or not has_moved
        self._short_pages = self._short_pages + 1 if self.is_short else 0
        is_new = bool(new) and new[-1].unix_ns > time.time_ns() - JUST_NOW_NS
        self.is_caught_up = (
            self.is_at_end or (self.is_short and is_new) or self._short_pages >= SHORT_PAGES
        )
        # The cursor of an empty page may be any time, and earlier lines may still be on their way.
        if has_moved and keys:
            self.since_ns = cursor
        return new

    def go_back(self, seconds: float) -> None:
        """Let the next page begin earlier, because some lines reach the interface late.

        The lines that were read do not come again, as far as they are remembered.
        """
        if self.since_ns is not None:
            self.since_ns -= int(seconds * 1e9)
        self._last = ()

    def _unseen(self, page: LogPage) -> Sequence[LogEntry]:
        """Return the lines of a page that no page had before; equal ones of one page all count."""
        counts: Counter[int] = Counter()
        new = []
        for key, entry in page.lines:
            counts[key] += 1
            if counts[key] > self._seen.get(key, 0):
                new.append(entry)
        for key, count in counts.items():
            self._seen[key] = max(count, self._seen.get(key, 0))
            self._seen.move_to_end(key)
        while len(self._seen) > max(MAX_SEEN, 2 * len(page.lines)):
            self._seen.popitem(last=False)
        return new

    def _is_before(self, page: LogPage) -> bool:
        """Return whether a page begins before the time that was asked for."""
        return self.since_ns is not None and page.lines[0][1].unix_ns < self.since_ns
