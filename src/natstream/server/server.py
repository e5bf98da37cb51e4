"""hypercorn in a nursery: an ASGI application over HTTP/1.1, until the grace period has passed.

In: an application, listening sockets, limits, and an event that says when to close. The only
exception that is raised is that of an application that cannot start.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import ASGIFramework

from natstream.server.clients import Clients
from natstream.server.connection import Limits, Shared

__all__ = ["serve"]

log: logging.Logger = logging.getLogger("hypercorn.error")

# The part of the grace period that is kept for resetting the connections that have not ended.
FORCED = 0.2


async def serve(
    app: ASGIFramework,
    sockets: Iterable[socket.socket],
    *,
    grace: float,
    stall: float,
    closing: trio.Event,
    limits: Limits | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on listening `sockets` until `closing` is set. The sockets are closed in the end.

    After `closing`, no client is let in, and idle connections are closed. Responses have until
    shortly before the end of the grace period to end by themselves, since ending them is the
    application's task. Then the connections that are left are reset.

    A client that closes its end has gone, even if it closed only its sending half. Its response is
    cancelled.

    `started()` is called when the application has started and clients are let in. Cancellation
    resets every connection.

    Args:
        grace: seconds from `closing` to the end at the latest.
        stall: seconds; a client that is owed bytes and accepts none for so long is reset, a quarter
            of `stall` later at the latest.
        limits: what clients may use, and how long they may take.

    Raises:
        Exception: the application's start raised it.
    """
    limits = limits or Limits()
    shared = Shared(ASGIWrapper(app), _config(limits), limits)
    clients = Clients(shared)
    lifespan = Lifespan(shared.app, shared.config, shared.state)
    with ExitStack() as stack:
        listeners = [
            trio.SocketListener(trio.socket.from_stdlib_socket(stack.enter_context(sock)))
            for sock in sockets
        ]
        async with trio.open_nursery() as nursery:
            await nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            nursery.start_soon(clients.reset_stalled, stall)
            async with clients.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accept = partial(trio.serve_listeners, handler_nursery=connections)
                    await accepting.start(accept, clients.serve, listeners)
                    task_status.started()
                    await closing.wait()
                    accepting.cancel_scope.cancel()
                with trio.move_on_after(grace * (1 - FORCED)):
                    await clients.close()
            with trio.move_on_after(grace * FORCED):
                await lifespan.wait_for_shutdown()
            nursery.cancel_scope.cancel()


def _config(limits: Limits) -> Config:
    """Return hypercorn's settings, as far as the parts of hypercorn that we use read them."""
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    # hypercorn's 1,000 would now and then disconnect a proxy that polls, in the middle of its work.
    config.keep_alive_max_requests = 2**31
    config.h11_max_incomplete_size = limits.max_header
    return config
