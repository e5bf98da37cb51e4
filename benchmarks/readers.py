"""A process that holds many SSE readers, counts what each receives and times a few of them.

    python -m benchmarks.readers URL READERS [--deaf]

`{n:04d}` in URL is replaced by the reader's number. With `--deaf`, the readers never read past the
head of the response. When every reader is answered, the process prints `{"ready": true}`. Then it
answers each line on stdin with one JSON object, and it ends when stdin is closed:

    begin          start to measure
    end            return the lines and the latencies since `begin`
    drain N S      wait until each reader has N lines in all, or S seconds have passed without any

The process shares a core with the publisher and the nats-server, so it does little: it receives
into one buffer and counts a single byte in it. Only a few readers, spread over all of them, are
sampled for latency, for order and for the number of chunks that the server sent.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.lines import MARK, STAMP, now_ns

# So many give a p99 at a hundred samples a second, and cost next to nothing.
SAMPLED = 20
# A read of this size empties a socket that a busy server has filled.
BUFFER = bytearray(1 << 20)
# Readers connect in groups, because servers have short queues of unaccepted connections.
GROUP = 50
CONNECT_DEADLINE = 30.0
# The window of a deaf reader is soon full, as on a bad network.
DEAF_WINDOW = 4096
# A server sends one HTTP chunk at a time. JSON has no carriage return, so only chunks match.
CHUNK = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")


class Reader:
    """One connection: the number of its lines and, if it is sampled, their details."""

    __slots__ = ("disorder", "last", "lines", "sampled", "socket", "tail")

    def __init__(self, connection: socket.socket, sampled: bool) -> None:
        self.socket = connection
        self.sampled = sampled
        self.lines = 0
        self.last = -1
        self.disorder = 0
        self.tail = b""

    def receive(self, latencies: list[float]) -> int:
        """Read once. Return the number of chunks, or -1 at the end of the connection."""
        try:
            size = self.socket.recv_into(BUFFER)
        except ConnectionError:
            size = 0
        if not size:
            return -1
        self.lines += BUFFER.count(MARK, 0, size)
        return self._examine(bytes(memoryview(BUFFER)[:size]), latencies) if self.sampled else 0

    def _examine(self, received: bytes, latencies: list[float]) -> int:
        now = now_ns()
        text = self.tail + received
        read = 0
        for match in STAMP.finditer(text):
            number = int(match[1])
            # A filter may leave lines out, but no line may come twice or out of order.
            self.disorder += number <= self.last
            self.last = number
            latencies.append((now - int(match[2])) / 1e9)
            read = match.end()
        pieces = len(CHUNK.findall(text)) - len(CHUNK.findall(self.tail))
        # A stamp that is cut in two is shorter than this.
        self.tail = text[max(read, len(text) - 40) :]
        return pieces


class Crowd:
    """All readers of this process, and the measurements since `begin`."""

    def __init__(self, url: str, count: int, deaf: bool) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin, select.EPOLLIN)
        self._readers: dict[int, Reader] = {}
        self._deaf = deaf
        self.begin()
        step = max(1, count // SAMPLED)
        for first in range(0, count, GROUP):
            numbers = range(first, min(count, first + GROUP))
            group = [self._connect(url.format(n=n), n % step == 0) for n in numbers]
            for reader in group:
                _read_head(reader.socket)
                reader.socket.setblocking(False)
                self._readers[reader.socket.fileno()] = reader
                if not deaf:
                    self._poll.register(reader.socket, select.EPOLLIN)

    def _connect(self, url: str, sampled: bool) -> Reader:
        parts = urlsplit(url)
        assert parts.hostname
        connection = socket.socket()
        connection.settimeout(CONNECT_DEADLINE)
        if self._deaf:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_WINDOW)
        connection.connect((parts.hostname, parts.port))
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        return Reader(connection, sampled and not self._deaf)

    def wait(self, seconds: float = -1) -> bool:
        """Receive once from every ready connection. Return whether a command waits on stdin."""
        commanded = False
        for fileno, _ in self._poll.poll(seconds):
            if fileno == sys.stdin.fileno():
                commanded = True
                continue
            pieces = self._readers[fileno].receive(self._latencies)
            if pieces < 0:
                self._poll.unregister(fileno)
            else:
                self._pieces += pieces
        return commanded

    def begin(self) -> dict[str, Any]:
        self._latencies: list[float] = []
        self._pieces = 0
        self._before = self._lines()
        self._since = time.monotonic()
        return {"begun": True}

    def end(self) -> dict[str, Any]:
        latencies = sorted(self._latencies)
        sampled = sum(reader.sampled for reader in self._readers.values())
        return {
            "lines": self._lines() - self._before,
            "p50": latencies[len(latencies) // 2] if latencies else math.nan,
            "p99": latencies[len(latencies) * 99 // 100] if latencies else math.nan,
            "sends": self._pieces / max(1, sampled) / (time.monotonic() - self._since),
        }

    def drain(self, expected: int, patience: float) -> dict[str, Any]:
        """Receive until each reader has `expected` lines, or until no more come."""
        lines, moved = self._lines(), time.monotonic()
        while time.monotonic() < moved + patience:
            if min(reader.lines for reader in self._readers.values()) >= expected:
                break
            self.wait(0.05)
            if self._lines() > lines:
                lines, moved = self._lines(), time.monotonic()
        return {
            "delivered": self._lines(),
            "disorder": sum(reader.disorder for reader in self._readers.values()),
        }

    def _lines(self) -> int:
        return sum(reader.lines for reader in self._readers.values())


def _read_head(connection: socket.socket) -> None:
    """Read the head of a response and no byte after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"a reader was refused: {head[:200]!r}")


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    crowd = Crowd(url, count, deaf="--deaf" in sys.argv)
    print(json.dumps({"ready": True}), flush=True)
    while True:
        if not crowd.wait():
            continue
        match os.read(sys.stdin.fileno(), 200).decode().split():
            case ["begin"]:
                answer = crowd.begin()
            case ["end"]:
                answer = crowd.end()
            case ["drain", expected, patience]:
                answer = crowd.drain(int(expected), float(patience))
            case _:
                return
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
