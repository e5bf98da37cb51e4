"""JetStream over one connection: requests, publishing, and what the server says of a stream.

In: the stream's name and how to create it. Out: what the server says, as plain values. Each
trouble is a `JournalUnavailable` or a `JournalDenied` with one sentence and one word for it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import attrs
import msgspec
import trio

from natstream.errors import JournalDenied, JournalUnavailable
from natstream.nats.connection import NatsConnection
from natstream.nats.parser import Handler

__all__ = ["DUPLICATE_WINDOW", "JetStream", "Stored", "StreamConfig", "StreamInfo"]

# A cluster that elects a leader answers nothing for some seconds.
REQUEST_DEADLINE = 5.0
# Within this time two processes may store the same line, and it is stored once.
DUPLICATE_WINDOW = 120.0
# Of a stream that takes no larger messages, many lines would keep nothing but their beginning.
MIN_MESSAGE = 4_096
# Where there is not even room for one line of ordinary length, a stream is full.
LINE_BYTES = 512

# The server's numbers for what went wrong.
_STREAM_NOT_FOUND = 10059
_NAME_IN_USE = 10058
_NOT_ENABLED = (10039, 10076)
_NO_PEERS = 10005
_TOO_FEW_READERS = (10026, 10153)
_FULL = (10077, 10047, 10023, 10028)

_NS = 10**9


@attrs.frozen
class StreamConfig:
    """A stream to be created where there is none."""

    name: str
    max_age: float
    """Seconds."""
    max_bytes: int
    replicas: int


@attrs.frozen
class StreamInfo:
    """A stream as it is."""

    created: str
    first: int
    """The number of the oldest message."""
    last: int
    """The number of the newest one; 0 if there never was any."""
    is_full: bool
    """Whether it takes no more until some of it is gone, as far as its limits tell."""
    current: frozenset[str] | None
    """The servers of a cluster that have all of it; `None` where there is but one server."""


class Stored(NamedTuple):
    """One message of the stream."""

    number: int
    unix_ns: int
    """When it was stored."""
    subject: bytes
    """Without the stream's name."""
    payload: bytes
    headers: bytes


class JetStream:
    """Requests of one connection. Use it while that lasts.

    Args:
        connection: not yet connected; `subjects` are what it has to listen to.
        place: where that is, for people.
        on_ack: told of each message that was published: its number, and the server's answer.
    """

    def __init__(
        self,
        connection: NatsConnection,
        place: str,
        name: str,
        on_ack: Callable[[int, bytes, bytes], None],
    ) -> None:
        self.connection = connection
        self.place = place
        self.name = name
        self._on_ack = on_ack
        # Nobody else can guess it: whoever may publish there could forge answers.
        inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._answers, self._acks, self._pulls = f"{inbox}.r.", f"{inbox}.a.", f"{inbox}.p."
        self._ack_prefix = self._acks.encode()
        self._waiting: dict[bytes, _Answer] = {}
        self._requests = 0
        self._max_stored = -1
        self.subjects = {f"{self._answers}*": self._answered, f"{self._acks}*": self._acked}

    @property
    def max_message(self) -> int:
        """Bytes that the server and the stream take as one message, headers included."""
        payload = self.connection.max_payload
        return min(payload, self._max_stored) if self._max_stored > 0 else payload

    # --- requests ------------------------------------------------------------------------

    async def request(self, api: str, body: object = None) -> dict[str, Any]:
        """Ask JetStream's API; its answer, errors included.

        Raises:
            JournalUnavailable: there is no answer.
        """
        self._requests += 1
        reply = f"{self._answers}{self._requests}".encode()
        answer = self._waiting[reply] = _Answer()
        payload = b"" if body is None else json.dumps(body).encode()
        try:
            self.connection.send(
                b"PUB $JS.API.%b %b %d\r\n%b\r\n" % (api.encode(), reply, len(payload), payload)
            )
            with trio.move_on_after(REQUEST_DEADLINE):
                await answer.event.wait()
        finally:
            del self._waiting[reply]
        if self.connection.end is not None:
            raise JournalUnavailable(f"The connection to the journal's {self.place} is lost")
        if answer.headers.startswith(b"NATS/1.0 503"):
            raise JournalDenied(
                f"The journal's {self.place} has no JetStream: it has to be enabled there", "unfit"
            )
        if not answer.event.is_set():
            raise JournalUnavailable(
                f"The journal's {self.place} does not answer: it may have no leader just now",
                "no_leader",
            )
        decoded: dict[str, Any] = json.loads(answer.payload)
        return decoded

    def end(self) -> None:
        """Let go of who waits: the connection has ended."""
        for answer in self._waiting.values():
            answer.event.set()

    async def open_stream(self, config: StreamConfig) -> StreamInfo:
        """Look at the stream, and create it if it is missing; it is never altered.

        Raises:
            JournalUnavailable: there is no answer, or nobody leads the stream.
            JournalDenied: it cannot serve, or cannot be created.
        """
        answer = await self.request(f"STREAM.INFO.{self.name}")
        if _error(answer) == _STREAM_NOT_FOUND:
            answer = await self.request(f"STREAM.CREATE.{self.name}", _creation(config))
            if _error(answer) == _NAME_IN_USE:  # another process was faster
                answer = await self.request(f"STREAM.INFO.{self.name}")
        if "error" in answer:
            self._refuse(answer["error"], config)
        self.check(answer["config"])
        self._max_stored = answer["config"].get("max_msg_size", -1)
        return _stream_info(answer)

    async def info(self) -> StreamInfo:
        """The stream as it is now.

        Raises:
            JournalUnavailable: there is no answer, or no stream.
        """
        answer = await self.request(f"STREAM.INFO.{self.name}")
        if "error" in answer:
            raise self.trouble(answer["error"])
        self._max_stored = answer["config"].get("max_msg_size", -1)
        return _stream_info(answer)

    def connection_error(self, *, was_up: bool) -> JournalDenied | JournalUnavailable:
        """Why the connection has ended, and which setting to look at."""
        failure = self.connection.failure()
        if failure.kind == "denied":
            return JournalDenied(
                f"The journal's {self.place} refuses the credentials: "
                "NATSTREAM_JOURNAL_USER and NATSTREAM_JOURNAL_PASSWORD, or "
                "NATSTREAM_JOURNAL_TOKEN, must be valid there"
            )
        if failure.kind == "forbidden":
            return JournalDenied(
                f"The journal's {self.place} does not let us use {failure.words}: its user "
                f"needs $JS.API.>, {self.name}.> and _INBOX.>"
            )
        if was_up:
            return JournalUnavailable(
                f"The connection to the journal's {self.place} is lost: {failure.words}"
            )
        return JournalUnavailable(
            f"The journal's {self.place} cannot be reached: {failure.words}; "
            "NATSTREAM_JOURNAL_URL says where it is"
        )

    def trouble(self, error: dict[str, Any]) -> JournalUnavailable:
        """What an error of the server's means."""
        code = error.get("err_code")
        if code == _STREAM_NOT_FOUND:
            return JournalUnavailable(f"The journal's stream {self.name} is gone", "deleted")
        said = "".join(char for char in str(error.get("description"))[:200] if char.isprintable())
        if code in _FULL:
            return self.full(said)
        if code in _TOO_FEW_READERS:
            return JournalUnavailable(
                f"The journal's stream {self.name} does not let enough of us read: {said}", "unfit"
            )
        return JournalUnavailable(f"The journal's {self.place} says: {said}", "no_leader")

    def full(self, said: str) -> JournalUnavailable:
        """The stream takes no more; `said` is the limit."""
        return JournalUnavailable(f"The journal's stream {self.name} is full: {said}", "full")

    def _refuse(self, error: dict[str, Any], config: StreamConfig) -> NoReturn:
        if error.get("err_code") in _NOT_ENABLED:
            raise JournalDenied(
                f"The journal's {self.place} has no JetStream for these credentials", "unfit"
            )
        if error.get("code") == 503:
            raise self.trouble(error)
        said = "".join(char for char in str(error.get("description"))[:200] if char.isprintable())
        sentence = (
            f"The journal's stream {self.name} cannot be created at {self.place}: {said} "
            f"(NATSTREAM_JOURNAL_MAX_BYTES is {config.max_bytes:,}, "
            f"NATSTREAM_JOURNAL_REPLICAS {config.replicas})"
        )
        if error.get("err_code") == _NO_PEERS:  # not yet: a cluster's servers start one by one
            raise JournalUnavailable(sentence, "no_leader")
        raise JournalDenied(sentence, "unfit")

    def check(self, config: dict[str, Any]) -> None:
        """Whether an existing stream can serve.

        Raises:
            JournalDenied: it cannot.
        """
        subjects = config.get("subjects") or []
        max_age = config.get("max_age") or DUPLICATE_WINDOW * _NS
        knows_for = config.get("duplicate_window", 0) / _NS
        per_subject = config.get("max_msgs_per_subject", -1)
        wrong = ""
        if subjects != [f"{self.name}.>"]:
            wrong = f"it has to take {self.name}.> alone, and takes {', '.join(subjects) or 'none'}"
        elif config.get("storage") != "file":
            wrong = f"it has to store in files, and stores in {config.get('storage')}"
        elif config.get("retention") != "limits":
            wrong = f"its retention has to be limits, and is {config.get('retention')}"
        elif config.get("sealed") or config.get("no_ack"):
            wrong = "it is sealed, or acknowledges nothing"
        elif config.get("subject_transform"):
            wrong = "it has to keep subjects as they are, and transforms them"
        elif per_subject > 0:
            wrong = f"it has to keep all lines, and keeps {per_subject:,} of a machine"
        elif 0 < config.get("max_msg_size", -1) < MIN_MESSAGE:
            wrong = f"it has to take messages of {MIN_MESSAGE:,} bytes, and takes smaller ones only"
        elif knows_for < (needed := min(DUPLICATE_WINDOW, max_age / _NS)):
            wrong = (
                f"it has to know what was stored in the last {needed:g} s (duplicate_window), so "
                f"that it stores nothing twice, and knows {knows_for:g} s of it"
            )
        if wrong:
            raise JournalDenied(
                f"The journal's stream {self.name} cannot serve: {wrong}; "
                "NATSTREAM_JOURNAL_STREAM may name another",
                "unfit",
            )

    def _answered(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        if (answer := self._waiting.get(subject)) is not None:
            answer.payload, answer.headers = payload, headers
            answer.event.set()

    # --- publishing ----------------------------------------------------------------------

    def publication(self, number: int, subject: str, message_id: str, payload: bytes) -> bytes:
        """The command that publishes a message; what becomes of it is told to `on_ack`."""
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

    def _acked(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._on_ack(int(subject[len(self._ack_prefix) :]), payload, headers)

    # --- reading -------------------------------------------------------------------------

    def listen_for_pulls(self, consumer: str, handler: Handler) -> tuple[int, bytes]:
        """The subscription's number, and what the subjects of its pulls begin with."""
        subject = f"{self._pulls}{consumer}."
        return self.connection.listen(f"{subject}*", handler), subject.encode()

    async def find(self, number: int) -> Stored | None:
        """One message.

        Raises:
            JournalUnavailable: there is no answer.
        """
        answer = await self.request(f"STREAM.MSG.GET.{self.name}", {"seq": number})
        message = answer.get("message")
        if message is None:
            return None
        decoded = msgspec.convert(message, _Message, strict=False)
        prefix = len(self.name) + 1
        return Stored(decoded.seq, 0, decoded.subject.encode()[prefix:], decoded.data, b"")


class _Message(msgspec.Struct):
    subject: str
    seq: int
    data: bytes = b""


@attrs.define
class _Answer:
    event: trio.Event = attrs.field(factory=trio.Event)
    payload: bytes = b"{}"
    headers: bytes = b""


def _creation(config: StreamConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        "description": "The journal of natstream",
        "subjects": [f"{config.name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": int(config.max_age * _NS),
        "max_bytes": config.max_bytes,
        "num_replicas": config.replicas,
        "duplicate_window": int(min(DUPLICATE_WINDOW, config.max_age) * _NS),
        "allow_direct": True,
    }


def _stream_info(answer: dict[str, Any]) -> StreamInfo:
    config, state = answer["config"], answer["state"]
    is_full = config["discard"] == "new" and (
        0 < config["max_msgs"] <= state["messages"]
        or 0 < config["max_bytes"] < state["bytes"] + LINE_BYTES
    )
    current = None
    if (cluster := answer.get("cluster")) and cluster.get("replicas"):
        replicas = [each for each in cluster["replicas"] if each["current"] and not each.get("lag")]
        current = frozenset([cluster.get("leader", ""), *(each["name"] for each in replicas)])
    return StreamInfo(answer["created"], state["first_seq"], state["last_seq"], is_full, current)


def _error(answer: dict[str, Any]) -> int:
    code = answer.get("error", {}).get("err_code", 0)
    return code if isinstance(code, int) else 0
