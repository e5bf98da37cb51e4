"""`natstream tail`: the live logs of a natstream service, in a terminal or a pipe.

In: an address and what to show of its logs. Out: lines on stdout, and on stderr whatever else
there is to say: what was missed, that the connection is lost. What can go wrong ends in one
sentence and an exit status that scripts can tell apart.
"""

from __future__ import annotations

import io
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TextIO

import click
import trio

from natstream.cli.filter_options import filter_options
from natstream.client.client import (
    DEFAULT_URL,
    EntryReceiver,
    is_private,
    open_log_stream,
    parse_url,
)
from natstream.entries.entry import LogEntry, Notice
from natstream.entries.escapes import json_line, one_line, text_line
from natstream.errors import (
    BadQuery,
    ConfigurationError,
    NatstreamError,
    SourceDenied,
    SourceUnavailable,
    network_reason,
)

__all__ = ["tail"]

# What `tail` shows of the past too: enough to see that it works.
DEFAULT_TAIL = 10
# With --no-follow somebody waits for the end: a dead connection shows after 45 s, and a service
# that restarts gets the time to come back.
PATIENCE = 60.0
# How often to see, while nothing comes, whether anybody still reads: `| grep -m1` ends by it.
GLANCE = 1.0

LOST = 1
USAGE = 2
DENIED = 3
INTERRUPTED = 130


@click.command(
    epilog="""\b
Exit status:
  0    all of --no-follow was shown, or nobody reads the output any more (| head)
  1    the service cannot be reached, or was lost half-way through --no-follow,
       or the output cannot be written
  2    a wrong option, value or address
  3    it wants a token, or another one
  130  Ctrl-C
""",
)
@click.argument("url", envvar="NATSTREAM_URL", default=DEFAULT_URL)
@filter_options
@click.option("--since", metavar="WHEN", help="First what came since: 10m, 2h, or a time.")
@click.option(
    *("--tail", "lines"),
    type=click.IntRange(min=0),
    metavar="N",
    help=f"First the last N lines.  [default: {DEFAULT_TAIL}; with --since or -n: all]",
)
@click.option(
    *("-n", "--no-follow", "--no-tail", "no_follow"),
    is_flag=True,
    help="End after what is there already; do not wait for more.",
)
@click.option(*("-j", "--json", "as_json"), is_flag=True, help="One JSON object a line.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="auto: on a terminal, unless NO_COLOR is set.",
)
def tail(
    url: str,
    grep: Sequence[str],
    lines: int | None,
    since: str | None,
    no_follow: bool,
    as_json: bool,
    color: str,
    **filters: Any,
) -> None:
    """Show the live logs of the natstream service at URL.

    URL may be as short as logs.example.com or localhost:8080, and defaults to NATSTREAM_URL,
    then to this machine. If the service wants a token, it is taken from NATSTREAM_TOKEN, or
    asked for. A lost connection is taken up where it ended; what was missed is told on stderr.

    \b
      natstream tail --app web --min-level warn
      natstream tail logs.example.com --grep '/timeout|refused/' --since 10m
      natstream tail --no-follow --json | jq .message
    """
    if sys.stdout is None:
        raise NatstreamError("Standard output is closed: there is nowhere to show lines.")
    if url.isdecimal():
        raise click.UsageError(f"{url} is not an address. For the last {url} lines: --tail {url}")
    if lines is None and since is None and not no_follow:
        lines = DEFAULT_TAIL
    wishes = {
        **filters,
        "q": grep,
        "since": since,
        "tail": lines,
        "follow": False if no_follow else None,
    }
    if as_json:
        format: Format = json_line
    else:
        paint = _wants_colour(color, sys.stdout)
        format = partial(text_line, paint=paint, keep_colours=paint)
    show = _show_notice(paint=_wants_colour(color, sys.stderr), follow=not no_follow)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the reader's encoding may not have it all
    sys.exit(_run(url, wishes, format, show))


Format = Callable[[LogEntry], str]
Show = Callable[[Notice], None]


def _run(url: str, wishes: dict[str, Any], format: Format, show: Show) -> int:
    """Show what is wished for, and say what went wrong; the exit status."""
    # The service takes several tokens, and both may read them from the same variable.
    token = os.environ.get("NATSTREAM_TOKEN", "").partition(",")[0].strip()
    try:
        while True:
            try:
                trio.run(_print_entries, url, token, wishes, format, show)
            except SourceDenied as error:
                if token or not (sys.stdin.isatty() and sys.stderr.isatty()):
                    _say(f"{error}: set NATSTREAM_TOKEN")
                    return DENIED
                token = click.prompt("Token", hide_input=True, err=True)
            else:
                return 0
    except BadQuery as error:
        option = "grep" if error.parameter == "q" else error.parameter.replace("_", "-")
        _say(re.sub(rf"^{re.escape(error.parameter)} ", f"--{option} ", str(error)))
        return USAGE
    except ConfigurationError as error:
        _say(str(error))
        return USAGE
    except NatstreamError as error:
        _say(f"{error}; natstream tail URL says where it is" if url == DEFAULT_URL else str(error))
        return LOST
    except OSError as error:
        # What is still buffered can go nowhere: Python must not try again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0
        _say(f"the output cannot be written: {network_reason(error)}")
        return LOST
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED


async def _print_entries(
    url: str, token: str, wishes: dict[str, Any], format: Format, show: Show
) -> None:
    """Print until the end of the stream, or of everybody's interest in it."""
    address = parse_url(url)
    if token and address.scheme == "http" and not is_private(address.host):
        _say(f"the token goes to {address.host} unencrypted; https:// would protect it")
    while True:
        try:
            async with open_log_stream(url, token=token, on_notice=show, **wishes) as entries:
                await _copy(entries, format, follow=wishes["follow"] is not False)
                return
        except SourceUnavailable as error:
            if not error.retry_after:
                raise
            _say(f"{error}; trying again in {error.retry_after:g} s")
            await trio.sleep(error.retry_after)


async def _copy(entries: EntryReceiver, format: Format, *, follow: bool) -> None:
    """Print what is received. It blocks while the output does: so the service is held back too."""
    patience = PATIENCE
    while follow or patience > 0:
        try:
            with trio.fail_after(GLANCE):
                batch = await entries.receive_some()
        except trio.TooSlowError:
            if _nobody_reads():
                return
            patience -= GLANCE
        except trio.EndOfChannel:
            return
        else:
            patience = PATIENCE
            sys.stdout.write("".join([f"{format(entry)}\n" for entry in batch]))
            sys.stdout.flush()
    raise SourceUnavailable(f"Nothing has come for {PATIENCE:.0f} s, and not all has been shown")


def _nobody_reads() -> bool:
    """Whether the output is a pipe that has been closed: writing is not the only way to know."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _show_notice(*, paint: bool, follow: bool) -> Show:
    """Print notices to stderr; without following, only those that tell of something wrong."""

    def show(notice: Notice) -> None:
        wrong = notice.type == "error" or notice.gap is not None
        if wrong or follow:
            text = f"# {one_line(notice.message)}"
            click.secho(text, err=True, fg="red" if wrong else None, dim=not wrong, color=paint)

    return show


def _say(sentence: str) -> None:
    click.echo(f"natstream: {one_line(sentence)}", err=True)


def _wants_colour(choice: str, stream: TextIO) -> bool:
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
