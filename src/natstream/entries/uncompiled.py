"""Regular expressions that are compiled when a line first needs them, and not at the start. Pure.

Python takes up to 2 ms to compile a long expression. A stand-in for it is put into a dictionary,
which may be the global names of a module, and the compiled expression takes its place there. So
every further line finds the compiled one, and pays nothing.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Uncompiled"]


class Uncompiled:
    """A stand-in for an expression that is not compiled yet.

    Args:
        place: the dictionary that it stands in.
        key: its key there.
        pattern: the expression, in the verbose form.
    """

    __slots__ = ("_key", "_pattern", "_place")

    def __init__(self, place: dict[str, Any], key: str, pattern: str) -> None:
        self._place = place
        self._key = key
        self._pattern = pattern

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Match as `re.Pattern` does, and put the compiled expression into the place."""
        compiled = self._place[self._key] = re.compile(self._pattern, re.VERBOSE)
        return compiled.match(text, start)
