"""What can go wrong in natstream, and whose fault it is.

Foreign exceptions are translated into these once, at the edge, with `raise … from`.
A bad log line is data, not an error: nothing here is raised for what a line holds.
"""

from __future__ import annotations

__all__ = [
    "BadBody",
    "BadQuery",
    "ConfigurationError",
    "ListenError",
    "NatstreamError",
    "SourceDenied",
    "SourceError",
    "SourceUnavailable",
    "TooManyReaders",
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


class SourceUnavailable(SourceError):
    """The network's or the server's: it cannot be reached, or went away. Retried soon."""


class SourceDenied(SourceError):
    """The operator's: credentials or permissions are refused. Retried slowly: tokens rotate."""

    retry_after = 30.0


class TooManyReaders(NatstreamError):
    """Nobody's: the hub holds as many readers as it may. Come back in `retry_after` seconds."""

    retry_after: float = 5.0


class BadQuery(NatstreamError):
    """The reader's: a query parameter is unknown or holds what it cannot take."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class BadBody(NatstreamError):
    """The drain sender's: a body that cannot be read. Nothing of it was delivered."""
