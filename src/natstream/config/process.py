"""What the process itself needs before it serves thousands: open files, and a calmer collector."""

from __future__ import annotations

import gc
import resource

import attrs

from natstream.config.diagnostics import check_sharing
from natstream.config.settings import Settings

__all__ = ["Shares", "prepare_process", "share_files", "tune_process"]

# Beside the page's connections: drain senders, metrics, those who are told that there are too many,
# sources, files, and what the runtime itself has open.
OTHER_FILES = 1_200
# Connections to the page that are no readers.
SPARE_CONNECTIONS = 300

# Entries and batches hold no cycles, so nothing is found among the youngest objects; looking at
# them every 700 allocations, and at all of them now and then, holds up everybody.
GC_THRESHOLD = (50_000, 20, 50)


def prepare_process(settings: Settings) -> list[str]:
    """Tune this process for what is set; warnings for the operator, one sentence each."""
    warnings = [tune_process(settings.max_readers, settings.max_connections)]
    if not settings.tokens:
        warnings.append(
            "NATSTREAM_TOKEN is not set: whoever reaches this address can read the logs."
        )
    warnings += [f"{finding.text}." for finding in check_sharing(settings)]
    return [warning for warning in warnings if warning]


@attrs.frozen
class Shares:
    """How many connections each listener may hold."""

    page: int
    drain: int
    metrics: int


def share_files(settings: Settings) -> Shares:
    """Divide the files that this process may open: at none of the limits is one missing.

    Without a file left, nobody is let in or told anything, at any port.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 30
    wanted = settings.max_connections or settings.max_readers + SPARE_CONNECTIONS
    return Shares(
        page=min(wanted, max(files - OTHER_FILES, files // 2)),
        drain=min(900, files // 4),
        metrics=min(50, files // 10),
    )


def tune_process(max_readers: int, max_connections: int | None = None) -> str | None:
    """Raise the limit of open files to the hard limit's, and tune the garbage collector.

    Returns:
        A warning for the operator, if `max_readers` or `max_connections` will not fit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = max_connections or max_readers + SPARE_CONNECTIONS
    wanted = max(max_readers, connections) + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        variable, value = "NATSTREAM_MAX_READERS", max_readers
        if max_connections and max_connections >= max_readers:
            variable, value = "NATSTREAM_MAX_CONNECTIONS", max_connections
        return (
            f"This process may open {hard:,} files, and {variable} is {value:,}: "
            f"raise the limit (ulimit -n {wanted}), or lower the setting."
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return None
