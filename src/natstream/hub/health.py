"""The live state of each source, with the time of its last change and its counters. No I/O.

A source reports its changes of state and its counts to its `SourceStatus`. Each change of state is
announced to every reader through the hub. `/readyz`, `/api/status`, `/metrics` and the page show
the status.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Literal

import attrs

__all__ = ["Health", "SourceState", "SourceStatus"]


class SourceState(enum.StrEnum):
    """The state of a source. Only `UP` is ready."""

    STARTING = "starting"
    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"
    """The connection was lost, or could not be made, and is being tried again."""
    DENIED = "denied"
    """Credentials or permissions are refused, so the operator has to act."""
    CRASHED = "crashed"
    """The source has failed because of a bug of natstream; the supervisor restarts it."""
    CLOSED = "closed"


Announce = Callable[[str, Literal["system", "error"]], None]


@attrs.define
class SourceStatus:
    """The state of one source, and its counters (since the process started)."""

    name: str
    _announce: Announce = attrs.field(repr=False)
    state: SourceState = SourceState.STARTING
    detail: str = ""
    """One sentence for a person, without any secret."""
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
    """Times that the supervisor had to start its task again."""

    url: str = ""
    """The URL at which senders on this machine reach the source; empty if it does not listen."""
    reason: str = ""
    """One word for the trouble, if the source tells several kinds apart."""

    def change(self, state: SourceState, detail: str, reason: str = "") -> None:
        """Enter a state, and tell the readers, unless state and detail are the same as before."""
        self.reason = reason
        if (state, detail) == (self.state, self.detail):
            return
        if state is not self.state:
            self.since = time.time()
        self.state, self.detail = state, detail
        if state is SourceState.UP:
            self.connects += 1
        bad = state in (SourceState.LOST, SourceState.DENIED, SourceState.CRASHED)
        self._announce(detail, "error" if bad else "system")


@attrs.define
class Health:
    """The status of this process's sources, and of the other tasks that it needs."""

    _announce: Announce = attrs.field(repr=False)
    sources: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)
    tasks: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)

    def add_source(self, name: str) -> SourceStatus:
        """Return a new status for a source; readers are told of its changes."""
        status = self.sources[name] = SourceStatus(name, self._announce)
        return status

    def add_task(self, name: str) -> SourceStatus:
        """Return a new status for another supervised task, of which readers are not told."""
        status = self.tasks[name] = SourceStatus(name, lambda message, type: None)
        return status

    @property
    def ready(self) -> bool:
        """Whether every source and task is up."""
        return all(
            status.state is SourceState.UP
            for status in (*self.sources.values(), *self.tasks.values())
        )
