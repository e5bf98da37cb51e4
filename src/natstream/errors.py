"""What can go wrong in natstream, and whose fault it is.

Foreign exceptions are translated into these once, at the edge, with `raise … from`.
A bad log line is data, not an error: nothing here is raised for what a line holds.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Literal

__all__ = [
    "BadBody",
    "BadQuery",
    "ConfigurationError",
    "ExpressionTooSlow",
    "JournalDenied",
    "JournalReason",
    "JournalUnavailable",
    "ListenError",
    "NatstreamError",
    "SourceDenied",
    "SourceError",
    "SourceUnavailable",
    "TooManyAttempts",
    "TooManyReaders",
    "network_reason",
]


class NatstreamError(Exception):
    """The base of every error natstream raises on purpose. `str()` is one sentence for a person."""


class ConfigurationError(NatstreamError):
    """The operator's: a setting is missing or wrong. Names the variable; exit status 2."""


class ListenError(NatstreamError):
    """The operator's: an address cannot be listened on. Exit status 1."""


class SourceError(NatstreamError):
    """A source has stopped delivering. `retry_after`: seconds to wait at least before a retry."""

    retry_after: float = 0.0
    reason: str = ""
    """One word for it, where several are told apart."""


class SourceUnavailable(SourceError):
    """The network's or the server's: it cannot be reached, or went away. Retried soon."""


class SourceDenied(SourceError):
    """The operator's: credentials or permissions are refused. Retried slowly: tokens rotate."""

    retry_after = 30.0


JournalReason = Literal["unreachable", "denied", "no_leader", "full", "deleted", "unfit", "reader"]
"""What can be wrong with the journal, as operators are told: its server cannot be reached; refuses
the credentials, or a permission; nobody leads the stream just now; it takes no more; it is gone;
it, or its server, cannot serve at all; it no longer gives what it holds."""


class JournalUnavailable(SourceUnavailable):
    """The journal's server is away, or its stream cannot take or give lines just now."""

    def __init__(self, message: str, reason: JournalReason = "unreachable") -> None:
        super().__init__(message)
        self.reason = reason


class JournalDenied(SourceDenied):
    """The operator's: credentials of the journal are refused, or its stream cannot serve."""

    def __init__(self, message: str, reason: JournalReason = "denied") -> None:
        super().__init__(message)
        self.reason = reason


class TooManyReaders(NatstreamError):
    """Nobody's: there are as many readers as there may be, of one link or address or in all.

    Come back in `retry_after` seconds.
    """

    retry_after: float = 5.0


class TooManyAttempts(NatstreamError):
    """The reader's who shows wrong tokens. Come back in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadQuery(NatstreamError):
    """The reader's: a query parameter is unknown or holds what it cannot take."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class ExpressionTooSlow(BadQuery):
    """A regular expression of the reader's takes so long that all others would wait for it."""


class BadBody(NatstreamError):
    """The drain sender's: a body that cannot be read. Nothing of it was delivered."""


def network_reason(error: BaseException) -> str:
    """Why a connection failed, in the system's few words ("Connection refused").

    Libraries wrap what the system said, in other errors and in groups: the first that knows is
    asked. Falls back on the error's own text.
    """
    found: BaseException | None = error
    while found is not None:
        match found:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not valid: {found.verify_message}"
            case ssl.SSLError(reason=str(reason)):
                return f"TLS fails: {reason.replace('_', ' ').lower()}"
            case socket.gaierror(strerror=str(text)):
                return text
            case OSError(errno=int(number)) if number > 0:
                return os.strerror(number)
            case BaseExceptionGroup(exceptions=(first, *_)):
                found = first
            case _:
                found = found.__cause__ or found.__context__
    return str(error) or type(error).__name__
