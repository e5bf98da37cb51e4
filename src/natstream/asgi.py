"""`natstream.asgi:app`: for `hypercorn -k trio natstream.asgi:app`, without our own server.

`natstream serve` is the better way. Plain hypercorn lacks what `natstream.server.server` mends: a
client that stops reading holds its task and delays the end, a cleartext HTTP/2 client that reads
nothing grows memory, streams are cut at the end of hypercorn's grace instead of being told, and
it exits with 0 when the start fails. Addresses and limits are hypercorn's own settings (see
deploy/hypercorn.toml). One worker: each has a backlog and event ids of its own.
"""

from __future__ import annotations

import os
from typing import Any

import attrs
import structlog
import trio

from natstream.config.process import prepare_process
from natstream.config.service_log import configure_logging
from natstream.config.settings import Settings
from natstream.config.unused import unused_variables
from natstream.errors import NatstreamError
from natstream.supervisor import Core, make_core

__all__ = ["app"]

log = structlog.stdlib.get_logger("natstream")


class Application:
    """An ASGI application whose lifespan is that of the hub and the sources."""

    def __init__(self) -> None:
        self._core: Core | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the lifespan, or answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._core is not None:
            await self._core.app(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        configure_logging()
        try:
            # hypercorn listens where it is told to, and serves one application.
            settings = attrs.evolve(Settings.from_environ(), metrics_bind=None)
            for warning in [*unused_variables(os.environ), *prepare_process(settings)]:
                log.warning(warning)
            self._core = make_core(settings)
        except NatstreamError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        shutdown = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._core.run, shutdown.wait)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            shutdown.set()
        await send({"type": "lifespan.shutdown.complete"})


app = Application()
