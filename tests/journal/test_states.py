"""Each trouble with the journal has its own state and reason, and no line is lost by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.support.eventsource import Reader, open_readers
from tests.support.fleet import Flow, numbered, publish
from tests.support.journal_server import USER, Cluster, JournalServer, open_cluster, run_node
from tests.support.loopback import free_port
from tests.support.mistreated import MistreatedServer
from tests.support.service import RunningService, open_service
from tests.support.waiting import until
from tests.support.wire import Wire


async def journal_of(service: RunningService) -> dict[str, Any]:
    """Return the part of `/readyz` about the journal."""
    journal: dict[str, Any] = (await service.get("/readyz")).json()["sources"]["journal"]
    return journal


async def until_it_is(service: RunningService, state: str, reason: str) -> str:
    """Wait until the journal is in this state for this reason, and return the sentence about it."""
    detail = ""

    async def is_so() -> bool:
        nonlocal detail
        said = await journal_of(service)
        detail = said["detail"]
        return (said["state"], said.get("reason", "")) == (state, reason)

    await until(is_so)
    assert (await service.get("/readyz")).status_code == (200 if state == "up" else 503)
    return detail


@pytest.mark.parametrize("lost", ["lines_to_lose", "acks_to_lose"])
async def test_a_lost_message_is_missed(
    nats_server: MistreatedServer, journal: JournalServer, lost: str
) -> None:
    """A line that is not acknowledged is sent again, unless it was read from the stream.

    This holds although later lines are acknowledged. Readers are told nothing, because the new
    connection serves at once.
    """
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            async with trio.open_nursery() as nursery:
                flow = Flow(nats_server, rate=100)
                setattr(wire, lost, 1)
                nursery.start_soon(flow.run)
                await until(lambda: getattr(wire, lost) == 0 and service.waiting_lines > 0)
                missed = service.waiting_lines
                await until(lambda: len(flow.published) > 200)
                await until(lambda: len(reader.lines) > 200 and service.waiting_lines < missed)
                nursery.cancel_scope.cancel()
            await until(lambda: service.waiting_lines == 0)
            assert reader.notices == ["Connected to log stream"]
        assert await journal.stored() == len(flow.published)


async def test_a_full_stream(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """A full stream is announced once; lines are shown, and stored as soon as there is room."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "discard": "new"}
    created = await journal.ask("STREAM.CREATE.natstream", config | {"max_bytes": 100_000})
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        flow = Flow(nats_server, rate=500)
        async with open_readers(reader):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flow.run)
                assert "natstream is full" in await until_it_is(service, "lost", "full")
                await until(lambda: reader.persistent.count(False) > 1_000)
                nursery.cancel_scope.cancel()
            assert "natstream is full" in reader.notices[1]
            assert "The journal is away" in reader.notices[2]
            assert len(reader.notices) == 3
            stream = await journal.stream()
            assert stream["config"] == created["config"]
            await journal.ask("STREAM.UPDATE.natstream", config | {"max_bytes": 10_000_000})
            await service.state("journal", "up")
            await flow.publish(100)
            await reader.has(*flow.published)
            await until(lambda: service.waiting_lines == 0)
            assert sorted(reader.lines) == sorted(flow.published)
            assert reader.gaps == []
        assert await journal.stored() == len(flow.published)


async def test_a_stream_that_is_deleted(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream that was deleted is created again under another epoch, and all readers go on."""
    async with (
        open_service(nats_server, **journal.environ) as one,
        open_service(NATSTREAM_SOURCES="drain", **journal.environ) as two,
    ):
        await one.state("journal", "up")
        await two.state("journal", "up")
        readers = [one.reader(), two.reader()]
        flow = Flow(nats_server, rate=500)
        async with open_readers(*readers):
            await flow.publish(100)
            for reader in readers:
                await reader.has(*flow.published)
            epoch = one.service.core.hub.epoch
            await journal.ask("STREAM.DELETE.natstream")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flow.run)
                for service in (one, two):
                    await until(lambda service=service: service.service.core.hub.epoch != epoch)
                nursery.cancel_scope.cancel()
            await flow.publish(100)
            for reader in readers:
                await reader.has(*flow.published)
                assert sorted(reader.lines) == sorted(flow.published)
                assert reader.gaps == []
                assert "The journal's stream natstream is gone" in reader.notices
        assert one.service.core.hub.epoch == two.service.core.hub.epoch


async def test_a_server_that_is_down(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """Lines are shown while the server is down from the start, and are stored once it is up."""
    await journal.kill()
    async with open_service(nats_server, **journal.environ) as service:
        reader = service.reader()
        async with open_readers(reader):
            said = await until_it_is(service, "lost", "unreachable")
            assert said == (
                f"The journal's NATS at 127.0.0.1:{journal.port} cannot be reached: Connection "
                "refused; NATSTREAM_JOURNAL_URL says where it is"
            )
            await publish(nats_server, numbered(0, 10))
            await reader.has(*numbered(0, 10))
            await journal.start()
            await until_it_is(service, "up", "")
            await publish(nats_server, numbered(10, 10))
            await reader.has(*numbered(0, 20))
        assert reader.lines == numbered(0, 20)
        assert reader.persistent == [False] * 10 + [True] * 10
        assert reader.gaps == []
        assert await journal.stored() == 20


async def test_wrong_credentials(nats_server: MistreatedServer, journal: JournalServer) -> None:
    """The sentence about wrong credentials names the settings, and not their values."""
    wrong = journal.environ | {"NATSTREAM_JOURNAL_PASSWORD": "not-this-one"}
    async with open_service(nats_server, **wrong) as service:
        said = await until_it_is(service, "denied", "denied")
        assert "refuses the credentials: NATSTREAM_JOURNAL_USER and NATSTREAM_JOURNAL_PASS" in said
        assert "not-this-one" not in said
        reader = service.reader()
        async with open_readers(reader):
            assert said in reader.notices


async def test_the_server_that_refuses_is_named(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Of several servers, the sentence blames the one that refuses, and says what another lacks."""
    away = free_port()
    wrong = journal.environ | {
        "NATSTREAM_JOURNAL_PASSWORD": "not-this-one",
        "NATSTREAM_JOURNAL_URL": f"nats://127.0.0.1:{away},nats://127.0.0.1:{journal.port}",
    }
    async with open_service(nats_server, **wrong) as service:
        said = await until_it_is(service, "denied", "denied")
    assert said.startswith(
        f"The journal's NATS at 127.0.0.1:{journal.port} refuses the credentials: "
    )
    assert said.endswith(f"; 127.0.0.1:{away}: Connection refused")


async def test_a_user_that_may_not_do_all_that_is_needed(nats_server: MistreatedServer) -> None:
    """The sentence about a permission names the refused subject, and the needed ones."""
    users = [USER | {"permissions": {"publish": {"deny": "$JS.API.>"}}}]
    async with (
        JournalServer.run(authorization={"users": users}) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        said = await until_it_is(service, "denied", "denied")
        assert "does not let us use $js.api.stream.info.natstream:" in said
        assert "$JS.API.>, natstream.> and _INBOX.>" in said


async def test_a_server_without_jetstream(nats_server: MistreatedServer) -> None:
    """The sentence about a server without JetStream says that it has to be enabled."""
    async with (
        JournalServer.run(jetstream=False) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        said = await until_it_is(service, "denied", "no_jetstream")
        assert "has no JetStream: it has to be enabled there" in said


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (
            {"subjects": ["logs.>"]},
            "its only subject has to be natstream.>, and its subjects are logs.>",
        ),
        ({"subjects": ["natstream.a", "natstream.b"]}, "its subjects are natstream.a, natstream.b"),
        ({"storage": "memory"}, "its storage has to be file, and is memory"),
        ({"retention": "workqueue"}, "its retention has to be limits, and is workqueue"),
        ({"no_ack": True}, "acknowledges nothing"),
        (
            {"subject_transform": {"src": "natstream.>", "dest": "natstream.x.>"}},
            "it has to keep subjects as they are, and transforms them",
        ),
        ({"max_msgs_per_subject": 9}, "it has to keep all lines, and keeps 9 of each machine"),
        ({"max_msg_size": 999}, "its max_msg_size has to be at least 4,096 bytes, and is 999"),
        ({"duplicate_window": 30 * 10**9}, "stores no line twice, and is 30 s"),
    ],
)
async def test_a_stream_that_cannot_serve(
    nats_server: MistreatedServer, journal: JournalServer, config: dict[str, Any], wrong: str
) -> None:
    """A stream that cannot serve gets a sentence with the reason, and is not altered."""
    config = {"name": "natstream", "subjects": ["natstream.>"]} | config
    created = await journal.ask("STREAM.CREATE.natstream", config)
    async with open_service(nats_server, **journal.environ) as service:
        said = await until_it_is(service, "denied", "unfit")
        assert said.startswith("The journal's stream natstream cannot serve: ")
        assert wrong in said
        assert said.endswith("NATSTREAM_JOURNAL_STREAM may name another")
        await publish(nats_server, numbered(0, 10))
    stream = await journal.stream()
    assert stream["config"] == created["config"]
    assert stream["state"]["messages"] == 0


async def test_a_stream_of_other_limits_serves(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream with other limits than the settings is used, and not altered."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "max_age": 10**13}
    created = await journal.ask("STREAM.CREATE.natstream", config | {"max_msgs": 1_000})
    more = {"NATSTREAM_JOURNAL_MAX_AGE": "1h", "NATSTREAM_JOURNAL_MAX_BYTES": "2000000"}
    async with open_service(nats_server, **journal.environ | more) as service:
        await until_it_is(service, "up", "")
        await publish(nats_server, numbered(0, 10))
        await until(lambda: service.waiting_lines == 0)
    assert (await journal.stream())["config"] == created["config"]
    assert await journal.stored() <= 10


async def test_a_stream_that_accepts_only_small_messages(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A line that is too large for the stream is cut and stored."""
    config = {"name": "natstream", "subjects": ["natstream.>"], "max_msg_size": 4_096}
    await journal.ask("STREAM.CREATE.natstream", config)
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, ["m1 " + "x" * 10_000, "m1 end"])
            await reader.has("m1 end")
        assert "x" * 2_000 in reader.lines[0]
        assert all(reader.persistent)
    assert await journal.stored() == 2


async def test_a_stream_that_cannot_be_created(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream that cannot be created gets a sentence with the reason and the settings."""
    more = {"NATSTREAM_JOURNAL_REPLICAS": "3"}
    async with open_service(nats_server, **journal.environ | more) as service:
        said = await until_it_is(service, "denied", "unfit")
        assert "replicas > 1 not supported in non-clustered mode" in said
        assert "NATSTREAM_JOURNAL_REPLICAS 3" in said


async def test_a_cluster_without_quorum(nats_server: MistreatedServer) -> None:
    """Lines are shown while a cluster has no leader, and stored once it has one."""
    async with open_cluster() as cluster, open_service(nats_server, **cluster.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 10))
            await reader.has(*numbered(0, 10))
            for node in cluster.nodes[1:]:
                await node.kill()
            await publish(nats_server, numbered(10, 10))
            await reader.has(*numbered(10, 10))
            said = await until_it_is(service, "lost", "no_leader")
            assert "leader" in said or "temporarily unavailable" in said, said
            await cluster.nodes[1].start()
            await until_it_is(service, "up", "")
            await publish(nats_server, numbered(20, 10))
            await reader.has(*numbered(20, 10))
            await until(lambda: service.waiting_lines == 0)
        assert reader.lines == numbered(0, 30)
        assert await cluster.stored() == 30


async def test_a_cluster_that_is_not_yet_whole(nats_server: MistreatedServer) -> None:
    """The stream is created as soon as enough servers of the cluster have started."""
    ports = [free_port() for _ in range(3)]
    async with (
        run_node(0, ports) as one,
        run_node(1, ports) as two,
        open_service(nats_server, **Cluster([one, two]).environ) as service,
    ):

        async def cannot_be_created() -> bool:
            return "no suitable peers" in (await journal_of(service))["detail"]

        await until(cannot_be_created)
        said = await until_it_is(service, "lost", "no_leader")
        assert "NATSTREAM_JOURNAL_REPLICAS 3" in said
        async with run_node(2, ports):
            await until_it_is(service, "up", "")


async def test_a_stream_that_has_lost_its_end(
    nats_server: MistreatedServer, journal: JournalServer, tmp_path: Path
) -> None:
    """A stream whose server is back with an older copy goes on under another epoch."""
    store = Path(journal.settings["jetstream"]["store_dir"])
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 100))
            await reader.has(*numbered(0, 100))
            await journal.stop()
            shutil.copytree(store, tmp_path / "copy")
            await journal.start()
            await service.state("journal", "up")
            await publish(nats_server, numbered(100, 100))
            await reader.has(*numbered(100, 100))
            await journal.kill()
            shutil.rmtree(store)
            shutil.copytree(tmp_path / "copy", store)
            await journal.start()
            await service.state("journal", "up")
            await publish(nats_server, numbered(200, 100))
            await reader.has(*numbered(200, 100))
        assert reader.lines == numbered(0, 300)
        assert reader.numbers == [*range(1, 201), *range(101, 201)]
        assert len({id.split("-")[1] for id in reader.ids}) == 2
        former = reader.ids[149]
    # A process that started later cannot know this, but the id tells a time as well.
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        resumed = Reader([service.service.bind.port], id=former)
        async with open_readers(resumed):
            await resumed.has(*numbered(200, 100))
        assert [gap["missed"] for gap in resumed.gaps] == [None]
