"""The names and values of the fields of the newest lines, for completion in search fields.

In: the hub and a filter. Out: for each field, how many of the newest lines have it, and its most
frequent values. Only lines in memory are looked at.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from natstream.entries.entry import LogEntry
from natstream.entries.fields import Fields, field_text
from natstream.entries.filters import Filter
from natstream.hub.budget import ReaderBudget
from natstream.hub.hub import Hub
from natstream.hub.newest import newest_slices

__all__ = ["read_fields"]

# Enough to know the fields of a dozen apps.
LINES = 2_000
MAX_NAMES = 200
MAX_VALUES = 20
# Names and values beyond these are not counted. They bound the memory of one request to 20 MB.
MAX_COUNTED_NAMES = 1_000
MAX_COUNTED_VALUES = 100
# Longer values, such as texts, are no help in completion, so only their lines are counted.
MAX_LENGTH = 100

# Entries are looked at in slices, the newest first. A slice of the longest lines takes some ms.
SLICE_LINES = 20
# Seconds after which other tasks run; and after which the search ends and answers, because a filter
# that selects few lines goes through the whole backlog.
TURN = 0.002
MAX_SECONDS = 3.0


async def read_fields(
    hub: Hub, filter: Filter, budget: ReaderBudget | None = None
) -> dict[str, Any]:
    """Return the answer of `GET /api/fields`, and let other tasks run meanwhile.

    It looks like `{"fields": {"status": {"lines": 12, "values": ["200", "500"]}}}`. The fields that
    most lines have come first, and so do the most frequent values. `budget` is as in
    `Hub.subscribe`.

    Raises:
        ExpressionTooSlow: it has used up its CPU time for too long, on a busy machine.
    """
    lines: Counter[str] = Counter()
    values: dict[str, Counter[str]] = {}
    left = LINES
    budget = budget or hub.budgets.reader()
    turn = time.monotonic()
    end = turn + MAX_SECONDS
    for found in _matching(hub, filter, budget):
        if time.monotonic() - turn > TURN:
            await budget.wait()
            turn = time.monotonic()
        if not left or turn > end:
            break
        if found is None:
            continue
        left -= 1
        with budget.measured():
            for name, value in Fields(found).items():
                if len(name) <= MAX_LENGTH and (name in lines or len(lines) < MAX_COUNTED_NAMES):
                    lines[name] += 1
                    _count(values.setdefault(name, Counter()), value)
    return {
        "fields": {
            name: {
                "lines": count,
                "values": [text for text, _ in values[name].most_common(MAX_VALUES)],
            }
            for name, count in lines.most_common(MAX_NAMES)
        }
    }


def _matching(hub: Hub, filter: Filter, budget: ReaderBudget) -> Iterator[LogEntry | None]:
    """Yield the remembered entries that match, the newest first, and None after each slice."""
    for batch, shown in newest_slices(hub.segment, SLICE_LINES):
        batch.release()  # No reader shares it.
        while (selection := batch.advance(filter, budget)) is None:
            yield None
        yield from reversed(selection.without(shown).entries)
        yield None


def _count(counted: Counter[str], value: Any) -> None:
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        return
    text = field_text(value)
    if len(text) <= MAX_LENGTH and (text in counted or len(counted) < MAX_COUNTED_VALUES):
        counted[text] += 1
