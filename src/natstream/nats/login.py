"""The servers, the credentials for them, and the servers that refuse these. Pure.

In: addresses and credentials as the settings hold them, and why servers could not be connected.
Out: words for people, without secrets. A `Login` remembers which servers have refused it, so that
each of them is left alone for a while, and the others are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import attrs

from natstream.errors import SourceDenied

__all__ = [
    "SILENT",
    "Failure",
    "Login",
    "Refusal",
    "host_and_port",
    "rank",
    "summarise",
]

SILENT = "the server does not answer"


@attrs.frozen
class Failure:
    """The reason why there is no connection."""

    kind: Literal["denied", "forbidden", "unreachable"]
    """`denied`: the server refuses the credentials; `forbidden`: they lack a permission;
    `unreachable`: any other reason."""
    words: str
    """The subject that is forbidden, or the reason; safe to show."""
    address: str = ""
    """The server, or the servers, of which this is true, in words for people."""
    others: str = ""
    """The reasons of the other servers; empty if there are none."""
    retry_after: float = 0.0
    """Seconds until a server may be asked again; 0 if at least one may be asked immediately."""


class Refusal(NamedTuple):
    """The reason why a server is left alone, and the end of that time on trio's clock."""

    failure: Failure
    until: float


@attrs.frozen
class Login:
    """The servers to connect to, and the credentials for them."""

    servers: Sequence[str] = attrs.field(repr=False)
    """Addresses as `NATSTREAM_NATS_URL` takes them."""
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    token: str = attrs.field(default="", repr=False)
    _refusals: dict[tuple[str, str, int], Refusal] = attrs.field(
        factory=dict, init=False, repr=False, eq=False
    )
    """By server, IP address and port."""

    @property
    def address(self) -> str:
        """The servers' hosts and ports, for people. A URL's user and password are left out."""
        return _address(self.servers)

    def options(self) -> dict[str, Any]:
        """Return the credentials as arguments of nats-py's `connect`."""
        options: dict[str, Any] = {}
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.token:
            options["token"] = self.token
        return options

    def redact(self, text: str) -> str:
        """Return a server's text, safe to show: short, printable, and without our secrets.

        A server knows the password, so it may repeat it in an error.
        """
        for secret in filter(None, (self.password, self.token)):
            text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
        return "".join(char if char.isprintable() else "?" for char in text[:200])

    # --- refusals ------------------------------------------------------------------------

    def hold(self, server: str, host: str, port: int, failure: Failure, now: float) -> None:
        """Ask the server at this address no more for a while, because it has refused us.

        The others may still be asked. A person may change the credentials at the server meanwhile.
        """
        refusal = Refusal(failure, now + SourceDenied.retry_after)
        self._refusals[server, host, port] = refusal

    def refusal(self, server: str, host: str, port: int, now: float) -> Refusal | None:
        """Return the refusal for which the server at this address is not asked at present."""
        refusal = self._refusals.get((server, host, port))
        return refusal if refusal is not None and refusal.until > now else None


def summarise(failures: Mapping[str, Failure], retry_after: float) -> Failure:
    """Return one failure for several servers: the most telling one, with the others' reasons.

    Args:
        failures: by server, in the order of the login; at least one.
        retry_after: see `Failure`.
    """
    most_telling = min(failures.values(), key=rank)
    same, others = [], []
    for server, failure in failures.items():
        if (failure.kind, failure.words) == (most_telling.kind, most_telling.words):
            same.append(server)
        else:
            others.append(f"{host_and_port(server)}: {_short(failure)}")
    return attrs.evolve(
        most_telling, address=_address(same), others="; ".join(others), retry_after=retry_after
    )


def rank(failure: Failure) -> int:
    """Return the place of a failure among others: a refusal comes first, since a person must act.

    Silence comes last, because any other reason says more.
    """
    if failure.kind == "unreachable" and failure.words == SILENT:
        return 3
    return ("denied", "forbidden", "unreachable").index(failure.kind)


def _short(failure: Failure) -> str:
    match failure.kind:
        case "denied":
            return "it refuses the credentials"
        case "forbidden":
            return f"it does not let us use {failure.words}"
    return failure.words


def _address(servers: Sequence[str]) -> str:
    return "NATS at " + " or ".join(host_and_port(server) for server in servers)


def host_and_port(url: str) -> str:
    """Return a server's host and port, without the credentials that its URL may hold."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"[{host}]:{parts.port or 4222}" if ":" in host else f"{host}:{parts.port or 4222}"
