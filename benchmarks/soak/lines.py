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

# As an EventSource comes back, but sooner: there is only one.
RETRY = 0.05
_LINE = re.compile(r"(\S+) (\d+)(?: .*)?")


def make_line(label: str, number: int) -> bytes:
    """Return the payload of a line that says to which label it belongs and which number it has."""
    return payload(f"{label} {number} GET /api/orders 200 in 12 ms")


@attrs.define
class Lines:
    """A publisher of numbered lines on a NATS server, beginning with 0."""

    nats: MistreatedServer
    label: str = "nats"
    next: int = 0
    """How many it has tried to publish; after a failure nobody knows which of the last arrived."""

    async def publish(self, count: int) -> None:
        """Publish the next `count`; returns when the server has taken them.

        Raises:
            OSError, trio.BrokenResourceError: the server has not, or not all.
        """
        async with self.nats.publisher() as publisher:
            await publisher.publish(self._take(count))

    async def flow(self, rate: float) -> None:
        """Publish so many a second, for ever; while the server is away, none."""
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with self.nats.publisher() as publisher:
                    started, done = trio.current_time(), 0
                    while True:
                        due = int((trio.current_time() - started) * rate)
                        await publisher.publish(self._take(due - done))
                        done = due
                        await trio.sleep(max(0.01, 1 / rate))
            await trio.sleep(RETRY)

    def _take(self, count: int) -> list[tuple[str, bytes]]:
        first, self.next = self.next, self.next + count
        return [(SUBJECT, make_line(self.label, number)) for number in range(first, self.next)]


# --- reading ---------------------------------------------------------------------------------


@attrs.frozen
class Hole:
    """Lines that did not come."""

    label: str
    first: int
    end: int
    told: dict[str, Any] | None
    """The gap that was announced where they are missing, as the reader was told of it."""

    @property
    def missing(self) -> int:
        return self.end - self.first

    @property
    def is_told(self) -> bool:
        """Whether it was announced, with its number where one was named."""
        if self.told is None:
            return False
        missed = self.told["missed"]
        if self.told.get("at_most"):
            return bool(missed >= self.missing)
        return missed in (None, self.missing)


@attrs.define
class Seen:
    """What one reader has got, over all its connections, and what was wrong with it."""

    lines: int = 0
    next: dict[str, int] = attrs.field(factory=dict)
    """The number after the last line, by label; given 0, the first line has to be the first."""
    holes: list[Hole] = attrs.field(factory=list)
    gaps: int = 0
    """Announcements that lines are missing."""
    doubled: list[str] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)
    id: str = ""
    connections: int = 0
    _told: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def take(self, event: Event) -> None:
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
        # Announced with a number, some have to be missing.
        is_hole = told is not None and told["missed"] and not told.get("at_most")
        if number > expected or is_hole:
            self.holes.append(Hole(label, expected, number, told))
        self.next[label] = number + 1

    @property
    def silent(self) -> list[str]:
        """Holes that were not announced, or whose announcement says another number."""
        return [str(hole) for hole in self.holes if not hole.is_told]

    def missing(self, label: str) -> int:
        """How many lines of the label did not come, between the first and the last that did."""
        return sum(hole.missing for hole in self.holes if hole.label == label)

    async def wait_for(self, label: str, number: int) -> float:
        """Wait until all lines of the label before this number have come, or were passed over.

        Returns after how many seconds it was; infinity: never.
        """

        async def has_come() -> bool:
            return self.next.get(label, 0) >= number

        return await seconds_until(has_come)


async def follow(port: int, seen: Seen) -> None:
    """Read for ever, coming back where it left off whenever the response ends."""
    while True:
        with suppress(OSError, trio.BrokenResourceError, trio.EndOfChannel):
            async with EventStream.open(port, last_event_id=seen.id) as stream:
                seen.connections += 1
                while True:
                    for event in await stream.receive():
                        seen.take(event)
                    seen.id = stream.id
        await trio.sleep(RETRY)
