"""Finds out why NATS brings nothing: the apps are silent, or NATS is mute. No I/O of its own.

In: the entries that come, and two ways to ask. Out: which entries are natstream's own, and the
reason why NATS counts as mute. A connection to Fly's NATS may answer every PING and deliver
nothing, so only lines show that it is well. When none has come for the interval:

* On Fly, natstream writes one line to its standard output (a canary), which NATS must bring back.
  A line that another instance wrote just now shows the same, and then none is written.
* Fly's logs interface is asked for lines that NATS should have brought.

A canary that comes back only shows that the app of natstream is delivered. So lines of the
interface count although it came back.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import attrs
import trio

from natstream.entries.entry import LogEntry
from natstream.hub.health import SourceState, SourceStatus
from natstream.nats.canary import Canaries

__all__ = ["Silence"]

# Seconds within which NATS has to bring a canary, and the interface to answer.
ANSWER_DEADLINE = 20.0
# Seconds at the end of the deadline for asking the interface once more, if nothing else is known.
LAST_LOOK = 5.0
# Seconds. A line is on its way for a moment, and the clocks of machines differ.
MARGIN = 10.0


def _do_nothing() -> None:
    pass


@attrs.define(eq=False)
class Silence:
    """Watches for silence, and finds out its reason."""

    interval: float | None
    """Seconds without a line after which the reason is looked for; None for never."""
    status: SourceStatus
    canaries: Canaries | None = None
    """Makes and recognises the lines of natstream's own app; None outside Fly."""
    write: Callable[[bytes], bool] = lambda line: False
    """Write a line to the standard output without waiting; return whether that was possible."""
    anything_newer: Callable[[float, float], Awaitable[bool | None]] | None = None
    """Return whether the interface has lines between two Unix times that NATS did not bring; None
    if that cannot be known."""
    on_delivery: Callable[[], None] = _do_nothing
    """Called when something shows that NATS delivers. It must neither wait nor raise."""
    _heard_at: float = attrs.field(default=0.0, init=False)
    _checked_at: float = attrs.field(default=-float("inf"), init=False)
    _line_at: float = attrs.field(default=-float("inf"), init=False)
    """Three moments (trio's clock): of the last sign of life, check and line."""
    _answered: trio.Event = attrs.field(factory=trio.Event, init=False)
    _is_canary_missing: bool = attrs.field(default=False, init=False)
    """Whether the last canary did not come back, so that the return of one says something new."""
    _asked_until: float = attrs.field(default=0.0, init=False)
    """Unix seconds up to which the interface has no line that NATS did not bring."""

    @property
    def subject(self) -> str:
        """The subject by which canaries come back; empty if none are written."""
        if self.canaries is None or self.interval is None:
            return ""
        return f"logs.{self.canaries.app}.>"

    # --- what comes ----------------------------------------------------------------------

    def begin(self) -> None:
        """A connection was made: it has the whole interval for its first line."""
        self._heard_at = trio.current_time()

    def canaries_among(self, entries: Sequence[LogEntry]) -> Collection[int]:
        """Return the places of the canaries among entries of NATS, which readers do not see."""
        canaries = self.canaries
        if canaries is None:
            return ()
        places = [n for n, entry in enumerate(entries) if canaries.is_genuine(entry)]
        for place in places:
            self.hear(entries[place])
        return places

    def hear_lines(self) -> None:
        """Note that lines have come."""
        self.status.last_line = time.time()
        self._line_at = trio.current_time()
        self._is_canary_missing = False
        self._hear()
        self.on_delivery()

    def hear(self, entry: LogEntry) -> None:
        """Note an entry of natstream's own app, if it is a canary that was written just now."""
        delay = None if self.canaries is None else self.canaries.delay_of(entry)
        if delay is None:
            return
        self.status.log_delay = delay
        self._hear()
        if self._is_canary_missing:
            self._is_canary_missing = False
            self.on_delivery()
        if self.status.state is not SourceState.MUTE:
            self.status.checked = time.time()

    def _hear(self) -> None:
        self._heard_at = trio.current_time()
        self.status.is_uncheckable = False
        self._answered.set()

    # --- checks --------------------------------------------------------------------------

    @property
    def _due(self) -> float:
        if self.interval is None:
            return float("inf")
        return max(self._heard_at, self._checked_at) + self.interval

    async def wait_due(self) -> None:
        """Wait until nothing has come, and nothing was checked, for the interval."""
        while self._due > trio.current_time():  # noqa: ASYNC110 - a time, not an event
            await trio.sleep_until(self._due)

    async def check(self, *, can_hear: bool, is_mute: bool) -> str:
        """Return why NATS counts as mute, as a clause; empty if it does not.

        It takes 20 s at most, and writes one canary at most.

        Args:
            can_hear: whether NATS lets us read the subject of natstream's own app.
            is_mute: whether NATS is known to be mute. Then only a canary is written.
        """
        self._checked_at = trio.current_time()
        self._answered = trio.Event()
        deadline = self._checked_at + ANSWER_DEADLINE
        canaries = self.canaries
        is_written = can_hear and canaries is not None and self.write(canaries.make())
        newer = None if is_mute else await self._ask(deadline)
        if not newer and is_written:
            with trio.move_on_at(deadline):
                await self._answered.wait()
        elif newer is False:
            # A line of the last moments could not be judged yet.
            with trio.move_on_at(deadline - LAST_LOOK):
                await self._answered.wait()
            if not self._answered.is_set():
                newer = await self._ask(deadline)
        if self._line_at >= self._checked_at:
            return ""
        if newer:
            self.status.checked = self._asked_until  # Canaries that came later were no proof.
            return "Fly's logs interface has lines that it did not bring"
        if is_written and not self._answered.is_set():
            self._is_canary_missing = True
            return (
                "a line that natstream wrote to its standard output did not come back within "
                f"{ANSWER_DEADLINE:g} s"
            )
        if is_mute:
            return ""
        if is_written or newer is False:
            self.status.checked = time.time()
        else:
            self.status.is_uncheckable = not self._answered.is_set()
        return ""

    async def _ask(self, deadline: float) -> bool | None:
        if self.anything_newer is None or self.interval is None:
            return None
        margin = min(MARGIN, self.interval / 4)
        until = time.time() - margin
        since = max(self.status.last_line, self.status.since) + margin
        newer = None
        with trio.move_on_at(deadline):
            newer = await self.anything_newer(max(since, self._asked_until), until)
        if newer is False:
            self._asked_until = until
        return newer
