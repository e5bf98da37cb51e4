"""`natstream link`: make a link that shows a part of the logs to a reader without a token.

In: options that choose the lines and the time, and `NATSTREAM_TOKEN`. Out: the link on stdout.
The command does not contact the service, because the token alone is enough to sign a link.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import click

from natstream.cli.filter_options import filter_options, filter_parameters, option_sentence
from natstream.config.environment import read_settings
from natstream.config.settings import Settings
from natstream.entries.escapes import one_line
from natstream.errors import BadQuery
from natstream.web.grants import Keyring
from natstream.web.links import LONGEST_DAYS, expiring_grant, link_address

__all__ = ["link"]


def _own_url() -> str:
    """Return the address of the page from the settings, from Fly, or on this machine."""
    if url := _settings().public_url:
        return url
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
    help=f"Time until the link expires: 30m, 2h, 7d; at most {LONGEST_DAYS}d.",
)
@click.option(
    "--url",
    envvar="NATSTREAM_URL",
    default=_own_url,
    help="Address at which the reader reaches the service.  "
    "[default: NATSTREAM_URL, else NATSTREAM_PUBLIC_URL]",
)
def link(expires: str, url: str, **filters: Any) -> None:
    """Make a link that shows a part of the logs to a reader without a token.

    Until the link expires, its holder sees the past and live lines of this part, and no other
    lines. Options of the same kind show more (--app web --app api shows both apps), and options
    of different kinds show less. Without options, the link shows everything. The link is signed
    with the first token in NATSTREAM_TOKEN, which must be a token of the service. To revoke the
    link early, remove this token from the service.

    \b
      natstream link --app web --min-level warn --expires 2h --url https://logs.example.com
      fly ssh console --app my-natstream -C "natstream link --app web"

    The text after the # is a bearer token, which also works with curl and `natstream tail`.
    """
    token, *_ = (*_settings().tokens, "")
    if not token:
        raise click.UsageError(
            "NATSTREAM_TOKEN is not set, so the link cannot be signed. Set it to a token of the "
            "service. If the service has no token, its logs can be read without a link."
        )
    query = _query(filter_parameters(filters))
    try:
        grant = expiring_grant(query, expires)
    except BadQuery as error:
        raise click.UsageError(option_sentence(error)) from None
    shows = ", ".join(_shown(name, value) for name, value in query) or "everything"
    until = datetime.fromtimestamp(grant.expires, UTC)
    click.echo(one_line(f"This link shows {shows}, until {until:%Y-%m-%d %H:%M} UTC."), err=True)
    page = _page(url)
    _warn_of_private_app(page)
    click.echo(link_address(page, Keyring([token]).sign(grant, token)))


def _shown(parameter: str, value: str) -> str:
    name = parameter.removeprefix("not_")
    return f"{name} {value}" if name == parameter else f"no {name} {value}"


def _settings() -> Settings:
    """Return the settings that matter here, checked by the rules of the settings.

    The other settings do not matter here, so they are not read.
    """
    environ = {
        name: os.environ.get(name, "") for name in ("NATSTREAM_TOKEN", "NATSTREAM_PUBLIC_URL")
    }
    # The service may have a short token, if it listens on loopback only.
    return read_settings({"NATSTREAM_SOURCES": "drain", "NATSTREAM_BIND": "127.0.0.1:0", **environ})


def _warn_of_private_app(page: str) -> None:
    """Warn if the link leads to a name of Fly's that no address belongs to.

    Fly's DNS has a name under fly.dev only for an app with public addresses.
    """
    host = urlsplit(page).hostname or ""
    if not host.endswith(".fly.dev"):
        return
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        app = host.removesuffix(".fly.dev")
        click.echo(
            f"{host} has no address, so this link leads nowhere: the app has no public address. "
            f"For a reader in the private network, add --url http://{app}.internal:8080. For "
            "other readers, see `fly ips allocate-v6`, or set NATSTREAM_PUBLIC_URL to the page's "
            "address.",
            err=True,
        )


def _query(options: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.rstrip("_"), value)
        for name, values in options.items()
        for value in ((values,) if isinstance(values, str) else values or ())
    )


def _page(url: str) -> str:
    """Return the address of the page without a slash at its end.

    Raises:
        click.BadParameter: `url` is not an http or https address.
    """
    address = url if "://" in url else f"https://{url}"
    if (
        not address.isprintable()
        or " " in address
        or not address.startswith(("https://", "http://"))
    ):
        raise click.BadParameter(
            "must be an address such as http://host:port or https://host", param_hint="--url"
        )
    return address.partition("#")[0].partition("?")[0].rstrip("/")
