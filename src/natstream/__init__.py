"""Live logs of Fly.io applications, on trio.

    sources (NATS, the drain) → parsing → hub and backlog → framing → web
                       └─► collector: lines by machine, for programs

The names below are the library; importing it loads nothing else. `natstream.hub.open_hub` is the
broadcast by itself, `natstream serve` the whole. How the rooms hang together is told in
docs/architecture.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natstream.client import EntryReceiver, open_log_stream
    from natstream.collector import LineReceiver, LogCollector, LogStream, drain_channel
    from natstream.entry import Gap, LogEntry, Notice
    from natstream.errors import (
        BadBody,
        BadQuery,
        ConfigurationError,
        ListenError,
        NatstreamError,
        SourceDenied,
        SourceError,
        SourceUnavailable,
        TooManyReaders,
    )
    from natstream.filtering import Filter
    from natstream.hub import Hub, open_hub
    from natstream.parsing import parse_log_entry, parse_ndjson
    from natstream.sources.drain import DrainLimits, LogDrainServer

# Each name's home, loaded when the name is first asked for: a program that reads a drain needs
# no web framework, and `natstream --help` none of it.
_HOMES = {
    "BadBody": "errors",
    "BadQuery": "errors",
    "ConfigurationError": "errors",
    "DrainLimits": "sources.drain",
    "EntryReceiver": "client",
    "Filter": "filtering",
    "Gap": "entry",
    "Hub": "hub",
    "LineReceiver": "collector",
    "ListenError": "errors",
    "LogCollector": "collector",
    "LogDrainServer": "sources.drain",
    "LogEntry": "entry",
    "LogStream": "collector",
    "NatstreamError": "errors",
    "Notice": "entry",
    "SourceDenied": "errors",
    "SourceError": "errors",
    "SourceUnavailable": "errors",
    "TooManyReaders": "errors",
    "drain_channel": "collector",
    "open_hub": "hub",
    "open_log_stream": "client",
    "parse_log_entry": "parsing",
    "parse_ndjson": "parsing",
}

__all__ = [
    "BadBody",
    "BadQuery",
    "ConfigurationError",
    "DrainLimits",
    "EntryReceiver",
    "Filter",
    "Gap",
    "Hub",
    "LineReceiver",
    "ListenError",
    "LogCollector",
    "LogDrainServer",
    "LogEntry",
    "LogStream",
    "NatstreamError",
    "Notice",
    "SourceDenied",
    "SourceError",
    "SourceUnavailable",
    "TooManyReaders",
    "drain_channel",
    "open_hub",
    "open_log_stream",
    "parse_log_entry",
    "parse_ndjson",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'natstream' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"natstream.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
