"""The reasons for which servers do not connect us, or disconnect us, in words for people.

In: errors of nats-py and of the network, and the server's own last words. Out: a `Failure`. The
server's words win over ours, because only they tell, for example, that it has too many connections.
"""

from __future__ import annotations

import os
import re

import trio

from nats import errors as nats_errors
from natstream.errors import network_reason
from natstream.nats.login import SILENT, Failure, Login

__all__ = ["LameDuckError", "explain"]

# Errors as servers word them. nats-py converts some of them to lower case.
_NO_ACCESS = re.compile(r"auth\w* (violation|revoked|expired)", re.IGNORECASE)
_NO_PERMISSION = re.compile(r'permissions violation.*? "([^"]*)"', re.IGNORECASE)


class LameDuckError(Exception):
    """The server has told its clients that it will shut down soon."""


def explain(
    login: Login, error: Exception | None, said: str, *, wants_certificate: bool
) -> Failure:
    """Return why a server did not connect, or why its connection has ended.

    Args:
        error: nats-py's error, or the network's; `None` if it is unknown.
        said: the server's own last error, as it spelled it; empty if it said none.
        wants_certificate: whether the server has announced that clients need a certificate.
    """
    own = str(error).removeprefix("nats: ").strip("'") if type(error) is nats_errors.Error else ""
    if isinstance(error, nats_errors.AuthorizationError) or _NO_ACCESS.search(own or said):
        return Failure("denied", "")
    if match := _NO_PERMISSION.search(own or said):
        return Failure("forbidden", login.redact(match[1]))
    if wants_certificate and isinstance(error, OSError | EOFError | nats_errors.UnexpectedEOF):
        return Failure("unreachable", "the server wants a client certificate, and we send none")
    return Failure("unreachable", login.redact(said or own) or _reason(error))


def _reason(error: Exception | None) -> str:
    """Return the reason in our own words, since nats-py's may hold an address with a password."""
    match error:
        case LameDuckError():
            return "the server is shutting down"
        case nats_errors.UnexpectedEOF() | EOFError():
            return "the server closed the connection"
        case nats_errors.ProtocolError():
            return "the server does not follow the NATS protocol"
        case nats_errors.StaleConnectionError() | TimeoutError() | trio.TooSlowError():
            return SILENT
        case nats_errors.SecureConnWantedError():
            return "the server offers no TLS, but its address begins with tls://"
        case UnicodeError():
            return "the server's name is not valid"
        case OSError(errno=None) if match := re.search(r"\[Errno (\d+)\]", str(error)):
            return os.strerror(int(match[1]))  # asyncio joins the errors of a name's addresses
        case OSError():
            return network_reason(error)
    return type(error).__name__
