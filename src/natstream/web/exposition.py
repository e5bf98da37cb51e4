"""The statistics of this process → metrics for Prometheus.

In: the statistics of the hub, the sources, the drain and the journal, read at each scrape. Out: the
exposition. Nothing here is on a line's way to its readers, so a scrape delays none.
`docs/operations.md` describes each metric and what to do when it changes; a test compares the two.

This module is imported at the first scrape, because the Prometheus client takes 5 ms of a start,
and 0.8 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

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
from natstream.hub.health import SourceState
from natstream.hub.sink import JournalStatistics
from natstream.web.metrics import Metrics
from natstream.web.pattern_counts import PatternCounts

if TYPE_CHECKING:
    from natstream.drain.server import DrainStatistics
    from natstream.watches.status import WatchStatus

__all__ = ["Exposition"]


class Exposition:
    """The metrics of one process, in the forms that Prometheus reads."""

    def __init__(self, metrics: Metrics) -> None:
        # The library's global registry would mix the metrics of two services in one process.
        self._registry = _registry(_Families(metrics))
        self._without_watches = _registry(_WithoutWatches(metrics))

    def encode(self, accept: str, *, with_watches: bool) -> tuple[bytes, str]:
        """Return all metrics in the form that an `Accept` header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._registry if with_watches else self._without_watches
        return encode(registry), content_type


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


class _WithoutWatches(Collector):
    """The metrics for clients who may not see the names of watches."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; `CollectorRegistry` calls it for each scrape."""
        metrics = self._metrics
        yield _gauge(
            "natstream_build_info",
            "The release of natstream, as a label; always 1",
            [((version("natstream"),), 1)],
            "version",
        )
        yield from self._sources()
        yield from self._readers()
        if metrics.drain is not None:
            yield from _drain(metrics.drain())
        if metrics.journal is not None:
            yield from _journal(metrics.journal())
        if metrics.patterns is not None:
            yield from _patterns(metrics.patterns)
        yield _gauge(
            "natstream_tasks",
            "Living tasks: a few for each connection, which end with it",
            [((), trio.lowlevel.current_statistics().tasks_living)],
        )
        yield HistogramMetricFamily(
            "natstream_event_loop_delay_seconds",
            "How much later than due a task gets its turn",
            *metrics.hub.loop_delay.histogram(),
        )

    def _sources(self) -> Iterator[Metric]:
        health = self._metrics.health
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
        hub, counters = self._metrics.hub, self._metrics.counters
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
            ("wrong_tokens", "Invalid tokens that clients showed", self._metrics.guard.wrong),
        ):
            yield _counter(f"natstream_{name}", help, [((), count)])


class _Families(_WithoutWatches):
    """All metrics."""

    def collect(self) -> Iterator[Metric]:
        yield from super().collect()
        yield from _watches(self._metrics.watches)


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
