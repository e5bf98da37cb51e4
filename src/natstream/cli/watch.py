"""`natstream watch`: look at the watches of the file, and try one.

In: `NATSTREAM_WATCHES` and the environment that its file names. Out: a list, or one message that is
marked as a test. The addresses of receivers are secrets, so they are not shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import trio

from natstream.config.environment import read_settings
from natstream.errors import ConfigurationError
from natstream.watches.file import Watch, read_watches
from natstream.watches.running import send_test

__all__ = ["watch"]


@click.command()
@click.option("--list", "lists", is_flag=True, help="Show each watch of the file.")
@click.option("--test", "name", metavar="NAME", help="Send one test message of this watch.")
def watch(lists: bool, name: str | None) -> None:
    """Look at the watches of NATSTREAM_WATCHES, and try one.

    A watch sends a message when lines match, or when none has matched for too long. The service
    runs the watches of its file by itself; this command only shows and tries them. docs/watches.md
    describes the file.

    \b
      NATSTREAM_WATCHES=watches.toml natstream watch --list
      fly ssh console --app my-natstream -C "natstream watch --test panics"

    \b
    Exit status:
      0  the list was shown, or the receiver has taken the message
      1  the receiver has not taken the message
      2  the file is wrong, or has no such watch
    """
    if lists == (name is not None):
        raise click.UsageError("Give either --list or --test NAME.")
    # The other settings do not matter here, so they are not read.
    names = ("NATSTREAM_WATCHES", "NATSTREAM_PUBLIC_URL")
    given = {each: os.environ.get(each, "") for each in names}
    settings = read_settings({"NATSTREAM_SOURCES": "drain", **given})
    if not settings.watches:
        raise ConfigurationError(
            "NATSTREAM_WATCHES is not set, so there is no watch; it takes the path of a TOML file "
            "that describes watches."
        )
    watches = read_watches(settings.watches, os.environ)
    if name is None:
        _show(watches)
    else:
        _test(name, watches, settings.public_url)


def _show(watches: Sequence[Watch]) -> None:
    for each in watches:
        click.echo(each.name)
        click.echo(f"  lines      {each.query or 'all'}")
        click.echo(f"  fires for  {each.condition}")
        click.echo(f"  sends to   {each.receiver}")


def _test(name: str, watches: Sequence[Watch], public_url: str) -> None:
    found = next((each for each in watches if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in watches)
        raise click.UsageError(f"There is no watch {name!r} in the file; it has {names}.")
    outcome = trio.run(send_test, found, public_url)
    if outcome.problem:
        click.echo(
            f"The message to {found.receiver} was not delivered: {outcome.problem}", err=True
        )
        sys.exit(1)
    click.echo(f"The message to {found.receiver} was delivered.")
    if not public_url:
        click.echo("Messages have no link to the page, because NATSTREAM_PUBLIC_URL is not set.")
