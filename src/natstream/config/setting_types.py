"""The text of an environment variable → its value, one function for each kind. Pure.

Out of each: the value; or a `ValueError` with what the variable takes, in a few words that go on
from "it takes …".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
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
    "seconds",
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
    # No user or password in the address: it would be shown in logs and notices.
    r"(?:nats|tls)://(?:\[[0-9a-fA-F:.]+\]|[^\s/@:\[\]]+)(?::(\d{1,5}))?/?",
    re.ASCII,
)


class Bind(NamedTuple):
    """An address to listen on. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """`host:port`, `[ipv6]:port` or `:port` (every address).

    Raises:
        ValueError: it is none of these.
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
    """Names of apps; none of them for `*`: every app."""
    names = _words(text)
    if names == ("*",):
        return ()
    # A comma alone names no app; every app would be more than was asked for.
    if not names or not all(map(APP_NAME.fullmatch, names)):
        raise ValueError("app names of a-z, 0-9 and -, separated by commas, or * alone")
    return tuple(dict.fromkeys(names))


def one_app(text: str) -> tuple[str, ...]:
    """One name of an app."""
    if not APP_NAME.fullmatch(text):
        raise ValueError("one app name of a-z, 0-9 and -")
    return (text,)


def slug(text: str) -> str:
    """The short name of an organisation."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        raise ValueError("an organisation's slug, as `fly orgs list` shows it")
    return text


def servers(text: str) -> tuple[str, ...]:
    """Addresses of NATS servers."""
    urls = _words(text)
    matches = [_NATS_URL.fullmatch(url) for url in urls]
    if not urls or any(match is None or int(match[1] or 4222) > 65535 for match in matches):
        raise ValueError("nats://host:port without credentials, several separated by commas")
    return urls


def bind_or_off(text: str) -> Bind | None:
    """An address to listen on, or `off`."""
    return None if text.lower() == "off" else parse_bind(text)


def tokens(text: str) -> tuple[str, ...]:
    """Bearer tokens."""
    tokens = _words(text)
    # A comma alone is no token: without one, the door would be open.
    if not tokens or any(not re.fullmatch(r"[!-~]+", token) for token in tokens):
        raise ValueError("printable ASCII without spaces, several tokens separated by commas")
    return tokens


def sources(text: str) -> tuple[str, ...]:
    """Some of `SOURCES`."""
    names = _words(text.lower())
    if not names or any(name not in SOURCES for name in names):
        raise ValueError("nats, drain, or nats,drain")
    return tuple(dict.fromkeys(names))


def hosts(text: str) -> tuple[str, ...]:
    """Names under which the page is reached."""
    hosts = _words(text.lower())
    if not hosts or any(not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("host names or addresses without ports, separated by commas")
    return hosts


def origins(text: str) -> tuple[str, ...]:
    """Origins of other pages, or `*`."""
    origins = _words(text.lower())
    one = r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    if origins != ("*",) and (
        not origins or any(not re.fullmatch(one, origin) for origin in origins)
    ):
        raise ValueError("origins as https://host, separated by commas, or * alone")
    return origins


def header(text: str) -> str:
    """The name of a header."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text):
        raise ValueError("the name of one header, as Fly-Client-IP")
    return text


def count(least: int, most: int) -> Callable[[str], int]:
    """A whole number between limits."""

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
    """A number of seconds between limits."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def duration(text: str) -> float:
    """A number and its unit → seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.lower())
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]] if match else 0
    # JetStream counts in nanoseconds, which end after 292 years.
    if not 1 <= seconds <= 3_650 * 86_400:
        raise ValueError("a duration from 1s to 3650d, as 90m, 24h or 7d")
    return float(seconds)


def stream_name(text: str) -> str:
    """The name of the journal's stream."""
    # The stream takes all subjects that begin with its name. Where the journal's server is the one
    # that lines come from, those of Fly must not be among them, nor those of answers.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text) or text == "logs":
        raise ValueError("a stream's name of A-Z, a-z, 0-9, _ and -, other than logs")
    return text


def switch(text: str) -> bool:
    """`on` or `off`."""
    if text.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return text.lower() == "on"
