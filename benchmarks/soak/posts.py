"""Senders of the drain: one that says exactly what it is told to, and one that is good."""

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
# Seconds between a good sender's batches, and until it tries a connection again.
PAUSE = 0.05


def make_post(body: bytes, *headers: str) -> bytes:
    """A request with this body, and its length."""
    head = "\r\n".join(
        ("POST / HTTP/1.1", "Host: drain", *headers, f"Content-Length: {len(body)}", "", "")
    )
    return head.encode() + body


class Sender:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = b""

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Sender]:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            yield cls(stream)

    async def exchange(self, *pieces: bytes, pause: float = 0, end: bool = False) -> int:
        """Send pieces, with a pause after each, and return the answer whenever it comes.

        With `end`, this end is closed after them.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send, pieces, pause, end)
            status = await self._answer()
            nursery.cancel_scope.cancel()
        return status

    async def send(self, pieces: Iterable[bytes], pause: float = 0, end: bool = False) -> None:
        """The same without waiting for the answer."""
        with suppress(trio.BrokenResourceError):  # it may have answered nevertheless
            for piece in pieces:
                await self._stream.send_all(piece)
                await trio.sleep(pause)
            if end:
                await self._stream.send_eof()

    async def _answer(self) -> int:
        """Its status; 0 if there is none."""
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
    """Posts numbered lines in batches; what is refused for now is sent again, as it was."""

    label: str
    next: int = 0
    accepted: int = 0
    """The end of the last batch that was accepted."""
    slowest: float = 0.0
    """Seconds from a batch's first attempt to the answer that took it."""
    refused: int = 0
    unanswered: list[range] = attrs.field(factory=list)
    """Batches of which nobody knows; they are not sent again."""
    wrong: list[int] = attrs.field(factory=list)
    """Other answers."""

    async def run(self, port: int, until: trio.Event, lines: int = LINES) -> None:
        """Send until the event, and finish the batch that is being sent."""
        while not until.is_set():
            try:
                async with Sender.open(port) as sender:
                    good = True
                    while good and not until.is_set():
                        good = await self._send(sender, lines, until)
                        await trio.sleep(PAUSE)
            except OSError:
                pass  # nobody listens
            await trio.sleep(PAUSE)

    async def _send(self, sender: Sender, lines: int, until: trio.Event) -> bool:
        """Send a batch until it is accepted. Returns whether the connection is still good."""
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
        """What a reader did not get of what was accepted, or only a part of what may have been."""
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
    """A body of such lines, as JSON."""
    return json.dumps([json.loads(make_line(label, number)) for number in numbers]).encode()
