"""The lines that two connections bring while one takes over from the other. Pure.

In: the messages of the old connection since the new one subscribed, and then those of the new one.
Out: which of the new ones the old one has brought too. Messages have no number, so they are
recognised by subject and payload, and counted: two equal messages stay two.
"""

from __future__ import annotations

from collections import Counter, deque

from natstream.nats.inbox import MAX_MESSAGES, Message

__all__ = ["Handover"]


class Handover:
    """Remembers what the old connection has brought, and takes it off what the new one brings."""

    def __init__(self) -> None:
        # Hashes of 64 bits take little memory. What the new connection brings waits in an inbox of
        # the same size, so no older message can be in it.
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=MAX_MESSAGES)
        self._known: Counter[int] = Counter()

    def note(self, message: Message, now: float) -> None:
        """Remember a message of the old connection, and its time of arrival."""
        self._arrivals.append((now, hash(message)))

    def close(self, since: float) -> None:
        """End the old connection's part: what it has brought `since` then may come again."""
        self._known = Counter(key for at, key in self._arrivals if at >= since)
        self._arrivals.clear()

    def is_known(self, message: Message) -> bool:
        """Return whether the old connection has brought this message of the new one."""
        key = hash(message)
        if not self._known[key]:
            return False
        self._known[key] -= 1
        return True
