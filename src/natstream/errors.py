"""The exceptions of natstream; each says whose fault it is.

Exceptions of libraries are translated into these once, at the edge, with `raise … from`. A log line
never raises any of them, because a bad line is data and not an error.
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
    "JournalClosed",
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
    """The base of every error that natstream raises. `str()` is one sentence for a person."""


class ConfigurationError(NatstreamError):
    """The operator's fault: a setting is missing or wrong. It names the variable; exit status 2."""


class ListenError(NatstreamError):
    """The operator's fault: natstream cannot listen on an address. Exit status 1."""


class SourceError(NatstreamError):
    """A source has stopped delivering. `retry_after`: seconds to wait at least before a retry."""

    retry_after: float = 0.0
    reason: str = ""
    """One word for the reason, if the source distinguishes several."""


class SourceUnavailable(SourceError):
    """The network's or the server's fault: the server is unreachable or gone, and retried soon."""


class SourceDenied(SourceError):
    """The operator's fault: the server refuses credentials or permissions.

    It is retried slowly, because the token may be rotated meanwhile.
    """

    retry_after: float = 30.0


JournalReason = Literal[
    "unreachable",
    "denied",
    "no_leader",
    "full",
    "deleted",
    "no_jetstream",
    "max_payload",
    "no_headers",
    "unfit",
    "reader",
]
"""The trouble with the journal.

Its server is unreachable (`unreachable`), or refuses the credentials or a permission (`denied`).
Its stream has no leader at present (`no_leader`), accepts no more lines, because a quota or a disk
is full (`full`), or was deleted (`deleted`). The server has no JetStream (`no_jetstream`), accepts
only messages that are too small (`max_payload`), or supports no headers (`no_headers`). The stream
is configured so that it cannot serve (`unfit`), or no longer delivers the lines that it holds
(`reader`).
"""


class JournalUnavailable(SourceUnavailable):
    """The journal's server is away, or its stream cannot store or deliver lines at present."""

    def __init__(self, message: str, reason: JournalReason = "unreachable") -> None:
        super().__init__(message)
        self.reason = reason


class JournalClosed(NatstreamError):
    """This process closes, so a reader cannot have the stored lines that it still has to read.

    It is no `SourceError`, because those become gaps. A reader that is told of a gap resumes after
    it, but these lines are not missing: the reader gets them when it resumes at another process.
    """


class JournalDenied(SourceDenied):
    """The operator's fault: the journal refuses the credentials, or its stream cannot serve."""

    def __init__(self, message: str, reason: JournalReason = "denied") -> None:
        super().__init__(message)
        self.reason = reason


class TooManyReaders(NatstreamError):
    """Too many readers are connected, in all or with one link or address.

    It is not the reader's fault. The reader may come back in `retry_after` seconds.
    """

    retry_after: float = 5.0


class TooManyAttempts(NatstreamError):
    """The reader's fault: too many wrong tokens. The reader may try again after `retry_after` s."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadQuery(NatstreamError):
    """The reader's fault: a query parameter is unknown, or has a wrong value."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class ExpressionTooSlow(BadQuery):
    """A reader's expression or condition takes so long that all other readers would wait."""

    @classmethod
    def of(cls, parameter: str) -> ExpressionTooSlow:
        """Return the error about the expressions or conditions of a parameter."""
        what = "condition" if parameter == "field" else "regular expression"
        return cls(
            f"{parameter} is too slow a {what} for these lines, so it would delay all "
            "readers: use a simpler one, or ask for fewer lines",
            parameter,
        )


class BadBody(NatstreamError):
    """The drain sender's fault: the body cannot be read. Nothing of the body was delivered."""


def network_reason(error: BaseException) -> str:
    """Return why a connection failed, in the system's few words ("Connection refused").

    Libraries wrap the system's error in other errors and in groups, so this looks through them for
    the first one with a known form. Without any, it returns the error's own text.
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
