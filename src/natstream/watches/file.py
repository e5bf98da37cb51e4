"""The operator's TOML file → the watches that it describes.

A wrong file raises `ConfigurationError` with one sentence that names the file, the watch and the
key. No error, and no `repr`, shows an address to which messages are sent, because the address of a
chat's webhook is a secret by itself.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs

from natstream.config import setting_types
from natstream.entries.filters import Filter
from natstream.errors import BadQuery, ConfigurationError

__all__ = ["RECEIVERS", "Receiver", "Watch", "parse_watches", "read_watches"]

RECEIVERS = ("slack", "discord", "ntfy", "url")

# Each watch is a reader of the hub, and few operators have more than ten.
MAX_WATCHES = 100
# Larger files are something else, for example a log.
MAX_BYTES = 256 * 1024
# A watch remembers the ids of so many lines, which take up to 2 MB.
MAX_COUNT = 10_000
MAX_QUERY = 2_000
# A message with more lines is not read, and chats cut it.
MAX_LINES = 5
# Seconds. A cooldown or an absence of more than a month is a mistake in the unit.
LONGEST = 30 * 86_400.0
LONGEST_WITHIN = 86_400.0
MAX_URL = 2_000

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)


@attrs.frozen
class Receiver:
    """The address to which the messages of a watch are sent."""

    kind: str
    """One of `RECEIVERS`."""
    url: str = attrs.field(repr=False)
    variable: str = ""
    """The environment variable that holds the address; empty if the file holds it."""

    def __str__(self) -> str:
        return f"{self.kind} (env:{self.variable})" if self.variable else self.kind


@attrs.frozen(kw_only=True)
class Watch:
    """One watch: which lines it looks for, when it fires, and where it sends a message."""

    name: str
    query: str
    """The lines that match, in the words of the API; empty for every line."""
    filter: Filter = attrs.field(repr=False)
    """The filter that the query describes."""
    receiver: Receiver
    lines: int = MAX_LINES
    """How many lines a message shows at most; with 0, it holds counts only."""
    count: int = 1
    """How many lines must match, within `within`."""
    within: float = 60.0
    """Seconds."""
    cooldown: float = 600.0
    """Seconds after a message in which no other is sent."""
    absent: float | None = None
    """Seconds without a match after which a message is sent. If it is set, `count`, `within` and
    `cooldown` do not matter."""

    @property
    def condition(self) -> str:
        """The condition under which the watch fires, in words."""
        if self.absent is not None:
            return f"no line within {in_words(self.absent)}"
        lines = "1 line" if self.count == 1 else f"{self.count:,} lines within "
        within = "" if self.count == 1 else in_words(self.within)
        return f"{lines}{within}, at most once in {in_words(self.cooldown)}"


def in_words(seconds: float) -> str:
    """Return a duration as the file has it, for example `90s`, `10m` or `2h`."""
    whole = round(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= size and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def read_watches(path: str, environ: Mapping[str, str]) -> tuple[Watch, ...]:
    """Return the watches of a file, in its order.

    Raises:
        ConfigurationError: the file cannot be read, or is wrong.
    """
    try:
        text = _read(Path(path))
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _unreadable(path, "is not UTF-8") from None
    except ValueError as error:
        raise _unreadable(path, str(error)) from None
    try:
        return tuple(parse_watches(text, environ))
    except _WrongError as error:
        raise ConfigurationError(f"NATSTREAM_WATCHES, the file {path}: {error}.") from None


def _unreadable(path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"NATSTREAM_WATCHES is {path!r}, which {reason}; it takes the path of a TOML file that "
        "describes watches."
    )


def _read(path: Path) -> str:
    # A pipe would be waited for, and a device may have no end, so neither is opened.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is a directory" if path.is_dir() else "is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} bytes")
    return content.decode("utf-8-sig")


class _WrongError(ValueError):
    """The file is wrong; the text says why, without a full stop."""


def parse_watches(text: str, environ: Mapping[str, str]) -> Iterator[Watch]:
    """Yield the watches that a file's text describes.

    Raises:
        ValueError: the text is wrong; the exception's text names the watch and the key.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _WrongError(f"it is not TOML: {reason}") from None
    for key in document:
        if key != "watches":
            raise _WrongError(
                f"{_shown(key)} is not a key that it may have; it takes tables such as "
                "[watches.panics]"
            )
    tables = document.get("watches", {})
    if not isinstance(tables, dict) or not tables:
        raise _WrongError("it has no watch; each watch is a table such as [watches.panics]")
    if len(tables) > MAX_WATCHES:
        raise _WrongError(f"it has {len(tables):,} watches, and {MAX_WATCHES} are possible")
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            raise _WrongError(
                f"the watch {_shown(name)} needs another name, of 1 to 64 of A-Z, a-z, 0-9, _ and -"
            )
        if not isinstance(table, dict):
            raise _WrongError(
                f"the watch {name} has to be a table, [watches.{name}], and is {_type(table)}"
            )
        try:
            yield _watch(name, table, environ)
        except _WrongError as error:
            raise _WrongError(f"the watch {name}: {error}") from None


def _watch(name: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Watch:
    for key in table:
        if key not in (*_KEYS, *RECEIVERS):
            known = ", ".join(sorted((*_KEYS, *RECEIVERS)))
            raise _WrongError(f"{_shown(key)} is not a key that it may have; it takes {known}")
    if "query" not in table:
        raise _WrongError(
            'query is missing; it says which lines match, for example query = "app=web&q=panic", '
            'and query = "" means every line'
        )
    for key in ("count", "within", "cooldown"):
        if "absent" in table and key in table:
            raise _WrongError(
                f"{key} and absent are both given; {key} is for lines that come, and absent for "
                "lines that do not, so use two watches"
            )
    values = {key: parse(key, table[key]) for key, parse in _KEYS.items() if key in table}
    receiver = _receiver(table, environ)
    return Watch(name=name, filter=_filter(values["query"]), receiver=receiver, **values)


# --- values ----------------------------------------------------------------------------------


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"{key} has to be a text in quotes, and is {_type(value)}")
    return value


def _number(least: int, most: int) -> Callable[[str, object], int]:
    def parse(key: str, value: object) -> int:
        wanted = f"{key} has to be a whole number from {least:,} to {most:,}, and is"
        if not isinstance(value, int) or isinstance(value, bool):
            raise _WrongError(f"{wanted} {_type(value)}")
        if not least <= value <= most:
            shown = f"{value:,}" if abs(value) < 10**18 else "much larger"
            raise _WrongError(f"{wanted} {shown}")
        return value

    return parse


def _duration(longest: float) -> Callable[[str, object], float]:
    def parse(key: str, value: object) -> float:
        wanted = (
            f'{key} has to be a duration from "1s" to "{in_words(longest)}", such as "90s", "10m" '
            'or "2h", and is'
        )
        if not isinstance(value, str):
            raise _WrongError(f"{wanted} {_type(value)}")
        try:
            seconds = setting_types.duration(value.strip())
        except ValueError:
            seconds = 0.0
        if not 1 <= seconds <= longest:
            raise _WrongError(f"{wanted} {_shown(value)}")
        return seconds

    return parse


_KEYS: Mapping[str, Callable[[str, object], Any]] = {
    "query": _text,
    "count": _number(1, MAX_COUNT),
    "within": _duration(LONGEST_WITHIN),
    "cooldown": _duration(LONGEST),
    "absent": _duration(LONGEST),
    "lines": _number(0, MAX_LINES),
}


def _filter(query: str) -> Filter:
    if len(query) > MAX_QUERY:
        raise _WrongError(f"query has more than {MAX_QUERY:,} characters")
    try:
        return Filter.from_query(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise _WrongError("query holds bytes that are not UTF-8, such as %FF") from None
    except BadQuery as error:
        raise _WrongError(f"query: {str(error).rstrip('.')}") from None
    except ValueError:  # more parameters than the library takes
        raise _WrongError("query has too many parameters") from None


# --- receivers -------------------------------------------------------------------------------


def _receiver(table: Mapping[str, Any], environ: Mapping[str, str]) -> Receiver:
    given = [key for key in RECEIVERS if key in table]
    if not given:
        raise _WrongError(f"the receiver is missing; it takes one of {', '.join(RECEIVERS)}")
    if len(given) > 1:
        raise _WrongError(
            f"{' and '.join(given)} are given, and a watch has one receiver; use a watch for each"
        )
    [kind] = given
    url, variable = _text(kind, table[kind]).strip(), ""
    if url.startswith("env:"):
        variable = url.removeprefix("env:")
        if not _VARIABLE.fullmatch(variable):
            raise _WrongError(f"{kind} has no name of a variable after env:")
        url = environ.get(variable, "").strip()
        if not url:
            raise _WrongError(f"{kind} is in {variable}, and this variable is not set")
    if not _is_address(url):
        held = f"the variable {variable} holds" if variable else "it holds"
        raise _WrongError(
            f"{kind} takes an address such as https://example.com/hook, or env: and the name of "
            f"a variable, and {held} something else"
        )
    return Receiver(kind, url, variable)


def _is_address(url: str) -> bool:
    """Return whether a message can be sent to this address. A user and a password are possible."""
    if not re.fullmatch(rf"[!-~]{{1,{MAX_URL}}}", url) or set(url) & set('"<>\\^`{|}#'):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and bool(_HOST.fullmatch(host)) and port != 0


# --- words -----------------------------------------------------------------------------------


def _shown(text: str) -> str:
    if "://" in text:
        return "an address"  # which may hold a secret
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "a text", dict: "a table", list: "a list"}
    return names.get(type(value), "a date or a time")
