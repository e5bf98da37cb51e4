"""`natstream patterns`: the kinds of lines of a natstream service, and what has changed.

In: the address of a service, options that choose its lines, and what to compare. Out: a table on
stdout, once or again and again. An error becomes one sentence on stderr and an exit status.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import trio
from click.core import ParameterSource

from natstream.cli.filter_options import filter_options, option_sentence
from natstream.cli.pattern_output import pattern_lines
from natstream.client.address import DEFAULT_URL
from natstream.client.answers import read_answer
from natstream.errors import (
    BadQuery,
    ConfigurationError,
    NatstreamError,
    SourceDenied,
    SourceUnavailable,
)

__all__ = ["patterns"]

ROWS = 20
# Exit statuses, as those of `natstream tail`.
LOST, USAGE, DENIED, INTERRUPTED = 1, 2, 3, 130

_CLEAR = "\x1b[H\x1b[2J"


@click.command(
    epilog="""\b
Exit status:
  0    the patterns were shown, or the output was closed (| head)
  1    the service cannot be reached (with --every, for the first table)
  2    an option, a value or the address is wrong
  3    the service needs a token, or refuses this one
  130  Ctrl-C
""",
)
@click.argument("url", envvar="NATSTREAM_URL", default=DEFAULT_URL)
@filter_options
@click.option(
    "--compare",
    metavar="WITH",
    help="deploy: with the time before the newest release of each app. 10m: with the ten minutes "
    "before the last ten, from 5s to 30m.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=1, max=3_600),
    metavar="SECONDS",
    help="Show them again and again, until Ctrl-C, also if the service restarts.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1, max=200),
    default=ROWS,
    show_default=True,
    help="Patterns to show.",
)
@click.option(*("-j", "--json", "as_json"), is_flag=True, help="Print the answer as JSON.")
def patterns(
    url: str,
    grep: Sequence[str],
    compare: str | None,
    every: float | None,
    rows: int,
    as_json: bool,
    **filters: Any,
) -> None:
    """Show the kinds of lines of the natstream service at URL, and what has changed.

    A pattern is a message whose varying parts are masked. With --compare, patterns that are new or
    come more often stand first. URL and the options that choose lines are those of natstream tail;
    so is NATSTREAM_TOKEN, which is sent only to an address that was given.

    \b
      natstream patterns --compare deploy
      natstream patterns logs.example.com --min-level warn --compare 10m --every 5
    """
    parameters = {**filters, "q": grep, "compare": compare}
    source = click.get_current_context().get_parameter_source("url")
    is_given = source is not ParameterSource.DEFAULT
    token = os.environ.get("NATSTREAM_TOKEN", "").partition(",")[0].strip() if is_given else ""
    try:
        trio.run(_show, url, token, parameters, every, rows, as_json)
    except SourceDenied as error:
        _fail(f"{error}. Give the address of the service, and set NATSTREAM_TOKEN", DENIED)
    except BadQuery as error:
        _fail(option_sentence(error), USAGE)
    except ConfigurationError as error:
        _fail(str(error), USAGE)
    except NatstreamError as error:
        hint = (
            "" if is_given else ". If it runs elsewhere, give its address: natstream patterns URL"
        )
        _fail(f"{error}{hint}", LOST)
    except BrokenPipeError:
        # Python would try again at the exit to write what is buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)


def _fail(sentence: str, status: int) -> None:
    click.echo(f"natstream: {sentence}", err=True)
    sys.exit(status)


async def _show(
    url: str,
    token: str,
    parameters: Mapping[str, Any],
    every: float | None,
    rows: int,
    as_json: bool,
) -> None:
    """Print an answer, and the next ones if they are wanted, also after the service was away."""
    is_shown = is_away = False
    while True:
        try:
            answer = await read_answer(url, "patterns", token=token, **parameters)
        except SourceUnavailable as error:
            if every is None or not is_shown:
                raise
            if not is_away:
                click.echo(f"natstream: {error}. It is asked every {every:g} s", err=True)
            is_away = True
            await trio.sleep(every)
            continue
        is_shown, is_away = True, False
        if as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
        else:
            click.echo(_table(answer, rows, is_again=every is not None))
        sys.stdout.flush()
        if every is None:
            return
        await trio.sleep(every)


def _table(answer: Mapping[str, Any], rows: int, *, is_again: bool) -> str:
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    paint = is_terminal and not os.environ.get("NO_COLOR")
    lines = pattern_lines(answer, most=rows, width=width, paint=paint)
    text = "\n".join(lines) + ("" if is_terminal or not is_again else "\n")
    return f"{_CLEAR}{text}" if is_terminal and is_again else text
