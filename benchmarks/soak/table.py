"""The faults by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.soak.closing import closing
from benchmarks.soak.crashes import crashes
from benchmarks.soak.cuts import cuts
from benchmarks.soak.findings import Findings, Soak
from benchmarks.soak.hostile import hostile
from benchmarks.soak.outage import outage
from benchmarks.soak.senders import senders
from benchmarks.soak.stall import stall
from benchmarks.soak.vanish import vanish

__all__ = ["FAULTS"]

FAULTS: dict[str, Callable[[Soak], Awaitable[Findings]]] = {
    fault.__name__: fault
    for fault in (vanish, stall, hostile, outage, cuts, senders, closing, crashes)
}
