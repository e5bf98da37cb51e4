"""The source tells its state once, and as it is."""

from __future__ import annotations

import math

import pytest
import trio
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.nats_source import is_in, is_up, kept_running, make_source
from tests.support.waiting import until

from natstream.hub.health import SourceState
from natstream.nats import states


async def test_a_server_that_comes_and_goes_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few losses the source stays lost, and says so once, until a connection lasts."""
    monkeypatch.setattr(states, "STEADY", 0.5)
    connections = 0
    is_well = False

    async def talk(session: FakeNatsSession) -> None:
        nonlocal connections
        connections += 1
        await session.greet()
        await session.stream.send_all(b"MSG logs.web.sjc.m1 1 2\r\nhi\r\n")
        await trio.sleep(math.inf if is_well else 0.02)

    async with open_fake_nats(talk) as url:
        source, hub = make_source(url)
        async with kept_running(source):
            await until(lambda: source.status.restarts > states.TOLD_LOSSES)
            await is_in(source, SourceState.LOST)
            told, before = len(hub.notices), connections
            assert "ends each connection after a moment" in hub.errors[-1]
            assert len(hub.errors) == states.TOLD_LOSSES + 1
            await until(lambda: connections >= before + 3)
            # The state is not told again. A gap for the lost lines stands before each line.
            assert all(notice.gap is not None for notice in hub.notices[told:])
            assert source.status.state is SourceState.LOST
            # The pauses grow, although each connection was up: 0.25 s, 0.5 s, 1 s, then 2 s.
            started = trio.current_time()
            await until(lambda: connections >= before + 4)
            assert trio.current_time() - started > 0.5
            is_well = True
            await is_up(source)
            # The lines of the short connections were read too.
            assert len(hub.entries) == connections
    news = [notice for notice in hub.notices[told:] if notice.gap is None]
    assert [notice.message.partition(" ")[0] for notice in news] == ["Connected"]
    assert len(hub.gaps) == connections - 1


async def test_a_server_that_comes_and_goes_without_lines_leaves_one_gap() -> None:
    """Where no line comes between the losses, one gap stands for all of them."""
    connections = 0
    is_well = False

    async def talk(session: FakeNatsSession) -> None:
        nonlocal connections
        connections += 1
        await session.greet()
        await trio.sleep(math.inf if is_well else 0.02)

    async with open_fake_nats(talk) as url:
        source, hub = make_source(url)
        async with kept_running(source):
            await until(lambda: source.status.restarts > states.TOLD_LOSSES)
            await is_in(source, SourceState.LOST)
            told, before = len(hub.notices), connections
            await until(lambda: connections >= before + 3)
            assert len(hub.notices) == told
            is_well = True
            await is_up(source)
    news = hub.notices[told:]
    assert [notice.message.partition(" ")[0] for notice in news] == ["Connected", "Lines"]
    assert news[1].gap is not None
    assert (news[1].gap.since or 0) < news[0].unix_ms - 1_000


async def test_a_steady_connection_ends_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses count only in a row, so a server that lasts for a while is told each time."""
    monkeypatch.setattr(states, "STEADY", 0.0)

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await trio.sleep(0.02)

    async with open_fake_nats(talk) as url:
        source, hub = make_source(url)
        async with kept_running(source):
            await until(lambda: source.status.connects > states.TOLD_LOSSES + 2)
    assert not any("after a moment" in error for error in hub.errors)
