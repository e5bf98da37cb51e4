"""What the process itself needs before it serves thousands: files, few collections, short turns.

In: the settings. Out: a process that may open enough files, the number of connections that each
listener may hold, and warnings for the operator.
"""

from __future__ import annotations

import gc
import resource
import sys

import attrs

from natstream.config.diagnostics import SHORTEST_TOKEN, check_sharing, short_tokens
from natstream.config.settings import Settings

__all__ = [
    "Shares",
    "prepare_process",
    "settle_collector",
    "share_files",
    "tune_process",
]

# Connections to the page that are not readers: page loads, health checks, polls, and clients that
# learn that there are too many readers. Far fewer than 300 of them are open at one time.
SPARE_CONNECTIONS = 300
# Files beside the page's connections: drain senders (900 at most), metrics (50), connections to
# NATS and the journal, connections that are refused, and the files of the runtime itself.
OTHER_FILES = 1_200

# Entries and batches form no reference cycles, so collections find nothing among young objects.
# With Python's defaults they come after every 700 allocations and delay every reader.
GC_THRESHOLD = (50_000, 20, 50)

# Seconds for which a thread may keep the interpreter while another one waits for it. A large body
# of the drain is parsed in a thread, and each send to a reader gives that thread a turn, so that
# turns of Python's 5 ms add up. During a body of unreadable lines, 200 readers were up to 215 ms
# late with 5 ms and up to 56 ms with 1 ms; the answer took about as long. Without a second thread,
# this changes nothing.
SWITCH_INTERVAL = 0.001


def settle_collector() -> None:
    """Let the garbage collector pass over the objects that live as long as the process.

    It is called after the start, when all modules are imported. A full collection would otherwise
    take 30 ms, in which no reader gets a line.
    """
    gc.collect()
    gc.freeze()


def prepare_process(settings: Settings) -> list[str]:
    """Tune this process for the settings; return warnings for the operator, one sentence each."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    warnings = [tune_process(settings.max_readers)]
    if not settings.tokens:
        warnings.append(
            "NATSTREAM_TOKEN is not set: every client that reaches this address can read the logs."
        )
    warnings += [
        f"{variable} holds a token of fewer than {SHORTEST_TOKEN} characters, which can be "
        "guessed: make one with `openssl rand -hex 24`."
        for variable, _ in short_tokens(settings)
    ]
    warnings += [f"{finding.text}." for finding in check_sharing(settings)]
    return [warning for warning in warnings if warning]


@attrs.frozen
class Shares:
    """How many connections each listener may hold."""

    page: int
    drain: int
    metrics: int


def share_files(settings: Settings) -> Shares:
    """Return shares of the files that this process may open, so that some files always remain.

    A process without a free file could not accept a connection at any port, not even to refuse it.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 30
    return Shares(
        page=min(settings.max_readers + SPARE_CONNECTIONS, max(files - OTHER_FILES, files // 2)),
        drain=min(900, files // 4),
        metrics=min(50, files // 10),
    )


def tune_process(max_readers: int) -> str | None:
    """Raise the limit of open files as far as `max_readers` needs, and tune the garbage collector.

    Returns:
        A warning for the operator, if the hard limit is too low for `max_readers`.
    """
    gc.set_threshold(*GC_THRESHOLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_readers + SPARE_CONNECTIONS + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return (
            f"This process may open only {hard:,} files, and NATSTREAM_MAX_READERS is "
            f"{max_readers:,}: raise the limit (ulimit -n {wanted}), or lower the setting."
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return None
