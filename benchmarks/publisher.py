"""A process that publishes stamped lines at a fixed rate, to a nats-server or by POST.

    python -m benchmarks.publisher TARGET RATE COUNT

TARGET is `nats://user:password@host:port` or `http://host:port/path`. The process prints one JSON
object a line: `{"started": true}` with the first line, and at the end `late`, the seconds by which
lines were sent after their due time (p99).

The lines are evenly spaced. A line is stamped at its due time. It may then wait in the memory of
this process until the server reads it, so a server that reads slowly does not hide the delay.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from urllib.parse import SplitResult, urlsplit

from benchmarks.lines import now_ns, stamp_all, templates

# Lines that are due within so many seconds are sent together, because at more than 1,000 lines/s
# this process would otherwise spend its time on waking up.
TICK = 0.001
SECOND = 10**9
# Seconds after the last line was due, in which a server has received everything or never will.
PATIENCE = 15.0


class Target:
    """A connection that buffers lines, so that sending never blocks the caller."""

    def __init__(self, url: SplitResult) -> None:
        assert url.hostname
        assert url.port
        self._waiting = bytearray()
        self._received = b""
        self._answers = 0
        self._socket = socket.create_connection((url.hostname, url.port))
        # Otherwise the figures would measure Nagle's algorithm.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "nats":
            self._greet(url)
            self._answer, self._goodbye = b"PONG\r\n", b"PING\r\n"
            self.kinds = templates(
                lambda subject, size, payload: (
                    b"PUB %b %d\r\n%b\r\n" % (subject.encode(), size, payload)
                )
            )
        else:
            self._answer, self._goodbye = b"HTTP/1.1 20", b""
            head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: "
            self.kinds = templates(
                lambda _, size, payload: b"%b%d\r\n\r\n%b" % (head.encode(), size, payload)
            )
        self._socket.setblocking(False)

    def _greet(self, url: SplitResult) -> None:
        options = {"user": url.username, "pass": url.password, "verbose": False, "pedantic": False}
        self._socket.sendall(b"CONNECT %b\r\nPING\r\n" % json.dumps(options).encode())
        received = b""
        while not received.endswith(b"PONG\r\n"):
            received += self._socket.recv(65536)

    def send(self, lines: bytes) -> None:
        self._waiting += lines
        try:
            sent = self._socket.send(self._waiting)
        except BlockingIOError:
            return
        del self._waiting[:sent]

    def attend(self, seconds: float) -> None:
        """Wait for so many seconds or until the socket is ready, and then read or send."""
        wanted = [self._socket] if self._waiting else []
        readable, writable, _ = select.select([self._socket], wanted, [], max(0.0, seconds))
        if readable:
            self._read()
        if writable:
            self.send(b"")

    def _read(self) -> None:
        received = self._socket.recv(1 << 18)
        if b"PING\r\n" in received:
            self._waiting += b"PONG\r\n"
        text = self._received + received
        self._answers += text.count(self._answer)
        self._received = text[-len(self._answer) + 1 :]

    def finish(self, published: int) -> None:
        """Wait until the server has received everything, for 15 seconds at the most."""
        expected = 1 if self._goodbye else published
        self.send(self._goodbye)
        end = time.monotonic() + PATIENCE
        while self._answers < expected and time.monotonic() < end:
            self.attend(end - time.monotonic())
        self._socket.close()


def publish(target: Target, rate: int, count: int) -> list[float]:
    """Publish `count` lines at `rate` a second. Return the delay of each tick, in seconds."""
    late: list[float] = []
    start = now_ns()
    done = 0
    while done < count:
        now = now_ns()
        due = min(count, (now - start) * rate // SECOND + 1)
        if due > done:
            late.append((now - start) / SECOND - done / rate)
            target.send(stamp_all(target.kinds, done, due))
            done = due
        target.attend(max(TICK, (start - now_ns()) / SECOND + done / rate))
    return late


def main() -> None:
    url, rate, count = urlsplit(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    target = Target(url)
    print(json.dumps({"started": True}), flush=True)
    late = sorted(publish(target, rate, count))
    target.finish(count)
    print(json.dumps({"late": late[len(late) * 99 // 100]}), flush=True)


if __name__ == "__main__":
    main()
