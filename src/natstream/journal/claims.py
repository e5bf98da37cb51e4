"""The records by which processes agree on who sends a message: one for each watch, in JetStream.

In: records, each with the number of the record that it replaces. Out: the newest record of a watch,
and whether a write was the first. They are in a stream of their own beside the journal's, so that
log lines neither evict them nor get numbers that no reader sees, and so that older releases see no
foreign lines. The connection is their own, too, because a user who may not write to that stream
loses the connection, and the journal must go on.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import attrs
import trio

from natstream.errors import JournalDenied, JournalUnavailable, SourceError
from natstream.hub.health import SourceState, SourceStatus
from natstream.journal.jetstream import JetStream
from natstream.journal.stream_config import StreamConfig
from natstream.nats.connection import Login, NatsConnection
from natstream.watches.claims import Slot

__all__ = ["JetStreamClaims", "claims_stream"]

# Seconds. A process that waits for longer would count as dead (see `watches.delivery`).
DEADLINE = 3.0
# Bytes of the stream. A record has at most a few KiB, and there are at most a hundred.
MAX_BYTES = 1 << 21
# Bytes of a record. It holds at most five lines, and the server may accept less.
MAX_RECORD = 16 * 1024
HEADER_BYTES = 256

_NO_MESSAGE = 10037
_WRONG_LAST = (10071, 10164)
_NAME_IN_USE = 10058
_STREAM_NOT_FOUND = 10059


def claims_stream(journal: str) -> str:
    """Return the name of the stream beside a journal's stream."""
    return f"{journal}-watches"


class JetStreamClaims:
    """`Claims` in a stream that all processes of a journal share.

    Args:
        login: the journal's servers, and the credentials.
        journal: the journal's stream.
        status: the status of the connection.
    """

    def __init__(self, login: Login, journal: StreamConfig, status: SourceStatus) -> None:
        # A refusal is remembered with the login, and must not keep the journal from its servers.
        self._login = attrs.evolve(login)
        self._name = claims_stream(journal.name)
        self._replicas = journal.replicas
        self._status = status
        self._jetstream: JetStream | None = None
        self._denied: JournalDenied | None = None
        """Why the stream cannot be used until a person changes something."""

    @property
    def max_bytes(self) -> int:
        """Bytes that a record may have."""
        jetstream = self._jetstream
        return MAX_RECORD if jetstream is None else min(MAX_RECORD, self._room(jetstream))

    def _room(self, jetstream: JetStream) -> int:
        return jetstream.max_message - HEADER_BYTES

    async def run(self) -> NoReturn:
        """Connect, and serve reads and writes until the connection ends.

        Raises:
            JournalUnavailable: the server is away, or the stream cannot be created now.
            JournalDenied: credentials or a permission are refused.
        """
        scope = trio.CancelScope()

        def on_end() -> None:
            jetstream.end()
            scope.cancel()

        connection = NatsConnection(self._login, on_end)
        jetstream = JetStream(
            connection, self._login.address, self._name, lambda number, payload, headers: None
        )
        trouble: SourceError | None = None
        try:
            async with connection.connected(jetstream.subjects):
                with scope:
                    if connection.end is None:
                        try:
                            await self._open(jetstream)
                        except SourceError as error:
                            trouble = error
                        else:
                            self._jetstream, self._denied = jetstream, None
                            self._status.change(SourceState.UP, f"Using the stream {self._name}")
                            await trio.sleep_forever()
        finally:
            self._jetstream = None
        if connection.end is not None or trouble is None:
            trouble = jetstream.connection_error(was_up=self._status.state is SourceState.UP)
        self._denied = trouble if isinstance(trouble, JournalDenied) else None
        raise trouble

    async def _open(self, jetstream: JetStream) -> None:
        """Create the stream if it is missing."""
        answer = await jetstream.request(f"STREAM.INFO.{self._name}")
        if _code(answer) == _STREAM_NOT_FOUND:
            config = {
                "name": self._name,
                "description": "The watches of natstream: which process sends a message",
                "subjects": [f"{self._name}.>"],
                "retention": "limits",
                "storage": "file",
                "discard": "old",
                "max_msgs_per_subject": 1,
                "max_bytes": MAX_BYTES,
                "num_replicas": self._replicas,
            }
            answer = await jetstream.request(f"STREAM.CREATE.{self._name}", config)
        if "error" in answer and _code(answer) != _NAME_IN_USE:
            raise jetstream.trouble(answer["error"])

    # --- records -------------------------------------------------------------------------

    async def read(self, watch: str) -> Slot:
        """Return the record of a watch (see `Claims`)."""
        jetstream = self._reach()
        question = {"last_by_subj": f"{self._name}.{watch}"}
        with _for_now():
            answer = await jetstream.request(
                f"STREAM.MSG.GET.{self._name}", question, deadline=DEADLINE
            )
        if _code(answer) == _NO_MESSAGE:
            return Slot(0)
        if "error" in answer:
            raise jetstream.trouble(answer["error"])
        message = answer["message"]
        return Slot(int(message["seq"]), base64.b64decode(message.get("data", "")))

    async def write(self, watch: str, content: bytes, over: int) -> int | None:
        """Write a record over the one with this number (see `Claims`)."""
        jetstream = self._reach()
        headers = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n" % over
        with _for_now():
            answer = await jetstream.exchange(
                f"{self._name}.{watch}", content, headers, deadline=DEADLINE
            )
        if _code(answer) in _WRONG_LAST:
            return None
        if "error" in answer:
            raise jetstream.trouble(answer["error"])
        return int(answer["seq"])

    def _reach(self) -> JetStream:
        if self._denied is not None:
            raise JournalDenied(str(self._denied), "denied")
        if self._jetstream is None:
            raise JournalUnavailable("The stream of the watches cannot be reached")
        return self._jetstream


@contextmanager
def _for_now() -> Iterator[None]:
    """Turn the error that no server answers at all into one that may pass.

    A stream without a leader answers a write in the same way as a server without JetStream.
    """
    try:
        yield
    except JournalDenied as error:
        raise JournalUnavailable(str(error)) from error


def _code(answer: dict[str, Any]) -> int:
    code = answer.get("error", {}).get("err_code", 0)
    return code if isinstance(code, int) else 0
