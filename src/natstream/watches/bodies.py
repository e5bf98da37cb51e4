"""A `Report` → the request that a receiver understands: Slack, Discord, ntfy or our own JSON. Pure.

In: a report, and the address of the page. Out: headers and a body. A line can neither mention
people, nor be read as markup, nor be longer than the receiver accepts.

Sources: Slack's "Formatting text for app surfaces" (three characters have to be escaped) and
"Sending messages using incoming webhooks"; Discord's "Execute Webhook" (2,000 characters,
`allowed_mentions`); ntfy's "Publishing" (4,096 bytes, then the text becomes a file).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from natstream.entries.escapes import one_line
from natstream.watches.report import Report

__all__ = ["VERSION", "Body", "body", "headline", "link"]

VERSION = 1
"""The version of our own JSON; it changes when a member changes its meaning or goes."""

# Slack shows a message of up to 4,000 characters whole. Discord refuses one of more than 2,000.
# ntfy makes a file of one of more than 4,096 bytes.
SLACK_LENGTH, DISCORD_LENGTH, NTFY_BYTES = 3_500, 1_990, 4_000
# A longer link would leave no room for lines, so it then leaves out the query.
MAX_LINK, DISCORD_LINK = 2_000, 700
MAX_QUERY = 300
# The page begins this many ms before the line, so that the line has others above it.
BEFORE_MS = 2_000

_SUPPRESS_EMBEDS = 4  # a flag of Discord's messages


class Body(NamedTuple):
    """The headers and the content of a request."""

    headers: Mapping[str, str]
    content: bytes


def body(kind: str, report: Report, public_url: str) -> Body:
    """Return the request for a receiver of this kind (see `file.RECEIVERS`)."""
    most = DISCORD_LINK if kind == "discord" else MAX_LINK
    return _BODIES[kind](report, link(report, public_url, most))


def link(report: Report, public_url: str, most: int = MAX_LINK) -> str:
    """Return the page's address at the first line; empty if the page has no known address.

    It leaves out the query if it had more than `most` characters.
    """
    if not public_url:
        return ""
    since = line = ""
    if report.first_id:
        moment = datetime.fromtimestamp((report.first_ms - BEFORE_MS) / 1000, UTC)
        since = f"{moment:%Y-%m-%dT%H:%M:%S}Z"
        line = f"#line={quote(report.first_id)}"
    pairs = parse_qsl(report.query, keep_blank_values=True)
    extra = [("since", since)] if since else []
    whole = f"{public_url}/?{urlencode(pairs + extra)}{line}"
    return whole if len(whole) <= most else f"{public_url}/?{urlencode(extra)}{line}"


# --- words -----------------------------------------------------------------------------------


def headline(report: Report) -> str:
    """Return what has happened, without the watch's name."""
    match report.kind:
        case "matched":
            return "1 line matched" if report.count == 1 else f"{report.count:,} lines matched"
        case "absent":
            return f"no line has matched for {_duration(report.seconds)}"
        case "back":
            return f"lines match again, after {_duration(report.seconds)} without one"
        case "unknown":
            return (
                f"no line has come for {_duration(report.seconds)}, and it is unknown whether "
                f"there are any, because {report.trouble}"
            )
        case "test":
            return "this is a test message of natstream; nothing has happened"


def _remarks(report: Report) -> list[str]:
    remarks = []
    if report.suppressed:
        least = "at least " if report.at_least else ""
        lines = "line has" if report.suppressed == 1 else "lines have"
        remarks.append(
            f"{least}{report.suppressed:,} more {lines} matched since the message before"
        )
    if report.missed or report.missed_more:
        count = f"{report.missed:,}" if report.missed else "some"
        least = "at least " if report.missed and report.missed_more else ""
        remarks.append(f"this watch did not see {least}{count} lines, which may have matched")
    if report.undelivered:
        messages = "message" if report.undelivered == 1 else "messages"
        remarks.append(f"{report.undelivered:,} earlier {messages} could not be delivered")
    if report.alone:
        remarks.append("the journal did not answer, so other processes may send this too")
    return [f"{remark[0].upper()}{remark[1:]}." for remark in remarks]


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2])


# --- receivers -------------------------------------------------------------------------------


def _slack(report: Report, link: str) -> Body:
    def escape(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    address = f"<{escape(link)}|Open the page>" if link else ""
    text = _marked_up(report, address, escape, SLACK_LENGTH)
    return _json({"text": text, "unfurl_links": False, "unfurl_media": False})


def _discord(report: Report, link: str) -> Body:
    text = _marked_up(report, f"<{link}>" if link else "", lambda text: text, DISCORD_LENGTH)
    return _json({"content": text, "allowed_mentions": {"parse": []}, "flags": _SUPPRESS_EMBEDS})


def _marked_up(report: Report, link: str, escape: Callable[[str], str], most: int) -> str:
    """Return a text whose names and lines are code, which neither chat reads as markup."""
    query = f" {_code(escape(_query(report)))}" if report.query else ""
    head = "\n".join(
        [
            f"{_code(report.watch)}: {escape(headline(report))}",
            *([f"Query:{query}"] if query else []),
            *map(escape, _remarks(report)),
            *([link] if link else []),
        ]
    )
    room = most - _units(head) - len("\n```\n\n```")
    lines = _fitting([escape(_unfenced(line.text)) for line in report.lines], room, _units)
    return f"{head}\n```\n{lines}\n```" if lines else head


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _unfenced(text: str) -> str:
    """Return a text that does not end a block of code: a joiner stands between backticks."""
    return re.sub("`(?=`)", "`\u200b", text)


def _ntfy(report: Report, link: str) -> Body:
    lines = [*([f"Query: {_query(report)}"] if report.query else []), *_remarks(report)]
    head = "\n".join(lines)
    room = NTFY_BYTES - _bytes(head) - 2
    shown = _fitting([line.text for line in report.lines], room, _bytes)
    text = "\n\n".join(part for part in (head, shown) if part)
    title = f"{report.watch}: {headline(report)}"
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": title.encode("ascii", "replace").decode(),
        **({"Click": link} if link else {}),
    }
    return Body(headers, (text or title).encode())


def _own(report: Report, link: str) -> Body:
    text = f"{report.watch}: {headline(report)}"
    return _json(
        {
            "version": VERSION,
            "watch": report.watch,
            "kind": report.kind,
            "text": text,
            "remarks": _remarks(report),
            "query": report.query,
            "at": report.at_ms,
            "count": report.count,
            "suppressed": report.suppressed,
            "missed": report.missed,
            "undelivered": report.undelivered,
            "first_id": report.first_id,
            "link": link,
            "lines": [
                {
                    "id": line.id,
                    "timestamp": line.timestamp,
                    "app": line.app,
                    "region": line.region,
                    "machine": line.machine,
                    "stream": line.stream,
                    "level": line.level,
                    "message": line.message,
                }
                for line in report.lines
            ],
        }
    )


_BODIES: Mapping[str, Callable[[Report, str], Body]] = {
    "slack": _slack,
    "discord": _discord,
    "ntfy": _ntfy,
    "url": _own,
}


def _json(value: object) -> Body:
    return Body({"Content-Type": "application/json"}, msgspec.json.encode(value))


def _query(report: Report) -> str:
    text = one_line(report.query)
    return text if len(text) <= MAX_QUERY else f"{text[: MAX_QUERY - 1]}…"


# --- lengths ---------------------------------------------------------------------------------


def _units(text: str) -> int:
    """Return the length as JavaScript counts it, which is the largest that a chat may count."""
    return len(text.encode("utf-16-le")) // 2


def _bytes(text: str) -> int:
    return len(text.encode())


def _fitting(lines: list[str], room: int, length: Callable[[str], int]) -> str:
    """Return as many lines as fit; each may take an equal share of the room that is left."""
    shown: list[str] = []
    for index, line in enumerate(lines):
        share = room // (len(lines) - index) - 1
        if share < 20:  # Less of a line would say nothing.
            break
        cut = _shortened(line, share, length)
        shown.append(cut)
        room -= length(cut) + 1
    return "\n".join(shown)


def _shortened(text: str, most: int, length: Callable[[str], int]) -> str:
    if length(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if length(text[:middle]) + length("…") <= most:
            low = middle
        else:
            high = middle - 1
    # A cut must not leave a part of an escaped character.
    return re.sub(r"&[a-z]{0,3}$", "", text[:low]) + "…"
