"""The NATS source: it parses the messages of one connection, and publishes them to a sink.

In: messages of the given subjects. Out: entries in their order, and the state of the connection
(`states`). `NatsSource.run` ends with a `SourceError` when the connection has ended. The error says
why and which setting to look at; the supervisor calls `run` again later.

Messages wait in the `Inbox`, which is bounded and counts the messages that it had to drop. The
tasks that read and parse take turns. So in a flood most messages wait in the socket and at the
server, which slows the publishers down. The server usually keeps up to 64 MiB for us, then closes
the connection. After that, as after every lost connection, the number of lost messages is unknown.

A connection that brings nothing may be mute (`silence`). It is then replaced too, again and again.

A server that will shut down goes on delivering for a while. Then a second connection is made to
another server. For a moment both deliver. The source publishes everything that the first one brings
until it is left, and then the messages that only the second one has brought (`handover`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence

import attrs
import trio

from natstream.entries.entry import Gap
from natstream.entries.fly import parse_messages, parse_nats
from natstream.hub.health import SourceStatus
from natstream.hub.sink import Sink
from natstream.nats.canary import CANARY_MARK
from natstream.nats.connection import PING_INTERVAL, Login, NatsConnection
from natstream.nats.handover import Handover
from natstream.nats.inbox import Inbox, Message
from natstream.nats.parser import Handler
from natstream.nats.read_pauses import LONGEST_PAUSE
from natstream.nats.silence import Silence
from natstream.nats.states import SourceStates

__all__ = ["NatsSource"]

# Seconds in which both connections deliver. A cluster's servers need a moment to learn of a new
# subscription, and until then the new connection does not bring the messages of the others.
OVERLAP = 1.0
# Seconds after the handover in which a message of the new connection may still be a double, because
# it was slower than over the old one.
LATEST_DOUBLE = 2.0
# Seconds between two attempts to find another server than the one that shuts down.
FIRST_DELAY, LONGEST_DELAY = 0.25, 2.0
# Seconds between two new connections while NATS is mute; the first one is made at once.
FIRST_RENEWAL, LONGEST_RENEWAL = 10.0, 300.0


@attrs.define(eq=False)
class _Feed:
    """One connection, and the messages that it has brought."""

    connection: NatsConnection
    inbox: Inbox
    ended: trio.Event
    is_up: bool = False
    """Whether the server has taken the subscriptions."""
    leave: trio.Event = attrs.field(factory=trio.Event)
    """Set once the connection is to be closed."""
    closed: trio.Event = attrs.field(factory=trio.Event)
    """Set once the connection is closed, and everything that the server had sent has arrived."""
    handover: Handover | None = None
    """Notes what arrives, once another connection is to take over."""
    doubles: Handover | None = None
    """Knows what the connection before this one has brought too."""
    doubles_until: float = math.inf

    def receive(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """Keep a message; this never waits."""
        self.inbox.append(subject, reply, payload, headers)
        if self.handover is not None:
            self.handover.note((subject, payload), trio.current_time())

    def pop_run(self) -> list[Message] | None:
        """Return the oldest messages without those that are doubles; `None` if none wait."""
        messages = self.inbox.pop_run()
        if not messages:
            return None
        if self.doubles is None:
            return messages
        if trio.current_time() > self.doubles_until:
            self.doubles = None
            return messages
        return [message for message in messages if not self.doubles.is_known(message)]


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
    quiet_until: Callable[[], float] = lambda: 0.0
    """Returns the moment (trio's clock) before which the readers get no line."""
    silence: Silence = attrs.field(
        default=attrs.Factory(lambda self: Silence(None, self.status), takes_self=True)
    )
    """Finds out why nothing comes; by default it does not."""
    _states: SourceStates = attrs.field(init=False)
    _feed: _Feed = attrs.field(init=False)
    """The connection that is read."""
    _successor: _Feed | None = attrs.field(default=None, init=False)
    """The connection that is to take over from `_feed`. Once it is up, both deliver."""
    _is_time: bool = attrs.field(default=False, init=False)
    """Whether both have delivered for long enough."""
    _renew_at: float = attrs.field(default=0.0, init=False)
    """The moment (trio's clock) from which a mute connection is replaced again."""
    _renewal: float = attrs.field(default=0.0, init=False)
    """Seconds between the last replacement and the next one."""

    def __attrs_post_init__(self) -> None:
        self._states = SourceStates(self.subjects, self.sink, self.status)
        self.silence.on_delivery = lambda: self._states.not_mute(self._feed.connection)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and publish until the connection ends; `started()` means subscribed.

        If it is cancelled, it closes the connection and publishes the messages that had arrived,
        as far as `grace` allows.

        Raises:
            SourceUnavailable: there is no connection, or it has ended.
            SourceDenied: the server refuses the credentials or a subscription.
        """
        feed = self._feed = self._open_feed()
        self._successor = None
        self._states.connecting(self.login.address)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._hold, feed)
                if not feed.connection.end:
                    self._states.up(feed.connection)
                    self.silence.begin()
                    nursery.start_soon(self._watch_for_silence)
                    nursery.start_soon(self._renew, nursery)
                    task_status.started()
                await self._read(nursery)
                nursery.cancel_scope.cancel()
        finally:
            connection = self._feed.connection
            await self._finish()
        raise self._states.explain(connection) from connection.end

    # --- connections ---------------------------------------------------------------------

    def _open_feed(self, instead_of: NatsConnection | None = None) -> _Feed:
        inbox, ended = Inbox(), trio.Event()

        def on_end() -> None:
            ended.set()
            inbox.wake()

        connection = NatsConnection(
            self.login,
            on_end,
            ping_interval=self.ping_interval,
            on_lame_duck=inbox.wake,
            quiet_until=lambda: self.quiet_until() if feed.handover is None else 0.0,
            instead_of=instead_of,
            dispensable=(self._canary_subject,) if self._canary_subject else (),
        )
        feed = _Feed(connection, inbox, ended)
        return feed

    async def _hold(
        self, feed: _Feed, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep a connection until it is to be left; `started()` means that it is up, or failed."""
        try:
            handlers: dict[str, Handler] = dict.fromkeys(self.subjects, feed.receive)
            if self._canary_subject:
                handlers[self._canary_subject] = self._receive_canary
            async with feed.connection.connected(handlers):
                task_status.started()
                await feed.leave.wait()
        finally:
            feed.closed.set()

    async def _read(self, nursery: trio.Nursery) -> None:
        """Publish until there is no connection any more."""
        while True:
            feed = self._feed
            deadline = self._states.steady_at
            with trio.CancelScope(deadline=math.inf if deadline is None else deadline) as waiting:
                await feed.inbox.wait()
            if waiting.cancelled_caught:
                self._states.steady(feed.connection)
                continue
            await self._publish_all(feed)
            if feed.connection.is_lame and feed.handover is None:
                feed.handover = Handover()
                self._states.lame_duck(feed.connection)
                nursery.start_soon(self._find_successor, nursery, feed)
            successor = self._successor
            if successor is not None and successor.is_up and (feed.connection.end or self._is_time):
                await self._take_over(feed, successor)
            elif feed.connection.end:
                return

    async def _find_successor(self, nursery: trio.Nursery, lame: _Feed) -> None:
        """Connect to another server than the one that shuts down, again and again."""
        delay = FIRST_DELAY
        while not await self._try_successor(nursery, lame, instead_of=lame.connection):
            await trio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_DELAY)

    async def _try_successor(
        self, nursery: trio.Nursery, old: _Feed, instead_of: NatsConnection | None = None
    ) -> bool:
        """Connect, and let both connections deliver; return whether the new one takes over."""
        # The old connection has begun its last pause before now. Once it is over, a message of it
        # arrives when it was sent, so its time tells whether the new connection brings it, too.
        await trio.sleep(LONGEST_PAUSE)
        feed = self._successor = self._open_feed(instead_of)
        self._is_time = False
        await nursery.start(self._hold, feed)
        if feed.connection.end is None:
            feed.is_up = True
            with trio.move_on_after(OVERLAP):
                await feed.ended.wait()
            if feed.connection.end is None:
                self._is_time = True
                old.inbox.wake()
                return True
            if self._successor is not feed:  # It has taken over meanwhile.
                return True
        self._successor = None
        feed.leave.set()
        await feed.closed.wait()
        return False

    async def _take_over(self, old: _Feed, new: _Feed) -> None:
        """Leave the old connection, and go on with the new one."""
        old.leave.set()
        await old.closed.wait()
        await self._publish_all(old)
        self._switch(old, new)
        self._states.up(new.connection)
        new.inbox.wake()

    def _switch(self, old: _Feed, new: _Feed) -> None:
        if old.handover is not None:
            old.handover.close(new.connection.subscribed_at)
        new.doubles = old.handover
        new.doubles_until = trio.current_time() + LATEST_DOUBLE
        self._feed, self._successor = new, None

    # --- silence -------------------------------------------------------------------------

    @property
    def _canary_subject(self) -> str:
        """The subject that is read for canaries alone; empty if they come with the other lines."""
        subject = self.silence.subject
        return "" if subject in self.subjects or "logs.>" in self.subjects else subject

    def _receive_canary(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """Look for a canary in a line of natstream's own app, which is not among those read."""
        if CANARY_MARK in payload:
            self.silence.hear(parse_nats(subject.decode(errors="replace"), payload))

    async def _watch_for_silence(self) -> None:
        """Find out why nothing comes, each time that nothing comes."""
        while True:
            await self.silence.wait_due()
            can_hear = self.silence.subject not in self._feed.connection.refused
            why = await self.silence.check(can_hear=can_hear, is_mute=self._states.is_mute)
            if why and not self._states.is_mute:
                self._renew_at, self._renewal = trio.current_time(), FIRST_RENEWAL
                self._states.mute(self._feed.connection, why)

    async def _renew(self, nursery: trio.Nursery) -> None:
        """Replace the connection while NATS is mute, at once and then less and less often."""
        while True:
            await self._states.mute_began.wait()
            with trio.move_on_at(self._renew_at):
                await self._states.mute_ended.wait()
                continue
            self._renew_at = trio.current_time() + self._renewal * random.uniform(0.8, 1.0)
            self._renewal = min(self._renewal * 2, LONGEST_RENEWAL)
            old = self._feed
            if old.handover is not None:  # It is being left already, because it shuts down.
                continue
            old.handover = Handover()
            if not await self._try_successor(nursery, old):
                old.handover = None
                old.inbox.wake()

    # --- lines ---------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Publish what has arrived, as far as the grace allows; the remainder counts as lost."""
        try:
            with trio.move_on_after(self.grace, shield=True):
                await self._publish_all(self._feed)
                if self._successor is not None:
                    self._switch(self._feed, self._successor)
                    await self._publish_all(self._feed)
        finally:
            for feed in filter(None, (self._feed, self._successor)):
                self._states.missing(feed.inbox.clear())
            self._states.ended()

    async def _publish_all(self, feed: _Feed) -> None:
        """Publish the messages that wait. Cancellation loses none of the popped messages."""
        while (messages := feed.pop_run()) is not None:
            self._states.lines_come()
            try:
                await self._publish(messages)
            except Exception:
                # This is a bug of ours, and the readers lose some of these lines. The gap stands
                # where these lines are missing, because later messages are still published.
                lost = Gap(missed=len(messages), since=time.time_ns() // 1_000_000, at_most=True)
                self.status.lost += len(messages)
                self.sink.announce(f"Up to {len(messages):,} lines from NATS are lost", gap=lost)
                raise
            self._states.missing(feed.inbox.pop_gap())
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _publish(self, messages: Sequence[Message]) -> None:
        status = self.status
        entries = parse_messages(messages)
        if own := self.silence.canaries_among(entries):
            entries = [entry for n, entry in enumerate(entries) if n not in own]
            messages = [message for n, message in enumerate(messages) if n not in own]
        if not entries:
            return
        self.silence.hear_lines()
        status.lines += len(entries)
        status.bytes += sum(len(payload) for _, payload in messages)
        # An entry with a timestamp or a provider was parsed from an object. Without either, `raw`
        # decodes the payload once more to find out.
        status.parse_failures += sum(
            not entry.timestamp and not entry.provider and not entry.raw for entry in entries
        )
        # The shield does not last long, because `publish` waits only until the readers have run.
        with trio.CancelScope(shield=True):
            await self.sink.publish(entries)
