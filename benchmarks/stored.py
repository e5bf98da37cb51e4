"""Lines that are stored in a journal before a measurement, and reading some of them back.

The lines are stored in natstream's format, but without the service. Their kinds differ from those
of `publisher.py`, so that a measurement knows which lines a filter for one kind has to find.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

import attrs
import httpx
import trio
from tests.support.loopback import HOST
from tests.support.processes import BenchmarkError

from benchmarks.lines import KINDS, STAMP, stamp_all, templates
from natstream.demo.nats_server import NatsServer
from natstream.errors import NatstreamError
from natstream.journal.jetstream import JetStream
from natstream.journal.stream_config import StreamConfig
from natstream.nats.connection import Login, NatsConnection

__all__ = [
    "MACHINES",
    "Reading",
    "fill",
    "journal_settings",
    "message",
    "message_templates",
    "open_journal",
    "read_back",
]

STREAM = "natstream"
# Each machine has a word of its own. Of 1,000,000 lines, 500 are of one machine.
MACHINES = 2_000
# Bytes of a line in the stream, generously, so that the stream drops no line to make room.
STORED_SIZE = 1_000
# Lines that may be sent and not yet acknowledged.
WINDOW = 5_000
RUN = 1_000
# Seconds for one reading of any size; a service that takes longer will never answer.
DEADLINE = 300.0


@asynccontextmanager
async def open_journal() -> AsyncIterator[NatsServer]:
    """Run a nats-server with JetStream and an empty store in files."""
    with TemporaryDirectory(prefix="bench-") as store:
        async with NatsServer.open(user="journal", jetstream={"store_dir": store}) as server:
            yield server


def journal_settings(journal: NatsServer) -> dict[str, str]:
    """Return the settings with which natstream uses this journal."""
    return {
        "NATSTREAM_JOURNAL_URL": journal.url,
        "NATSTREAM_JOURNAL_USER": journal.user,
        "NATSTREAM_JOURNAL_PASSWORD": journal.password,
        "NATSTREAM_JOURNAL_STREAM": STREAM,
    }


async def fill(journal: NatsServer, count: int) -> None:
    """Store `count` lines, of which line n is of the machine `n % MACHINES`.

    Raises:
        BenchmarkError: a line was not stored.
    """
    login = Login([journal.url], journal.user, journal.password)
    acknowledged, refused, progress = 0, b"", trio.Event()

    def on_ack(_: int, payload: bytes, headers: bytes) -> None:
        nonlocal acknowledged, refused
        acknowledged += 1
        if not payload.startswith(b'{"stream":') or b'"duplicate"' in payload:
            refused = payload or headers
        progress.set()

    connection = NatsConnection(login, lambda: progress.set())
    jetstream = JetStream(connection, login.address, STREAM, on_ack)
    wires = message_templates(range(MACHINES))
    async with connection.connected(jetstream.subjects):
        try:
            size = max(2**30, count * STORED_SIZE)
            config = StreamConfig(name=STREAM, max_age=86_400.0, max_bytes=size, replicas=1)
            await jetstream.open_stream(config)
        except NatstreamError as error:
            raise BenchmarkError(str(error)) from error
        sent = 0
        while acknowledged < count and not refused and not connection.end:
            progress = trio.Event()
            if sent < count and sent - acknowledged < WINDOW:
                run = range(sent, min(count, sent + RUN))
                connection.send(b"".join(_publication(jetstream, wires, n) for n in run))
                sent = run.stop
            else:
                await progress.wait()
            await trio.lowlevel.checkpoint()
        if acknowledged < count:
            raise BenchmarkError(f"the journal does not take the lines: {refused!r}")


def message_templates(machines: Iterable[int]) -> list[bytes]:
    """Return one template for each machine, for `message`."""
    return templates(
        lambda subject, _, payload: b"%b %b" % (subject.encode(), payload),
        [KINDS + machine for machine in machines],
    )


def message(wires: list[bytes], number: int) -> tuple[str, bytes]:
    """Return the subject and the payload of the line with this number."""
    subject, _, payload = stamp_all(wires, number, number + 1).partition(b" ")
    return subject.decode(), payload


def _publication(jetstream: JetStream, wires: list[bytes], number: int) -> bytes:
    subject, payload = message(wires, number)
    # The id has the length of those that natstream derives from lines.
    return jetstream.publication(number, subject, f"{number:030x}", payload)


@attrs.frozen
class Reading:
    """The result of one reading. Times are in seconds since the request."""

    first: float
    last: float
    found: int
    expected: int
    wrong: int
    """Number of lines that were missing, doubled, out of order or of another machine, and gaps."""


async def read_back(port: int, query: str, machine: int, count: int) -> Reading:
    """Read all stored lines of one machine, out of `count` lines.

    Args:
        query: a filter for the machine; `{n}` stands for the number of its kind.

    Raises:
        BenchmarkError: there is no answer, or it does not end.
    """
    url = f"http://{HOST}:{port}/api/logs?follow=false&format=ndjson&{query}"
    numbers: list[int] = []
    first = last = 0.0
    gaps = 0
    try:
        with trio.fail_after(DEADLINE):
            async with httpx.AsyncClient(timeout=DEADLINE) as client:
                started = trio.current_time()
                async with client.stream("GET", url.format(n=KINDS + machine)) as response:
                    response.raise_for_status()
                    async for line in response.aiter_lines():
                        if match := STAMP.search(line.encode()):
                            last = trio.current_time() - started
                            first = first or last
                            numbers.append(int(match[1]))
                        gaps += '"gap":' in line
    except (httpx.HTTPError, trio.TooSlowError) as error:
        raise BenchmarkError(f"reading what is stored failed: {error!r}") from error
    expected = range(machine, count, MACHINES)
    wrong = sum(got != wanted for got, wanted in zip(numbers, expected, strict=False))
    wrong += abs(len(numbers) - len(expected)) + gaps
    return Reading(first, last, len(numbers), len(expected), wrong)
