"""The last lines of an app, by Fly's logs interface, which can only be read forwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from natstream.entries.entry import LogEntry
from natstream.fly_api.client import FlyClient
from natstream.fly_api.logs import LogReader

__all__ = ["read_past"]

# The interface cannot be read backwards, so the start of the last n lines is estimated from the
# rate of the lines that are known, and the estimate may be too near by far.
MOST_FURTHER = 50.0
# A burst may be of one moment, which tells no rate.
SHORTEST_NS = 10**7
# A newest page of fewer lines is probably all that the app has said.
FEW_LINES = 50


async def read_past(
    client: FlyClient, base: str, app: str, since_ns: int, lines: int, max_bytes: int
) -> list[LogEntry]:
    """Return the last `lines` lines of an app that are not older than `since_ns`, in Fly's order.

    Fewer lines come if they would take more than `max_bytes` of memory.

    Raises:
        FlyApiError: the interface does not answer.
    """
    newest = await LogReader(client, base, app).next_page()
    past = deque(entry for entry in newest if entry.unix_ns >= since_ns)
    if len(past) < len(newest) or not past:
        return list(past)
    end_ns, read_ns = past[-1].unix_ns, past[0].unix_ns
    while len(past) < lines and read_ns > since_ns:
        further = min(MOST_FURTHER, max(1.5, 1.1 * lines / len(past)))
        start_ns = max(since_ns, end_ns - int(max(end_ns - read_ns, SHORTEST_NS) * further))
        if len(newest) < FEW_LINES:
            start_ns = since_ns
        # The newest page may begin in the midst of lines of one time.
        while past and past[0].unix_ns == read_ns:
            past.popleft()
        older = await _read_until(client, base, app, start_ns, read_ns, lines, max_bytes)
        past.extendleft(reversed(older))
        read_ns = start_ns
    size = 0
    kept: list[LogEntry] = []
    for entry in reversed(past):
        size += entry.cost
        if len(kept) == lines or size > max_bytes:
            break
        kept.append(entry)
    return kept[::-1]


async def _read_until(
    client: FlyClient,
    base: str,
    app: str,
    start_ns: int,
    end_ns: int,
    lines: int,
    max_bytes: int,
) -> Sequence[LogEntry]:
    """Return the last `lines` lines from `start_ns` up to and including `end_ns`."""
    reader = LogReader(client, base, app, start_ns)
    kept: deque[LogEntry] = deque(maxlen=lines)
    size = 0
    while not reader.is_at_end:
        page = await reader.next_page()
        for entry in page:
            if entry.unix_ns <= end_ns:
                size += entry.cost - (kept[0].cost if len(kept) == lines else 0)
                kept.append(entry)
        while size > max_bytes:
            size -= kept.popleft().cost
        if page and page[-1].unix_ns > end_ns:
            break
    return kept
