"""Settings → the parts of the service, made and connected but not yet running.

`make_core` makes the hub, the sources, the journal, the web application and the figures about all
of them. It opens no socket and starts no task: `natstream.supervisor` runs the parts.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import attrs
from quart_trio import QuartTrio

from natstream.config.listening import naming_setting
from natstream.config.process import share_files
from natstream.config.settings import Bind, Settings
from natstream.entries.entry import LogEntry
from natstream.hub.health import Health, SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.hub.published import Published
from natstream.hub.sink import Sink
from natstream.web.app import create_app
from natstream.web.facets import Facets
from natstream.web.metrics import Metrics
from natstream.web.pattern_counts import PatternCounts

if TYPE_CHECKING:
    from natstream.fly_api.interfaces import FlyInterfaces
    from natstream.journal.claims import JetStreamClaims
    from natstream.journal.journal import Journal
    from natstream.journal.stream_config import StreamConfig
    from natstream.nats.connection import Login
    from natstream.nats.silence import Silence
    from natstream.watches.file import Watch
    from natstream.watches.running import Watches

__all__ = ["Core", "Source", "make_core"]

# The sources' share of the grace period. In this time they deliver lines that have arrived, and
# bodies that have begun; the journal, the readers and the process itself need the rest.
FOR_SOURCES = 0.4

# Numbers are left free for the lines of the past, so that these can stand before the first line.
PAST_LINES = 5_000


class Source(NamedTuple):
    """A source that the supervisor runs, and the status that it keeps up to date."""

    run: Callable[[], Awaitable[None]]
    status: SourceStatus


@attrs.frozen
class Core:
    """All parts of the service except its servers."""

    settings: Settings
    hub: Hub
    health: Health
    app: QuartTrio
    """The page and the API."""
    metrics: Metrics
    sources: Sequence[Source]
    journal: Journal | None = None
    watches: Watches | None = None
    claims: Source | None = None
    """The task by which processes that share a journal agree on who sends a watch's message."""


def make_core(settings: Settings) -> Core:
    """Return the parts that the settings ask for. `/readyz` names every source from here on.

    Raises:
        ConfigurationError: the file with the watches is wrong.
    """
    watched = _read_watches(settings)
    facets, patterns = Facets(), PatternCounts()
    observers: list[Callable[[Sequence[LogEntry]], None]] = [facets.count]

    def observe(published: Published) -> None:
        for each in observers:
            each(published.entries)
        patterns.count(published)

    reads_fly = settings.fly_api and "nats" in settings.sources
    hub = Hub(
        backlog_lines=settings.backlog_lines,
        backlog_bytes=settings.backlog_bytes,
        max_readers=settings.max_readers,
        max_lag=settings.max_lag,
        keepalive=settings.keepalive,
        observe=observe,
        room_before=PAST_LINES if reads_fly and not settings.journal_servers else 0,
    )
    health = Health(hub.announce)
    health.add_task("hub")
    metrics = Metrics(hub, health)
    metrics.patterns = patterns
    journal = None
    if settings.journal_servers:
        journal = _make_journal(settings, hub, health)
        metrics.journal = journal.statistics
    fly: FlyInterfaces | None = None
    sources = []
    if "nats" in settings.sources:
        sink: Sink = journal or hub
        status = health.add_source("nats")
        silence = _make_silence(settings, status)
        if reads_fly:
            fly = _make_fly_interfaces(settings, hub, sink, health)
            silence.anything_newer = fly.history.anything_newer
            if silence.canaries is not None:
                fly.history.is_hidden = silence.canaries.is_genuine
            observers += [fly.history.observe, fly.machines.observe]
            hub.label = fly.machines.label
            patterns.released_at = fly.machines.released_at
            sink = fly.history.nats_sink
            sources.append(Source(fly.run, fly.history.status))
        # The journal stores a line at once, whatever the readers do.
        quiet_until = hub.quiet_until if journal is None else lambda: 0.0
        sources.append(_make_nats(settings, sink, status, silence, quiet_until))
    if "drain" in settings.sources and settings.drain_bind is not None:
        sources.append(_make_drain(settings, settings.drain_bind, hub, journal, health, metrics))
    claims = _make_claims(settings, health) if watched and journal is not None else None
    watches = _make_watches(settings, watched, hub, health, claims) if watched else None
    metrics.watches = watches.statuses if watches is not None else ()
    app = create_app(settings, hub, health, facets, patterns, metrics, fly)
    claiming = None if claims is None else Source(claims.run, health.interfaces["watch_claims"])
    return Core(settings, hub, health, app, metrics, sources, journal, watches, claiming)


def _read_watches(settings: Settings) -> Sequence[Watch]:
    if not settings.watches:
        return ()
    from natstream.watches.file import read_watches

    return read_watches(settings.watches, os.environ)


def _make_watches(
    settings: Settings,
    watched: Sequence[Watch],
    hub: Hub,
    health: Health,
    claims: JetStreamClaims | None,
) -> Watches:
    from natstream.watches.running import Watches
    from natstream.watches.sight import Sight

    return Watches(
        watched,
        hub,
        Sight(health, settings.silence),
        health.add_task("watches"),
        public_url=settings.public_url,
        claims=claims,
    )


def _make_claims(settings: Settings, health: Health) -> JetStreamClaims:
    from natstream.journal.claims import JetStreamClaims

    status = health.add_interface("watch_claims")
    return JetStreamClaims(_journal_login(settings), _stream_config(settings), status)


# Journal and sources are imported where they are made, because a service that only has a drain
# should start without nats-py and its event loop.


def _make_journal(settings: Settings, hub: Hub, health: Health) -> Journal:
    from natstream.journal.journal import Journal

    fallback = health.add_task("stand-in")  # alert rules use this name
    fallback.change(SourceState.UP, "Ready to show this process's own lines in an outage")
    return Journal(
        _journal_login(settings),
        _stream_config(settings),
        hub,
        health.add_source("journal"),
        backlog_lines=settings.backlog_lines,
        backlog_bytes=settings.backlog_bytes,
    )


def _journal_login(settings: Settings) -> Login:
    from natstream.nats.connection import Login

    return Login(
        settings.journal_servers,
        user=settings.journal_user,
        password=settings.journal_password,
        token=settings.journal_token,
    )


def _stream_config(settings: Settings) -> StreamConfig:
    from natstream.journal.stream_config import StreamConfig

    return StreamConfig(
        name=settings.journal_stream,
        max_age=settings.journal_max_age,
        max_bytes=settings.journal_max_bytes,
        replicas=settings.journal_replicas,
        read_subjects=settings.subjects if "nats" in settings.sources else (),
    )


def _make_fly_interfaces(settings: Settings, hub: Hub, sink: Sink, health: Health) -> FlyInterfaces:
    from natstream.fly_api.apps import list_apps
    from natstream.fly_api.earlier import Earlier
    from natstream.fly_api.history import FlyHistory
    from natstream.fly_api.interfaces import FlyInterfaces
    from natstream.fly_api.machines import Machines

    all_apps = partial(list_apps, base=settings.machines_api_url, org=settings.org)
    history = FlyHistory(
        settings.fly_api_url,
        settings.apps,
        all_apps,
        settings.fly_history,
        sink,
        hub,
        nats=health.sources["nats"],
        status=health.add_interface("fly_logs"),
        stored=bool(settings.journal_servers),
    )
    machines = Machines(
        settings.machines_api_url, health.add_interface("fly_machines"), settings.apps
    )
    earlier = Earlier(settings.fly_api_url, settings.apps, all_apps)
    return FlyInterfaces(settings.access_token, history, machines, earlier)


def _make_silence(settings: Settings, status: SourceStatus) -> Silence:
    from natstream.nats.canary import Canaries
    from natstream.nats.silence import Silence
    from natstream.nats.standard_output import StandardOutput

    canaries = Canaries(settings.access_token, settings.own_app) if settings.own_app else None
    return Silence(settings.silence, status, canaries, StandardOutput().write)


def _make_nats(
    settings: Settings,
    sink: Sink,
    status: SourceStatus,
    silence: Silence,
    quiet_until: Callable[[], float],
) -> Source:
    from natstream.nats.connection import Login
    from natstream.nats.source import NatsSource

    source = NatsSource(
        login=Login(settings.nats_servers, user=settings.org, password=settings.access_token),
        subjects=settings.subjects,
        sink=sink,
        status=status,
        grace=settings.grace * FOR_SOURCES,
        silence=silence,
        quiet_until=quiet_until,
    )
    return Source(source.run, status)


def _make_drain(
    settings: Settings,
    bind: Bind,
    hub: Hub,
    journal: Journal | None,
    health: Health,
    metrics: Metrics,
) -> Source:
    from natstream.drain.collector import LogCollector
    from natstream.drain.server import DrainLimits, LogDrainServer

    status = health.add_source("drain")
    drain = LogDrainServer(
        LogCollector(),
        host=bind.host,
        port=bind.port,
        tokens=settings.drain_tokens,
        hub=hub,
        journal=journal,
        status=status,
        limits=DrainLimits(
            max_body=settings.drain_max_body,
            max_connections=share_files(settings).drain,
        ),
        grace=settings.grace * FOR_SOURCES,
        shared=settings.share_port,
        guard=metrics.guard,
    )
    metrics.drain = drain.statistics

    async def serve() -> None:
        with naming_setting("NATSTREAM_DRAIN_BIND"):
            await drain.serve()

    return Source(serve, status)
