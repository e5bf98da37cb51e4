"""Lines that are in a journal before a measurement begins, and reading some of them back.

They are stored as natstream stores them, by its own means but not by way of the service, and
are of other kinds than those that `publisher.py` sends: so it is known which of them a filter for
one kind has to find.
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
from natstream.journal.jetstream import JetStream, StreamConfig
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
# Each with a word of its own: of 1,000,000 lines, 500 are one machine's.
MACHINES = 2_000
# What one line takes in the stream, generously: none may be dropped to make room.
STORED_SIZE = 1_000
# Sent and not yet acknowledged, at the most.
WINDOW = 5_000
RUN = 1_000
# For one reading, of however much: a service that takes this long will never answer.
DEADLINE = 300.0


@asynccontextmanager
async def open_journal() -> AsyncIterator[NatsServer]:
    """A nats-server with JetStream and an empty store of its own, in files."""
    with TemporaryDirectory(prefix="bench-") as store:
        async with NatsServer.open(user="journal", jetstream={"store_dir": store}) as server:
            yield server


def journal_settings(journal: NatsServer) -> dict[str, str]:
    """What natstream is told of it."""
    return {
        "NATSTREAM_JOURNAL_URL": journal.url,
        "NATSTREAM_JOURNAL_USER": journal.user,
        "NATSTREAM_JOURNAL_PASSWORD": journal.password,
        "NATSTREAM_JOURNAL_STREAM": STREAM,
    }


async def fill(journal: NatsServer, count: int) -> None:
    """Store so many lines, the n-th of them of the machine `n % MACHINES`.

    Raises:
        BenchmarkError: they are not all stored.
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
            await jetstream.open_stream(StreamConfig(STREAM, 86_400.0, size, 1))
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
    """One template for each machine, for `message`."""
    return templates(
        lambda subject, _, payload: b"%b %b" % (subject.encode(), payload),
        [KINDS + machine for machine in machines],
    )


def message(wires: list[bytes], number: int) -> tuple[str, bytes]:
    """The subject and the payload of the line with this number."""
    subject, _, payload = stamp_all(wires, number, number + 1).partition(b" ")
    return subject.decode(), payload


def _publication(jetstream: JetStream, wires: list[bytes], number: int) -> bytes:
    subject, payload = message(wires, number)
    # The id is as long as those that natstream derives from the lines.
    return jetstream.publication(number, subject, f"{number:030x}", payload)


@attrs.frozen
class Reading:
    """What one reader got of what is stored. Times are seconds since it asked."""

    first: float
    last: float
    found: int
    expected: int
    wrong: int
    """Lines that were missing, doubled, out of order or of another machine; gaps announced."""


async def read_back(port: int, query: str, machine: int, count: int) -> Reading:
    """Read what is stored of one machine, of `count` lines in all, to the end.

    Args:
        query: what selects it; `{n}` stands for the number by which the lines know it.

    Raises:
        BenchmarkError: there is no answer, or no end to it.
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
