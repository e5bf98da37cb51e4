"""One connection to NATS, for as long as a block lasts.

In: a login and subjects, then raw commands. Out: messages, handed to the handler of their
subscription; and the reason why the connection has ended. nats-py makes the connection. It runs on
trio-asyncio's event loop inside `connected()`, and none of its tasks outlives that block. Its own
reconnecting is off, because the supervisor restarts every source with a backoff and tells the
readers. A connection that has ended is not used again.

All servers of the login and all addresses of their names are tried side by side (`dialing`). A
server counts as connected once it has answered a PING that was sent after the subscriptions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import trio

from nats import errors as nats_errors
from natstream.nats.client_adapter import ClientAdapter, NetworkAddress
from natstream.nats.dialing import network_addresses, try_side_by_side
from natstream.nats.failures import LameDuckError, explain
from natstream.nats.login import Failure, Login, host_and_port, rank, summarise
from natstream.nats.parser import Handler, MessageParser
from natstream.nats.read_pauses import ReadPauses

with warnings.catch_warnings():
    # trio-asyncio 0.16 defines a child watcher, which Python 3.12 and 3.13 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

__all__ = ["PING_INTERVAL", "Login", "NatsConnection"]

# Seconds, for one address. A connection takes a few round trips: at most a second or so around the
# globe, with TLS. A name's lookup has the same limit.
CONNECT_DEADLINE = 5.0
# Seconds for the answer behind the subscriptions. It is one round trip, and other servers wait for
# their turn meanwhile.
SUBSCRIBE_DEADLINE = 2.0
# A PING goes out this often, in seconds. The connection counts as stale if the server has sent
# nothing when the third is due.
PING_INTERVAL = 5.0
# Seconds. When the connection closes, one round trip brings the messages that the server had sent.
# Both steps have a deadline, since a stalled server would otherwise keep us for ever.
FLUSH_DEADLINE = 0.5
CLOSE_DEADLINE = 1.0


@attrs.frozen
class _Link:
    """The connection that has won: its client, and the server that it leads to."""

    server: str
    address: NetworkAddress
    adapter: ClientAdapter


class NatsConnection:
    """One connection to the first of several servers that takes the subscriptions.

    Args:
        login: the servers and the credentials.
        on_end: called once when the connection has ended by itself. It must neither wait nor raise.
        ping_interval: seconds between two PINGs.
        on_lame_duck: called once when the server says that it will shut down; until then it goes on
            delivering. Without it, the connection ends at that moment.
        quiet_until: returns the moment (trio's clock) before which no message is needed. Until
            then messages may stay in the socket.
        instead_of: the connection that this one is to replace; its server's process is not used.
        dispensable: subjects that the server may refuse without ending the connection.
    """

    def __init__(
        self,
        login: Login,
        on_end: Callable[[], None],
        *,
        ping_interval: float = PING_INTERVAL,
        on_lame_duck: Callable[[], None] | None = None,
        quiet_until: Callable[[], float] = lambda: 0.0,
        instead_of: NatsConnection | None = None,
        dispensable: Collection[str] = (),
    ) -> None:
        self._login = login
        self._on_end = on_end
        self._on_lame_duck = on_lame_duck
        self._avoided = () if instead_of is None else instead_of._process
        self._ping_interval = ping_interval
        self._quiet_until = quiet_until
        self._dispensable = dispensable
        self._handlers: dict[bytes, Handler] = {}
        """By the number of the subscription, as the server spells it."""
        self._last_subscription = 0
        self._event_loop: Any = None
        self._link: _Link | None = None
        """What the connection leads to; `None` until a server has taken the subscriptions."""
        self._adapter: ClientAdapter | None = None
        """The client that subscribes at present, or has subscribed."""
        self._turn = trio.Lock()
        """Held while a client subscribes, so that messages come over one connection only."""
        self._failures: dict[str, Failure] = {}
        """By server: the most telling reason why it could not be connected."""
        self._retry_at = math.inf
        """The moment (trio's clock) from which one of the servers may be asked again."""
        self._is_open = False
        self.is_lame: bool = False
        """Whether the server has said that it will shut down."""
        self.subscribed_at: float = 0.0
        """The moment (trio's clock) at which the subscriptions were sent."""
        self.end: Exception | None = None
        """The reason why the connection has ended; `None` while it lasts."""

    @asynccontextmanager
    async def connected(self, subjects: Mapping[str, Handler]) -> AsyncIterator[None]:
        """Connect and subscribe. In the block either `end` is set, or messages arrive.

        The end of the block hands over the messages that the server has sent by then, and closes
        the connection, also if the block is cancelled. That takes at most `FLUSH_DEADLINE` and
        `CLOSE_DEADLINE`.
        """
        async with trio_asyncio.open_loop() as loop:
            self._event_loop = loop
            loop.set_exception_handler(self._on_loop_error)
            try:
                await self._open(subjects)
                yield
            finally:
                await self._close()

    def listen(self, subject: str, handler: Handler) -> int:
        """Subscribe to a subject, and return the subscription's number for `unlisten`.

        The connection ends if the server refuses the subscription.
        """
        self._last_subscription += 1
        number = b"%d" % self._last_subscription
        self._handlers[number] = handler
        self.send(b"SUB %b %b\r\n" % (subject.encode(), number))
        return self._last_subscription

    def unlisten(self, subscription: int) -> None:
        """End a subscription at once; messages that still arrive for it are dropped."""
        if self._handlers.pop(b"%d" % subscription, None) is not None:
            self.send(b"UNSUB %d\r\n" % subscription)

    def send(self, commands: bytes) -> None:
        """Send whole commands of the NATS protocol. It never waits, so callers watch `unsent`.

        Any trio task may call it. It does nothing while there is no connection.
        """
        if self.end is None and self._adapter is not None:
            self._adapter.write(commands, self._event_loop)

    async def wait_sent(self) -> None:
        """Wait until the network has accepted the commands sent so far.

        It may wait for ever if the connection ends, so the caller must be cancelled then.
        """
        flushed = None if self._link is None else self._link.adapter.flushed
        if flushed is None or flushed.done():
            await trio.lowlevel.checkpoint()
        else:
            await trio_asyncio.run_aio_future(flushed)

    @property
    def unsent(self) -> int:
        """Bytes of commands that wait for the network."""
        return 0 if self._link is None else int(self._link.adapter.client.pending_data_size)

    @property
    def server_info(self) -> Mapping[str, Any]:
        """What the server said of itself when it greeted; empty before that."""
        return {} if self._link is None else self._link.adapter.info

    @property
    def max_payload(self) -> int:
        """Bytes that the server accepts as one message, headers included."""
        return 0 if self._link is None else int(self._link.adapter.client.max_payload)

    @property
    def address(self) -> str:
        """The server's host and port, for people; all servers' while there is no connection."""
        if self._link is None:
            return self._login.address
        return f"NATS at {host_and_port(self._link.server)}"

    @property
    def _process(self) -> tuple[object, ...]:
        """What tells the server's process from others."""
        return () if self._link is None else _process(self._link.adapter, self._link.address)

    def failure(self) -> Failure:
        """Return the reason why the connection has ended, in words for people."""
        if self._link is None:
            in_order = {
                server: self._failures[server]
                for server in self._login.servers
                if server in self._failures
            }
            return summarise(in_order, max(0.0, self._retry_at - trio.current_time()))
        server, address, adapter = attrs.astuple(self._link, recurse=False)
        end = LameDuckError() if self.is_lame else self.end
        return summarise({server: self._explain(server, address, adapter, end)}, 0.0)

    @property
    def refusals(self) -> Mapping[str, Failure]:
        """By server: why it was not used, if the reason is one that a person has to remove."""
        return {
            server: failure
            for server, failure in self._failures.items()
            if failure.kind != "unreachable"
        }

    @property
    def refused(self) -> Collection[str]:
        """The dispensable subjects that the server does not let us read."""
        return () if self._link is None else self._link.adapter.refused

    def finish(self, error: Exception) -> None:
        """Count the connection as ended, for this reason. Only the first reason counts."""
        if self.end is None:
            self.end = error
            self._on_end()

    # --- opening and closing -------------------------------------------------------------

    async def _open(self, subjects: Mapping[str, Handler]) -> None:
        """Connect to the first server that takes the subscriptions; otherwise set `end`."""
        with trio.CancelScope() as race:
            servers = dict.fromkeys(self._login.servers)
            await try_side_by_side(
                [partial(self._try_server, server, subjects, race) for server in servers]
            )
        self._is_open = True
        if self._link is None:
            self.finish(nats_errors.NoServersError())
        elif self._link.adapter.is_lame or self._link.adapter.info.get("ldm"):
            self._hear_lame_duck()

    async def _try_server(
        self, server: str, subjects: Mapping[str, Handler], race: trio.CancelScope
    ) -> None:
        try:
            with trio.fail_after(CONNECT_DEADLINE):
                addresses = await network_addresses(server)
        except (OSError, UnicodeError, trio.TooSlowError) as error:
            self._note(server, explain(self._login, error, "", wants_certificate=False))
            return
        await try_side_by_side(
            [partial(self._try_address, server, address, subjects, race) for address in addresses]
        )

    async def _try_address(
        self,
        server: str,
        address: NetworkAddress,
        subjects: Mapping[str, Handler],
        race: trio.CancelScope,
    ) -> None:
        """Connect and subscribe, then cancel `race`; otherwise note why this address failed."""
        if (
            refusal := self._login.refusal(server, address.host, address.port, trio.current_time())
        ) is not None:
            self._note(server, refusal.failure, refusal.until)
            return
        adapter = ClientAdapter(
            MessageParser(self._handlers), ReadPauses(self._quiet_until), self._dispensable
        )
        try:
            with trio.fail_after(CONNECT_DEADLINE):
                await trio_asyncio.aio_as_trio(adapter.connect)(
                    server,
                    address,
                    **self._login.options(),
                    connect_timeout=CONNECT_DEADLINE,
                    ping_interval=self._ping_interval,
                )
            if _process(adapter, address) == self._avoided:
                raise nats_errors.NoServersError
            async with self._turn:
                await self._subscribe(adapter, subjects)
                self._link = _Link(server, address, adapter)
            race.cancel()
        except (OSError, EOFError, nats_errors.Error, trio.TooSlowError, ValueError) as error:
            failure = self._explain(server, address, adapter, adapter.end or error)
            refusal = self._login.refusal(server, address.host, address.port, trio.current_time())
            self._note(server, failure, 0.0 if refusal is None else refusal.until)
        finally:
            if self._link is None or self._link.adapter is not adapter:
                await self._close_client(adapter)

    async def _subscribe(self, adapter: ClientAdapter, subjects: Mapping[str, Handler]) -> None:
        """Send the subscriptions, and wait until the server has answered a PING behind them.

        The server answers the PING after its objections to the subscriptions.
        """
        self._adapter = adapter
        self.subscribed_at = trio.current_time()
        answered = False
        try:
            with trio.fail_after(SUBSCRIBE_DEADLINE), trio.CancelScope() as waiting:
                adapter.on_end = waiting.cancel
                if adapter.end is None:
                    for subject, handler in subjects.items():
                        self.listen(subject, handler)
                    await trio_asyncio.aio_as_trio(adapter.ping)(self._event_loop)
                    answered = adapter.end is None
        finally:
            if not answered:
                self._adapter = None
                self._handlers.clear()
        if not answered:
            raise adapter.end or nats_errors.ConnectionClosedError
        adapter.on_end = self._on_client_end
        adapter.on_lame_duck = self._hear_lame_duck

    def _note(self, server: str, failure: Failure, retry_at: float = 0.0) -> None:
        known = self._failures.get(server)
        if known is None or rank(failure) < rank(known):
            self._failures[server] = failure
        self._retry_at = min(self._retry_at, retry_at)

    def _explain(
        self, server: str, address: NetworkAddress, adapter: ClientAdapter, error: Exception | None
    ) -> Failure:
        """Return why a server has failed, and leave it alone for a while if it refuses us."""
        wants_certificate = bool(adapter.info.get("tls_verify"))
        failure = explain(self._login, error, adapter.said, wants_certificate=wants_certificate)
        if failure.kind != "unreachable":
            now = trio.current_time()
            self._login.hold(server, address.host, address.port, failure, now)
        return failure

    async def _close(self) -> None:
        """Receive the messages that the server has sent, and close the connection.

        nats-py's `drain()` is of no use here, because it ignores cancellation.
        """
        if self._link is None:
            return
        if self.end is None:
            with trio.move_on_after(FLUSH_DEADLINE, shield=True):
                await trio_asyncio.aio_as_trio(self._link.adapter.ping)(self._event_loop)
        await self._close_client(self._link.adapter)

    async def _close_client(self, adapter: ClientAdapter) -> None:
        with trio.move_on_after(CLOSE_DEADLINE, shield=True), suppress(OSError):
            await trio_asyncio.aio_as_trio(adapter.close)()

    # --- what happens to the connection --------------------------------------------------

    def _on_client_end(self) -> None:
        if self._adapter is not None and self._adapter.end is not None:
            self.finish(self._adapter.end)

    def _on_loop_error(self, loop: object, context: Mapping[str, Any]) -> None:
        """End the connection if a task of nats-py raises.

        By default, trio-asyncio's event loop would crash with the exception. An attempt to connect
        has its own deadline, so it is not ended here.
        """
        if (error := context.get("exception")) and self._is_open:
            self.finish(error)

    def _hear_lame_duck(self) -> None:
        if self._on_lame_duck is None:
            self.finish(LameDuckError())
        elif not self.is_lame:
            self.is_lame = True
            self._on_lame_duck()


def _process(adapter: ClientAdapter, address: NetworkAddress) -> tuple[object, ...]:
    return (adapter.info.get("server_id"), address.host, address.port)
