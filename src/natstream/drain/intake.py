"""One request's body → entries at the hub and lines at the collector's readers.

In: a connection whose request head has been read. Out: the answer. A body is accepted whole or not
at all: nothing of it is handed on before all of it has been parsed.

A large body is parsed in a thread, because its parsing would hold up every reader for up to two
seconds. Only one large body at a time is parsed and handed on. More threads would not be faster,
since they share one interpreter lock, and the entries of a body may take eight times its size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import parse_qsl

import attrs
import trio

from natstream.drain.answers import busy, closing, json_answer, refusal
from natstream.drain.bodies import parse_body
from natstream.drain.body_memory import BodyMemory, NoRoom
from natstream.drain.collector import LogCollector
from natstream.drain.content_encoding import BodyBuffer, BodyTooLarge, UnsupportedMediaType
from natstream.drain.content_type import check_content_type, in_utf8, is_plain
from natstream.drain.forms import Form, form_of
from natstream.drain.http1 import Answer, HttpConnection, Request
from natstream.drain.logplex import parse_logplex
from natstream.drain.losses import Losses
from natstream.drain.otlp_answers import otlp_receipt
from natstream.drain.otlp_json import parse_otlp_json
from natstream.drain.otlp_protobuf import check_extra, parse_otlp_protobuf
from natstream.drain.parsed import NothingTaken, ParsedBody
from natstream.entries.entry import LogEntry
from natstream.entries.fly import LONGEST_NAME, Origin
from natstream.errors import BadBody, JournalUnavailable
from natstream.hub.batch import PIECE_BYTES
from natstream.hub.health import SourceStatus
from natstream.hub.sink import Receipt, Storage
from natstream.server.request_checks import Refused

if TYPE_CHECKING:
    from natstream.hub.hub import Hub

__all__ = ["Intake"]

# A body of fewer bytes and lines is unpacked and parsed at once: that takes about 3 ms, and 20 ms
# if no line is a log line. A thread would add 0.2 ms, and a switch of threads may take 5 ms.
QUICK_BYTES = 256 * 1024
QUICK_LINES = 2_000
# The part of both for records of OpenTelemetry, each of which takes 20 µs, or 2 µs for two bytes.
OTLP_SHARE = 4

# Entries that are handed on at once; the other tasks run between two of these runs.
RUN_LINES = 1_000

# So few lines are published at once while the hub has room, because letting other tasks run would
# cost much for them, and waiting for the next request lets them run anyway.
SMALL_LINES = 250
# Bytes that a reader gets for a line besides its text, at the least.
LINE_BYTES = 250
# After so many seconds without a body, all readers have had their turns.
READERS_TURN = 1.0
# The first bytes of a gzip file; its time stands in bytes 4 to 7.
_GZIP = b"\x1f\x8b"


class Intake:
    """Reads bodies, parses them and hands their entries on.

    Args:
        collector: its readers get the messages of the streams in `routed`, by machine.
        hub: gets every entry, if there is one.
        journal: gets every entry in place of the hub, if there is one.
        status: the drain's status, whose counts are kept up to date.
        routed: the streams that the collector's readers get.
        memory: counts the bytes of all bodies in progress.
        max_body: bytes of a body, as sent and as decompressed.
        max_lines: lines of a body.
    """

    def __init__(
        self,
        *,
        collector: LogCollector,
        hub: Hub | None,
        journal: Storage | None,
        status: SourceStatus,
        routed: frozenset[str],
        memory: BodyMemory,
        max_body: int,
        max_lines: int,
    ) -> None:
        self._collector = collector
        self._hub = hub
        self._journal = journal
        self._status = status
        self._routed = routed
        self._memory = memory
        self._max_body = max_body
        self._max_lines = max_lines
        self._one_large_body = trio.Lock()
        self._publishing = trio.Lock()
        self._small_lines = 1 if hub is None else min(SMALL_LINES, hub.backlog.max_lines // 4)
        self._unsent = 0
        """Bytes of entries that readers may have had no turn to send, at the most."""
        self._published_at = -math.inf
        self._parsing = trio.CancelScope()
        self._is_over = False
        self.delivering: set[HttpConnection] = set()
        """The connections whose bodies have been handed on in part, until they are answered."""
        self.accepted: int = 0
        """Entries."""
        self.losses: Losses = Losses(status)

    def start(self) -> None:
        """Hand bodies on, until `stop`."""
        self._is_over = False

    def stop(self) -> None:
        """Begin to hand on no more bodies, because the time for closing is over.

        Parsing a large body may take longer than the process has left, so it is not waited for.
        """
        self._is_over = True
        self._parsing.cancel()

    async def accept(self, http: HttpConnection, request: Request) -> Answer:
        """Read a request's body and hand its entries on. Return the answer."""
        header = request.headers.get
        try:
            form = form_of(request)
            content_type = header(b"content-type", b"").decode("latin-1")
            if form is Form.OTLP_PROTOBUF:
                check_extra()
            elif form is Form.LINES:
                check_content_type(content_type)
            encoding = header(b"content-encoding", b"").decode("latin-1")
            if encoding:
                BodyBuffer(encoding, 0)  # a sender that asks first is refused before it sends
            announced = int(header(b"content-length", b"0"))
            with self._memory.body(self._max_body, announced) as arriving:
                body = _Body(
                    await http.read_body(arriving),
                    form,
                    encoding,
                    content_type,
                    _origin(request.target),
                    needs_machine=self._hub is None and self._journal is None,
                    announced=header(b"logplex-msg-count", b"").decode("latin-1").strip(),
                )
                parsed, receipt = await self._take(http, body, _idempotency_key(request))
                if receipt is not None:
                    await receipt.confirmed()
        except _OutOfTime:
            return closing()
        except NoRoom:
            return busy("The batches that are arriving take all the memory that they may take")
        except JournalUnavailable as error:
            return busy(str(error), taken="a part of it may be stored")
        except Refused as refused:
            return refusal(refused.status, str(refused))
        except NothingTaken as error:
            self.losses.add_lines(error.dropped)
            return refusal(400, str(error))
        except BadBody as error:
            return self._refused(error)
        self._count(parsed, len(body.sent))
        return otlp_receipt(form, parsed) if form.is_otlp else _receipt(parsed)

    def _refused(self, error: BadBody) -> Answer:
        """Count a body that its sender will not send again, and return the answer."""
        if isinstance(error, UnsupportedMediaType):
            answer = refusal(415, str(error), (b"accept-encoding", b"gzip, deflate"))
        else:
            answer = refusal(413 if isinstance(error, BodyTooLarge) else 400, str(error))
        self.losses.add_body(answer.status)
        return answer

    async def _take(
        self, http: HttpConnection, body: _Body, key: str
    ) -> tuple[ParsedBody, Receipt | None]:
        """Parse a body and hand its entries on. A journal's receipt says when they are stored.

        Args:
            http: where the body came from.
            body: the body.
            key: the sender's name for it, or "".
        """
        parsed = self._parse_quickly(body)
        if parsed is not None:
            return parsed, await self._hand_on(http, parsed, body, key)
        async with self._one_large_body:
            parsed = await self._parse_in_thread(body)
            return parsed, await self._hand_on(http, parsed, body, key)

    def _parse_quickly(self, body: _Body) -> ParsedBody | None:
        """Parse a body, or return None if that would take long."""
        share = OTLP_SHARE if body.form.is_otlp else 1
        if len(body.sent) >= QUICK_BYTES // share:
            return None
        try:
            return body.parse(QUICK_BYTES // share, min(QUICK_LINES // share, self._max_lines))
        except BodyTooLarge:
            return None

    async def _parse_in_thread(self, body: _Body) -> ParsedBody:
        """Parse a body beside the readers. At `stop`, the thread is left to itself.

        Raises:
            _OutOfTime: the time for closing is over.
        """
        self._check_time()
        with trio.CancelScope() as self._parsing:
            try:
                return await trio.to_thread.run_sync(
                    partial(body.parse, self._max_body, self._max_lines), abandon_on_cancel=True
                )
            except (BadBody, BodyTooLarge) as error:
                # The thread's frames hold the body, and are in a cycle with the exception, so that
                # each refused body would stay in memory until the collector runs.
                raise error.with_traceback(None) from None
        raise _OutOfTime

    async def _hand_on(
        self, http: HttpConnection, parsed: ParsedBody, body: _Body, key: str
    ) -> Receipt | None:
        """Hand on all entries of a body.

        Once this has begun, only a drain that closes cancels it, some time after its grace period.

        Raises:
            _OutOfTime: the grace period is over, and no entry has been handed on.
        """
        self._check_time()
        entries = parsed.entries
        receipt = None
        if self._journal is not None:
            receipt = self._journal.open_receipt(key or body.name(entries))
        if entries:
            self.delivering.add(http)
        for start in range(0, len(entries), RUN_LINES):
            run = entries[start : start + RUN_LINES]
            self.route(run)
            if self._journal is not None:
                await self._journal.publish(run, receipt)
            elif self._hub is None:
                await trio.lowlevel.checkpoint()
            else:
                await self._publish(self._hub, run, body.size * len(run) // len(entries))
        return receipt

    async def _publish(self, hub: Hub, run: Sequence[LogEntry], size: int) -> None:
        """Publish a run of about `size` bytes, once the readers could send those before it.

        A reader sends one piece in each of its turns. If the senders' turns brought more than that,
        the backlog would soon lack lines that even a fast reader has yet to see.
        """
        if trio.current_time() > self._published_at + READERS_TURN:
            self._unsent = 0
        if self._unsent < PIECE_BYTES:
            await self._publish_next(hub, run, size)
            return
        async with self._publishing:
            while self._unsent >= PIECE_BYTES:
                await trio.lowlevel.checkpoint()
                self._unsent -= PIECE_BYTES
            await self._publish_next(hub, run, size)

    async def _publish_next(self, hub: Hub, run: Sequence[LogEntry], size: int) -> None:
        self._unsent += max(size, LINE_BYTES * len(run))
        self._published_at = trio.current_time()
        if len(run) <= self._small_lines and size <= PIECE_BYTES and hub.has_room:
            hub.publish_nowait(run)
        else:
            await hub.publish(run)

    def _check_time(self) -> None:
        if self._is_over:
            raise _OutOfTime

    def route(self, run: Sequence[LogEntry]) -> None:
        """Hand the messages of a run of entries to the collector's readers."""
        if not self._collector.machine_ids:
            return
        for entry in run:
            if entry.stream in self._routed:
                self._collector.push(entry.machine_id, entry.message)

    def _count(self, parsed: ParsedBody, received: int) -> None:
        accepted = len(parsed.entries)
        self.accepted += accepted
        self._status.lines += accepted
        if accepted:
            self._status.last_line = time.time()
        self._status.bytes += received
        if parsed.dropped:
            self.losses.add_lines(parsed.dropped)


def _receipt(parsed: ParsedBody) -> Answer:
    if not parsed.dropped:
        return _whole_receipt(len(parsed.entries))
    accepted, dropped = len(parsed.entries), sum(parsed.dropped.values())
    return json_answer(
        200, {"accepted": accepted, "dropped": dropped, "reasons": dict(parsed.dropped)}
    )


@lru_cache(maxsize=256)
def _whole_receipt(accepted: int) -> Answer:
    return json_answer(200, {"accepted": accepted, "dropped": 0, "reasons": {}})


@attrs.define
class _Body:
    """A body as it was sent, and what its request says about it."""

    sent: bytes
    form: Form
    encoding: str
    content_type: str
    origin: Origin
    needs_machine: bool = attrs.field(kw_only=True)
    announced: str = attrs.field(kw_only=True)
    """The value of `Logplex-Msg-Count`, or ""."""
    size: int = attrs.field(default=0, init=False)
    """Bytes, unpacked, once it is parsed."""

    def parse(self, max_size: int, max_lines: int) -> ParsedBody:
        """Unpack and parse the body.

        Raises:
            BodyTooLarge: it has more than `max_size` bytes or `max_lines` lines.
            BadBody: it cannot be read.
        """
        body = self.sent
        if self.encoding:
            buffer = BodyBuffer(self.encoding, max_size)
            buffer.feed(body)
            body = buffer.finish()
        self.size = len(body)
        common = _Common(origin=self.origin, needs_machine=self.needs_machine, max_lines=max_lines)
        match self.form:
            case Form.OTLP_PROTOBUF:
                return parse_otlp_protobuf(body, **common)
            case Form.OTLP_JSON:
                return parse_otlp_json(body, **common)
            case Form.LOGPLEX:
                return parse_logplex(body, **common, announced=self.announced)
        text = in_utf8(body, self.content_type)
        return parse_body(text, **common, plain=is_plain(self.content_type))

    def name(self, entries: Sequence[LogEntry]) -> str:
        """Return a name for a batch of OpenTelemetry, by which a journal knows a repeated batch.

        Its exporters give no names, and repeat the same bytes. Two batches are not equal, because
        each record has a time in nanoseconds. In JavaScript these are only milliseconds, so that
        two records of one body each may be equal. They get no name: a line that comes twice after
        an outage is better than one that is lost.
        """
        if not self.form.is_otlp:
            return ""
        if len(entries) == 1 and entries[0].timestamp.endswith("000000Z"):
            return ""
        # Some exporters compress each time anew, and the head of gzip has the time.
        is_gzip = self.sent.startswith(_GZIP)
        digest = blake2b(self.sent[:4] if is_gzip else self.sent, digest_size=16)
        if is_gzip:
            digest.update(memoryview(self.sent)[8:])
        return digest.hexdigest()


class _Common(TypedDict):
    """The arguments that the parsers of all forms take."""

    origin: Origin
    needs_machine: bool
    max_lines: int


class _OutOfTime(Exception):
    """The drain closes, and its grace period has passed."""


def _idempotency_key(request: Request) -> str:
    """Return the sender's name for a batch, by which a journal knows a repeated batch, or ""."""
    header = request.headers.get
    key = header(b"idempotency-key", b"") or header(b"logplex-frame-id", b"")
    return key.decode("latin-1")[:200]


@lru_cache(maxsize=64)
def _origin(target: bytes) -> Origin:
    """Return the names in a request target's query; of several values for one name, the last."""
    _, _, query = target.partition(b"?")
    named = dict(parse_qsl(query.decode("ascii", "replace")))
    return Origin(*[named.get(name, "")[:LONGEST_NAME] for name in Origin._fields])
