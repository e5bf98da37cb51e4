"""All watches of a process, and the test message of one.

In: the watches of the file. Out: their states, and messages. One task runs all of them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

import trio

from natstream.hub.budget import Budgets
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.watches.bodies import body
from natstream.watches.claims import Claims
from natstream.watches.file import Watch
from natstream.watches.report import Report
from natstream.watches.senders import Outcome, open_sender
from natstream.watches.sight import Sight
from natstream.watches.status import WatchStatus
from natstream.watches.watcher import Watcher

__all__ = ["Watches", "send_test"]


class Watches:
    """Runs the watches.

    Args:
        watches: the watches of the file.
        hub: hands out the lines.
        sight: tells whether lines would come if there were any.
        status: the status of the task.
        public_url: the address of the page, for links; empty if it is not known.
        claims: what processes that share a journal know of each other; `None` without one.
    """

    def __init__(
        self,
        watches: Sequence[Watch],
        hub: Hub,
        sight: Sight,
        status: SourceStatus,
        *,
        public_url: str,
        claims: Claims | None = None,
    ) -> None:
        self._status = status
        # The readers of the page have accounts of their own, so that no watch uses up theirs.
        budgets = Budgets(hub.loop_delay)
        owner = secrets.token_hex(8)
        self._watchers = [
            Watcher(
                watch,
                hub,
                budgets=budgets,
                sight=sight,
                public_url=public_url,
                claims=claims,
                owner=owner,
            )
            for watch in watches
        ]

    @property
    def statuses(self) -> Sequence[WatchStatus]:
        """The state of each watch, in the order of the file."""
        return [watcher.status for watcher in self._watchers]

    async def run(self) -> None:
        """Watch until the hub is closed."""
        self._status.change(SourceState.UP, "The watches look at the lines")
        async with open_sender() as send, trio.open_nursery() as nursery:
            for watcher in self._watchers:
                nursery.start_soon(watcher.run, send)


async def send_test(watch: Watch, public_url: str) -> Outcome:
    """Send one message that is marked as a test, and return how that went."""
    report = Report(
        watch=watch.name, query=watch.query, kind="test", at_ms=time.time_ns() // 1_000_000
    )
    async with open_sender() as send:
        return await send(watch.receiver.url, body(watch.receiver.kind, report, public_url))
