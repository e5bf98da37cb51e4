"""The limits and the shortcomings of a journal's servers: they are used, or said in one word."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import trio
from tests.support.eventsource import open_readers
from tests.support.fleet import Flow, numbered, publish
from tests.support.journal_server import USER, JournalServer, open_cluster
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until
from tests.support.wire import Wire

from natstream.cli.check import settings_to_check
from natstream.cli.check_journal import check_journal

STREAM: dict[str, Any] = {"name": "natstream", "subjects": ["natstream.>"]}


async def until_reason(service: RunningService, reason: str) -> str:
    """Wait until `/readyz` and the metrics give this reason, and return the sentence about it."""
    said: dict[str, Any] = {}

    async def is_given() -> bool:
        nonlocal said
        said = (await service.get("/readyz")).json()["sources"]["journal"]
        return bool(said.get("reason", "") == reason)

    await until(is_given)
    metrics = (await service.get("/metrics")).text
    assert f'natstream_journal_trouble{{reason="{reason}"}} 1' in metrics
    return str(said["detail"])


async def check(journal: JournalServer) -> list[str]:
    """Return the sentences of `natstream check` about the journal that are no praise."""
    secrets = {"FLY_ORG": "acme", "ACCESS_TOKEN": "fly-token"}
    findings = await check_journal(settings_to_check(secrets | journal.environ))
    return [finding.text for finding in findings if finding.state != "ok"]


def account(**limits: Any) -> dict[str, Any]:
    """Return the settings of a server whose account has these limits for JetStream."""
    return {
        "authorization": {},
        "accounts": {"A": {"users": [USER], "jetstream": {"max_mem": 10_000_000, **limits}}},
    }


async def reload(journal: JournalServer, **settings: Any) -> None:
    """Give a running server other settings."""
    journal.settings.update(settings)
    journal.write_settings()
    assert journal.process is not None
    journal.process.send_signal(signal.SIGHUP)


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 100])
async def test_a_server_may_limit_the_size_of_a_pull(
    nats_server: MistreatedServer, limit: int
) -> None:
    """A `max_request_batch` below 2,000 is used, live and in the archive, without a notice."""
    few = {"NATSTREAM_BACKLOG_LINES": "1000"}
    async with JournalServer.run() as journal:
        store = journal.settings["jetstream"]["store_dir"]
        jetstream = {"store_dir": store, "limits": {"max_request_batch": limit}}
        journal.settings["jetstream"] = jetstream
        journal.write_settings()
        await journal.restart()
        async with open_service(nats_server, **journal.environ | few) as service:
            await service.state("journal", "up")
            reader = service.reader()
            async with open_readers(reader):
                await publish(nats_server, numbered(0, 1_500))
                await reader.has(*numbered(0, 1_500))
                assert reader.notices == ["Connected to log stream"]
            late = service.reader(query="?since=1h")
            async with open_readers(late):
                await late.has(*numbered(0, 1_500))
            status = (await service.get("/api/status")).json()["sources"]["journal"]
            assert status["restarts"] == 0


async def test_a_limit_that_is_set_later_is_taken_from_the_refusal(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A consumer whose server names a lower limit asks for so many lines from then on."""
    few = {"NATSTREAM_BACKLOG_LINES": "1000"}
    async with open_service(nats_server, **journal.environ | few) as service:
        await service.state("journal", "up")
        consumers = await journal.ask("CONSUMER.LIST.natstream")
        (config,) = [consumer["config"] for consumer in consumers["consumers"]]
        changed = {"stream_name": "natstream", "config": config | {"max_batch": 50}}
        api = f"CONSUMER.CREATE.natstream.{config['name']}"
        assert (await journal.ask(api, changed))["config"]["max_batch"] == 50
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 5_000))
            await reader.has(*numbered(0, 5_000))
            assert reader.notices == ["Connected to log stream"]
        status = (await service.get("/api/status")).json()["sources"]["journal"]
        assert status["restarts"] == 0


async def test_a_stream_may_limit_its_consumers(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """The limits of a stream for its consumers are used."""
    limits = {"inactive_threshold": 10 * 10**9, "max_ack_pending": 5}
    created = await journal.ask("STREAM.CREATE.natstream", STREAM | {"consumer_limits": limits})
    assert created["config"]["consumer_limits"] == limits
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await publish(nats_server, numbered(0, 100))
            await reader.has(*numbered(0, 100))
            assert reader.notices == ["Connected to log stream"]


async def test_a_late_reader_of_a_stream_that_limits_its_consumers(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream's consumer limits do not keep a late reader from the oldest lines."""
    limits = {"inactive_threshold": 2 * 10**9}
    await journal.ask("STREAM.CREATE.natstream", STREAM | {"consumer_limits": limits})
    async with journal.publisher() as publisher:
        await publisher.publish(
            ("natstream.logs.web.iad.m1", payload(f"m1 {number}")) for number in range(3_000)
        )
    few = {"NATSTREAM_BACKLOG_LINES": "1000"}
    async with open_service(nats_server, **journal.environ | few) as service:
        await service.state("journal", "up")
        late = service.reader(query="?since=1h")
        async with open_readers(late):
            await until(lambda: len(late.lines) == 3_000)


async def test_a_duplicate_window_that_the_server_forbids(nats_server: MistreatedServer) -> None:
    """The sentence about a server's limit that is too low names the limit and the need."""
    async with JournalServer.run() as journal:
        store = journal.settings["jetstream"]["store_dir"]
        journal.settings["jetstream"] = {"store_dir": store, "limits": {"duplicate_window": "60s"}}
        journal.write_settings()
        await journal.restart()
        async with open_service(nats_server, **journal.environ) as service:
            said = await until_reason(service, "unfit")
            assert "server limit of 1m0s, and natstream needs 120 s" in said


# --- full --------------------------------------------------------------------------------------


async def test_the_quota_of_an_account(nats_server: MistreatedServer) -> None:
    """A quota that is used up is `full`, and lines are stored once there is room."""
    async with JournalServer.run(**account(max_file=200_000)) as journal:
        await journal.ask("STREAM.CREATE.natstream", STREAM)
        async with open_service(nats_server, **journal.environ) as service:
            await service.state("journal", "up")
            reader = service.reader()
            async with open_readers(reader):
                lines = [f"{line} {'x' * 5_000}" for line in numbered(0, 100)]
                await publish(nats_server, lines)
                said = await until_reason(service, "full")
                assert "resource limits exceeded for account" in said
                assert "the account's quota has to be raised" in said
                await reader.has(*lines)
                await reload(journal, **account(max_file=100_000_000))
                await service.state("journal", "up")
                await until(lambda: service.waiting_lines == 0)
        assert await journal.stored() == 100


async def test_a_stream_that_is_larger_than_the_quota(nats_server: MistreatedServer) -> None:
    """A stream for which there is no room is `full`, and the sentence names the setting."""
    async with (
        JournalServer.run(**account(max_file=1_000_000)) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        said = await until_reason(service, "full")
        assert "insufficient storage resources available" in said
        assert "NATSTREAM_JOURNAL_MAX_BYTES" in said


async def test_a_server_that_answers_and_stores_nothing(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A server that answers requests and acknowledges no line has a full disk.

    Since its release 2.15, nats-server is silent about lines that it cannot write.
    """
    async with (
        Wire.open(journal.port) as wire,
        open_service(
            nats_server, **journal.environ | {"NATSTREAM_JOURNAL_URL": wire.url}
        ) as service,
    ):
        await service.state("journal", "up")
        wire.lines_to_lose = 10**6
        await publish(nats_server, numbered(0, 10))
        assert "the server's disk may be full" in await until_reason(service, "full")
        wire.lines_to_lose = 0
        await service.state("journal", "up")
        await until(lambda: service.waiting_lines == 0)
    assert await journal.stored() == 10


# --- what a server lacks -----------------------------------------------------------------------


async def test_jetstream_is_turned_off(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A server whose JetStream was turned off is `no_jetstream`, also while it runs on."""
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        store = journal.settings["jetstream"]
        await reload(journal, jetstream={**store, "enabled": False})
        await publish(nats_server, numbered(0, 10))
        said = await until_reason(service, "no_jetstream")
        assert "has no JetStream: it has to be enabled there" in said
        assert await check(journal) == [said]


async def test_an_account_without_jetstream(nats_server: MistreatedServer) -> None:
    """An account without JetStream is `no_jetstream`."""
    async with (
        JournalServer.run(authorization={}, accounts={"A": {"users": [USER]}}) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        said = await until_reason(service, "no_jetstream")
        assert "has no JetStream for these credentials" in said
        assert await check(journal) == [said]


async def test_a_server_without_headers(nats_server: MistreatedServer) -> None:
    """A server without support for headers is `no_headers`, and names its setting."""
    async with (
        JournalServer.run(no_header_support=True) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        said = await until_reason(service, "no_headers")
        assert "no_header_support has to be off there" in said
        assert await check(journal) == [said]


async def test_max_payload_is_lowered_below_the_needed_size(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A server that accepts only tiny messages is `max_payload`, and its lines wait."""
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        await reload(journal, max_payload=2_000)
        await publish(nats_server, [f"m1 {'x' * 5_000}"])
        said = await until_reason(service, "max_payload")
        assert "accepts only messages of 2,000 bytes" in said
        assert await check(journal) == [said]
        await reload(journal, max_payload=1_048_576)


async def test_max_payload_is_lowered_a_little(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """Lines that are too large for a lowered `max_payload` are cut, and none is lost."""
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            await reload(journal, max_payload=10_000)
            await publish(nats_server, ["m1 " + "x" * 50_000, *numbered(0, 10)])
            await reader.has(*numbered(0, 10))
            assert reader.notices == ["Connected to log stream"]
            assert "x" * 5_000 in reader.lines[0]
            assert len(reader.lines) == 11
        assert await journal.stored() == 11


# --- brief trouble -----------------------------------------------------------------------------


async def test_a_leader_that_steps_down(nats_server: MistreatedServer) -> None:
    """Readers notice nothing of another leader: no notice, no line missing, `/readyz` is 200."""
    async with open_cluster() as cluster, open_service(nats_server, **cluster.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        codes: set[int] = set()

        async def look() -> None:
            while True:
                codes.add((await service.get("/readyz")).status_code)
                await trio.sleep(0.05)

        flow = Flow(nats_server, rate=200)
        async with open_readers(reader):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(flow.run)
                nursery.start_soon(look)
                for _ in range(3):
                    await trio.sleep(1)
                    assert "error" not in await cluster.ask("STREAM.LEADER.STEPDOWN.natstream")
                    await trio.sleep(2)
                nursery.cancel_scope.cancel()
            await flow.publish(10)
            await reader.has(*flow.published)
            assert reader.notices == ["Connected to log stream"]
            assert sorted(reader.lines) == sorted(flow.published)
            assert reader.gaps == []
        assert codes == {200}
        await until(lambda: service.waiting_lines == 0)
        assert await cluster.stored() == len(flow.published)


async def test_a_restart_within_two_seconds(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A server that restarts at once is no news for readers; trouble that recurs is."""
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        reader = service.reader()
        async with open_readers(reader):
            for number in range(4):
                await journal.restart()
                await publish(nats_server, numbered(number, 1))
                await reader.has(*numbered(0, number + 1))
                await until(lambda number=number: service.waiting_lines == 0)
            assert reader.notices == ["Connected to log stream"]
            assert all(reader.persistent)
            await journal.restart()
            await until(lambda: len(reader.notices) == 3)
            assert "is lost" in reader.notices[1]
        status = (await service.get("/api/status")).json()["sources"]["journal"]
        assert status["restarts"] >= 5


# --- loops -------------------------------------------------------------------------------------

REPUBLISH = {"republish": {"src": "natstream.logs.>", "dest": "logs.>"}}


async def test_a_stream_that_republishes_where_lines_are_read(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream that republishes to a subject that is read is refused, also by the check."""
    created = await journal.ask("STREAM.CREATE.natstream", STREAM | REPUBLISH)
    assert "error" not in created
    async with open_service(nats_server, **journal.environ) as service:
        said = await until_reason(service, "unfit")
        assert "it republishes to logs.>, and natstream reads lines from logs.>" in said
        assert await check(journal) == [said]


@pytest.mark.parametrize("how", ["mirror", "sources", "chain"])
async def test_a_copy_of_the_stream_that_republishes(
    nats_server: MistreatedServer, journal: JournalServer, how: str
) -> None:
    """A copy of the stream that republishes to a subject that is read makes it unfit.

    It is found before the journal serves, or while it serves.
    """
    await journal.ask("STREAM.CREATE.natstream", STREAM)
    origin = {"name": "natstream"}
    if how == "chain":
        await journal.ask("STREAM.CREATE.between", {"name": "between", "sources": [origin]})
        origin = {"name": "between"}
    copy = {"mirror": origin} if how == "mirror" else {"sources": [origin]}
    republish = {"republish": {"src": ">", "dest": "logs.again.>"}}
    created = await journal.ask("STREAM.CREATE.copy", {"name": "copy", **copy, **republish})
    assert "error" not in created
    async with open_service(nats_server, **journal.environ) as service:
        said = await until_reason(service, "unfit")
        assert "the stream copy copies its lines and republishes to logs.again.>" in said
        assert await check(journal) == [said]
        await journal.ask("STREAM.DELETE.copy")


async def test_a_loop_that_is_closed_later(
    nats_server: MistreatedServer, journal: JournalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that begins to republish while it serves is noticed."""
    monkeypatch.setattr("natstream.journal.journal.LOOP_CHECK_INTERVAL", 0.2)
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        config = (await journal.stream())["config"]
        assert "error" not in await journal.ask("STREAM.UPDATE.natstream", config | REPUBLISH)
        await until_reason(service, "unfit")


async def test_a_stream_that_republishes_elsewhere(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream that republishes to a subject that is not read serves."""
    elsewhere = {"republish": {"src": "natstream.>", "dest": "others.>"}}
    await journal.ask("STREAM.CREATE.natstream", STREAM | elsewhere)
    async with open_service(nats_server, **journal.environ) as service:
        await service.state("journal", "up")
        await publish(nats_server, numbered(0, 10))
        await until(lambda: service.waiting_lines == 0)
        assert await check(journal) == []


async def test_a_user_that_may_not_list_streams(nats_server: MistreatedServer) -> None:
    """Without the permission to list streams, the journal serves, and readers are told nothing."""
    users = [USER | {"permissions": {"publish": {"deny": "$JS.API.STREAM.LIST"}}}]
    async with (
        JournalServer.run(authorization={"users": users}) as journal,
        open_service(nats_server, **journal.environ) as service,
    ):
        await service.state("journal", "up")
        status = (await service.get("/api/status")).json()["sources"]["journal"]
        assert status["restarts"] == 0
        assert await check(journal) == []


async def test_a_stream_that_copies_others(
    nats_server: MistreatedServer, journal: JournalServer
) -> None:
    """A stream into which the server copies other messages is refused."""
    await journal.ask("STREAM.CREATE.other", {"name": "other", "subjects": ["other.>"]})
    await journal.ask("STREAM.CREATE.natstream", STREAM | {"sources": [{"name": "other"}]})
    async with open_service(nats_server, **journal.environ) as service:
        said = await until_reason(service, "unfit")
        assert "it has to hold only lines that natstream stores, and copies those of other" in said
