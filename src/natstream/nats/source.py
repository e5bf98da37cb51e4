"""The NATS source: it parses the messages of one connection, and publishes them to a sink.

In: messages of the given subjects. Out: entries in their order, and the state of the connection in
the source's `SourceStatus`. `NatsSource.run` is the life of one connection. It ends with a
`SourceError`, which says why and which setting to look at; the supervisor calls it again later.

Messages wait in the `Inbox`, which is bounded and counts the messages that it had to drop. The
tasks that read and parse take turns. So in a flood most messages wait in the socket and at the
server, which slows the publishers down. The server usually keeps up to 64 MiB for us, then closes
the connection. After that, as after every lost connection, the number of lost messages is unknown.
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
    """Reads subjects from a NATS server: from the first of several that answers."""

    login: Login
    subjects: Sequence[str]
    sink: Sink
    status: SourceStatus
    ping_interval: float = PING_INTERVAL
    """Seconds between two PINGs."""
    grace: float = 2.0
    """Seconds for publishing the messages that had arrived when the source was cancelled."""
    _missing_since: int | None = attrs.field(default=None, init=False)
    """Unix ms of the last connection's end. NATS keeps nothing, so later lines are missing."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and publish until the connection ends; `started()` means subscribed.

        If it is cancelled, it closes the connection and publishes the messages that had arrived,
        as far as `grace` allows.

        Raises:
            SourceUnavailable: there is no connection, or it has ended.
            SourceDenied: the server refuses the credentials or a subscription.
        """
        inbox = Inbox()
        connection = NatsConnection(self.login, inbox.wake, ping_interval=self.ping_interval)
        try:
            if self.status.state is SourceState.STARTING:
                self.status.change(SourceState.CONNECTING, f"Connecting to {self.login.address}")
            async with connection.connected(dict.fromkeys(self.subjects, inbox.append)):
                if not connection.end:
                    self._announce_up()
                    task_status.started()
                while not connection.end:
                    await inbox.wait()
                    await self._publish_all(inbox)
        finally:
            try:
                with trio.move_on_after(self.grace, shield=True):
                    await self._publish_all(inbox)
            finally:
                self._announce_gap(inbox.clear())
                if self.status.state is SourceState.UP:
                    self._missing_since = time.time_ns() // 1_000_000
        raise self._explain(connection) from connection.end

    async def _publish_all(self, inbox: Inbox) -> None:
        """Publish the messages that wait. Cancellation loses none of the popped messages."""
        while messages := inbox.pop_run():
            try:
                await self._publish(messages)
            except Exception:
                # This is a bug of ours, and the readers lose some of these lines. The gap stands
                # where these lines are missing, because later messages are still published.
                lost = Gap(missed=len(messages), since=time.time_ns() // 1_000_000, at_most=True)
                self.status.lost += len(messages)
                self.sink.announce(f"Up to {len(messages):,} lines from NATS are lost", gap=lost)
                raise
            self._announce_gap(inbox.pop_gap())
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _publish(self, messages: Sequence[Message]) -> None:
        status = self.status
        entries = [
            parse_nats(subject.decode(errors="replace"), payload) for subject, payload in messages
        ]
        status.lines += len(entries)
        status.last_line = time.time()
        status.bytes += sum(len(payload) for _, payload in messages)
        # An entry with a timestamp or a provider was parsed from an object. Without either, `raw`
        # decodes the payload once more to find out.
        status.parse_failures += sum(
            not entry.timestamp and not entry.provider and not entry.raw for entry in entries
        )
        # The shield does not last long, because `publish` waits only until the readers have run.
        with trio.CancelScope(shield=True):
            await self.sink.publish(entries)

    def _announce_up(self) -> None:
        self.status.change(
            SourceState.UP, f"Connected to {self.login.address}, reading {', '.join(self.subjects)}"
        )
        if self._missing_since is not None:
            self._announce_gap(Gap(missed=None, since=self._missing_since))
            self._missing_since = None

    def _announce_gap(self, gap: Gap | None) -> None:
        if gap is None:
            return
        if gap.missed is None:
            message = "Lines published while there was no connection to NATS are missing"
        else:
            self.status.lost += gap.missed
            message = f"{gap.missed:,} lines came from NATS faster than they could be read"
        self.sink.announce(message, gap=gap)

    def _explain(self, connection: NatsConnection) -> SourceError:
        """Return the error for the connection's end: what happened, and which setting to check."""
        failure, address = connection.failure(), self.login.address
        if failure.kind == "denied":
            return SourceDenied(
                f"{address} refuses the credentials: FLY_ORG must be the organisation's slug, "
                "and ACCESS_TOKEN a valid token of that organisation"
            )
        if failure.kind == "forbidden":
            return SourceDenied(
                f"{address} does not let us read {failure.words}: FLY_APP must name an "
                "app of the organisation FLY_ORG, and ACCESS_TOKEN must allow us to read it"
            )
        if self.status.state is SourceState.UP:
            return SourceUnavailable(f"The connection to {address} is lost: {failure.words}")
        return SourceUnavailable(
            f"{address} cannot be reached: {failure.words}; NATSTREAM_NATS_URL says where it is"
        )
