"""A line → what `natstream tail` prints of it. Pure.

In: the options of `tail`. Out: a function from an entry to its printed line. A template that cannot
be used raises `BadQuery`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from string import Formatter

import attrs

from natstream.entries.entry import LogEntry
from natstream.entries.escapes import indented, line_time, one_line, sanitize
from natstream.entries.fields import Fields, field_text
from natstream.entries.readable import read_message
from natstream.errors import BadQuery

__all__ = ["EXAMPLE", "template"]

EXAMPLE = "{time} {app} {status} {message}"

# What an entry has besides its fields. These names win over a field of the same name.
_OWN: dict[str, Callable[[LogEntry], str]] = {
    "time": lambda entry: line_time(entry.unix_ns),
    "app": lambda entry: entry.app_name,
    "region": lambda entry: entry.region,
    "machine": lambda entry: entry.machine_id,
    "stream": lambda entry: entry.stream,
    "level": lambda entry: entry.level,
    "provider": lambda entry: entry.provider,
    "source": lambda entry: entry.source,
    "group": lambda entry: entry.group,
    "release": lambda entry: entry.release,
    "id": lambda entry: str(entry.raw.get("id", "")),
    "text": lambda entry: read_message(sanitize(entry.message, keep_colours=False))[0],
}


def template(text: str, *, keep_colours: bool) -> Callable[[LogEntry], str]:
    """Return the function that fills a template such as `EXAMPLE` from an entry.

    `{{` and `}}` are braces. A name that the entry does not have is empty.

    Raises:
        BadQuery: a brace is not closed, or what stands in braces is not a name.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise _bad("has a brace without its other half") from None
    for _, name, spec, conversion in parts:
        if name is not None and (not name.strip() or spec or conversion):
            raise _bad("takes only names in its braces")
    return partial(_fill, [(start, name) for start, name, _, _ in parts], keep_colours)


def _bad(reason: str) -> BadQuery:
    return BadQuery(
        f"output {reason}; write it as '{EXAMPLE}', and braces of your own as {{{{ and }}}}",
        parameter="output",
    )


def _fill(parts: list[tuple[str, str | None]], keep_colours: bool, entry: LogEntry) -> str:
    fields = None
    filled = []
    for start, name in parts:
        filled.append(start)
        if name == "message":
            filled.append(indented(sanitize(entry.message, keep_colours=keep_colours)))
        elif name in _OWN:
            filled.append(one_line(_OWN[name](entry)))
        elif name is not None:
            # `raw` is the service's event, whose own names are no fields of the message.
            fields = Fields(attrs.evolve(entry, raw={})) if fields is None else fields
            filled.append(one_line(field_text(fields.get(name.strip(), ""))))
    return "".join(filled)
