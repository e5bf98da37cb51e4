"""The command line options that choose lines.

All commands with such options share these, so that they have the same names everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from natstream.entries.values import EXACT, EXCLUDED
from natstream.errors import BadQuery

__all__ = ["filter_options", "filter_parameters", "option_sentence"]


def _filter(*names: str, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a repeatable option for a filter parameter. The service checks its value."""
    return click.option(*names, help=help, multiple=True, metavar="TEXT")


_OPTIONS = (
    _filter("-a", "--app", help="App, or several: repeat it or use commas. -x: all but x."),
    _filter("-r", "--region", help="Region, or several."),
    _filter("-m", "--machine", help="Machine ID, or several. 668f*: all that begin so."),
    _filter("--group", help="Process group of Fly, or several."),
    _filter("--release", help="Number of a release of Fly, or several."),
    _filter("--level", help="Exactly this level, or several."),
    click.option("--min-level", metavar="LEVEL", help="This level or worse: trace … fatal."),
    _filter("--stream", help="stdout, stderr or system, or several."),
    _filter("--grep", help="Only messages with this text or /regular expression/."),
    _filter("--not", "not_", help="Only messages without this text or /regular expression/."),
    _filter("--field", help="Only lines with this field: status>=500, path!=/health, user.id."),
)


def filter_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter parameters that the options mean.

    `--grep` is `q`, and the value `-web` of `--app` is the value `web` of `not_app`. Fly gives no
    name that begins with a minus.
    """
    parameters: dict[str, Any] = {}
    for name, values in options.items():
        if name not in EXACT:
            parameters["q" if name == "grep" else name] = values
            continue
        parameters[name], excluded = [], []
        for value in values or ():
            parts = [part.strip() for part in value.split(",")]
            excluded += [part.removeprefix("-") for part in parts if part.startswith("-")]
            wanted = [part for part in parts if not part.startswith("-")]
            if wanted:
                parameters[name].append(",".join(wanted))
        if excluded:
            parameters[f"not_{name}"] = excluded
    return parameters


def option_sentence(error: BadQuery) -> str:
    """Return the error's sentence with the option's name in place of the parameter's."""
    name = error.parameter
    option = "--grep" if name == "q" else f"--{name.replace('_', '-')}"
    if name in EXCLUDED:
        option = f"--{name.removeprefix('not_')} -…"
    return re.sub(rf"^{re.escape(name)} ", f"{option} ", str(error))


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with these options, whose values `filter_parameters` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
