"""The practical limit: trio sockets, a hand-written HTTP head and chunks, and nothing else.

    python bare.py PORT NATS_PORT USER PASSWORD FLUSH_RATE

It makes the same events as natstream from the same lines, and sends to each reader at most
FLUSH_RATE times a second: a line is sent at once if nothing was sent lately, and later with others
otherwise. It has no filters, no backlog, no deadlines and hardly any HTTP, and a reader that stalls
uses memory without limit.
"""

from __future__ import annotations

import gc
import json
import sys
from datetime import datetime
from functools import partial

import msgspec
import trio

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class App(msgspec.Struct):
    instance: str
    name: str


class Fly(msgspec.Struct):
    app: App
    region: str


class Log(msgspec.Struct):
    level: str


class Line(msgspec.Struct):
    fly: Fly
    log: Log
    message: str
    timestamp: datetime


class Event(msgspec.Struct):
    message: str
    timestamp: int
    type: str
    persistent: bool
    app: str
    region: str
    machine: str
    stream: str
    level: str


decode = msgspec.json.Decoder(Line).decode
encode = msgspec.json.Encoder().encode


def frame(number: int, payload: bytes) -> bytes:
    line = decode(payload)
    event = Event(
        line.message,
        int(line.timestamp.timestamp() * 1000),
        "log",
        False,
        line.fly.app.name,
        line.fly.region,
        line.fly.app.instance,
        "stdout",
        line.log.level,
    )
    return b"id: %d\ndata: %b\n\n" % (number, encode(event))


class Round:
    """A chunk that is sent to all readers, and the link to the next one."""

    def __init__(self) -> None:
        self.chunk = b""
        self.sealed = trio.Event()
        self.next: Round

    def seal(self, body: bytes) -> Round:
        self.chunk = b"%x\r\n%b\r\n" % (len(body), body)
        self.next = Round()
        self.sealed.set()
        return self.next


class Broadcaster:
    def __init__(self) -> None:
        self.round = Round()
        self.frames: list[bytes] = []
        self.count = 0
        self.some = trio.Event()

    async def read_nats(
        self, port: int, user: str, password: str, task_status: trio.TaskStatus[None]
    ) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        options = {"user": user, "pass": password, "verbose": False}
        greeting = b"CONNECT %b\r\nSUB logs.> 1\r\nPING\r\n" % json.dumps(options).encode()
        await stream.send_all(greeting)
        rest = b""
        async for received in stream:
            rest += received
            at = 0
            while (end := rest.find(b"\r\n", at)) >= 0:
                if rest.startswith(b"MSG", at):
                    size = int(rest[rest.rindex(b" ", at, end) : end])
                    if len(rest) < end + 2 + size + 2:
                        break
                    self.count += 1
                    self.frames.append(frame(self.count, rest[end + 2 : end + 2 + size]))
                    at = end + 2 + size + 2
                    continue
                if rest.startswith(b"PONG", at):
                    task_status.started()
                elif rest.startswith(b"PING", at):
                    await stream.send_all(b"PONG\r\n")
                at = end + 2
            rest = rest[at:]
            if self.frames:
                self.some.set()

    async def flush(self, interval: float) -> None:
        due = trio.current_time()
        while True:
            await self.some.wait()
            await trio.sleep_until(due)
            due = max(due, trio.current_time() - interval) + interval
            self.some = trio.Event()
            body = b"".join(self.frames)
            self.frames.clear()
            self.round = self.round.seal(body)

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            if b"GET /ready" in await stream.receive_some():
                await stream.send_all(READY)
                return
            current = self.round
            await stream.send_all(HEAD)
            while True:
                await current.sealed.wait()
                await stream.send_all(current.chunk)
                current = current.next
        except trio.BrokenResourceError:
            pass


async def main(port: int, nats_port: int, user: str, password: str, flush_rate: float) -> None:
    gc.set_threshold(50_000, 20, 50)  # natstream sets the same threshold
    broadcaster = Broadcaster()
    async with trio.open_nursery() as nursery:
        await nursery.start(broadcaster.read_nats, nats_port, user, password)
        nursery.start_soon(broadcaster.flush, 1 / flush_rate)
        serve = partial(trio.serve_tcp, broadcaster.serve, port, host="127.0.0.1", backlog=4096)
        await serve()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5]))
