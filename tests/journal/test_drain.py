"""A drain answers once the lines are stored, and stores a named batch once."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
from tests.support.eventsource import open_readers
from tests.support.journal_server import JournalServer
from tests.support.loopback import free_port
from tests.support.otlp import TIME, Export, Sent, in_json, in_protobuf
from tests.support.service import open_service
from tests.support.service_process import ServiceProcess
from tests.support.waiting import until
from tests.support.wire import Wire

from natstream.entries.entry import LogEntry
from natstream.errors import JournalUnavailable


@attrs.define
class Sender:
    """A client that posts batches of lines to a process's drain."""

    port: int
    client: httpx.AsyncClient

    async def post(self, *messages: str, **headers: str) -> httpx.Response:
        """Post one batch of lines, and return the answer."""
        body = "".join(json.dumps({"instance": "m1", "message": text}) + "\n" for text in messages)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(
            f"http://127.0.0.1:{self.port}/", content=body, headers=named, timeout=30
        )


def drain(port: int, journal: JournalServer, **more: str) -> dict[str, str]:
    """Return an environment for a service that has a drain at this port."""
    return journal.environ | {"NATSTREAM_DRAIN_BIND": f"127.0.0.1:{port}"} | more


async def test_accepted_lines_are_stored(journal: JournalServer) -> None:
    """Lines are stored when the drain answers, and shown under the same id at all processes."""
    port = free_port()
    async with (
        open_service(**drain(port, journal)) as service,
        open_service(**drain(free_port(), journal)) as other,
        httpx.AsyncClient() as client,
    ):
        await service.state("journal", "up")
        await other.state("journal", "up")
        readers = [service.reader(), other.reader()]
        sender = Sender(port, client)
        async with open_readers(*readers):
            for number in range(20):
                answer = await sender.post(f"first {number}", f"second {number}")
                assert answer.json() == {"accepted": 2, "dropped": 0, "reasons": {}}
                assert await journal.stored() == 2 * number + 2
            # This batch is larger than one slice, in which lines are handed on.
            answer = await sender.post(*(f"line {number}" for number in range(5_000)))
            assert answer.json()["accepted"] == 5_000
            assert await journal.stored() == 5_040
            for reader in readers:
                await reader.has("line 4999")
                assert len(reader.lines) == len(set(reader.lines)) == 5_040
                assert all(reader.persistent)
        assert readers[0].ids == readers[1].ids


@pytest.mark.parametrize("header", ["Idempotency_Key", "Logplex_Frame_Id"])
async def test_a_batch_that_is_sent_again(journal: JournalServer, header: str) -> None:
    """A batch that is sent again under the same name, to any process, is stored once."""
    ports = [free_port(), free_port()]
    async with (
        open_service(**drain(ports[0], journal)) as one,
        open_service(**drain(ports[1], journal)) as two,
        httpx.AsyncClient() as client,
    ):
        await one.state("journal", "up")
        await two.state("journal", "up")
        reader = one.reader()
        async with open_readers(reader):
            for port in (*ports, *ports):
                # Equal lines of one batch are separate lines.
                answer = await Sender(port, client).post("a", "b", "b", **{header: "batch 1"})
                assert answer.json()["accepted"] == 3
            await Sender(ports[1], client).post("a", "b", "b", **{header: "batch 2"})
            await Sender(ports[1], client).post("end")
            await reader.has("end")
        assert reader.lines == ["a", "b", "b", "a", "b", "b", "end"]
        assert await journal.stored() == 7


@pytest.mark.parametrize("encode", [in_json, in_protobuf])
async def test_records_that_an_exporter_sends_again(
    journal: JournalServer, encode: Callable[..., bytes]
) -> None:
    """A body of OpenTelemetry that is sent again, to any process, is stored once by its bytes."""
    ports = [free_port(), free_port()]
    type = "application/json" if encode is in_json else "application/x-protobuf"

    async def send(port: int, *records: Sent) -> None:
        answer = await client.post(
            f"http://127.0.0.1:{port}/v1/logs",
            content=encode(Export(records=records)),
            headers={"Content-Type": type},
        )
        assert answer.status_code == 200

    async with (
        open_service(**drain(ports[0], journal)) as one,
        open_service(**drain(ports[1], journal)) as two,
        httpx.AsyncClient() as client,
    ):
        await one.state("journal", "up")
        await two.state("journal", "up")
        for port in (*ports, *ports):
            await send(port, Sent(body="a"), Sent(body="a"))
        assert await journal.stored() == 2
        await send(ports[0], Sent(body="a"), Sent(body="a"), Sent(body="b"))
        assert await journal.stored() == 5
        for port in ports:
            await send(port, Sent(body="without a time", time=0))
        assert await journal.stored() == 7, "these may have happened twice"
        for port in ports:  # as JavaScript's SDK stamps records
            await send(port, Sent(body="in one millisecond", time=TIME // 10**6 * 10**6))
        assert await journal.stored() == 9, "these may have happened twice"


async def test_a_batch_that_is_compressed_anew_is_stored_once(journal: JournalServer) -> None:
    """The time in the head of gzip does not make another batch of a repeated one."""
    port = free_port()
    body = in_protobuf(Export(records=[Sent(body="a"), Sent(body="b")]))
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        for mtime in (1, 2):
            answer = await client.post(
                f"http://127.0.0.1:{port}/v1/logs",
                content=gzip.compress(body, mtime=mtime),
                headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"},
            )
            assert answer.status_code == 200
        assert await journal.stored() == 2


async def test_two_senders_that_name_their_batches_alike(journal: JournalServer) -> None:
    """Different lines of batches with the same name are both stored."""
    port = free_port()
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        for app in ("backup", "web", "web"):
            answer = await client.post(
                f"http://127.0.0.1:{port}/?app={app}",
                content="done",
                headers={"Idempotency-Key": "1"},
            )
            assert answer.status_code == 200
    assert await journal.stored() == 2


async def test_without_a_name_equal_lines_are_several(journal: JournalServer) -> None:
    """Equal lines of unnamed batches are all stored, because they may have happened twice."""
    port = free_port()
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        for _ in range(3):
            assert (await Sender(port, client).post("a", "a")).status_code == 200
        assert await journal.stored() == 6


async def test_while_the_journal_is_away_senders_have_to_come_again(journal: JournalServer) -> None:
    """A drain refuses lines while the journal is away, and a repeated batch is stored once."""
    port = free_port()
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        sender = Sender(port, client)
        assert (await sender.post("before")).status_code == 200
        journal.pause()
        answers: list[httpx.Response] = []

        async def post() -> None:
            answers.append(await sender.post("caught", "caught", Idempotency_Key="caught"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            await trio.sleep(0.5)
            assert answers == []
            await journal.kill()
        assert answers[0].status_code == 503
        refused = await sender.post("refused")
        for answer in (*answers, refused):
            assert int(answer.headers["Retry-After"]) >= 1
            assert "journal" in answer.json()["error"]
        journal.resume()
        await journal.start()
        assert await journal.stored() in (1, 3)

        async def is_taken() -> bool:
            answer = await sender.post("caught", "caught", Idempotency_Key="caught")
            return answer.status_code == 200

        # The status stays `up`, because the journal is not away for long.
        await until(is_taken)
        assert (await sender.post("refused")).status_code == 200
        assert await journal.stored() == 4


async def test_a_full_stream_is_told_as_such_between_batches_too(journal: JournalServer) -> None:
    """The status of a full stream stays `full`, although no line waits between batches."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "discard": "new"}
    await journal.ask("STREAM.CREATE.natstream", config | {"max_msgs": 3})
    port = free_port()
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        sender = Sender(port, client)
        assert (await sender.post("one", "two", "three")).status_code == 200
        assert (await sender.post("four")).status_code == 503
        await service.state("journal", "lost")
        status = service.service.core.health.sources["journal"]
        restarts = status.restarts
        await until(lambda: status.restarts > restarts + 1)
        assert (str(status.state), status.reason, status.connects) == ("lost", "full", 1)
        assert (await sender.post("four")).status_code == 503
        await journal.ask("STREAM.UPDATE.natstream", config | {"max_msgs": 10})
        await service.state("journal", "up")
        assert (await sender.post("four")).status_code == 200
    assert await journal.stored() == 4


async def test_a_line_that_the_stream_does_not_take_any_more(journal: JournalServer) -> None:
    """A line beyond a limit that was lowered is refused, and the next line is cut to fit."""
    config = {"name": "natstream", "subjects": ["natstream.>"]}
    await journal.ask("STREAM.CREATE.natstream", config)
    port = free_port()
    async with open_service(**drain(port, journal)) as service, httpx.AsyncClient() as client:
        await service.state("journal", "up")
        sender = Sender(port, client)
        await journal.ask("STREAM.UPDATE.natstream", config | {"max_msg_size": 5_000})
        assert (await sender.post("y" * 20_000)).status_code == 503
        assert await journal.stored() == 0
        assert (await sender.post("y" * 20_000)).status_code == 200
    assert await journal.stored() == 1


async def test_an_unfinished_batch_does_not_outlive_the_journal(journal: JournalServer) -> None:
    """The rest of a batch is refused after an outage, because its sender sends all lines again."""
    entry = LogEntry("m1", "a line", "stdout", "", "web")
    async with (
        Wire.open(journal.port) as wire,
        open_service(**journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}) as service,
    ):
        await service.state("journal", "up")
        sink = service.service.core.journal
        assert sink is not None
        receipt = sink.open_receipt("")
        sink.publish_nowait([entry], receipt)
        await receipt.confirmed()
        wire.cut()
        await service.state("journal", "lost")
        wire.mend()
        await service.state("journal", "up")
        sink.publish_nowait([entry], receipt)
        with pytest.raises(JournalUnavailable):
            await receipt.confirmed()
        assert sink.statistics().waiting == 0
    assert await journal.stored() == 1


async def test_a_process_that_is_told_to_end_has_stored_the_lines_that_it_accepted(
    journal: JournalServer, nats_server: Any
) -> None:
    """A process that ends has stored all lines that it accepted from senders or read from NATS."""
    async with (
        ServiceProcess.open(nats_server, **journal.environ) as service,
        httpx.AsyncClient() as client,
    ):
        assert await service.ready() < 30
        sender = Sender(service.drain_port, client)
        accepted = 0

        async def post(number: int) -> None:
            """Send batch after batch, until the process has ended."""
            nonlocal accepted
            while True:
                try:
                    answer = await sender.post(*(f"{number} {line}" for line in range(2_000)))
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    accepted += answer.json()["accepted"]

        # The lines of NATS are accepted in turn with those of the ten senders.
        async def has_read() -> bool:
            return await service.metric('source_lines_total{source="nats"}') >= 5_000

        await nats_server.publish("logs.web.iad.m1", (b"%d" % n for n in range(5_000)))
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(post, number)
            await until(lambda: accepted)
            await until(has_read)
            status, seconds = await service.stop(signal.SIGTERM)
        assert (status, seconds < 5) == (0, True)
        assert service.complaints == []
        assert accepted > 0
        assert await journal.stored() >= 5_000 + accepted


async def test_a_process_that_is_told_to_end_does_not_wait_for_a_frozen_journal(
    journal: JournalServer, nats_server: Any
) -> None:
    """A process that ends while the journal is frozen logs how many lines are not stored."""
    async with ServiceProcess.open(nats_server, **journal.environ) as service:
        assert await service.ready() < 30
        journal.pause()
        await nats_server.publish("logs.web.iad.m1", (b"%d" % n for n in range(1_000)))
        # A busy machine may need longer to read them than the grace period has.
        with trio.fail_after(30):
            while await service.metric("natstream_journal_waiting_lines") < 1_000:
                await trio.sleep(0.05)
        status, seconds = await service.stop(signal.SIGTERM)
        assert (status, seconds < 5) == (0, True)
        said = [row for row in service.log.read_text().splitlines() if "not known to be" in row]
        assert [json.loads(row)["lines"] for row in said] == [1_000]
        journal.resume()
