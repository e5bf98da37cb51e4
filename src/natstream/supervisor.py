"""The nursery that owns everything: the hub, the sources and the servers.

The supervisor starts them, restarts a failed task with backoff, and ends them in order. Sources end
first, so that no new lines come. Then readers get their queued lines and a closing notice. The
servers end last.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import attrs
import structlog
import trio
from quart_trio import QuartTrio

from natstream.config.listening import listen, naming_setting
from natstream.config.process import share_files
from natstream.config.settings import Bind, Settings
from natstream.core import Core, make_core
from natstream.errors import ListenError, SourceDenied, SourceError
from natstream.hub.health import SourceState, SourceStatus
from natstream.server.connection import Limits
from natstream.server.server import serve
from natstream.web.health_endpoints import create_metrics_app

__all__ = ["Service", "keep_running", "run_core", "run_service"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("natstream")

# A NATS server that restarts is back within a second or two. The jitter is there because the
# connections of many processes must not all be opened in the same moment.
FIRST_DELAY, LONGEST_DELAY = 0.25, 2.0

# Shares of the grace period, beside the share of the sources (`core.FOR_SOURCES`): in the first
# the journal stores what the sources gave it; at the second all tasks must have ended, so that
# the process itself has time to exit.
FOR_JOURNAL, FOR_TASKS = 0.2, 0.9


@attrs.frozen
class Service:
    """A running service: the addresses where it is reached, and its parts."""

    bind: Bind
    """The page's address, with the actual port."""
    metrics_bind: Bind | None
    """The address of the metrics with the actual port, if they have an address of their own."""
    core: Core


async def run_service(
    settings: Settings,
    *,
    until: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run natstream until `until` returns, then close within `settings.grace`.

    `until` is called first: it may return before everything has started.

    `task_status.started` gets the `Service` once the page can be reached; the sources start then.

    Raises:
        ListenError: natstream cannot listen on an address. If it is the address of the page or of
            the metrics, nothing was started.
    """
    # Listening comes first, so that nothing has started if a port is in use.
    # The page's address is last, because readers may connect to a shared address immediately.
    with ExitStack() as stack:
        private = None
        if settings.metrics_bind is not None:
            with naming_setting("NATSTREAM_METRICS_BIND"):
                private = stack.enter_context(listen(settings.metrics_bind))
        with naming_setting("NATSTREAM_BIND"):
            page = stack.enter_context(listen(settings.bind, shared=settings.share_port))
        await _run_on(page, private, settings, until, task_status)


class _Listener(NamedTuple):
    socket: socket.socket
    app: QuartTrio
    limits: Limits


async def _run_on(
    page: socket.socket,
    private: socket.socket | None,
    settings: Settings,
    until: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[Service],
) -> None:
    core = make_core(settings)
    listeners = _listeners(core, page, private)
    web = core.health.add_task("web")
    started, asked, closing = trio.Event(), trio.Event(), trio.Event()

    def on_start() -> None:
        web.change(SourceState.UP, "The server listens")
        started.set()

    run_web = partial(_serve, listeners, settings, closing, on_start=on_start)
    async with trio.open_nursery() as nursery:

        async def close_in_time() -> None:
            await until()
            log.info("closing")
            # The deadline holds even if a reader does not read, or a source takes long.
            nursery.cancel_scope.deadline = trio.current_time() + settings.grace * FOR_TASKS
            asked.set()

        nursery.start_soon(close_in_time)
        nursery.start_soon(keep_running, run_web, web)
        await started.wait()
        metrics_bind = None if private is None else _bind(private)
        task_status.started(Service(_bind(page), metrics_bind, core))
        await run_core(core, asked.wait)
        for listener in listeners:
            listener.socket.close()
        closing.set()


def _listeners(core: Core, page: socket.socket, private: socket.socket | None) -> list[_Listener]:
    shares = share_files(core.settings)
    limits = Limits(
        max_connections=shares.page,
        needs_token=bool(core.settings.tokens),
        cors_origins=core.settings.cors_origins,
    )
    listeners = [_Listener(page, core.app, limits)]
    if private is not None:
        app = create_metrics_app(core.settings, core.health, core.metrics)
        listeners.append(_Listener(private, app, Limits(max_connections=shares.metrics)))
    return listeners


async def _serve(
    listeners: Sequence[_Listener],
    settings: Settings,
    closing: trio.Event,
    *,
    on_start: Callable[[], None],
) -> None:
    """Serve on all listeners until `closing` is set; call `on_start` once all of them accept."""
    with ExitStack() as stack:
        async with trio.open_nursery() as servers:
            for listener in listeners:
                # A server closes the socket that it is given. It gets a duplicate, so that a
                # restarted server can have another one.
                sock = stack.enter_context(listener.socket.dup())
                start = partial(
                    serve,
                    listener.app,
                    [sock],
                    closing=closing,
                    limits=listener.limits,
                    grace=settings.grace,
                    stall=settings.stall,
                )
                await servers.start(start)
            on_start()


def _bind(listening: socket.socket) -> Bind:
    return Bind(*listening.getsockname()[:2])


async def run_core(core: Core, until: Callable[[], Awaitable[None]]) -> None:
    """Run the hub and the sources until `until` returns; then end every stream, in order."""
    hub_status = core.health.tasks["hub"]

    async def run_hub() -> None:
        hub_status.change(SourceState.UP, "The hub hands out entries")
        await core.hub.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, run_hub, hub_status)
        nursery.start_soon(_run_watches, core)
        async with _running_journal(core), trio.open_nursery() as sources:
            sources.start_soon(core.hub.loop_delay.run)
            for source in core.sources:
                sources.start_soon(keep_running, source.run, source.status)
            await until()
            if core.journal is not None:
                core.journal.hurry()
            sources.cancel_scope.cancel()
        core.hub.announce("natstream is closing", public=True)
        core.hub.close()


async def _run_watches(core: Core) -> None:
    """Run the watches, if there are any, until the hub is closed."""
    if core.watches is None:
        return
    async with trio.open_nursery() as nursery:
        if core.claims is not None:
            nursery.start_soon(keep_running, core.claims.run, core.claims.status)
        await keep_running(core.watches.run, core.health.tasks["watches"])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _running_journal(core: Core) -> AsyncIterator[None]:
    """Run the journal, if there is one, until it has stored what the sources gave it."""
    journal = core.journal
    if journal is None:
        yield
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, journal.run, core.health.sources["journal"])
        nursery.start_soon(keep_running, journal.run_beside, core.health.tasks["stand-in"])
        yield
        with trio.move_on_after(core.settings.grace * FOR_JOURNAL):
            await journal.settle()
        if waiting := journal.statistics().waiting:
            log.warning("lines are not known to be stored", lines=waiting)
        nursery.cancel_scope.cancel()


async def keep_running(run: Callable[[], Awaitable[Any]], status: SourceStatus) -> None:
    """Run `run` again and again, with backoff, until it returns or is cancelled.

    A `SourceError` says that a source lost its connection. Any other exception is a bug of ours,
    and is logged. Both are visible in `status`. The backoff starts anew once the task was up.

    Raises:
        ListenError: the task cannot listen when it first starts, so the operator has to choose
            another address.
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
                raise
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
