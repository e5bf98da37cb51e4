"""How often each pattern came, second by second, in bounded memory.

In: entries, as they are published, each with its number and its arrival. Out: a `PatternTally` for
each pattern of an app and level. Streams and regions have tallies of their own, since a reader may
ask for one of them.  A line of a stack trace counts to its head. A trace is known once its lines
have come, so a head counts at first as a line by itself, and its count is moved when the lines
arrive.  If more than SAMPLED_FROM lines arrive in a second, only every second, fourth, … number is
counted, with that weight. Memory is bounded: when there are too many tallies, those that came most
seldom are added up as "other"; when there are too many seconds, the older ones are kept by ten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import attrs

from natstream.entries.continuation import Origin, origin_of
from natstream.entries.entry import LogEntry
from natstream.entries.patterns import pattern_id, pattern_of
from natstream.entries.patterns_traces import TraceLines
from natstream.hub.published import Published
from natstream.web.pattern_tally import MAX_MACHINES, CountedLine, PatternTally, TallyKey

__all__ = ["KEPT", "NEAR", "PatternCounts"]

# Seconds for which lines are counted: two spans of half an hour can be compared.
KEPT = 3_600
# A tally takes about 3 KB with its texts, 2,500 of them 8 MB.
MAX_TALLIES = 2_500
# Seconds of all tallies in which something came; 8 bytes each.
MAX_SECONDS = 600_000
# Seconds that are older than this are kept by ten if there are too many.
FINE = 600
# A line takes about 6 µs, so that so many take less than a tenth of a core in each second. If more
# arrive, the sample is smaller, because a process with so many lines needs its core for them.
SAMPLED_FROM, SAMPLE = 10_000, 2_500

MAX_EXAMPLE = 300
MAX_RELEASES = 20
MAX_NAMES = 5_000
# No name of Fly's is longer.
MAX_NAME = 128
MAX_APPS = 1_000

# Heads of traces that wait for their lines, and for how long (ms).
MAX_HEADS = 500
NEAR = 2_000
_SEVERE = frozenset({"warn", "error", "fatal"})


@attrs.define(eq=False)
class _Head:
    """The head of a group, whose lines may still come."""

    tally: PatternTally
    level: str
    line: CountedLine
    lines: TraceLines = attrs.field(factory=TraceLines)


class PatternCounts:
    """The counts of one process, or of one answer. Use it from one thread only."""

    def __init__(
        self, wall: Callable[[], float] = time.time, *, samples: bool = True, start_ms: int = 0
    ) -> None:
        """Begin to count.

        Args:
            wall: returns Unix seconds.
            samples: whether a part of the lines is enough if there are very many.
            start_ms: Unix ms from which on lines are counted; by default now.
        """
        self.wall = wall
        self.start_ms: int = start_ms or int(wall() * 1000)
        """Unix ms from which on all lines are counted."""
        self.other: PatternTally = PatternTally(
            ("", "", "", "", "", ""), "", _sample("", "", "", "")
        )
        """The lines that are not counted apart."""
        self.released_at: Callable[[str, str], int | None] = lambda app, release: None
        """Given an app and a release, returns the Unix ms since when the release surely runs."""
        self.not_apart: int = 0
        """Lines that were counted as other, since the start."""
        self.deploys: dict[str, dict[str, int]] = {}
        """App → release → Unix ms of its first line."""
        self._samples = samples
        self._tallies: dict[TallyKey, PatternTally] = {}
        self._heads: dict[Origin, _Head] = {}
        self._shared: dict[tuple[str, str, str, str], LogEntry] = {}
        self._names: dict[str, str] = {}
        self._machines: dict[tuple[str, str, str, str], set[str]] = {}
        self._known_machines = 0
        self._kept = 0
        self._second = self._in_second = 0
        self._weight = 1
        self._weights: dict[int, int] = {}
        """Second → the greatest weight with which lines of it were counted, if not 1."""
        self._forgot = 0

    def __len__(self) -> int:
        return len(self._tallies)

    @property
    def tallies(self) -> Sequence[PatternTally]:
        """All patterns."""
        self._forget(int(self.wall()))
        return list(self._tallies.values())

    def weight(self, start: int, end: int) -> int:
        """Return the greatest weight of a line in these seconds; 1 if all lines were counted."""
        return max((n for second, n in self._weights.items() if start <= second < end), default=1)

    @property
    def weight_now(self) -> int:
        """How many lines each line stands for that was counted last."""
        return self._weight

    def machines(self, tally: PatternTally) -> int:
        """Return how many machines have said anything of this app, level, stream and region.

        A reader who sees the tally may know this, because its scope shows all these lines.
        """
        return len(self._machines.get(tally.key[:4], ()))

    # --- counting ------------------------------------------------------------------------

    def count(self, published: Published) -> None:
        """Count published entries."""
        arrivals = published.arrivals
        if not arrivals:
            return
        first = arrivals[0] // 1000
        if first == arrivals[-1] // 1000:
            runs: Iterator[tuple[int, range]] = iter([(first, range(len(arrivals)))])
        else:
            runs = _by_second(arrivals)
        for second, run in runs:
            self._count(published, run, second)
        self.start_ms = min(self.start_ms, arrivals[0])
        self._forget(first)

    def _count(self, published: Published, run: range, second: int) -> None:
        weight = self._weigh(second, len(run))
        skipped = weight - 1
        entries, numbers, arrivals = published.entries, published.numbers, published.arrivals
        heads = self._heads
        grown: dict[int, _Head] = {}
        indices: Iterable[int] = run
        if skipped and not heads:
            # No line waits for its trace, so that only the sampled lines count.
            sampled = [index for index in run if not numbers[index] & skipped]
            if not any(entries[index].level in _SEVERE for index in sampled):
                indices = sampled
        for index in indices:
            entry = entries[index]
            if entry.continues:
                head = heads.get(origin_of(entry)) if heads else None
                if (
                    head is not None
                    and head.level == entry.level
                    and arrivals[index] - head.line.arrival <= NEAR
                ):
                    head.lines.add(entry.message)
                    grown[id(head)] = head
            elif not numbers[index] & skipped:
                line = _line(entry, arrivals[index], weight, numbers[index], published.epoch)
                tally = self._add(entry, line)
                if entry.level in _SEVERE:
                    key = origin_of(entry)
                    heads.pop(key, None)
                    heads[key] = _Head(tally, entry.level, line)
                    if len(heads) > MAX_HEADS:
                        del heads[next(iter(heads))]
            elif heads and entry.level in _SEVERE:
                heads.pop(origin_of(entry), None)  # The next lines are of this head's trace.
        for head in grown.values():
            self._move(head)

    def add_group(
        self, entry: LogEntry, lines: Sequence[str], arrival: int, number: int, epoch: str
    ) -> None:
        """Count a line with the lines that continue it, if it is the head of a trace."""
        line = _line(entry, arrival, 1, number, epoch)
        head = _Head(self._add(entry, line), entry.level, line)
        if lines and entry.level in _SEVERE:
            for each in lines:
                head.lines.add(each)
            self._move(head)

    def _add(self, entry: LogEntry, line: CountedLine) -> PatternTally:
        head = pattern_of(entry.message)
        key = (entry.app_name, entry.level, entry.stream, entry.region, head, "")
        tally = self._tallies.get(key) or self._new_tally(key)
        self._note(tally, line)
        if line.release:
            self._note_release(entry.app_name, line)
        return tally

    def _note(self, tally: PatternTally, line: CountedLine) -> None:
        arrival, machine, release = line.arrival, line.machine, line.release
        self._kept += tally.add(arrival // 1000, line.weight)
        newest = tally.newest
        if is_newest := newest is None or (
            (arrival, line.number) > (newest.arrival, newest.number)
        ):
            tally.last_ms, tally.newest = arrival, line
        if arrival < tally.first_ms or not tally.first_ms:
            tally.first_ms = arrival
        if machine and machine not in tally.machines:
            self._note_machine(tally.key[:4], machine)
            if len(tally.machines) >= MAX_MACHINES and is_newest:
                del tally.machines[0]
            if len(tally.machines) < MAX_MACHINES:
                tally.machines.append(self._name(machine))
        if release:
            self._note_first(tally.releases, release, arrival)

    def _move(self, head: _Head) -> None:
        """Move a head to the pattern that it has with the lines of its trace."""
        old, trace = head.tally, head.lines.pattern()
        if old.is_gone or old is self.other or old.key[5] == trace:
            return
        self._kept += old.add(head.line.arrival // 1000, -head.line.weight)
        if not any(old.counts):
            self._kept -= len(old.seconds)
            del self._tallies[old.key]
            old.is_gone = True
        key = (*old.key[:5], trace)
        head.tally = self._tallies.get(key) or self._new_tally(key)
        self._note(head.tally, head.line)

    def _weigh(self, second: int, lines: int) -> int:
        """Return the weight of each line that is counted, given how many arrive in this second."""
        if not self._samples:
            return 1
        if second > self._second:
            before = self._in_second if second == self._second + 1 else 0
            self._second, self._in_second = second, 0
            self._weight = _weight_of(before)
        if second == self._second:
            self._in_second += lines
            self._weight = max(self._weight, _weight_of(self._in_second))
        weight = self._weight if second == self._second else 1
        if weight > 1:
            self._weights[second] = max(weight, self._weights.get(second, 1))
        return weight

    def _note_release(self, app: str, line: CountedLine) -> None:
        release, arrival = line.release, line.arrival
        known = self.deploys.get(app)
        if known is None:
            if len(self.deploys) >= MAX_APPS:
                return
            known = self.deploys[self._name(app)] = {}
        if release not in known and known:
            arrival = min(arrival, self.released_at(app, release) or arrival)
        self._note_first(known, release, arrival)

    def _note_machine(self, origin: tuple[str, str, str, str], machine: str) -> None:
        if machine not in self._machines.get(origin, ()):
            if self._known_machines >= MAX_NAMES:
                self._machines.clear()
                self._known_machines = 0
            self._machines.setdefault(origin, set()).add(self._name(machine))
            self._known_machines += 1

    def _note_first(self, firsts: dict[str, int], release: str, arrival: int) -> None:
        """Note the first line of a release, among those of the newest releases."""
        first = firsts.get(release)
        if first is None and len(firsts) >= MAX_RELEASES:
            oldest = min(firsts, key=firsts.__getitem__)
            if arrival <= firsts[oldest]:
                return
            del firsts[oldest]
        if first is None:
            firsts[self._name(release)] = arrival
        elif arrival < first:
            firsts[release] = arrival

    # --- memory --------------------------------------------------------------------------

    def _new_tally(self, key: TallyKey) -> PatternTally:
        app, level, stream, region, head, trace = key
        if max(len(app), len(level), len(stream), len(region)) > MAX_NAME:
            self.not_apart += 1
            return self.other
        if len(self._tallies) >= MAX_TALLIES:
            self._evict()
        sample = self._shared.get(key[:4])
        if sample is None:
            if len(self._shared) >= MAX_TALLIES:
                self._shared.clear()
            sample = self._shared[key[:4]] = _sample(app, level, stream, region)
        tally = PatternTally(key, pattern_id(app, level, head, trace), sample)
        self._tallies[key] = tally
        return tally

    def _evict(self) -> None:
        """Count a quarter of the tallies as "other": the rarest, of equal ones the oldest."""
        tallies = sorted(self._tallies.values(), key=lambda tally: (tally.lines, tally.last_ms))
        for tally in tallies[: max(1, len(tallies) // 4)]:
            del self._tallies[tally.key]
            tally.is_gone = True
            self._kept -= len(tally.seconds)
            self.not_apart += tally.lines
            for second, lines in zip(tally.seconds, tally.counts, strict=True):
                self._kept += self.other.add(second, lines)

    def _forget(self, second: int) -> None:
        """Forget old seconds and tallies, at most once in a minute unless there are too many."""
        if second // 60 == self._forgot and self._kept <= MAX_SECONDS:
            return  # A batch may add a second to each tally, so there may be a few more.
        self._forgot = second // 60
        oldest = second - KEPT - 60
        for tally in (*self._tallies.values(), self.other):
            tally.forget(oldest)
            if self._kept > MAX_SECONDS:
                tally.coarsen(second - FINE)
        self._tallies = {key: tally for key, tally in self._tallies.items() if tally.seconds}
        self._kept = sum(len(tally.seconds) for tally in (*self._tallies.values(), self.other))
        self._weights = {each: n for each, n in self._weights.items() if each >= oldest}
        while self._kept > MAX_SECONDS and self._tallies:
            self._evict()

    def _name(self, text: str) -> str:
        """Return one object for equal names, because each entry brings its own."""
        text = text[:MAX_NAME]
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        return self._names.setdefault(text, text)


def _line(entry: LogEntry, arrival: int, weight: int, number: int, epoch: str) -> CountedLine:
    message = entry.message
    if len(message) > MAX_EXAMPLE:
        message = message[:MAX_EXAMPLE] + "…"
    machine, release = entry.machine_id[:MAX_NAME], entry.release[:MAX_NAME]
    return CountedLine(arrival, weight, number, epoch, message, machine, release)


def _by_second(arrivals: Sequence[int]) -> Iterator[tuple[int, range]]:
    for second, run in groupby(range(len(arrivals)), key=lambda index: arrivals[index] // 1000):
        indices = list(run)
        yield second, range(indices[0], indices[-1] + 1)


def _weight_of(lines: int) -> int:
    """Return the power of two by which so many lines in a second are divided."""
    if lines <= SAMPLED_FROM:
        return 1
    return 1 << (lines // SAMPLE - 1).bit_length()


def _sample(app: str, level: str, stream: str, region: str) -> LogEntry:
    return LogEntry("", "", stream, app_name=app, level=level, region=region, unix_ns=0)
