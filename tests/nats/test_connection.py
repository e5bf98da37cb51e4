"""A connection hands over messages, sends commands, and ends with a reason that people can read."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from itertools import pairwise

import pytest
import trio
from nats.errors import ProtocolError
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.mistreated import PUBLISHER, MistreatedServer
from tests.support.waiting import PATIENCE, until

from natstream.nats.connection import Login, NatsConnection


@pytest.mark.parametrize(
    "words",
    [
        b"MSG logs.web 1 x\r\n",
        b"MSG logs.web 1 -22\r\n",
        b"MSG logs.web 1 9999999999\r\n",
        b"HMSG logs.web 1 6 5\r\nhello\r\n",
        b"MSG\tlogs.web 1 2\r\nhi\r\n",
        b"INFO {\r\n",
        b"-ERR \r\n",
        b"nonsense\r\n",
        b"x" * 5_000 + b"\r\n",
    ],
    ids=lambda words: words[:20],
)
async def test_a_malformed_message_ends_the_connection(words: bytes) -> None:
    """A malformed message ends the connection at once, and the reason blames the server."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.stream.send_all(words)
        await trio.sleep_forever()

    ended = 0

    def on_end() -> None:
        nonlocal ended
        ended += 1

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), on_end, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: None}):
            await until(lambda: connection.end)
    assert ended == 1
    assert connection.failure().kind == "unreachable"
    assert connection.failure().words == "the server does not follow the NATS protocol"


async def test_a_handler_that_raises_ends_the_connection() -> None:
    """A handler must not raise; if it does, the connection does not go on in silence."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.stream.send_all(b"MSG logs.web 1 2\r\nhi\r\n")
        await trio.sleep_forever()

    def fail(*message: bytes) -> None:
        raise KeyError(message)

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": fail}):
            await until(lambda: connection.end)
    assert isinstance(connection.end, ProtocolError)


async def test_a_large_message_on_a_slow_network_is_a_sign_of_life() -> None:
    """A server is not given up while it sends one message that takes longer than two PINGs."""
    got: list[bytes] = []

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.stream.send_all(b"MSG logs.web 1 50\r\n")
        for _ in range(50):
            await session.stream.send_all(b"x")
            await trio.sleep(0.01)
        await session.stream.send_all(b"\r\n")
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=0.1)
        handlers = {"logs.>": lambda *message: got.append(message[2])}
        async with connection.connected(handlers):
            await until(lambda: connection.end)
    assert got == [b"x" * 50]
    assert connection.failure().words == "the server does not answer"


async def test_messages_are_read_together_while_nobody_waits_for_them() -> None:
    """Messages that come one by one stay in the socket; then come all of them, and the end."""
    got: list[tuple[bytes, float]] = []

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        for number in range(100):
            await session.stream.send_all(b"MSG logs.web 1 2\r\n%02d\r\n" % number)
            await trio.sleep(0.002)
        await session.stream.aclose()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, quiet_until=lambda: math.inf)
        handlers = {"logs.>": lambda *message: got.append((message[2], trio.current_time()))}
        async with connection.connected(handlers):
            await until(lambda: connection.end)
    assert [message for message, _ in got] == [b"%02d" % number for number in range(100)]
    times = [at for _, at in got]
    reads = sum(later - at > 0.001 for at, later in pairwise(times)) + 1
    assert reads <= (times[-1] - times[0]) / 0.1 + 2


async def test_a_sender_can_wait_for_the_network(nats_server: MistreatedServer) -> None:
    """`wait_sent` returns once the network has accepted the commands, and not before."""
    login = Login([nats_server.url], **PUBLISHER)
    connection = NatsConnection(login, lambda: None)
    await connection.wait_sent()  # There is nothing to wait for yet.
    async with connection.connected({}):
        for _ in range(8):
            connection.send(b"PUB there.x 1000000\r\n%b\r\n" % (b"x" * 1_000_000))
        assert connection.unsent > 8_000_000
        with trio.fail_after(PATIENCE):
            await connection.wait_sent()
        assert connection.unsent == 0
        with trio.fail_after(PATIENCE):
            await connection.wait_sent()


async def test_a_wait_for_a_network_that_accepts_nothing_can_be_cancelled() -> None:
    """While the server reads nothing, `wait_sent` waits; a cancel does not end the connection."""
    hang_up = trio.Event()

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await hang_up.wait()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: None}):
            connection.send(b"PUB there.x 30000000\r\n%b\r\n" % (b"x" * 30_000_000))
            with trio.move_on_after(0.5) as scope:
                await connection.wait_sent()
            # asyncio's writelines in 3.12.0 to 3.12.8, 3.13.0 and 3.13.1 never makes a writer wait
            # (python/cpython#127655).
            assert scope.cancelled_caught or sys.version_info >= (3, 12)
            assert connection.end is None
            hang_up.set()
            await until(lambda: connection.end)


async def test_the_socket_of_a_server_that_reads_nothing_is_closed() -> None:
    """No socket stays open, although nats-py waits in vain for the server to read the rest."""
    left, ended = trio.Event(), trio.Event()

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await left.wait()
        with suppress(trio.BrokenResourceError):
            async for _ in session.stream:
                pass
        ended.set()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: None}):
            connection.send(b"PUB there.x 30000000\r\n%b\r\n" % (b"x" * 30_000_000))
        left.set()
        with trio.fail_after(PATIENCE):
            await ended.wait()


async def test_commands_arrive_whole_and_in_order(nats_server: MistreatedServer) -> None:
    """The buffer takes more than the network does. After the end, commands go nowhere."""
    got: list[bytes] = []
    login = Login([nats_server.url], **PUBLISHER)
    connection = NatsConnection(login, lambda: None)
    connection.send(b"PUB before 0\r\n\r\n")  # there is no connection yet
    async with connection.connected({}):
        assert connection.end is None
        assert connection.max_payload == 2**20
        subscription = connection.listen("there.*", lambda *message: got.append(message[2]))
        for number in range(2_000):
            payload = b"%d " % number * 500
            connection.send(b"PUB there.x %d\r\n%b\r\n" % (len(payload), payload))
        assert connection.unsent > 1_000_000
        await until(lambda: len(got) == 2_000)
        assert connection.unsent == 0
        assert [int(payload.split()[0]) for payload in got] == list(range(2_000))
        connection.unlisten(subscription)
        connection.unlisten(subscription)
        connection.send(b"PUB there.x 0\r\n\r\n")
        connection.listen("there.too", lambda *message: got.append(b"the end"))
        connection.send(b"PUB there.too 0\r\n\r\n")
        await until(lambda: len(got) == 2_001)
        assert got[-1] == b"the end"
    connection.send(b"PUB there.x 0\r\n\r\n")
    assert connection.unsent == 0


# --- the greeting ------------------------------------------------------------------------------


FIRST_LINES = [
    b"PING\r\n",
    b"+OK\r\n",
    b'INFO {"server_id": "x", "max_payload": 1048576}\r\n',
    b"MSG logs.x 1 4\r\nPONG\r\n",
    b"HMSG logs.x 1 12 16\r\nNATS/1.0\r\n\r\nPONG\r\n",
    b"PING\r\n+OK\r\nPING\r\n",
]


@pytest.mark.parametrize("first", FIRST_LINES, ids=lambda words: words[:20])
async def test_a_line_before_the_first_answer_is_passed_over(first: bytes) -> None:
    """The connection subscribes, whatever the server says before it answers the first PING."""
    got: list[bytes] = []

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.stream.send_all(first)
        if first.startswith(b"PING"):
            await session.hear(b"PONG\r\n")
        await session.say("PONG")
        await session.hear(b"SUB logs.> 1\r\n")
        await session.hear(b"PING\r\n")
        await session.stream.send_all(b"PONG\r\nMSG logs.x 1 2\r\nhi\r\n")
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: got.append(message[2])}):
            assert connection.end is None
            await until(lambda: got == [b"hi"])


@pytest.mark.parametrize("first", [*FIRST_LINES, b"", b"nonsense\r\n", b"MSG x\r\n"])
async def test_a_server_that_does_not_answer_the_subscriptions_is_not_up(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer to the PING behind the subscriptions, there is no connection."""
    monkeypatch.setattr("natstream.nats.connection.CONNECT_DEADLINE", 0.3)

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.stream.send_all(first)
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: None}):
            assert connection.end is not None
    assert connection.failure().kind == "unreachable"


async def test_a_server_of_a_large_cluster_is_connected() -> None:
    """An INFO with 2,500 addresses is far longer than nats-py's limit, and costs no time."""
    urls = [f"[fdaa:0:18:a7b:7d:{number:x}:1:2]:4222" for number in range(2_500)]

    async def talk(session: FakeNatsSession) -> None:
        await session.greet(connect_urls=urls)
        for _ in range(10):
            await session.inform(connect_urls=urls)
        await session.say("MSG logs.x 1 2\r\nhi")
        await trio.sleep_forever()

    arrived = trio.Event()
    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None)
        async with connection.connected({"logs.>": lambda *message: arrived.set()}):
            assert connection.end is None
            # The client does not spend seconds on addresses that it never uses.
            with trio.fail_after(5):
                await arrived.wait()
            assert connection.end is None


async def test_a_greeting_that_does_not_end_is_bounded() -> None:
    """A server cannot fill our memory with a first line that never ends."""

    async def talk(session: FakeNatsSession) -> None:
        while True:
            await session.stream.send_all(b"x" * 2**16)

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None)
        async with connection.connected({}):
            assert connection.failure().words == "the server does not follow the NATS protocol"


async def test_a_subject_may_hold_odd_white_space(nats_server: MistreatedServer) -> None:
    """A real server passes subjects with these characters on, and no message is lost by them."""
    subjects = [b"logs.a" + bytes([byte]) + b"b" for byte in (*range(1, 9), 11, 12, *range(14, 32))]
    subjects += ["logs.a\x85\xa0\u2028b".encode(), b"logs.\xff\x80"]
    got: list[tuple[bytes, bytes]] = []
    login = Login([nats_server.url], **PUBLISHER)
    connection = NatsConnection(login, lambda: None)
    async with connection.connected({"logs.>": lambda *message: got.append(message[:3:2])}):
        for subject in subjects:
            connection.send(b"PUB %b 2\r\nhi\r\n" % subject)
            connection.send(b"HPUB %b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" % subject)
        await until(lambda: len(got) == 2 * len(subjects))
    assert got == [(subject, b"hi") for subject in subjects for _ in range(2)]


# --- the server's own words --------------------------------------------------------------------


@pytest.mark.parametrize("step", ["before the INFO", "behind the INFO", "as the answer", "later"])
@pytest.mark.parametrize(
    "words",
    [
        "maximum connections exceeded",
        "Authentication Timeout",
        "maximum account active connections exceeded",
        "Connection throttling is active. Please try again later.",
        "Secure Connection - TLS Required",
        "Slow Consumer",
    ],
)
async def test_the_words_of_a_server_are_told(step: str, words: str) -> None:
    """An error of the server is the reason, whenever the server says it, as it spells it."""
    error = f"-ERR '{words}'"

    async def talk(session: FakeNatsSession) -> None:
        match step:
            case "before the INFO":
                await session.say(error)
            case "behind the INFO":
                await session.inform()
                await session.say(error)
            case "as the answer":
                await session.inform()
                await session.hear(b"PING\r\n")
                await session.say(error)
            case "later":
                await session.greet()
                await session.say(error)

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None)
        async with connection.connected({"logs.>": lambda *message: None}):
            await until(lambda: connection.end)
    assert connection.failure().words == words


async def test_a_full_server_says_so(nats_server: MistreatedServer) -> None:
    """A real server that has its `max_connections` is not just a connection that is lost."""
    nats_server.settings["max_connections"] = 1
    await nats_server.restart()
    async with nats_server.publisher():
        login = Login([nats_server.url], nats_server.user, nats_server.password)
        connection = NatsConnection(login, lambda: None)
        async with connection.connected({}):
            assert connection.failure().words == "maximum connections exceeded"
