"""Environment variables that have no effect although they look like settings. Pure.

In: an environment. Out: one sentence for each variable that was a setting once, and for each
misspelt one. They are warnings: such a variable never ends the service, whatever its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

import attrs

from natstream.config.settings import Settings

__all__ = ["REMOVED", "unused_variables"]

# Of other commands: the service that `natstream tail` and `natstream link` talk to.
OTHERS = {"NATSTREAM_URL"}


class Removed(NamedTuple):
    """A setting that became a constant."""

    meaning: str
    """What the setting said, to follow "it set"."""
    value: str
    """The constant's value, as a person reads it."""


REMOVED: Mapping[str, Removed] = {
    "NATSTREAM_MAX_CONNECTIONS": Removed(
        meaning="how many connections the page and the API hold at once",
        value="300 above NATSTREAM_MAX_READERS",
    ),
    "NATSTREAM_MAX_HEADER": Removed(
        meaning="how many bytes a request's line and headers may have", value="16,384"
    ),
    "NATSTREAM_HEADER_TIMEOUT": Removed(
        meaning="how many seconds a request's line and headers may take", value="10"
    ),
    "NATSTREAM_DRAIN_MAX_REQUESTS": Removed(
        meaning="how many bodies the drain reads at once", value="64"
    ),
}


def unused_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is set and has no effect; empty ones are unset.

    A misspelt variable matters because the setting that it was meant for, for example a token, is
    silently not set.
    """
    known = {field.metadata["variable"] for field in attrs.fields(Settings)} | OTHERS
    sentences: list[str] = []
    for name in sorted(environ):
        if name in known or not environ[name].strip():
            continue
        if removed := REMOVED.get(name):
            sentences.append(
                f"{name} was removed and has no effect: it set {removed.meaning}, "
                f"which is now always {removed.value}."
            )
        elif name.startswith("NATSTREAM_"):
            sentences += [
                f"{name} is not a setting and has no effect: did you mean {meant}?"
                for meant in get_close_matches(name, sorted(known), 1, cutoff=0.85)
            ]
    return sentences
