"""Bodies of the drain that are small when compressed and hold millions of values."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable

import httpx
import pytest
import trio
from tests.support.bombs import BOMBS, bomb
from tests.support.loopback import HOST
from tests.support.service_process import ServiceProcess

from natstream.drain.bodies import parse_body
from natstream.drain.otlp_json import parse_otlp_json
from natstream.drain.parsed import MAX_LINES
from natstream.entries.fly import Origin
from natstream.errors import BadBody

SIZE = 1 << 20
# Times the size of the body: copies of its parts, and positions of the lines in it.
COPIES = 12

PLACES: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda value: value,
    "in lines": lambda value: value + b"\n" + value,
    "beside a text": lambda value: b"started\n" + value + b"\ndone",
    "one after the other": lambda value: value + value,
    "over lines": lambda value: value.replace(b",", b",\n", 100),
    "in an array": lambda value: b"[%b,%b]" % (value, value),
    "in a batch": lambda value: b'{"logs":[%b]}' % value,
    "around a batch": lambda value: value.replace(b'"message":"m"', b'"logs":[{"msg":"m"}]'),
    "in a document": lambda value: b'{"data":[{"attributes":%b}]}' % value,
    "with a fault": lambda value: value[:-1] + b',"n":NaN}',
    "with half a character": lambda value: value[:-1] + b',"n":"\\ud800"}',
    "with broken text": lambda value: value[:-1] + b',"n":"\xff"}',
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", BOMBS)
def test_a_body_of_many_values_takes_little_memory(kind: str, place: str) -> None:
    """The memory of a body is bounded by its size, wherever its millions of values stand."""
    parts = 2 if place in ("in lines", "beside a text", "in an array") else 1
    body = PLACES[place](bomb(kind, SIZE // parts))
    tracemalloc.start()
    try:
        parsed = parse_body(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert parsed.entries
    assert peak < COPIES * len(body)


@pytest.mark.parametrize(
    "around",
    [
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"a":%b}]}]}]}',
        b'{"resourceLogs":[{"resource":{"a":%b},"scopeLogs":[]}]}',
        b'{"resourceLogs":[],"a":%b}',
        b'{"a":%b}',
    ],
)
@pytest.mark.parametrize("kind", BOMBS)
def test_records_of_many_values_take_little_memory(kind: str, around: bytes) -> None:
    """The memory of a body of OpenTelemetry's is bounded by its size, even if it is refused."""
    body = around % bomb(kind, SIZE)
    tracemalloc.start()
    try:
        parse_otlp_json(body, origin=Origin(), needs_machine=False, max_lines=MAX_LINES)
    except BadBody:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < COPIES * len(body)


@pytest.mark.parametrize("kind", ["objects", "lists"])
async def test_the_service_stays_up(kind: str) -> None:
    """Sixteen bodies of 16 MiB at once are taken, while the service's health is answered."""
    body = gzip.compress(bomb(kind, (16 << 20) - 200), mtime=0)
    longest = 0.0
    statuses = []
    async with ServiceProcess.open() as service, httpx.AsyncClient(timeout=60) as client:
        before = service.resident
        service.forget_peak()

        async def post() -> None:
            response = await client.post(
                f"http://{HOST}:{service.drain_port}/",
                content=body,
                headers={"Content-Encoding": "gzip"},
            )
            statuses.append(response.status_code)

        async def watch_health() -> None:
            nonlocal longest
            while True:
                started = time.monotonic()
                status, _ = await service.get("/healthz")
                assert status == 200
                longest = max(longest, time.monotonic() - started)
                await trio.sleep(0.05)

        async with trio.open_nursery() as watching:
            watching.start_soon(watch_health)
            async with trio.open_nursery() as posting:
                for _ in range(16):
                    posting.start_soon(post)
            watching.cancel_scope.cancel()
        peak = service.peak
    assert statuses == [200] * 16
    assert peak - before < 200
    assert longest < 1.5


@pytest.mark.parametrize(
    "name", ["app", "machine_id", "host", "level", "region", "stream", "timestamp"]
)
@pytest.mark.parametrize("size", [3_000, 4_000_000])
def test_a_long_name_takes_no_more_memory_than_it_counts(name: str, size: int) -> None:
    """The names of an entry are short, because the backlog counts its message and its payload."""
    body = b'{"message":"m","%b":"%b"}\n' % (name.encode(), "é😀".encode() * (size // 6))
    tracemalloc.start()
    try:
        entries = [
            entry
            for _ in range(5)
            for entry in parse_body(body, needs_machine=False, max_lines=MAX_LINES).entries
        ]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(entries) == 5
    assert taken < 2 * sum(entry.cost for entry in entries) + 100_000
