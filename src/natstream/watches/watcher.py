"""One watch: reads the lines that match, and fires.

In: the hub's new lines, and the state of the sources. Out: firings for the `Delivery`. The watch is
a reader of the hub like any other, with its own place and its own CPU time, so that a slow regular
expression delays nothing but this watch. Lines that it could not see are counted, and told in the
next message. Lines of the past, which Fly's logs interface brings, never fire.
"""

from __future__ import annotations

import time
from functools import partial

import trio

from natstream.entries.entry import Gap, Notice
from natstream.errors import ExpressionTooSlow, JournalClosed
from natstream.formats.events import write_event_id
from natstream.hub.batch import Selection
from natstream.hub.budget import Budgets
from natstream.hub.hub import Hub
from natstream.watches.absence import Absence
from natstream.watches.claims import ClaimRecord, Claims
from natstream.watches.delivery import Delivery, Firing
from natstream.watches.file import Watch
from natstream.watches.report import Kind, Report, reported
from natstream.watches.senders import Send
from natstream.watches.sight import Sight
from natstream.watches.status import Fired, WatchStatus
from natstream.watches.tally import COLLECT_MS, Burst, MatchedLine, Tally

__all__ = ["Watcher"]

# Seconds after the end of a burst in which its last lines reach this watch: the hub hands lines out
# within a fifth of a second.
HANDED_OUT = 0.3
# Seconds between two looks at the clock, or a tenth of the absence if that is less.
LOOK = 1.0
# Seconds for the messages that wait when the service closes.
CLOSING = 2.0


class Watcher:
    """Runs one watch.

    Args:
        watch: the watch.
        hub: hands out the lines.
        budgets: the CPU time of the filters of all watches.
        sight: tells whether lines would come if there were any.
        public_url: the address of the page, for links.
        claims: what processes share; `None` without a journal.
        owner: the name of this process.
    """

    def __init__(
        self,
        watch: Watch,
        hub: Hub,
        *,
        budgets: Budgets,
        sight: Sight,
        public_url: str,
        claims: Claims | None,
        owner: str,
    ) -> None:
        self._watch, self._hub, self._budgets, self._sight = watch, hub, budgets, sight
        self.status: WatchStatus = WatchStatus(watch.name, watch.query)
        self._delivery = Delivery(
            watch,
            self.status,
            public_url=public_url,
            claims=claims,
            owner=owner,
            on_record=self._adopt,
        )
        self._tally = Tally(
            count=watch.count,
            within_ms=round(watch.within * 1000),
            cooldown_ms=round(watch.cooldown * 1000),
            keep=watch.lines,
        )
        self._absence: Absence | None = None
        self._joined_ms = time.time_ns() // 1_000_000
        self._is_late = False
        """Whether another process has told of lines that this one may not have seen."""

    async def run(self, send: Send) -> None:
        """Watch until the hub is closed, and deliver the messages that wait then."""
        await self._hub.wait_opened()
        if self._watch.absent is not None and self._absence is None:
            self._absence = Absence(self._watch.absent, trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._delivery.run, send)
            async with trio.open_nursery() as looking:
                if self._absence is not None:
                    looking.start_soon(self._look_for_absence, self._absence)
                await self._read()
                looking.cancel_scope.cancel()
            nursery.cancel_scope.deadline = trio.current_time() + CLOSING
            self._delivery.close()

    # --- lines ---------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read the lines that come from now on, until the hub is closed."""
        while True:
            budget = self._budgets.reader()
            with self._hub.subscribe(self._watch.filter, budget=budget, counted=False) as reader:
                try:
                    async for item in reader:
                        if isinstance(item, Gap):
                            self._miss(item)
                        else:
                            self._see(item)
                except JournalClosed:
                    return
                except ExpressionTooSlow:
                    self._miss(Gap(missed=reader.lag, since=None))
                else:
                    return

    def _miss(self, gap: Gap) -> None:
        unsaid = self._delivery.unsaid
        if gap.missed is None:
            unsaid.missed_more = True
        else:
            unsaid.missed += gap.missed
            self.status.missed += gap.missed

    def _see(self, selection: Selection) -> None:
        for notice in selection.notices:
            self._hear(notice)
        batch = selection.batch
        for index in selection.indices:
            entry, arrived_ms = batch.entries[index], batch.arrivals[index]
            if entry.source == "fly":
                if self._absence is not None:
                    self._absence.note(trio.current_time())
            elif self._absence is None and self._tally.suppress(arrived_ms):
                self.status.suppressed += 1
            else:
                number = batch.number(index)
                event_id = write_event_id(arrived_ms, batch.epoch, number)
                self._match(MatchedLine(event_id, arrived_ms, entry))

    def _hear(self, notice: Notice) -> None:
        """Count the lines that a source has lost."""
        if notice.gap is not None:
            self._miss(notice.gap)

    def _match(self, line: MatchedLine) -> None:
        if self._absence is not None:
            silent = self._absence.match(trio.current_time())
            if silent is not None:
                self.status.state = "watching"
                self._fire("back", silent, line)
            return
        suppressed = self._tally.suppressed
        if (burst := self._tally.add(line)) is not None:
            self._fire_burst(burst)
        elif self._tally.suppressed > suppressed:
            self.status.suppressed += 1

    # --- firing --------------------------------------------------------------------------

    def _fire_burst(self, burst: Burst) -> None:
        fired = Fired("matched", burst.at_ms, burst.count, burst.first_id)
        self.status.note(fired)
        is_late, self._is_late = self._is_late, False

        def report() -> Report:
            fired.count = burst.count
            return Report(
                watch=self._watch.name,
                query=self._watch.query,
                kind="matched",
                at_ms=burst.at_ms,
                count=burst.count,
                suppressed=burst.suppressed,
                at_least=is_late,
                first_id=burst.first_id,
                first_ms=burst.first_ms,
                lines=tuple(map(reported, burst.lines)),
            )

        def on_told(record: ClaimRecord) -> None:
            # The other process's message has the lines of the same burst, and no later ones.
            if not record.report.at_ms <= burst.at_ms < record.report.at_ms + COLLECT_MS:
                burst.suppressed = 0
                self._tally.give_back(burst)
            self._adopt(record)

        self._delivery.put(
            Firing(
                report,
                ready_at=trio.current_time() + COLLECT_MS / 1000 + HANDED_OUT,
                on_lost=partial(self._tally.give_back, burst),
                on_told=on_told,
                is_late=is_late,
            )
        )

    def _fire(
        self, kind: Kind, seconds: float, line: MatchedLine | None = None, trouble: str = ""
    ) -> None:
        at_ms = time.time_ns() // 1_000_000 if line is None else line.arrived_ms
        count, first_id = (0, "") if line is None else (1, line.id)
        self.status.note(Fired(kind, at_ms, count, first_id))
        shows_line = line is not None and self._watch.lines > 0
        report = Report(
            watch=self._watch.name,
            query=self._watch.query,
            kind=kind,
            at_ms=at_ms,
            count=count,
            seconds=seconds,
            first_id=first_id,
            first_ms=at_ms if line is not None else 0,
            lines=(reported(line),) if line is not None and shows_line else (),
            trouble=trouble,
        )
        self._delivery.put(
            Firing(
                lambda: report,
                ready_at=trio.current_time(),
                on_lost=lambda: None,
                on_told=self._adopt,
            )
        )

    def _adopt(self, record: ClaimRecord) -> None:
        """Go on from the last message of the watch, which another process has sent."""
        report = record.report
        if self._absence is None:
            cooldown_ms = round(self._watch.cooldown * 1000)
            self._tally.be_quiet_until(report.at_ms + cooldown_ms)
            self._is_late = report.at_ms < self._joined_ms
        elif report.kind in ("absent", "unknown"):
            self._absence.state = "absent" if report.kind == "absent" else "unknown"
            self.status.state = self._absence.state
            if report.kind == "absent":
                ago = time.time() - report.at_ms / 1000
                self._absence.begin_before(trio.current_time() - ago - report.seconds)

    # --- lines that do not come ----------------------------------------------------------

    async def _look_for_absence(self, absence: Absence) -> None:
        while True:
            await trio.sleep(min(LOOK, absence.seconds / 10))
            trouble = self._sight.trouble()
            kind = absence.look(
                trio.current_time(),
                is_down=bool(trouble),
                is_checking=self._sight.is_checking(),
            )
            if kind is not None:
                self.status.state = kind
                self._fire(kind, absence.silent(trio.current_time()), trouble=trouble)
