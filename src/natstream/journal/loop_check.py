"""Looking for a stream that publishes the journal's lines where natstream reads them.

In: a connection, and the subjects that are read. Out: a `JournalDenied` if such a stream exists,
because natstream would store each line again and again. The user may lack the permission to list
streams. Then the server ends the connection, and `is_denied` tells that reason from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natstream.journal.jetstream import JetStream
from natstream.journal.stream_config import loop

__all__ = ["check_for_loop", "is_denied"]

# The most streams of an account that are looked at. The server sends 256 of them at once.
MOST_STREAMS = 5_000


async def check_for_loop(jetstream: JetStream, read_subjects: Sequence[str]) -> None:
    """Look at the journal's stream, and at the streams that copy from it.

    Raises:
        JournalUnavailable: the server does not answer.
        JournalDenied: one of them publishes to a subject that natstream reads.
    """
    configs: list[dict[str, Any]] = []
    while len(configs) < MOST_STREAMS:
        answer = await jetstream.request("STREAM.LIST", {"offset": len(configs)})
        page = answer.get("streams") or []
        configs += [stream["config"] for stream in page]
        if not page or len(configs) >= answer.get("total", 0):
            break
    if reason := loop(jetstream.name, configs, read_subjects):
        raise jetstream.unfit(reason)


def is_denied(jetstream: JetStream) -> bool:
    """Return whether the connection has ended because the user may not list streams."""
    if jetstream.connection.end is None:
        return False
    failure = jetstream.connection.failure()
    return failure.kind == "forbidden" and failure.words.upper() == "$JS.API.STREAM.LIST"
