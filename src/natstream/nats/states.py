"""The states of the NATS source: their sentences, and which of them the readers are told.

In: what happens to the source's connections. Out: the source's `SourceStatus`, the notices, and the
gaps that an outage leaves. This is the one place in which the state of the source changes to
connecting and up. The supervisor changes it to lost and denied, with the errors that are made here.

A server that comes up and goes again and again would fill the stream with notices. After
`TOLD_LOSSES` short connections in a row, the source stays lost until a connection lasts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import trio

from natstream.entries.entry import Gap
from natstream.errors import SourceDenied, SourceError, SourceUnavailable
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.sink import Sink
from natstream.nats.connection import NatsConnection
from natstream.nats.login import Failure, host_and_port

__all__ = ["SourceStates"]

# Seconds. A connection that lasts for so long is steady.
STEADY = 5.0
# A server that is restarted twice during a deployment should still be told each time.
TOLD_LOSSES = 3


@attrs.define(eq=False)
class SourceStates:
    """Tells the state of the connections, one after the other."""

    subjects: Sequence[str]
    sink: Sink
    status: SourceStatus
    _missing_since: int | None = attrs.field(default=None, init=False)
    """Unix ms of the last connection's end. NATS keeps nothing, so later lines are missing."""
    _up_at: float | None = attrs.field(default=None, init=False)
    """The moment (trio's clock) at which the present connection came up; `None` without one."""
    _short_connections: int = attrs.field(default=0, init=False)
    _said: str = attrs.field(default="", init=False)
    """The sentence that readers were told of a server that comes and goes."""
    _mute: str = attrs.field(default="", init=False)
    """The sentence that readers were told of a mute server; empty while it is not mute."""
    mute_ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set while the server is not mute."""
    mute_began: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set while the server is mute."""

    def connecting(self, address: str) -> None:
        """The first connection is being made."""
        if self.status.state is SourceState.STARTING:
            self.status.change(SourceState.CONNECTING, f"Connecting to {address}")

    def up(self, connection: NatsConnection) -> None:
        """The server has taken the subscriptions; readers are told if they may rely on it."""
        self._up_at = trio.current_time()
        if self.steady_at is None:
            self.steady(connection)

    @property
    def steady_at(self) -> float | None:
        """The moment from which the present connection counts as steady, if that is in doubt."""
        if self._up_at is None or self._short_connections <= TOLD_LOSSES:
            return None
        return self._up_at + STEADY

    def steady(self, connection: NatsConnection) -> None:
        """Tell that the source is up, and what is missing."""
        if self.steady_at is not None:
            self._short_connections = 0
        if self._mute:
            self.status.change(SourceState.MUTE, self._mute)
            return
        reading = f"Connected to {connection.address}, reading {', '.join(self.subjects)}"
        refused = [
            f"; {host_and_port(server)} is not used, because it "
            + (
                "refuses the credentials"
                if failure.kind == "denied"
                else "does not let us read them"
            )
            for server, failure in connection.refusals.items()
        ]
        self.status.change(SourceState.UP, reading + "".join(refused))
        if self._missing_since is not None:
            self.missing(Gap(missed=None, since=self._missing_since))
            self._missing_since = None

    @property
    def is_mute(self) -> bool:
        """Whether the server has been found mute, and has brought nothing since then."""
        return bool(self._mute)

    def mute(self, connection: NatsConnection, why: str) -> None:
        """The server does not bring the lines that there are; only a line of it ends that."""
        self._mute = (
            f"{connection.address} is connected, but brings no lines: {why}. "
            "A new connection is tried again and again"
        )
        if self._missing_since is None:
            well = max(self.status.last_line, self.status.checked, self.status.since)
            self._missing_since = int(well * 1_000)
        self.status.change(SourceState.MUTE, self._mute)
        self.mute_ended = trio.Event()
        self.mute_began.set()

    def not_mute(self, connection: NatsConnection) -> None:
        """The server has brought something, which ends a mute state."""
        if not self._mute:
            return
        self._mute = ""
        self.mute_began = trio.Event()
        self.mute_ended.set()
        if self._up_at is None or self.steady_at is not None:
            return
        since, self._missing_since = self._missing_since, None
        self.steady(connection)
        self.sink.announce(
            "NATS brings lines again; the lines that it did not bring are missing",
            gap=Gap(missed=None, since=since),
        )

    def lines_come(self) -> None:
        """Lines of a connection that is not steady follow: the ones before them are missing."""
        if self._missing_since is not None and self.steady_at is not None and not self._mute:
            self.missing(Gap(missed=None, since=self._missing_since))
            self._missing_since = None

    def lame_duck(self, connection: NatsConnection) -> None:
        """The server will shut down, and goes on delivering until then."""
        self.sink.announce(
            f"{connection.address} is shutting down: it is left once another server takes over"
        )

    def missing(self, gap: Gap | None) -> None:
        """Tell of missing lines."""
        if gap is None:
            return
        if gap.missed is None:
            message = "Lines published while there was no connection to NATS are missing"
        else:
            self.status.lost += gap.missed
            message = f"{gap.missed:,} lines came from NATS faster than they could be read"
        self.sink.announce(message, gap=gap)

    def ended(self) -> None:
        """The connection has ended, or the source closes. Lines are missing from now on."""
        if self._up_at is None:
            return
        if self._missing_since is None:
            self._missing_since = time.time_ns() // 1_000_000
        if trio.current_time() - self._up_at < STEADY:
            self._short_connections += 1
        else:
            self._short_connections = 0

    def explain(self, connection: NatsConnection) -> SourceError:
        """Return the error for the connection's end: what happened, and which setting to check."""
        failure, was_up = connection.failure(), self._up_at is not None
        self._up_at = None
        others = f"; {failure.others}" if failure.others else ""
        if failure.kind == "denied":
            return _denied(
                f"{failure.address} refuses the credentials: FLY_ORG must be the organisation's "
                f"slug, and ACCESS_TOKEN a valid token of that organisation{others}",
                failure,
            )
        if failure.kind == "forbidden":
            return _denied(
                f"{failure.address} does not let us read {failure.words}: FLY_APP must name an "
                "app of the organisation FLY_ORG, and ACCESS_TOKEN must allow us to read "
                f"it{others}",
                failure,
            )
        if self._short_connections > TOLD_LOSSES:
            if not self._said:
                self._said = (
                    f"{failure.address} ends each connection after a moment: {failure.words}; "
                    f"the source counts as up once a connection lasts for {STEADY:g} s"
                )
            return SourceUnavailable(self._said)
        self._said = ""
        if was_up:
            return SourceUnavailable(
                f"The connection to {failure.address} is lost: {failure.words}"
            )
        return SourceUnavailable(
            f"{failure.address} cannot be reached: {failure.words}{others}; "
            "NATSTREAM_NATS_URL says where it is"
        )


def _denied(sentence: str, failure: Failure) -> SourceDenied:
    error = SourceDenied(sentence)
    # Other servers of the list may be asked meanwhile.
    error.retry_after = failure.retry_after
    return error
