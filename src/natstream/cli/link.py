"""`natstream link`: a link that shows a part of the logs, to somebody without the token.

In: what it shows, for how long, and `NATSTREAM_TOKEN`. Out: an address on stdout. Nothing is
asked of the service: whatever has the same token can make links for it.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import click

from natstream.cli.filter_options import filter_options
from natstream.config.settings import Settings
from natstream.entries.escapes import one_line
from natstream.errors import BadQuery
from natstream.web.grants import Grant, Keyring
from natstream.web.query import parse_duration

__all__ = ["link"]

# A link cannot be taken back but by changing the token: it should end before it is forgotten.
LONGEST_DAYS = 30


def _own_url() -> str:
    """On a Fly machine, the name that Fly gives to every app; else this machine's."""
    app = os.environ.get("FLY_APP_NAME")
    on_fly = app and "FLY_MACHINE_ID" in os.environ
    return f"https://{app}.fly.dev" if on_fly else "http://127.0.0.1:8080"


@click.command()
@filter_options
@click.option(
    "--expires",
    default="1h",
    show_default=True,
    metavar="WHEN",
    help=f"How long it holds: 30m, 2h, 7d; at most {LONGEST_DAYS}d.",
)
@click.option(
    "--url",
    envvar="NATSTREAM_URL",
    default=_own_url,
    help="The service's address, as the reader reaches it.  [default: NATSTREAM_URL]",
)
def link(expires: str, url: str, grep: tuple[str, ...], **filters: Any) -> None:
    """Make a link that shows a part of the logs, to somebody without the token.

    Whoever has the link sees this part, live and remembered, until it expires, and never a line
    outside of it. Options of one kind widen it (--app web --app api shows both), different kinds
    narrow it; without any, it shows everything. It is signed with the first token of
    NATSTREAM_TOKEN, which has to be the service's: taking that token out ends the link.

    \b
      natstream link --app web --min-level warn --expires 2h --url https://logs.example.com
      fly ssh console --app my-natstream -C "natstream link --app web"

    What stands after the # is a bearer token, for curl and `natstream tail`, too.
    """
    token, *_ = (*_tokens(), "")
    if not token:
        raise click.UsageError(
            "NATSTREAM_TOKEN is not set: a link is signed with it. "
            "Where the service has none, everybody sees everything without a link."
        )
    query = _query({**filters, "q": grep})
    try:
        grant = Grant(time.time() + _seconds(expires), query)
    except BadQuery as error:
        raise click.UsageError(str(error)) from None
    shows = ", ".join(f"{name} {value}" for name, value in query) or "everything"
    until = datetime.fromtimestamp(grant.expires, UTC)
    click.echo(one_line(f"It shows {shows}, until {until:%Y-%m-%d %H:%M} UTC."), err=True)
    click.echo(f"{_page(url)}/link#{Keyring([token]).sign(grant, token)}")


def _tokens() -> tuple[str, ...]:
    """The tokens of the environment, with the settings' rules for them and for nothing else."""
    environ = {
        "NATSTREAM_SOURCES": "drain",
        "NATSTREAM_TOKEN": os.environ.get("NATSTREAM_TOKEN", ""),
    }
    return Settings.from_environ(environ).tokens


def _query(options: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.rstrip("_"), value)
        for name, values in options.items()
        for value in ((values,) if isinstance(values, str) else values or ())
    )


def _seconds(text: str) -> float:
    milliseconds = parse_duration(text)
    if not milliseconds or milliseconds > LONGEST_DAYS * 86_400_000:
        raise click.BadParameter(
            f"takes 30m, 2h, 7d; at most {LONGEST_DAYS}d", param_hint="--expires"
        )
    return milliseconds / 1000


def _page(url: str) -> str:
    """The address of the page."""
    address = url if "://" in url else f"https://{url}"
    if (
        not address.isprintable()
        or " " in address
        or not address.startswith(("https://", "http://"))
    ):
        raise click.BadParameter("takes http://host:port, or https://…", param_hint="--url")
    return address.partition("#")[0].partition("?")[0].rstrip("/")
