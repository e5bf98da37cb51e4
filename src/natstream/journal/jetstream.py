"""JetStream over one connection: requests, publishing, and the meaning of the server's errors.

In: requests, and lines to publish. Out: the server's answers, as plain values. Each trouble is a
`JournalUnavailable` or a `JournalDenied` with one sentence and a reason of one word.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import attrs
import msgspec
import trio

from natstream.errors import JournalDenied, JournalUnavailable
from natstream.journal.stream_config import (
    MIN_MESSAGE,
    StreamConfig,
    StreamInfo,
    creation,
    fault,
    stream_info,
)
from natstream.nats.connection import NatsConnection
from natstream.nats.parser import Handler

__all__ = ["JetStream", "Stored"]

# Seconds. A cluster that elects a leader answers nothing for some of them.
REQUEST_DEADLINE = 5.0
# Seconds until the first request is sent again, because a request that arrives while a cluster has
# no leader is never answered.
ASK_AGAIN = 1.0

# Error codes of the server.
_STREAM_NOT_FOUND = 10059
_NAME_IN_USE = 10058
_NOT_ENABLED = (10039, 10076)
_NO_PEERS = 10005
_TOO_FEW_READERS = (10026, 10153)
_ACCOUNT_QUOTA = 10002
_STORE_FAILED = 10077
_FULL = (_ACCOUNT_QUOTA, _STORE_FAILED, 10047, 10023, 10028)
_TOO_LONG_WINDOW = "duplicates window can not be larger"


class Stored(NamedTuple):
    """One message of the stream."""

    number: int
    unix_ns: int
    """The time at which it was stored."""
    subject: bytes
    """Its subject without the stream's name."""
    payload: bytes
    headers: bytes


class JetStream:
    """Requests over one connection, for as long as the connection lasts.

    Args:
        connection: a connection that is not open yet; it has to listen to `subjects`.
        address: the connection's server, in words for people.
        name: the stream's name.
        on_ack: called with the number of each message that was published, and with the payload and
            the headers of the server's answer.
    """

    def __init__(
        self,
        connection: NatsConnection,
        address: str,
        name: str,
        on_ack: Callable[[int, bytes, bytes], None],
    ) -> None:
        self.connection = connection
        self.address = address
        self.name = name
        self._on_ack = on_ack
        # The inbox is random, because a client that could guess it could forge answers.
        inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._answers, self._acks, self._pulls = f"{inbox}.r.", f"{inbox}.a.", f"{inbox}.p."
        self._ack_prefix = self._acks.encode()
        self._waiting: dict[bytes, _Reply] = {}
        self._requests = 0
        self._max_stored = -1
        self.longest_inactivity: float = float("inf")
        """Seconds after which the stream lets the server forget an unused consumer."""
        self.subjects: dict[str, Handler] = {
            f"{self._answers}*": self._on_answer,
            f"{self._acks}*": self._on_published,
        }

    @property
    def max_message(self) -> int:
        """Bytes that one message may have for the server and the stream, headers included."""
        payload = self.connection.max_payload
        return min(payload, self._max_stored) if self._max_stored > 0 else payload

    # --- requests ------------------------------------------------------------------------

    async def request(
        self, api: str, body: object = None, *, deadline: float = REQUEST_DEADLINE
    ) -> dict[str, Any]:
        """Ask JetStream's API, wait up to `deadline` s, and return its answer or its error.

        Raises:
            JournalUnavailable: the server does not answer.
            JournalDenied: the server has no JetStream.
        """
        payload = b"" if body is None else json.dumps(body).encode()
        return await self.exchange(f"$JS.API.{api}", payload, deadline=deadline)

    async def exchange(
        self, subject: str, payload: bytes, headers: bytes = b"", *, deadline: float
    ) -> dict[str, Any]:
        """Publish a message, wait for the server's answer, and return it (see `request`)."""
        self._requests += 1
        reply = f"{self._answers}{self._requests}".encode()
        answer = self._waiting[reply] = _Reply()
        command, sizes = (b"HPUB", b"%d " % len(headers)) if headers else (b"PUB", b"")
        content = headers + payload
        try:
            self.connection.send(
                b"%b %b %b %b%d\r\n%b\r\n"
                % (command, subject.encode(), reply, sizes, len(content), content)
            )
            with trio.move_on_after(deadline):
                await answer.event.wait()
        finally:
            del self._waiting[reply]
        if self.connection.end is not None:
            raise JournalUnavailable(f"The connection to the journal's {self.address} is lost")
        is_silent = not answer.event.is_set()
        # A server whose JetStream was turned off while it ran may answer nothing.
        is_off = is_silent and not self.connection.server_info.get("jetstream")
        if is_off or answer.headers.startswith(b"NATS/1.0 503"):
            raise JournalDenied(
                f"The journal's {self.address} has no JetStream: it has to be enabled there",
                "no_jetstream",
            )
        if is_silent:
            raise JournalUnavailable(
                f"The journal's {self.address} does not answer: it may have no leader just now",
                "no_leader",
            )
        decoded: dict[str, Any] = json.loads(answer.payload)
        return decoded

    def end(self) -> None:
        """Wake the requests that wait for an answer, because the connection has ended."""
        for answer in self._waiting.values():
            answer.event.set()

    async def open_stream(self, config: StreamConfig) -> StreamInfo:
        """Return the state of the stream, and create the stream if it is missing.

        An existing stream is never altered.

        Raises:
            JournalUnavailable: the server does not answer, or the stream has no leader.
            JournalDenied: the stream cannot serve, or cannot be created.
        """
        self.check_server()
        answer = await self._ask_for_info()
        if _error(answer) == _STREAM_NOT_FOUND:
            answer = await self.request(f"STREAM.CREATE.{self.name}", creation(config))
            if _error(answer) == _NAME_IN_USE:  # Another process was faster.
                answer = await self.request(f"STREAM.INFO.{self.name}")
        if "error" in answer:
            self._refuse(answer["error"], config)
        self.check(answer["config"], config.read_subjects)
        return self._read_info(answer)

    async def _ask_for_info(self) -> dict[str, Any]:
        give_up = trio.current_time() + REQUEST_DEADLINE - ASK_AGAIN
        while True:
            try:
                return await self.request(f"STREAM.INFO.{self.name}", deadline=ASK_AGAIN)
            except JournalUnavailable as error:
                if error.reason != "no_leader" or trio.current_time() >= give_up:
                    raise

    async def info(self) -> StreamInfo:
        """Return the state of the stream.

        Raises:
            JournalUnavailable: the server does not answer, or the stream does not exist.
            JournalDenied: the server has no JetStream.
        """
        answer = await self.request(f"STREAM.INFO.{self.name}")
        if "error" in answer:
            raise self.trouble(answer["error"])
        return self._read_info(answer)

    def _read_info(self, answer: dict[str, Any]) -> StreamInfo:
        config = answer["config"]
        self._max_stored = config.get("max_msg_size", -1)
        limit = (config.get("consumer_limits") or {}).get("inactive_threshold")
        self.longest_inactivity = limit / 10**9 if limit else float("inf")
        return stream_info(answer)

    def check_server(self) -> None:
        """Raise JournalDenied if the server cannot carry the journal's messages."""
        info, size = self.connection.server_info, self.connection.max_payload
        if not info.get("headers"):
            raise JournalDenied(
                f"The journal's {self.address} supports no headers, under which each line has its "
                "name: no_header_support has to be off there",
                "no_headers",
            )
        if size < MIN_MESSAGE:
            raise JournalDenied(
                f"The journal's {self.address} accepts only messages of {size:,} bytes: its "
                f"max_payload has to be at least {MIN_MESSAGE:,} (usual are 1,048,576)",
                "max_payload",
            )

    def check(self, config: dict[str, Any], read_subjects: Sequence[str]) -> None:
        """Raise JournalDenied if a stream of this configuration cannot serve.

        Args:
            config: the stream's configuration, as the server gives it.
            read_subjects: the subjects from which natstream reads lines.
        """
        if reason := fault(self.name, config, read_subjects):
            raise self.unfit(reason)

    def unfit(self, reason: str) -> JournalDenied:
        """Return the error of a stream that cannot serve for this reason."""
        return JournalDenied(
            f"The journal's stream {self.name} cannot serve: {reason}; "
            "NATSTREAM_JOURNAL_STREAM may name another",
            "unfit",
        )

    def _on_answer(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        if (answer := self._waiting.get(subject)) is not None:
            answer.payload, answer.headers = payload, headers
            answer.event.set()

    # --- errors --------------------------------------------------------------------------

    def connection_error(self, *, was_up: bool) -> JournalDenied | JournalUnavailable:
        """Return the error for the connection's end, which names the setting that may be wrong.

        Args:
            was_up: whether the connection had served before.
        """
        failure = self.connection.failure()
        others = f"; {failure.others}" if failure.others else ""
        if failure.kind == "denied":
            return JournalDenied(
                f"The journal's {failure.address} refuses the credentials: "
                "NATSTREAM_JOURNAL_USER and NATSTREAM_JOURNAL_PASSWORD, or "
                f"NATSTREAM_JOURNAL_TOKEN, must be valid there{others}"
            )
        if failure.kind == "forbidden":
            return JournalDenied(
                f"The journal's {failure.address} does not let us use {failure.words}: its user "
                f"needs $JS.API.>, {self.name}.> and _INBOX.>{others}"
            )
        if "maximum payload violation" in failure.words.lower():
            return JournalUnavailable(
                f"The journal's {self.address} accepts only smaller messages than before, because "
                "its max_payload was lowered: longer lines are cut from now on",
                "max_payload",
            )
        if was_up:
            return JournalUnavailable(
                f"The connection to the journal's {failure.address} is lost: {failure.words}"
            )
        return JournalUnavailable(
            f"The journal's {failure.address} cannot be reached: {failure.words}{others}; "
            "NATSTREAM_JOURNAL_URL says where it is"
        )

    def trouble(self, error: dict[str, Any]) -> JournalDenied | JournalUnavailable:
        """Return the exception for an error of the server's."""
        code = error.get("err_code")
        if code in _NOT_ENABLED:
            return JournalDenied(
                f"The journal's {self.address} has no JetStream for these credentials: it has to "
                "be enabled for their account",
                "no_jetstream",
            )
        if code == _STREAM_NOT_FOUND:
            return JournalUnavailable(f"The journal's stream {self.name} is gone", "deleted")
        said = _description(error)
        if code in _FULL:
            return self.full(f"{said}{_remedy(code)}")
        if code in _TOO_FEW_READERS:
            return JournalUnavailable(
                f"The journal's stream {self.name} allows too few readers: {said}", "unfit"
            )
        return JournalUnavailable(f"The journal's {self.address} says: {said}", "no_leader")

    def full(self, said: str) -> JournalUnavailable:
        """Return the error of a stream that accepts no more lines; `said` names its limit."""
        return JournalUnavailable(f"The journal's stream {self.name} is full: {said}", "full")

    def _refuse(self, error: dict[str, Any], config: StreamConfig) -> NoReturn:
        """Raise the reason why the stream could neither be found nor be created."""
        if error.get("code") == 503 or error.get("err_code") in _NOT_ENABLED:
            raise self.trouble(error)
        said = _description(error)
        if said.startswith(_TOO_LONG_WINDOW):
            raise JournalDenied(
                f"The journal's stream {self.name} cannot be created at {self.address}: {said}, "
                f"and natstream needs {config.duplicate_window:g} s, so that it stores no line "
                "twice; the server's limit duplicate_window has to allow that",
                "unfit",
            )
        sentence = (
            f"The journal's stream {self.name} cannot be created at {self.address}: {said} "
            f"(NATSTREAM_JOURNAL_MAX_BYTES is {config.max_bytes:,}, "
            f"NATSTREAM_JOURNAL_REPLICAS {config.replicas})"
        )
        if error.get("err_code") == _NO_PEERS:  # A cluster's servers start one by one.
            raise JournalUnavailable(sentence, "no_leader")
        raise JournalDenied(sentence, "full" if error.get("err_code") in _FULL else "unfit")

    # --- publishing ----------------------------------------------------------------------

    def publication(self, number: int, subject: str, message_id: str, payload: bytes) -> bytes:
        """Return the command that publishes a message; `on_ack` gets the server's answer."""
        headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % message_id.encode()
        return b"HPUB %b.%b %b%d %d %d\r\n%b%b\r\n" % (
            self.name.encode(),
            subject.encode(),
            self._ack_prefix,
            number,
            len(headers),
            len(headers) + len(payload),
            headers,
            payload,
        )

    def _on_published(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._on_ack(int(subject[len(self._ack_prefix) :]), payload, headers)

    # --- reading -------------------------------------------------------------------------

    def listen_for_pulls(self, consumer: str, handler: Handler) -> tuple[int, bytes]:
        """Subscribe to the answers to a consumer's pulls.

        Returns:
            The subscription's number, and the prefix of the subjects to answer to.
        """
        subject = f"{self._pulls}{consumer}."
        return self.connection.listen(f"{subject}*", handler), subject.encode()

    async def find(self, number: int) -> Stored | None:
        """Return the message with this number, or `None` if it is not stored.

        Raises:
            JournalUnavailable: the server does not answer.
            JournalDenied: the server has no JetStream.
        """
        answer = await self.request(f"STREAM.MSG.GET.{self.name}", {"seq": number})
        message = answer.get("message")
        if message is None:
            return None
        decoded = msgspec.convert(message, _Message, strict=False)
        prefix = len(self.name) + 1
        subject = decoded.subject.encode()[prefix:]
        return Stored(
            number=decoded.seq, unix_ns=0, subject=subject, payload=decoded.data, headers=b""
        )


class _Message(msgspec.Struct):
    subject: str
    seq: int
    data: bytes = b""


@attrs.define
class _Reply:
    event: trio.Event = attrs.field(factory=trio.Event)
    payload: bytes = b"{}"
    headers: bytes = b""


def _error(answer: dict[str, Any]) -> int:
    code = answer.get("error", {}).get("err_code", 0)
    return code if isinstance(code, int) else 0


def _remedy(code: object) -> str:
    """Return the words behind an error that says what is full."""
    if code == _ACCOUNT_QUOTA:
        return "; the account's quota has to be raised, or room made in it"
    return ""


def _description(error: dict[str, Any]) -> str:
    return "".join(char for char in str(error.get("description"))[:200] if char.isprintable())
