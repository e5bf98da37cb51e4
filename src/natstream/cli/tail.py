"""`natstream tail`: the live logs of a natstream service, in a terminal or a pipe.

In: the address of a service, and options that choose its lines. Out: lines on stdout; notices on
stderr, for example about missing lines or a lost connection. An error becomes one sentence on
stderr and an exit status, so that scripts can tell errors apart.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TextIO

import attrs
import click
import trio
from click.core import ParameterSource

from natstream.cli.filter_options import filter_options, filter_parameters, option_sentence
from natstream.cli.matches import Matches
from natstream.cli.tail_output import EXAMPLE, template
from natstream.client.address import DEFAULT_URL, is_private, link_token, parse_url
from natstream.client.client import open_log_stream
from natstream.client.receiver import EntryReceiver
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

# Lines from the past that `tail` shows first: enough to show that it works.
DEFAULT_TAIL = 10
# With --no-follow, `tail` gives up after so many seconds without a line. The client needs 45 s to
# notice a dead connection, and a service that restarts needs some time to come back.
PATIENCE = 60.0
# While no line comes, `tail` checks this often whether the output is still open. Otherwise
# `| grep -m1` would not end before the next line.
OUTPUT_CHECK_INTERVAL = 1.0

# Exit statuses.
LOST = 1
USAGE = 2
DENIED = 3
INTERRUPTED = 130

# The service gives so many lines around one line.
LINES = click.IntRange(min=0, max=1_000)

Format = Callable[[LogEntry], str]
Show = Callable[[Notice], None]


@click.command(
    epilog="""\b
Exit status:
  0    all lines of --no-follow were shown, or the output was closed (| head)
  1    the service cannot be reached, or was lost before --no-follow had ended,
       or the output cannot be written
  2    an option, a value or the address is wrong
  3    the service needs a token, or refuses this one
  130  Ctrl-C
""",
)
@click.argument("url", envvar="NATSTREAM_URL", default=DEFAULT_URL)
@filter_options
@click.option(
    "--since",
    metavar="WHEN",
    help="First show the lines since then: 10m or 2h ago, or a time.",
)
@click.option("--until", metavar="WHEN", help="Show the lines until then, and end.")
@click.option(
    *("--tail", "lines"),
    type=click.IntRange(min=0),
    metavar="N",
    help="First show the last N lines, or matches.  "
    f"[default: {DEFAULT_TAIL}; with --since, --until or -n: all]",
)
@click.option(
    *("-A", "--after"),
    type=LINES,
    metavar="N",
    help="Also show N lines of the same machine after each match, as grep does.",
)
@click.option(*("-B", "--before"), type=LINES, metavar="N", help="Also show N lines before it.")
@click.option(
    *("-C", "--context"),
    type=LINES,
    metavar="N",
    help="Also show N lines on both sides. 0 shows only the match with its group.",
)
@click.option(
    *("-n", "--no-follow", "--no-tail", "no_follow"),
    is_flag=True,
    help="Show the lines that the service has now, then end.",
)
@click.option(*("-j", "--json", "as_json"), is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--output",
    metavar="TEMPLATE",
    help=f"Print this of each line, with fields by name: '{EXAMPLE}'.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour the output. auto: only on a terminal, and not if NO_COLOR is set.",
)
def tail(
    url: str,
    lines: int | None,
    since: str | None,
    until: str | None,
    after: int | None,
    before: int | None,
    context: int | None,
    no_follow: bool,
    as_json: bool,
    output: str | None,
    color: str,
    **filters: Any,
) -> None:
    """Show the live logs of the natstream service at URL.

    URL may be as short as logs.example.com or localhost:8080, or a link that natstream link has
    made (in quotes). Without it, NATSTREAM_URL is used, and otherwise a service on this machine.
    If the service needs a token, set NATSTREAM_TOKEN; otherwise tail asks for the token if it runs
    on a terminal. tail shows NATSTREAM_TOKEN only to an address that was given, because another
    program may listen on this machine in place of the service. After a lost connection, tail
    connects again and resumes where it stopped. If lines are missing, stderr says so.

    With -A, -B or -C, --grep, --not, --field, --level, --min-level, --stream, --group and --release
    say which lines match. The lines around a match are all lines of its machine. If one line of a
    stack trace matches, the whole trace is shown. `--` stands where lines are left out.

    On a terminal, a JSON message is shown as its text, followed by its other fields. A pipe gets
    the message as it is, and --json the whole line as the service sends it. --output has the names
    time, app, region, machine, group, release, stream, level, provider, source, id, message (as it
    is) and text; any other name is a field of the message. A name that a line does not have is
    empty.

    \b
      natstream tail --app web --min-level warn
      natstream tail --app -billing --machine '668f*'
      natstream tail logs.example.com --grep '/timeout|refused/' --since 10m
      natstream tail --no-follow --json | jq .message
    """
    if sys.stdout is None:
        raise NatstreamError(
            "Standard output is closed, so no lines can be shown. Run tail without `>&-`."
        )
    if url.isdecimal():
        raise click.UsageError(
            f"{url} is not an address. To show the last {url} lines, use --tail {url}"
        )
    if as_json and output is not None:
        raise click.UsageError("--json and --output exclude each other")
    if lines is None and since is None and until is None and not no_follow:
        lines = DEFAULT_TAIL
    parameters = {
        **filter_parameters(filters),
        "since": since,
        "until": until,
        "tail": lines,
        "follow": False if no_follow else None,
    }
    around = None
    if (before, after, context) != (None, None, None):
        both = context or 0
        around = both if before is None else before, both if after is None else after
    format = _format(as_json, output, color)
    separator = None if as_json or output is not None else "--"
    show = _notice_printer(paint=_use_colour(color, sys.stderr), follow=not no_follow)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of the output may lack some characters of a line.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(_run(Stream(url, parameters, format, show, around, separator)))


def _format(as_json: bool, output: str | None, color: str) -> Format:
    """Return the function that makes the printed text of an entry."""
    if as_json:
        return json_line
    paint = _use_colour(color, sys.stdout)
    if output is not None:
        try:
            return template(output, keep_colours=paint)
        except BadQuery as error:
            raise click.UsageError(option_sentence(error)) from None
    for_people = sys.stdout.isatty()
    return partial(text_line, paint=paint, keep_colours=paint, for_people=for_people)


@attrs.frozen
class Stream:
    """What to read and how to print it."""

    url: str
    parameters: dict[str, Any]
    format: Format
    show: Show
    around: tuple[int, int] | None = None
    """How many lines to print before and after each match."""
    separator: str | None = None
    """A line that stands where lines are left out."""


def _run(stream: Stream) -> int:
    """Print the lines, report an error in one sentence, and return the exit status."""
    # The variable may hold several tokens, because the service accepts several. Any of them will
    # do, so this takes the first.
    own_token = os.environ.get("NATSTREAM_TOKEN", "").partition(",")[0].strip()
    is_given = _is_given("url")
    token = own_token if is_given else ""
    try:
        while True:
            try:
                trio.run(_print_entries, stream, token)
            except SourceDenied as error:
                if own_token and not is_given:
                    _say(
                        f"{error}. NATSTREAM_TOKEN was not sent, because another program may "
                        f"listen there. To send it, give the address: natstream tail {DEFAULT_URL}"
                    )
                    return DENIED
                if token or not (sys.stdin.isatty() and sys.stderr.isatty()):
                    _say(f"{error}, so no lines can be shown. Set NATSTREAM_TOKEN to a valid token")
                    return DENIED
                token = click.prompt("Token", hide_input=True, err=True)
            else:
                return 0
    except BadQuery as error:
        _say(option_sentence(error))
        return USAGE
    except ConfigurationError as error:
        _say(str(error))
        return USAGE
    except NatstreamError as error:
        hint = ". If the service runs elsewhere, give its address: natstream tail URL"
        _say(f"{error}{'' if is_given else hint}")
        return LOST
    except OSError as error:
        # Buffered output cannot be written any more. Without this, Python would try again at the
        # exit and fail with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0
        _say(f"the output cannot be written: {network_reason(error)}. No more lines are shown")
        return LOST
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED


def _is_given(parameter: str) -> bool:
    """Return whether the command line or the environment gives a parameter of the command."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not ParameterSource.DEFAULT


async def _print_entries(stream: Stream, token: str) -> None:
    """Print lines until the stream ends or the output is closed.

    If the service is full, wait as long as it says, and try again.
    """
    url, parameters, show = stream.url, stream.parameters, stream.show
    address, token = parse_url(url), link_token(url) or token
    if token and address.scheme == "http" and not is_private(address.host):
        _say(
            f"the token is sent to {address.host} unencrypted, so others on the way can read it. "
            "Use an https:// address to protect it"
        )
    while True:
        try:
            choose = None
            if stream.around is not None:
                before, after = stream.around
                matches = Matches(url, token, stream.parameters, before, after, show)
                parameters, choose = await matches.find_start(), matches.choose
            async with open_log_stream(url, token=token, on_notice=show, **parameters) as entries:
                await _copy(
                    entries,
                    stream.format,
                    follow=parameters["follow"] is not False,
                    choose=choose,
                    separator=stream.separator,
                )
                return
        except SourceUnavailable as error:
            if not error.retry_after:
                raise
            _say(f"{error}; trying again in {error.retry_after:g} s")
            await trio.sleep(error.retry_after)


async def _copy(
    entries: EntryReceiver,
    format: Format,
    *,
    follow: bool,
    choose: Callable[[Sequence[LogEntry]], Awaitable[Sequence[LogEntry | None]]] | None = None,
    separator: str | None = None,
) -> None:
    """Print the entries as they are received.

    While the output blocks, this blocks too, so that the service sends no faster than the output
    accepts lines.

    Args:
        entries: the stream.
        format: returns the printed text of an entry.
        follow: whether to wait without end for the next line.
        choose: returns the entries to print because of the next ones; `None` is a separator.
        separator: the line for a separator, if it is printed.
    """
    patience = PATIENCE
    while follow or patience > 0:
        try:
            with trio.fail_after(OUTPUT_CHECK_INTERVAL):
                batch = await entries.receive_some()
        except trio.TooSlowError:
            if _is_output_closed():
                return
            patience -= OUTPUT_CHECK_INTERVAL
        except trio.EndOfChannel:
            return
        else:
            patience = PATIENCE
            printed = batch if choose is None else await choose(batch)
            texts = [separator if entry is None else format(entry) for entry in printed]
            sys.stdout.write("".join([f"{text}\n" for text in texts if text is not None]))
            sys.stdout.flush()
    raise SourceUnavailable(
        f"The service has sent nothing for {PATIENCE:.0f} s, so some lines have not been shown. "
        "Try again later"
    )


def _is_output_closed() -> bool:
    """Return whether the output is a pipe whose other end has been closed.

    Asking the system shows this at once. A write would show it too, but only with the next line.
    """
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _notice_printer(*, paint: bool, follow: bool) -> Show:
    """Return a function that prints notices to stderr.

    Without `follow` it prints only errors and gaps.
    """

    def show(notice: Notice) -> None:
        bad = notice.type == "error" or notice.gap is not None
        if bad or follow:
            text = f"# {one_line(notice.message)}"
            click.secho(text, err=True, fg="red" if bad else None, dim=not bad, color=paint)

    return show


def _say(sentence: str) -> None:
    click.echo(f"natstream: {one_line(sentence)}", err=True)


def _use_colour(choice: str, stream: TextIO) -> bool:
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
