"""The drain over real sockets: its deliveries, its answers, and its end."""

from __future__ import annotations

import base64
import gc
import gzip
import hmac
import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from tests.support.waiting import until

from natstream.drain import forms, intake
from natstream.drain import server as drain
from natstream.drain.bodies import parse_body
from natstream.drain.collector import LineReceiver, LogCollector, drain_channel
from natstream.drain.http1 import Request
from natstream.drain.losses import Losses
from natstream.drain.parsed import MAX_LINES, ParsedBody
from natstream.drain.server import DrainLimits, LogDrainServer
from natstream.entries.entry import Gap, LogEntry
from natstream.errors import ListenError
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub, open_hub
from natstream.hub.sink import Receipt
from natstream.server.login_throttle import DELAY
from natstream.server.token_guard import TokenGuard

FIXTURES = Path(__file__).parents[1] / "fixtures" / "drain"
TOKENS = ("rotated-out", "secret")
AUTHORIZED = b"Authorization: Bearer secret\r\n"
LIMIT = 100_000
# The lines of the recorded bodies that do not have three.
LINES = {"docker": 4, "winston-http-batch": 2, "winston": 1, "rsyslog": 1}


def line(message: str, **more: Any) -> bytes:
    return json.dumps({"instance": "m1", "message": message, **more}).encode()


@attrs.frozen
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sender:
    """A client that sends exactly the given bytes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def reply(self) -> Reply:
        with trio.fail_after(10):
            head = await self._until(b"\r\n\r\n")
            status, *fields = head.decode().split("\r\n")
            headers = {}
            for field in filter(None, fields):
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", 0))
            while len(self._received) < length:
                await self._more()
            body, self._received = self._received[:length], self._received[length:]
            return Reply(int(status.split()[1]), headers, body)

    async def closed(self) -> bool:
        """Return whether the server closes the connection without another answer."""
        with trio.fail_after(10):
            try:
                return not self._received and not await self.stream.receive_some()
            except trio.BrokenResourceError:
                return True

    async def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            await self._more()
        head, _, self._received = self._received.partition(end)
        return head + end

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"closed after {self._received!r}"
        self._received += data


@asynccontextmanager
async def connect(server: LogDrainServer) -> AsyncIterator[Sender]:
    assert server.actual_port is not None
    async with await trio.open_tcp_stream("127.0.0.1", server.actual_port) as stream:
        yield Sender(stream)


def post(body: bytes, *headers: bytes, target: bytes = b"/") -> bytes:
    return b"".join(
        [
            b"POST %s HTTP/1.1\r\nHost: drain\r\n" % target,
            *(header + b"\r\n" for header in headers),
            b"Content-Length: %d\r\n\r\n" % len(body),
            body,
        ]
    )


def chunked(*chunks: bytes, headers: bytes = b"", end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: drain\r\nTransfer-Encoding: chunked\r\n" + headers + b"\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


async def exchange(server: LogDrainServer, data: bytes) -> Reply:
    async with connect(server) as sender:
        await sender.send(data)
        return await sender.reply()


async def in_flight(server: LogDrainServer) -> None:
    """Wait until the server reads the body of a request."""
    with trio.fail_after(5):
        while not server.statistics().requests:
            await trio.sleep(0.001)


def waiting(lines: LineReceiver) -> list[str]:
    """Return the delivered lines that have not been read."""
    found = []
    while True:
        try:
            found.append(lines.receive_nowait())
        except trio.WouldBlock:
            return found


# --- deliveries --------------------------------------------------------------------------


async def test_a_batch_goes_to_the_readers_of_its_machines_and_to_the_hub() -> None:
    """The machine's readers get stdout, and the hub gets every entry with its source."""
    collector = LogCollector()
    body = b"\n".join(
        [
            line("out"),
            line("err", stream="stderr"),
            line("system", source="fly"),
            line("other machine", instance="m2"),
        ]
    )
    async with open_hub() as hub, LogDrainServer(collector, hub=hub) as server:
        with collector.subscribe("m1") as lines, hub.subscribe() as reader:
            reply = await exchange(server, post(body))
            assert (reply.status, reply.json) == (200, {"accepted": 4, "dropped": 0, "reasons": {}})
            assert reply.headers["content-type"] == "application/json"
            assert waiting(lines) == ["out"]
            entries: list[LogEntry] = []
            with trio.fail_after(5):
                while len(entries) < 4:
                    entries += (await reader.receive()).entries  # type: ignore[union-attr] # no gaps
            assert [entry.message for entry in entries] == ["out", "err", "system", "other machine"]
            assert {entry.source for entry in entries} == {"drain"}


@pytest.mark.parametrize(
    ("target", "machine"),
    [(b"/?machine=m1", "m1"), (b"/x?app=web&machine=a%2Fb&region=sjc", "a/b")],
)
async def test_the_drains_url_can_name_the_machine(target: bytes, machine: str) -> None:
    """Objects and text without a machine go to the readers of the address's machine."""
    collector = LogCollector()
    async with LogDrainServer(collector) as server:
        with collector.subscribe(machine) as lines:
            await exchange(server, post(b'{"message":"a"}\ntext', target=target))
            assert waiting(lines) == ["a", "text"]


@pytest.mark.parametrize("target", [b"/?app=", b"/?machine=", b"/?region="])
async def test_a_name_in_the_drains_url_is_cut(target: bytes) -> None:
    """A name of a line has at most 256 characters, because the backlog does not count it."""
    async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        with hub.subscribe() as reader:
            await exchange(server, post(b'{"message":"a"}', target=target + b"n" * 5_000))
            with trio.fail_after(5):
                [entry] = (await reader.receive()).entries  # type: ignore[union-attr] # no gaps
    assert "n" * 256 in (entry.app_name, entry.machine_id, entry.region)


def test_long_targets_are_not_kept() -> None:
    """A client without a token cannot fill the memory with the addresses that it asks for."""
    forms._known_form.cache_clear()
    for number in range(20):
        request = Request(b"POST", target=b"/%d%b" % (number, b"x" * 1_000), headers={})
        assert forms.form_of(request) is forms.Form.LINES
    assert forms._known_form.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'[{"message":"m","instance":"m1"},{"mess' + b"x" * (1 << 20), (), 400),
        (gzip.compress(bytes(20 << 20), 1), (b"Content-Encoding: gzip",), 413),
    ],
    ids=["broken", "too large when unpacked"],
)
async def test_a_refused_body_leaves_the_memory_at_once(
    body: bytes, headers: Sequence[bytes], status: int
) -> None:
    """It does not wait for the collector, which would come after thousands of such bodies."""
    async with LogDrainServer(LogCollector()) as server:
        request = post(body, *headers)
        await exchange(server, request)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(5):
                assert (await exchange(server, request)).status == status
            # The answer comes before the end of the request.
            await until(lambda: tracemalloc.get_traced_memory()[0] < 1 << 20)
        finally:
            tracemalloc.stop()
            gc.enable()


RESOURCE = {"attributes": [{"key": "x", "value": {"stringValue": "y" * 9_000}}]}
RECORDS = [{"timeUnixNano": "1700000000000000001", "body": {"stringValue": "l"}}] * 60


@pytest.mark.parametrize(
    ("head", "body", "limits", "connections"),
    [
        (b"", b"line\n" * 250, {"backlog_lines": 1_000}, 8),
        (b"", b"line\n" * 250, {"backlog_lines": 4_000}, 16),
        (
            b"Content-Type: application/json",
            json.dumps(
                {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": RECORDS}]}]}
            ).encode(),
            {"backlog_bytes": 16 << 20},
            32,
        ),
    ],
    ids=["short lines", "more senders", "records that are larger than their messages"],
)
async def test_many_senders_at_once_cost_a_fast_reader_no_line(
    head: bytes, body: bytes, limits: dict[str, Any], connections: int
) -> None:
    """Senders wait for the readers if their lines together would overrun the backlog."""
    target = b"/v1/logs" if head else b"/"
    request = post(body, *([head] if head else []), target=target)
    async with open_hub(**limits) as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        got: list[int | Gap] = []

        async def read() -> None:
            with hub.subscribe() as reader:
                async for item in reader:
                    got.append(  # noqa: PERF401 - the iteration is cancelled in the end
                        item if isinstance(item, Gap) else item.lines
                    )

        port = server.actual_port
        assert port is not None

        async def send() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                for _ in range(8):
                    await stream.send_all(request)
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await until(lambda: hub.statistics().readers == 1)
            async with trio.open_nursery() as senders:
                for _ in range(connections):
                    senders.start_soon(send)
            await until(lambda: hub.statistics().slowest == 0)
            nursery.cancel_scope.cancel()
    assert not [item for item in got if isinstance(item, Gap)]
    assert sum(got) == 8 * connections * (60 if head else 250)  # type: ignore[arg-type]  # no gaps


async def test_the_service_takes_objects_without_a_machine() -> None:
    """With a hub, no object needs a machine; the library's collector needs one."""
    async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        reply = await exchange(server, post(b'{"message":"from the proxy"}'))
        assert reply.json == {"accepted": 1, "dropped": 0, "reasons": {}}
    async with LogDrainServer(LogCollector()) as server:
        reply = await exchange(server, post(b'{"message":"from the proxy"}'))
        assert reply.status == 400
        assert "1 name no machine" in reply.json["error"]
        assert '{"message":"from the proxy"}' in reply.json["error"]


async def test_losses_are_told_at_most_once_a_minute(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """The first loss is told at once, those of the next minute together, the last at the end."""
    told: list[str] = []
    status = SourceStatus("drain", lambda message, type: told.append(message))
    collector = LogCollector()
    losses = Losses(status)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(losses.tell_regularly)
        for _ in range(90):
            losses.add_lines({"no_machine": 1})
            losses.add_body(413)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    losses.tell()
    first, minute, last = told
    assert first.endswith("1 line without a machine; 1 batch, refused with 413")
    assert "59 lines" in minute or "60 lines" in minute
    assert "lines" in last
    assert status.lost == 90
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert collector.machine_ids == []


async def test_readers_are_told_of_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    """A dropped line and a refused batch are a notice, a warning and a count."""
    told: list[tuple[str, str]] = []
    status = SourceStatus("drain", lambda message, type: told.append((message, type)))
    async with LogDrainServer(LogCollector(), status=status) as server:
        await exchange(server, post(line("a") + b"\n[5]"))
        await exchange(server, post(b"[5]"))
        await exchange(server, post(b"x", b"Content-Encoding: br"))
        assert server.statistics().dropped == {"not_json": 2}
    assert {type for _, type in told[1:]} == {"error"}
    text = " ".join(message for message, _ in told)
    assert "not take what its senders sent: 1 line in an array" in text
    assert "1 batch, refused with 415" in text
    assert status.lost == 2
    assert "x" not in [record.message for record in caplog.records]


async def test_stderr_is_routed_when_asked_and_system_never() -> None:
    """`include_stderr` adds stderr and no other stream."""
    collector = LogCollector()
    body = b"\n".join(
        [
            line("out"),
            line("err", stream="STDERR"),
            line("sys", source="machine"),
            line("x", stream="x"),
        ]
    )
    async with LogDrainServer(collector, include_stderr=True) as server:
        with collector.subscribe("m1") as lines:
            await exchange(server, post(body))
            assert waiting(lines) == ["out", "err"]


async def test_the_receipt_says_what_was_dropped_and_why() -> None:
    """The lines that can be read are delivered, and the receipt counts the other lines."""
    collector = LogCollector()
    async with LogDrainServer(collector) as server:
        with collector.subscribe("m1") as lines:
            reply = await exchange(server, post(line("a") + b'\n[5]\n{"message":"whose?"}\n'))
            assert reply.status == 200
            assert reply.json == {
                "accepted": 1,
                "dropped": 2,
                "reasons": {"not_json": 1, "no_machine": 1},
            }
            assert waiting(lines) == ["a"]


@pytest.mark.parametrize(
    ("target", "app"),
    [
        (b"/", ""),
        (b"/?app=web", "web"),
        (b"/any/path?x=1&app=w%20b&y", "w b"),
        (b"http://drain/?app=web", "web"),
        (b"/?other=web", ""),
    ],
)
async def test_the_drains_url_can_name_the_app(target: bytes, app: str) -> None:
    """Entries that name no app get the app of the URL."""
    async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        with hub.subscribe() as reader:
            await exchange(server, post(line("a"), target=target))
            with trio.fail_after(5):
                (entry,) = (await reader.receive()).entries  # type: ignore[union-attr] # no gaps
            assert entry.app_name == app


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
async def test_what_real_senders_send_is_accepted(name: str) -> None:
    """The recorded bytes of real senders are accepted."""
    body = (FIXTURES / name).read_bytes()
    headers = [b"Content-Encoding: gzip"] if name.endswith(".gz") else []
    async with LogDrainServer(LogCollector()) as server:
        reply = await exchange(server, post(body, *headers, target=b"/?machine=m1"))
        assert reply.status == 200
        lines = next((count for part, count in LINES.items() if part in name), 3)
        assert (reply.json["accepted"], reply.json["dropped"]) == (lines, 0)


async def test_health_checks_are_answered_on_any_path_without_a_token() -> None:
    """GET and HEAD are answered, and the connection stays open for senders with a token."""
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        for method in (b"GET", b"HEAD", b"PUT", b"POST"):
            async with connect(server) as stranger:
                await stranger.send(method + b" /health HTTP/1.1\r\nHost: x\r\n\r\n")
                head = await stranger._until(b"\r\n\r\n")
                assert b"\r\nconnection: close\r\n" in head.lower()
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        await sender.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = await sender.reply()
        assert reply.status == 200
        assert b"POST" in reply.body
        await sender.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await sender._until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await sender.send(post(line("a")))
        assert (await sender.reply()).status == 200


@pytest.mark.parametrize("header", [b"Origin: http://evil.example", b"Sec-Fetch-Site: cross-site"])
async def test_no_page_of_a_browser_may_send(header: bytes) -> None:
    """Without a token, a request from a web page is refused."""
    async with LogDrainServer(LogCollector()) as server:
        assert (await exchange(server, post(line("a"), header))).status == 403
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        assert (await exchange(server, post(line("a"), header, AUTHORIZED.strip()))).status == 200


def basic(user_and_password: bytes) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(user_and_password)


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Splunk secret",
        b"authorization: TOKEN  secret ",
        b"Authorization: bearer secret",
        basic(b"any user:secret"),
        basic(b":rotated-out"),
    ],
)
async def test_senders_show_the_token_in_their_own_way(header: bytes) -> None:
    """A token is read from the schemes of log senders, and as the password of HTTP basic."""
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        assert (await exchange(server, post(line("a"), header))).status == 200


async def test_a_browser_that_remembers_a_password_may_not_send() -> None:
    """A foreign page could use a remembered password, but it cannot set a bearer token."""
    origin = b"Origin: http://evil.example"
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        assert (await exchange(server, post(line("a"), origin, basic(b"x:secret")))).status == 403
        assert (await exchange(server, post(line("a"), origin, AUTHORIZED[:-2]))).status == 200


async def test_blank_lines_before_a_request_are_passed_over() -> None:
    """A client may send line breaks before its first request and between two requests."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        for before in (b"\r\n", b"\n", b"\r\n\r\n"):
            await sender.send(before + post(line("a")) + b"\r\n" + post(line("b")))
            for _ in range(2):
                assert (await sender.reply()).status == 200
        await sender.send(b"\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await sender.send(post(line("c")) + b"\r\n")
        assert (await sender.reply()).status == 200


async def test_a_connection_of_blank_lines_alone_is_closed() -> None:
    """Blank lines do not prolong the time in which a request has to begin."""
    limits = DrainLimits(headers_within=0.3)
    async with LogDrainServer(LogCollector(), limits=limits) as server, connect(server) as sender:
        with trio.move_on_after(5) as scope:
            with suppress(trio.BrokenResourceError):
                while True:
                    await sender.send(b"\r\n")
                    await trio.sleep(0.02)
        assert not scope.cancelled_caught


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("127.0.0.1", 70_000, "70000 is not a port"),
        ("127.0.0.1", -1, "-1 is not a port"),
        ("", 0, "empty host"),
        ("a\0b", 0, "not an address"),
        ("x" * 70 + ".example", 0, "not an address"),
        ("nowhere.invalid", 0, "not an address"),
    ],
)
async def test_an_address_that_is_none_is_one_sentence(host: str, port: int, says: str) -> None:
    """The error says what is wrong, and nothing listens on another address."""
    server = LogDrainServer(LogCollector(), host=host, port=port)
    with pytest.raises(ListenError, match=says):
        async with server:
            raise AssertionError("it must not start")
    assert server.actual_port is None


async def test_all_bodies_together_have_a_limit() -> None:
    """A body for which no room is left gets a 503, and comes again when others have ended."""
    limits = DrainLimits(max_body=LIMIT, max_bodies=LIMIT)
    half = line("x" * (LIMIT // 2))
    async with LogDrainServer(LogCollector(), limits=limits) as server:
        async with connect(server) as first, connect(server) as second:
            await first.send(post(half)[:-1])
            await in_flight(server)
            for request in (post(half), chunked(half)):
                reply = await exchange(server, request)
                assert (reply.status, reply.headers["retry-after"]) == (503, "2")
            await first.send(post(half)[-1:])
            assert (await first.reply()).status == 200
            await second.send(post(half))
            assert (await second.reply()).status == 200
        assert server._memory.taken == 0


async def test_packed_bodies_are_unpacked_one_at_a_time() -> None:
    """Many small bodies that each grow to the limit do not take their memory at once."""
    size = 1 << 20
    packed = gzip.compress(b"\n".join([line("x" * 60_000)] * 17))
    limits = DrainLimits(max_body=size)
    async with LogDrainServer(LogCollector(), limits=limits) as server:
        tracemalloc.start()
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(24):
                    request = post(packed, b"Content-Encoding: gzip")
                    nursery.start_soon(exchange, server, request)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert server.statistics().answers == {200: 24}
    assert peak < 12 * size


@pytest.mark.parametrize("token", TOKENS)
async def test_any_of_the_tokens_opens(token: str) -> None:
    """Each token is accepted, so that one can be rotated out, in any case of the scheme."""
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        for scheme in ("Bearer", "bearer"):
            header = f"Authorization: {scheme} {token}".encode()
            assert (await exchange(server, post(line("a"), header))).status == 200


async def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token is compared each time, so that the delay reveals none of them."""
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spy(shown: bytes, token: bytes) -> bool:
        compared.append((shown, token))
        return compare(shown, token)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    async with LogDrainServer(LogCollector(), tokens=TOKENS) as server:
        for shown, status in (("rotated-out", 200), ("secret", 200), ("wrong", 401)):
            compared.clear()
            reply = await exchange(server, post(b"x", b"Authorization: Bearer " + shown.encode()))
            assert reply.status == status
            assert compared == [(shown.encode(), token.encode()) for token in TOKENS]


async def test_a_wrong_token_is_counted_and_answered_late() -> None:
    """The drain's guard counts a wrong token and delays its answer; a right token never waits."""
    guard = TokenGuard()
    async with LogDrainServer(LogCollector(), tokens=TOKENS, guard=guard) as server:
        wrong = post(b"x", b"Authorization: Bearer wrong")
        start = trio.current_time()
        async with connect(server) as guessing:
            await guessing.send(wrong)
            assert (await exchange(server, post(line("a"), AUTHORIZED.strip()))).status == 200
            assert trio.current_time() - start < DELAY
            assert (await guessing.reply()).status == 401
        assert trio.current_time() - start >= DELAY
        assert guard.wrong == 1
        assert (await exchange(server, post(b"x"))).status == 401
        assert guard.wrong == 1  # A sender that shows no token guesses none.


async def test_wrong_tokens_do_not_delay_the_end_of_the_drain() -> None:
    """A drain that closes does not wait until all wrong tokens have their answers."""
    async with AsyncExitStack() as stack:
        async with LogDrainServer(LogCollector(), tokens=TOKENS, grace=0.2) as server:
            for _ in range(100):
                sender = await stack.enter_async_context(connect(server))
                await sender.send(post(b"x", b"Authorization: Bearer wrong"))
            await until(lambda: server._guard.wrong == 100)
            start = trio.current_time()
        assert trio.current_time() - start < 2


@pytest.mark.parametrize(
    "request_", [b"", b"POST", post(b"x", b"Authorization: Bearer wrong"), post(b"x")[:-1]]
)
async def test_strangers_keep_out_no_sender_with_a_token(request_: bytes) -> None:
    """The oldest connection that has shown no token ends first when there are too many."""
    limits = DrainLimits(max_connections=10)
    async with (
        LogDrainServer(LogCollector(), tokens=TOKENS, limits=limits) as server,
        connect(server) as known,
        AsyncExitStack() as stack,
    ):
        await known.send(post(line("a"), AUTHORIZED.strip()))
        assert (await known.reply()).status == 200
        for _ in range(40):
            stranger = await stack.enter_async_context(connect(server))
            await stranger.send(request_)
        assert (await exchange(server, post(line("b"), AUTHORIZED.strip()))).status == 200
        await known.send(post(line("c"), AUTHORIZED.strip()))
        assert (await known.reply()).status == 200


@pytest.mark.parametrize("tokens", [[""], ["secret", " "]])
def test_an_empty_token_is_refused(tokens: list[str]) -> None:
    """An empty token would admit senders that show none."""
    with pytest.raises(ValueError, match="must not be empty"):
        LogDrainServer(LogCollector(), tokens=tokens)


def test_a_string_is_no_list_of_tokens() -> None:
    """A string would be taken for a list of one-letter tokens, so it is refused."""
    with pytest.raises(TypeError, match="a list of tokens, not a string"):
        LogDrainServer(LogCollector(), tokens="secret")


async def test_what_is_called_text_may_start_with_a_bracket() -> None:
    """A body of the type text/plain is text unless it is JSON, even where it looks cut."""
    text = b"[2026-01-01 10:00:00] INFO started\n[2026-01-01 10:00:01] ERROR boom\n"
    plain = b"Content-Type: Text/Plain; charset=utf-8"
    async with LogDrainServer(LogCollector()) as server:
        assert (await exchange(server, post(b"[cut"))).status == 200
        assert (await exchange(server, post(b"[1,"))).status == 400
        for body, accepted in ((text, 2), (b"[1,", 1), (line("a") + b"\n" + line("b"), 2)):
            reply = await exchange(server, post(body, plain))
            assert (reply.status, reply.json["accepted"]) == (200, accepted)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/x-www-form-urlencoded", "application/octet-stream"],
)
async def test_other_content_is_judged_by_its_bytes(content_type: str) -> None:
    """JSON is read as JSON and text as text under each default content type of a client."""
    header = f"Content-Type: {content_type}".encode()
    async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        with hub.subscribe() as reader:
            for body in (line("json"), b"[" + line("array") + b"]", b"text {"):
                assert (await exchange(server, post(body, header))).status == 200
            found: list[tuple[str, str]] = []
            with trio.fail_after(5):
                while len(found) < 3:
                    entries = (await reader.receive()).entries  # type: ignore[union-attr] # no gaps
                    found += [(entry.machine_id, entry.message) for entry in entries]
    assert found == [("m1", "json"), ("m1", "array"), ("", "text {")]


# --- real senders ------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("lines", [1, 20_000])
async def test_curl(tmp_path: Path, packed: bool, lines: int) -> None:
    """`curl --data-binary @file` works for a small body, and for one with `Expect`."""
    body = b"".join(line("from curl" + "." * 80) + b"\n" for _ in range(lines))
    file = tmp_path / "body"
    file.write_bytes(gzip.compress(body) if packed else body)
    headers = ["-H", "Content-Encoding: gzip"] if packed else []
    async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
        assert server.url is not None
        command = ["curl", "-sS", "--max-time", "20", "--data-binary", f"@{file}", *headers]
        result = await trio.run_process([*command, server.url], capture_stdout=True)
        assert json.loads(result.stdout)["accepted"] == lines
        assert hub.statistics().published == lines


async def test_httpx() -> None:
    """A kept-alive client works, with JSON and with a body of unknown length."""

    async def parts() -> AsyncIterator[bytes]:
        yield line("streamed")[:10]
        yield line("streamed")[10:]

    collector = LogCollector()
    async with LogDrainServer(collector) as server, httpx.AsyncClient() as client:
        assert server.url is not None
        with collector.subscribe("m1") as lines:
            for _ in range(3):
                reply = await client.post(server.url, json=[json.loads(line("from httpx"))])
                assert reply.json()["accepted"] == 1
            assert server.statistics().connections == 1
            reply = await client.post(server.url, content=parts())
            assert reply.json()["accepted"] == 1
            assert waiting(lines) == ["from httpx"] * 3 + ["streamed"]


async def test_http_client_chunked() -> None:
    """Python's own client works, which chunks a body that it gets in pieces."""

    def send(port: int, body: Iterable[bytes]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/", body=iter(body), encode_chunked=True)
            return json.loads(connection.getresponse().read())  # type: ignore[no-any-return]
        finally:
            connection.close()

    async with LogDrainServer(LogCollector()) as server:
        assert server.actual_port is not None
        body = [line("one") + b"\n", line("two")[:5], line("two")[5:]]
        receipt = await trio.to_thread.run_sync(send, server.actual_port, body)
        assert receipt["accepted"] == 2


async def test_a_client_may_close_its_end_after_sending() -> None:
    """A client that closes its end, as `nc -N` does, still gets its answer."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        await sender.send(post(line("a")))
        await sender.stream.send_eof()
        assert (await sender.reply()).status == 200
        assert await sender.closed()


async def test_http_1_0_is_understood() -> None:
    """A client of HTTP/1.0 is answered, and its connection is closed."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        await sender.send(post(line("a")).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await sender.reply()).status == 200
        assert await sender.closed()


async def test_requests_may_be_pipelined() -> None:
    """Each of several requests in a row is answered, in order."""
    collector = LogCollector()
    async with LogDrainServer(collector) as server, connect(server) as sender:
        with collector.subscribe("m1") as lines:
            await sender.send(b"".join(post(line(str(number))) for number in range(5)))
            for _ in range(5):
                assert (await sender.reply()).status == 200
            assert waiting(lines) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_ordinary_and_other_requests_may_take_turns(size: int) -> None:
    """A connection may change between requests that h11 reads and those that it does not see."""
    other = post(line("b"), b"X-Name:value")
    requests = [post(line("a")), other, b"\r\n" + post(line("c")), chunked(line("d")), other]
    requests += [post(line("e")), b"GET / HTTP/1.1\r\nHost: drain\r\n\r\n", post(line("f"))]
    collector = LogCollector()
    async with LogDrainServer(collector) as server, connect(server) as sender:
        with collector.subscribe("m1") as lines:
            data = b"".join(requests)
            for start in range(0, len(data), size):
                await sender.send(data[start : start + size])
            for _ in requests:
                assert (await sender.reply()).status == 200
            assert waiting(lines) == ["a", "b", "c", "d", "b", "e", "f"]


async def test_expect_100_continue_is_answered() -> None:
    """A sender that waits for permission gets it."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        head, _, body = post(line("a"), b"Expect: 100-continue").partition(b"\r\n\r\n")
        await sender.send(head + b"\r\n\r\n")
        assert (await sender.reply()).status == 100
        await sender.send(body)
        assert (await sender.reply()).status == 200


# --- refusals ----------------------------------------------------------------------------


@attrs.frozen
class Bad:
    """A bad request: its bytes, and the expected answer."""

    name: str
    request: bytes
    status: int
    says: str
    eof: bool = False
    """The sender closes its end after these bytes."""


def bad_requests() -> Sequence[Bad]:
    ok, a = AUTHORIZED.strip(), line("a")
    packed, bomb = gzip.compress(line("x") * 50), gzip.compress(bytes(50 << 20))
    gz, deflate = b"Content-Encoding: gzip", b"Content-Encoding: deflate"
    head = b"POST / HTTP/1.1\r\nHost: drain\r\n" + AUTHORIZED
    both = AUTHORIZED + b"Content-Length: 5\r\n"
    coding, length = head + b"Transfer-Encoding: ", head + b"Content-Length: "
    close = b"\r\nConnection: close\r\n\r\n"
    export = b"Content-Type: application/vnd.fdo.journal"
    most, names = "100,000 bytes", "gzip, deflate"
    return [
        Bad("no token", post(a), 401, "token"),
        Bad("wrong token", post(a, b"Authorization: Bearer secreT"), 401, "token"),
        Bad("a part of the token", post(a, b"Authorization: Bearer secre"), 401, "token"),
        Bad("wrong scheme", post(a, b"Authorization: Digest secret"), 401, "token"),
        Bad("no base64", post(a, b"Authorization: Basic secret"), 401, "token"),
        Bad("a token as the user", post(a, basic(b"secret:")), 401, "token"),
        Bad("token in the address", post(a, target=b"/?token=secret"), 401, "not read"),
        Bad("token that is no text", post(a, b"Authorization: Bearer \xff\xfe"), 401, "token"),
        Bad("PUT", post(a, ok).replace(b"POST", b"PUT"), 405, "POST"),
        Bad("DELETE", b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "POST"),
        Bad("brotli", post(a, ok, b"Content-Encoding: br"), 415, names),
        Bad("gzip twice", post(packed, ok, gz + b", gzip"), 415, names),
        Bad("msgpack", post(a, ok, b"Content-Type: application/msgpack"), 415, "application/json"),
        Bad("export format", post(b"__CURSOR=s=1\nMESSAGE=x\n\n", ok, export), 415, "journal"),
        Bad("export format unsaid", post(b"__CURSOR=s=1\nMESSAGE=x\n\n", ok), 415, "journal"),
        Bad("unknown charset", post(a, ok, b"Content-Type: text/plain; charset=x"), 415, "charset"),
        Bad("nothing to take", post(b"[5]\n[6]", ok), 400, "[5]"),
        Bad("gzip unsaid", post(packed, ok), 415, "Content-Encoding: gzip"),
        Bad("not gzip", post(a, ok, gz), 400, "Content-Encoding: gzip"),
        Bad("truncated gzip", post(packed[:-9], ok, gz), 400, "ends early"),
        Bad("gzip and more", post(packed + b"more", ok, gz), 400, "Content-Encoding: gzip"),
        Bad("truncated deflate", post(zlib.compress(a)[:-4], ok, deflate), 400, "ends early"),
        Bad("bomb", post(bomb, ok, gz), 413, most),
        Bad("too many lines", post(b"x\n" * 1_001, ok), 413, "1,000 lines"),
        Bad("too many values", post(b"[" + b"1," * 1_000 + b"1]", ok), 413, "1,000 lines"),
        Bad("bomb, chunked", chunked(bomb, headers=AUTHORIZED + gz + b"\r\n"), 413, most),
        Bad("too large", post(a.ljust(LIMIT + 1), ok), 413, most),
        Bad("too large, chunked", chunked(a.ljust(LIMIT + 1), headers=AUTHORIZED), 413, most),
        Bad("too large, announced", length + b"99999999999\r\n\r\n", 413, most),
        Bad("Content-Length too long", length + b"99\r\n\r\n" + a, 400, "received", eof=True),
        Bad("Content-Length too short", length + b"9" + close + a, 400, "ends early"),
        Bad("Content-Length no number", length + b"ten\r\n\r\n", 400, "Content-Length"),
        Bad("Content-Length negative", length + b"-1\r\n\r\n", 400, "Content-Length"),
        Bad("two Content-Lengths", length + b"5\r\nContent-Length: 6\r\n\r\n", 400, "Length"),
        Bad("a length and chunks", chunked(a, headers=both), 400, "not both"),
        Bad("unknown Transfer-Encoding", coding + b"gzip\r\n\r\n", 400, "Transfer-Encoding"),
        Bad("bad chunk size", coding + b"chunked\r\n\r\nzz\r\n", 400, "chunk"),
        Bad("no last chunk", chunked(a, headers=AUTHORIZED, end=b""), 400, "chunked", eof=True),
        Bad("JSON that ends early", post(b"[" + a + b"," + a[:-4], ok), 400, "ends early"),
        Bad("NDJSON that ends early", post(a + b"\n" + a[:-4], ok), 400, "ends early"),
        Bad("a body that stops", post(a + b"\n" + a, ok)[:-9], 408, "within 0.3 s"),
        Bad("a body that stops, closed", post(a + b"\n" + a, ok)[:-9], 400, "received", eof=True),
        Bad("a body that never starts", length + b"9\r\n\r\n", 408, "within 0.3 s"),
        Bad("headers that stop", head, 408, "within 0.3 s"),
        Bad("headers that stop, closed", head, 400, "closed", eof=True),
        Bad("headers without end", head + b"X: " + b"x" * 20_000, 400, "too long"),
        Bad("a header that is none", head + b"no colon\r\n\r\n", 400, "header"),
        Bad("no HTTP", b"hello\r\n\r\n", 400, "HTTP"),
        Bad("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20), 400, "HTTP"),
    ]


@pytest.mark.parametrize("bad", bad_requests(), ids=lambda bad: bad.name)
async def test_a_bad_request_is_told_what_to_change_and_delivers_nothing(bad: Bad) -> None:
    """A bad request delivers nothing, and the next request works."""
    collector = LogCollector()
    limits = DrainLimits(max_body=LIMIT, max_lines=1_000, headers_within=0.3, body_within=0.3)
    async with (
        open_hub() as hub,
        LogDrainServer(collector, tokens=TOKENS, hub=hub, limits=limits) as server,
    ):
        with collector.subscribe("m1") as lines:
            async with connect(server) as sender:
                await sender.send(bad.request)
                if bad.eof:
                    await sender.stream.send_eof()
                reply = await sender.reply()
                assert reply.status == bad.status
                assert list(reply.json) == ["error"]
                assert bad.says.lower() in reply.json["error"].lower()
                assert ("www-authenticate" in reply.headers) == (bad.status == 401)
                assert ("allow" in reply.headers) == (bad.status == 405)
            assert waiting(lines) == []
            assert hub.statistics().published == 0
            assert server.statistics().accepted == 0
            assert server.statistics().answers == {bad.status: 1}

            reply = await exchange(server, post(line("next"), AUTHORIZED.strip()))
            assert (reply.status, waiting(lines)) == (200, ["next"])
            assert hub.statistics().published == 1


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 100001",
        b"Content-Length: 9\r\nContent-Encoding: br",
        b"Content-Length: 9\r\nAuthorization: Bearer wrong",
    ],
)
async def test_a_sender_that_asks_first_is_refused_before_it_sends(header: bytes) -> None:
    """With `Expect: 100-continue`, the refusal comes in place of the permission."""
    limits = DrainLimits(max_body=LIMIT)
    async with LogDrainServer(LogCollector(), tokens=TOKENS, limits=limits) as server:
        authorized = b"" if b"Authorization" in header else AUTHORIZED
        head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + authorized + header
        async with connect(server) as sender:
            await sender.send(head + b"\r\n\r\n")
            reply = await sender.reply()
            assert reply.status in (401, 413, 415)
            assert reply.headers["connection"] == "close"


async def test_a_sender_of_far_too_much_still_sees_why() -> None:
    """The answer comes early, and the drain reads on, so that the answer is not lost."""
    limits = DrainLimits(max_body=LIMIT)
    async with LogDrainServer(LogCollector(), limits=limits) as server, connect(server) as sender:
        size = 8 << 20
        await sender.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        await sender.send(bytes(size))
        assert (await sender.reply()).status == 413
        assert await sender.closed()


async def test_a_refusal_keeps_the_connection_where_the_request_has_come_whole() -> None:
    """A sender with a bad batch need not connect again for its next batch."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        for bad in (post(b"[5]"), post(line("a"), b"Content-Encoding: br")):
            await sender.send(bad)
            reply = await sender.reply()
            assert reply.status in (400, 415)
            assert "connection" not in reply.headers
        await sender.send(post(line("a")))
        assert (await sender.reply()).status == 200


async def test_a_batch_that_failed_half_way_and_is_sent_again_is_delivered_once() -> None:
    """A batch that a broken connection cut is not delivered, and its repeat is."""
    collector = LogCollector()
    body = b"\n".join(line(str(number)) for number in range(1_000))
    async with open_hub() as hub, LogDrainServer(collector, hub=hub) as server:
        with collector.subscribe("m1") as lines:
            for cut in (len(post(body)) // 2, -1):
                async with connect(server) as sender:
                    await sender.send(post(body)[:cut])
            assert (await exchange(server, post(body))).json["accepted"] == 1_000
            assert waiting(lines) == [str(number) for number in range(1_000)]
            assert hub.statistics().published == 1_000


async def test_a_sender_that_is_told_503_and_comes_back_loses_nothing() -> None:
    """A sender beyond the limit of requests gets a 503 and the time to retry."""
    collector = LogCollector()
    async with LogDrainServer(collector, limits=DrainLimits(max_requests=1)) as server:
        with collector.subscribe("m1") as lines:
            async with connect(server) as first, connect(server) as second:
                await first.send(post(line("first"))[:-1])
                await in_flight(server)
                await second.send(post(line("second")))
                reply = await second.reply()
                assert (reply.status, reply.headers["retry-after"]) == (503, "2")
                assert "again" in reply.json["error"]
                await first.send(post(line("first"))[-1:])
                assert (await first.reply()).status == 200
                await second.send(post(line("second")))
                assert (await second.reply()).status == 200
            assert waiting(lines) == ["first", "second"]


async def test_one_connection_too_many_is_turned_away_at_once() -> None:
    """A connection beyond the limit gets a 503, and the other connections go on."""
    limits = DrainLimits(max_connections=1)
    async with LogDrainServer(LogCollector(), limits=limits) as server, connect(server) as first:
        await first.send(post(line("a")))
        assert (await first.reply()).status == 200
        async with connect(server) as second:
            reply = await second.reply()
            assert (reply.status, reply.headers["connection"]) == (503, "close")
            assert await second.closed()
        await first.send(post(line("a")))
        assert (await first.reply()).status == 200


async def test_an_idle_connection_is_closed_in_the_end() -> None:
    """An idle connection gets no answer, because it made no request."""
    async with LogDrainServer(LogCollector(), limits=DrainLimits(idle_within=0.1)) as server:
        async with connect(server) as sender:
            await sender.send(post(line("a")))
            assert (await sender.reply()).status == 200
            assert await sender.closed()
        assert server.statistics().answers == {200: 1}


async def test_a_connection_on_which_nothing_is_sent_is_closed_sooner() -> None:
    """A client cannot hold connections for long by merely opening them."""
    async with LogDrainServer(LogCollector(), limits=DrainLimits(headers_within=0.1)) as server:
        async with connect(server) as sender:
            assert await sender.closed()
        assert server.statistics().answers == {}


async def test_a_sender_that_never_reads_is_given_up() -> None:
    """The connection of a sender whose answers find no room is ended."""
    async with LogDrainServer(LogCollector()) as server, connect(server) as sender:
        sender.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        requests = post(line("x")) * 1_000
        with trio.fail_after(30), pytest.raises(trio.BrokenResourceError):
            await sender.send(requests * 100)


# --- life --------------------------------------------------------------------------------


async def test_the_port_is_known_while_it_listens() -> None:
    """`actual_port` and `url` are None before and after, and the server can run again."""
    server = LogDrainServer(LogCollector())
    for _ in range(2):
        assert (server.actual_port, server.url) == (None, None)
        async with server:
            assert server.actual_port
            assert server.url == f"http://127.0.0.1:{server.actual_port}"
            assert (await exchange(server, post(line("a")))).status == 200
    assert (server.actual_port, server.url) == (None, None)


async def test_serve_reports_readiness_once_the_port_is_bound() -> None:
    """`await nursery.start(server.serve)` is the other way to run it."""
    collector = LogCollector()
    server = LogDrainServer(collector)
    with collector.subscribe("m1") as lines:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            assert (await exchange(server, post(line("a")))).status == 200
            with pytest.raises(RuntimeError, match="already"):
                await server.serve()
            nursery.cancel_scope.cancel()
        assert server.actual_port is None
        assert await drain_channel(lines) == ["a"]


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]"), ("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")]
)
async def test_the_url_is_one_that_works(host: str, shown: str) -> None:
    """The host of the URL can be connected to, and IPv6 addresses are bracketed."""
    try:
        async with (
            LogDrainServer(LogCollector(), host=host) as server,
            httpx.AsyncClient() as client,
        ):
            assert server.url == f"http://{shown}:{server.actual_port}"
            assert (await client.get(server.url)).status_code == 200
    except ListenError as error:
        if host == "::1":
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:99"), ("::", "http://[::1]:99")]
)
def test_the_url_of_every_address_is_this_machine(host: str, url: str) -> None:
    """The URL of an address that cannot be connected to names this machine."""
    server = LogDrainServer(LogCollector(), host=host)
    server._actual_port = 99
    assert server.url == url


async def test_a_taken_port_is_one_sentence() -> None:
    """The error names the address, and nothing was started."""
    async with LogDrainServer(LogCollector()) as first:
        assert first.actual_port is not None
        second = LogDrainServer(LogCollector(), port=first.actual_port)
        with pytest.raises(ListenError, match=f"127.0.0.1:{first.actual_port} is taken"):
            async with second:
                raise AssertionError("it must not start")
        with pytest.raises(ListenError, match="taken"):
            await second.serve()
        assert second.actual_port is None


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), ExceptionGroup("mine", [ValueError()])]
)
async def test_the_blocks_own_exception_leaves_as_it_is(error: BaseException) -> None:
    """A block's exception is not wrapped in a group, and the server has closed before."""
    server = LogDrainServer(LogCollector())
    with pytest.raises(type(error)) as caught:
        async with open_hub() as hub, server:
            raise error
    assert caught.value is error
    assert server.actual_port is None
    with pytest.raises(type(error)) as caught:
        async with open_hub() as hub:
            raise error
    assert caught.value is error
    assert hub._fan_out.is_closing


async def test_an_interrupt_in_a_task_of_the_server_leaves_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C in any task of the server leaves the block unwrapped."""

    def interrupt(run: object) -> None:
        raise KeyboardInterrupt

    server = LogDrainServer(LogCollector())
    monkeypatch.setattr(server._intake, "route", interrupt)

    async def send() -> None:
        async with server, connect(server) as sender:
            await sender.send(post(line("a")))
            await trio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        await send()
    assert server.actual_port is None


async def test_a_server_that_runs_cannot_be_entered_again() -> None:
    """Entering a running server raises, and the server goes on."""
    server = LogDrainServer(LogCollector())
    async with server:
        with pytest.raises(RuntimeError, match="running already"):
            async with server:
                raise AssertionError("it must not start")
        assert (await exchange(server, post(line("a")))).status == 200
    assert server.actual_port is None
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        with pytest.raises(RuntimeError, match="running already"):
            await server.__aenter__()
        nursery.cancel_scope.cancel()
    async with server:
        assert (await exchange(server, post(line("a")))).status == 200


async def test_cancelling_the_block_closes_the_server(autojump_clock: object) -> None:
    """A cancellation from outside passes through the block."""
    server = LogDrainServer(LogCollector())
    with trio.move_on_after(1) as scope:
        async with server:
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert server.actual_port is None
    with trio.CancelScope() as scope:
        scope.cancel()
        await server.serve()
    assert scope.cancelled_caught
    assert server.actual_port is None


async def test_leaving_ends_every_stream() -> None:
    """The streams of all machines end after their queued lines when the server's block ends."""
    collector = LogCollector()
    with collector.subscribe("m1") as lines, collector.subscribe("m2") as others:
        async with LogDrainServer(collector) as server:
            await exchange(server, post(line("last")))
        with trio.fail_after(5):
            assert await drain_channel(lines) == ["last"]
            assert await drain_channel(others) == []


async def test_leaving_finishes_the_requests_in_flight() -> None:
    """While it closes, the drain accepts no connection and answers others with 503."""
    collector = LogCollector()
    server = LogDrainServer(collector, grace=20)
    left = trio.Event()

    async def run(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            async with server:
                task_status.started(scope)
                await trio.sleep_forever()
        left.set()

    with collector.subscribe("m1") as lines:
        async with trio.open_nursery() as nursery:
            scope = await nursery.start(run)
            port = server.actual_port
            assert port is not None
            async with connect(server) as busy, connect(server) as idle, connect(server) as silent:
                for sender in (idle, silent):
                    await sender.send(post(line("a")))
                    assert (await sender.reply()).status == 200
                await busy.send(post(line("b"))[:-1])
                await in_flight(server)
                scope.cancel()
                with trio.fail_after(5):
                    while True:
                        try:
                            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                        except OSError:
                            break
                assert not left.is_set()

                await idle.send(post(line("c")))
                reply = await idle.reply()
                assert reply.status == 503
                assert reply.headers["retry-after"]
                assert await idle.closed()

                await busy.send(post(line("b"))[-1:])
                reply = await busy.reply()
                assert (reply.status, reply.headers["connection"]) == (200, "close")
                with trio.fail_after(5):
                    await left.wait()
                assert await silent.closed()
        assert await drain_channel(lines) == ["a", "a", "b"]


async def test_leaving_does_not_wait_longer_than_its_grace() -> None:
    """A sender that has stopped half-way holds up the closing for the grace at most."""
    async with AsyncExitStack() as stack:
        async with LogDrainServer(LogCollector(), grace=0.2) as server:
            sender = await stack.enter_async_context(connect(server))
            await sender.send(post(line("a"))[:-1])
            await in_flight(server)
            start = trio.current_time()
        assert 0.19 <= trio.current_time() - start < 5
        assert await sender.closed()


class SlowHub(Hub):
    """A hub that publishes slowly, so that a test can act in the middle of a delivery."""

    def __init__(self) -> None:
        super().__init__()
        self.began = trio.Event()
        self.published = 0

    async def publish(
        self,
        entries: Sequence[LogEntry],
        receipt: object = None,
        *,
        arrivals: Sequence[int] | None = None,
        counted: Container[int] = (),
    ) -> None:
        self.began.set()
        await trio.sleep(0.1)
        self.published += len(entries)


async def test_a_delivery_once_begun_is_finished_and_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that is being delivered after the grace is finished, to avoid a repeat."""
    monkeypatch.setattr(drain, "FINISHING", 10_000)
    hub = SlowHub()
    body = b"\n".join([line("x")] * 3_500)
    async with trio.open_nursery() as nursery:
        server = LogDrainServer(LogCollector(), hub=hub, grace=0.01)
        await nursery.start(server.serve)
        async with connect(server) as sender:
            await sender.send(post(body))
            with trio.fail_after(5):
                await hub.began.wait()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                reply = await sender.reply()
    assert (reply.status, reply.json["accepted"], hub.published) == (200, 3_500, 3_500)


async def closing(server: LogDrainServer, began: trio.Event, body: bytes) -> Reply:
    """Return the answer to a body; leave the server as soon as `began` is set."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        async with connect(server) as sender:
            await sender.send(post(body))
            with trio.fail_after(5):
                await began.wait()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                reply = await sender.reply()
    return reply


async def test_a_delivery_does_not_hold_the_closing_for_ever() -> None:
    """A stuck delivery is cut off, and its sender knows that a part was accepted."""

    class StuckHub(SlowHub):
        async def publish(self, entries: Sequence[LogEntry], *more: Any, **others: Any) -> None:
            self.began.set()
            await trio.sleep_forever()

    hub = StuckHub()
    server = LogDrainServer(LogCollector(), hub=hub, grace=0.1)
    reply = await closing(server, hub.began, b"\n".join([line("x")] * 300))
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert reply.headers["connection"] == "close"
    assert "a part of it was taken" in reply.json["error"]
    assert server.statistics().accepted == 0


PARSING = 8.0
"""Seconds that a thread takes for a body, far more than closing may take."""


async def test_after_the_grace_no_delivery_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing does not wait for a body whose parsing outlasts the grace period.

    The body is not handed on, and its sender is told so.
    """
    began = trio.Event()
    released = threading.Event()
    started = time.monotonic()

    def slow(body: bytes, **more: Any) -> ParsedBody:
        trio.from_thread.run_sync(began.set)
        released.wait(PARSING)
        return parse_body(body, **more)

    monkeypatch.setattr(intake, "parse_body", slow)
    async with open_hub() as hub:
        server = LogDrainServer(LogCollector(), hub=hub, grace=0.01)
        reply = await closing(server, began, line("x").ljust(intake.QUICK_BYTES))
        took = time.monotonic() - started
        released.set()
        assert reply.status == 503
        assert "nothing of it was taken" in reply.json["error"]
        assert took < PARSING
        assert hub.statistics().published == 0


async def test_after_the_grace_no_large_body_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body that waits for another one when the drain closes is neither parsed nor lost."""
    hub = SlowHub()
    parsed: list[int] = []

    def counting(body: bytes, **more: Any) -> ParsedBody:
        parsed.append(len(body))
        return parse_body(body, **more)

    monkeypatch.setattr(intake, "parse_body", counting)
    large = b"\n".join([line("x" * 100)] * 3_000)
    replies: list[Reply] = []
    async with trio.open_nursery() as senders:

        async def send() -> None:
            async with connect(server) as sender:
                await sender.send(post(large))
                replies.append(await sender.reply())

        async with LogDrainServer(LogCollector(), hub=hub, grace=0.01) as server:
            senders.start_soon(send)
            with trio.fail_after(5):
                await hub.began.wait()
                senders.start_soon(send)
                while server.statistics().requests < 2:
                    await trio.sleep(0.001)
    assert [reply.status for reply in replies] == [503, 503]
    told = sorted("nothing of it was taken" in reply.json["error"] for reply in replies)
    assert told == [False, True]
    assert parsed == [len(large)]


@pytest.mark.parametrize("form", ["lines", "array", "junk"])
async def test_a_large_body_holds_up_no_other_task(form: str) -> None:
    """While the largest body that is allowed is parsed, another task is never late for long."""
    count = MAX_LINES - 1
    body = {
        "lines": b"\n".join([line("x" * 40)] * count),
        "array": b"[" + b",".join([line("x" * 40)] * count) + b"]",
        "junk": line("x") + b"\n{}" * count,
    }[form]
    late: list[float] = []

    async def watch() -> None:
        while True:
            due = trio.current_time() + 0.005
            await trio.sleep_until(due)
            late.append(trio.current_time() - due)

    async with (
        open_hub() as hub,
        LogDrainServer(LogCollector(), hub=hub) as server,
        connect(server) as sender,
        trio.open_nursery() as nursery,
    ):
        await sender.send(post(body)[:-1])
        await in_flight(server)
        nursery.start_soon(watch)
        start = trio.current_time()
        with trio.fail_after(120):
            await sender.send(body[-1:])
            while not server.statistics().answers:
                await trio.sleep(0.05)
        took = trio.current_time() - start
        nursery.cancel_scope.cancel()
    assert server.statistics().answers == {200: 1}
    # Without a thread, the other task would wait for the whole parsing, most of this time.
    # On a quiet machine it is late by 0.05 s; the bound allows for other work on the machine.
    assert max(late) < took / 4


@pytest.mark.parametrize("count", [1, 3_000])
async def test_large_bodies_are_parsed_beside_the_readers(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of many lines is parsed in a thread, and one of few lines where it arrives."""
    threads: list[bool] = []

    def spy(body: bytes, **more: Any) -> ParsedBody:
        result = parse_body(body, **more)
        threads.append(threading.current_thread() is not threading.main_thread())
        return result

    monkeypatch.setattr(intake, "parse_body", spy)
    async with LogDrainServer(LogCollector()) as server:
        reply = await exchange(server, post(b"\n".join([line("x")] * count)))
    assert (reply.status, reply.json["accepted"]) == (200, count)
    assert threads == [count > intake.QUICK_LINES]


async def test_a_sender_that_disconnects_during_the_delivery_does_not_cut_it() -> None:
    """A batch is delivered whole, although its sender disconnects during the delivery."""
    hub = SlowHub()
    async with LogDrainServer(LogCollector(), hub=hub, grace=10) as server:
        async with connect(server) as sender:
            await sender.send(post(b"\n".join([line("x")] * 3_500)))
            with trio.fail_after(5):
                await hub.began.wait()
        assert hub.published < 3_500
    assert hub.published == 3_500


class CrowdedJournal:
    """A `Storage` that accepts entries once it has room, and stores them only then."""

    def __init__(self) -> None:
        self.asked, self.room, self.stored = trio.Event(), trio.Event(), trio.Event()
        self.keys: list[str] = []
        self.entries: list[tuple[LogEntry, Receipt | None]] = []

    def open_receipt(self, key: str) -> CrowdedJournal:
        self.keys.append(key)
        return self

    async def confirmed(self) -> None:
        await self.stored.wait()

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        self.asked.set()
        await self.room.wait()
        self.entries += [(entry, receipt) for entry in entries]


async def test_a_sender_waits_while_the_journal_is_crowded_and_until_it_has_stored() -> None:
    """A body of one line waits too, and its receipt has the sender's name of the batch."""
    journal = CrowdedJournal()
    async with (
        LogDrainServer(LogCollector(), journal=journal) as server,
        connect(server) as sender,
    ):
        await sender.send(post(line("x"), b"Idempotency-Key: seven"))
        with trio.fail_after(5):
            await journal.asked.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (journal.keys, journal.entries) == (["seven"], [])
        journal.room.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert [receipt for _, receipt in journal.entries] == [journal]
        assert server.statistics().accepted == 0
        journal.stored.set()
        assert (await sender.reply()).json["accepted"] == 1


async def test_a_large_batch_reaches_the_hub_in_runs() -> None:
    """Other tasks, and other senders, run between the runs of a batch."""
    sizes: list[int] = []

    class CountingHub(Hub):
        async def publish(
            self,
            entries: Sequence[LogEntry],
            receipt: object = None,
            *,
            arrivals: Sequence[int] | None = None,
            counted: Container[int] = (),
        ) -> None:
            sizes.append(len(entries))
            await super().publish(entries)

    async with LogDrainServer(LogCollector(), hub=CountingHub()) as server:
        await exchange(server, post(b"\n".join([line("x")] * 5_500)))
    assert sum(sizes) == 5_500
    assert max(sizes) == 1_000


async def test_the_figures_are_kept() -> None:
    """Answers, lines, bytes and failures are counted, and the state is up when it listens."""
    announced: list[str] = []
    status = SourceStatus("drain", lambda message, type: announced.append(message))
    async with LogDrainServer(LogCollector(), status=status) as server:
        assert status.state is SourceState.UP
        assert announced == [f"Taking logs on {server.url}, from this machine alone"]
        body = line("a") + b"\n{}\n" + line("b")
        await exchange(server, post(body))
        await exchange(server, post(b"[1,"))
        statistics = server.statistics()
        assert statistics.answers == {200: 1, 400: 1}
        assert statistics.accepted == 2
        assert statistics.dropped == {"no_machine": 1}
        assert (status.lines, status.bytes, status.parse_failures) == (2, len(body), 1)
        assert status.lost == 1
        assert time.time() - status.last_line < 5


def test_it_says_at_start_who_can_send(caplog: pytest.LogCaptureFixture) -> None:
    """Without a token the log says that only this machine can send, or warns of every sender."""
    with caplog.at_level(logging.INFO):
        LogDrainServer(LogCollector())._announce("127.0.0.1")
        LogDrainServer(LogCollector())._announce("0.0.0.0")
        LogDrainServer(LogCollector(), tokens=["t"])._announce("0.0.0.0")
    local, public, guarded = caplog.records
    assert (local.levelname, public.levelname, guarded.levelname) == ("INFO", "WARNING", "INFO")
    assert "this machine alone" in local.message
    assert "every sender that reaches it" in public.message
    assert "token" not in guarded.message


async def test_a_fault_of_ours_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is logged and ends one connection, and the next sender is served."""
    async with LogDrainServer(LogCollector()) as server:
        with monkeypatch.context() as patch:
            patch.setattr(server._intake, "route", lambda run: 1 / 0)
            async with connect(server) as sender:
                await sender.send(post(line("a")))
                assert await sender.closed()
        assert "ZeroDivisionError" in caplog.text
        assert (await exchange(server, post(line("a")))).status == 200


def test_the_library_loads_neither_nats_nor_the_web() -> None:
    """Importing the library does not load asyncio either."""
    names = "LogDrainServer, LogCollector, LogStream, drain_channel, parse_log_entry, open_hub"
    program = f"from natstream import {names}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    foreign = {"nats", "trio_asyncio", "asyncio", "quart", "hypercorn", "httpx", "structlog"}
    assert foreign & {*done.stdout.split()} == set()
