"""The query string and the headers of `/api/logs` → a `StreamRequest`. Pure.

A parameter that is unknown, is given twice or has a wrong value raises `BadQuery`, which names it.
The id to resume from has several names, and may be given several times, because client libraries
add it to an address that has one already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

import attrs
from werkzeug.datastructures import MIMEAccept

from natstream.entries.filters import FILTER_PARAMETERS, Filter, check_parameter
from natstream.entries.times import parse_time
from natstream.errors import BadQuery
from natstream.formats.events import FORMATS, EventId, Format

__all__ = ["StreamRequest", "parse_duration", "parse_stream_request", "read_query"]

STREAM_PARAMETERS = frozenset(
    {
        *("tail", "since", "until", "follow", "last_event_id", "format"),
        *("around", "before", "after"),
    }
)
# The lines around one line have both ends by themselves, so these cannot be given with it.
NOT_AROUND = ("tail", "since", "until", "last_event_id")
# How many lines are shown on each side of a line, if the request does not say so, and at most.
AROUND, MAX_AROUND = 50, 1_000

# The names of `last_event_id`, in any case: event-source-polyfill and reconnecting-eventsource
# send `lastEventId`, and Mercure's clients send `Last-Event-ID`.
RESUME_NAMES = frozenset({"last_event_id", "last-event-id", "lasteventid"})
# Libraries add these parameters, with a new value each time, so that no cache answers.
CACHE_BUSTERS = frozenset({"_", "_t"})

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(ms|s|m|h|d)", re.ASCII)

# Our own event ids are shorter than this, so the end of a longer one cannot matter.
_MAX_ID_LENGTH = 200


@attrs.frozen
class StreamRequest:
    """The request of one reader: the arguments for `Hub.subscribe`, and the format."""

    filter: Filter
    tail: int | None
    since: int | None
    """Unix ms."""
    follow: bool
    last_event_id: str | None
    format: Format
    until: int | None = None
    """Unix ms."""
    around: str | None = None
    """The id of a line."""
    before: int = AROUND
    after: int = AROUND

    @property
    def is_live_only(self) -> bool:
        """Whether the reader asks only for new lines, and for none from the past."""
        return self.follow and (self.last_event_id, self.tail, self.since) == (None, None, None)


def read_query(query: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query string, without those against caches.

    Raises:
        BadQuery: a name or a value is not UTF-8, so that a filter for it would find no line.
    """
    pairs = []
    for part in filter(None, query.replace(b"+", b" ").split(b"&")):
        name, _, value = (unquote_to_bytes(each) for each in part.partition(b"="))
        try:
            pair = (name.decode(), value.decode())
        except UnicodeDecodeError:
            shown = name.decode(errors="replace")[:100]
            raise BadQuery(
                f"{shown!r} holds bytes that are not UTF-8, so the request was refused. "
                "Encode the text as UTF-8, for example é as %C3%A9",
                parameter=shown,
            ) from None
        if pair[0] not in CACHE_BUSTERS:
            pairs.append(pair)
    return pairs


def parse_stream_request(
    query: Iterable[tuple[str, str]],
    *,
    last_event_id: str | None = None,
    accept: MIMEAccept | None = None,
) -> StreamRequest:
    """Return the request that a query and the headers Last-Event-ID and Accept describe.

    Args:
        query: names and values, as `read_query` returns them.
        last_event_id: ids of the header, separated by commas; the newest of them counts, and if it
            has none, the newest of the query.
        accept: the types that the client accepts.

    Raises:
        BadQuery: a parameter is unknown or repeated, or its value is not valid.
    """
    pairs = [
        ("last_event_id" if name.lower() in RESUME_NAMES else name, value) for name, value in query
    ]
    for name, _ in pairs:
        check_parameter(name, FILTER_PARAMETERS | STREAM_PARAMETERS)
    single = _singles(pairs)
    tail = _tail(single["tail"]) if "tail" in single else None
    since = _time("since", single["since"]) if "since" in single else None
    until = _time("until", single["until"]) if "until" in single else None
    resume_id = _newest((last_event_id or "").split(",")) or single.get("last_event_id")
    if since is not None and until is not None and until < since:
        raise BadQuery("until lies before since, so no line is between them", parameter="until")
    _check_around(single, resume_id)
    is_past = "around" in single or (until is not None and until <= time.time_ns() // 1_000_000)
    return StreamRequest(
        filter=Filter.from_query(pair for pair in pairs if pair[0] in FILTER_PARAMETERS),
        tail=tail,
        since=since,
        follow=_flag("follow", single.get("follow", "true")) and not is_past,
        last_event_id=resume_id[:_MAX_ID_LENGTH] if resume_id else None,
        format=_format(single.get("format"), accept),
        until=until,
        around=single["around"][:_MAX_ID_LENGTH] if "around" in single else None,
        before=_around_lines("before", single),
        after=_around_lines("after", single),
    )


def parse_duration(text: str) -> int | None:
    """Return the milliseconds in `10m`, `2h30m` or `500ms`, or `None` if it is not a duration."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(text))


def _singles(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    single: dict[str, str] = {}
    for name, value in pairs:
        if name == "last_event_id":
            single[name] = _newest([single.get(name, ""), value])
        elif name in STREAM_PARAMETERS:
            if name in single:
                raise BadQuery(f"{name} is given twice; give it once", parameter=name)
            single[name] = value
    return single


def _newest(ids: Iterable[str]) -> str:
    """Return the id of the newest line, or the last of them if none can be read, or ""."""
    newest, newest_id = "", None
    for text in filter(str.strip, ids):
        id = EventId.parse(text)
        if newest_id is None or (id is not None and not _is_older(id, newest_id)):
            newest, newest_id = text, id
    return newest


def _is_older(id: EventId, other: EventId) -> bool:
    """Return whether the line with `id` came before the other one."""
    if id.epoch == other.epoch:
        return id.number < other.number
    return id.unix_ms < other.unix_ms


def _tail(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise BadQuery("tail must be a whole number of lines, for example 100", parameter="tail")
    return int(text)


def _check_around(single: Mapping[str, str], resume_id: str | None) -> None:
    """Check the parameters for the lines around a line, as far as they concern each other."""
    if "around" not in single:
        for name in ("before", "after"):
            if name in single:
                raise BadQuery(f"{name} is only for around=<id>", parameter=name)
        return
    if not single["around"].strip():
        raise BadQuery("around is empty; give it the id of a line", parameter="around")
    given = {**single, **({"last_event_id": resume_id} if resume_id else {})}
    for name in NOT_AROUND:
        if name in given:
            raise BadQuery(
                f"{name} cannot be given with around, which shows the lines around one line and "
                "then ends",
                parameter=name,
            )
    if "follow" in single and _flag("follow", single["follow"]):
        raise BadQuery("follow cannot be true with around, which ends by itself", "follow")


def _around_lines(name: str, single: Mapping[str, str]) -> int:
    text = single.get(name, str(AROUND))
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) > MAX_AROUND:
        raise BadQuery(f"{name} must be a number of lines from 0 to {MAX_AROUND:,}", parameter=name)
    return int(text)


def _time(name: str, text: str) -> int:
    now_ms = time.time_ns() // 1_000_000
    if (duration := parse_duration(text)) is not None:
        return now_ms - duration
    # An unescaped plus before a time zone arrives as a space.
    unix_ns = parse_time(re.sub(r"([T ]\d\d\S{0,20}) (\d\d(?::?\d\d)?)$", r"\1+\2", text))
    if unix_ns is None:
        raise BadQuery(
            f"{name} must be a duration such as 10m or 2h, an ISO 8601 time, or epoch seconds",
            parameter=name,
        )
    return unix_ns // 1_000_000


def _flag(name: str, text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise BadQuery(f"{name} must be true or false", parameter=name)


def _format(name: str | None, accept: MIMEAccept | None) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise BadQuery(f"format must be one of {', '.join(FORMATS)}", parameter="format")
        return FORMATS[name]
    formats = list(FORMATS.values())
    if accept is None:
        return formats[0]

    # A client may accept a type with parameters, such as its charset, or without them.
    accepted = MIMEAccept([(_without_parameters(type), quality) for type, quality in accept])

    def quality(format: Format) -> float:
        return accepted.quality(_without_parameters(format.content_type))

    return max(formats, key=quality)  # On a tie the first format wins, which is SSE.


def _without_parameters(content_type: str) -> str:
    return content_type.partition(";")[0].strip()
