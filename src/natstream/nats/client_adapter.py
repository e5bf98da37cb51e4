"""nats-py's client, joined to our parser. All of nats-py's private names that we need are here.

In: commands for the server, and the data that the client reads. Out: messages for the handlers of
our parser, and all other lines for nats-py's parser. The private names are the same in nats-py
2.15 and 2.16. Each one has a test `test_nats_py_still_…`, which fails if the name is gone or works
differently.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nats.aio.client import Client
from nats.errors import ProtocolError, SecureConnWantedError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from natstream.nats.parser import MessageParser

__all__ = ["ClientAdapter"]


class ClientAdapter:
    """One client of nats-py, whose messages go to `parser`; everything else is nats-py's."""

    def __init__(self, parser: MessageParser) -> None:
        self.client: Any = cast(Any, Client())  # `_ps` and `_connect_command` have narrower types
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
        self.flushed: asyncio.Future[None] | None = None
        """Done once the network has accepted everything that was written; `None` before that."""

    @property
    def info(self) -> dict[str, Any]:
        """What the server said of itself when it greeted; empty before that."""
        info: dict[str, Any] = self.client._server_info
        return info

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
                await self._parse_line(line)
        except (OSError, ProtocolError):
            raise
        except Exception as error:
            # The client ends the connection after a ProtocolError. After another exception it
            # would stop reading, and keep the connection.
            raise ProtocolError("nats: not understood") from error

    async def _parse_line(self, line: bytes) -> None:
        parser = self._line_parser
        await parser.parse(line)
        if parser.buf or parser.state != AWAITING_CONTROL_LINE:
            raise ProtocolError("nats: unknown protocol")

    def _connect_if_secure(self) -> bytes:
        """Return the command that holds the password, if it may be sent over this connection.

        nats-py encrypts only if the server's first, unencrypted line asks for it (`_server_info`),
        even if the server's address begins with tls:// (`_current_server`). So an attacker could
        change that line, and then read the password.

        Raises:
            SecureConnWantedError: the address begins with tls://, and the server offers no TLS.
        """
        server, info = self.client._current_server, self.client._server_info
        if server and server.uri.scheme == "tls" and not info.get("tls_required"):
            raise SecureConnWantedError
        command: bytes = self._connect_command()
        return command
