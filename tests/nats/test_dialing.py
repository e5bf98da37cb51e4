"""All addresses are tried side by side, so that no server hides another."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.mistreated import MistreatedServer
from tests.support.nats_source import SECRET, flows, is_up, kept_running, make_source

from natstream.errors import SourceDenied, SourceUnavailable
from natstream.nats.client_adapter import NetworkAddress
from natstream.nats.dialing import MOST_ADDRESSES, STAGGER, network_addresses, try_side_by_side

Resolve = Callable[[Sequence[str]], None]
Asked = list[float]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Let the name `nats.test` resolve to the addresses of these URLs, in their order."""
    real = socket.getaddrinfo

    def use(urls: Sequence[str]) -> None:
        def fake(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host not in ("nats.test", b"nats.test"):
                return real(host, port, *args, **options)
            places = [url.removeprefix("nats://").split(":") for url in urls]
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, (host, int(port))) for host, port in places]

        monkeypatch.setattr(socket, "getaddrinfo", fake)

    return use


async def hang(session: FakeNatsSession) -> None:
    """Accept the connection, and say nothing."""
    await trio.sleep_forever()


def denying(asked: Asked) -> Callable[[FakeNatsSession], Any]:
    """Refuse the credentials, and note when a client asked."""

    async def talk(session: FakeNatsSession) -> None:
        asked.append(trio.current_time())
        await session.inform(auth_required=True)
        await session.hear(b"PING\r\n")
        await session.say("-ERR 'Authorization Violation'")

    return talk


@pytest.mark.parametrize("hung", [1, 6])
async def test_addresses_that_hang_hide_no_other_address_of_their_name(
    hung: int, nats_server: MistreatedServer, resolve: Resolve
) -> None:
    """A name's last address is reached after a stagger for each address that hangs before it."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(open_fake_nats(hang)) for _ in range(hung)]
        resolve([*urls, nats_server.url])
        source, hub = make_source("nats://nats.test:1", password=nats_server.password)
        async with kept_running(source):
            await is_up(source, within=hung * STAGGER + 1)
            await flows(nats_server, hub, "here")
    assert hub.errors == []


async def test_a_server_may_hang_at_any_step(
    nats_server: MistreatedServer, resolve: Resolve
) -> None:
    """Three servers of a name hang, each in another way, and the fourth one is used."""

    async def hang_later(session: FakeNatsSession) -> None:
        await session.inform()
        await trio.sleep_forever()

    async def hang_at_the_end(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.say("PONG")
        await trio.sleep_forever()

    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(open_fake_nats(talk))
            for talk in (hang, hang_later, hang_at_the_end)
        ]
        resolve([*servers, nats_server.url])
        source, hub = make_source("nats://nats.test:1", password=nats_server.password)
        async with kept_running(source):
            await is_up(source, within=4)
            await flows(nats_server, hub, "here")
    assert hub.errors == []


async def test_servers_of_the_setting_are_tried_side_by_side(nats_server: MistreatedServer) -> None:
    """The second server of the list is used while the first one accepts and says nothing."""
    async with open_fake_nats(hang) as url:
        source, hub = make_source(nats_server)
        source.login = attrs.evolve(source.login, servers=[url, nats_server.url])
        async with kept_running(source):
            await is_up(source, within=1.5)
            await flows(nats_server, hub, "here")
    assert hub.errors == []
    assert source.status.detail.startswith(f"Connected to NATS at 127.0.0.1:{nats_server.port},")


async def test_an_unknown_name_hides_no_server(nats_server: MistreatedServer) -> None:
    """A name that cannot be resolved is skipped, even if the resolver takes long."""
    source, _ = make_source(nats_server)
    servers = ["nats://does-not-exist.invalid", nats_server.url]
    source.login = attrs.evolve(source.login, servers=servers)
    async with kept_running(source):
        await is_up(source, within=1.5)


async def test_the_reasons_of_several_servers_are_all_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error of a list names each server with its own reason."""
    monkeypatch.setattr("natstream.nats.connection.CONNECT_DEADLINE", 0.3)
    async with open_fake_nats(hang) as url:
        source, _ = make_source(url)
        source.login = attrs.evolve(source.login, servers=["nats://127.0.0.1:1", url])
        with pytest.raises(SourceUnavailable) as caught:
            await source.run()
    address = url.removeprefix("nats://")
    assert str(caught.value) == (
        "NATS at 127.0.0.1:1 cannot be reached: Connection refused; "
        f"{address}: the server does not answer; NATSTREAM_NATS_URL says where it is"
    )


async def test_a_server_that_refuses_the_credentials_hides_no_other(
    nats_server: MistreatedServer,
) -> None:
    """The other server is used, and the refusal stands in the state."""
    asked: Asked = []
    async with open_fake_nats(denying(asked)) as url:
        source, hub = make_source(nats_server)
        source.login = attrs.evolve(source.login, servers=[url, nats_server.url])
        async with kept_running(source):
            await is_up(source, within=1.5)
            await flows(nats_server, hub, "here")
            address = url.removeprefix("nats://")
            assert source.status.detail.endswith(
                f"; {address} is not used, because it refuses the credentials"
            )
            assert source.status.detail in [notice.message for notice in hub.notices]
            await nats_server.restart()
            await is_up(source, within=2.5)
    assert len(asked) == 1  # for half a minute, it is not asked again


async def test_a_server_that_forbids_a_subject_hides_no_other(
    nats_server: MistreatedServer,
) -> None:
    """A server whose user may not read the subject is left for one whose user may."""

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.say("PONG")
        await session.hear(b"SUB ")
        await session.say("-ERR 'Permissions Violation for Subscription to \"logs.>\"'")
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        source, hub = make_source(nats_server)
        source.login = attrs.evolve(source.login, servers=[url, nats_server.url])
        async with kept_running(source):
            await is_up(source, within=1.5)
            await flows(nats_server, hub, "here")
            assert "is not used, because it does not let us read" in source.status.detail


async def test_a_refusal_delays_only_the_server_that_refuses(
    nats_server: MistreatedServer,
) -> None:
    """While one server refuses the credentials, the one that is down is asked again soon."""
    asked: Asked = []
    await nats_server.stop()
    async with open_fake_nats(denying(asked)) as url:
        source, hub = make_source(nats_server)
        source.login = attrs.evolve(source.login, servers=[url, nats_server.url])
        async with kept_running(source):
            with trio.fail_after(10):
                while source.status.restarts < 3:
                    await trio.sleep(0.05)
            assert len(hub.errors) == 1
            assert "refuses the credentials" in hub.errors[0]
            assert f"127.0.0.1:{nats_server.port}: Connection refused" in hub.errors[0]
            await nats_server.start()
            await is_up(source, within=2.5)
    assert len(asked) == 1


async def test_a_refusal_holds_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a list of which every server refuses says when the first may be asked again."""
    monkeypatch.setattr(SourceDenied, "retry_after", 0.5)
    asked: Asked = []
    async with open_fake_nats(denying(asked)) as url:
        source, _ = make_source(url, password=SECRET)
        for attempts, pause in ((1, 0.0), (1, 0.6), (2, 0.0)):
            with pytest.raises(SourceDenied) as caught:
                await source.run()
            assert 0 < caught.value.retry_after <= 0.5
            assert len(asked) == attempts
            await trio.sleep(pause)


# --- the order of the attempts -----------------------------------------------------------------


async def test_an_attempt_starts_when_its_predecessor_fails(autojump_clock: object) -> None:
    """A failure starts the next attempt at once, and an attempt that hangs after the stagger."""
    started: list[float] = []

    async def attempt(seconds: float) -> None:
        started.append(trio.current_time())
        await trio.sleep(seconds)

    begin = trio.current_time()
    await try_side_by_side([partial(attempt, seconds) for seconds in (0.1, 10, 0.1, 0)])
    assert [round(at - begin, 3) for at in started] == [0, 0.1, 0.1 + STAGGER, 0.2 + STAGGER]
    assert trio.current_time() - begin == pytest.approx(10.1)


async def test_a_name_with_very_many_addresses_is_bounded(resolve: Resolve) -> None:
    """Only the first addresses of a name are tried, each once."""
    resolve([f"nats://127.0.{number}.1:4222" for number in (*range(200), 0)])
    addresses = await network_addresses("nats://nats.test")
    assert addresses == [NetworkAddress(f"127.0.{n}.1", 4222) for n in range(MOST_ADDRESSES)]


async def test_an_encrypted_server_may_speak_second() -> None:
    """An address with tls:// is tried in both orders: the server speaks first, or TLS does."""
    addresses = await network_addresses("tls://127.0.0.1:7")
    assert addresses == [
        NetworkAddress("127.0.0.1", 7),
        NetworkAddress("127.0.0.1", 7, encrypts_first=True),
    ]
