"""Live lines over HTTP: sent as soon as the hub has them, also to clients that read slowly."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import pytest
import trio
from tests.support.event_stream import EventParser, EventStream
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.numbered import lines
from tests.support.service import open_service
from tests.support.waiting import PATIENCE

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_messages
from natstream.formats.events import SSE
from natstream.hub.fan_out import FanOut
from natstream.server.http1 import MendedH11


async def test_live_lines_take_no_step_of_the_readers_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round of lines to a waiting reader is one send in the hub's own task, and is counted."""
    sent: list[bytes] = []
    send = MendedH11.send_piece_nowait

    def send_piece_nowait(protocol: MendedH11, piece: bytes) -> None:
        sent.append(piece)
        send(protocol, piece)

    monkeypatch.setattr(MendedH11, "send_piece_nowait", send_piece_nowait)
    async with open_service() as service, service.stream() as stream:
        hub, counters = service.service.core.hub, service.service.core.metrics.counters
        before = counters.sent_lines, counters.sent_bytes
        for first in range(0, 100, 10):
            hub.publish_nowait(lines(first, 10))
            assert [event.message for event in await stream.lines(10)] == [
                str(number) for number in range(first, first + 10)
            ]
        assert counters.sent_lines - before[0] == 100
        assert counters.sent_bytes - before[1] == sum(map(len, sent))
    assert len(sent) == 10


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the runs of NATS messages that are parsed from now on."""
    runs: list[int] = []

    def parse(messages: Sequence[tuple[bytes, bytes]]) -> list[LogEntry]:
        runs.append(len(messages))
        return parse_messages(messages)

    monkeypatch.setattr("natstream.nats.source.parse_messages", parse)
    return runs


async def publish_one_by_one(server: MistreatedServer, count: int) -> list[float]:
    """Publish so many numbered lines, 3 ms apart, and return the moments."""
    moments = []
    async with server.publisher() as publisher:
        for number in range(count):
            moments.append(trio.current_time())
            await publisher.publish([("logs.web.sjc.m1", b'{"message":"%d"}' % number)])
            await trio.sleep(0.003)
    return moments


async def test_lines_of_nats_are_read_together_while_the_readers_pause(
    nats_server: MistreatedServer, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines between two rounds are parsed at once, and in time even if the loop is busy then."""
    rounds: list[tuple[float, int]] = []
    flush = FanOut._flush

    async def timed_flush(fan_out: FanOut) -> None:
        started = trio.current_time()
        await flush(fan_out)
        rounds.append((started, fan_out._timeline.current.flushed.entry))

    async def be_busy() -> None:
        while True:
            await trio.sleep(0.002)
            time.sleep(0.004)  # noqa: ASYNC251 # it is to block the event loop

    monkeypatch.setattr(FanOut, "_pause", lambda fan_out: 0.1)
    monkeypatch.setattr(FanOut, "_flush", timed_flush)
    async with (
        open_service(nats_server) as service,
        service.stream() as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(be_busy)
        moments = await publish_one_by_one(nats_server, 200)
        events = await stream.lines(200)
        nursery.cancel_scope.cancel()
    assert [event.message for event in events] == [str(number) for number in range(200)]
    assert sum(runs) == 200
    # One run for a round, and a few lines between a run and its round.
    assert len(runs) <= 4 * len(rounds)
    late = 0
    for number, sent in enumerate(moments, 1):
        # A line shortly before a round may miss it, and the last lines have no later round.
        later = [end for started, end in rounds if started > sent + 0.03]
        late += bool(later) and later[0] <= number
    assert late < 40  # of 200, because the machine may stop


async def test_lines_for_a_journal_are_not_left_for_later(
    nats_server: MistreatedServer,
    journal: JournalServer,
    runs: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines are stored as soon as they come, even while the readers pause."""
    monkeypatch.setattr(FanOut, "_pause", lambda fan_out: 0.1)
    async with (
        open_service(nats_server, **journal.environ) as service,
        service.stream() as stream,
    ):
        await publish_one_by_one(nats_server, 100)
        await stream.lines(100)
    assert sum(runs) == 100
    assert len(runs) > 25  # With pauses there would be about a dozen.


def line(number: int) -> LogEntry:
    """Return an entry of 1 KB that says its number."""
    return LogEntry("m1", f"{number} {'x' * 1_000}", "stdout")


async def test_a_client_that_reads_slowly_gets_every_line_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client whose buffers are full again and again gets 8,000 lines in order, and no comment."""
    monkeypatch.delattr(type(SSE), "keep_alive")
    # A keep-alive would come too late to send what the kernel has not accepted.
    async with (
        open_service(NATSTREAM_KEEPALIVE="300") as service,
        trio.open_nursery() as nursery,
    ):
        hub = service.service.core.hub
        bind = service.service.bind
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await sock.connect((bind.host, bind.port))

        async def publish(*, task_status: trio.TaskStatus[None]) -> None:
            for number in range(0, 8_000, 4):
                hub.publish_nowait([line(number + i) for i in range(4)])
                await trio.sleep(0.001)
                if number == 6_000:  # These are 7 MB, more than the kernel holds.
                    task_status.started()

        got: list[str] = []
        async with trio.SocketStream(sock) as connection:
            stream = EventStream(connection)
            await connection.send_all(stream.ask())
            await service.readers(1)
            await nursery.start(publish)
            with trio.fail_after(PATIENCE):
                while len(got) < 8_000:
                    got += [event.message for event in await stream.receive() if event.is_line]
        assert got == [line(number).message for number in range(8_000)]
        await service.readers(0)


async def test_a_client_of_http_1_0_gets_live_lines() -> None:
    """Its body is not in chunks, so its lines are sent by messages."""
    async with open_service() as service:
        bind = service.service.bind
        async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
            await stream.send_all(b"GET /api/logs HTTP/1.0\r\nHost: localhost\r\n\r\n")
            await service.readers(1)
            service.service.core.hub.publish_nowait(lines(1, 10))
            got = b""
            with trio.fail_after(PATIENCE):
                while got.count(b'"message":') < 11:
                    got += await stream.receive_some()
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert [event.message for event in EventParser().parse(body)][1:] == [
        str(number) for number in range(1, 11)
    ]
