"""The NATS source: one connection, its messages parsed and fed to the hub.

In: messages of the subjects asked for. Out: entries for the hub, in order; what happens to the
connection, told to the source's `SourceStatus`. `NatsSource.run` is the scope of one connection
and ends with a `SourceError` that says in a sentence why, and which setting to look at; the
supervisor waits and calls it again. So nats-py's own reconnecting is off, and nothing of one
connection (its tasks, its event loop) outlives it.

Where messages wait: in the `Inbox`, which is bounded and counts what does not fit. Reading and
parsing take turns, so in a flood most wait in the socket and, up to its limit of usually 64 MiB,
at the server, which slows those who publish. Past that it cuts us off, and what is lost is as
unknown as after any loss of the connection.

This is the only home of `nats` and `trio_asyncio`.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import attrs
import trio
from nats import errors as nats_errors
from nats.aio.client import Client

from natstream.entry import Gap, LogEntry
from natstream.errors import SourceDenied, SourceError, SourceUnavailable, network_reason
from natstream.health import SourceState, SourceStatus
from natstream.parsing import parse_nats
from natstream.sources.inbox import Inbox, Message

with warnings.catch_warnings():
    # trio-asyncio 0.16 defines a child watcher, which Python 3.12 and 3.13 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

__all__ = ["NatsSource"]

# Connecting takes a few round trips, at most a second or so round the globe, TLS included.
# One server that does not answer must not keep us from the next.
STEP_DEADLINE = 2
CONNECT_DEADLINE = 5.0
# A PING every so often; two of them without a word from the server, and the connection is stale.
PING_INTERVAL = 5.0
# One round trip brings what the server had for us. Closing sends nothing that matters; against a
# stalled server either might wait for ever.
FLUSH_DEADLINE = 0.5
CLOSE_DEADLINE = 1.0

# What servers say, and nats-py repeats in small letters once connected.
_NO_ACCESS = re.compile(r"auth\w* (violation|revoked|expired)", re.IGNORECASE)
_NO_PERMISSION = re.compile(r'permissions violation.*? "([^"]*)"', re.IGNORECASE)


class Feeds(Protocol):
    """What the source needs of the hub."""

    async def feed(self, entries: Sequence[LogEntry]) -> None: ...

    def announce(self, message: str, *, gap: Gap | None = None) -> None: ...


class _Connection(Client):
    """One connection of nats-py's client, which tells its end to whoever waits at the inbox.

    Two methods of the client are overridden; they are the same from 2.9 to 2.16.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._heard: Exception | None = None
        self.end: Exception | None = None
        """Why it has ended; `None` while it has not."""

    async def open(self, source: NatsSource) -> None:
        """Connect and subscribe; then either `end` is set, or messages will come."""
        try:
            with trio.fail_after(CONNECT_DEADLINE):
                await trio_asyncio.aio_as_trio(self.connect)(
                    list(source.servers),
                    user=source.user,
                    password=source.password,
                    name="natstream",
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    lame_duck_mode_cb=self._on_lame_duck,
                    connect_timeout=STEP_DEADLINE,
                    # Every server is tried at once and, since 0 would mean for ever, once more.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    allow_reconnect=False,
                    ping_interval=source.ping_interval,
                    max_outstanding_pings=2,
                )
                for subject in source.subjects:
                    await trio_asyncio.aio_as_trio(self.subscribe)(subject)
                # What the server objects to comes before the answer to this.
                await trio_asyncio.aio_as_trio(self.flush)()
        except nats_errors.NoServersError as error:
            self._finish(self._heard or error)
        except (OSError, nats_errors.Error, trio.TooSlowError) as error:
            self._finish(error)

    async def shut(self) -> None:
        """Take in what the server has sent by now, and close, each if that takes no time.

        `drain()` would ignore being cancelled.
        """
        if not self.end:
            with trio.move_on_after(FLUSH_DEADLINE, shield=True), suppress(nats_errors.Error):
                await trio_asyncio.aio_as_trio(self.flush)()
        with trio.move_on_after(CLOSE_DEADLINE, shield=True):
            await trio_asyncio.aio_as_trio(self.close)()

    def on_loop_error(self, loop: object, context: Mapping[str, Any]) -> None:
        """What a task of nats-py's raises; by default it would end our event loop."""
        if error := context.get("exception"):
            self._finish(error)

    async def _on_error(self, error: Exception) -> None:
        # nats-py dies of an exception in here, without a word.
        self._heard = error
        if "permissions violation" in str(error):
            self._finish(error)

    async def _on_closed(self) -> None:
        self._finish(self.last_error or nats_errors.ConnectionClosedError())

    async def _on_lame_duck(self) -> None:
        self._finish(_LameDuckError())

    def _finish(self, error: Exception) -> None:
        self.end = self.end or error
        self._inbox.wake()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """Put each message straight into the inbox.

        nats-py would build an object of it and pass that through a queue to a task of the
        subscription, twice the work (6 µs instead of 3), with a second place to lose messages:
        past its limits it drops the newest and calls back once for each.
        """
        self._inbox.put(subject, data)
        # Who talks is alive: the answer to a PING queues behind all these.
        self._pings_outstanding = 0

    def _connect_command(self) -> bytes:
        """Send the password unencrypted only where that was asked for.

        Even for a `tls://` address nats-py believes the server, which says, before there is any
        encryption, whether it wants some.
        """
        server = self._current_server
        if server and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise nats_errors.SecureConnWantedError
        command: bytes = super()._connect_command()
        return command


class _LameDuckError(Exception):
    """The server has told its clients that it is about to shut down."""


@attrs.define(eq=False)
class NatsSource:
    """Reads subjects from a NATS server, or from the first of several that answers."""

    servers: Sequence[str] = attrs.field(repr=False)
    """Addresses as `NATSTREAM_NATS_URL` takes them."""
    user: str
    password: str = attrs.field(repr=False)
    subjects: Sequence[str]
    hub: Feeds
    status: SourceStatus
    ping_interval: float = PING_INTERVAL
    grace: float = 2.0
    """Seconds for feeding what had arrived, when it is cancelled."""
    _missing_since: int | None = attrs.field(default=None, init=False)
    """Unix ms of the last connection's end: what was published since then has passed us by."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and feed the hub until the connection ends; `started()` once subscribed.

        Cancelled, it closes the connection and feeds what had arrived, as far as `grace` allows.

        Raises:
            SourceUnavailable: there is no connection, or it has ended.
            SourceDenied: credentials or permissions are refused.
        """
        inbox = Inbox()
        connection = _Connection(inbox)
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(connection.on_loop_error)
            try:
                if self.status.state is SourceState.STARTING:
                    self.status.change(SourceState.CONNECTING, f"Connecting to {self._place}")
                await connection.open(self)
                if not connection.end:
                    self._say_up()
                    task_status.started()
                while not connection.end:
                    await inbox.wait()
                    await self._deliver(inbox)
            finally:
                await connection.shut()
                try:
                    with trio.move_on_after(self.grace, shield=True):
                        await self._deliver(inbox)
                finally:
                    self._say_missing(inbox.drop())
                    if self.status.state is SourceState.UP:
                        self._missing_since = time.time_ns() // 1_000_000
        # Not in there: the loop is a nursery, and would wrap it into a group.
        raise self._explain(connection.end) from connection.end

    async def _deliver(self, inbox: Inbox) -> None:
        """Feed all that waits. Cancelled, it has fed all that it took."""
        while messages := inbox.take():
            try:
                await self._feed(messages)
            except Exception:
                # A bug of ours, which costs the readers some of these. They are told so here, in
                # the lines' place: what waits behind them is still fed.
                lost = Gap(len(messages), time.time_ns() // 1_000_000, at_most=True)
                self.status.lost += len(messages)
                self.hub.announce(f"Up to {len(messages):,} lines from NATS are lost", gap=lost)
                raise
            self._say_missing(inbox.take_hole())
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _feed(self, messages: Sequence[Message]) -> None:
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
            await self.hub.feed(entries)

    @property
    def _place(self) -> str:
        """The servers' addresses, without whatever else their URLs may hold."""
        return "NATS at " + " or ".join(_host_and_port(server) for server in self.servers)

    def _say_up(self) -> None:
        self.status.change(
            SourceState.UP, f"Connected to {self._place}, reading {', '.join(self.subjects)}"
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
        self.hub.announce(message, gap=gap)

    def _explain(self, error: Exception | None) -> SourceError:
        """A sentence for a person: what has happened, and which setting to look at."""
        said = str(error) if type(error) is nats_errors.Error else ""
        if isinstance(error, nats_errors.AuthorizationError) or re.search(_NO_ACCESS, said):
            return SourceDenied(
                f"{self._place} refuses the credentials: FLY_ORG must be the organisation's slug, "
                "and ACCESS_TOKEN a token of it that is still valid"
            )
        if match := re.search(_NO_PERMISSION, said):
            return SourceDenied(
                f"{self._place} does not let us read {self._show(match[1])}: FLY_APP must name an "
                "app of the organisation FLY_ORG, which ACCESS_TOKEN may read"
            )
        reason = self._show(said.removeprefix("nats: ")) or _reason(error)
        if self.status.state is SourceState.UP:
            return SourceUnavailable(f"The connection to {self._place} is lost: {reason}")
        return SourceUnavailable(
            f"{self._place} cannot be reached: {reason}; NATSTREAM_NATS_URL says where it is"
        )

    def _show(self, words: str) -> str:
        """A server's words, fit to be shown; one that knows the password could repeat it."""
        words = re.sub(re.escape(self.password) or "$^", "***", words, flags=re.IGNORECASE)
        return "".join(char if char.isprintable() else "?" for char in words[:200])


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"[{host}]:{parts.port or 4222}" if ":" in host else f"{host}:{parts.port or 4222}"


def _reason(error: Exception | None) -> str:
    """What is wrong, in words that are not nats-py's: those may hold an address with a password."""
    match error:
        case _LameDuckError():
            return "the server is shutting down"
        case nats_errors.UnexpectedEOF():
            return "the server has closed it"
        case nats_errors.StaleConnectionError() | TimeoutError() | trio.TooSlowError():
            return "it does not answer"
        case nats_errors.SecureConnWantedError():
            return "it offers no TLS, and its address begins with tls://"
        case UnicodeError():
            return "its name is not valid"
        case OSError(errno=None) if match := re.search(r"\[Errno (\d+)\]", str(error)):
            return os.strerror(int(match[1]))  # of a name with several addresses
        case OSError():
            return network_reason(error)
    return type(error).__name__
