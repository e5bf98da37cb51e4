"""Whether the journal can be used: one value, which tasks wait for instead of polling.

In: the changes that the connection's task reports. Out: the present value, and waits for another.
"""

from __future__ import annotations

import enum

import trio

__all__ = ["PATIENCE", "Availability", "JournalState"]

# Seconds. A cluster elects a leader, and a server restarts, within a second or two, which readers
# need not notice.
PATIENCE = 2.0
# Seconds. Once the journal answers, reading the lines that it has stored meanwhile may take longer.
RETURN_PATIENCE = 10.0


class Availability(enum.Enum):
    """Whether the journal can be used."""

    AWAY = "away"
    """Its lines cannot be read, and new lines cannot be stored."""
    RETURNING = "returning"
    """It answers, and its stored lines are being read."""
    SERVING = "serving"
    """Readers get its lines, and new lines are stored."""


class JournalState:
    """The availability of the journal, for the tasks that depend on it."""

    def __init__(self) -> None:
        self._value = Availability.AWAY
        self._changed = trio.Event()
        self.term: int = 0
        """Counts the times that the journal began or ceased to serve."""

    @property
    def is_serving(self) -> bool:
        """Whether readers get the journal's lines."""
        return self._value is Availability.SERVING

    def change(self, value: Availability) -> None:
        """Enter a state, and wake the tasks that wait."""
        if value is self._value:
            return
        if Availability.SERVING in (value, self._value):
            self.term += 1
        self._value = value
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def wait_for(self, value: Availability) -> None:
        """Wait until the journal is in this state."""
        while self._value is not value:
            await self._changed.wait()

    async def wait_while(self, value: Availability) -> None:
        """Wait until the journal leaves this state."""
        while self._value is value:
            await self._changed.wait()

    async def stays_away(self) -> bool:
        """Return whether the journal stays away for longer than readers should wait for it."""
        started = trio.current_time()
        while not self.is_serving:
            is_returning = self._value is Availability.RETURNING
            patience = RETURN_PATIENCE if is_returning else PATIENCE
            with trio.move_on_at(started + patience) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                return True
        return False
