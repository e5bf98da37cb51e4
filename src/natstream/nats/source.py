"""The NATS source: one connection, its messages parsed and fed to the hub.

In: messages of the subjects asked for. Out: entries for its sink, in order; what happens to the
connection, told to the source's `SourceStatus`. `NatsSource.run` is the scope of one connection
and ends with a `SourceError` that says in a sentence why, and which setting to look at; the
supervisor waits and calls it again.

Where messages wait: in the `Inbox`, which is bounded and counts what does not fit. Reading and
parsing take turns, so in a flood most wait in the socket and, up to its limit of usually 64 MiB,
at the server, which slows those who publish. Past that it cuts us off, and what is lost is as
unknown as after any loss of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import trio

from natstream.entries.entry import Gap
from natstream.entries.fly import parse_nats
from natstream.errors import SourceDenied, SourceError, SourceUnavailable
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.sink import Sink
from natstream.nats.connection import PING_INTERVAL, Login, NatsConnection
from natstream.nats.inbox import Inbox, Message

__all__ = ["NatsSource"]


@attrs.define(eq=False)
class NatsSource:
    """Reads subjects from a NATS server, or from the first of several that answers."""

    login: Login
    subjects: Sequence[str]
    sink: Sink
    status: SourceStatus
    ping_interval: float = PING_INTERVAL
    grace: float = 2.0
    """Seconds for feeding what had arrived, when it is cancelled."""
    _missing_since: int | None = attrs.field(default=None, init=False)
    """Unix ms of the last connection's end: what was published since then has passed us by."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and feed the sink until the connection ends; `started()` once subscribed.

        Cancelled, it closes the connection and feeds what had arrived, as far as `grace` allows.

        Raises:
            SourceUnavailable: there is no connection, or it has ended.
            SourceDenied: credentials or permissions are refused.
        """
        inbox = Inbox()
        connection = NatsConnection(self.login, inbox.wake, ping_interval=self.ping_interval)
        try:
            if self.status.state is SourceState.STARTING:
                self.status.change(SourceState.CONNECTING, f"Connecting to {self.login.address}")
            async with connection.connected(dict.fromkeys(self.subjects, inbox.put)):
                if not connection.end:
                    self._say_up()
                    task_status.started()
                while not connection.end:
                    await inbox.wait()
                    await self._deliver(inbox)
        finally:
            try:
                with trio.move_on_after(self.grace, shield=True):
                    await self._deliver(inbox)
            finally:
                self._say_missing(inbox.drop())
                if self.status.state is SourceState.UP:
                    self._missing_since = time.time_ns() // 1_000_000
        raise self._explain(connection) from connection.end

    async def _deliver(self, inbox: Inbox) -> None:
        """Feed all that waits. Cancelled, it has fed all that it took."""
        while messages := inbox.take():
            try:
                await self._publish(messages)
            except Exception:
                # A bug of ours, which costs the readers some of these. They are told so here, in
                # the lines' place: what waits behind them is still fed.
                lost = Gap(len(messages), time.time_ns() // 1_000_000, at_most=True)
                self.status.lost += len(messages)
                self.sink.announce(f"Up to {len(messages):,} lines from NATS are lost", gap=lost)
                raise
            self._say_missing(inbox.take_hole())
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _publish(self, messages: Sequence[Message]) -> None:
        status = self.status
        entries = [
            parse_nats(subject.decode(errors="replace"), payload) for subject, payload in messages
        ]
        status.lines += len(entries)
        status.bytes += sum(len(payload) for _, payload in messages)
        # An object's time or provider shows that it is one; else it has to be decoded.
        status.parse_failures += sum(
            not entry.timestamp and not entry.provider and not entry.raw for entry in entries
        )
        with trio.CancelScope(shield=True):  # it waits for nothing but the readers' turns
            await self.sink.publish(entries)

    def _say_up(self) -> None:
        self.status.change(
            SourceState.UP, f"Connected to {self.login.address}, reading {', '.join(self.subjects)}"
        )
        if self._missing_since is not None:
            self._say_missing(Gap(None, self._missing_since))
            self._missing_since = None

    def _say_missing(self, gap: Gap | None) -> None:
        if gap is None:
            return
        if gap.missed is None:
            message = "Lines published while there was no connection to NATS are missing"
        else:
            self.status.lost += gap.missed
            message = f"{gap.missed:,} lines came from NATS faster than they could be read"
        self.sink.announce(message, gap=gap)

    def _explain(self, connection: NatsConnection) -> SourceError:
        """A sentence for a person: what has happened, and which setting to look at."""
        failure, place = connection.failure(), self.login.address
        if failure.kind == "denied":
            return SourceDenied(
                f"{place} refuses the credentials: FLY_ORG must be the organisation's slug, "
                "and ACCESS_TOKEN a token of it that is still valid"
            )
        if failure.kind == "forbidden":
            return SourceDenied(
                f"{place} does not let us read {failure.words}: FLY_APP must name an "
                "app of the organisation FLY_ORG, which ACCESS_TOKEN may read"
            )
        if self.status.state is SourceState.UP:
            return SourceUnavailable(f"The connection to {place} is lost: {failure.words}")
        return SourceUnavailable(
            f"{place} cannot be reached: {failure.words}; NATSTREAM_NATS_URL says where it is"
        )
