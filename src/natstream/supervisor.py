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

import attrs
import structlog
import trio

from natstream.errors import SourceDenied, SourceError
from natstream.health import Health, SourceState, SourceStatus
from natstream.hub import Hub
from natstream.serving import listen, serve
from natstream.settings import Bind, Settings
from natstream.web.app import create_app

__all__ = ["Service", "keep_running", "make_sources", "run_service"]

log = structlog.stdlib.get_logger("natstream")

# A server that restarts is back within a second or two; a thousand clients must not ask at once.
FIRST_DELAY, LONGEST_DELAY = 0.25, 2.0

Source = tuple[Callable[[], Awaitable[None]], SourceStatus]


@attrs.frozen
class Service:
    """What runs, for those who start it: where it is reached, and what it is made of."""

    bind: Bind
    """The page's address, with the actual port."""
    drain_bind: Bind | None
    hub: Hub
    health: Health


async def wait_for_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("closing", signal=signal.Signals(number).name)
            return


async def run_service(
    settings: Settings,
    *,
    until: Callable[[], Awaitable[None]] = wait_for_signal,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run natstream until `until` returns, then close within `settings.grace`.

    `task_status.started` gets the `Service` once the page can be reached; the sources start then.

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
    hub_status = health.add("hub", announced=False)
    sources = make_sources(settings, hub, health)
    app = create_app(settings, hub, health)
    closing = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, partial(_run_hub, hub, hub_status), hub_status)
        await nursery.start(
            partial(
                serve,
                app,
                [listening],
                grace=settings.grace,
                stall=settings.stall,
                closing=closing,
            )
        )
        async with trio.open_nursery() as source_nursery:
            for run, status in sources:
                source_nursery.start_soon(keep_running, run, status)
            task_status.started(Service(Bind(*listening.getsockname()[:2]), None, hub, health))
            await until()
            # Whatever the readers do, and however long the sources take to leave.
            nursery.cancel_scope.deadline = trio.current_time() + settings.grace
            source_nursery.cancel_scope.cancel()
        hub.announce("natstream is closing")
        hub.close()
        closing.set()


async def _run_hub(hub: Hub, status: SourceStatus) -> None:
    status.change(SourceState.UP, "The hub hands out what it is given")
    await hub.run()


def make_sources(settings: Settings, hub: Hub, health: Health) -> list[Source]:
    """The sources that the settings name, ready to be run; known to `health` from here on."""
    sources: list[Source] = []
    if "nats" in settings.sources:
        # Imported late: a service of drains alone does without nats-py and its event loop.
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
        sources.append((source.run, status))
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
