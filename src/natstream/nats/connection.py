"""One connection to NATS, for as long as a block lasts.

In: addresses and credentials, then raw commands. Out: messages, handed to the handler of their
subscription; and the reason why the connection has ended. nats-py makes the connection. It runs on
trio-asyncio's event loop inside `connected()`, and none of its tasks outlives that block. Its own
reconnecting is off, because the supervisor restarts every source with a backoff and tells the
readers. A connection that has ended is not used again.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs
import trio

from nats import errors as nats_errors
from natstream.errors import network_reason
from natstream.nats.client_adapter import ClientAdapter
from natstream.nats.parser import Handler, MessageParser

with warnings.catch_warnings():
    # trio-asyncio 0.16 defines a child watcher, which Python 3.12 and 3.13 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

__all__ = ["PING_INTERVAL", "Failure", "Login", "NatsConnection"]

# Seconds. A connection takes a few round trips: at most a second or so around the globe, with TLS.
# The limit for one server is short, so that a server that does not answer leaves time for the next.
STEP_DEADLINE = 2
CONNECT_DEADLINE = 5.0
# A PING goes out this often, in seconds. The connection counts as stale if the server has sent
# nothing when the third is due.
PING_INTERVAL = 5.0
# Seconds. When the connection closes, one round trip brings the messages that the server had sent.
# Both steps have a deadline, since a stalled server would otherwise keep us for ever.
FLUSH_DEADLINE = 0.5
CLOSE_DEADLINE = 1.0

# Errors as servers word them. nats-py converts them to lower case once it is connected.
_NO_ACCESS = re.compile(r"auth\w* (violation|revoked|expired)", re.IGNORECASE)
_NO_PERMISSION = re.compile(r'permissions violation.*? "([^"]*)"', re.IGNORECASE)


@attrs.frozen
class Login:
    """The servers to connect to, and the credentials for them."""

    servers: Sequence[str] = attrs.field(repr=False)
    """Addresses as `NATSTREAM_NATS_URL` takes them."""
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    token: str = attrs.field(default="", repr=False)

    @property
    def address(self) -> str:
        """The servers' hosts and ports, for people. A URL's user and password are left out."""
        return "NATS at " + " or ".join(_host_and_port(server) for server in self.servers)

    def options(self) -> dict[str, Any]:
        """Return the credentials as arguments of nats-py's `connect`."""
        options: dict[str, Any] = {}
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.token:
            options["token"] = self.token
        return options

    def redact(self, text: str) -> str:
        """Return a server's text, safe to show: short, printable, and without our secrets.

        A server knows the password, so it may repeat it in an error.
        """
        for secret in filter(None, (self.password, self.token)):
            text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
        return "".join(char if char.isprintable() else "?" for char in text[:200])


@attrs.frozen
class Failure:
    """The reason why there is no connection."""

    kind: Literal["denied", "forbidden", "unreachable"]
    """`denied`: the server refuses the credentials; `forbidden`: they lack a permission;
    `unreachable`: any other reason."""
    words: str
    """The subject that is forbidden, or the reason; safe to show."""


class NatsConnection:
    """One connection to the first of several servers that answers.

    Args:
        login: the servers and the credentials.
        on_end: called once when the connection has ended by itself. It must neither wait nor raise.
        ping_interval: seconds between two PINGs.
    """

    def __init__(
        self, login: Login, on_end: Callable[[], None], *, ping_interval: float = PING_INTERVAL
    ) -> None:
        self._login = login
        self._on_end = on_end
        self._ping_interval = ping_interval
        self._handlers: dict[bytes, Handler] = {}
        """By the number of the subscription, as the server spells it."""
        self._last_subscription = 0
        self._adapter = ClientAdapter(MessageParser(self._handlers))
        self._client = self._adapter.client
        self._event_loop: Any = None
        self._last_error: Exception | None = None
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
        if self.end is None:
            self._adapter.write(commands, self._event_loop)

    async def wait_sent(self) -> None:
        """Wait until the network has accepted the commands sent so far.

        It may wait for ever if the connection ends, so the caller must be cancelled then.
        """
        flushed = self._adapter.flushed
        if flushed is None or flushed.done():
            await trio.lowlevel.checkpoint()
        else:
            await trio_asyncio.run_aio_future(flushed)

    @property
    def unsent(self) -> int:
        """Bytes of commands that wait for the network."""
        return int(self._client.pending_data_size)

    @property
    def server_info(self) -> Mapping[str, Any]:
        """What the server said of itself when it greeted; empty before that."""
        return self._adapter.info

    @property
    def max_payload(self) -> int:
        """Bytes that the server accepts as one message, headers included."""
        return int(self._client.max_payload)

    def failure(self) -> Failure:
        """Return the reason why the connection has ended, in words for people."""
        error = self.end
        said = str(error) if type(error) is nats_errors.Error else ""
        if isinstance(error, nats_errors.AuthorizationError) or re.search(_NO_ACCESS, said):
            return Failure("denied", "")
        if match := re.search(_NO_PERMISSION, said):
            return Failure("forbidden", self._login.redact(match[1]))
        words = self._login.redact(said.removeprefix("nats: ")) or _reason(error)
        return Failure("unreachable", words)

    def finish(self, error: Exception) -> None:
        """Count the connection as ended, for this reason. Only the first reason counts."""
        if self.end is None:
            self.end = error
            self._on_end()

    # --- opening and closing -------------------------------------------------------------

    async def _open(self, subjects: Mapping[str, Handler]) -> None:
        try:
            with trio.fail_after(CONNECT_DEADLINE):
                await trio_asyncio.aio_as_trio(self._client.connect)(
                    list(self._login.servers),
                    **self._login.options(),
                    name="natstream",
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    lame_duck_mode_cb=self._on_lame_duck,
                    connect_timeout=STEP_DEADLINE,
                    # Each server is tried twice, without a pause. nats-py takes 0 for no limit.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    allow_reconnect=False,
                    ping_interval=self._ping_interval,
                    max_outstanding_pings=2,
                )
                for subject, handler in subjects.items():
                    self.listen(subject, handler)
                # The server answers this after its objections to the subscriptions.
                await trio_asyncio.aio_as_trio(self._client.flush)()
        except nats_errors.NoServersError as error:
            self.finish(self._last_error or error)
        except (OSError, nats_errors.Error, trio.TooSlowError, ValueError) as error:
            self.finish(error)

    async def _close(self) -> None:
        """Receive the messages that the server has sent, and close the connection.

        nats-py's `drain()` is of no use here, because it ignores cancellation.
        """
        if not self.end:
            with trio.move_on_after(FLUSH_DEADLINE, shield=True), suppress(nats_errors.Error):
                await trio_asyncio.aio_as_trio(self._client.flush)()
        with trio.move_on_after(CLOSE_DEADLINE, shield=True):
            await trio_asyncio.aio_as_trio(self._client.close)()

    def _on_loop_error(self, loop: object, context: Mapping[str, Any]) -> None:
        """End the connection if a task of nats-py raises.

        By default, trio-asyncio's event loop would crash with the exception.
        """
        if error := context.get("exception"):
            self.finish(error)

    async def _on_error(self, error: Exception) -> None:
        # This must not raise, because nats-py would stop reading and keep the connection.
        self._last_error = error
        if "permissions violation" in str(error):
            self.finish(error)

    async def _on_closed(self) -> None:
        self.finish(self._client.last_error or nats_errors.ConnectionClosedError())

    async def _on_lame_duck(self) -> None:
        self.finish(_LameDuckError())


class _LameDuckError(Exception):
    """The server has told its clients that it will shut down soon."""


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"[{host}]:{parts.port or 4222}" if ":" in host else f"{host}:{parts.port or 4222}"


def _reason(error: Exception | None) -> str:
    """Return the reason in our own words, since nats-py's may hold an address with a password."""
    match error:
        case _LameDuckError():
            return "the server is shutting down"
        case nats_errors.UnexpectedEOF():
            return "the server closed the connection"
        case nats_errors.ProtocolError():
            return "the server does not follow the NATS protocol"
        case nats_errors.StaleConnectionError() | TimeoutError() | trio.TooSlowError():
            return "the server does not answer"
        case nats_errors.SecureConnWantedError():
            return "the server offers no TLS, but its address begins with tls://"
        case UnicodeError():
            return "the server's name is not valid"
        case OSError(errno=None) if match := re.search(r"\[Errno (\d+)\]", str(error)):
            return os.strerror(int(match[1]))  # asyncio joins the errors of a name's addresses
        case OSError():
            return network_reason(error)
    return type(error).__name__
