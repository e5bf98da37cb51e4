"""The state of each source and task, since when it holds, and its counts. Pure.

In: a source changes its `SourceStatus`. Out: each change of state is announced to every reader
through the hub, and `/readyz`, `/api/status`, `/metrics` and the page read the status here. Nothing
in this module waits or does I/O.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Literal

import attrs

__all__ = ["Health", "SourceState", "SourceStatus"]


class SourceState(enum.StrEnum):
    """The state of a source. Only `UP` counts as ready."""

    STARTING = "starting"
    CONNECTING = "connecting"
    UP = "up"
    MUTE = "mute"
    """The source is connected, and does not bring the lines that there are."""
    LOST = "lost"
    """The source was up, or could not be reached, and is being tried again."""
    DENIED = "denied"
    """The server refuses credentials or permissions, so the operator has to act."""
    CRASHED = "crashed"
    """The source's task failed because of a bug of ours; the supervisor restarts it."""
    CLOSED = "closed"

    @property
    def is_bad(self) -> bool:
        """Whether lines are missing for as long as this state holds."""
        return self in (SourceState.MUTE, SourceState.LOST, SourceState.DENIED, SourceState.CRASHED)


Announce = Callable[[str, Literal["system", "error"]], None]


@attrs.define
class SourceStatus:
    """The state of one source, and its counters (since the process started)."""

    name: str
    _announce: Announce = attrs.field(repr=False)
    state: SourceState = SourceState.STARTING
    detail: str = ""
    """One sentence for a person, which holds no secret."""
    since: float = attrs.field(factory=time.time)
    """Unix seconds of the last change of state."""
    lines: int = 0
    bytes: int = 0
    parse_failures: int = 0
    """Payloads that could not be parsed, and were delivered as raw text or dropped."""
    lost: int = 0
    """Lines known to be lost before they reached the hub."""
    connects: int = 0
    restarts: int = 0
    """Times that the supervisor restarted its task, for any reason."""

    url: str = ""
    """The address where senders on this machine reach the source; empty if it does not listen."""
    reason: str = ""
    """One word for the trouble, if the source distinguishes several kinds of it."""
    last_line: float = 0.0
    """Unix seconds when its last line arrived; 0 if none has arrived."""
    last_lines: dict[str, float] = attrs.field(factory=dict, repr=False)
    """Of a journal: when the last line arrived that each source has brought to any process."""
    checked: float = 0.0
    """Unix seconds when it was last found that the source brings nothing because there is nothing;
    0 if that was never found."""
    is_uncheckable: bool = False
    """Whether the source is silent, and it cannot be found out why."""
    log_delay: float | None = None
    """Seconds that the platform last needed to bring a line; None if that was not measured."""
    on_change: Callable[[], None] = attrs.field(default=lambda: None, repr=False)
    """Called after each change of state."""

    def change(self, state: SourceState, detail: str, reason: str = "") -> None:
        """Enter `state`, and announce it unless state and detail are the same as before."""
        self.reason = reason
        if (state, detail) == (self.state, self.detail):
            return
        is_new = state is not self.state
        if is_new:
            self.since = time.time()
        self.state, self.detail = state, detail
        if state is SourceState.UP:
            self.connects += 1
        self._announce(detail, "error" if state.is_bad else "system")
        if is_new:
            self.on_change()

    def tell(self, message: str, type: Literal["system", "error"]) -> None:
        """Announce what does not change the state of the source."""
        self._announce(message, type)


@attrs.define
class Health:
    """The status of each source of this process, and of the tasks that serve its lines."""

    _announce: Announce = attrs.field(repr=False)
    sources: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)
    tasks: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)
    interfaces: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)
    """Interfaces of the platform, which the service can do without."""

    def add_source(self, name: str) -> SourceStatus:
        """Return the status of a new source; its changes are announced to the readers."""
        status = self.sources[name] = SourceStatus(name, self._announce)
        return status

    def add_task(self, name: str) -> SourceStatus:
        """Return the status of another supervised task; its changes are not announced."""
        status = self.tasks[name] = SourceStatus(name, lambda message, type: None)
        return status

    def add_interface(self, name: str) -> SourceStatus:
        """Return the status of an interface; it is not announced, and never makes us unready."""
        status = self.interfaces[name] = SourceStatus(name, lambda message, type: None)
        return status

    @property
    def ready(self) -> bool:
        """Whether every source and task is up."""
        return all(
            status.state is SourceState.UP
            for status in (*self.sources.values(), *self.tasks.values())
        )
