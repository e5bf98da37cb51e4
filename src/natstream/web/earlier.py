"""`GET /api/earlier`: lines from before the backlog, by Fly's logs interface.

In: the parameters of a request and the grant of its reader. Out: the answer as JSON. Its lines have
no ids, because no stream can resume from them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from natstream.entries.filters import FILTER_PARAMETERS, Filter, check_parameter
from natstream.errors import BadQuery
from natstream.formats.events import entry_json
from natstream.hub.hub import Label
from natstream.web.grants import Grant

if TYPE_CHECKING:
    from natstream.fly_api.earlier import Earlier

__all__ = ["EARLIER_PARAMETERS", "read_earlier"]

EARLIER_PARAMETERS = frozenset({"before", "lines"})
LINES, MAX_LINES = 100, 1_000


async def read_earlier(
    earlier: Earlier, query: Sequence[tuple[str, str]], grant: Grant, label: Label
) -> bytes:
    """Return the answer: `{"lines":[…],"from_ms":…,"complete":…,"resumable":false}`.

    Args:
        earlier: asks the interface.
        query: the parameters of the request.
        grant: the right of its reader; lines outside of its scope are left out.
        label: see `Hub.label`.

    Raises:
        BadQuery: a parameter is wrong, or no single app is given.
        SourceUnavailable: the interface does not answer.
    """
    for name, _ in query:
        check_parameter(name, FILTER_PARAMETERS | EARLIER_PARAMETERS)
    filter = Filter.from_query(pair for pair in query if pair[0] in FILTER_PARAMETERS)
    apps = [values for field, values in filter.exact if field == "app_name"]
    if len(apps) != 1 or len(apps[0]) != 1:
        raise BadQuery("app must be one app, whose earlier lines are read", parameter="app")
    (app,) = apps[0]
    now_ms = time.time_ns() // 1_000_000
    before_ms = min(_number("before", query, now_ms, 10**15), now_ms)
    lines = _number("lines", query, LINES, MAX_LINES)
    wanted = grant.narrow(filter)
    if not wanted.allows("app_name", app):
        return _answer([], before_ms, is_complete=True)
    found = await earlier.read(app, before_ms, lines, wanted, label)
    events = [entry_json(entry, persistent=False) for entry in found.entries]
    return _answer(events, found.from_ms, is_complete=found.is_complete)


def _answer(events: Sequence[bytes], from_ms: int, *, is_complete: bool) -> bytes:
    about = json.dumps({"from_ms": from_ms, "complete": is_complete, "resumable": False})
    return b'{"lines":[%b],%b' % (b",".join(events), about[1:].encode())


def _number(name: str, query: Sequence[tuple[str, str]], default: int, most: int) -> int:
    values = [value for given, value in query if given == name]
    if not values:
        return default
    if len(values) > 1 or not re.fullmatch(r"\d{1,15}", values[0], re.ASCII):
        raise BadQuery(f"{name} must be one whole number", parameter=name)
    if int(values[0]) > most:
        raise BadQuery(f"{name} must be at most {most:,}", parameter=name)
    return int(values[0])
