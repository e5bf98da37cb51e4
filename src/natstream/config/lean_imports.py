"""A smaller import for the service: libraries that others import, and natstream does not need.

In: nothing. Out: a process in which some imports fail, as if the library was not installed, and in
which some modules are loaded when they are first used. Both are for `natstream serve` alone,
because a program that imports natstream may use all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import cast

__all__ = ["SELDOM_USED", "UNUSED_LIBRARIES", "import_less"]

# Some libraries import these if they are installed: nats-py for addresses with `ws://`, and httpx
# for its command line. natstream uses none of that, and aiohttp alone would take a tenth of the
# start, and 7 MB.
UNUSED_LIBRARIES = ("aiohttp", "pygments")

# These are imported always, and used only for what the comment says. Together they would take
# 25 ms of the start, and 4.5 MB.
SELDOM_USED = {
    "asyncio.sslproto",  # NATS over TLS
    "greenlet",  # trio-asyncio: an asyncio loop without trio.run
    "h2.connection",  # hypercorn: HTTP/2, which natstream does not offer
    "html",  # http.server: error pages
    "idna",  # trio: names of hosts that are not ASCII
    "logging.handlers",  # logging.config: a configuration by socket
    "msgspec.inspect",  # a description of types
    "nats.js",  # JetStream, for the journal
    "pdb",  # click.testing
    "structlog.threadlocal",  # contexts of threads
}


class _LazyFinder:
    """Finds the modules of `SELDOM_USED`, and has them loaded when an attribute is first read."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in SELDOM_USED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_less() -> None:
    """Let imports of `UNUSED_LIBRARIES` fail, and load the modules of `SELDOM_USED` at first use.

    It must come before the libraries are imported.
    """
    for name in UNUSED_LIBRARIES:
        sys.modules.setdefault(name, cast(ModuleType, None))
    sys.meta_path.insert(0, _LazyFinder)
