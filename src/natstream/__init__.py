"""Live logs of Fly.io applications, on trio.

    sources (NATS, the drain) → entries → hub and backlog → formats → web
                       └─► collector: lines by machine, for programs

The names below are the library. Importing natstream loads none of their modules: a name's module
is loaded when a program first asks for the name, so that a program that reads a drain needs no
HTTP client, and `natstream --help` needs nothing at all. `open_hub` is the broadcast by itself,
`natstream serve` the whole service. docs/architecture.md tells how the packages fit together.
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
    from natstream.hub.batch import Selection
    from natstream.hub.hub import Hub, open_hub
    from natstream.hub.subscription import Subscription

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
    "Selection",
    "SourceDenied",
    "SourceError",
    "SourceUnavailable",
    "Subscription",
    "TooManyReaders",
    "drain_channel",
    "open_hub",
    "open_log_stream",
    "parse_log_entry",
    "parse_ndjson",
]

# The modules that export these names. `__getattr__` loads them in this order until one has the
# name. Each imports the modules before it anyway, or is small, so little is loaded in vain.
_HOMES = (
    "errors",
    "entries.entry",
    "entries.filters",
    "entries.fly",
    "drain.collector",
    "hub.batch",
    "hub.subscription",
    "hub.hub",
    "drain.server",
    "client.receiver",
    "client.client",
)


if not TYPE_CHECKING:  # a type checker would believe that every name exists

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for home in _HOMES:
                module = import_module(f"natstream.{home}")
                if name in module.__all__:
                    value = globals()[name] = getattr(module, name)
                    return value
        raise AttributeError(f"module 'natstream' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
