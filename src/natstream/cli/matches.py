"""The lines that match and the lines around them, from a running service. On trio.

The service sends all lines of the wanted apps, regions and machines, and the other filters are
applied here, because the lines around a match are those that these filters would hide. Lines from
before the start of the stream are asked for when a match needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from natstream.cli.context import Context
from natstream.client.client import open_log_stream
from natstream.entries.entry import LogEntry, Notice
from natstream.entries.filters import Filter
from natstream.errors import BadQuery, SourceError
from natstream.formats.events import EventId

__all__ = ["Matches"]

# Filters whose values differ between the lines of a machine.
OWN_FILTERS = (
    *("level", "min_level", "stream", "q", "not_", "field", "group", "release"),
    *("not_level", "not_stream", "not_group", "not_release"),
)
MOST_AROUND = 1_000  # lines that the service gives on each side


class Matches:
    """Chooses the lines of a stream to print.

    Args:
        url, token: the service, as for `open_log_stream`.
        parameters: all parameters of the stream.
        before, after: how many lines to print around each match.
        on_notice: called with notices of requests other than the stream itself.

    Raises:
        BadQuery: a filter cannot have its value.
    """

    def __init__(
        self,
        url: str,
        token: str,
        parameters: dict[str, Any],
        before: int,
        after: int,
        on_notice: Callable[[Notice], object],
    ) -> None:
        self._url, self._token, self._on_notice = url, token, on_notice
        self._all = parameters
        self._filter = Filter.from_query(_pairs(parameters))
        self._context = Context(before, after)
        self._first: EventId | None = None
        """The first match to print; lines before it match nothing."""

    async def find_start(self) -> dict[str, Any]:
        """Return the parameters of the stream to read, from the first match on.

        Raises:
            SourceUnavailable, SourceDenied, BadQuery: see `open_log_stream`.
        """
        wide = {name: value for name, value in self._all.items() if name not in OWN_FILTERS}
        if not wide.get("tail"):
            return wide
        opened: list[int] = []

        def on_notice(notice: Notice) -> None:
            opened.append(notice.unix_ms)
            if notice.type == "error" or notice.gap is not None:
                self._on_notice(notice)

        replay = {**self._all, "follow": False}
        async with open_log_stream(
            self._url, token=self._token, on_notice=on_notice, **replay
        ) as entries:
            async for entry in entries:
                self._first = _id_of(entry)
                break
        if self._first is not None:
            return {**wide, "since": self._first.unix_ms, "tail": None}
        # Without a match, the stream begins when the service was asked, by the service's clock.
        return {**wide, **({"since": opened[0], "tail": None} if opened else {"tail": 0})}

    async def choose(self, entries: Sequence[LogEntry]) -> list[LogEntry | None]:
        """Return the lines to print because of the next ones; `None` is a separator."""
        printed: list[LogEntry | None] = []
        for entry in entries:
            # `raw` is the service's event, whose own names are no fields of the message.
            matches = self._filter.matches(attrs.evolve(entry, raw={}))
            matches = matches and self._has_begun(entry)
            if matches and (missing := self._context.missing(entry)) is not None:
                lines = await self._before(missing.first, min(missing.lines, MOST_AROUND))
                self._context.learn(entry, lines)
            printed += self._context.add(entry, matches=matches)
        return printed

    def _has_begun(self, entry: LogEntry) -> bool:
        if self._first is not None:
            given = _id_of(entry)
            if given is not None and given.epoch == self._first.epoch:
                if given.number < self._first.number:
                    return False
            elif given is not None and given.unix_ms < self._first.unix_ms:
                return False
            self._first = None
        return True

    async def _before(self, first: LogEntry, lines: int) -> list[LogEntry]:
        """Return the lines of a machine before its line `first`."""
        around = _id_of(first)
        if around is None:
            return []
        try:
            async with open_log_stream(
                self._url,
                token=self._token,
                around=str(around),
                machine=first.machine_id,
                before=lines,
                after=0,
            ) as entries:
                return [entry async for entry in entries][:-1]
        except BadQuery:
            return []  # The service no longer has the line, and so none before it.
        except SourceError as error:
            self._on_notice(Notice(f"Lines before the next match are missing: {error}", "error"))
            return []


def _id_of(entry: LogEntry) -> EventId | None:
    return EventId.parse(str(entry.raw.get("id", "")))


def _pairs(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in OWN_FILTERS:
        values = parameters.get(name) or ()
        for value in (values,) if isinstance(values, str) else values:
            yield name.rstrip("_"), value
