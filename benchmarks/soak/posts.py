"""Senders of the drain: one sends exactly the given bytes, the other behaves well."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import attrs
import trio
from tests.support.loopback import HOST

from benchmarks.soak.lines import Seen, make_line

__all__ = ["GoodSender", "Sender", "make_post"]

LINES = 50
# Seconds between a good sender's batches, and until it reconnects.
PAUSE = 0.05


def make_post(body: bytes, *headers: str) -> bytes:
    """Return a request with this body and its length."""
    head = "\r\n".join(
        ("POST / HTTP/1.1", "Host: drain", *headers, f"Content-Length: {len(body)}", "", "")
    )
    return head.encode() + body


class Sender:
    """One connection to the drain."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = b""

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Sender]:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            yield cls(stream)

    async def exchange(self, *pieces: bytes, pause: float = 0, end: bool = False) -> int:
        """Send pieces with a pause after each, and return the status whenever the answer comes.

        With `end`, the sending side is closed after the pieces.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send, pieces, pause, end)
            status = await self._answer()
            nursery.cancel_scope.cancel()
        return status

    async def send(self, pieces: Iterable[bytes], pause: float = 0, end: bool = False) -> None:
        """Send pieces as `exchange` does, without waiting for the answer."""
        with suppress(trio.BrokenResourceError):  # the answer may have come nevertheless
            for piece in pieces:
                await self._stream.send_all(piece)
                await trio.sleep(pause)
            if end:
                await self._stream.send_eof()

    async def _answer(self) -> int:
        """Return the status of the answer; 0 if there is none."""
        try:
            while b"\r\n\r\n" not in self._received:
                await self._receive()
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(self._received) < length:
                await self._receive()
        except (trio.BrokenResourceError, EOFError):
            return 0
        self._received = self._received[length:]
        return int(head.split()[1])

    async def _receive(self) -> None:
        received = await self._stream.receive_some()
        if not received:
            raise EOFError
        self._received += received


@attrs.define
class GoodSender:
    """Posts numbered lines in batches, and sends a batch again after a 503."""

    label: str
    next: int = 0
    accepted: int = 0
    """The number after the last line that was accepted."""
    slowest: float = 0.0
    """Most seconds from a batch's first attempt to its 200."""
    refused: int = 0
    unanswered: list[range] = attrs.field(factory=list)
    """Batches without an answer, which are not sent again because they may have arrived."""
    wrong: list[int] = attrs.field(factory=list)
    """Answers other than 200 and 503."""

    async def run(self, port: int, until: trio.Event, lines: int = LINES) -> None:
        """Send until the event is set, and finish the batch in progress."""
        while not until.is_set():
            try:
                async with Sender.open(port) as sender:
                    good = True
                    while good and not until.is_set():
                        good = await self._send(sender, lines, until)
                        await trio.sleep(PAUSE)
            except OSError:
                pass  # the drain does not listen
            await trio.sleep(PAUSE)

    async def _send(self, sender: Sender, lines: int, until: trio.Event) -> bool:
        """Send a batch until it is accepted. Return whether the connection can still be used."""
        numbers = range(self.next, self.next + lines)
        request = make_post(make_batch(self.label, numbers))
        started = trio.current_time()
        while True:
            match await sender.exchange(request):
                case 200:
                    self.next = self.accepted = numbers.stop
                    self.slowest = max(self.slowest, trio.current_time() - started)
                    return True
                case 503:
                    self.refused += 1
                case 0:
                    self.unanswered.append(numbers)
                    self.next = numbers.stop
                    return False
                case status:
                    self.wrong.append(status)
                    return False
            if until.is_set():
                return False
            await trio.sleep(PAUSE * 4)

    def misses(self, seen: Seen) -> list[str]:
        """Return accepted lines that a reader lacks, and unanswered batches that it got in part."""
        whole = [(batch.start, batch.stop) for batch in self.unanswered]
        wrong = [
            str(hole)
            for hole in seen.holes
            if hole.label == self.label and (hole.first, hole.end) not in whole
        ]
        end = seen.next.get(self.label, 0)
        if end not in (self.accepted, self.next):
            wrong.append(f"{self.label} ends at {end}, accepted up to {self.accepted}")
        return wrong


def make_batch(label: str, numbers: Iterable[int]) -> bytes:
    """Return a JSON body of lines with these numbers."""
    return json.dumps([json.loads(make_line(label, number)) for number in numbers]).encode()
