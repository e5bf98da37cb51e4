"""A selection in progress: the expensive part of a filter, in pieces of some milliseconds. Pure.

In: the steps of a filter (texts, conditions on fields, expressions), and entries. Out: the indices
of the entries that pass all steps. `Selecting.advance` works for a given time and is called again,
so that other work gets its turn in between, however expensive the steps are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from typing import Protocol

import attrs

from natstream.entries.conditions import Condition
from natstream.entries.entry import LogEntry
from natstream.entries.escapes import sanitize
from natstream.entries.expressions import Expression
from natstream.entries.fields import FieldCache
from natstream.entries.patterns import head_id, pattern_of

__all__ = [
    "FieldStep",
    "PatternStep",
    "Search",
    "Selecting",
    "Step",
    "expression_search",
    "text_search",
]

# The clock is read after so many characters, which takes less than a millisecond of searching for
# a text, or of decoding fields. An expression may need it more often.
MEASURED = 20_000

# Coloured messages up to this length are cached without their colours, at most a thousand of them.
PLAIN_LENGTH = 1_000

# The clock is read after so many lines were masked, which takes less than a millisecond.
MASKED = 50

Steps = Generator[None, None, list[int]]


class Turn:
    """The CPU time of the thread up to which a selection may go on."""

    def __init__(self) -> None:
        self.ends: float = 0.0
        self.parameter = ""
        """The parameter whose step is running."""

    def is_over(self) -> bool:
        return time.thread_time() > self.ends


class Step(Protocol):
    """One condition of a filter."""

    @property
    def parameter(self) -> str:
        """The parameter of the query that asks for it."""

    def select(
        self, entries: Sequence[LogEntry], indices: Iterable[int], cache: FieldCache, turn: Turn
    ) -> Steps:
        """Return those of the indices that pass; yield at the end of each turn."""


class Selecting:
    """The selection by some steps, one after the other.

    Args:
        steps: each gets only what the steps before it let through.
        entries: a run of entries.
        indices: of the entries that the first step gets.
        cache: the fields of the entries.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        entries: Sequence[LogEntry],
        indices: Sequence[int],
        cache: FieldCache,
    ) -> None:
        self.indices: Sequence[int] = indices
        """The result, once `advance` has returned True."""
        self.seconds: float = 0.0
        """The CPU time that was spent."""
        # The generator does not refer to this object, because both would stay in memory until the
        # garbage collector runs.
        self._turn = Turn()
        self._running = _run(steps, entries, indices, cache, self._turn)

    @property
    def parameter(self) -> str:
        """The parameter of the step that is running."""
        return self._turn.parameter

    def advance(self, seconds: float) -> bool:
        """Go on for about so many seconds of CPU time, and return whether it is done."""
        started = time.thread_time()
        self._turn.ends = started + seconds
        try:
            next(self._running)
        except StopIteration as end:
            self.indices = end.value
            return True
        finally:
            self.seconds += time.thread_time() - started
        return False


def _run(
    steps: Sequence[Step],
    entries: Sequence[LogEntry],
    indices: Sequence[int],
    cache: FieldCache,
    turn: Turn,
) -> Generator[None, None, Sequence[int]]:
    for step in steps:
        turn.parameter = step.parameter
        indices = yield from step.select(entries, indices, cache, turn)
    return indices


@attrs.frozen
class Search:
    """A text or an expression that the message must, or must not, contain."""

    parameter: str
    matches: Callable[[str], bool]
    """Returns whether a message passes."""
    measured: int = MEASURED
    """After how many characters the clock is read."""

    def select(
        self, entries: Sequence[LogEntry], indices: Iterable[int], cache: FieldCache, turn: Turn
    ) -> Steps:
        matches, measured = self.matches, self.measured
        size = 0
        found: list[int] = []
        for index in indices:
            message = entries[index].message
            if matches(message):
                found.append(index)
            size += len(message)
            if size > measured:
                size = 0
                if turn.is_over():
                    yield
        return found


@attrs.frozen
class FieldStep:
    """A condition on a field."""

    condition: Condition
    parameter: str = "field"

    def select(
        self, entries: Sequence[LogEntry], indices: Iterable[int], cache: FieldCache, turn: Turn
    ) -> Steps:
        path, holds = self.condition.path, self.condition.holds
        found: list[int] = []
        run: list[int] = []
        size = 0
        for index in indices:
            run.append(index)
            size += len(entries[index].message)
            if size > MEASURED:
                found += cache.select(path, holds, run)
                run, size = [], 0
                if turn.is_over():
                    yield
        return found + cache.select(path, holds, run)


@attrs.frozen
class PatternStep:
    """A condition on the pattern of a line, or of the first line of its trace."""

    parameter: str
    """`pattern` or `not_pattern`."""
    heads: frozenset[str]
    """The parts of ids that tell app, level and first line."""

    def select(
        self, entries: Sequence[LogEntry], indices: Iterable[int], cache: FieldCache, turn: Turn
    ) -> Steps:
        is_wanted = self.parameter == "pattern"
        found: list[int] = []
        for count, index in enumerate(indices, 1):
            entry = entries[index]
            text = entry.head if entry.continues else entry.message
            # A line that continues an unknown one is of no pattern.
            is_found = bool(text or not entry.continues) and (
                head_id(entry.app_name, entry.level, pattern_of(text)) in self.heads
            )
            if is_found is is_wanted:
                found.append(index)
            if not count % MASKED and turn.is_over():
                yield
        return found


def text_search(parameter: str, text: str) -> Search:
    """Return the search for a text, which ignores case."""
    folded = text.casefold()
    needle = text if folded == text else folded  # so that most texts are kept once
    if parameter == "q":
        return Search(parameter, lambda message: needle in _seen(message).casefold())
    return Search(
        parameter,
        lambda message: all(needle not in face.casefold() for face in _faces(message)),
    )


def expression_search(parameter: str, expression: Expression, *, strict: bool) -> Search:
    """Return the search for an expression.

    Args:
        parameter: `q` or `not`.
        expression: the expression.
        strict: whether `not` also hides a message that is too long to be searched as a whole.
    """

    def has(message: str) -> bool:
        return expression.matches(_encode(_seen(message)))

    def lacks(message: str) -> bool:
        texts = [_encode(face) for face in _faces(message)]
        if strict and any(len(text) > expression.reach for text in texts):
            return False
        return not any(map(expression.matches, texts))

    return Search(parameter, has if parameter == "q" else lacks, expression.measured)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _seen(message: str) -> str:
    """Return a message without its colours, since the words that people look for have none."""
    if "\x1b" not in message:
        return message
    return (
        _plain(message) if len(message) <= PLAIN_LENGTH else sanitize(message, keep_colours=False)
    )


def _faces(message: str) -> tuple[str, ...]:
    """Return a message as it is, and without its colours if it has any.

    An excluded text hides a message if either of these contains the text.
    """
    return (message,) if "\x1b" not in message else (message, _seen(message))


# Many filters look at the same lines, one filter after the other, a batch at a time.
@lru_cache(maxsize=1_000)
def _plain(message: str) -> str:
    return sanitize(message, keep_colours=False)
