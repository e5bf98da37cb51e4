"""Readers of the real service get comments in time while the journal's server answers nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from tests.support.journal_server import JournalServer
from tests.support.loopback import HOST
from tests.support.payloads import payload
from tests.support.service import open_service
from tests.support.waiting import until

from natstream.hub.hub import Hub

STORED = 3_000
KEEPALIVE = 1.0


def far_back(hub: Hub, number: int) -> str:
    """Return the id of a line of the journal's, which need not be in memory."""
    return f"{hub.backlog.newest_ms}-{hub.epoch}-{number}"


@pytest.mark.parametrize(
    ("query", "last_event_id"),
    [
        ("?tail=2500", None),
        ("?tail=10&app=nothing", None),
        ("?since=1h", None),
        ("", lambda hub: far_back(hub, 10)),
        ("", lambda hub: far_back(hub, STORED + 10)),
        ("", lambda hub: "1-00ff00ff-7"),
    ],
    ids=["tail", "rare tail", "since", "far catch-up", "ahead of memory", "another epoch"],
)
async def test_comments_come_every_second_while_the_journal_is_frozen(
    query: str, last_event_id: Callable[[Hub], str] | None, journal: JournalServer
) -> None:
    """A reader that waits for the archive gets a comment every second, until it goes on."""
    few = {"NATSTREAM_BACKLOG_LINES": "1000", "NATSTREAM_KEEPALIVE": str(KEEPALIVE)}
    async with open_service(**journal.environ | few) as service:
        await service.state("journal", "up")
        hub = service.service.core.hub
        async with journal.publisher() as publisher:
            await publisher.publish(
                ("natstream.logs.web.iad.m1", payload(f"m1 {number}")) for number in range(STORED)
            )
        await until(lambda: hub.backlog.end.entry == STORED + 1)
        headers = "" if last_event_id is None else f"Last-Event-ID: {last_event_id(hub)}\r\n"
        request = f"GET /api/logs{query} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n"
        journal.pause()
        async with await trio.open_tcp_stream(HOST, service.service.bind.port) as stream:
            await stream.send_all(request.encode())
            waits = await waits_for_comments(stream)
        assert len(waits) >= 3
        assert max(waits) < 2 * KEEPALIVE
        journal.resume()


async def waits_for_comments(stream: trio.SocketStream) -> list[float]:
    """Return the seconds before each comment, until a line comes or a gap, or for 8 s."""
    waits: list[float] = []
    last = trio.current_time()
    with trio.move_on_after(8):
        while data := await stream.receive_some():
            if b'"app"' in data or (waits and b"data: " in data):
                break
            now = trio.current_time()
            if b"\n:" in data:
                waits.append(now - last)
                last = now
    return [*waits, trio.current_time() - last]
