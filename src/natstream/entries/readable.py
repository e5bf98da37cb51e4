"""A structured message → the text that a person reads first, and its other fields. Pure.

In: a message without colours. Out: its text and the pairs of its other members, or the message as
it is. The level and the time are left out, because the line has them already. No message raises.
The page has the same rules in `text/summary.js`.
"""

from __future__ import annotations

import json
import re

from natstream.entries.json_object import Member, find_object, members_of
from natstream.entries.level_names import name_of, number_level

__all__ = ["read_message"]

# Where logging libraries put the text, the usual names first. Dots lead into objects.
TEXT_NAMES = (
    *("msg", "message", "event", "@m", "@mt", "body", "text", "log", "short_message"),
    *("error.message", "err.message", "exception"),
)
# Fields that each line of a process has come last, and those whose value the line shows anyway are
# left out.
LEVEL_NAMES = frozenset(
    {
        *("level", "lvl", "severity", "levelname", "level_name", "log.level", "loglevel"),
        *("LogLevel", "@level", "@l", "severityText", "severity_text"),
    }
)
TIME_NAMES = frozenset({"time", "ts", "timestamp", "@timestamp", "@t"})
LAST_NAMES = frozenset({"pid", "hostname", "host", "v", "logger"}) | LEVEL_NAMES | TIME_NAMES
# A terminal shows a few lines of fields at most; a message with more shows its JSON.
MAX_FIELDS = 200
MAX_DEPTH = 4
# Longer messages are shown as they are, because decoding them would delay the lines behind them.
MAX_LENGTH = 64 * 1024

_is_time = re.compile(r"\d{10,19}(?:\.\d+)?|\d{4}-\d\d-\d\d[T ].*", re.ASCII).fullmatch
_needs_quotes = re.compile(r'[\s"=]').search


def read_message(message: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text of a message, and its other fields as names and values.

    The text is the whole message, and there are no fields, if the message has no JSON object.
    """
    found = find_object(message.strip()) if len(message) <= MAX_LENGTH else None
    if found is None:
        return message, []
    prefix, members = found.prefix, members_of(found, MAX_DEPTH)
    text = _text_of(members)
    # The text may be JSON again, where one logger wraps the lines of another.
    inner = find_object(text.text.strip()) if text is not None else None
    others = [member for member in members if member is not text]
    if inner is not None:
        wrapped = members_of(inner, MAX_DEPTH)
        prefix += inner.prefix
        text = _text_of(wrapped)
        others[:0] = [member for member in wrapped if member is not text]
    shown = [member for member in others if not _is_known(member)]
    start = (prefix + (text.text if text is not None else "")).rstrip()
    if len(shown) > MAX_FIELDS or not (start or shown):
        return message, []
    shown.sort(key=lambda member: member.path in LAST_NAMES)
    return start, [(member.path, _shown(member)) for member in shown]


def _text_of(members: list[Member]) -> Member | None:
    texts = {each.path: each for each in members if each.is_string and each.text.strip()}
    return next((texts[name] for name in TEXT_NAMES if name in texts), None)


def _is_known(member: Member) -> bool:
    """Return whether a field is the level or the time of the line."""
    if member.path in LEVEL_NAMES:
        return (name_of(member.text) or number_level(member.text)) != ""
    return member.path in TIME_NAMES and _is_time(member.text) is not None


def _shown(member: Member) -> str:
    """Return a value as one word, or as JSON."""
    if member.is_string and (not member.text or _needs_quotes(member.text)):
        return json.dumps(member.text, ensure_ascii=False)
    return member.text
