"""One connection to NATS: its protocol in whatever pieces, and what it needs of nats-py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.mistreated import PUBLISHER, MistreatedServer

from natstream.nats.connection import Login, NatsConnection

# --- the parser --------------------------------------------------------------------------------

Call = tuple[object, ...]


class Recorder(NatsConnection):
    """A connection without a server, and all that its parser makes of what comes."""

    def __init__(self) -> None:
        super().__init__(Login(["nats://127.0.0.1"]), lambda: None)
        self.calls: list[Call] = []
        for sid in (b"1", b"22"):
            self.handlers[sid] = lambda *message, sid=sid: self.calls.append((sid, *message))

    async def _process_ping(self) -> None:
        self.calls.append(("PING",))

    async def _process_pong(self) -> None:
        self.calls.append(("PONG",))

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        self.calls.append(("INFO", info))

    async def _process_err(self, words: str) -> None:
        self.calls.append(("-ERR", words))

    def read(self, *chunks: bytes) -> list[Call]:
        """What has been called once all chunks are read."""
        for chunk in chunks:
            finish(self._ps.parse(chunk))
        return self.calls


def finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def message(
    sid: bytes, reply: bytes, payload: bytes, headers: bytes | None, subject: bytes = b"logs.web"
) -> tuple[bytes, list[Call]]:
    """A message as the server sends it, and the call that it has to be."""
    words = [subject, sid, *([reply] if reply else [])]
    if headers is None:
        line = b"MSG %b %d" % (b" ".join(words), len(payload))
    else:
        line = b"HMSG %b %d %d" % (b" ".join(words), len(headers), len(headers) + len(payload))
        payload = headers + payload
    call = (sid, subject, reply, payload[len(headers or b"") :], headers or b"")
    return b"%b\r\n%b\r\n" % (line, payload), [call] if sid in (b"1", b"22") else []


payloads = st.binary(max_size=20) | st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"MSG ", b"HMSG ", b"MSG a 1 2\r\n", b"PING\r\n", b"-ERR", b""]
    )
).map(b"".join)
headers = st.none() | st.sampled_from(
    [b"NATS/1.0\r\n\r\n", b"NATS/1.0 100 Idle\r\n\r\n", b"NATS/1.0\r\nA: MSG a 1 1\r\n\r\n", b""]
)
pieces = st.one_of(
    st.builds(
        message,
        st.sampled_from([b"1", b"22", b"3"]),  # nobody handles the last
        st.sampled_from([b"", b"_INBOX.a", b"7", b"$JS.ACK.s.c.1.2.3.4.5"]),
        payloads,
        headers,
    ),
    st.sampled_from(
        [
            (b"PING\r\n", [("PING",)]),
            (b"PONG\r\n", [("PONG",)]),
            (b"+OK\r\n", []),
            (b'INFO {"connect_urls": []}\r\n', [("INFO", {"connect_urls": []})]),
            (b"-ERR 'Permissions Violation'\r\n", [("-ERR", "'permissions violation'")]),
        ]
    ),
)


@settings(max_examples=5 * settings().max_examples)
@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 400), max_size=20))
def test_however_it_is_cut_the_same_is_called(
    said: list[tuple[bytes, list[Call]]], cuts: list[int]
) -> None:
    """In the same order; payloads that look like messages are none."""
    data = b"".join(piece for piece, _ in said)
    expected = [call for _, calls in said for call in calls]
    assert Recorder().read(data) == expected
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert Recorder().read(*chunks) == expected
    assert Recorder().read(*(data[index : index + 1] for index in range(len(data)))) == expected


def test_whole_messages_do_not_take_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take seven times as long, and nothing else would show it."""
    parsed: list[bytes] = []

    async def parse(parser: Parser, data: bytes = b"") -> None:
        parsed.append(data)

    monkeypatch.setattr(Parser, "parse", parse)
    one, calls = message(b"1", b"", b"x" * 300, None)
    two, more_calls = message(b"1", b"r", b"x" * 300, b"NATS/1.0\r\n\r\n")
    data = (one + two) * 100
    recorder = Recorder()
    recorder.read(*(data[start : start + 1_000] for start in range(0, len(data), 1_000)))
    assert recorder.calls == (calls + more_calls) * 100
    assert b"".join(parsed) == b""


def test_a_large_message_is_not_copied_with_each_chunk() -> None:
    """It comes in hundreds; quadratic, one of 64 MiB would take eight seconds."""
    size = 64 * 2**20
    data, _ = message(b"1", b"", bytes(size), None)
    recorder = Recorder()
    started = time.process_time()
    recorder.read(*(data[start : start + 32_768] for start in range(0, len(data), 32_768)))
    assert time.process_time() - started < 2
    assert [len(call[3]) for call in recorder.calls] == [size]  # type: ignore[arg-type]  # bytes


MALFORMED = [
    b"MSG logs.web 1 x\r\n",
    b"MSG logs.web 1 -1\r\n",
    b"MSG logs.web 1 -22\r\n",  # which leads back to its own beginning, again and again
    b"MSG logs.web 1 1.5\r\nx\r\n",
    b"MSG logs.web 1 " + b"9" * 5_000 + b"\r\n",
    b"MSG \r\n",
    b"MSG logs.web 1\r\nx\r\n",
    b"MSG 5\r\nhello\r\n",
    b"HMSG logs.web 1 5\r\nhello\r\n",
    b"HMSG logs.web 1 -1 5\r\nhello\r\n",
    b"HMSG logs.web 1 6 5\r\nhello\r\n",
    b"HMSG logs.web 1 x 5\r\nhello\r\n",
    b"INFO {\r\n",
    b"-ERR \r\n",
    b"nonsense\r\n",
    b"x" * 5_000 + b"\r\n",
    b"MSG\tlogs.web 1 2\r\nhi\r\n",  # no server writes it so
]


@pytest.mark.parametrize("words", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_malformed_is_an_error_of_the_protocol(words: bytes) -> None:
    """Of another, nats-py would stop to read without a word; nothing hangs, or is handed over."""
    for before in (b"", b"MSG logs.web 1 2\r\nhi\r\n", b"PING\r\n"):
        recorder = Recorder()
        with pytest.raises(ProtocolError):
            recorder._ps.parse(before + words).send(None)
        assert len(recorder.calls) == bool(before)


@given(st.lists(st.binary(max_size=30) | pieces.map(lambda piece: piece[0]), max_size=6))
@example([b"MSG a 1 -13\r\n"])
def test_whatever_comes_it_goes_on_or_ends(chunks: list[bytes]) -> None:
    """With the one error that ends a connection."""
    recorder = Recorder()
    for chunk in chunks:
        try:
            recorder._ps.parse(chunk).send(None)
        except StopIteration:
            continue
        except ProtocolError:
            return
        pytest.fail("it waits")


# --- a connection ------------------------------------------------------------------------------


async def until_ended(connection: NatsConnection) -> None:
    """Long before a PING would tell."""
    with trio.fail_after(10):
        while connection.end is None:
            await trio.sleep(0.01)


@pytest.mark.parametrize("words", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_message_ends_the_connection(words: bytes) -> None:
    """At once, and in words that say so."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.stream.send_all(words)
        await trio.sleep_forever()

    ended = 0

    def end() -> None:
        nonlocal ended
        ended += 1

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), end, ping_interval=60)
        async with connection.connected({"logs.>": lambda *message: None}):
            await until_ended(connection)
    assert ended == 1
    assert connection.failure().kind == "unreachable"
    assert connection.failure().words == "it says what is not understood"


async def test_a_handler_that_raises_ends_the_connection() -> None:
    """It must not; but if it does, somebody has to hear of it."""

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        await session.stream.send_all(b"MSG logs.web 1 2\r\nhi\r\n")
        await trio.sleep_forever()

    def fail(*message: bytes) -> None:
        raise KeyError(message)

    async with open_fake_nats(talk) as url:
        connection = NatsConnection(Login([url]), lambda: None, ping_interval=60)
        async with connection.connected({"logs.>": fail}):
            await until_ended(connection)
    assert isinstance(connection.end, ProtocolError)


async def test_what_is_sent_raw_arrives_whole_and_in_order(nats_server: MistreatedServer) -> None:
    """Also far more at once than the network takes, and nothing after the end."""
    got: list[bytes] = []
    login = Login([nats_server.url], **PUBLISHER)
    connection = NatsConnection(login, lambda: None)
    connection.send(b"PUB before 0\r\n\r\n")  # there is no connection yet
    async with connection.connected({}):
        assert connection.end is None
        sid = connection.listen("there.*", lambda *message: got.append(message[2]))
        for number in range(2_000):
            payload = b"%d " % number * 500
            connection.send(b"PUB there.x %d\r\n%b\r\n" % (len(payload), payload))
        assert connection.unsent > 1_000_000
        with trio.fail_after(20):
            while len(got) < 2_000:
                await trio.sleep(0.01)
        assert connection.unsent == 0
        assert [int(payload.split()[0]) for payload in got] == list(range(2_000))
        connection.unlisten(sid)
        connection.unlisten(sid)
        connection.send(b"PUB there.x 0\r\n\r\n")
        connection.listen("there.too", lambda *message: got.append(b"the end"))
        connection.send(b"PUB there.too 0\r\n\r\n")
        with trio.fail_after(20):
            while len(got) < 2_001:
                await trio.sleep(0.01)
        assert got[-1] == b"the end"
    connection.send(b"PUB there.x 0\r\n\r\n")


# --- nats-py -----------------------------------------------------------------------------------


async def with_plain_client(
    server: MistreatedServer, talk: Callable[[Client], Awaitable[None]]
) -> None:
    """Run `talk`, on asyncio, with nats-py's own client."""
    # Here, since our module's import of it has kept its warnings quiet.
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

    login: dict[str, Any] = PUBLISHER

    async def main() -> None:
        client = Client()
        await client.connect(server.url, **login, allow_reconnect=False)
        try:
            await talk(client)
        finally:
            await client.close()

    with trio.fail_after(20):
        async with trio_asyncio.open_loop():
            await trio_asyncio.aio_as_trio(main)()


async def test_nats_py_still_sends_what_is_put_into_its_buffer(
    nats_server: MistreatedServer,
) -> None:
    """`send` rests on `_pending`, `_pending_data_size`, and a future in `_flush_queue`."""

    async def talk(client: Client) -> None:
        subscription = await client.subscribe("there")
        await client.flush()
        assert (client._pending, client._pending_data_size) == ([], 0)
        assert client._flush_queue is not None
        assert client._flush_queue.empty()
        for command in (b"PUB there 2\r\nhi\r\n", b"PUB there 2\r\nho\r\n"):
            client._pending.append(command)
            client._pending_data_size += len(command)
        flushed = asyncio.get_running_loop().create_future()
        client._flush_queue.put_nowait(flushed)
        assert [(await subscription.next_msg()).data for _ in range(2)] == [b"hi", b"ho"]
        await flushed
        assert (client._pending, client._pending_data_size) == ([], 0)
        assert client._flush_queue.empty()

    await with_plain_client(nats_server, talk)


async def test_nats_py_still_has_no_queue_before_it_is_connected() -> None:
    """`send` does nothing then."""
    assert Client()._flush_queue is None


async def test_nats_py_still_gives_all_that_it_reads_to_its_parser(
    nats_server: MistreatedServer,
) -> None:
    """`_ps` is ours; and what the parser raises ends the connection, if it is the right error."""
    read = bytearray()

    class Recording(Parser):
        async def parse(self, data: bytes = b"") -> None:
            read.extend(data)
            if b"\r\nho\r\n" in data:
                raise ProtocolError
            await super().parse(data)

    async def talk(client: Client) -> None:
        assert type(client._ps) is Parser
        client._ps = Recording(client)
        subscription = await client.subscribe("there")
        await client.publish("there", b"hi")
        assert (await subscription.next_msg()).data == b"hi"
        assert b"MSG there 1 2\r\nhi\r\n" in read
        await client.publish("there", b"ho")
        while not client.is_closed:
            await asyncio.sleep(0.01)
        assert isinstance(client.last_error, ProtocolError)

    await with_plain_client(nats_server, talk)


async def test_nats_py_still_counts_its_subscriptions_in_one_place(
    nats_server: MistreatedServer,
) -> None:
    """`listen` takes the next number from `_sid`, beside it."""

    async def talk(client: Client) -> None:
        assert client._sid == 0
        await client.subscribe("there")
        assert client._sid == 1
        client._sid += 1
        await client.subscribe("here")
        assert client._sid == 3
        assert sorted(client._subs) == [1, 3]

    await with_plain_client(nats_server, talk)
