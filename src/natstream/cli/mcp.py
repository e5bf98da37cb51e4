"""`natstream mcp`: let an assistant ask a natstream service, by the Model Context Protocol.

In: the address of a service, and messages of the protocol on stdin. Out: messages of the protocol
on stdout, and nothing else. A mistake in the configuration becomes one sentence on stderr and an
exit status. A service that fails later becomes an error of the tool that asked it.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec

import click
import trio
from click.core import ParameterSource

from natstream.client.address import DEFAULT_URL, is_private, link_token, parse_url
from natstream.client.client import check_token
from natstream.errors import ConfigurationError

__all__ = ["mcp"]

INTERRUPTED = 130

NO_SDK = (
    "natstream mcp needs the package mcp, which is not installed. "
    "Install it with: pip install 'natstream[mcp]'"
)


@click.command(
    epilog="""\b
Exit status:
  0    the assistant has closed the connection, or SIGTERM
  1    the assistant has sent a message that is too long
  2    the address or the token is wrong, or natstream[mcp] is not installed
  130  Ctrl-C
""",
)
@click.argument("url", envvar="NATSTREAM_URL", default=DEFAULT_URL)
def mcp(url: str) -> None:
    """Let an assistant read the logs of the natstream service at URL.

    An assistant (Claude, Cursor, VS Code and others) starts this command and speaks the Model
    Context Protocol with it over stdin and stdout. It gets the tools overview, search, around,
    patterns and tail, which only read. An answer has at most 20 KB unless the assistant asks for
    more.

    URL may be as short as logs.example.com or localhost:8080, or a link that natstream link has
    made, so that the assistant sees a part of the logs only. Without it, NATSTREAM_URL is used, and
    otherwise a service on this machine. If the service needs a token, set NATSTREAM_TOKEN. It is
    sent only to an address that was given, because another program may listen on this machine in
    place of the service.

    \b
      claude mcp add logs -e NATSTREAM_TOKEN=… -- natstream mcp logs.example.com

    docs/assistants.md has the lines for other assistants. Log lines are written by others, so they
    may hold text that is meant to mislead an assistant. Each answer marks them as data.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigurationError(
            "Standard input or output is closed, but natstream mcp speaks with the assistant over "
            "them. Let the assistant start it."
        )
    if find_spec("mcp") is None:
        raise ConfigurationError(NO_SDK)
    is_given = (
        click.get_current_context().get_parameter_source("url") is not ParameterSource.DEFAULT
    )
    own_token = os.environ.get("NATSTREAM_TOKEN", "").partition(",")[0].strip()
    token = link_token(url) or (own_token if is_given else "")
    address = parse_url(url)
    check_token(token)
    if token and address.scheme == "http" and not is_private(address.host):
        click.echo(
            f"natstream: the token is sent to {address.host} unencrypted, so others on the way can "
            "read it. Use an https:// address to protect it",
            err=True,
        )
    advice = (
        "Set NATSTREAM_TOKEN to a valid token where the assistant starts natstream mcp"
        if is_given or not own_token
        else "NATSTREAM_TOKEN was not sent, because another program may listen on this machine. "
        f"To send it, set NATSTREAM_URL to {DEFAULT_URL}"
    )
    if link_token(url):
        advice = "The link may have expired, so ask for a new one"
    if trio.run(_serve, url, token, advice) == signal.SIGINT:
        sys.exit(INTERRUPTED)


async def _serve(url: str, token: str, advice: str) -> int | None:
    """Serve until the assistant closes stdin, or until a signal, which is then returned."""
    ended_by: int | None = None
    # Signals are received first, because one may come while the SDK is being imported, which takes
    # half a second.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        from natstream.cli.mcp_server import serve

        async with trio.open_nursery() as nursery:

            async def until_signal() -> None:
                nonlocal ended_by
                ended_by = await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_signal)
            await serve(url, token, advice)
            nursery.cancel_scope.cancel()
    return ended_by
