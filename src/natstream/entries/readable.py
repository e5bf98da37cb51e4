"""A structured message → the text that a person reads first, and its other fields. Pure.

In: a message. Out: its text and the pairs of its other members, or the message as it is. JSON is
recognised alone, after a prefix (`api | {…}`), and in a JSON string. No message raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from natstream.entries.entry import decode_json

__all__ = ["read_message"]

# Where logging libraries put the text, the usual names first. Dots lead into objects.
TEXT_NAMES = (
    *("msg", "message", "event", "body", "text", "short_message", "log"),
    *("error.message", "err.message", "exception"),
)
# A terminal shows a few lines of fields at most; a message with more shows its JSON.
MAX_FIELDS = 100
MAX_DEPTH = 5
# Longer messages are shown as they are, because decoding them would delay the lines behind them.
MAX_LENGTH = 64 * 1024

_bare = re.compile(r"""[^\s"'=,\[\]{}]+""").fullmatch


def read_message(message: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text of a message, and its other fields as names and values.

    The text is the whole message, and there are no fields, if the message is no JSON object.
    """
    start = message.find("{")
    if start < 0 or len(message) > MAX_LENGTH or not message.rstrip().endswith(("}", '"')):
        return message, []
    prefix, found = message[:start], _decode(message[start:])
    if message.lstrip().startswith('"'):
        prefix, found = "", _decode(_decode(message))
    if not isinstance(found, dict) or not found or not _is_prefix(prefix):
        return message, []
    fields = list(_flatten(found, "", MAX_DEPTH))
    if len(fields) > MAX_FIELDS:
        return message, []
    values = dict(fields)
    name = next((each for each in TEXT_NAMES if _is_text(values.get(each))), "")
    text = str(values.get(name, ""))
    try:
        return prefix + text, [(key, _shown(value)) for key, value in fields if key != name]
    except RecursionError:  # A list that nests deeply can be read, but not written.
        return message, []


def _is_prefix(text: str) -> bool:
    """Return whether a text before an object is a label, rather than the start of a sentence."""
    text = text.strip()
    return not text or (len(text) <= 200 and "\n" not in text and text[-1] in "|]:>-")


def _decode(text: Any) -> Any:
    try:
        return decode_json(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _flatten(found: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict) and value and depth:
            yield from _flatten(value, f"{path}{name}.", depth - 1)
        else:
            yield f"{path}{name}", value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _shown(value: Any) -> str:
    """Return a value as one word, or as JSON."""
    if isinstance(value, str) and _bare(value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
