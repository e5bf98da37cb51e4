"""The lines that NATS cannot give: those before the start, and those of an outage.

In: Fly's logs interface, the state of the NATS source, and the lines that were shown. Out: entries
with `source` `"fly"`. At the start they go before all others. In an outage they are published as
they come, and a notice at its end says what was filled.

NATS keeps nothing, so without this source a log view is empty when it is opened after the trouble
began, and has a hole after each lost connection. Fly does not promise the interface. Whatever fails
is one sentence in the status and in the notice, and everything else stays as it is.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import attrs
import trio

from natstream.config.setting_types import APP_NAME
from natstream.entries.entry import Gap, LogEntry
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.fly_api.filling import Filling, limited
from natstream.fly_api.merge import Merge
from natstream.fly_api.newer import Question
from natstream.fly_api.past import read_past
from natstream.fly_api.sink import FlySink
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.sink import Sink

__all__ = ["FlyHistory", "Memory"]

# Lines of the past at the start, over all apps: 50 requests, so that the rest of the pace is free.
START_LINES = 5_000
# Seconds for which readers of the past wait at the start. Most starts need one or two.
START_PATIENCE = 5.0
# Seconds after which the start's reading ends, so that many apps cannot keep it busy for ever.
START_DEADLINE = 60.0
# Apps that are read at once, so that the first ones are there soon if there are many.
START_AT_ONCE = 4
# Bytes of memory that the past of all apps may take while it is read.
MAX_PAST_BYTES = 64 * 2**20

# Seconds between two questions about an app while NATS is away.
POLL = 2.0
LONGEST_POLL = 60.0
# The apps that are asked in an outage, so that each is asked every few seconds.
POLLED_APPS = 10
# The interface has a line some seconds later than NATS, so it is asked again after these pauses.
# The lines of one machine may be LATE seconds behind those of another.
STRAGGLERS = (2.0, 4.0)
LATE = 10.0
# Seconds in which the rest of an outage is read. More lines than fit are told as missing.
FILL_DEADLINE = 60.0
# A connection may be dead for so long before that is noticed, so the reading begins earlier.
UNNOTICED = 60.0
# The clocks of machines differ, and lines are on their way for a moment.
MARGIN = 10.0
# Seconds by which the time of a line and the time of its arrival may differ, because of clocks that
# are off.
MAX_SKEW = 600.0

# Apps that are remembered because they spoke, the oldest forgotten first.
MAX_APPS = 1_000


class Memory(Protocol):
    """The lines that were shown, as the hub remembers them."""

    def recent(self, since_ms: int) -> Iterator[Sequence[LogEntry]]:
        """Yield the entries that arrived at `since_ms` or later, in runs."""

    def prepend(self, entries: Sequence[LogEntry]) -> int:
        """Put sorted entries before all others; return how many of the newest had room."""

    def await_past(self) -> trio.Event:
        """Let readers of the past wait until the returned event is set."""

    async def wait_opened(self) -> None:
        """Wait until it is known which lines are remembered."""


@attrs.frozen
class _Hole:
    """An outage of NATS."""

    lost_ms: int
    """Unix ms since which lines are missing."""
    since_ms: int
    """Unix ms from which on lines are read, which is earlier to be sure."""


@attrs.define(eq=False)
class FlyHistory:
    """Fills the past and the holes of NATS from Fly's logs interface."""

    base: str
    """The address of the interface."""
    apps: Sequence[str]
    """The apps that are read; empty for every app."""
    list_apps: Callable[[FlyClient], Awaitable[Sequence[str]]]
    """Return the apps of the organisation, if every app is read."""
    seconds: float
    """How far the start looks back."""
    sink: Sink
    memory: Memory
    nats: SourceStatus
    status: SourceStatus
    stored: bool = False
    """Whether a journal keeps the lines. Then the start fills only what it lacks."""
    is_hidden: Callable[[LogEntry], bool] = lambda entry: False
    """Return whether an entry is natstream's own, which readers do not see."""
    nats_sink: FlySink = attrs.field(init=False)
    """Where the NATS source publishes."""
    _spoke: OrderedDict[str, None] = attrs.field(factory=OrderedDict, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _hole: _Hole | None = attrs.field(default=None, init=False)
    """An outage that is not filled yet."""
    _newest_ms: int = attrs.field(default=2**62, init=False)
    """The time of the newest line, by the clock of its machine."""
    _past: trio.Event = attrs.field(init=False)
    _client: FlyClient | None = attrs.field(default=None, init=False)
    """The client, while `run` runs."""
    _started_ms: int = attrs.field(factory=lambda: time.time_ns() // 1_000_000, init=False)

    def __attrs_post_init__(self) -> None:
        self.nats_sink = FlySink(self.sink)
        self.nats.on_change = self._on_change
        self._past = self.memory.await_past()

    def observe(self, entries: Sequence[LogEntry]) -> None:
        """Note published entries: the apps that speak, and lines that need not be filled."""
        for app in {entry.app_name for entry in entries}:
            self._spoke[app] = None
            self._spoke.move_to_end(app)
        while len(self._spoke) > MAX_APPS:
            self._spoke.popitem(last=False)
        if entries:
            self._newest_ms = entries[-1].unix_ns // 1_000_000
        if self.nats_sink.merge is not None:
            self.nats_sink.merge.saw(entries)

    async def run(self, client: FlyClient) -> None:
        """Fill the past, and then each outage of NATS, until it is cancelled."""
        self._client = client
        try:
            await self._run(client)
        finally:
            self._client = None

    async def _run(self, client: FlyClient) -> None:
        if not self._past.is_set():
            await self._fill_start(client, trio.current_time() + START_DEADLINE)
        while True:
            hole = await self._wait_hole()
            await self._fill_outage(client, hole)

    async def anything_newer(self, since: float, until: float) -> bool | None:
        """Return whether there are lines of a time that NATS did not bring, in the apps polled.

        Args:
            since: the beginning of the time, in Unix seconds.
            until: its end.

        Returns:
            None if that is not known, because the interface does not answer.
        """
        if self._client is None:
            return None
        client, merge = self._client, Merge()
        first_ns, last_ns = int(since * 1e9), int(until * 1e9)
        await self._remind(merge, first_ns)
        question = Question(client, self.base, merge, self.is_hidden, first_ns, last_ns)
        return await question.ask(await self._polled_apps(client))

    def give_up_start(self) -> None:
        """Let the readers of the past wait no longer."""
        self._past.set()

    # --- the start -----------------------------------------------------------------------

    async def _fill_start(self, client: FlyClient, deadline: float) -> None:
        with trio.move_on_at(deadline):
            await self.memory.wait_opened()
        if self.stored:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._be_patient)
                await self._fill_stored(client, deadline)
                nursery.cancel_scope.cancel()
        else:
            await self._fill_empty(client, deadline)
        await self._linger()

    async def _be_patient(self) -> None:
        await trio.sleep(START_PATIENCE)
        self._past.set()

    async def _fill_empty(self, client: FlyClient, deadline: float) -> None:
        """Put the past before the lines of this process, sorted by time.

        If the apps are too many for the patience of readers, the past of those that were read is
        there after it, and the past of the others is put before that at the end.
        """
        since_ns = time.time_ns() - int(self.seconds * 1e9)
        filling = await self._begin(client, since_ns)
        past: list[LogEntry] = []

        def show() -> None:
            past.sort(key=lambda entry: entry.unix_ns)
            new = filling.merge.new_from_fly(filling.visible(past)[-START_LINES:])
            filling.lines += self.memory.prepend(new)
            past.clear()
            self._past.set()

        async def be_patient() -> None:
            await trio.sleep(START_PATIENCE)
            show()

        async def read(queue: Iterator[str], lines: int, size: int) -> None:
            # The tasks share one queue, because those that spoke last come first.
            for app in queue:
                with filling.noting(app), limited(deadline, START_DEADLINE):
                    past.extend(await read_past(client, self.base, app, since_ns, lines, size))

        async with trio.open_nursery() as patience:
            patience.start_soon(be_patient)
            apps = await self._all_apps(client)
            queue, share = iter(apps), max(1, len(apps))
            lines, size = max(100, START_LINES // share), MAX_PAST_BYTES // share
            async with trio.open_nursery() as nursery:
                for _ in range(START_AT_ONCE):
                    nursery.start_soon(read, queue, lines, size)
            patience.cancel_scope.cancel()
        show()
        if apps:
            self._report(filling, f"The last lines before the start ({filling.lines:,}) were read")

    async def _fill_stored(self, client: FlyClient, deadline: float) -> None:
        """Store the lines since the newest stored one, which no process has read."""
        since_ms = time.time_ns() // 1_000_000 - int(self.seconds * 1_000)
        newest_ms = 0
        for run in self.memory.recent(since_ms):
            newest_ms = max(newest_ms, max(entry.unix_ns for entry in run) // 1_000_000)
            await trio.lowlevel.checkpoint()
        since_ms = max(since_ms, newest_ms - int(MARGIN * 1_000))
        filling = await self._begin(client, since_ms * 1_000_000)
        with self.nats_sink.holding():
            await filling.read_rest(await self._all_apps(client), deadline, START_DEADLINE)
        self._report(
            filling, f"The lines that were missing at the start ({filling.lines:,}) were read"
        )

    async def _linger(self) -> None:
        """Keep the merge for a moment, because lines may still be on their way by NATS."""
        self._past.set()
        with trio.move_on_after(MARGIN):
            await self._wait_hole()
        self.nats_sink.merge = None

    async def _all_apps(self, client: FlyClient) -> Sequence[str]:
        """Return every app that is read, those that spoke last first."""
        known = list(reversed(self._spoke))
        if self.apps:
            known = [app for app in known if app in self.apps] + list(self.apps)
        else:
            try:
                known += await self.list_apps(client)
            except FlyApiError as error:
                self.status.change(SourceState.LOST, f"The apps cannot be listed: {error}")
        return [app for app in dict.fromkeys(known) if APP_NAME.fullmatch(app)]

    # --- an outage -----------------------------------------------------------------------

    async def _fill_outage(self, client: FlyClient, hole: _Hole) -> None:
        """Publish what NATS misses while it is away, and the rest when it is back."""
        filling = await self._begin(client, hole.since_ms * 1_000_000)
        while True:
            with self.nats_sink.holding():
                await self._poll_while_gone(client, filling)
                self._hole = None
                deadline = trio.current_time() + FILL_DEADLINE
                await filling.read_rest(await self._all_apps(client), deadline, FILL_DEADLINE)
            if await self._fill_stragglers(filling):
                break
        self._tell(filling, hole.lost_ms)
        await self._linger()

    async def _poll_while_gone(self, client: FlyClient, filling: Filling) -> None:
        pause = POLL
        while self._is_gone:
            apps = await self._polled_apps(client)
            await filling.round(apps, lambda: self._is_gone)
            # An interface that refuses every question is asked less and less often.
            refused = bool(apps) and all(app in filling.problems for app in apps)
            pause = min(2 * pause, LONGEST_POLL) if refused else POLL
            with trio.move_on_after(pause):
                await self._wait_nats(is_gone=False)

    async def _fill_stragglers(self, filling: Filling) -> bool:
        """Ask again for lines that the interface had late; return False if NATS is gone again."""
        for pause in STRAGGLERS:
            with trio.move_on_after(pause):
                await self._wait_hole()
                return False
            filling.go_back(LATE)
            deadline = trio.current_time() + FILL_DEADLINE
            await filling.read_rest(self._latest_apps(), deadline, FILL_DEADLINE)
        return True

    def _tell(self, filling: Filling, lost_ms: int) -> None:
        since = time.strftime("%H:%M:%S", time.gmtime(lost_ms / 1_000))
        if filling.problems:
            problem = next(iter(filling.problems.values()))
            self.sink.announce(
                f"Some of the lines that NATS missed since {since} UTC are not known, because "
                f"{problem}; {filling.lines:,} were filled from Fly's logs interface",
                "error",
                gap=Gap(missed=None, since=lost_ms),
            )
        else:
            doubles = "; some of them may be shown twice" if filling.merge.overflowed else ""
            self.sink.announce(
                f"The lines that NATS missed since {since} UTC were filled from Fly's logs "
                f"interface: {filling.lines:,}{doubles}"
            )
        self._report(filling, f"The hole of NATS since {since} UTC ({filling.lines:,} lines) was")

    # --- reading -------------------------------------------------------------------------

    async def _begin(self, client: FlyClient, since_ns: int) -> Filling:
        """Return a filling that knows the lines that were shown since then."""
        merge = Merge()
        self.nats_sink.merge = merge
        # The lines that come meanwhile are seen twice, so only those before this moment are added.
        await self._remind(merge, since_ns - int(MARGIN * 1e9))
        return Filling(client, self.base, self.sink, self.is_hidden, since_ns, merge)

    async def _remind(self, merge: Merge, since_ns: int) -> None:
        """Tell a merge of the lines with a time since then that were shown."""
        # Lines whose machine has a wrong clock may have arrived long before their time.
        for run in self.memory.recent(since_ns // 1_000_000 - int(MAX_SKEW * 1_000)):
            merge.had(entry for entry in run if entry.unix_ns >= since_ns)
            await trio.lowlevel.checkpoint()

    async def _polled_apps(self, client: FlyClient) -> Sequence[str]:
        """Return the apps that spoke last, or any apps if none has spoken."""
        return self._latest_apps() or (await self._all_apps(client))[:POLLED_APPS]

    def _latest_apps(self) -> list[str]:
        """Return the apps that spoke last, at most so many as can be asked often."""
        apps = [app for app in reversed(self._spoke) if APP_NAME.fullmatch(app)]
        if self.apps:
            apps = list(dict.fromkeys([app for app in apps if app in self.apps] + [*self.apps]))
        return apps[:POLLED_APPS]

    def _report(self, filling: Filling, done: str) -> None:
        self.status.lines += filling.lines
        if filling.problems:
            app, problem = next(iter(filling.problems.items()))
            self.status.change(
                SourceState.LOST, f"The past of {app} is not there: {problem}", problem.reason
            )
        else:
            self.status.change(SourceState.UP, f"{done} from Fly's logs interface")

    # --- the state of NATS ---------------------------------------------------------------

    @property
    def _is_gone(self) -> bool:
        return self.nats.state.is_bad

    def _on_change(self) -> None:
        if self._is_gone and self._hole is None:
            self._hole = self._new_hole()
        self._changed.set()
        self._changed = trio.Event()

    def _new_hole(self) -> _Hole:
        lost_ms = int(self.nats.since * 1_000)
        last_ms = int(max(self.nats.last_line, self.nats.checked) * 1_000)
        if self.nats.state is SourceState.MUTE:
            lost_ms = max(self._started_ms, last_ms)  # It was told later, after the silence.
        else:
            last_ms = max(last_ms, lost_ms - int(UNNOTICED * 1_000))
        since_ms = max(self._started_ms, last_ms)
        # The clocks of the machines may be behind ours.
        behind = min(max(0, since_ms - self._newest_ms), int(MAX_SKEW * 1_000))
        return _Hole(lost_ms, since_ms - behind - int(MARGIN * 1_000))

    async def _wait_nats(self, *, is_gone: bool) -> None:
        while self._is_gone is not is_gone:
            await self._changed.wait()

    async def _wait_hole(self) -> _Hole:
        while self._hole is None:
            await self._changed.wait()
        return self._hole
