"""While one connection takes over from another, no line is lost and none is doubled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.loopback import free_port
from tests.support.mistreated import MistreatedServer
from tests.support.nats_source import is_in, is_up, kept_running, make_source
from tests.support.payloads import SUBJECT, payload
from tests.support.waiting import until

from natstream.hub.health import SourceState
from natstream.nats.handover import Handover
from natstream.nats.inbox import Message


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[MistreatedServer, MistreatedServer]]:
    """Run two servers of one cluster; what is published at one reaches the readers of both."""
    ports = [free_port(), free_port()]
    async with MistreatedServer.run() as first, MistreatedServer.run() as second:
        for server, own, other in ((first, ports[0], ports[1]), (second, ports[1], ports[0])):
            server.settings["cluster"] = {
                "name": "pair",
                "listen": f"127.0.0.1:{own}",
                "routes": [f"nats://127.0.0.1:{other}"],
            }
            await server.restart()
        yield first, second


def line(number: int) -> str:
    """Return a line; every tenth is equal to others, and all others are different."""
    return "tick" if number % 10 == 0 else str(number)


@pytest.mark.parametrize("publish_at", [0, 1])
async def test_a_lame_duck_is_left_without_a_loss(publish_at: int) -> None:
    """Lines that are published all the time arrive once and in order, over both connections."""
    async with open_pair() as servers:
        lame, other = servers
        source, hub = make_source(lame)
        source.login = attrs.evolve(source.login, servers=[lame.url, other.url])
        sent, enough, done = 0, False, False
        async with (
            kept_running(source),
            servers[publish_at].publisher() as publisher,
            trio.open_nursery() as nursery,
        ):
            await is_up(source)

            async def publish() -> None:
                nonlocal sent, done
                while not enough:
                    await publisher.publish([(SUBJECT, payload(line(sent)))])
                    sent += 1
                    await trio.sleep(0.002)
                done = True

            nursery.start_soon(publish)
            await until(lambda: len(hub.entries) > 20)
            lame.lame_duck()
            await until(lambda: str(other.port) in source.status.detail)
            after = sent
            await until(lambda: len(hub.entries) > after + 100)
            enough = True
            await until(lambda: done and hub.messages[-1] == line(sent - 1))
            await lame.kill()
            await trio.sleep(0.1)
            assert source.status.state is SourceState.UP
    # At the beginning, the other server may not have learned of the subscription yet.
    assert hub.messages == [line(number) for number in range(sent)][-len(hub.messages) :]
    assert len(hub.messages) > after - 20
    assert hub.errors == []
    assert hub.gaps == []


async def test_the_server_that_shuts_down_is_no_other_server() -> None:
    """A lame duck that accepts new connections is not connected anew in place of the old one."""
    sessions = 0

    async def talk(session: FakeNatsSession) -> None:
        nonlocal sessions
        sessions += 1
        is_first = sessions == 1
        await session.greet()
        if is_first:
            await session.inform(ldm=True)
            for number in range(20):
                await session.stream.send_all(b"MSG logs.x 1 2\r\n%02d\r\n" % number)
                await trio.sleep(0.05)
        else:
            await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        source, hub = make_source(url)
        async with kept_running(source):
            await is_in(source, SourceState.LOST)
            assert hub.messages == [f"{number:02}" for number in range(20)]
            await is_up(source)
            assert hub.messages == [f"{number:02}" for number in range(20)]


async def test_the_last_lines_of_a_lame_duck_are_published_at_the_end_of_the_service() -> None:
    """A source that is cancelled while both connections deliver loses no line and doubles none."""
    lines = [b"MSG logs.x 1 2\r\n%02d\r\n" % number for number in range(20)]

    async def talk_lame(session: FakeNatsSession) -> None:
        await session.greet()
        await session.inform(ldm=True)
        await go_on.wait()
        await session.stream.send_all(b"".join(lines[:15]))
        await trio.sleep_forever()

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        go_on.set()
        await session.stream.send_all(b"".join(lines[5:]))
        done.set()
        await trio.sleep_forever()

    go_on, done = trio.Event(), trio.Event()
    async with open_fake_nats(talk_lame) as lame, open_fake_nats(talk) as other:
        source, hub = make_source(lame)
        source.login = attrs.evolve(source.login, servers=[lame, other])
        async with kept_running(source):
            await done.wait()
            await until(lambda: source._successor and len(hub.entries) == 15)
            await trio.sleep(0.1)  # the other server's lines arrive, and wait
    assert hub.messages == [f"{number:02}" for number in range(20)]


async def test_lines_before_the_new_connection_is_accepted_are_published_at_the_end() -> None:
    """A source that is cancelled while the other server subscribes keeps the lines it brought."""

    async def talk_lame(session: FakeNatsSession) -> None:
        await session.greet()
        await session.inform(ldm=True)
        await trio.sleep_forever()

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.say("PONG")
        await session.hear(b"SUB ")
        await session.say("MSG logs.x 1 2\r\nhi")
        sent.set()  # The PONG behind the subscription does not come.
        await trio.sleep_forever()

    sent = trio.Event()
    async with open_fake_nats(talk_lame) as lame, open_fake_nats(talk) as other:
        source, hub = make_source(lame)
        source.login = attrs.evolve(source.login, servers=[lame, other])
        async with kept_running(source):
            await sent.wait()
            await until(lambda: source._successor and source._successor.inbox._messages)
            assert hub.messages == []
    assert hub.messages == ["hi"]


MESSAGES = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.sampled_from([b"1", b"2"])))


@given(MESSAGES, MESSAGES, MESSAGES)
def test_each_message_is_published_once(
    before: list[Message], both: list[Message], after: list[Message]
) -> None:
    """What both connections bring is taken from the new one's messages, equal ones by number."""
    handover = Handover()
    for message in before:
        handover.note(message, 1.0)
    for message in both:
        handover.note(message, 2.0)
    handover.close(2.0)
    assert [m for m in [*both, *after] if not handover.is_known(m)] == after
