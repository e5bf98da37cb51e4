"""Lines that come, and the state of the sources → the moments at which lines are missed. Pure.

In: the times of matching lines, and regular looks at the clock. Out: `absent` once when no line has
matched for too long, and `unknown` once if that cannot be told because a source is down. The time
in which a source is down does not count as absence. Times are seconds of one clock, given by the
caller.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["Absence", "AbsenceState"]

AbsenceState = Literal["watching", "absent", "unknown"]


class Absence:
    """Measures for how long no line has matched.

    Args:
        seconds: how long is too long.
        now: the time of the start, from which absence counts.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds: float = seconds
        self._since = self._looked = now
        self._blind = 0.0
        """Seconds since the last line in which a source was down."""
        self.state: AbsenceState = "watching"
        """What the last message said; `watching` if lines match."""

    def match(self, now: float) -> float | None:
        """Note a line that matches.

        Returns:
            The seconds without such a line if a message said that none matches; else `None`.
        """
        silent = now - self._since
        was, self.state = self.state, "watching"
        self.note(now)
        return None if was == "watching" else silent

    def note(self, now: float) -> None:
        """Note a sign of life that is no news: a line of the past that was filled in."""
        self._since = self._looked = now
        self._blind = 0.0

    def begin_before(self, since: float) -> None:
        """Note that no line has matched since then, as another process has told."""
        self._since = min(self._since, since)

    def silent(self, now: float) -> float:
        """Return the seconds since the last line that matched, or since the start."""
        return now - self._since

    def look(
        self, now: float, *, is_down: bool, is_checking: bool
    ) -> Literal["absent", "unknown"] | None:
        """Return the state that has to be told now, if there is one.

        Args:
            now: the present time.
            is_down: whether a source is down now.
            is_checking: whether it is being found out why a source brings nothing. Then the answer
                is waited for.
        """
        if is_down:
            self._blind += now - self._looked
        self._looked = now
        if is_down:
            if self.state == "watching" and now - self._since >= self.seconds:
                self.state = "unknown"
                return "unknown"
        elif (
            self.state != "absent"
            and not is_checking
            and now - self._since - self._blind >= self.seconds
        ):
            self.state = "absent"
            return "absent"
        return None
