"""The tools of an assistant, as requests to a natstream service. On trio.

In: the arguments of a call, which have the shape of `mcp_schema`. Out: the text of the answer:
sentences on the number of matches, on cuts and on gaps, and a block with the lines. The service
chooses and limits the lines, so that a million of them cost little here.

Errors: `SourceUnavailable`, `SourceDenied` and `BadQuery`, as those of `open_log_stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import trio

from natstream.cli.mcp_answers import (
    Counts,
    Kinds,
    ServiceStatus,
    count_lines,
    deploy_lines,
    gap_sentence,
    kind_line,
    moment,
    read,
    since_sentence,
    status_lines,
)
from natstream.cli.mcp_schema import DEFAULT_KB, FILTERS
from natstream.cli.mcp_text import Excerpt, FirstLines, answer_text, counted, excerpt_text
from natstream.client.answers import read_answer
from natstream.client.client import open_log_stream
from natstream.entries.entry import LogEntry, Notice
from natstream.errors import BadQuery, SourceError, SourceUnavailable

__all__ = ["Tools"]

# Seconds for a tool. Many clients give up a call after a minute.
DEADLINE = 40.0
# Lines are counted one by one up to so many and for so many seconds, because each of them is sent
# for that. More lines are counted by their patterns.
MOST_COUNTED = 10_000
COUNT_SECONDS = 10.0
NEWS = frozenset({"new", "more"})
MOST_NEWS = 20

Arguments = Mapping[str, Any]
Take = Callable[[Sequence[LogEntry]], bool]


class Tools:
    """The tools for one service.

    Args:
        url, token: the service, as for `open_log_stream`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token

    async def overview(self, arguments: Arguments) -> str:
        """Return the state of the sources, the apps and so on, and the news since the deploy."""
        with _deadline():
            status = read(await self._ask("status"), ServiceStatus)
            counts = read(await self._ask("facets"), Counts)
            kinds = read(await self._ask("patterns", compare="deploy"), Kinds)
        news = [kind for kind in kinds.patterns if kind.verdict in NEWS]
        bad = [source for source in status.sources.values() if source.state != "up"]
        lines = FirstLines(_kb(arguments))
        lines.extend([*status_lines(status), *deploy_lines(kinds)])
        lines.extend(map(kind_line, news[:MOST_NEWS]))
        lines.extend(count_lines(counts))
        return answer_text(
            [
                f"{counted(len(status.sources), 'source')}, of which {len(bad):,} not up.",
                gap_sentence(status),
                f"New or more frequent since the deploy: {len(news):,} patterns, of which "
                f"{len(news[:MOST_NEWS]):,} are listed."
                if kinds.compare is not None
                else "Nothing can be said about changes since a deploy, because no newer release "
                "is known. The tool patterns compares with ten minutes ago by compare=10m.",
                since_sentence(kinds),
                "Other counts are of the last half hour, and rates of the last half minute.",
                lines.cut(),
            ],
            lines.texts,
        )

    async def search(self, arguments: Arguments) -> str:
        """Return the newest lines that match, and how many matched."""
        excerpt = Excerpt(_kb(arguments))
        filters, wanted = _filters(arguments, "since", "until"), int(arguments.get("lines", 100))
        replay = {**filters, "tail": wanted, "follow": False}
        is_complete = await self._read(DEADLINE, replay, excerpt.extend, excerpt.note)
        head, not_asked = f"{counted(excerpt.lines, 'line')} matched.", ""
        if excerpt.lines >= wanted:
            head, is_more = await self._count(filters, excerpt.lines)
            not_asked = f"older lines, because lines is {wanted}" if is_more else ""
        return excerpt_text(head, excerpt, is_complete=is_complete, not_asked=not_asked)

    async def around(self, arguments: Arguments) -> str:
        """Return a line with the lines before and after it."""
        event_id = str(arguments["id"]).strip()
        excerpt = Excerpt(_kb(arguments), event_id)
        parameters = {
            **_filters(arguments),
            "around": event_id,
            "before": int(arguments.get("before", 20)),
            "after": int(arguments.get("after", 20)),
        }
        is_complete = await self._read(DEADLINE, parameters, excerpt.extend, excerpt.note)
        head = f"{counted(excerpt.lines, 'line')}: the line itself, and neighbours that matched."
        return excerpt_text(head, excerpt, is_complete=is_complete)

    async def patterns(self, arguments: Arguments) -> str:
        """Return the kinds of lines, with their counts."""
        compare, rows = arguments.get("compare"), int(arguments.get("rows", 50))
        with _deadline():
            answer = await self._ask("patterns", **_filters(arguments), compare=compare)
            status = read(await self._ask("status"), ServiceStatus)
        kinds = read(answer, Kinds)
        lines = FirstLines(_kb(arguments))
        lines.extend([*deploy_lines(kinds), *map(kind_line, kinds.patterns[:rows])])
        sentences = [
            f"{counted(kinds.lines, 'line')} matched, where a stack trace counts as one line. "
            f"Listed: {min(rows, len(kinds.patterns)):,} of {len(kinds.patterns):,} patterns.",
            since_sentence(kinds),
        ]
        if kinds.other.count:
            sentences.append(f"{kinds.other.count:,} of the lines have patterns not known here.")
        if compare and kinds.compare is None:
            sentences.append("Nothing was compared, because no newer release is known.")
        sentences.append(gap_sentence(status))
        return answer_text([*sentences, lines.cut()], lines.texts)

    async def tail(self, arguments: Arguments) -> str:
        """Return the lines that arrive within some seconds, or the first of them."""
        excerpt = Excerpt(_kb(arguments))
        seconds, wanted = int(arguments.get("seconds", 10)), int(arguments.get("lines", 100))

        def take(entries: Sequence[LogEntry]) -> bool:
            excerpt.extend(entries)
            return excerpt.lines >= wanted or excerpt.is_full

        began = trio.current_time()
        has_enough = await self._read(seconds, _filters(arguments), take, excerpt.note)
        took = trio.current_time() - began
        why = "which was enough" if has_enough else "which was all the time"
        head = f"{counted(excerpt.lines, 'new line')} matched in {took:.1f} s, {why}."
        return excerpt_text(head, excerpt)

    async def _ask(self, name: str, **parameters: Any) -> dict[str, Any]:
        return await read_answer(self._url, name, token=self._token, **parameters)

    async def _read(
        self,
        seconds: float,
        parameters: Mapping[str, Any],
        take: Take,
        on_notice: Callable[[Notice], None] = lambda notice: None,
    ) -> bool:
        """Pass lines to `take` until it returns True, the stream ends, or the time is over.

        Return whether the time was enough.
        """
        has_answered = False
        with trio.move_on_after(seconds):
            async with open_log_stream(
                self._url, token=self._token, on_notice=on_notice, **parameters
            ) as entries:
                has_answered = True
                try:
                    while not take(await entries.receive_some()):
                        pass
                except trio.EndOfChannel:
                    pass
                return True
        if not has_answered:
            raise _too_slow(seconds)
        return False

    async def _count(self, filters: Mapping[str, Any], least: int) -> tuple[str, bool]:
        """Return a sentence about how many lines match, and whether more than `least` may."""
        count = 0

        def take(entries: Sequence[LogEntry]) -> bool:
            nonlocal count
            count += len(entries)
            return False

        replay = {**filters, "tail": MOST_COUNTED + 1, "follow": False}
        is_complete = False
        with suppress(SourceError):  # The lines themselves have come, so they are shown.
            is_complete = await self._read(COUNT_SECONDS, replay, take)
        count = max(count, least)
        if is_complete and count <= MOST_COUNTED:
            return f"{counted(count, 'line')} matched.", count > least
        at_least = f"At least {counted(count, 'line')} matched."
        # Patterns are counted since the start of the span that is compared.
        asked = {name: value for name, value in filters.items() if name != "since"}
        try:
            with _deadline(COUNT_SECONDS):
                compare = filters.get("since")
                kinds = read(await self._ask("patterns", **asked, compare=compare), Kinds)
        except (SourceError, BadQuery):
            # There is `until`, or `since` reaches further back than the counts of patterns.
            return at_least, True
        since = moment(max(kinds.since_ms, kinds.compare.since_ms if kinds.compare else 0))
        text = f"{at_least} By patterns, about {kinds.lines:,} since {since}, where a stack trace "
        return f"{text}counts as one line.", True


@contextmanager
def _deadline(seconds: float = DEADLINE) -> Iterator[None]:
    """Raise SourceUnavailable if the block takes too long."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise _too_slow(seconds) from error


def _too_slow(seconds: float) -> SourceUnavailable:
    return SourceUnavailable(f"The service has not answered within {seconds:g} s")


def _filters(arguments: Arguments, *more: str) -> dict[str, Any]:
    """Return the arguments that choose lines."""
    return {name: arguments[name] for name in (*FILTERS, *more) if name in arguments}


def _kb(arguments: Arguments) -> int:
    return int(arguments.get("max_kb", DEFAULT_KB))
