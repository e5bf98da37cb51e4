"""Delivers the messages of one watch: one after the other, again until the receiver takes them.

In: firings, each with its report. Out: requests, one at a time. A message that fails is tried again
with backoff for ten minutes. If processes share a journal, one of them sends a message: it claims
the message first (see `claims`), and shows every few seconds that it lives. If it dies, another
process sends the message. So a message is sent twice only if its process died during the request,
or if the journal does not answer, because an alarm twice is better than none.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable

import attrs
import msgspec
import structlog
import trio

from natstream.errors import SourceDenied, SourceError
from natstream.watches.bodies import body
from natstream.watches.claiming import Claim, Taken
from natstream.watches.claims import ClaimRecord, Claims, Slot, decode_record, is_told, key_of
from natstream.watches.file import Watch
from natstream.watches.report import Report
from natstream.watches.senders import Send
from natstream.watches.status import WatchStatus

__all__ = ["Delivery", "Firing", "Unsaid"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("natstream")

# Seconds for which a message is tried again; later it is no news. The pauses begin with
# `FIRST_DELAY` and double.
TRY_FOR = 600.0
FIRST_DELAY = 1.0
# Messages that wait behind one that is tried again. Each stands for a cooldown, so that these are
# the messages of some minutes.
MAX_WAITING = 5
# A process that sends shows that it lives: every BEAT s, and before and after each request. A
# request takes 10 s at most, and the journal's answer 3 s. A process whose record stands still for
# LEASE s has died.
BEAT, LEASE = 5.0, 15.0
# Seconds between two looks at another process's record.
LOOK_AGAIN = 1.0
# Seconds to wait for the journal before a message is sent without a claim. A cluster that elects a
# leader is back much sooner.
PATIENCE = 20.0
# Seconds by which a process that started later than the others lets them go first, because their
# counts are complete.
GO_FIRST = 2.0


@attrs.define
class Unsaid:
    """Losses of a watch, which its next message tells."""

    missed: int = 0
    """Lines that the watch did not see."""
    missed_more: bool = False
    """Whether there were more, which could not be counted."""
    undelivered: int = 0
    """Messages that could not be delivered."""

    def added_to(self, report: Report) -> Report:
        """Return the report with these losses."""
        return msgspec.structs.replace(report, **attrs.asdict(self))

    def said(self, report: Report) -> None:
        """Forget the losses that a delivered report has told."""
        self.missed -= report.missed
        self.undelivered -= report.undelivered
        self.missed_more = self.missed_more and not report.missed_more


@attrs.define(eq=False)
class Firing:
    """One time that the watch fired, until its message is delivered."""

    report: Callable[[], Report]
    """Return the report, as far as it is known by now."""
    ready_at: float
    """The time on trio's clock from which the report is complete."""
    on_lost: Callable[[], None]
    """Called if the message is not delivered."""
    on_told: Callable[[ClaimRecord], None]
    """Called with the record of another process that makes the message superfluous."""
    is_late: bool = False
    """Whether other processes may know of more lines, so that they should send first."""


Keep = Callable[[], Awaitable[None]]


async def _keep_nothing() -> None:
    await trio.lowlevel.checkpoint()


class Delivery:
    """The messages of one watch, on their way to its receiver.

    Args:
        watch: the watch.
        status: is kept up to date.
        public_url: the address of the page, for links.
        claims: what processes share; `None` without a journal.
        owner: the name of this process.
        on_record: called at the start with the last message of the watch, if there is one.
    """

    def __init__(
        self,
        watch: Watch,
        status: WatchStatus,
        *,
        public_url: str,
        claims: Claims | None,
        owner: str,
        on_record: Callable[[ClaimRecord], None],
    ) -> None:
        self._watch, self._status = watch, status
        self._public_url, self._claims, self._owner = public_url, claims, owner
        self._on_record = on_record
        self._key = key_of(watch)
        self._cooldown_ms = watch.cooldown * 1000
        self._waiting: deque[Firing] = deque()
        self._current: Firing | None = None
        self._work = trio.Event()
        self._closing = trio.Event()
        self._was_alone = False
        """Whether the last message was sent without a claim, so that the record is older."""
        self._finished: tuple[str, int] | None = None
        """The kind and the time of the last message that was delivered or given up."""
        self.unsaid: Unsaid = Unsaid()

    def put(self, firing: Firing) -> None:
        """Accept a firing; if too many wait, the oldest is lost, and counted."""
        self._waiting.append(firing)
        if len(self._waiting) > MAX_WAITING:
            self._lose(self._waiting.popleft(), "too many messages wait behind another one")
        self._work.set()

    def close(self) -> None:
        """Let each message that waits be tried once, and `run` end then."""
        self._closing.set()
        self._work.set()

    async def run(self, send: Send) -> None:
        """Deliver messages until `close` is called."""
        try:
            await self._run(send)
        finally:
            unfinished, self._current = len(self._waiting) + (self._current is not None), None
            if unfinished:
                name = self._watch.name
                log.warning("messages were not delivered in time", watch=name, number=unfinished)

    async def _run(self, send: Send) -> None:
        if self._claims is not None:
            await self._settle(self._claims, send, None)
        while True:
            while not self._waiting:
                if self._closing.is_set():
                    return
                await self._work.wait()
                self._work = trio.Event()
            firing = self._current = self._waiting.popleft()
            if self._claims is not None:
                await self._settle(self._claims, send, firing)
            else:
                await self._pause(firing.ready_at - trio.current_time(), _keep_nothing)
                await self._deliver(send, self.unsaid.added_to(firing.report()), firing)
            self._current = None

    # --- sending -------------------------------------------------------------------------

    async def _deliver(
        self,
        send: Send,
        report: Report,
        firing: Firing | None,
        keep: Keep = _keep_nothing,
    ) -> bool:
        """Send a report until the receiver takes it, and return whether it has.

        Args:
            send: see `senders`.
            report: the report.
            firing: where the report is from; `None` if it is another process's.
            keep: called before and after each request, and in pauses every few seconds. It raises
                `Taken` if another process has claimed the message.
        """
        message = body(self._watch.receiver.kind, report, self._public_url)
        deadline, delay = trio.current_time() + TRY_FOR, FIRST_DELAY
        kind, name = self._watch.receiver.kind, self._watch.name
        while True:
            await keep()
            outcome = await send(self._watch.receiver.url, message)
            if not outcome.problem:
                self._status.tell("")
                self._status.sent += 1
                if firing is not None:
                    self.unsaid.said(report)
                return True
            left = deadline - trio.current_time()
            if not outcome.may_pass or left <= 0 or self._closing.is_set():
                self._lose(firing, outcome.problem)
                return False
            problem = f"message to {kind} is not delivered, and is tried again: {outcome.problem}"
            self._status.tell(f"The {problem}")
            if delay == FIRST_DELAY:
                log.warning(f"a {problem}", watch=name)
            await keep()
            wait = max(outcome.retry_after, delay * random.uniform(0.5, 1.0))
            await self._pause(min(wait, left), keep)
            delay *= 2

    async def _pause(self, seconds: float, keep: Keep) -> None:
        """Wait, and call `keep` from time to time; stop at the start of the closing."""
        until = trio.current_time() + seconds
        while not self._closing.is_set() and (left := until - trio.current_time()) > 0:
            with trio.move_on_after(min(left, BEAT)):
                await self._closing.wait()
            if left > BEAT:
                await keep()

    def _lose(self, firing: Firing | None, problem: str) -> None:
        """Count a message that is not delivered; the next one tells of it."""
        kind = self._watch.receiver.kind
        self._status.failed += 1
        self._status.tell(f"The last message to {kind} was not delivered: {problem}")
        self.unsaid.undelivered += 1
        log.warning(f"a message to {kind} was not delivered: {problem}", watch=self._watch.name)
        if firing is not None:
            firing.on_lost()

    # --- one of several processes --------------------------------------------------------

    async def _settle(self, claims: Claims, send: Send, firing: Firing | None) -> None:
        """See to it that one process sends the message.

        Args:
            claims: what the processes share.
            send: see `senders`.
            firing: the firing; `None` at the start, when only the message of a process that has
                died may have to be sent.
        """
        if firing is not None and firing.is_late:
            await self._pause(GO_FIRST, _keep_nothing)
        started = trio.current_time()
        seen, seen_at = 0, started
        while True:
            try:
                slot = await claims.read(self._watch.name)
                record = decode_record(slot.content) if slot.content else None
                if record is not None and self._is_under_way(record, firing):
                    if slot.number != seen:
                        seen, seen_at = slot.number, trio.current_time()
                    is_alive = trio.current_time() < seen_at + LEASE
                    if record.owner != self._owner and is_alive:
                        if self._closing.is_set():
                            return  # The other process, or the next one, sends both messages.
                        await self._pause(LOOK_AGAIN, _keep_nothing)
                    else:
                        await self._take_over(claims, send, slot, record)
                    started = trio.current_time()
                    continue
                if record is not None and record.key != self._key:
                    record = None  # It is of a watch that had this name before.
                if firing is None:
                    if record is not None:
                        self._on_record(record)
                    return
                report = firing.report()
                if record is not None and self._is_told(report, record):
                    firing.on_told(record)
                    return
                claim = Claim(claims, self._watch.name, self._key, self._owner, report)
                if not await claim.begin(slot.number):
                    continue
            except SourceError as error:
                is_over = trio.current_time() >= started + PATIENCE or self._closing.is_set()
                if is_over or isinstance(error, SourceDenied):
                    if firing is not None:
                        await self._send_alone(send, firing)
                    return
                await self._pause(LOOK_AGAIN, _keep_nothing)
                continue
            await self._send_claimed(send, claim, firing)
            return

    def _is_under_way(self, record: ClaimRecord, firing: Firing | None) -> bool:
        """Return whether the record's message still has to be sent, and is not the firing's own."""
        name = (record.report.kind, record.report.at_ms)
        if record.done or (record.owner == self._owner and name == self._finished):
            return False
        return not self._is_own(record, firing)

    def _is_own(self, record: ClaimRecord, firing: Firing | None) -> bool:
        """Return whether the record is this process's claim to the message of the firing.

        That is so if the answer to the claim was lost.
        """
        if firing is None or record.owner != self._owner or record.done:
            return False
        report = firing.report()
        return (record.report.kind, record.report.at_ms) == (report.kind, report.at_ms)

    def _is_told(self, report: Report, record: ClaimRecord) -> bool:
        """Return whether the record's message makes the report superfluous."""
        is_claim = record.owner == self._owner and not record.done
        return not (is_claim or self._was_alone) and is_told(report, record, self._cooldown_ms)

    async def _take_over(self, claims: Claims, send: Send, slot: Slot, record: ClaimRecord) -> None:
        """Send the message of a process that has died."""
        claim = Claim(claims, self._watch.name, record.key, self._owner, record.report)
        if await claim.begin(slot.number):
            await self._send_claimed(send, claim, None)

    async def _send_claimed(self, send: Send, claim: Claim, firing: Firing | None) -> None:
        try:
            if firing is not None:
                await self._pause(firing.ready_at - trio.current_time(), claim.keep)
                claim.report = self.unsaid.added_to(firing.report())
            is_delivered = await self._deliver(send, claim.report, firing, claim.keep)
        except Taken:
            self._status.tell("")  # It is the other process that tries again.
            return
        self._finished = claim.report.kind, claim.report.at_ms
        if not is_delivered and self._closing.is_set():
            return  # Another process takes the message over.
        self._was_alone = False
        deadline = trio.current_time() + LEASE
        while trio.current_time() < deadline:
            try:
                await claim.finish()
            except SourceError:
                await self._pause(LOOK_AGAIN, _keep_nothing)
            else:
                return
            if self._closing.is_set():
                return

    async def _send_alone(self, send: Send, firing: Firing) -> None:
        """Send without a claim, because the journal does not answer."""
        await self._pause(firing.ready_at - trio.current_time(), _keep_nothing)
        report = msgspec.structs.replace(self.unsaid.added_to(firing.report()), alone=True)
        self._was_alone = True
        await self._deliver(send, report, firing)
