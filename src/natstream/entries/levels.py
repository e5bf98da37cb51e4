"""The level that an app gave to its own line, found in the line's text. Pure.

Fly's platform gives the level `info` to nearly every line of an app. So the level is taken from
the message if the message says one.
"""

from __future__ import annotations

__all__ = ["LEVEL_ALIASES", "level_of"]

# What a level may be called → its name in natstream.
LEVEL_ALIASES = {"warning": "warn", "err": "error", "critical": "fatal"}


def level_of(message: str) -> str:
    """Return the level that a message says, or "" if it says none."""
    return ""
