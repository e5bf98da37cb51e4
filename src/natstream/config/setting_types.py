"""The text of an environment variable → its value, one function for each kind of value. Pure.

Each function returns the value, or raises `ValueError` with the values that the variable takes, in
a few words that continue the sentence "it takes …".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "APP_NAME",
    "SOURCES",
    "Bind",
    "apps",
    "bind_or_off",
    "count",
    "duration",
    "header",
    "hosts",
    "one_app",
    "origins",
    "parse_bind",
    "public_url",
    "seconds",
    "seconds_or_off",
    "servers",
    "slug",
    "sources",
    "stream_name",
    "switch",
    "tokens",
]

APP_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SOURCES = ("nats", "drain")

_NATS_URL = re.compile(
    # An address holds no user or password, because logs and notices show it.
    r"(?:nats|tls)://(?:\[[0-9a-fA-F:.]+\]|[^\s/@:\[\]]+)(?::(\d{1,5}))?/?",
    re.ASCII,
)


_SWITCH_WORDS = frozenset(
    ("on", "off", "true", "false", "yes", "no", "y", "n", "t", "f", "enabled", "disabled", "none")
)


class Bind(NamedTuple):
    """An address to listen on. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Parse `host:port`, `[ipv6]:port` or `:port` (every address of the machine).

    Raises:
        ValueError: the text has another form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("host:port, with an IPv6 host in brackets")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("host:port, with a port from 0 to 65535")
    return Bind(host or "::", int(port))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def apps(text: str) -> tuple[str, ...]:
    """Parse names of apps; return an empty tuple for `*`, which means every app."""
    names = _words(text)
    if names == ("*",):
        return ()
    # A comma alone is an error: it names no app, so reading every app would be too much.
    if not names or not all(map(APP_NAME.fullmatch, names)):
        raise ValueError("app names of a-z, 0-9 and -, separated by commas, or * alone")
    return tuple(dict.fromkeys(names))


def one_app(text: str) -> str:
    """Parse one name of an app."""
    if not APP_NAME.fullmatch(text):
        raise ValueError("one app name of a-z, 0-9 and -")
    return text


def slug(text: str) -> str:
    """Parse the short name of an organisation."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        raise ValueError("an organisation's slug, as `fly orgs list` shows it")
    return text


def servers(text: str) -> tuple[str, ...]:
    """Parse addresses of NATS servers."""
    urls = _words(text)
    matches = [_NATS_URL.fullmatch(url) for url in urls]
    if not urls or any(match is None or int(match[1] or 4222) > 65535 for match in matches):
        raise ValueError("nats://host:port without credentials, several separated by commas")
    return urls


def bind_or_off(text: str) -> Bind | None:
    """Parse an address to listen on, or `off`."""
    if text.lower() == "off":
        return None
    try:
        return parse_bind(text)
    except ValueError as error:
        raise ValueError(f"off, or {error}") from None


def tokens(text: str) -> tuple[str, ...]:
    """Parse bearer tokens."""
    tokens = _words(text)
    # A comma alone is an error: it holds no token, so every client would be let in.
    if not tokens or any(not re.fullmatch(r"[!-~]+", token) for token in tokens):
        raise ValueError("printable ASCII without spaces, several tokens separated by commas")
    return tokens


def sources(text: str) -> tuple[str, ...]:
    """Parse some of `SOURCES`."""
    names = _words(text.lower())
    if not names or any(name not in SOURCES for name in names):
        raise ValueError("nats, drain, or nats,drain")
    return tuple(dict.fromkeys(names))


def hosts(text: str) -> tuple[str, ...]:
    """Parse host names of the page."""
    hosts = _words(text.lower())
    if not hosts or any(not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("host names or addresses without ports, separated by commas")
    return hosts


def origins(text: str) -> tuple[str, ...]:
    """Parse origins of other pages, or `*`."""
    origins = _words(text.lower())
    one = r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    if origins != ("*",) and (
        not origins or any(not re.fullmatch(one, origin) for origin in origins)
    ):
        raise ValueError("origins as https://host, separated by commas, or * alone")
    return origins


def base_url(text: str) -> str:
    """Parse the address of an interface, to which paths are added."""
    if not re.fullmatch(
        r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[\w.~/-]*)?", text, re.I | re.A
    ):
        raise ValueError("https://host or http://host:port, without credentials")
    return text.rstrip("/")


def public_url(text: str) -> str:
    """Parse the address of the page; return it without a slash at its end."""
    match = re.fullmatch(r"(https?://([^\s/?#@]+)(/[^\s?#]*)?)", text)
    name = match and re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?", match[2])
    if not match or not name or int((name[2] or ":0")[1:]) > 65535:
        raise ValueError("an address such as https://logs.example.com, without a query")
    return text.rstrip("/")


def header(text: str) -> str:
    """Parse the name of a header."""
    # A word for "yes" is no header. With it, no client would have an address, so that the limits
    # for each address would silently not hold.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text) or text.lower() in _SWITCH_WORDS:
        raise ValueError("the name of one header, such as Fly-Client-IP")
    return text


def count(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers between two limits."""

    def parse(text: str) -> int:
        digits = text.replace("_", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        number = int(digits)
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        return number

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of seconds between two limits."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def seconds_or_off(least: float, most: float) -> Callable[[str], float | None]:
    """Return a parser of seconds between two limits, or `off`."""
    parse_seconds = seconds(least, most)

    def parse(text: str) -> float | None:
        if text.lower() == "off":
            return None
        try:
            return parse_seconds(text)
        except ValueError as error:
            raise ValueError(f"off, or {error}") from None

    return parse


def duration(text: str) -> float:
    """Parse a number with a unit; return seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.lower())
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]] if match else 0
    # JetStream counts in nanoseconds, and a 64-bit number of them ends after 292 years.
    if not 1 <= seconds <= 3_650 * 86_400:
        raise ValueError("a duration from 1s to 3650d, such as 90m, 24h or 7d")
    return float(seconds)


def stream_name(text: str) -> str:
    """Parse the name of the journal's stream."""
    # The stream stores all subjects that begin with its name. If the journal's server is also the
    # server that lines come from, Fly's subjects (`logs.`) and those of answers (`_INBOX.`) must
    # not be among them.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text) or text == "logs":
        raise ValueError("a stream's name of A-Z, a-z, 0-9, _ and -, other than logs")
    return text


def switch(text: str) -> bool:
    """Parse `on` or `off`."""
    if text.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return text.lower() == "on"
