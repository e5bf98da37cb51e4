"""Budgets of CPU time for filters: of a reader, of all readers of a holder, and of the process.

A filter looks at messages in turns of some milliseconds. A reader whose budget is used up shares
one queue with all such readers, so that other tasks run after each turn, however many such readers
there are. While the event loop is late, the readers in the queue wait until their budgets have
been refilled. A reader that had to wait for too long gets an error. On trio; no sockets.

The time is the thread's CPU time, because other processes of the machine do not count. The work of
a scope counts for the process alone, because a reader must not learn from its own pace what lines
its scope hides.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import attrs
import trio

from natstream.entries.selecting import Selecting
from natstream.errors import ExpressionTooSlow
from natstream.hub.loop_delay import LoopDelay

__all__ = ["Budgets", "ReaderBudget", "TurnIsOver"]

# Seconds of CPU time in one turn. All other tasks wait for so long, perhaps several times.
TURN = 0.002

# Seconds of CPU time for each second, and at most at once. An ordinary expression needs 0.01 at
# 5,000 lines/s, and a thousand readers of one proxy with a text each need 0.3 at 200 lines/s. A
# reader may use up its own budget in two turns.
READER = (0.05, 0.004)
HOLDER = (0.4, 0.1)
PROCESS = (0.5, 0.1)

# Holders whose budgets are remembered after their last reader has left, so that a new request is
# no new budget. Each takes 300 bytes.
MAX_HOLDERS = 10_000

# Seconds after which a reader that waits looks again: at least, and at most, because the event loop
# may be in time again.
LOOK_SOON, LOOK_AGAIN = 0.01, 0.1
# Seconds that a reader may have to wait, with pauses of at most FORGIVEN seconds. It then has had
# half a second of CPU time, and is still behind.
MAX_WAIT = 10.0
FORGIVEN = 2.0


class TurnIsOver(Exception):
    """A filter needs more turns for a batch; the reader has not moved."""


class Account:
    """CPU time that may be spent; refilled at a rate, and overdrawn by a second of that at most."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._balance = burst
        self._updated = trio.current_time()

    def spend(self, seconds: float, now: float) -> None:
        self._refill(now)
        self._balance = max(-self._rate, self._balance - seconds)

    def wait(self, now: float) -> float:
        """Return the seconds until it is not overdrawn."""
        self._refill(now)
        return max(0.0, -self._balance / self._rate)

    def _refill(self, now: float) -> None:
        self._balance = min(self._burst, self._balance + (now - self._updated) * self._rate)
        self._updated = now


class Budgets:
    """The budgets of a hub's readers.

    Args:
        delay: of the event loop. While nothing measures it, no reader has to wait.
    """

    def __init__(self, delay: LoopDelay) -> None:
        self.delay: LoopDelay = delay
        self.queue: trio.Lock = trio.Lock()
        """Held for a moment before each turn of a reader whose budget is used up."""
        self._process: Account | None = None
        self._holders: OrderedDict[Hashable, Account] = OrderedDict()

    @property
    def process(self) -> Account:
        """The account of all filters together."""
        if self._process is None:  # A hub may be made before trio runs.
            self._process = Account(*PROCESS)
        return self._process

    def reader(self, holder: Hashable = "") -> ReaderBudget:
        """Return the budget of one more reader.

        Args:
            holder: a link or an address, whose readers have a budget together.
        """
        account = self._holders.get(holder)
        if account is None:
            account = self._holders[holder] = Account(*HOLDER)
        self._holders.move_to_end(holder)
        if len(self._holders) > MAX_HOLDERS:
            self._holders.popitem(last=False)
        return ReaderBudget(self, (Account(*READER), account), holder)


@attrs.define(eq=False)
class ReaderBudget:
    """The budget of one reader, or of one request that searches.

    Args:
        budgets: those of the process.
        accounts: the reader's own, and its holder's.
        holder: the link or the address, whose readers share an account.
    """

    budgets: Budgets
    accounts: tuple[Account, Account]
    holder: Hashable
    _parameter: str = attrs.field(default="q", init=False)
    _waited: float = attrs.field(default=0.0, init=False)
    _waited_at: float = attrs.field(default=0.0, init=False)

    def run(self, selecting: Selecting, *, is_scope: bool = False) -> bool:
        """Go on with a selection for one turn, and return whether it is done."""
        before = selecting.seconds
        is_done = selecting.advance(TURN)
        if not is_scope:
            self._parameter = selecting.parameter
        self._spend(selecting.seconds - before, is_scope)
        return is_done

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the CPU time of the block, which does not wait."""
        started = time.thread_time()
        try:
            yield
        finally:
            self._spend(time.thread_time() - started, is_scope=False)

    def _spend(self, seconds: float, is_scope: bool) -> None:
        now = trio.current_time()
        self.budgets.process.spend(seconds, now)
        if not is_scope:
            for account in self.accounts:
                account.spend(seconds, now)

    @property
    def is_used_up(self) -> bool:
        """Whether the reader should `wait` before its next turn."""
        return self._owed() > 0

    def _owed(self) -> float:
        now = trio.current_time()
        owed = self.accounts[0].wait(now)
        # A reader within its own budget pays for the others only while they delay all.
        if self.budgets.delay.is_late:
            owed = max(owed, self.accounts[1].wait(now), self.budgets.process.wait(now))
        return owed

    async def wait(self) -> None:
        """Wait for the next turn; always a checkpoint.

        Raises:
            ExpressionTooSlow: the reader had to wait for too long, because of its own filter.
        """
        while self.budgets.delay.is_late and (owed := self._owed()) > 0:
            await self._sleep(min(max(owed, LOOK_SOON), LOOK_AGAIN))
        # Each turn of a reader in the queue is in another round of the event loop.
        async with self.budgets.queue:
            pass

    async def _sleep(self, seconds: float) -> None:
        now = trio.current_time()
        if now - self._waited_at > FORGIVEN:
            self._waited = 0.0
        if self._waited > MAX_WAIT:
            self._waited = 0.0
            raise ExpressionTooSlow.of(self._parameter)
        is_own = self.accounts[0].wait(now) > 0
        await trio.sleep(seconds)
        self._waited_at = trio.current_time()
        if is_own:
            self._waited += self._waited_at - now
