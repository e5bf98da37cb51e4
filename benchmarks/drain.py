"""The log drain beside flaude's: lines a second and CPU for each line, with the same client.

natstream is `natstream serve` with its drain on, and otherwise as the other measurements run it. It
parses, numbers, remembers and counts each entry, and sends it over HTTP to one reader in another
process. flaude 0.6.1 parses each entry and puts its message into the queue of one reader in its own
process. This favours flaude, which has no other readers: it sends the lines to no one.

Each server has the first core for itself. The client always has eight requests in progress, and
keeps its connections open unless the server closes them, as flaude does after each request. The
same process reads natstream's stream. If the reader were a process beside the
client, then on a busy core it could fall so far behind that it misses lines. The servers take
turns. A result counts only if the reader has got every line that was answered with 200.

pip installs flaude into a virtual environment of its own, below `benchmarks/.cache`.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import attrs
import trio
from tests.support.loopback import HOST, free_port
from tests.support.processes import (
    CPUS,
    BenchmarkError,
    Usage,
    open_program,
    others_idle,
)

from benchmarks.lines import MARK
from benchmarks.peers import NATSTREAM
from natstream.demo.nats_server import NatsServer

__all__ = ["WANTED", "Comparison", "Result", "compare", "measure", "serve_natstream"]

HERE = Path(__file__).parent
FLAUDE = "flaude==0.6.1"
CACHE = HERE / ".cache"
# For each number of lines in a body: natstream has to be so many times as fast as flaude.
WANTED = {1: 1.4, 100: 2.0, 1_000: 2.2}

MACHINE = "0e286551c30586"
CONNECTIONS = 8
WARM_UP = 0.3
# Seconds without a line, after which the missing lines will not come.
PATIENCE = 3.0


class Result(NamedTuple):
    lines: float
    """Lines a second."""
    cpu: float
    """CPU time of the server for each line, in µs."""
    waited: float
    """Share of time for which the server waited, because another process used its core."""
    busy: float
    """Share of time for which the other cores were busy; at 1, they are the limit."""


def make_body(lines: int) -> bytes:
    """Return an NDJSON body of lines as Fly ships them, of 230 bytes and one mark each."""
    return b"".join(
        b'{"event":{"provider":"app"},"fly":{"app":{"instance":"%b","name":"web"},"region":"sjc"},'
        b'"host":"0ad1","log":{"level":"info"},"message":"GET /api/orders/%06d 200 in 7 ms%c",'
        b'"timestamp":"2022-09-27T20:34:37.%09dZ"}\n' % (MACHINE.encode(), n, MARK, n)
        for n in range(lines)
    )


# --- servers, each in a process of its own --------------------------------------------------


class Serving(NamedTuple):
    """A server that runs, and its reader."""

    pid: int
    port: int
    """The port of its drain."""
    reader: Reader | None
    """The reader that the client reads for."""
    count_lines: Callable[[int], Awaitable[int]]
    """Returns the number of lines that the reader has got, once it is as large or grows no more."""


@asynccontextmanager
async def serve_natstream(nats: NatsServer) -> AsyncIterator[Serving]:
    """Run natstream with a reader over HTTP until the end of the block."""
    port = free_port()
    drain = {"NATSTREAM_DRAIN_BIND": f"{HOST}:{port}"}
    peer = attrs.evolve(NATSTREAM, environ=lambda launch: NATSTREAM.environ(launch) | drain)
    async with peer.open(nats, 0.0) as server:
        with socket.create_connection((HOST, server.port)) as connection:
            reader = Reader(connection, peer.path)
            yield Serving(server.pid, port, reader, reader.count_lines)


@asynccontextmanager
async def serve_flaude(_: NatsServer) -> AsyncIterator[Serving]:
    """Run flaude, whose reader is in its own process, until the end of the block."""
    command = [_python_of_flaude(), str(HERE / "peers/flaude_drain.py"), MACHINE]
    async with open_program(command, CPUS[:1]) as program:
        port = (await program.hear())["port"]

        async def count_lines(expected: int) -> int:
            lines: int = (await program.ask(f"{expected} {PATIENCE}"))["lines"]
            return lines

        yield Serving(program.pid, port, None, count_lines)


Serve = Callable[[NatsServer], AbstractAsyncContextManager[Serving]]


def _python_of_flaude() -> str:
    python = CACHE / "flaude/bin/python"
    if not python.exists():
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, FLAUDE], check=True)
    return str(python)


# --- the reader and the client -----------------------------------------------------------------


class Reader:
    """A reader over HTTP, which counts its lines."""

    def __init__(self, connection: socket.socket, path: str) -> None:
        self.socket: socket.socket = connection
        self._buffer = bytearray(1 << 20)
        self._lines = 0
        accept = "Accept: text/event-stream"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{accept}\r\n\r\n".encode())
        head = connection.recv(65_536)
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchmarkError(f"a reader was refused: {head!r}")
        connection.setblocking(False)

    def read(self) -> None:
        """Read all that has arrived."""
        while True:
            try:
                size = self.socket.recv_into(self._buffer)
            except BlockingIOError:
                return
            if not size:
                raise BenchmarkError("natstream has closed the reader's connection")
            self._lines += self._buffer.count(MARK, 0, size)

    async def count_lines(self, expected: int) -> int:
        """Read until there are so many lines, or no more come; return their number."""
        lines, moved = self._lines, time.monotonic()
        while self._lines < expected and time.monotonic() < moved + PATIENCE:
            await trio.sleep(0.01)
            self.read()
            if self._lines > lines:
                lines, moved = self._lines, time.monotonic()
        return self._lines


class Connection:
    """One connection of the client, which is made anew after the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.socket: socket.socket = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((HOST, self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def receive(self) -> bool:
        """Read the answer, which must be a 200. Return whether the server has closed."""
        head, _, rest = self.socket.recv(65_536).lower().partition(b"\r\n\r\n")
        if not head.startswith(b"http/1.1 200"):
            raise BenchmarkError(f"the drain answered {head!r}")
        length = int(head.partition(b"content-length:")[2].split()[0])
        while len(rest) < length:
            rest += self.socket.recv(65_536)
        return b"connection: close" in head

    def renew(self) -> None:
        self.close()
        self.socket = self._connect()

    def close(self) -> None:
        self.socket.close()


def load(port: int, request: bytes, seconds: float, reader: Reader | None) -> int:
    """Send requests for so many seconds, and read the answers and the reader's lines.

    Return the number of requests.
    """
    requests = 0
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        ready = stack.enter_context(selectors.DefaultSelector())
        if reader is not None:
            ready.register(reader.socket, selectors.EVENT_READ, reader)
        for _ in range(CONNECTIONS):
            connection = Connection(port)
            stack.callback(connection.close)
            connection.socket.sendall(request)
            ready.register(connection.socket, selectors.EVENT_READ, connection)
        waiting = CONNECTIONS
        while waiting:
            for key, _ in ready.select():
                if isinstance(key.data, Reader):
                    key.data.read()
                    continue
                connection = key.data
                if connection.receive():
                    ready.unregister(connection.socket)
                    connection.renew()
                    ready.register(connection.socket, selectors.EVENT_READ, connection)
                requests += 1
                if time.monotonic() < end:
                    connection.socket.sendall(request)
                else:
                    waiting -= 1
    return requests


async def measure(serve: Serve, nats: NatsServer, lines: int, seconds: float) -> Result:
    """Start a server, its reader and a client, and measure bodies of so many lines.

    Raises:
        BenchmarkError: a process did not start, an answer was not 200, or lines were lost.
    """
    body = make_body(lines)
    request = b"POST / HTTP/1.1\r\nHost: drain\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with serve(nats) as (pid, port, reader, count_lines):

        async def send_for(seconds: float) -> int:
            return await trio.to_thread.run_sync(
                load, port, request, seconds, reader, abandon_on_cancel=True
            )

        requests = await send_for(WARM_UP)
        await count_lines(requests * lines)
        before, idle, started = Usage.of(pid), others_idle(), time.monotonic()
        timed = await send_for(seconds)
        sent = (requests + timed) * lines
        got = await count_lines(sent)
        lasted, used = time.monotonic() - started, Usage.of(pid) - before
        idle = others_idle() - idle
    if got != sent:
        raise BenchmarkError(f"a reader of the drain has got {got:,} of {sent:,} lines")
    return Result(
        lines=timed * lines / lasted,
        cpu=used.cpu / (timed * lines) * 1e6,
        waited=used.waited / lasted,
        busy=1 - idle / lasted / max(1, len(CPUS) - 1),
    )


class Comparison(NamedTuple):
    ours: Result
    theirs: Result
    ratio: float
    """How many times as many lines a second natstream takes."""
    cpu_ratio: float
    """How many times as much CPU flaude uses for a line."""


async def compare(nats: NatsServer, lines: int, seconds: float, rounds: int) -> Comparison:
    """Measure both servers in turn, with bodies of so many lines.

    All figures are medians of the rounds. The ratios are those of each round, because another
    program that slows down a round slows down both servers.
    """
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(await measure(serve_natstream, nats, lines, seconds))
        theirs.append(await measure(serve_flaude, nats, lines, seconds))
    pairs = list(zip(ours, theirs, strict=True))
    return Comparison(
        Result(*map(statistics.median, zip(*ours, strict=True))),
        Result(*map(statistics.median, zip(*theirs, strict=True))),
        statistics.median(our.lines / their.lines for our, their in pairs),
        statistics.median(their.cpu / our.cpu for our, their in pairs),
    )
