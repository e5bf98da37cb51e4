"""nats-py's client, joined to our parser. All of nats-py's private names that we need are here.

In: the address of one server, commands for it, and the data that the client reads. Out: messages
for the handlers of our parser, and all other lines for nats-py's parser. The private names are the
same in nats-py 2.15 and 2.16. Each one has a test `test_nats_py_still_…`, which fails if the name
is gone or works differently.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple, cast
from urllib.parse import ParseResult

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, Error, ProtocolError, SecureConnWantedError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from natstream.entries.entry import decode_json
from natstream.nats.parser import LONGEST_LINE, MessageParser
from natstream.nats.read_pauses import ReadPauses

__all__ = ["ClientAdapter", "NetworkAddress"]

_CHUNK = 2**16
# More than a stream of asyncio holds before it stops reading, so each read takes all of it.
_EVERYTHING = 2**19


def _do_nothing() -> None:
    pass


class NetworkAddress(NamedTuple):
    """One address of one server."""

    host: str
    """An IP address."""
    port: int
    encrypts_first: bool = False
    """Whether TLS begins before the server's first line (nats-server's `handshake_first`)."""


class ClientAdapter:
    """One client of nats-py, whose messages go to `parser`; everything else is nats-py's.

    Args:
        parser: gets the data that the client reads.
        pauses: says when the client need not read.
        dispensable: subjects whose refusal does not end the connection.
    """

    def __init__(
        self, parser: MessageParser, pauses: ReadPauses, dispensable: Collection[str] = ()
    ) -> None:
        self.end: Exception | None = None
        """The reason why the connection has ended; `None` while it lasts."""
        self.is_lame: bool = False
        """Whether the server has said that it will shut down."""
        self.on_end: Callable[[], None] = _do_nothing
        """Called once when the connection has ended by itself. It must neither wait nor raise."""
        self.on_lame_duck: Callable[[], None] = _do_nothing
        """Called when the server says that it will shut down. It must neither wait nor raise."""
        self.client: Any = cast(Any, Client())  # `_ps` and `_connect_command` have narrower types
        self.refused: set[str] = set()
        """The dispensable subjects that the server does not let us read."""
        self._dispensable = dispensable
        self._parser = parser
        # `_ps`: the client calls `parse` of this object with all data that it reads. Its own parser
        # needs 6 µs for a message instead of 1, because it uses regular expressions, queues and a
        # task for each subscription. When full, those queues also drop the newest messages.
        self._line_parser: Parser = self.client._ps
        self.client._ps = self
        # `_connect_command`: the client calls this after the server has said whether it offers
        # TLS, and before it sends the password. No public hook runs at that moment.
        self._connect_command = self.client._connect_command
        self.client._connect_command = self._connect_if_secure
        # `_transport`: the client makes one of its own only if there is none.
        self._transport = _Transport(pauses)
        self.client._transport = self._transport
        self.flushed: asyncio.Future[None] | None = None
        """Done once the network has accepted everything that was written; `None` before that."""

    @property
    def said(self) -> str:
        """The server's last error in its own words; empty if it said none."""
        return self._transport.said

    @property
    def info(self) -> dict[str, Any]:
        """What the server said of itself when it greeted; empty before that."""
        info: dict[str, Any] = self.client._server_info
        return info

    async def connect(self, url: str, address: NetworkAddress, **options: Any) -> None:
        """Connect to one address of the server `url`, up to its answer to our first PING.

        Raises:
            Exception: one of nats-py's errors, `OSError`, `EOFError` or `TimeoutError`.
        """
        await self._transport.dial(address)
        try:
            await self.client.connect(
                [url],
                name="natstream",
                tls_handshake_first=address.encrypts_first,
                allow_reconnect=False,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                lame_duck_mode_cb=self._on_lame_duck,
                **options,
            )
        except ConnectionError:
            # A server that has too many connections says so behind its INFO, and closes.
            await self._transport.read_last_words()
            raise

    async def close(self) -> None:
        """Close the connection; it may be closed already, or never have been open.

        nats-py leaves the socket open if it is cancelled while it waits for a server that reads
        nothing, or if its reading task has begun to close and is cancelled with the event loop.
        """
        try:
            if self.client._flush_queue is not None:
                await self.client.close()
        finally:
            self._transport.abort()

    async def ping(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send a PING behind everything that was written, and wait for its PONG.

        nats-py's `flush` sends its PING past the commands that wait in the buffer, and it waits
        for no PONG if its reading task has ended. The waiting lasts for ever if the connection
        ends. `_pongs` holds a future for each PING that is unanswered.
        """
        answered = loop.create_future()
        self.client._pongs.append(answered)
        self.write(b"PING\r\n", loop)
        await answered

    def write(self, commands: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Give commands to the task that writes. Without a connection, do nothing.

        `_pending` and `_pending_data_size` are that task's buffer and its size in bytes. A future
        in `_flush_queue` wakes it. The public methods would cost a task switch for each message.
        """
        client = self.client
        if client._flush_queue is None:
            return
        client._pending.append(commands)
        client._pending_data_size += len(commands)
        if client._flush_queue.empty():
            self.flushed = loop.create_future()
            client._flush_queue.put_nowait(self.flushed)

    async def parse(self, data: bytes = b"") -> None:
        """Parse what the client has read; the client calls this as its parser."""
        # `_pings_outstanding`: the client closes the connection when two PINGs are unanswered. Any
        # data shows that the server is alive, and in a flood the answer waits behind all messages.
        self.client._pings_outstanding = 0
        try:
            for line in self._parser.feed(data):
                if line.startswith(b"-ERR"):
                    self._transport.said = _words(line)
                await self._parse_line(_without_servers(line))
        except (OSError, ProtocolError):
            raise
        except Exception as error:
            # The client ends the connection after a ProtocolError. After another exception it
            # would stop reading, and keep the connection.
            raise ProtocolError("nats: not understood") from error

    def finish(self, error: Exception) -> None:
        """Count the connection as ended, for this reason. Only the first reason counts."""
        if self.end is None:
            self.end = error
            self.on_end()

    async def _on_error(self, error: Exception) -> None:
        # This must not raise, because nats-py would stop reading and keep the connection.
        if "permissions violation" not in str(error):
            return
        refused = {name for name in self._dispensable if f'"{name}"' in self._transport.said}
        if not refused:
            self.finish(error)
            return
        self.refused |= refused
        # Otherwise this would count as the reason of a later end. `_err` is client's `last_error`.
        self._transport.said = ""
        self.client._err = None

    async def _on_closed(self) -> None:
        self.finish(self.client.last_error or ConnectionClosedError())

    async def _on_lame_duck(self) -> None:
        self.is_lame = True
        self.on_lame_duck()

    async def _parse_line(self, line: bytes) -> None:
        parser = self._line_parser
        await parser.parse(line)
        if parser.buf or parser.state != AWAITING_CONTROL_LINE:
            raise ProtocolError("nats: unknown protocol")

    def _connect_if_secure(self) -> bytes:
        """Return the command that holds the password, if it may be sent over this connection.

        nats-py encrypts only if the server's first, unencrypted line asks for it, even if the
        server's address begins with tls:// (`_current_server`). So an attacker could change that
        line, and then read the password.

        Raises:
            SecureConnWantedError: the address begins with tls://, and the server offers no TLS.
        """
        server = self.client._current_server
        if server and server.uri.scheme == "tls" and not self._transport.is_encrypted:
            raise SecureConnWantedError
        command: bytes = self._connect_command()
        return command


class _Transport(TcpTransport):
    """One TCP connection to one IP address. It reads the greeting for nats-py.

    nats-py reads two lines itself: the server's INFO, and the answer to its first PING. Its own
    transport limits the INFO to 32 KiB. And nats-py takes any line but an error for the PONG, then
    stays in its connecting state, and writes nothing any more.
    """

    def __init__(self, pauses: ReadPauses) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # nats-py has no types there
        self._pauses = pauses
        self._unread = b""
        self._is_greeted = False
        self.is_encrypted: bool = False
        self.said = ""
        """The server's last error in its own words."""

    async def dial(self, address: NetworkAddress) -> None:
        """Open the TCP connection."""
        reader, writer = await asyncio.open_connection(address.host, address.port)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    def abort(self) -> None:
        """Close the socket, whatever still waits to be sent."""
        if self._bare_io_writer is not None:
            self._bare_io_writer.transport.abort()

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Do nothing, because the connection is open. Otherwise nats-py would look the name up."""

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Encrypt the connection; nats-py passes the server's name for its certificate."""
        # An attacker may have put these bytes behind the INFO, so they must not count as encrypted.
        self._unread = b""
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        self.is_encrypted = True

    async def readline(self) -> bytes:
        """Return the INFO, and later the PONG or the error that comes instead of it.

        Raises:
            Error: the server sent an error in place of its INFO.
            ProtocolError: the server sent something else.
            EOFError: the server closed the connection.
        """
        line = await self._read_line()
        if not self._is_greeted:
            self._is_greeted = True
            if line.startswith(b"-ERR"):
                self.said = _words(line)
                raise Error(f"nats: {self.said}")
            if not line.startswith(b"INFO "):
                raise ProtocolError("nats: no INFO")
            return _without_servers(line)
        while not line.startswith((b"PONG", b"-ERR")):
            await self._pass_over(line)
            line = await self._read_line()
        if line.startswith(b"-ERR"):
            self.said = _words(line)
        return line

    async def read_last_words(self) -> None:
        """Look for the server's error among the unread lines of a closed connection."""
        with suppress(OSError, EOFError, ProtocolError):
            while not self.said:
                line = await self._read_line()
                if line.startswith(b"-ERR"):
                    self.said = _words(line)

    async def _pass_over(self, line: bytes) -> None:
        """Handle a line before the PONG: a PING is answered, and a message has no reader yet."""
        verb, *words = line.split()
        if verb == b"PING":
            self.write(b"PONG\r\n")  # type: ignore[no-untyped-call] # nats-py has no types there
        elif verb in (b"MSG", b"HMSG") and words and words[-1].isdigit():
            await self._skip(int(words[-1]) + 2)
        elif verb not in (b"+OK", b"INFO"):
            raise ProtocolError("nats: no PONG")

    async def _read_line(self) -> bytes:
        while (end := self._unread.find(b"\n") + 1) == 0:
            if len(self._unread) > LONGEST_LINE:
                raise ProtocolError("nats: a line does not end")
            await self._read_more()
        line, self._unread = self._unread[:end], self._unread[end:]
        return line

    async def _skip(self, size: int) -> None:
        while len(self._unread) < size:
            size -= len(self._unread)
            self._unread = b""
            await self._read_more()
        self._unread = self._unread[size:]

    async def _read_more(self) -> None:
        chunk = await super().read(_CHUNK)
        if not chunk:
            raise EOFError
        self._unread += chunk

    async def read(self, buffer_size: int) -> bytes:
        """Return what has arrived; first what came in one piece with the PONG.

        It may be more than `buffer_size`, because a read takes everything that the stream holds.
        """
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        await self._pause()
        chunk: bytes = await super().read(_EVERYTHING)
        self._pauses.has_read(len(chunk))
        return chunk

    async def _pause(self) -> None:
        """Leave arriving data in the socket until shortly before the readers' next round.

        A stream that stopped reading by itself, because it is full, is left alone: our resuming
        would undo that, and the stream would grow.
        """
        transport = cast(asyncio.Transport, self._bare_io_writer and self._bare_io_writer.transport)
        if transport.is_reading() and (
            seconds := self._pauses.begin(asyncio.get_running_loop().time())
        ):
            transport.pause_reading()
            try:
                await asyncio.sleep(seconds)
            finally:
                transport.resume_reading()

    def at_eof(self) -> bool:
        """Return whether everything was read, and the server has closed the connection."""
        return not self._unread and bool(super().at_eof())  # type: ignore[no-untyped-call] # nats-py has no types


def _without_servers(line: bytes) -> bytes:
    """Return a line of the server; of an INFO without the addresses of the cluster's other servers.

    nats-py compares each of them with all that it knows, on the event loop: with 2,500 addresses
    that takes seconds. We connect to the servers of the login alone.
    """
    if not line.startswith(b"INFO ") or b"connect_urls" not in line:
        return line
    try:
        info = decode_json(line[5:])
    except ValueError:
        return line
    if isinstance(info, dict):
        info.pop("connect_urls", None)
    return b"INFO %b\r\n" % json.dumps(info).encode()


def _words(line: bytes) -> str:
    """Return the words of a line like `-ERR 'Authorization Violation'`."""
    return line.decode(errors="replace").removeprefix("-ERR").strip().strip("'")
