"""How one environment variable is declared as a setting, and how its text is read. Pure.

In: the variable's text. Out: its value, or a `ConfigurationError` with one sentence: the variable,
the value that it held and the values that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from natstream.errors import ConfigurationError

__all__ = ["read_variable", "setting"]


def setting(
    variable: str,
    parse: Callable[[str], Any],
    default: Any,
    help: str,
    *,
    who: str,
    default_text: str = "",
    secret: bool = False,
) -> Any:
    """Return a field of `Settings` that is read from an environment variable.

    Args:
        variable: the variable's name.
        parse: turns the variable's text into the value (see `setting_types`).
        default: the value if the variable is not set.
        help: what the setting means.
        who: the person who changes the setting, and when. A value that no person would change
            is no setting; it is a constant beside the code that uses it.
        default_text: the default as the documentation shows it, if its text would not be clear.
        secret: the value is never shown.
    """
    metadata = {
        "variable": variable,
        "parse": parse,
        "help": help,
        "who": who,
        "default_text": default_text,
        "secret": secret,
    }
    return attrs.field(default=default, repr=not secret, metadata=metadata)


def read_variable(
    variable: str, text: str, parse: Callable[[str], Any], *, secret: bool = False
) -> Any:
    """Return the value that a variable's text stands for.

    Raises:
        ConfigurationError: the text is wrong; the sentence holds it unless it is `secret`.
    """
    try:
        return parse(text)
    except ValueError as error:
        held = "a value that it cannot take" if secret else _masked(text)
        raise ConfigurationError(f"{variable} is {held}; it takes {error}.") from None


def _masked(text: str) -> str:
    """Return a wrong value on one line, as an error may show it: with likely secrets masked."""
    # The first line masks credentials in an address, the second a Fly token in a wrong variable.
    text = re.sub(r".*@", "***@", text, flags=re.DOTALL)
    text = re.sub(r"(FlyV1 |f[mo][0-9][a-z]?_).*", "***", text, flags=re.DOTALL)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
