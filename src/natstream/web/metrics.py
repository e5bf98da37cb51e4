"""The statistics of this process → metrics for Prometheus.

In: the statistics of the hub, the sources, the drain and the journal, read at each scrape. Out: the
exposition. Nothing here is on a line's way to its readers, so a scrape delays none.
`docs/operations.md` describes each metric and what to do when it changes; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

import attrs
import trio
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from natstream.errors import JournalReason
from natstream.hub.health import Health, SourceState
from natstream.hub.hub import Hub
from natstream.hub.sink import JournalStatistics
from natstream.server.token_guard import TokenGuard
from natstream.web.pattern_counts import PatternCounts

if TYPE_CHECKING:
    from natstream.drain.server import DrainStatistics
    from natstream.watches.status import WatchStatus

__all__ = ["Counters", "Metrics"]


@attrs.define
class Counters:
    """Counts of the web application, since its start."""

    sent_lines: int = 0
    """Lines that were sent, added up over all readers."""
    sent_bytes: int = 0


class Metrics(Collector):
    """The metrics of one process, over its hub and the health of its sources."""

    def __init__(self, hub: Hub, health: Health) -> None:
        self.counters: Counters = Counters()
        self.guard: TokenGuard = TokenGuard()
        """Counts the wrong tokens of all listeners."""
        self.drain: Callable[[], DrainStatistics] | None = None
        """Returns the drain's statistics, if there is a drain; called at each scrape."""
        self.journal: Callable[[], JournalStatistics] | None = None
        """Returns the journal's statistics, if there is a journal; called at each scrape."""
        self.patterns: PatternCounts | None = None
        """The counts of patterns, if they are counted."""
        self.watches: Sequence[WatchStatus] = ()
        """The states of the watches."""
        self._hub = hub
        self._health = health
        # The library's global registry would mix the metrics of two services in one process.
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._without_watches = CollectorRegistry()
        self._without_watches.register(_WithoutWatches(self))
        ProcessCollector(registry=self._without_watches)

    def exposition(self, accept: str = "", *, with_watches: bool = True) -> tuple[bytes, str]:
        """Return all metrics in the form that an `Accept` header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._registry if with_watches else self._without_watches
        return encode(registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; `CollectorRegistry` calls it for each scrape."""
        yield from self.collect_without_watches()
        yield from _watches(self.watches)

    def collect_without_watches(self) -> Iterator[Metric]:
        """Yield the metrics that name no watch."""
        yield _gauge(
            "natstream_build_info",
            "The release of natstream, as a label; always 1",
            [((version("natstream"),), 1)],
            "version",
        )
        yield from self._sources()
        yield from self._readers()
        if self.drain is not None:
            yield from _drain(self.drain())
        if self.journal is not None:
            yield from _journal(self.journal())
        if self.patterns is not None:
            yield from _patterns(self.patterns)
        yield _gauge(
            "natstream_tasks",
            "Living tasks: a few for each connection, which end with it",
            [((), trio.lowlevel.current_statistics().tasks_living)],
        )
        yield HistogramMetricFamily(
            "natstream_event_loop_delay_seconds",
            "How much later than due a task gets its turn",
            *self._hub.loop_delay.histogram(),
        )

    def _sources(self) -> Iterator[Metric]:
        health = self._health
        sources = [((name,), status) for name, status in health.sources.items()]
        tasks = [((name,), status) for name, status in (health.sources | health.tasks).items()]
        yield _gauge(
            "natstream_ready",
            "Whether every source and task is up: what /readyz says",
            [((), int(health.ready))],
        )
        yield _gauge(
            "natstream_interface_up",
            "1 if an interface of Fly answered last time, 0 if it failed or was not asked yet",
            [
                ((name,), int(status.state is SourceState.UP))
                for name, status in health.interfaces.items()
            ],
            "interface",
        )
        yield _gauge(
            "natstream_source_state",
            "1 for the present state of a source, 0 for the other states",
            [
                ((*name, state.value), int(state is status.state))
                for name, status in sources
                for state in SourceState
            ],
            *("source", "state"),
        )
        yield _gauge(
            "natstream_source_last_line_seconds",
            "Unix time at which the last line of a source arrived; absent before the first",
            [(name, status.last_line) for name, status in sources if status.last_line],
            "source",
        )
        yield _gauge(
            "natstream_source_checked_seconds",
            "Unix time at which a silent source was last found to be well; absent before",
            [(name, status.checked) for name, status in sources if status.checked],
            "source",
        )
        yield _gauge(
            "natstream_log_delay_seconds",
            "Time that Fly last needed to bring a line of natstream's own; absent if not measured",
            [(name, s.log_delay) for name, s in sources if s.log_delay is not None],
            "source",
        )
        for metric, help, figures in (
            ("lines", "Lines that arrived", [(name, s.lines) for name, s in sources]),
            ("bytes", "Bytes that arrived", [(name, s.bytes) for name, s in sources]),
            (
                "lost_lines",
                "Lines known to be lost before they reached the hub",
                [(name, s.lost) for name, s in sources],
            ),
            (
                "parse_failures",
                "Payloads that could not be parsed: delivered as text, or dropped",
                [(name, s.parse_failures) for name, s in sources],
            ),
            (
                "connects",
                "Times that the source came up",
                [(name, s.connects) for name, s in sources],
            ),
        ):
            yield _counter(f"natstream_source_{metric}", help, figures, "source")
        yield _counter(
            "natstream_task_restarts",
            "Times that a supervised task was restarted, sources included",
            [(name, status.restarts) for name, status in tasks],
            "task",
        )

    def _readers(self) -> Iterator[Metric]:
        hub, counters = self._hub, self.counters
        statistics = hub.statistics()
        for name, help, gauge in (
            ("readers", "Readers that are connected", statistics.readers),
            ("readers_limit", "Readers that may be connected at once", hub.max_readers),
            (
                "slowest_reader_lag_lines",
                "Lines that the reader furthest behind has not yet received, replays included",
                statistics.slowest,
            ),
            ("backlog_lines", "Lines in the backlog", statistics.backlog_lines),
            ("backlog_bytes", "Memory that these lines use", statistics.backlog_bytes),
            (
                "round_seconds",
                "Time that sending a batch to all readers takes",
                statistics.round_seconds,
            ),
        ):
            yield _gauge(f"natstream_{name}", help, [((), gauge)])
        oldest = statistics.oldest_ms
        yield _gauge(
            "natstream_backlog_oldest_timestamp_seconds",
            "When the oldest line in the backlog arrived; absent while there is none",
            [] if oldest is None else [((), oldest / 1000)],
        )
        for name, help, count in (
            ("published_lines", "Lines that reached the hub", statistics.published),
            ("sent_lines", "Lines sent, added up over all readers", counters.sent_lines),
            ("sent_bytes", "Bytes of lines and notices sent", counters.sent_bytes),
            ("reader_gaps", "Gaps announced to readers", statistics.gaps),
            ("reader_missed_lines", "Missing lines that these gaps announced", statistics.missed),
            ("wrong_tokens", "Invalid tokens that clients showed", self.guard.wrong),
        ):
            yield _counter(f"natstream_{name}", help, [((), count)])


class _WithoutWatches(Collector):
    """The metrics for clients who may not see the names of watches."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect_without_watches()


def _drain(drain: DrainStatistics) -> Iterator[Metric]:
    yield _gauge("natstream_drain_connections", "Senders connected", [((), drain.connections)])
    yield _gauge("natstream_drain_requests", "Bodies being read", [((), drain.requests)])
    yield _counter(
        "natstream_drain_answers",
        "Answers, by status",
        [((str(status),), count) for status, count in sorted(drain.answers.items())],
        "status",
    )
    yield _counter(
        "natstream_drain_dropped_lines",
        "Lines left out of accepted bodies, by reason",
        [((reason,), count) for reason, count in sorted(drain.dropped.items())],
        "reason",
    )


def _patterns(counts: PatternCounts) -> Iterator[Metric]:
    yield _gauge("natstream_patterns", "Patterns that are counted apart", [((), len(counts))])
    yield _gauge(
        "natstream_pattern_weight",
        "How many lines each counted line stands for; 1 unless a sample is counted",
        [((), counts.weight_now)],
    )
    yield _counter(
        "natstream_pattern_other_lines",
        "Lines whose pattern had no room, so that they are counted together",
        [((), counts.not_apart)],
    )


def _journal(journal: JournalStatistics) -> Iterator[Metric]:
    yield _gauge(
        "natstream_journal_trouble",
        "1 for the present trouble of the journal, 0 for the other kinds",
        [((reason,), int(reason == journal.reason)) for reason in get_args(JournalReason)],
        "reason",
    )
    for name, help, gauge in (
        ("standing_in", "1 while readers get only this process's own lines", journal.away),
        ("waiting_lines", "Lines that the journal has not yet acknowledged", journal.waiting),
        ("waiting_bytes", "Memory that these lines use", journal.waiting_bytes),
    ):
        yield _gauge(f"natstream_journal_{name}", help, [((), int(gauge))])
    for name, help, count in (
        ("stored_lines", "Lines that the journal has acknowledged", journal.stored),
        ("duplicate_lines", "Acknowledged lines that the journal had already", journal.duplicates),
    ):
        yield _counter(f"natstream_journal_{name}", help, [((), count)])


def _watches(watches: Sequence[WatchStatus]) -> Iterator[Metric]:
    yield _gauge(
        "natstream_watch_failing",
        "1 if the last message of a watch was not delivered",
        [((watch.name,), int(bool(watch.problem))) for watch in watches],
        "watch",
    )
    for name, help, counts in (
        ("fired", "Times that a watch fired", [(w.name, w.fired) for w in watches]),
        ("sent", "Messages that were delivered", [(w.name, w.sent) for w in watches]),
        ("failed", "Messages that were not delivered", [(w.name, w.failed) for w in watches]),
        (
            "suppressed_lines",
            "Matching lines that came during a cooldown",
            [(w.name, w.suppressed) for w in watches],
        ),
        (
            "missed_lines",
            "Lines that a watch did not see, and that may have matched",
            [(w.name, w.missed) for w in watches],
        ),
    ):
        yield _counter(
            f"natstream_watch_{name}", help, [((watch,), n) for watch, n in counts], "watch"
        )


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, help: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, f"{help}.", labels=labels), samples)


def _counter(name: str, help: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(name, f"{help}.", labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
