"""Several processes over one journal: one of them sends a message, also if another one dies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from tests.support.fleet import open_fleet
from tests.support.journal_server import USER, JournalServer
from tests.support.loopback import HOST
from tests.support.mistreated import MistreatedServer, authorization
from tests.support.payloads import SUBJECT, payload
from tests.support.receiver import ACCEPTED, hang, open_receiver, status
from tests.support.service import RunningService, open_service
from tests.support.service_process import ServiceProcess
from tests.support.waiting import PATIENCE, until
from tests.support.watches import log_lines, messages, status_of, watch_file

from natstream.errors import JournalUnavailable
from natstream.hub.health import Health, SourceState
from natstream.journal.claims import JetStreamClaims, claims_stream
from natstream.journal.stream_config import StreamConfig
from natstream.nats.connection import Login
from natstream.watches import delivery
from natstream.watches.claims import Slot

PANIC = 'query = "app=web&q=panic"\ncooldown = "1h"'


def claiming(service: RunningService) -> Any:
    """Return the status of the connection to the stream of the claims."""
    return service.service.core.health.interfaces["watch_claims"]


async def can_claim(service: RunningService) -> None:
    """Wait until a service can claim messages."""
    await until(lambda: claiming(service).state is SourceState.UP)


async def watched(process: ServiceProcess) -> dict[str, Any]:
    """Return the watch `w` as a process shows it."""
    _, body = await process.get("/readyz")
    watch: dict[str, Any] = json.loads(body)["watches"]["w"]
    return watch


async def test_one_of_three_processes_sends(
    nats_server: MistreatedServer, journal: JournalServer, tmp_path: Path
) -> None:
    """Three processes fire for the same line, and one message is sent."""
    async with open_receiver() as receiver, AsyncExitStack() as stack:
        settings = watch_file(tmp_path, receiver.url, w=PANIC) | journal.environ
        services = [
            await stack.enter_async_context(open_service(nats_server, **settings)) for _ in range(3)
        ]
        for service in services:
            await service.state("journal", "up")
            await can_claim(service)
        await nats_server.publish(SUBJECT, [payload(f"panic {n}") for n in range(50)])
        await receiver.has(1)
        watches = [service.service.core.watches for service in services]
        statuses = [each.statuses[0] for each in watches if each is not None]
        await until(lambda: all(each.fired == 1 for each in statuses))
        await trio.sleep(2.5)
        assert sum(each.sent for each in statuses) == 1
    [message] = messages(receiver.requests)
    assert 1 <= message["count"] <= 50  # On a busy machine they are not stored within a second.
    assert message["remarks"] == []


async def test_a_killed_process_is_replaced(
    nats_server: MistreatedServer, journal: JournalServer, tmp_path: Path
) -> None:
    """A process is killed between match and delivery, and another one sends the message."""
    async with open_receiver(status(503)) as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        async with open_fleet(journal, nats_server, nats_server, **settings) as fleet:
            await nats_server.publish(SUBJECT, [payload("panic")])
            sender = await failing(fleet)
            sender.kill()
            await trio.sleep(0.5)  # A request that was under way is answered by then.
            receiver.answers[:] = [ACCEPTED]
            tried = len(receiver.requests)
            with trio.fail_after(delivery.LEASE + PATIENCE):
                await until(lambda: len(receiver.requests) > tried, PATIENCE + delivery.LEASE)
            await trio.sleep(3)
            assert len(receiver.requests) == tried + 1
            [other] = [process for process in fleet if process is not sender]
            watch = await watched(other)
    assert (watch["sent"], watch["failed"], watch["problem"]) == (1, 0, "")
    message = messages(receiver.requests)[-1]
    assert (message["count"], message["lines"][0]["message"]) == (1, "panic")


async def failing(fleet: Sequence[ServiceProcess]) -> ServiceProcess:
    """Return the process that cannot deliver its message, once there is one."""
    with trio.fail_after(PATIENCE):
        while True:
            for process in fleet:
                watch = await watched(process)
                if watch["problem"]:
                    assert "503 Service Unavailable" in watch["problem"]
                    assert (await process.readiness())[0] == 200
                    return process
            await trio.sleep(0.05)


async def test_a_new_process_sends_what_a_killed_one_could_not(
    journal: JournalServer, tmp_path: Path
) -> None:
    """A process that is killed during the request is replaced by one that never saw the line."""
    async with open_receiver(hang) as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        async with ServiceProcess.open(None, **journal.environ, **settings) as process:
            await process.ready()
            await send_to_drain(process, "panic")
            await receiver.has(1)
            process.kill()
            receiver.answers[:] = [ACCEPTED]
            await process.start()
            await until(lambda: len(receiver.requests) > 1, PATIENCE + delivery.LEASE)
            await trio.sleep(3)
            watch = await watched(process)
    assert watch["sent"] == 1
    first, second = messages(receiver.requests)
    assert first == second
    assert second["lines"][0]["message"] == "panic"


async def send_to_drain(process: ServiceProcess, message: str) -> None:
    """Send a line of the app `web` to a process."""
    line = {"message": message, "fly": {"app": {"name": "web", "instance": "m1"}}}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://{HOST}:{process.drain_port}/", json=line)
    assert answer.json()["accepted"] == 1


async def test_a_restart_keeps_the_cooldown(journal: JournalServer, tmp_path: Path) -> None:
    """A process that is started anew does not send again within the cooldown."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC) | journal.environ
        for number in range(2):
            async with open_service(**settings) as service:
                await service.state("journal", "up")
                await can_claim(service)
                await log_lines(service, [f"panic {number}"])
                await until(lambda: status_of(service).fired + status_of(service).suppressed)
        await trio.sleep(0.5)
    assert [message["lines"][0]["message"] for message in messages(receiver.requests)] == [
        "panic 0"
    ]


async def test_without_the_permission_each_process_sends(
    nats_server: MistreatedServer, tmp_path: Path
) -> None:
    """A user who may use the journal's stream alone keeps the journal, and messages are sent."""
    allowed = {"publish": ["$JS.API.>", "natstream.>"], "subscribe": ["_INBOX.>"]}
    user = authorization({**USER, "permissions": allowed})
    async with JournalServer.run(authorization=user) as journal, open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC) | journal.environ
        async with open_service(nats_server, **settings) as service:
            await service.state("journal", "up")
            await can_claim(service)
            started = trio.current_time()
            await nats_server.publish(SUBJECT, [payload("panic")])
            [request] = await receiver.has(1)
            assert trio.current_time() - started < delivery.PATIENCE  # It does not wait in vain.
            assert claiming(service).state is SourceState.DENIED
            assert "natstream-watches" in claiming(service).detail
            assert service.service.core.health.sources["journal"].restarts == 0
            assert (await service.get("/readyz")).status_code == 200
    assert "other processes may send this too" in request.json["remarks"][-1]


# --- the stream of the claims ----------------------------------------------------------------


@asynccontextmanager
async def open_claims(
    journal: JournalServer, name: str = "natstream"
) -> AsyncIterator[JetStreamClaims]:
    """Connect to the stream of the claims until the end of the block."""
    status = Health(lambda message, type: None).add_interface("watch_claims")
    config = StreamConfig(name=name, max_age=60, max_bytes=2**20, replicas=1)
    claims = JetStreamClaims(Login([journal.url], **USER), config, status)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claims.run)
        await until(lambda: status.state is SourceState.UP)
        yield claims
        nursery.cancel_scope.cancel()


async def test_a_write_succeeds_over_the_newest_record_only(journal: JournalServer) -> None:
    """A record is written over the newest one of its watch, and over no other."""
    async with open_claims(journal) as one, open_claims(journal) as two:
        assert await one.read("w") == Slot(0)
        first = await one.write("w", b"first", 0)
        assert first is not None
        assert await two.write("w", b"second", 0) is None
        assert await two.read("w") == Slot(first, b"first")
        assert await two.write("v", b"of another watch", 0) is not None
        second = await two.write("w", b"second", first)
        assert second is not None
        assert await one.write("w", b"third", first) is None
        assert await one.read("w") == Slot(second, b"second")
        stored = await journal.stored(claims_stream("natstream"))
    assert stored == 2  # The stream keeps one record for each watch.


async def test_of_many_writers_one_succeeds(journal: JournalServer) -> None:
    """Of writers that claim the same message in the same moment, exactly one succeeds."""
    numbers: list[int | None] = []
    async with open_claims(journal) as claims:

        async def write() -> None:
            numbers.append(await claims.write("w", b"mine", 0))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(write)
    assert sum(number is not None for number in numbers) == 1


async def test_without_a_server_claims_are_unavailable(journal: JournalServer) -> None:
    """A claim fails in a way that callers expect while the server is away."""
    async with open_claims(journal, "other") as claims:
        journal.pause()
        await trio.sleep(0.2)  # The signal stops each thread of the server in its turn.
        with pytest.raises(JournalUnavailable):
            await claims.write("w", b"mine", 0)
        with pytest.raises(JournalUnavailable):
            await claims.read("w")
        journal.resume()
