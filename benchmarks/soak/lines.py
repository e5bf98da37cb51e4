"""Numbered lines: published, read over connections that may break, and checked on arrival."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import attrs
import trio
from tests.support.event_stream import Event, EventStream
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import SUBJECT, payload
from tests.support.waiting import seconds_until

__all__ = ["Lines", "Seen", "follow", "make_line"]

# Seconds until a reader reconnects, fewer than those of an EventSource.
RETRY = 0.05
_LINE = re.compile(r"(\S+) (\d+)(?: .*)?")


def make_line(label: str, number: int) -> bytes:
    """Return the payload of a line that says to which label it belongs and which number it has."""
    return payload(f"{label} {number} GET /api/orders 200 in 12 ms")


@attrs.define
class Lines:
    """Publishes numbered lines on a NATS server, from 0 on."""

    nats: MistreatedServer
    label: str = "nats"
    next: int = 0
    """Number of lines that it tried to publish; after a failure the last ones may be missing."""

    async def publish(self, count: int) -> None:
        """Publish the next `count` lines; return when the server has received them.

        Raises:
            OSError, trio.BrokenResourceError: the server may not have received all lines.
        """
        async with self.nats.publisher() as publisher:
            await publisher.publish(self._next_lines(count))

    async def flow(self, rate: float) -> None:
        """Publish so many lines a second until cancelled, and none while the server is away."""
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with self.nats.publisher() as publisher:
                    started, done = trio.current_time(), 0
                    while True:
                        due = int((trio.current_time() - started) * rate)
                        await publisher.publish(self._next_lines(due - done))
                        done = due
                        await trio.sleep(max(0.01, 1 / rate))
            await trio.sleep(RETRY)

    def _next_lines(self, count: int) -> list[tuple[str, bytes]]:
        first, self.next = self.next, self.next + count
        return [(SUBJECT, make_line(self.label, number)) for number in range(first, self.next)]


# --- reading ---------------------------------------------------------------------------------


@attrs.frozen
class Hole:
    """Lines that a reader did not get, with consecutive numbers."""

    label: str
    first: int
    end: int
    told: dict[str, Any] | None
    """The gap that was announced to the reader at this point, if any."""

    @property
    def missing(self) -> int:
        return self.end - self.first

    @property
    def is_told(self) -> bool:
        """Whether it was announced, with the right number if a number was given."""
        if self.told is None:
            return False
        missed = self.told["missed"]
        if self.told.get("at_most"):
            return bool(missed >= self.missing)
        return missed in (None, self.missing)


@attrs.define
class Seen:
    """The lines that one reader got over all its connections, and the faults among them."""

    lines: int = 0
    next: dict[str, int] = attrs.field(factory=dict)
    """The next number by label; 0 from the start means that line 0 must not be missing."""
    holes: list[Hole] = attrs.field(factory=list)
    gaps: int = 0
    """Number of announced gaps."""
    doubled: list[str] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)
    id: str = ""
    connections: int = 0
    _told: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def add(self, event: Event) -> None:
        data = event.data
        self.id = event.id
        if "app" not in data:
            self.notices.append(data["message"])
            if "gap" in data:
                self.gaps += 1
                for label in self.next:
                    self._told[label] = data["gap"]
            return
        match = _LINE.fullmatch(data["message"])
        if not match:
            return
        label, number = match[1], int(match[2])
        self.lines += 1
        expected = self.next.get(label, number)
        told = self._told.pop(label, None)
        if number < expected:
            self.doubled.append(f"{label} {number} after {expected - 1}")
            return
        # A gap with a number is wrong if no line is missing.
        is_hole = told is not None and told["missed"] and not told.get("at_most")
        if number > expected or is_hole:
            self.holes.append(Hole(label, expected, number, told))
        self.next[label] = number + 1

    @property
    def silent(self) -> list[str]:
        """Holes that were not announced, or with a wrong number."""
        return [str(hole) for hole in self.holes if not hole.is_told]

    def missing(self, label: str) -> int:
        """Return the number of missing lines of a label, between its first and its last line."""
        return sum(hole.missing for hole in self.holes if hole.label == label)

    async def wait_for(self, label: str, number: int) -> float:
        """Wait until a line of the label with at least this number is next.

        Returns:
            The seconds that it took; infinity if it did not happen in time.
        """

        async def has_come() -> bool:
            return self.next.get(label, 0) >= number

        return await seconds_until(has_come)


async def follow(port: int, seen: Seen) -> None:
    """Read until cancelled, and resume after the last line whenever the response ends."""
    while True:
        with suppress(OSError, trio.BrokenResourceError, trio.EndOfChannel):
            async with EventStream.open(port, last_event_id=seen.id) as stream:
                seen.connections += 1
                while True:
                    for event in await stream.receive():
                        seen.add(event)
                    seen.id = stream.id
        await trio.sleep(RETRY)
