"""One connection to NATS: nats-py on trio-asyncio. The only home of both.

In: addresses and credentials, then raw commands. Out: messages, handed to the handler of their
subscription straight from the parser; and why the connection has ended. `connected()` is
the scope of one connection: nats-py's own reconnecting is off, and nothing of it (its tasks, its
event loop) outlives the block. Whoever uses it comes back with a new one.
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
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from nats import errors as nats_errors
from natstream.errors import network_reason

with warnings.catch_warnings():
    # trio-asyncio 0.16 defines a child watcher, which Python 3.12 and 3.13 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

__all__ = ["PING_INTERVAL", "Failure", "Handler", "Login", "NatsConnection"]

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

Handler = Callable[[bytes, bytes, bytes, bytes], None]
"""What is called for each message: subject, reply, payload, headers (raw, or empty). It must
neither wait nor raise."""


@attrs.frozen
class Login:
    """Where to connect, as whom."""

    servers: Sequence[str] = attrs.field(repr=False)
    """Addresses as `NATSTREAM_NATS_URL` takes them."""
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    token: str = attrs.field(default="", repr=False)

    @property
    def address(self) -> str:
        """The servers' addresses, without whatever else their URLs may hold."""
        return "NATS at " + " or ".join(_host_and_port(server) for server in self.servers)

    def options(self) -> dict[str, Any]:
        """What nats-py wants to know of it."""
        options: dict[str, Any] = {}
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.token:
            options["token"] = self.token
        return options

    def show(self, words: str) -> str:
        """A server's words, fit to be shown; one that knows the password could repeat it."""
        for secret in filter(None, (self.password, self.token)):
            words = re.sub(re.escape(secret), "***", words, flags=re.IGNORECASE)
        return "".join(char if char.isprintable() else "?" for char in words[:200])


@attrs.frozen
class Failure:
    """Why there is no connection, or none any more."""

    kind: Literal["denied", "forbidden", "unreachable"]
    """`denied`: the credentials; `forbidden`: a permission."""
    words: str
    """The subject that is forbidden, or the reason; fit to be shown."""


class NatsConnection(Client):
    """One connection of nats-py's client.

    Some methods of the client and of its parser are overridden, and `send` writes to its buffer;
    all of these are the same from 2.9 to 2.16.

    Args:
        login: where, and as whom.
        on_end: called once the connection has ended by itself; must neither wait nor raise.
        ping_interval: seconds.
    """

    def __init__(
        self, login: Login, on_end: Callable[[], None], *, ping_interval: float = PING_INTERVAL
    ) -> None:
        super().__init__()
        self._login = login
        self._on_end = on_end
        self._ps = _Parser(self)
        self.handlers: dict[bytes, Handler] = {}
        """By the number of the subscription, as the server spells it."""
        self._event_loop: Any = None
        self._interval = ping_interval
        self._heard: Exception | None = None
        self.end: Exception | None = None
        """Why it has ended; `None` while it has not."""

    @asynccontextmanager
    async def connected(self, subjects: Mapping[str, Handler]) -> AsyncIterator[None]:
        """Connect and subscribe; then either `end` is set, or messages will come.

        Leaving the block takes in what the server had sent by then, and closes the connection.
        """
        async with trio_asyncio.open_loop() as loop:
            self._event_loop = loop
            loop.set_exception_handler(self._on_loop_error)
            try:
                await self._open(subjects)
                yield
            finally:
                await self._shut()

    def listen(self, subject: str, handler: Handler) -> int:
        """Subscribe; the number is for `unlisten`. What the server objects to ends it all."""
        self._sid += 1
        self.handlers[b"%d" % self._sid] = handler
        self.send(b"SUB %b %d\r\n" % (subject.encode(), self._sid))
        return self._sid

    def unlisten(self, sid: int) -> None:
        """End a subscription, at once: what still comes for it is dropped."""
        if self.handlers.pop(b"%d" % sid, None) is not None:
            self.send(b"UNSUB %d\r\n" % sid)

    def send(self, commands: bytes) -> None:
        """Write raw commands of NATS' protocol, whole ones. Never waits, nor looks at a limit.

        From any task, while the connection lasts; afterwards it does nothing.
        """
        if self.end is not None or self._flush_queue is None:
            return
        self._pending.append(commands)
        self._pending_data_size += len(commands)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(self._event_loop.create_future())

    @property
    def unsent(self) -> int:
        """Bytes of commands that wait for the network."""
        return int(self._pending_data_size)

    def failure(self) -> Failure:
        """Why it has ended, for a person."""
        error = self.end
        said = str(error) if type(error) is nats_errors.Error else ""
        if isinstance(error, nats_errors.AuthorizationError) or re.search(_NO_ACCESS, said):
            return Failure("denied", "")
        if match := re.search(_NO_PERMISSION, said):
            return Failure("forbidden", self._login.show(match[1]))
        words = self._login.show(said.removeprefix("nats: ")) or _reason(error)
        return Failure("unreachable", words)

    def finish(self, error: Exception) -> None:
        """Count it as ended, for this reason."""
        if self.end is None:
            self.end = error
            self._on_end()

    # --- one connection ------------------------------------------------------------------

    async def _open(self, subjects: Mapping[str, Handler]) -> None:
        try:
            with trio.fail_after(CONNECT_DEADLINE):
                await trio_asyncio.aio_as_trio(self.connect)(
                    list(self._login.servers),
                    **self._login.options(),
                    name="natstream",
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    lame_duck_mode_cb=self._on_lame_duck,
                    connect_timeout=STEP_DEADLINE,
                    # Every server is tried at once and, since 0 would mean for ever, once more.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    allow_reconnect=False,
                    ping_interval=self._interval,
                    max_outstanding_pings=2,
                )
                for subject, handler in subjects.items():
                    self.listen(subject, handler)
                # What the server objects to comes before the answer to this.
                await trio_asyncio.aio_as_trio(self.flush)()
        except nats_errors.NoServersError as error:
            self.finish(self._heard or error)
        except (OSError, nats_errors.Error, trio.TooSlowError, ValueError) as error:
            self.finish(error)

    async def _shut(self) -> None:
        """Take in what the server has sent by now, and close, each if that takes no time.

        `drain()` would ignore being cancelled.
        """
        if not self.end:
            with trio.move_on_after(FLUSH_DEADLINE, shield=True), suppress(nats_errors.Error):
                await trio_asyncio.aio_as_trio(self.flush)()
        with trio.move_on_after(CLOSE_DEADLINE, shield=True):
            await trio_asyncio.aio_as_trio(self.close)()

    def _on_loop_error(self, loop: object, context: Mapping[str, Any]) -> None:
        """What a task of nats-py's raises; by default it would end our event loop."""
        if error := context.get("exception"):
            self.finish(error)

    async def _on_error(self, error: Exception) -> None:
        # nats-py dies of an exception in here, without a word.
        self._heard = error
        if "permissions violation" in str(error):
            self.finish(error)

    async def _on_closed(self) -> None:
        self.finish(self.last_error or nats_errors.ConnectionClosedError())

    async def _on_lame_duck(self) -> None:
        self.finish(_LameDuckError())

    def heard(self) -> None:
        """Who talks is alive: the answer to a PING queues behind all the messages."""
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


class _Parser(Parser):
    """nats-py's parser for all but messages.

    Those are handed straight to their handlers. nats-py would match each with an expression, build
    an object of it, and pass that through a queue to a task of the subscription: 6 µs instead of
    1, and a second place to lose messages, since past its limits it drops the newest.
    """

    nc: NatsConnection
    _wanted = 0
    """How long `buf` has to be before the message in it is whole; 0 where that is not known."""

    async def parse(self, data: bytes = b"") -> None:
        try:
            await self._parse(data)
        except (OSError, ProtocolError):
            raise
        except Exception as error:
            # Of any other nats-py would say nothing, and read no more.
            raise ProtocolError("nats: not understood") from error

    async def _parse(self, data: bytes) -> None:
        if self.buf:
            if len(self.buf) + len(data) < self._wanted:
                self.buf.extend(data)
                return
            data = bytes(self.buf) + data
            self.buf.clear()
        self._wanted = 0
        while data := self._deliver(data):
            line, line_end, rest = data.partition(b"\r\n")
            if not line_end or line.startswith((b"MSG ", b"HMSG ")):
                self.buf.extend(data)  # the rest of it is on its way
                return
            await super().parse(line + line_end)
            if self.buf or self.state != AWAITING_CONTROL_LINE:
                raise ValueError("a line that is none")
            data = rest

    def _deliver(self, data: bytes) -> bytes:
        """Hand over all whole messages at the beginning of `data`; what is left.

        Raises:
            ValueError, IndexError: it is no message, though it begins like one.
        """
        handlers = self.nc.handlers
        size, position = len(data), 0
        while True:
            is_plain = data.startswith(b"MSG ", position)
            if not is_plain and not data.startswith(b"HMSG ", position):
                break
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                break
            # subject, subscription, reply if there is one, size of the headers if there are any
            words = data[position:line_end].split()
            start = line_end + 2
            end = start + int(words[-1])
            if end < start:
                raise ValueError("a size below 0")
            if end + 2 > size:
                self._wanted = end + 2 - position
                break
            position = end + 2
            if (handler := handlers.get(words[2])) is None:
                continue
            if is_plain:
                reply = b"" if len(words) == 4 else words[3]
                handler(words[1], reply, data[start:end], b"")
            else:
                reply = b"" if len(words) == 5 else words[3]
                body = start + int(words[-2])
                if not start <= body <= end or len(words) < 5:
                    raise ValueError("headers that are none")
                handler(words[1], reply, data[body:end], data[start:body])
        if position:
            self.nc.heard()
        return data[position:]


class _LameDuckError(Exception):
    """The server has told its clients that it is about to shut down."""


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
        case ProtocolError():
            return "it says what is not understood"
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
