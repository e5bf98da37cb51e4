"""What is known of each source, live: its state, since when, and what it has counted.

A source tells its `SourceStatus` what happens to it; each change of state is announced to
every reader through the hub. `/readyz`, `/api/status`, `/metrics` and the page read it here.
Nothing in this module waits or does I/O.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Literal

import attrs

__all__ = ["Health", "SourceState", "SourceStatus"]


class SourceState(enum.StrEnum):
    """Where a source is. Only `UP` is ready."""

    STARTING = "starting"
    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"
    """It was up, or could not be reached, and is being tried again."""
    DENIED = "denied"
    """Credentials or permissions are refused: somebody has to act."""
    CRASHED = "crashed"
    """A bug of ours; the supervisor restarts it."""
    CLOSED = "closed"


Announce = Callable[[str, Literal["system", "error"]], None]


@attrs.define
class SourceStatus:
    """The state of one source, and its counters (since the process started)."""

    name: str
    _announce: Announce = attrs.field(repr=False)
    state: SourceState = SourceState.STARTING
    detail: str = ""
    """One sentence for a person; holds no secret."""
    since: float = attrs.field(factory=time.time)
    """Unix seconds of the last change of state."""
    lines: int = 0
    bytes: int = 0
    parse_failures: int = 0
    """Payloads that were not what they should be and were delivered as raw text, or dropped."""
    lost: int = 0
    """Lines known to be lost before they reached the hub."""
    connects: int = 0
    restarts: int = 0
    """Times that the supervisor had to start its task anew, for whatever reason."""

    url: str = ""
    """Where senders on this machine reach it, while it listens; empty for what listens nowhere."""
    reason: str = ""
    """One word for what is wrong, where several things are told apart."""

    def change(self, state: SourceState, detail: str, reason: str = "") -> None:
        """Enter `state`, and tell the readers unless it is only a repetition."""
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
    """The sources of this process, and the tasks that serve what they give."""

    _announce: Announce = attrs.field(repr=False)
    sources: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)
    tasks: dict[str, SourceStatus] = attrs.field(factory=dict, init=False)

    def add_source(self, name: str) -> SourceStatus:
        """Keep the status of a source; readers are told of its changes."""
        status = self.sources[name] = SourceStatus(name, self._announce)
        return status

    def add_task(self, name: str) -> SourceStatus:
        """Keep the status of another supervised task, of which readers need not be told."""
        status = self.tasks[name] = SourceStatus(name, lambda message, type: None)
        return status

    @property
    def ready(self) -> bool:
        """Whether every source and task is up."""
        return all(
            status.state is SourceState.UP
            for status in (*self.sources.values(), *self.tasks.values())
        )
