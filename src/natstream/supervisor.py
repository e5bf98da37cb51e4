"""The nursery that owns everything: the hub, the sources and the server.

It starts them, restarts what fails with backoff, and ends them in order: sources first, so that
nothing new comes; then readers get what is queued and a closing notice; then the server.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio
from quart_trio import QuartTrio

from natstream.config.listening import listen
from natstream.config.process import share_files
from natstream.config.settings import Bind, Settings
from natstream.drain.collector import LogCollector
from natstream.errors import ListenError, SourceDenied, SourceError
from natstream.hub.health import Health, SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.server.connection import Limits
from natstream.server.server import serve
from natstream.web.app import create_app
from natstream.web.facets import Facets
from natstream.web.health_endpoints import create_metrics_app
from natstream.web.metrics import Metrics

if TYPE_CHECKING:
    from natstream.journal.journal import Journal

__all__ = ["Core", "Service", "keep_running", "make_core", "run_service"]

log = structlog.stdlib.get_logger("natstream")

# A server that restarts is back within a second or two; a thousand clients must not ask at once.
FIRST_DELAY, LONGEST_DELAY = 0.25, 2.0

# Of the grace, the part for what the sources have begun (bodies, lines that have arrived), the part
# in which the journal takes that, and the one in which all tasks have to end. In the rest the
# process itself does.
FOR_SOURCES, FOR_JOURNAL, FOR_TASKS = 0.4, 0.2, 0.9

Source = tuple[Callable[[], Awaitable[None]], SourceStatus]


@attrs.frozen
class Core:
    """The parts of the service but for its server, made and not yet running."""

    settings: Settings
    hub: Hub
    health: Health
    app: QuartTrio
    metrics: Metrics
    sources: Sequence[Source]
    journal: Journal | None = None

    async def run(self, until: Callable[[], Awaitable[None]]) -> None:
        """Run the hub and the sources until `until` returns; then end every stream, in order."""
        hub_status = self.health.tasks["hub"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_running, partial(_run_hub, self.hub, hub_status), hub_status)
            async with self._running_journal(), trio.open_nursery() as sources:
                sources.start_soon(self.metrics.loop_delay.run)
                for run, status in self.sources:
                    sources.start_soon(keep_running, run, status)
                await until()
                if self.journal is not None:
                    self.journal.hurry()
                sources.cancel_scope.cancel()
            self.hub.announce("natstream is closing", public=True)
            self.hub.close()

    @asynccontextmanager
    async def _running_journal(self) -> AsyncIterator[None]:
        """Run the journal, if there is one, until what the sources gave it is stored."""
        journal = self.journal
        if journal is None:
            yield
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_running, journal.run, self.health.sources["journal"])
            stand_in = self.health.tasks["stand-in"]
            nursery.start_soon(keep_running, journal.stand_in, stand_in)
            yield
            with trio.move_on_after(self.settings.grace * FOR_JOURNAL):
                await journal.settle()
            if waiting := journal.statistics().waiting:
                log.warning("lines are not known to be stored", lines=waiting)
            nursery.cancel_scope.cancel()


@attrs.frozen
class Service:
    """A service that runs: where it is reached, and what it is made of."""

    bind: Bind
    """The page's address, with the actual port."""
    metrics_bind: Bind | None
    """The same of the metrics, where they have an address of their own."""
    core: Core


async def run_service(
    settings: Settings,
    *,
    until: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run natstream until `until` returns, then close within `settings.grace`.

    `until` is called first of all: it may return before everything has started.

    `task_status.started` gets the `Service` once the page can be reached; the sources start then.

    Raises:
        ListenError: an address cannot be listened on. Nothing was started, if it is the page's.
    """
    # First, so that a taken port is one sentence and nothing else has happened; the page's last,
    # since readers may come to a shared one at once.
    with ExitStack() as stack:
        private = None
        if settings.metrics_bind is not None:
            with _set_by("NATSTREAM_METRICS_BIND"):
                private = stack.enter_context(listen(settings.metrics_bind))
        with _set_by("NATSTREAM_BIND"):
            page = stack.enter_context(listen(settings.bind, shared=settings.share_port))
        await _run_on(page, private, settings, until, task_status)


@contextmanager
def _set_by(variable: str) -> Iterator[None]:
    """Say which setting an address comes from that cannot be listened on."""
    try:
        yield
    except ListenError as error:
        raise ListenError(f"{variable}: {error}") from error


async def _run_on(
    page: socket.socket,
    private: socket.socket | None,
    settings: Settings,
    until: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[Service],
) -> None:
    core = make_core(settings)
    health = core.health
    shares = share_files(settings)
    limits = Limits(max_connections=shares.page)
    served = [(page, core.app, limits)]
    if private is not None:
        metrics_app = create_metrics_app(settings, health, core.metrics)
        metrics_limits = attrs.evolve(limits, max_connections=shares.metrics)
        served.append((private, metrics_app, metrics_limits))
    started, asked, closing = trio.Event(), trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        web = health.add_task("web")

        async def run_web() -> None:
            with ExitStack() as stack:
                async with trio.open_nursery() as servers:
                    serve_in_time = partial(serve, grace=settings.grace, stall=settings.stall)
                    for listening, app, limits in served:
                        # A duplicate, since the server closes it: a restart needs another one.
                        sock = stack.enter_context(listening.dup())
                        await servers.start(
                            partial(serve_in_time, app, [sock], closing=closing, limits=limits)
                        )
                    web.change(SourceState.UP, "The server listens")
                    started.set()

        async def close_in_time() -> None:
            await until()
            log.info("closing")
            # Whatever the readers do, and however long the sources take to leave.
            nursery.cancel_scope.deadline = trio.current_time() + settings.grace * FOR_TASKS
            asked.set()

        nursery.start_soon(close_in_time)
        nursery.start_soon(keep_running, run_web, web)
        await started.wait()
        metrics_bind = None if private is None else _bind(private)
        task_status.started(Service(_bind(page), metrics_bind, core))
        await core.run(asked.wait)
        for listening, _, _ in served:
            listening.close()
        closing.set()


def _bind(listening: socket.socket) -> Bind:
    return Bind(*listening.getsockname()[:2])


def make_core(settings: Settings) -> Core:
    """Put the parts together. Every source is known to `/readyz` from here on."""
    facets = Facets()
    hub = Hub(
        backlog_lines=settings.backlog_lines,
        backlog_bytes=settings.backlog_bytes,
        max_readers=settings.max_readers,
        max_lag=settings.max_lag,
        observe=facets.count,
    )
    health = Health(hub.announce)
    health.add_task("hub")
    metrics = Metrics(hub, health)
    journal = _make_journal(settings, hub, health) if settings.journal_servers else None
    if journal is not None:
        metrics.journal = journal.statistics
    sources = _make_sources(settings, hub, journal, health, metrics)
    app = create_app(settings, hub, health, facets, metrics)
    return Core(settings, hub, health, app, metrics, sources, journal)


async def _run_hub(hub: Hub, status: SourceStatus) -> None:
    status.change(SourceState.UP, "The hub hands out what it is given")
    await hub.run()


def _make_journal(settings: Settings, hub: Hub, health: Health) -> Journal:
    # Imported late, as nats-py is.
    from natstream.journal.jetstream import StreamConfig
    from natstream.journal.journal import Journal
    from natstream.nats.connection import Login

    stand_in = health.add_task("stand-in")
    stand_in.change(SourceState.UP, "Ready to stand in for the journal")
    return Journal(
        Login(
            settings.journal_servers,
            settings.journal_user,
            settings.journal_password,
            settings.journal_token,
        ),
        StreamConfig(
            settings.journal_stream,
            settings.journal_max_age,
            settings.journal_max_bytes,
            settings.journal_replicas,
        ),
        hub,
        health.add_source("journal"),
        backlog_lines=settings.backlog_lines,
        backlog_bytes=settings.backlog_bytes,
    )


def _make_sources(
    settings: Settings, hub: Hub, journal: Journal | None, health: Health, metrics: Metrics
) -> list[Source]:
    sources: list[Source] = []
    if "nats" in settings.sources:
        # Imported late: a service of drains alone does without nats-py and its event loop.
        from natstream.nats.connection import Login
        from natstream.nats.source import NatsSource

        status = health.add_source("nats")
        source = NatsSource(
            login=Login(settings.nats_servers, settings.org, settings.access_token),
            subjects=settings.subjects,
            sink=journal or hub,
            status=status,
            grace=settings.grace * FOR_SOURCES,
        )
        sources.append((source.run, status))
    if "drain" in settings.sources and settings.drain_bind is not None:
        from natstream.drain.server import DrainLimits, LogDrainServer

        status = health.add_source("drain")
        drain = LogDrainServer(
            LogCollector(),
            host=settings.drain_bind.host,
            port=settings.drain_bind.port,
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
        )
        metrics.drain = drain.statistics

        async def serve_drain() -> None:
            with _set_by("NATSTREAM_DRAIN_BIND"):
                await drain.serve()

        sources.append((serve_drain, status))
    return sources


async def keep_running(run: Callable[[], Awaitable[Any]], status: SourceStatus) -> None:
    """Run `run` again and again, with backoff, until it returns or is cancelled.

    A `SourceError` is a source's word that it lost what it reads; anything else is a bug of ours,
    which is logged. Both are visible in `status`. The backoff starts anew once it was up.
    """
    delay = FIRST_DELAY
    while True:
        connects = status.connects
        wait = 0.0
        try:
            await run()
        except SourceError as error:
            wait = error.retry_after
            denied = isinstance(error, SourceDenied)
            state = SourceState.DENIED if denied else SourceState.LOST
            status.change(state, str(error), error.reason)
            log.warning(str(error), source=status.name)
        except ListenError:
            if not status.connects:
                raise  # at the start, it is the operator's to choose another address
            log.exception("cannot listen again", task=status.name)
            status.change(SourceState.CRASHED, f"The {status.name} cannot listen again")
        except Exception:
            log.exception("a task has crashed and is restarted", task=status.name)
            status.change(SourceState.CRASHED, f"The {status.name} task has crashed; restarting it")
        else:
            return
        status.restarts += 1
        if status.connects > connects:
            delay = FIRST_DELAY
        await trio.sleep(max(wait, delay * random.uniform(0.5, 1.0)))
        delay = min(delay * 2, LONGEST_DELAY)
