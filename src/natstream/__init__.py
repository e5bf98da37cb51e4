"""Live logs of Fly.io applications, on trio.

    sources (NATS, the drain) → parsing → hub and backlog → framing → web
                       └─► collector: lines by machine, for programs

The names below are the library; importing it loads nothing else. `open_hub` is the
broadcast by itself, `natstream serve` the whole. How the rooms hang together is told in
docs/architecture.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natstream.client.client import open_log_stream
    from natstream.client.receiver import EntryReceiver
    from natstream.drain.collector import LineReceiver, LogCollector, LogStream, drain_channel
    from natstream.drain.server import DrainLimits, LogDrainServer
    from natstream.entries.entry import Gap, LogEntry, Notice
    from natstream.entries.filters import Filter
    from natstream.entries.fly import parse_log_entry, parse_ndjson
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
    from natstream.hub.hub import Hub, open_hub

# Each name's home, loaded when the name is first asked for: a program that reads a drain needs
# no web framework, and `natstream --help` none of it.
_HOMES = {
    "BadBody": "errors",
    "BadQuery": "errors",
    "ConfigurationError": "errors",
    "DrainLimits": "drain.server",
    "EntryReceiver": "client.receiver",
    "Filter": "entries.filters",
    "Gap": "entries.entry",
    "Hub": "hub.hub",
    "LineReceiver": "drain.collector",
    "ListenError": "errors",
    "LogCollector": "drain.collector",
    "LogDrainServer": "drain.server",
    "LogEntry": "entries.entry",
    "LogStream": "drain.collector",
    "NatstreamError": "errors",
    "Notice": "entries.entry",
    "SourceDenied": "errors",
    "SourceError": "errors",
    "SourceUnavailable": "errors",
    "TooManyReaders": "errors",
    "drain_channel": "drain.collector",
    "open_hub": "hub.hub",
    "open_log_stream": "client.client",
    "parse_log_entry": "entries.fly",
    "parse_ndjson": "entries.fly",
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
