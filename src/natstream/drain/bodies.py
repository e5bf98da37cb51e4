"""A sender's body, already decompressed → entries. Pure.

In: a whole body, with one JSON object on each line, objects that follow each other, an array,
`{"logs": [...]}`, or lines of text. Out: the body's entries, and how many lines were dropped, by
reason. A body that is broken, in which nothing can be read, or that has too many lines, raises
`BadBody`. So a body is accepted whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from natstream.drain.content_encoding import UnsupportedMediaType
from natstream.drain.splitting import check_lines, is_prose, json_texts, split_lines, unfold
from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_object, parse_text
from natstream.errors import BadBody

__all__ = ["MAX_LINES", "ParsedBody", "parse_body"]

# Lines of a body. A line that is not a log line has at least one byte and may take 10 µs, so
# 16 MiB of such lines could take a minute without this limit.
MAX_LINES = 200_000


class ParsedBody(NamedTuple):
    """The entries of a body, in order, and how many lines gave no entry, by reason.

    The reasons are `not_json`, `no_machine` and `not_utf8`.
    """

    entries: Sequence[LogEntry] = ()
    dropped: Mapping[str, int] = MappingProxyType({})


def parse_body(
    body: bytes, *, app_name: str = "", plain: bool = False, max_lines: int = MAX_LINES
) -> ParsedBody:
    """Return the entries of a body. A body that starts with `{` or `[` is JSON, others are text.

    Args:
        body: the body, decompressed.
        app_name: the app of entries that name none.
        plain: the sender says that the body is text; it is read as JSON only if it is valid JSON.
        max_lines: how many lines the body may have, and how many values its lines may hold.

    Raises:
        BodyTooLarge: the body has more lines or values than `max_lines`.
        BadBody: the body ends early, or nothing in it can be read.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    stripped = body.lstrip()
    if not stripped:
        return ParsedBody()
    if stripped.startswith(b"{") and stripped.find(b"\n") in (-1, len(stripped) - 1):
        # Senders that do not batch send one object, which need not be taken apart.
        with suppress(ValueError):
            if entry := parse_object(stripped.rstrip(), app_name):
                return ParsedBody((entry,))
    if stripped.startswith(b"\x1f\x8b"):
        raise UnsupportedMediaType("The body is gzip; say so with Content-Encoding: gzip.")
    # Blank lines are dropped, and the first other line keeps its indentation.
    text = body[body.rfind(b"\n", 0, len(body) - len(stripped)) + 1 :]
    is_json = stripped.startswith((b"{", b"[")) and not (plain and is_prose(stripped))
    if is_json:
        parsed = _parse_json(json_texts(stripped, max_lines), app_name, max_lines)
    else:
        parsed = _parse_text(text, app_name, max_lines)
    if parsed.entries or not parsed.dropped or "no_machine" in parsed.dropped:
        return parsed
    if plain and is_json:
        return _parse_text(text, app_name, max_lines)
    raise BadBody(
        "Nothing in the body can be read: send UTF-8, as one JSON object a line, "
        "a JSON array of objects, or lines of text that start with neither { nor [."
    )


def _parse_text(text: bytes, app_name: str, max_lines: int) -> ParsedBody:
    check_lines(text, max_lines)
    entries: list[LogEntry] = []
    dropped: Counter[str] = Counter()
    for line in split_lines(text):
        line = line.removesuffix(b"\r")
        if not line:
            continue
        try:
            line.decode()
        except UnicodeDecodeError:
            dropped["not_utf8"] += 1
        else:
            entries.append(parse_text(line, app_name=app_name))
    return ParsedBody(entries, dropped)


def _parse_json(texts: Iterable[bytes], app_name: str, max_values: int | None) -> ParsedBody:
    """Return the entries of JSON texts, each of which is one object or holds several.

    Args:
        texts: lines or values, which may be blank.
        app_name: the app of entries that name none.
        max_values: how many values may stand in texts that hold several. None: the texts are
            such values themselves, so they are not taken apart again.
    """
    entries: list[LogEntry] = []
    dropped: Counter[str] = Counter()
    for text in texts:
        if not text or text.isspace():
            continue
        try:
            entry, reason = parse_object(text, app_name), "no_machine"
        except ValueError:
            entry, reason = None, "not_json"
        if entry is not None:
            entries.append(entry)
        elif max_values is None or (values := unfold(text, max_values)) is None:
            dropped[reason] += 1
        else:
            max_values -= len(values)
            inner = _parse_json([*map(bytes, values)], app_name, None)
            entries += inner.entries
            dropped += Counter(inner.dropped)
    return ParsedBody(entries, dropped)
