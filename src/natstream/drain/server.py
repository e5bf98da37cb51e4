"""The drain's listener: HTTP/1.1 on one port, any path, for senders of logs.

In: POST requests. Out: every entry to the hub, if there is one, the messages of stdout to the
collector's readers of their machine, and an answer to each request. The answer counts the lines
that were accepted, or tells the sender what to change.

A sender that repeats every request which got another answer than 200 neither loses nor duplicates a
line. There is one exception, and its 503 says so: a batch that was cut off because the drain had to
close, or that a journal could not store whole. If the sender gives the batch a name, in
`Idempotency-Key`, a journal stores it once all the same.

A sender's mistake ends at most that sender's connection. `ListenError` is raised if the port cannot
be had.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address
from types import TracebackType
from typing import TYPE_CHECKING

import attrs
import trio

from natstream.background import running_beside
from natstream.config.listening import listen
from natstream.config.memory import memory_bytes
from natstream.config.settings import Bind
from natstream.drain.admission import Admission
from natstream.drain.answers import busy, closing, refusal
from natstream.drain.body_memory import BodyMemory
from natstream.drain.collector import LogCollector
from natstream.drain.forms import form_of
from natstream.drain.http1 import Answer, Deadlines, HttpConnection, Request
from natstream.drain.intake import Intake
from natstream.drain.otlp_answers import as_status
from natstream.drain.parsed import MAX_LINES
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.sink import Storage
from natstream.server.request_checks import Refused
from natstream.server.token_guard import TokenGuard

if TYPE_CHECKING:
    from natstream.hub.hub import Hub

__all__ = ["DrainLimits", "DrainStatistics", "LogDrainServer"]

log: logging.Logger = logging.getLogger(__name__)

# After the grace period, batches that are being handed on get this part of it in addition. Then
# they are cut off, and their senders are told that a part was accepted.
FINISHING = 0.5
# All bodies together take a part of the machine's memory: at least as much as the largest body, and
# no more than senders ever need at once.
MEMORY_SHARE, MOST_MEMORY = 8, 1 << 30


@attrs.frozen(kw_only=True)
class DrainLimits(Deadlines):
    """How much senders may use, and how long they may take."""

    max_body: int = 16 * 2**20
    """Bytes of a body, as sent and as decompressed. Senders make batches of 1 to 10 MB."""
    max_lines: int = MAX_LINES
    """Lines of a body, or values in lines that hold several."""
    max_bodies: int = attrs.field(factory=lambda: min(memory_bytes() // MEMORY_SHARE, MOST_MEMORY))
    """Bytes of all bodies that are being received or handed on, as sent; `max_body` at least. By
    default it is an eighth of the machine's memory. One body at a time is unpacked, and may take
    eight times `max_body` in addition, while its entries are handed on; twelve times if it is
    OpenTelemetry's, because each record repeats its resource."""
    max_requests: int = 64
    """Bodies that are being received or handed on."""
    max_connections: int = 900
    """Most connections are idle. Each is a file descriptor, and a process often has 1,024."""


@attrs.frozen
class DrainStatistics:
    """The figures of a drain, now and since it was made."""

    connections: int
    requests: int
    """Bodies that are being received or handed on."""
    answers: Mapping[int, int]
    """How many answers, by status."""
    accepted: int
    """Entries."""
    dropped: Mapping[str, int]
    """Lines that gave no entry, by reason."""


class LogDrainServer:
    """Accepts logs over HTTP inside its block, or while `serve` runs.

        async with LogDrainServer(collector, port=9999) as server:
            with collector.subscribe("0e286551c30586") as lines:
                async for line in lines:
                    print(line)

    When the block ends, the drain accepts no more connections. Requests in flight get `grace`
    seconds, and batches that are being handed on get half as long again. Then the collector's
    streams end.

    Raises:
        ValueError: a token is empty.
        TypeError: `tokens` is a string.

    Args:
        collector: its readers get stdout's messages, machine by machine.
        host, port: the address to listen on. By default only this machine reaches it. With port 0
            the system chooses a free port; see `actual_port`.
        include_stderr: the collector's readers get stderr too.
        tokens: senders must show one of these, as `Authorization: Bearer …`. Without tokens, every
            sender that reaches the drain may send.
        hub: gets every entry, including those of the platform.
        journal: gets every entry in place of the hub. A sender is answered once the journal has
            stored its batch.
        status: the drain's status, which is kept up to date.
        limits: how much senders may use, and how long they may take.
        grace: seconds that requests in flight get when the drain closes.
        shared: other processes may listen on the same port.
        guard: counts and delays wrong tokens; by default one of the drain's own.
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
        guard: TokenGuard | None = None,
    ) -> None:
        self.collector = collector
        self.host = host
        self.port = port
        self._admission = Admission(tokens)
        self._guard = guard or TokenGuard()
        self._status = status or SourceStatus("drain", lambda message, type: None)
        self._limits = limits or DrainLimits()
        self._memory = BodyMemory(max(self._limits.max_bodies, self._limits.max_body))
        self._intake = Intake(
            collector=collector,
            hub=hub,
            journal=journal,
            status=self._status,
            routed=frozenset(("stdout", "stderr") if include_stderr else ("stdout",)),
            memory=self._memory,
            max_body=self._limits.max_body,
            max_lines=self._limits.max_lines,
        )
        self._grace = grace
        self._shared = shared

        self._actual_port: int | None = None
        self._block: AbstractAsyncContextManager[None] | None = None
        self._closing = False
        self._connections: set[HttpConnection] = set()
        # Those that have shown no token although one is needed, the oldest first.
        self._strangers: dict[HttpConnection, None] = {}
        self._requests = 0
        self._quiet = trio.Event()
        self._answers: Counter[int] = Counter()

    @property
    def actual_port(self) -> int | None:
        """The port that the drain listens on; None before it does and after it has stopped."""
        return self._actual_port

    @property
    def url(self) -> str | None:
        """The address where this machine reaches the drain; None while it does not listen."""
        if self._actual_port is None:
            return None
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read
        return f"http://{Bind(host, self._actual_port)}"

    def statistics(self) -> DrainStatistics:
        """Return the present figures."""
        return DrainStatistics(
            connections=len(self._connections),
            requests=self._requests,
            answers=dict(self._answers),
            accepted=self._intake.accepted,
            dropped=dict(self._intake.losses.lines),
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
        """Accept logs until cancelled: `await nursery.start(server.serve)`.

        The task has started when the port is bound. When it is cancelled, the drain closes as it
        does at the end of a block.

        Raises:
            ListenError: the port cannot be had.
        """
        if self._actual_port is not None:
            raise RuntimeError("this drain is running already")
        sock = listen(Bind(self.host, self.port), shared=self._shared)
        host, self._actual_port = sock.getsockname()[:2]
        self._closing = False
        self._intake.start()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        try:
            self._announce(host)
            log.info(
                "Bodies of logs take at most %d MiB together; this machine has %d MiB of memory",
                self._memory.limit >> 20,
                memory_bytes() >> 20,
            )
            async with trio.open_nursery() as connections:
                connections.start_soon(self._intake.losses.tell_regularly)
                task_status.started()
                try:
                    await trio.serve_listeners(
                        self._serve_connection, [listener], handler_nursery=connections
                    )
                finally:
                    self._closing = True
                    await self._close_connections()
                    self._intake.losses.tell()
        finally:
            sock.close()
            self._actual_port = None
            self._status.url = ""
            self.collector.finish_all()

    async def _close_connections(self) -> None:
        await self._wait_for_requests(self._grace)
        self._intake.stop()
        for connection in self._connections:
            connection.give_up()
        await self._wait_for_requests(self._grace * FINISHING)
        for connection in self._intake.delivering:
            connection.scope.cancel()

    async def _wait_for_requests(self, seconds: float) -> None:
        if self._requests:
            self._quiet = trio.Event()
            with trio.move_on_after(seconds, shield=True):
                await self._quiet.wait()

    def _announce(self, host: str) -> None:
        where = f"Taking logs on {self.url}"
        if not self._admission.is_open:
            log.info(where)
        elif ip_address(host).is_loopback:
            where += ", from this machine alone"
            log.info("%s: there is no drain token", where)
        else:
            where += ", from every sender that reaches it"
            log.warning("%s: there is no drain token", where)
        self._status.url = self.url or ""
        self._status.change(SourceState.UP, where)

    # --- connections ---------------------------------------------------------------------

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if self._closing:
            return
        http = HttpConnection(stream, self._limits)
        self._connections.add(http)
        if not self._admission.is_open:
            self._make_room()
            self._strangers[http] = None
        try:
            await self._serve_requests(http)
        except trio.BrokenResourceError:
            pass  # the sender has disconnected
        except Exception:
            log.exception("a drain connection has failed")
        finally:
            self._connections.discard(http)
            self._strangers.pop(http, None)
            self._intake.delivering.discard(http)

    def _make_room(self) -> None:
        """End the oldest connection that has shown no token, if there are too many connections."""
        if len(self._connections) > self._limits.max_connections and self._strangers:
            stranger = next(iter(self._strangers))
            del self._strangers[stranger]
            self._connections.discard(stranger)
            stranger.give_up()

    async def _serve_requests(self, http: HttpConnection) -> None:
        with http.scope:
            if len(self._connections) > self._limits.max_connections:
                await self._answer(http, busy("There are too many connections"), close=True)
                return
            while await self._serve_request(http):
                pass
        if not http.scope.cancelled_caught:
            return
        if http in self._intake.delivering:
            answer = closing(in_part=True)
        elif http.late:
            answer = refusal(408, http.late)
        else:
            return
        with trio.CancelScope(shield=True) as http.scope:
            await self._answer(http, answer, close=True)

    async def _serve_request(self, http: HttpConnection) -> bool:
        """Serve one request. Return whether there may be another."""
        try:
            request = await http.next_request()
        except Refused as refused:
            return await self._answer(http, refusal(refused.status, str(refused)), close=True)
        if request is None:
            return False
        may_send = await self._may_send(http, request)
        answer = self._admission.answer_to(request, may_send) or self._refuse_for_now()
        if answer is not None:
            # A client without a token must not hold a connection that senders need.
            return await self._answer(http, answer, close=not may_send)
        # A request counts until its answer is sent. If closing did not wait for the answer, a
        # sender might repeat a batch that has been handed on.
        self._requests += 1
        try:
            return await self._answer(http, await self._intake.accept(http, request))
        finally:
            self._requests -= 1
            if not self._requests:
                self._quiet.set()

    async def _may_send(self, http: HttpConnection, request: Request) -> bool:
        """Return whether the sender of a request may send logs; late, if its token is wrong."""
        if self._admission.is_open:
            return True
        if (shown := self._admission.shown(request)) is None:
            return False
        http.wait_idly()
        if await self._guard.look_at(shown, self._admission.find) is None:
            return False
        self._strangers.pop(http, None)
        return True

    def _refuse_for_now(self) -> Answer | None:
        if self._closing:
            return closing()
        if self._requests >= self._limits.max_requests:
            return busy("There are too many requests at once")
        return None

    async def _answer(self, http: HttpConnection, answer: Answer, *, close: bool = False) -> bool:
        self._intake.delivering.discard(http)
        self._answers[answer.status] += 1
        if answer.error and http.request is not None:
            answer = as_status(form_of(http.request), answer)
        return await http.answer(answer, close=close or self._closing)
