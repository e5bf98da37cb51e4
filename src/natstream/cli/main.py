"""The `natstream` command.

In: arguments and the environment. Out: an exit status; an error that the operator can mend is one
sentence on stderr. Each subcommand imports its modules when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import click

from natstream.config.environment import read_settings
from natstream.config.settings import Settings
from natstream.errors import ConfigurationError, NatstreamError

__all__ = ["main"]

# Seconds after the start when the collector settles. This takes 40 ms, by which the service would
# otherwise be ready later.
SETTLE_AFTER = 1.0


@contextmanager
def _errors_as_one_sentence() -> Iterator[None]:
    """End the process with one sentence and a status for an error that the operator can mend."""
    try:
        yield
    except* NatstreamError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        status = 2 if isinstance(error, ConfigurationError) else 1
    else:
        return
    click.echo(f"natstream: {error}", err=True)
    sys.exit(status)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _errors_as_one_sentence():
                return super().invoke(ctx)
        except KeyboardInterrupt:  # Ctrl-C before the command handles signals itself
            sys.exit(130)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="natstream")
def main() -> None:
    """Live logs of your Fly.io applications.

    Try it with invented traffic, without an account:

    \b
        natstream demo

    On Fly, or on any machine that can reach Fly's NATS:

    \b
        export FLY_ORG=my-org
        export ACCESS_TOKEN=$(fly tokens create readonly my-org)
        natstream serve
    """


@main.command()
def serve() -> None:
    """Serve the page and the API. Environment variables are the settings.

    \b
    FLY_ORG               organisation slug, the NATS user
    ACCESS_TOKEN          Fly token, the NATS password
    FLY_APP               app to read: one, several (web,api) or * for all
    NATSTREAM_SOURCES     nats, drain or both (the default)
    NATSTREAM_BIND        where the page and the API listen, [::]:8080
    NATSTREAM_TOKEN       token(s) that readers must show

    docs/settings.md has all of them. SIGTERM and Ctrl-C end it in order, with exit status 0.
    Exit status 2: a setting is wrong. 1: natstream cannot listen on an address.
    """
    from natstream.config.lean_imports import import_less
    from natstream.config.process import prepare_process

    import_less()
    # Collections during the imports would take 35 ms, and find little: 2,800 objects. `_serve`
    # turns the collector on again.
    gc.disable()
    import trio

    from natstream.config.service_log import configure_logging
    from natstream.config.unused import unused_variables

    settings = read_settings()
    configure_logging()
    for warning in [*unused_variables(os.environ), *prepare_process(settings)]:
        click.echo(f"natstream: {warning}", err=True)
    trio.run(_serve, settings)


class _Lazy(click.Command):
    """A command whose module is imported when the command is called.

    Args:
        module: holds the command. The last part of its name is the command's name, both on the
            command line and in the module.
        short_help: one line for `natstream --help`.
    """

    def __init__(self, module: str, *, short_help: str) -> None:
        super().__init__(module.rpartition(".")[2], short_help=short_help)
        self._module = module

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        command: click.Command = getattr(import_module(self._module), str(self.name))
        return command.make_context(info_name, args, parent, **extra)


main.add_command(
    _Lazy("natstream.demo.demo", short_help="Try it: the whole service with invented traffic.")
)
main.add_command(
    _Lazy("natstream.cli.tail", short_help="Show the live logs of a natstream service.")
)
main.add_command(
    _Lazy("natstream.cli.patterns", short_help="Show the kinds of lines, and what has changed.")
)
main.add_command(
    _Lazy("natstream.cli.mcp", short_help="Let an assistant read the logs of a natstream service.")
)
main.add_command(
    _Lazy("natstream.cli.link", short_help="Make a link that shows a part of the logs.")
)
main.add_command(
    _Lazy("natstream.cli.watch", short_help="Look at the watches of the file, and try one.")
)
main.add_command(
    _Lazy("natstream.cli.check", short_help="Find problems before `natstream serve` has them.")
)


async def _serve(settings: Settings) -> None:
    import trio

    # Signals are received first, because one may come while the service is being imported, which
    # takes half a second.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        from natstream.config.process import settle_collector
        from natstream.supervisor import run_service

        asked = trio.Event()

        async def until_signal() -> None:
            await anext(signals)
            asked.set()

        async with trio.open_nursery() as nursery:
            service = await nursery.start(partial(run_service, settings, until=until_signal))
            click.echo(f"natstream listens on {service.bind}", err=True)
            with trio.move_on_after(SETTLE_AFTER) as start:
                await asked.wait()
            if start.cancelled_caught:
                settle_collector()
                gc.enable()
