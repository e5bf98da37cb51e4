"""The nursery that owns everything: the hub, the sources and the server.

It starts them, restarts what fails with backoff, and ends them in order: sources first, so that
nothing new comes; then readers get what is queued and a closing notice; then the server.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
import trio

from natstream.errors import SourceDenied, SourceError
from natstream.health import Health, SourceState, SourceStatus
from natstream.hub import Hub
from natstream.serving import listen, serve
from natstream.settings import Bind, Settings
from natstream.web.app import create_app

__all__ = ["keep_running", "run_service", "run_sources"]

log = structlog.stdlib.get_logger("natstream")

# A server that restarts is back within a second or two; a thousand clients must not ask at once.
FIRST_DELAY, LONGEST_DELAY = 0.25, 2.0

OnReady = Callable[[Bind], None]


async def run_service(settings: Settings, *, on_ready: OnReady | None = None) -> None:
    """Run natstream until SIGTERM or SIGINT, then close within `settings.grace`.

    Args:
        on_ready: called with the page's address once it can be reached.

    Raises:
        ListenError: an address cannot be listened on; nothing was started.
    """
    # First, so that a taken port is one sentence and nothing else has happened.
    listening = listen(settings.bind)
    hub = Hub(
        backlog_lines=settings.backlog_lines,
        backlog_bytes=settings.backlog_bytes,
        max_readers=settings.max_readers,
        max_lag=settings.max_lag,
    )
    health = Health(hub.announce)
    closing = trio.Event()
    host, port = listening.getsockname()[:2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, hub.run, health.add("hub"))
        app = create_app(settings, hub, health)
        await nursery.start(partial(serve, app, [listening], settings=settings, closing=closing))
        async with trio.open_nursery() as sources:
            sources.start_soon(run_sources, settings, hub, health)
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                if on_ready is not None:
                    on_ready(Bind(host, port))
                async for number in signals:
                    log.info("closing", signal=signal.Signals(number).name)
                    break
            sources.cancel_scope.cancel()
        hub.announce("natstream is closing")
        hub.close()
        closing.set()


async def run_sources(settings: Settings, hub: Hub, health: Health) -> None:
    """Run the sources that the settings name, until cancelled."""
    async with trio.open_nursery() as nursery:
        if "nats" in settings.sources:
            from natstream.sources.nats import NatsSource

            status = health.add("nats")
            source = NatsSource(
                servers=settings.nats_servers,
                user=settings.org,
                password=settings.access_token,
                subjects=settings.subjects,
                hub=hub,
                status=status,
            )
            nursery.start_soon(keep_running, source.run, status)


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
            status.change(SourceState.DENIED if denied else SourceState.LOST, str(error))
            log.warning(str(error), source=status.name)
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
