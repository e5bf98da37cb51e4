"""The drain listener: logs that senders POST, to a collector's readers and to a hub.

In: HTTP/1.1 on one port, any path. Out: every entry to the hub, if there is one, and the messages
of stdout to the readers of their machine. Each answer says what was done with the body, or what
to change. A batch is taken whole or not at all: a sender that is told anything but 200, and comes
back, neither loses nor doubles a line. (But for a 503 that says so: a batch that is not finished
when closing has to end, or that a journal could not store whole; under the same name,
`Idempotency-Key`, a journal stores it once.)

What a sender does never ends more than its own connection. `ListenError` if the port cannot be
had.
"""

from __future__ import annotations

import hmac
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs
import msgspec
import trio

from natstream.background import running_beside
from natstream.config.listening import listen
from natstream.config.settings import Bind
from natstream.drain.bodies import MAX_LINES, read_entries
from natstream.drain.collector import LogCollector
from natstream.drain.content_encoding import (
    BodyBuffer,
    BodyTooLarge,
    UnknownFormat,
    check_content_type,
)
from natstream.drain.http1 import Answer, Deadlines, HttpConnection, Request
from natstream.entries.entry import LogEntry
from natstream.errors import BadBody, JournalUnavailable
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.sink import Receipt, Storage
from natstream.server.request_checks import Refused

if TYPE_CHECKING:
    from natstream.hub.hub import Hub

__all__ = ["DrainLimits", "DrainStatistics", "LogDrainServer"]

log = logging.getLogger(__name__)

# Seconds, in 503 answers: a restart takes a few, a busy moment less.
RETRY_AFTER = 2

# What batches that are being handed on get after the grace, as a part of it. Then they are cut off:
# their senders repeat what is there in part.
FINISHING = 0.5

# Bytes. A line in so small a body is published at once: the turn that feeding gives to others
# would be dear for one line, and answering is one.
SMALL_BODY = 4_096

CLOSING = "This drain is closing"
PART_TAKEN = "a part of it was taken"

HELLO = Answer(
    200,
    b"natstream takes logs here: POST them as NDJSON, a JSON array or lines of text.\n",
    content_type=b"text/plain; charset=utf-8",
)


@attrs.frozen(kw_only=True)
class DrainLimits(Deadlines):
    """What senders may use, and how long they may take."""

    max_body: int = 16 * 2**20
    """Bytes of a body, as sent and as unpacked; senders make batches of 1 to 10 MB."""
    max_lines: int = MAX_LINES
    """Lines of a body, or values where a line holds several."""
    max_requests: int = 64
    """Bodies in the making. Each may hold `max_body`, a gigabyte in all, and some times that while
    it is taken apart."""
    max_connections: int = 900
    """Most of them idle; each is a file descriptor, of which a process often has 1,024."""


@attrs.frozen
class DrainStatistics:
    """What a drain does now, and has done since it was made."""

    connections: int
    requests: int
    """Bodies in the making."""
    answers: Mapping[int, int]
    """How many, by status."""
    accepted: int
    """Entries."""
    dropped: Mapping[str, int]
    """Lines left out of accepted bodies, by reason."""


class LogDrainServer:
    """Takes logs over HTTP while its block runs, or while `serve` does.

        async with LogDrainServer(collector, port=9999) as server:
            with collector.subscribe("0e286551c30586") as lines:
                async for line in lines:
                    print(line)

    Leaving the block accepts no more, gives requests in flight `grace` seconds, and half as long
    again to those that are being delivered, and ends the collector's streams.

    Raises:
        ValueError: there is an empty token.
        TypeError: `tokens` is a string.

    Args:
        collector: its readers get stdout's messages, machine by machine.
        host, port: where to listen. By default this machine alone reaches it; with port 0, on
            any free port, see `actual_port`.
        include_stderr: the collector's readers get stderr too.
        tokens: senders must show one of them, as `Authorization: Bearer …`. None: whoever
            reaches it may send.
        hub: gets every entry, system ones included.
        journal: gets every entry in place of the hub, and a sender is answered once the journal
            has stored its batch.
        status: is kept up to date.
        limits: what senders may use, and how long they may take.
        grace: seconds.
        shared: other processes may listen on the same port.
    """

    def __init__(
        self,
        collector: LogCollector,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        include_stderr: bool = False,
        tokens: Iterable[str] = (),
        hub: Hub | None = None,
        journal: Storage | None = None,
        status: SourceStatus | None = None,
        limits: DrainLimits | None = None,
        grace: float = 2.0,
        shared: bool = False,
    ) -> None:
        self.collector = collector
        self.host = host
        self.port = port
        self._routed = frozenset(("stdout", "stderr") if include_stderr else ("stdout",))
        if isinstance(tokens, str):
            raise TypeError("tokens must be a list of tokens, not a string")
        self._tokens = [token.strip().encode() for token in tokens]
        if not all(self._tokens):
            raise ValueError("tokens must not be empty: whoever shows none would be let in")
        self._hub = hub
        self._journal = journal
        self._status = status or SourceStatus("drain", lambda message, type: None)
        self._limits = limits or DrainLimits()
        self._grace = grace
        self._shared = shared

        self._actual_port: int | None = None
        self._block: AbstractAsyncContextManager[None] | None = None
        self._closing = False
        self._out_of_grace = False
        self._connections: set[HttpConnection] = set()
        self._delivering: set[HttpConnection] = set()
        self._requests = 0
        self._quiet = trio.Event()
        self._answers: Counter[int] = Counter()
        self._accepted = 0
        self._dropped: Counter[str] = Counter()

    @property
    def actual_port(self) -> int | None:
        """The port that it listens on; `None` before it does and after it has stopped."""
        return self._actual_port

    @property
    def url(self) -> str | None:
        """Where this machine reaches it; `None` before it listens and after it has stopped."""
        if self._actual_port is None:
            return None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read
        return f"http://{Bind(host, self._actual_port)}"

    def statistics(self) -> DrainStatistics:
        """What it does and has done."""
        return DrainStatistics(
            connections=len(self._connections),
            requests=self._requests,
            answers=dict(self._answers),
            accepted=self._accepted,
            dropped=dict(self._dropped),
        )

    # --- life ----------------------------------------------------------------------------

    async def __aenter__(self) -> LogDrainServer:
        if self._block is not None or self._actual_port is not None:
            raise RuntimeError("this drain is running already")
        self._block = running_beside(self.serve)
        try:
            await self._block.__aenter__()
        except BaseException:
            self._block = None
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._block is None:
            raise RuntimeError("this drain is not running")
        try:
            return await self._block.__aexit__(kind, error, traceback)
        finally:
            self._block = None

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take logs until cancelled: `await nursery.start(server.serve)`.

        Started when the port is bound. Cancelled, it closes as leaving the block does.

        Raises:
            ListenError: the port cannot be had.
        """
        if self._actual_port is not None:
            raise RuntimeError("this drain is running already")
        sock = listen(Bind(self.host, self.port), shared=self._shared)
        host, self._actual_port = sock.getsockname()[:2]
        self._closing = self._out_of_grace = False
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        try:
            self._tell_where(host)
            async with trio.open_nursery() as connections:
                task_status.started()
                try:
                    await trio.serve_listeners(
                        self._serve_connection, [listener], handler_nursery=connections
                    )
                finally:
                    self._closing = True
                    await self._close_connections()
        finally:
            sock.close()
            self._actual_port = None
            self._status.url = ""
            self.collector.finish_all()

    async def _close_connections(self) -> None:
        await self._wait_for_requests(self._grace)
        self._out_of_grace = True
        for connection in self._connections:
            connection.give_up()
        await self._wait_for_requests(self._grace * FINISHING)
        for connection in self._delivering:
            connection.scope.cancel()

    async def _wait_for_requests(self, seconds: float) -> None:
        if self._requests:
            self._quiet = trio.Event()
            with trio.move_on_after(seconds, shield=True):
                await self._quiet.wait()

    def _tell_where(self, host: str) -> None:
        where = f"Taking logs on {self.url}"
        if self._tokens:
            log.info(where)
        elif ip_address(host).is_loopback:
            where += ", from this machine alone"
            log.info("%s: there is no drain token", where)
        else:
            where += ", from anybody who reaches it"
            log.warning("%s: there is no drain token", where)
        self._status.url = self.url or ""
        self._status.change(SourceState.UP, where)

    # --- connections ---------------------------------------------------------------------

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if self._closing:
            return
        http = HttpConnection(stream, self._limits)
        self._connections.add(http)
        try:
            await self._talk(http)
        except trio.BrokenResourceError:
            pass  # the sender has gone
        except Exception:
            log.exception("a drain connection has failed")
        finally:
            self._connections.discard(http)
            self._delivering.discard(http)

    async def _talk(self, http: HttpConnection) -> None:
        with http.scope:
            if len(self._connections) > self._limits.max_connections:
                await self._answer(http, _busy("There are too many connections"), close=True)
                return
            while await self._exchange(http):
                pass
        if not http.scope.cancelled_caught:
            return
        if http in self._delivering:
            answer = _busy(CLOSING, taken=PART_TAKEN)
        elif http.late:
            answer = _refusal(408, http.late)
        else:
            return
        with trio.CancelScope(shield=True) as http.scope:
            await self._answer(http, answer, close=True)

    async def _exchange(self, http: HttpConnection) -> bool:
        """Serve one request; whether there may be another."""
        try:
            request = await http.next_request()
        except Refused as refused:
            return await self._answer(http, _refusal(refused.status, str(refused)), close=True)
        if request is None:
            return False
        may_send = not self._tokens or self._shows_token(request.headers.get(b"authorization", b""))
        refusal = self._refuse(request, may_send)
        if refusal is not None:
            # Who may not send holds no place that senders need.
            return await self._answer(http, refusal, close=not may_send)
        # Until it is answered: else a sender might repeat what has been delivered.
        self._requests += 1
        try:
            return await self._answer(http, await self._take(http, request))
        finally:
            self._requests -= 1
            if not self._requests:
                self._quiet.set()

    async def _answer(self, http: HttpConnection, answer: Answer, *, close: bool = False) -> bool:
        self._delivering.discard(http)
        self._answers[answer.status] += 1
        return await http.answer(answer, close=close or self._closing)

    def _refuse(self, request: Request, may_send: bool) -> Answer | None:
        """The answer that needs no body, if there is one."""
        if request.method in (b"GET", b"HEAD"):
            return HELLO
        if request.method != b"POST":
            return _refusal(405, "Send logs with POST.", (b"allow", b"POST, GET, HEAD"))
        if not self._tokens and request.headers.keys() & {b"origin", b"sec-fetch-site"}:
            # Any page that is open on this machine could; senders of logs have no origin.
            return _refusal(403, "A browser's pages may not send logs: use a drain token.")
        if not may_send:
            return _refusal(
                401,
                "Send a valid token, as Authorization: Bearer <token>.",
                (b"www-authenticate", b"Bearer"),
            )
        if self._closing:
            return _busy(CLOSING)
        if self._requests >= self._limits.max_requests:
            return _busy("There are too many requests at once")
        return None

    def _shows_token(self, authorization: bytes) -> bool:
        scheme, _, shown = authorization.partition(b" ")
        # All of them, each in constant time: the delay tells nothing of them.
        matches = [hmac.compare_digest(shown.strip(), token) for token in self._tokens]
        return any(matches) and scheme.lower() == b"bearer"

    # --- bodies --------------------------------------------------------------------------

    async def _take(self, http: HttpConnection, request: Request) -> Answer:
        """Read and deliver a body, or say why not."""
        header = request.headers.get
        try:
            content_type = header(b"content-type", b"").decode("latin-1")
            check_content_type(content_type)
            buffer = BodyBuffer(
                header(b"content-encoding", b"").decode("latin-1").strip().lower(),
                self._limits.max_body,
                int(header(b"content-length", b"0")),
            )
            body = await http.read_body(buffer)
            dropped: Counter[str] = Counter()
            runs = read_entries(
                body,
                dropped,
                app_name=_app_name(request.target),
                plain=content_type.lower().startswith("text/plain"),
                max_lines=self._limits.max_lines,
            )
            receipt = None
            if self._journal is not None:
                receipt = self._journal.open_receipt(_idempotency_key(request))
            accepted = await self._deliver(http, runs, len(body), receipt)
        except _OutOfGrace:
            return _busy(CLOSING)
        except JournalUnavailable as error:
            return _busy(str(error), taken="a part of it may be stored")
        except UnknownFormat as error:
            return _refusal(415, str(error), (b"accept-encoding", b"gzip, deflate"))
        except BodyTooLarge as error:
            return _refusal(413, str(error))
        except Refused as refused:
            return _refusal(refused.status, str(refused))
        except BadBody as error:
            return _refusal(400, str(error))
        self._status.bytes += buffer.received
        count = 0
        if dropped:
            count = dropped.total()
            self._status.parse_failures += count
            self._dropped += dropped
        return _json(200, {"accepted": accepted, "dropped": count, "reasons": dropped})

    async def _deliver(
        self,
        http: HttpConnection,
        runs: Iterable[list[LogEntry]],
        size: int,
        receipt: Receipt | None,
    ) -> int:
        """Hand on all entries of a body of so many bytes; how many they are.

        A batch counts whole: once it has begun, only the end of all patience cancels it.

        Raises:
            _OutOfGrace: the time for closing is over, and none has been handed on.
        """
        accepted = 0
        for run in runs:
            if self._out_of_grace and not accepted:
                raise _OutOfGrace
            if run and not accepted:
                self._delivering.add(http)
            accepted += len(run)
            self._route(run)
            if self._journal is not None and run:
                await self._journal.publish(run, receipt)
            elif self._hub is not None and len(run) == 1 and size <= SMALL_BODY:
                self._hub.publish_nowait(run)
            elif self._hub is not None and run:
                await self._hub.publish(run)
            else:
                await trio.lowlevel.checkpoint()
        if receipt is not None:
            await receipt.confirmed()
        self._accepted += accepted
        self._status.lines += accepted
        return accepted

    def _route(self, run: Sequence[LogEntry]) -> None:
        if not self.collector.machine_ids:
            return
        for entry in run:
            if entry.stream in self._routed:
                self.collector.push(entry.machine_id, entry.message)


class _OutOfGrace(Exception):
    """This drain is closing, and has waited for as long as it would."""


def _json(status: int, value: object, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, msgspec.json.encode(value) + b"\n", headers)


def _refusal(status: int, what_to_change: str, *headers: tuple[bytes, bytes]) -> Answer:
    return _json(status, {"error": what_to_change}, *headers)


def _busy(why: str, *, taken: str = "nothing of it was taken") -> Answer:
    return _refusal(
        503,
        f"{why}; send the same again in {RETRY_AFTER} s, {taken}.",
        (b"retry-after", b"%d" % RETRY_AFTER),
    )


def _idempotency_key(request: Request) -> str:
    """The sender's own name for a batch, by which it is known again when it is repeated."""
    header = request.headers.get
    key = header(b"idempotency-key", b"") or header(b"logplex-frame-id", b"")
    return key.decode("latin-1")[:200]


def _app_name(target: bytes) -> str:
    """The value of `app` in a request target's query; the last one of several."""
    _, _, query = target.partition(b"?")
    return dict(parse_qsl(query.decode("ascii", "replace"))).get("app", "") if query else ""
