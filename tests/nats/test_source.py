"""The NATS source survives every fault of a connection, and reports it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import pytest
import trio
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.mistreated import PUBLISHER, MistreatedServer
from tests.support.nats_source import (
    SECRET,
    Recorder,
    flows,
    is_in,
    is_up,
    kept_running,
    make_source,
)
from tests.support.payloads import SUBJECT, payload, payloads
from tests.support.waiting import until

from natstream.entries.entry import Gap, LogEntry
from natstream.entries.fly import parse_messages
from natstream.errors import SourceDenied, SourceUnavailable
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import open_hub
from natstream.nats.connection import Login, NatsConnection
from natstream.nats.inbox import RUN_MESSAGES, Inbox
from natstream.nats.source import NatsSource

pytestmark = pytest.mark.usefixtures("quick_retries")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry denied sources soon, because the tests rotate tokens faster than people do."""
    monkeypatch.setattr(SourceDenied, "retry_after", 0.2)


# --- lines -----------------------------------------------------------------------------------


async def test_every_line_arrives_once_and_in_order(nats_server: MistreatedServer) -> None:
    """No line is lost, doubled or moved, however the network cuts the messages."""
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await is_up(source)
        await nats_server.publish(SUBJECT, payloads(0, 20_000))
        await until(lambda: len(hub.entries) >= 20_000)
    assert hub.messages == [str(number) for number in range(20_000)]
    entry = hub.entries[0]
    assert (entry.app_name, entry.region, entry.machine_id) == ("web", "sjc", "0e286551c30586")
    assert source.status.lines == 20_000
    assert source.status.bytes == sum(map(len, payloads(0, 20_000)))
    assert source.status.lost == source.status.parse_failures == 0
    assert hub.gaps == []


async def test_real_readers_see_the_lines_of_the_source(nats_server: MistreatedServer) -> None:
    """The source works with the real hub as its sink."""
    async with open_hub() as hub:
        source = NatsSource(
            Login([nats_server.url], nats_server.user, nats_server.password),
            subjects=["logs.>"],
            sink=hub,
            status=SourceStatus("nats", hub.announce),
        )
        async with kept_running(source):
            await is_up(source)
            with hub.subscribe() as reader:
                await nats_server.publish(SUBJECT, [payload("hello")])
                with trio.fail_after(20):
                    item = await reader.receive()
    assert not isinstance(item, Gap)
    assert [entry.message for entry in item.entries] == ["hello"]


async def test_only_the_requested_apps_are_read(nats_server: MistreatedServer) -> None:
    """The source has one subscription for each app, and reads no other app."""
    source, hub = make_source(nats_server, ["logs.web.>", "logs.api.>"])
    async with kept_running(source):
        await is_up(source)
        for app in ("web", "db", "web-2", "api"):
            await nats_server.publish(f"logs.{app}.sjc.m1", [payload(app)])
        await until(lambda: len(hub.entries) == 2)
    assert {entry.app_name for entry in hub.entries} == {"web", "api"}


async def test_a_payload_that_is_no_json_object_is_delivered_and_counted(
    nats_server: MistreatedServer,
) -> None:
    """Text, arrays, broken JSON and invalid UTF-8 are lines too; so is any subject."""
    source, hub = make_source(nats_server, [">"])
    async with kept_running(source):
        await is_up(source)
        await nats_server.publish(SUBJECT, [b"plain", b"[1]", b'{"message":', b"\xff", b""])
        await nats_server.publish(SUBJECT, [b'{"message": "an object"}'])
        await nats_server.publish("logs", [payload("a short subject")])
        await until(lambda: len(hub.entries) == 7)
    assert hub.messages[:2] == ["plain", "[1]"]
    assert source.status.parse_failures == 5


async def test_a_large_message_passes(nats_server: MistreatedServer) -> None:
    """A message passes whole up to the server's own limit, 1 MiB."""
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await is_up(source)
        await nats_server.publish(SUBJECT, [payload("x" * 1_000_000), payload("next")])
        await until(lambda: len(hub.entries) == 2)
    assert hub.messages[1] == "next"


# --- the connection is lost ------------------------------------------------------------------


async def test_the_source_is_back_soon_after_the_server(nats_server: MistreatedServer) -> None:
    """Readers get an error for a killed server; lines flow within 2.5 seconds of its return."""
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await is_up(source)
        await flows(nats_server, hub, "before")
        for killed in range(1, 4):
            before = time.time_ns() // 1_000_000
            await nats_server.kill()
            await is_in(source, SourceState.LOST)
            assert len(hub.errors) >= 1
            assert nats_server.url.removeprefix("nats://") in hub.errors[-1]
            await nats_server.start()
            await is_up(source, within=2.5)
            await flows(nats_server, hub, f"after {killed}")
            # NATS keeps nothing, so the number of missing lines is unknown.
            assert [gap.missed for gap in hub.gaps] == [None] * killed
            assert (hub.gaps[-1].since or 0) >= before
    assert source.status.connects == 4
    assert hub.errors[0].endswith("is lost: the server closed the connection")


async def test_a_server_that_is_down_at_start_is_waited_for(nats_server: MistreatedServer) -> None:
    """The first error names the setting to check; it is not repeated with each attempt."""
    await nats_server.stop()
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await until(lambda: source.status.restarts >= 3)
        assert len(hub.errors) == 1
        assert "Connection refused" in hub.errors[0]
        assert "NATSTREAM_NATS_URL" in hub.errors[0]
        await nats_server.start()
        await is_up(source, within=2.5)
        await flows(nats_server, hub, "here")
    assert hub.gaps == []  # it was never connected, so no lines are missing


async def test_a_lame_duck_without_another_server_is_read_until_its_end(
    nats_server: MistreatedServer,
) -> None:
    """A server that announces its end goes on delivering, and no line of that time is lost."""
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await is_up(source)
        async with nats_server.publisher() as publisher:
            nats_server.lame_duck()
            await until(lambda: any("is shutting down" in notice.message for notice in hub.notices))
            for number in range(30):
                await publisher.publish([(SUBJECT, payload(str(number)))])
                await trio.sleep(0.02)
        await until(lambda: len(hub.entries) == 30)
        assert source.status.state is SourceState.UP
        assert hub.errors == []
        await nats_server.kill()
        await is_in(source, SourceState.LOST)
        assert "is lost: the server is shutting down" in hub.errors[0]
        await nats_server.start()
        await is_up(source, within=2.5)
    assert hub.messages == [str(number) for number in range(30)]


async def test_a_server_that_falls_silent_is_given_up(nats_server: MistreatedServer) -> None:
    """A hanging machine closes no connection, and accepts new ones without ever answering."""
    source, hub = make_source(nats_server, ping_interval=0.1)
    async with kept_running(source):
        await is_up(source)
        nats_server.pause()
        await is_in(source, SourceState.LOST)
        assert hub.errors[0].endswith("is lost: the server does not answer")
        await until(lambda: "cannot be reached: the server does not answer" in hub.errors[-1])
        nats_server.resume()
        await is_up(source, within=2.5)
        await flows(nats_server, hub, "again")


async def test_a_busy_server_is_not_silent() -> None:
    """Lines show that a server is alive, since its answer to a PING waits behind them."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        for _ in range(100):
            await session.stream.send_all(b"MSG logs.x 1 2\r\nhi\r\n")
            await trio.sleep(0.01)
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        source, hub = make_source(url, ping_interval=0.05, quiet_until=0.0)
        async with kept_running(source):
            await until(lambda: len(hub.entries) == 100)
            assert source.status.connects == 1
            await is_in(source, SourceState.LOST)  # now the server is silent


async def test_several_servers_are_tried(nats_server: MistreatedServer) -> None:
    """The source connects to the second server while the first is down."""
    source, hub = make_source(nats_server)
    servers = ["nats://127.0.0.1:1", nats_server.url]
    source.login = attrs.evolve(source.login, servers=servers)
    async with kept_running(source):
        await is_up(source, within=1)
        await flows(nats_server, hub, "here")
    assert hub.errors == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nats://127.0.0.1:1", "NATS at 127.0.0.1:1 cannot be reached: Connection refused"),
        ("tls://localhost:1", "NATS at localhost:1 cannot be reached: Connection refused"),
        ("nats://a..b", "NATS at a..b:4222 cannot be reached: the server's name is not valid"),
        ("nats://[::1]:1", "NATS at [::1]:1 cannot be reached: "),
    ],
)
async def test_the_reason_is_a_short_sentence(url: str, reason: str) -> None:
    """The error has our own words, because those of the libraries show their internals."""
    source, _ = make_source(url)
    with pytest.raises(SourceUnavailable) as caught:
        await source.run()
    assert str(caught.value).startswith(reason)
    assert str(caught.value).endswith("; NATSTREAM_NATS_URL says where it is")


# --- access is denied ------------------------------------------------------------------------


async def test_a_wrong_password_is_told_apart(nats_server: MistreatedServer) -> None:
    """A refused login is not an unreachable server. The error names both variables, no value."""
    source, hub = make_source(nats_server, password=SECRET)
    async with kept_running(source):
        await is_in(source, SourceState.DENIED)
        await until(lambda: source.status.restarts >= 3)
        assert len(hub.errors) == 1
        assert "FLY_ORG" in hub.errors[0]
        assert "ACCESS_TOKEN" in hub.errors[0]
        source.login = attrs.evolve(source.login, password=nats_server.password)
        await is_up(source)
        await flows(nats_server, hub, "here")
    assert SECRET not in f"{source}{hub}"


async def test_revoked_credentials_are_seen_live(nats_server: MistreatedServer) -> None:
    """The source reports revoked credentials, and continues when they are valid again."""
    source, hub = make_source(nats_server)
    async with kept_running(source):
        await is_up(source)
        nats_server.revoke()
        await is_in(source, SourceState.DENIED)
        assert "ACCESS_TOKEN" in hub.errors[0]
        nats_server.allow()
        await is_up(source)
        await flows(nats_server, hub, "again")


async def test_a_denied_subject_is_never_up(nats_server: MistreatedServer) -> None:
    """The connection is not announced as up if the server refuses one of its subscriptions."""
    nats_server.deny("logs.db.>")
    await nats_server.restart()
    source, hub = make_source(nats_server, ["logs.web.>", "logs.db.>"])
    async with kept_running(source):
        await is_in(source, SourceState.DENIED)
        assert "logs.db.>" in hub.errors[0]
        assert "FLY_APP" in hub.errors[0]
        assert source.status.connects == 0
        nats_server.allow()
        await is_up(source)
        await flows(nats_server, hub, "here")


async def test_a_subject_denied_later_is_seen_live(nats_server: MistreatedServer) -> None:
    """The server ends a subscription and keeps the connection, but the source notices it."""
    source, hub = make_source(nats_server, ["logs.web.>", "logs.db.>"])
    async with kept_running(source):
        await is_up(source)
        nats_server.deny("logs.db.>")
        await is_in(source, SourceState.DENIED)
        assert "logs.db.>" in hub.errors[0]
        nats_server.allow()
        await is_up(source)
        await flows(nats_server, hub, "again")


# --- strange servers -------------------------------------------------------------------------


STAGES = ["accepted", "greeted", "connected", "subscribed", "up"]


async def mute_from(session: FakeNatsSession, stage: str) -> None:
    """Talk to the client up to `stage`, then say nothing more."""
    number = STAGES.index(stage)
    if number >= 1:
        await session.inform()
        await session.hear(b"CONNECT")
        await session.hear(b"PING\r\n")
    if number >= 2:
        await session.say("PONG")
        await session.hear(b"SUB ")
    if number >= 3:
        await session.hear(b"PING\r\n")
    if number >= 4:
        await session.say("PONG")
    await trio.sleep_forever()


@pytest.mark.parametrize("stage", STAGES[:-1])
async def test_a_mute_server_is_given_up_while_connecting(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt ends at its deadline, at whichever step the server stops answering."""
    monkeypatch.setattr("natstream.nats.connection.CONNECT_DEADLINE", 0.2)
    async with open_fake_nats(lambda session: mute_from(session, stage)) as url:
        source, _ = make_source(url)
        with trio.fail_after(10), pytest.raises(SourceUnavailable, match="does not answer"):
            await source.run()
    assert source.status.connects == 0


@pytest.mark.parametrize("stage", STAGES)
async def test_the_source_can_be_cancelled_at_every_await(stage: str) -> None:
    """A cancelled source ends at once, even if the server does not answer."""
    reached = trio.Event()

    async def talk(session: FakeNatsSession) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mute_from, session, stage)
            await trio.sleep(0.05)
            reached.set()

    async with open_fake_nats(talk) as url:
        source, _ = make_source(url, quiet_until=0.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run)
            await reached.wait()
            started = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started < 0.9
    assert source.status.connects == (stage == "up")


@pytest.mark.parametrize("milliseconds", range(0, 20, 2))
async def test_the_source_can_be_cancelled_at_any_time(
    nats_server: MistreatedServer, milliseconds: int
) -> None:
    """A cancelled source ends at once at every moment of its connection, and leaves no task."""
    source, _ = make_source(nats_server)
    tasks = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(milliseconds / 1000) as scope:
        await source.run()
    assert scope.cancelled_caught
    assert trio.current_time() - scope.deadline < 2  # both of its own deadlines are shorter
    assert trio.lowlevel.current_statistics().tasks_living == tasks


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "-ERR 'maximum connections exceeded'",
        "-ERR",
        "-ERR 'Unknown Protocol Operation'",
        "INFO {",
        "MSG a b c",
    ],
)
async def test_a_server_that_sends_nonsense_is_left(words: str) -> None:
    """Nonsense ends the connection, and neither the process nor the source hangs."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.say(words)
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        source, _ = make_source(url, ping_interval=0.1)
        with trio.fail_after(10), pytest.raises(SourceUnavailable):
            await source.run()


async def test_the_password_is_in_no_message() -> None:
    """A password that the server repeats is removed, since nats-py passes its words on."""

    async def talk(session: FakeNatsSession) -> None:
        await session.inform(auth_required=True)
        await session.hear(b"PING\r\n")
        await session.say(f"-ERR 'I do not like \x1b[1m {SECRET.lower()}'")

    async with open_fake_nats(talk) as url:
        address = url.removeprefix("nats://")
        source, hub = make_source(f"nats://user:{SECRET}@{address}")
        with pytest.raises(SourceUnavailable) as caught:
            await source.run()
    said = f"{caught.value}{source}{hub}"
    assert "I do not like" in said
    assert SECRET.lower() not in said.lower()
    assert "\x1b" not in said


async def test_the_password_is_never_sent_unencrypted_to_a_tls_address() -> None:
    """An attacker may change the server's first line, which is unencrypted, and deny TLS."""
    heard = bytearray()

    async def talk(session: FakeNatsSession) -> None:
        await session.inform(auth_required=True)
        async for chunk in session.stream:
            heard.extend(chunk)

    async with open_fake_nats(talk) as url:
        source, _ = make_source(url.replace("nats://", "tls://"))
        with pytest.raises(SourceUnavailable, match="offers no TLS"):
            await source.run()
    assert SECRET.encode() not in heard


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        (
            *make.split(),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ),
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_tls_works_and_its_errors_are_explained(
    nats_server: MistreatedServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An untrusted certificate is refused; a trusted one is accepted."""
    cert_file, key_file = map(str, certificate)
    nats_server.settings["tls"] = {"cert_file": cert_file, "key_file": key_file}
    await nats_server.restart()
    source, hub = make_source(nats_server.url.replace("nats://", "tls://"))
    source.login = attrs.evolve(source.login, password=nats_server.password)
    with pytest.raises(SourceUnavailable, match="certificate is not valid"):
        await source.run()
    monkeypatch.setenv("SSL_CERT_FILE", cert_file)
    login = Login(source.login.servers, **PUBLISHER)
    numbers = [str(number) for number in range(5_000)]
    async with kept_running(source):
        await is_up(source)
        publisher = NatsConnection(login, lambda: None)
        async with publisher.connected({}):
            for number in numbers:
                line = payload(number)
                publisher.send(b"PUB %b %d\r\n%b\r\n" % (SUBJECT.encode(), len(line), line))
            await publisher.wait_sent()
        await until(lambda: len(hub.entries) >= 5_000)
    assert hub.messages == numbers
    assert hub.errors == []


async def test_a_wanted_client_certificate_is_named(
    nats_server: MistreatedServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error says what the server wants, since the end of the connection alone does not."""
    cert_file, key_file = map(str, certificate)
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": cert_file, "verify": True}
    nats_server.settings["tls"] = tls
    await nats_server.restart()
    monkeypatch.setenv("SSL_CERT_FILE", cert_file)
    source, _ = make_source(nats_server, password=nats_server.password)
    with pytest.raises(SourceUnavailable, match="wants a client certificate"):
        await source.run()


async def test_a_server_that_encrypts_first_is_connected(
    nats_server: MistreatedServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An address with tls:// works with nats-server's `handshake_first` without a setting."""
    cert_file, key_file = map(str, certificate)
    tls = {"cert_file": cert_file, "key_file": key_file, "handshake_first": True}
    nats_server.settings["tls"] = tls
    await nats_server.restart()
    monkeypatch.setenv("SSL_CERT_FILE", cert_file)
    source, hub = make_source(nats_server.url.replace("nats://", "tls://"))
    source.login = attrs.evolve(source.login, password=nats_server.password)
    async with kept_running(source):
        await is_up(source, within=2.5)
    assert hub.errors == []


# --- closing and overflow --------------------------------------------------------------------


class CountedInbox(Inbox):
    """An inbox that counts the messages that have arrived."""

    arrived = 0

    def append(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        super().append(subject, reply, payload, headers)
        self.arrived += 1


class StuckHub(Recorder):
    """A sink whose first `publish` waits until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = trio.Event()

    async def publish(self, entries: Sequence[LogEntry]) -> None:
        await super().publish(entries)
        await self.go_on.wait()

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        super().announce(message, type, gap=gap)
        if gap:
            self.entries.append(LogEntry("", "the gap", "system"))


async def test_a_cancelled_source_publishes_the_lines_that_had_arrived(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources are cancelled first at the end of the service, and readers lose no queued line."""
    inbox = CountedInbox()
    monkeypatch.setattr("natstream.nats.source.Inbox", lambda: inbox)
    hub = StuckHub()
    source, _ = make_source(nats_server, hub=hub)
    async with trio.open_nursery() as nursery:
        await nursery.start(source.run)
        await nats_server.publish(SUBJECT, payloads(0, 5_000))
        await until(lambda: inbox.arrived == 5_000)
        nursery.cancel_scope.cancel()
        hub.go_on.set()
    assert hub.messages == [str(number) for number in range(5_000)]


async def test_lines_that_are_not_published_in_time_count_as_lost(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grace ends, and the lines that remain are announced as a gap with their number."""
    inbox = CountedInbox()
    monkeypatch.setattr("natstream.nats.source.Inbox", lambda: inbox)
    hub = StuckHub()
    source, _ = make_source(nats_server, hub=hub)
    source.grace = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(source.run)
        await nats_server.publish(SUBJECT, payloads(0, 5_000))
        await until(lambda: inbox.arrived == 5_000)
        nursery.cancel_scope.cancel()
        hub.go_on.set()
    assert source.status.lines + source.status.lost == 5_000
    assert [gap.missed for gap in hub.gaps] == [source.status.lost]


async def test_lines_that_do_not_fit_are_announced_where_they_are_missing(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers get one notice with the exact number, where the lines are missing."""
    inbox = CountedInbox(max_messages=700)
    monkeypatch.setattr("natstream.nats.source.Inbox", lambda: inbox)
    hub = StuckHub()
    source, _ = make_source(nats_server, hub=hub)
    async with kept_running(source):
        await is_up(source)
        await nats_server.publish(SUBJECT, [payload("first")])
        await until(lambda: hub.entries)
        await nats_server.publish(SUBJECT, payloads(0, 1_000))
        await until(lambda: inbox.arrived == 1_001)
        hub.go_on.set()
        await until(lambda: hub.gaps)
        await flows(nats_server, hub, "last")
    assert [gap.missed for gap in hub.gaps] == [300]
    assert source.status.lost == 300
    assert hub.messages == ["first", *map(str, range(700)), "the gap", "last"]


async def test_a_bug_in_parsing_loses_one_run_and_is_announced_there(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that waited behind the lost run are published, then those of the next connection."""

    def parse(messages: Sequence[tuple[bytes, bytes]]) -> list[LogEntry]:
        entries = parse_messages(messages)
        if any(entry.message == "600" for entry in entries):
            raise RuntimeError("a bug")
        return entries

    inbox = CountedInbox()
    monkeypatch.setattr("natstream.nats.source.Inbox", lambda: inbox)
    monkeypatch.setattr("natstream.nats.source.parse_messages", parse)
    hub = StuckHub()
    source, _ = make_source(nats_server, hub=hub)
    async with kept_running(source):
        await is_up(source)
        await nats_server.publish(SUBJECT, [payload("first")])
        await until(lambda: hub.entries)
        await nats_server.publish(SUBJECT, payloads(0, 1_600))
        await until(lambda: inbox.arrived == 1_601)
        hub.go_on.set()
        await until(lambda: source.status.restarts)
        await is_up(source)
        await flows(nats_server, hub, "last")
    lost = [(gap.missed, gap.at_most) for gap in hub.gaps]
    assert lost == [(RUN_MESSAGES, True), (None, False)]
    assert source.status.lost == RUN_MESSAGES
    before, behind = range(RUN_MESSAGES), range(2 * RUN_MESSAGES, 1_600)
    assert hub.messages == [
        *("first", *map(str, before), "the gap"),
        *(*map(str, behind), "the gap", "last"),
    ]


def test_importing_the_source_warns_of_nothing() -> None:
    """Users see no warning of trio-asyncio, whose import warns on Python 3.12 and 3.13."""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", "import natstream.nats.source"], check=True
    )
