"""What levels and patterns cost of the intake: from a payload to one reader's bytes.

The same lines go through one process with and without them, in turn, and the fastest of many rounds
counts for each. So the share also holds on a busy machine. Only this benchmark can do without them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import attrs
import trio
from tests.support.processes import CPUS

from benchmarks.path import broadcast, messages
from natstream.entries import envelopes, fly
from natstream.entries.continuation import Continuations
from natstream.hub.published import Published
from natstream.web.facets import Facets
from natstream.web.pattern_counts import PatternCounts

__all__ = ["Intake", "measure_levels", "measure_patterns"]

# More lines than a second takes, because the rate of the last second decides on the sample.
ROUNDS = 200
# Of each kind of lines, so many go through in a round, as from a busy connection.
LINES = 1_000
FRAMEWORKS = Path(__file__).parents[1] / "tests/fixtures/levels.jsonl"
TRACE = [
    "ERROR: charge failed",
    *(f"\tat com.example.Shop.step{number}(Shop.java:{number})" for number in range(29)),
]

Message = tuple[bytes, bytes]
"""The subject and the payload."""


class Intake(NamedTuple):
    """The result for one kind of lines."""

    lines: str
    without: float
    """Lines a second."""
    whole: float
    """Lines a second, with what is measured."""


Observe = Callable[[Published], None]
Without = Callable[[], AbstractContextManager[None]]


async def measure_levels() -> Sequence[Intake]:
    """Measure levels and continuation lines, on one core."""
    return await _measure_all(lambda: (None, _without_levels))


async def measure_patterns() -> Sequence[Intake]:
    """Measure the counting of patterns beside the facets, on one core.

    So many lines arrive in a second that a sample of them is counted, as in a busy service.
    """
    return await _measure_all(_counting)


async def _measure_all(prepare: Callable[[], tuple[Observe | None, Without]]) -> Sequence[Intake]:
    """Measure the lines of a load, those of many frameworks, and stack traces."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CPUS[:1])
    try:
        return [
            await _measure(name, lines, *prepare())
            for name, lines in (
                ("requests of a web application", messages()),
                ("lines of many frameworks", _framed(_frameworks())),
                ("stack traces of 30 lines", _framed(TRACE)),
            )
        ]
    finally:
        os.sched_setaffinity(0, ours)


async def _measure(
    name: str, lines: Sequence[Message], observe: Observe | None, without: Without
) -> Intake:
    best = {False: float("inf"), True: float("inf")}
    async with broadcast(1, observe) as send:
        for number in range(2 * ROUNDS):
            is_whole = bool(number % 2)
            with _nothing() if is_whole else without():
                started = time.process_time()
                await send(fly.parse_messages(lines))
                best[is_whole] = min(best[is_whole], time.process_time() - started)
            await trio.lowlevel.checkpoint()
    return Intake(name, len(lines) / best[False], len(lines) / best[True])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _without_levels() -> Iterator[None]:
    """Let each line keep the platform's level, and stand by itself."""
    with (
        patch.object(fly, "level_of", lambda _: ""),
        patch.object(envelopes, "level_of", lambda _: ""),
        patch.object(Continuations, "join", lambda _, entries: entries),
    ):
        yield


def _counting() -> tuple[Observe, Without]:
    """Return an observer that counts facets and patterns, and what stops it counting patterns."""
    facets, patterns = Facets(), PatternCounts(time.process_time)

    def observe(published: Published) -> None:
        facets.count(published.entries)
        # The lines arrive as fast as the process takes them, by its own time, because another
        # process of the machine would make the rate look low, and low rates are not sampled.
        now = int(time.process_time() * 1_000)
        patterns.count(attrs.evolve(published, arrivals=[now] * len(published.entries)))

    return observe, lambda: _nothing_counted(patterns)


@contextmanager
def _nothing_counted(patterns: PatternCounts) -> Iterator[None]:
    with patch.object(patterns, "count", lambda _: None):
        yield


def _frameworks() -> list[str]:
    return [json.loads(row)["message"] for row in FRAMEWORKS.read_text().splitlines()]


def _framed(texts: Sequence[str]) -> list[Message]:
    """Return messages with these texts in turn, in the envelopes of a load."""
    framed = []
    for number, (subject, payload) in enumerate(messages()[:LINES]):
        record = json.loads(payload)
        record["message"] = texts[number % len(texts)]
        # The lines of a machine follow each other, as those of a trace do.
        machine = b"%014x" % (number // len(texts))
        origin = subject.rsplit(b".", 1)[0]
        payload = json.dumps(record, separators=(",", ":")).encode()  # as Fly writes it
        framed.append((b"%b.%b" % (origin, machine), payload))
    return framed
