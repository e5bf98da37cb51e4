"""The options that choose lines, the same for every command that has them."""

from __future__ import annotations

from collections.abc import Callable

import click

__all__ = ["filter_options"]


def _filter(*names: str, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that the service's filters take: repeatable, and checked there."""
    return click.option(*names, help=help, multiple=True, metavar="TEXT")


_OPTIONS = (
    _filter("-a", "--app", help="App; several: repeated, or separated by commas."),
    _filter("-r", "--region", help="Region, likewise."),
    _filter("-m", "--machine", help="Machine ID, likewise."),
    _filter("--level", help="Level, likewise: exactly these."),
    click.option("--min-level", metavar="LEVEL", help="This level or worse: debug … fatal."),
    _filter("--stream", help="stdout, stderr or system, likewise."),
    _filter("--grep", help="Only messages with this text or /regular expression/."),
    _filter("--not", "not_", help="Only messages without it."),
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; `--grep` and `--not` arrive as `grep` and `not_`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
