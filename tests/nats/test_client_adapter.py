"""The adapter gives nats-py's data to our parser and our commands to nats-py.

A test whose name begins with `test_nats_py_still_` looks at nats-py alone. It fails if a private
name that the adapter uses is gone or works differently, or if a workaround is no longer needed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlparse

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, ProtocolError, StaleConnectionError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.mistreated import PUBLISHER, MistreatedServer

from natstream.nats.client_adapter import ClientAdapter
from natstream.nats.parser import MessageParser
from natstream.nats.read_pauses import ReadPauses

SECRET = "FlyV1-a-very-secret-token"

MESSAGE = b"MSG logs.web 1 2\r\nhi\r\n"
MALFORMED = [
    b"MSG logs.web 1 x\r\n",
    b"MSG logs.web 1 -1\r\n",
    b"MSG 5\r\nhello\r\n",
    b"HMSG logs.web 1 6 5\r\nhello\r\n",
    b"INFO {\r\n",
    b"-ERR \r\n",
    b"nonsense\r\n",
    b"x" * 5_000 + b"\r\n",
    b"MSG\tlogs.web 1 2\r\nhi\r\n",  # no server writes a tab there, but nats-py would take it
]


class Recorder:
    """An adapter without a server, with everything that it and nats-py make of the data."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        handlers = {b"1": lambda *message: self.calls.append(message)}
        self.adapter = ClientAdapter(MessageParser(handlers), ReadPauses(lambda: 0.0))
        for name in ("ping", "pong", "info", "err"):
            setattr(self.adapter.client, f"_process_{name}", self._recording(name))

    def _recording(self, name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def record(*arguments: object) -> None:
            self.calls.append((name, *arguments))

        return record

    def read(self, data: bytes) -> None:
        """Call the parser as nats-py's reading task does."""
        with pytest.raises(StopIteration):  # a coroutine that never waits ends at once
            self.adapter.client._ps.parse(data).send(None)


PIECES: list[tuple[bytes, list[tuple[object, ...]]]] = [
    (MESSAGE, [(b"logs.web", b"", b"hi", b"")]),
    (b"PING\r\n", [("ping",)]),
    (b"PONG\r\n", [("pong",)]),
    (b"+OK\r\n", []),
    (b'INFO {"connect_urls": [], "port": 1}\r\n', [("info", {"port": 1})]),
    (b"-ERR 'Permissions Violation'\r\n", [("err", "'permissions violation'")]),
]


@given(st.lists(st.sampled_from(PIECES)), st.integers(1, 50))
def test_messages_and_lines_arrive_in_the_order_of_the_server(
    sent: list[tuple[bytes, list[tuple[object, ...]]]], size: int
) -> None:
    """The handlers get the messages, and nats-py gets the other lines, however they are cut."""
    data = b"".join(piece for piece, _ in sent)
    recorder = Recorder()
    for start in range(0, len(data), size):
        recorder.read(data[start : start + size])
    assert recorder.calls == [call for _, calls in sent for call in calls]


def test_no_message_goes_through_the_parser_of_nats_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py's parser gets no message; it is seven times as slow, and only this test shows it."""
    parsed: list[bytes] = []

    async def parse(parser: Parser, data: bytes = b"") -> None:
        parsed.append(data)

    monkeypatch.setattr(Parser, "parse", parse)
    with_headers = b"HMSG logs.web 1 r 12 312\r\nNATS/1.0\r\n\r\n" + b"x" * 300 + b"\r\n"
    data = (MESSAGE + with_headers) * 100
    recorder = Recorder()
    for start in range(0, len(data), 1_000):
        recorder.read(data[start : start + 1_000])
    assert len(recorder.calls) == 200
    assert parsed == []


@pytest.mark.parametrize("words", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("before", [b"", MESSAGE, b"PING\r\n"])
def test_malformed_data_is_an_error_of_the_protocol(words: bytes, before: bytes) -> None:
    """The adapter raises the one error that ends the connection, and hands nothing over."""
    recorder = Recorder()
    with pytest.raises(ProtocolError):
        recorder.adapter.client._ps.parse(before + words).send(None)
    assert len(recorder.calls) == bool(before)


def test_commands_before_the_connection_go_nowhere() -> None:
    """A client that has not connected keeps nothing for later."""
    adapter = ClientAdapter(MessageParser({}), ReadPauses(lambda: 0.0))
    loop: Any = None
    adapter.write(b"PUB there 0\r\n\r\n", loop)
    assert adapter.client.pending_data_size == 0


# --- nats-py -----------------------------------------------------------------------------------


async def run_on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function on asyncio, as the service runs nats-py."""
    # The import is here because the import of our own module has silenced its warnings.
    import trio_asyncio  # type: ignore[import-untyped] # it has no types

    with trio.fail_after(20):
        async with trio_asyncio.open_loop():
            await trio_asyncio.aio_as_trio(main)()


async def with_plain_client(
    url: str, use: Callable[[Client], Awaitable[None]], **options: Any
) -> None:
    """Connect a client of nats-py without our adapter, use it, and close it."""

    async def main() -> None:
        client = Client()
        await client.connect(
            url, **{**PUBLISHER, "allow_reconnect": False, "error_cb": ignore, **options}
        )
        try:
            await use(client)
        finally:
            await client.close()

    await run_on_asyncio(main)


async def ignore(error: Exception) -> None:
    pass


async def test_nats_py_still_gives_all_that_it_reads_to_its_parser(
    nats_server: MistreatedServer,
) -> None:
    """`_ps` gets every byte, and a ProtocolError of its `parse` ends the connection."""
    read = bytearray()

    class Recording(Parser):
        async def parse(self, data: bytes = b"") -> None:
            read.extend(data)
            if b"\r\nho\r\n" in data:
                raise ProtocolError
            await super().parse(data)

    async def use(client: Client) -> None:
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

    await with_plain_client(nats_server.url, use)


async def test_nats_py_still_stops_reading_after_another_error(
    nats_server: MistreatedServer,
) -> None:
    """The reading task ends while the connection stays open, so we raise nothing else."""

    class Failing(Parser):
        async def parse(self, data: bytes = b"") -> None:
            raise KeyError

    async def use(client: Client) -> None:
        client._ps = Failing(client)
        await client.publish("there", b"hi")
        await client._send_ping()
        assert client._reading_task is not None
        await asyncio.wait([client._reading_task])
        assert client.is_connected
        assert client.last_error is None

    await with_plain_client(nats_server.url, use)


def test_nats_py_still_keeps_a_line_that_it_does_not_understand() -> None:
    """nats-py's parser waits for more after these whole lines; `buf` and `state` show it."""
    for line, is_left, is_waiting in (
        (b"x" * 5_000 + b"\r\n", True, False),
        (b"MSG\tlogs.web 1 2\r\n", False, True),
    ):
        parser = Parser(None)
        with pytest.raises(StopIteration):
            parser.parse(line).send(None)
        assert bool(parser.buf) is is_left
        assert (parser.state != AWAITING_CONTROL_LINE) is is_waiting


async def test_nats_py_still_sends_what_is_put_into_its_buffer(
    nats_server: MistreatedServer,
) -> None:
    """`_pending` holds the commands, and `_pending_data_size` counts their bytes."""

    async def use(client: Client) -> None:
        subscription = await client.subscribe("there")
        await client.flush()
        assert (client._pending, client._pending_data_size) == ([], 0)
        assert client._flush_queue is not None
        assert client._flush_queue.empty()
        for command in (b"PUB there 2\r\nhi\r\n", b"PUB there 2\r\nho\r\n"):
            client._pending.append(command)
            client._pending_data_size += len(command)
        assert client.pending_data_size == 34
        flushed = asyncio.get_running_loop().create_future()
        client._flush_queue.put_nowait(flushed)
        assert [(await subscription.next_msg()).data for _ in range(2)] == [b"hi", b"ho"]
        await flushed
        assert (client._pending, client._pending_data_size) == ([], 0)
        assert client._flush_queue.empty()

    await with_plain_client(nats_server.url, use)


async def test_nats_py_still_sends_nothing_of_which_it_does_not_know_the_size(
    nats_server: MistreatedServer,
) -> None:
    """`_pending_data_size` has to be counted along, because nothing is written while it is 0."""

    async def use(client: Client) -> None:
        assert client._flush_queue is not None
        await client.flush()
        client._pending.append(b"PUB there 2\r\nhi\r\n")
        flushed = asyncio.get_running_loop().create_future()
        client._flush_queue.put_nowait(flushed)
        await flushed
        assert len(client._pending) == 1

    await with_plain_client(nats_server.url, use)


async def test_nats_py_still_writes_only_when_its_queue_says_so(
    nats_server: MistreatedServer,
) -> None:
    """Without a future in `_flush_queue`, commands stay in the buffer."""

    async def use(client: Client) -> None:
        await client.flush()
        client._pending.append(b"PUB there 2\r\nhi\r\n")
        client._pending_data_size += 17
        await asyncio.sleep(0.1)
        assert client.pending_data_size == 17

    await with_plain_client(nats_server.url, use)


def test_nats_py_still_has_no_queue_before_it_is_connected() -> None:
    """`_flush_queue` is None before a client connects, and `write` then does nothing."""
    assert Client()._flush_queue is None


@pytest.mark.parametrize("is_helped", [False, True])
async def test_nats_py_still_takes_only_answers_for_a_sign_of_life(is_helped: bool) -> None:
    """nats-py closes a connection without a PONG, unless we set `_pings_outstanding` to 0."""
    errors: list[Exception | None] = []

    async def talk(session: FakeNatsSession) -> None:
        await session.greet()
        while True:
            await session.stream.send_all(MESSAGE)
            await trio.sleep(0.01)

    async def use(client: Client) -> None:
        subscription = await client.subscribe("logs.>")
        await client.flush()
        with suppress(ConnectionClosedError):
            for _ in range(50):
                await subscription.next_msg()
                if is_helped:
                    client._pings_outstanding = 0
        await asyncio.sleep(0)
        errors.append(client.last_error)

    async with open_fake_nats(talk) as url:
        await with_plain_client(url, use, ping_interval=0.05)
    assert isinstance(errors[0], StaleConnectionError) is not is_helped


async def test_nats_py_still_limits_the_greeting() -> None:
    """nats-py's own transport refuses an INFO of more than 32 KiB, so we have one of our own."""

    async def talk(session: FakeNatsSession) -> None:
        await session.inform(connect_urls=["127.0.0.1:4222"] * 2_500)
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:

        async def main() -> None:
            client = Client()
            with pytest.raises(ValueError, match="limit"):
                await client.connect(url, allow_reconnect=False, error_cb=ignore)
            await client.close()

        await run_on_asyncio(main)


async def test_nats_py_still_takes_any_line_for_the_first_answer() -> None:
    """After a PING instead of the PONG, nats-py returns, is not connected, and writes nothing."""

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.say("PING")
        await trio.sleep_forever()

    async def use(client: Client) -> None:
        assert client.is_connecting
        assert not client.is_connected

    async with open_fake_nats(talk) as url:
        await with_plain_client(url, use)


async def test_nats_py_still_sends_its_ping_past_the_commands_that_wait(
    nats_server: MistreatedServer,
) -> None:
    """`flush` writes its PING at once, while commands wait in `_pending`, so we do not use it."""
    written: list[bytes] = []

    async def use(client: Client) -> None:
        await client.flush()
        transport = client._transport
        assert transport is not None
        write = transport.write

        def record(payload: bytes) -> None:
            written.append(payload)
            assert client._pending == [b"SUB there 1\r\n"]
            write(payload)

        transport.write = record  # type: ignore[method-assign] # to see the order
        client._pending.append(b"SUB there 1\r\n")
        client._pending_data_size += 13
        await client.flush()

    await with_plain_client(nats_server.url, use)
    assert written == [b"PING\r\n"]


async def test_nats_py_still_waits_for_no_answer_once_it_does_not_read(
    nats_server: MistreatedServer,
) -> None:
    """`flush` returns without a PONG if the reading task has ended, so it shows nothing."""

    async def use(client: Client) -> None:
        assert client._reading_task is not None
        client._reading_task.cancel()
        await asyncio.wait([client._reading_task])
        await client.flush()
        assert client._pongs == []

    await with_plain_client(nats_server.url, use)


async def test_nats_py_still_answers_the_first_of_the_waiting_pings(
    nats_server: MistreatedServer,
) -> None:
    """`_pongs` holds a future for each PING; a PONG ends the first one."""

    async def use(client: Client) -> None:
        assert client._flush_queue is not None
        answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
        client._pongs += answers
        client._pending += [b"PING\r\n", b"PING\r\n"]
        client._pending_data_size += 12
        client._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
        await asyncio.gather(*answers)
        assert client._pongs == []

    await with_plain_client(nats_server.url, use)


async def test_nats_py_still_uses_the_transport_that_it_has(nats_server: MistreatedServer) -> None:
    """The client makes no transport of its own if `_transport` is true, and connects that one."""
    calls: list[str] = []

    class Recording(TcpTransport):
        async def connect(self, *args: Any, **options: Any) -> None:
            calls.append("connect")
            await super().connect(*args, **options)

        async def readline(self) -> bytes:
            calls.append("readline")
            line: bytes = await super().readline()  # type: ignore[no-untyped-call] # no types
            return line

        def __bool__(self) -> bool:
            return True

    async def main() -> None:
        client = Client()
        client._transport = Recording()  # type: ignore[no-untyped-call] # nats-py has no types
        options: dict[str, Any] = {**PUBLISHER, "allow_reconnect": False, "error_cb": ignore}
        await client.connect(nats_server.url, **options)
        assert client._server_info["server_id"]
        await client.close()

    await run_on_asyncio(main)
    assert calls == ["connect", "readline", "readline"]


async def test_nats_py_still_sends_the_password_unencrypted() -> None:
    """nats-py sends the password to an address with tls:// even if the server offers no TLS.

    Once this fails, the adapter need not replace `_connect_command` any more.
    """
    received = bytearray()

    async def talk(session: FakeNatsSession) -> None:
        await session.inform(auth_required=True)
        await session.hear(b'"pass": "')
        received.extend(session.received)

    async with open_fake_nats(talk) as url:

        async def main() -> None:
            client = Client()
            await client.connect(
                url.replace("nats://", "tls://"),
                user="acme",
                password=SECRET,
                allow_reconnect=False,
                error_cb=ignore,
            )
            await client.close()

        await run_on_asyncio(main)
    assert received.startswith(SECRET.encode())


async def test_nats_py_still_calls_its_connect_command_before_it_sends_anything() -> None:
    """nats-py has set `_current_server` and `_server_info`; an error of ours ends the attempt."""
    received = bytearray()
    seen: list[object] = []

    async def talk(session: FakeNatsSession) -> None:
        await session.inform(auth_required=True, tls_required=False)
        async for chunk in session.stream:
            received.extend(chunk)

    class RefusedError(Exception):
        pass

    def refuse() -> bytes:
        assert client._current_server is not None
        seen.extend((client._current_server.uri.scheme, client._server_info["tls_required"]))
        raise RefusedError

    client = Client()
    client._connect_command = refuse  # type: ignore[method-assign] # as the adapter does
    async with open_fake_nats(talk) as url:

        async def main() -> None:
            with pytest.raises(RefusedError):
                await client.connect(
                    url.replace("nats://", "tls://"), user="acme", password=SECRET, error_cb=ignore
                )
            await client.close()

        await run_on_asyncio(main)
    assert seen == ["tls", False]
    assert received == b""


def test_nats_py_still_puts_the_password_into_its_connect_command() -> None:
    """`_connect_command` returns the whole command, which the adapter returns unchanged."""
    client = Client()
    unset = dict.fromkeys(("verbose", "pedantic", "name", "no_echo", "token"))
    client.options = {**unset, "user": "acme", "password": SECRET}
    client._auth_configured = True
    verb, _, options = client._connect_command().partition(b" ")
    assert verb == b"CONNECT"
    assert json.loads(options)["pass"] == SECRET


def test_nats_py_still_compares_each_address_with_all_others() -> None:
    """The addresses of an INFO go into the client's list of servers, which makes them costly."""
    client: Any = Client()
    client._current_server = Srv(urlparse("nats://127.0.0.1:4222"))
    client._server_pool = [client._current_server]
    client.options = {"dont_randomize": True}
    info = {"connect_urls": ["10.0.0.1:4222", "10.0.0.2:4222"]}
    with pytest.raises(StopIteration):
        client._process_info(info).send(None)
    assert len(client._server_pool) == 3


async def test_nats_py_still_keeps_the_error_of_a_refused_subscription() -> None:
    """The error stays the client's last one, although the connection goes on."""
    client: Any = Client()

    async def ignore(error: Exception) -> None:
        pass

    client._error_cb = ignore
    await client._process_err("'permissions violation for subscription to \"logs.x.>\"'")
    assert client._err is client.last_error
    assert "permissions violation" in str(client.last_error)
