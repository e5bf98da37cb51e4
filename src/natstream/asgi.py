"""`natstream.asgi:app`: for `hypercorn -k trio natstream.asgi:app`, without our own server.

`natstream serve` is better, because plain hypercorn lacks what `natstream.server.server` mends.
For example:

* A client that stops reading holds its task and delays the shutdown.
* A client may change to HTTP/2 in clear text. Its requests get a 505, so that it passes no path
  rules of a proxy, but if it reads no answers, memory grows.
* Readers get no closing notice when hypercorn's grace period ends.
* Clients without a token can use up all connections.
* hypercorn exits with status 0 if the start fails.

Addresses and limits are hypercorn's own settings (see deploy/hypercorn.toml). Run one worker, since
each worker has a backlog and event ids of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs
import structlog
import trio

from natstream.config.environment import read_settings
from natstream.config.process import prepare_process, settle_collector
from natstream.config.service_log import configure_logging
from natstream.config.unused import unused_variables
from natstream.core import Core, make_core
from natstream.errors import NatstreamError
from natstream.server.connection import Limits
from natstream.server.request_checks import Refused, check_head
from natstream.supervisor import run_core

__all__ = ["app"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("natstream")


class Application:
    """An ASGI application that runs the hub and the sources during its lifespan."""

    def __init__(self) -> None:
        self._core: Core | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the lifespan, or answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif self._core is not None:
            try:
                _check(scope)
            except Refused as refused:
                await _refuse(refused, send)
            else:
                await self._core.app(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        configure_logging()
        try:
            # hypercorn chooses the addresses, and serves only one application.
            settings = attrs.evolve(read_settings(), metrics_bind=None)
            for warning in [*unused_variables(os.environ), *prepare_process(settings)]:
                log.warning(warning)
            self._core = make_core(settings)
            settle_collector()
        except NatstreamError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        shutdown = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_core, self._core, shutdown.wait)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            shutdown.set()
        await send({"type": "lifespan.shutdown.complete"})


def _check(scope: Mapping[str, Any]) -> None:
    """Raise Refused for a request that our own server gives to no application."""
    check_head(
        scope["method"].encode(),
        scope["raw_path"],
        scope["headers"],
        # Over TLS, hypercorn itself agrees with the client on HTTP/2, and there is no tunnel.
        http_version=scope["http_version"].encode() if scope["scheme"] == "http" else b"1.1",
        limit=Limits().max_header,
    )


async def _refuse(refused: Refused, send: Any) -> None:
    headers = refused.headers
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": refused.body})


app: Application = Application()
