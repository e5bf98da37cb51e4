"""The log drain beside flaude's: lines a second and CPU for each line, with the same client.

natstream parses, numbers and remembers each entry and gives it to one live reader of the hub.
flaude 0.6.1 parses each entry and puts its message into the queue of one reader. Each server is a
process of its own, on its own core if there are two. The client always has eight requests in
progress, and keeps its connections open unless the server closes them, as flaude does after each
request. The servers take turns. A result counts only if the reader has seen every line that was
answered with 200.

pip installs flaude into a virtual environment of its own, below `benchmarks/.cache`.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FLAUDE = "flaude==0.6.1"
CACHE = Path(__file__).parent / ".cache"
PEERS = ("natstream", "flaude")
# For each number of lines in a body: natstream has to be so many times as fast as flaude.
WANTED = {1: 1.3, 100: 1.6, 1_000: 1.8}

MACHINE = "0e286551c30586"
CONNECTIONS = 8
WARM_UP = 0.3
# Seconds in which the reader gets the last lines after the load has ended.
PATIENCE = 5.0
CPUS = sorted(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")


class Result(NamedTuple):
    lines: float
    """Lines a second."""
    cpu: float
    """CPU time of the server for each line, in µs."""


def make_body(lines: int) -> bytes:
    """Return an NDJSON body of lines as Fly ships them, of 230 bytes each."""
    return b"".join(
        b'{"event":{"provider":"app"},"fly":{"app":{"instance":"%s","name":"web"},"region":"sjc"},'
        b'"host":"0ad1","log":{"level":"info"},"message":"GET /api/orders/%06d 200 in 12 ms",'
        b'"timestamp":"2022-09-27T20:34:37.%09dZ"}\n' % (MACHINE.encode(), n, n)
        for n in range(lines)
    )


# --- servers, each in a process of its own --------------------------------------------------


def serve_natstream() -> None:
    import trio

    from natstream.config.process import settle_collector, tune_process
    from natstream.drain.collector import LogCollector
    from natstream.drain.server import LogDrainServer
    from natstream.hub.batch import Selection
    from natstream.hub.hub import open_hub

    async def main() -> None:
        async with open_hub() as hub, LogDrainServer(LogCollector(), hub=hub) as server:
            seen = 0

            async def read() -> None:
                nonlocal seen
                with hub.subscribe() as reader:
                    async for item in reader:
                        assert isinstance(item, Selection), f"the reader was too slow: {item}"
                        seen += len(item.entries)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                print(server.actual_port, flush=True)
                await trio.to_thread.run_sync(sys.stdin.readline)
                with trio.move_on_after(PATIENCE):
                    while seen < hub.statistics().published:  # noqa: ASYNC110 - only counting tells
                        await trio.sleep(0.01)
                print(seen, flush=True)
                nursery.cancel_scope.cancel()

    tune_process(0)
    settle_collector()
    trio.run(main)


def serve_flaude() -> None:
    import asyncio

    from flaude.log_drain import (  # type: ignore[import-not-found]  # in its own environment
        LogCollector,
        LogDrainServer,
        async_iter_queue,
    )

    async def main() -> None:
        collector = LogCollector()
        server = LogDrainServer(collector, host="127.0.0.1")
        await server.start()
        queue = await collector.subscribe(MACHINE)
        seen = 0

        async def read() -> None:
            nonlocal seen
            async for _ in async_iter_queue(queue):
                seen += 1

        reader = asyncio.create_task(read())
        print(server.actual_port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for _ in range(int(PATIENCE / 0.01)):
            if queue.empty():
                break
            await asyncio.sleep(0.01)
        print(seen, flush=True)
        reader.cancel()
        await server.stop()

    asyncio.run(main())


def python_of(peer: str) -> str:
    if peer == "natstream":
        return sys.executable
    python = CACHE / "flaude/bin/python"
    if not python.exists():
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, FLAUDE], check=True)
    return str(python)


@contextmanager
def serving(peer: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server on the first core; it prints its port, and later the number of lines it saw."""
    os.sched_setaffinity(0, CPUS[:1])  # a child process inherits it
    process = subprocess.Popen(
        [python_of(peer), __file__, "--serve", peer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.sched_setaffinity(0, CPUS[1:] or CPUS)
    with process:
        try:
            yield process
        finally:
            process.terminate()


# --- the client -----------------------------------------------------------------------------


class Connection:
    """One blocking connection, which reconnects after the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, request: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)

    def receive(self) -> None:
        """Read the answer, which must be a 200."""
        assert self._socket
        head, _, rest = self._socket.recv(65_536).lower().partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length:")[2].split()[0])
        while len(rest) < length:
            rest += self._socket.recv(65_536)
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"answered {head!r}")
        if b"connection: close" in head:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def load(connections: list[Connection], request: bytes, seconds: float) -> int:
    """Send requests and read the answers for so many seconds; return their number."""
    requests = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for connection in connections:
            connection.send(request)
        for connection in connections:
            connection.receive()
        requests += len(connections)
    return requests


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(peer: str, lines: int, seconds: float) -> Result:
    body = make_body(lines)
    request = b"POST / HTTP/1.1\r\nHost: drain\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with serving(peer) as server:
        assert server.stdin
        assert server.stdout
        port = int(server.stdout.readline())
        connections = [Connection(port) for _ in range(CONNECTIONS)]
        requests = load(connections, request, WARM_UP)
        cpu, start = cpu_seconds(server.pid), time.monotonic()
        timed = load(connections, request, seconds)
        took, cpu = time.monotonic() - start, cpu_seconds(server.pid) - cpu
        for connection in connections:
            connection.close()
        server.stdin.write("\n")
        server.stdin.flush()
        seen, sent = int(server.stdout.readline()), (requests + timed) * lines
        if seen != sent:
            raise RuntimeError(f"{peer}'s reader has seen {seen} of {sent} lines")
    return Result(timed * lines / took, cpu / (timed * lines) * 1e6)


class Comparison(NamedTuple):
    lines: int
    """Lines in each body."""
    ours: Result
    theirs: Result


def compare(sizes: Sequence[int], seconds: float, rounds: int) -> list[Comparison]:
    """Measure both servers in turn, for each number of lines; return medians of the rounds."""
    comparisons = []
    for lines in sizes:
        results: dict[str, list[Result]] = {peer: [] for peer in PEERS}
        for _ in range(rounds):
            for peer in PEERS:
                results[peer].append(measure(peer, lines, seconds))
        ours, theirs = (
            Result(*map(statistics.median, zip(*results[peer], strict=True))) for peer in PEERS
        )
        comparisons.append(Comparison(lines, ours, theirs))
    return comparisons


def main() -> None:
    """Serve as one of the peers, which `compare` starts as processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", choices=PEERS, required=True)
    options = parser.parse_args()
    {"natstream": serve_natstream, "flaude": serve_flaude}[options.serve]()


if __name__ == "__main__":
    main()
