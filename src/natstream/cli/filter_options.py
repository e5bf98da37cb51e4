"""The command line options that choose lines.

All commands with such options share these, so that they have the same names everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import click

from natstream.errors import BadQuery

__all__ = ["filter_options", "option_sentence"]


def _filter(*names: str, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a repeatable option for a filter parameter. The service checks its value."""
    return click.option(*names, help=help, multiple=True, metavar="TEXT")


_OPTIONS = (
    _filter("-a", "--app", help="App. For several, repeat the option or use commas."),
    _filter("-r", "--region", help="Region, or several."),
    _filter("-m", "--machine", help="Machine ID, or several."),
    _filter("--group", help="Process group of Fly, or several."),
    _filter("--release", help="Number of a release of Fly, or several."),
    _filter("--level", help="Exactly this level, or several."),
    click.option("--min-level", metavar="LEVEL", help="This level or worse: trace … fatal."),
    _filter("--stream", help="stdout, stderr or system, or several."),
    _filter("--grep", help="Only messages with this text or /regular expression/."),
    _filter("--not", "not_", help="Only messages without this text or /regular expression/."),
    _filter("--field", help="Only lines with this field: status>=500, path!=/health, user.id."),
)


def option_sentence(error: BadQuery) -> str:
    """Return the error's sentence with the option's name in place of the parameter's."""
    option = "grep" if error.parameter == "q" else error.parameter.replace("_", "-")
    return re.sub(rf"^{re.escape(error.parameter)} ", f"--{option} ", str(error))


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with these options. It gets `--grep` and `--not` as `grep` and `not_`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
