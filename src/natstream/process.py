"""What the process itself needs before it serves thousands: open files, and a calmer collector."""

from __future__ import annotations

import gc
import resource

from natstream.findings import check_sharing
from natstream.settings import Settings

__all__ = ["prepare_process", "tune_process"]

# Beside the readers: sources, drain senders, files, and what the runtime itself has open.
SPARE_FILES = 1_500

# Entries and batches hold no cycles, so nothing is found among the youngest objects; looking at
# them every 700 allocations, and at all of them now and then, holds up everybody.
GC_THRESHOLD = (50_000, 20, 50)


def prepare_process(settings: Settings) -> list[str]:
    """Tune this process for what is set; warnings for the operator, one sentence each."""
    warnings = [tune_process(settings.max_readers)]
    if not settings.tokens:
        warnings.append(
            "NATSTREAM_TOKEN is not set: whoever reaches this address can read the logs."
        )
    warnings += [f"{finding.text}." for finding in check_sharing(settings)]
    return [warning for warning in warnings if warning]


def tune_process(max_readers: int) -> str | None:
    """Raise the limit of open files to the hard limit's, and tune the garbage collector.

    Returns:
        A warning for the operator, if `max_readers` will not fit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_readers + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return (
            f"This process may open {hard:,} files, and NATSTREAM_MAX_READERS is {max_readers:,}: "
            f"raise the limit (ulimit -n {wanted}), or lower the setting."
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return None
