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
from contextlib import contextmanager
from typing import Protocol

import attrs
import trio

from natstream.config.setting_types import APP_NAME
from natstream.entries.entry import Gap, LogEntry
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.fly_api.logs import LogReader
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

# Seconds between two questions about an app while NATS is away.
POLL = 2.0
LONGEST_POLL = 60.0
# The apps that are asked in an outage, so that each is asked every few seconds.
POLLED_APPS = 10
# The interface has a line some seconds later than NATS, so it is asked again after these pauses.
STRAGGLERS = (2.0, 4.0)
# Seconds in which the rest of an outage is read. More lines than fit are told as missing.
FILL_DEADLINE = 60.0
# A connection may be dead for so long before that is noticed, so the reading begins earlier.
UNNOTICED = 60.0
# The clocks of machines differ, and lines are on their way for a moment.
MARGIN = 10.0

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


@attrs.define(eq=False)
class _Filling:
    """What one filling has read so far."""

    since_ns: int
    merge: Merge
    readers: dict[str, LogReader] = attrs.field(factory=dict)
    lines: int = 0
    problems: dict[str, FlyApiError] = attrs.field(factory=dict)
    """The last failure of each app that could not be read."""

    @contextmanager
    def noting(self, app: str) -> Iterator[None]:
        """Note whether the block could read the app; an error of the interface ends there."""
        try:
            yield
        except FlyApiError as error:
            self.problems[app] = error
        else:
            self.problems.pop(app, None)


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
            with trio.move_on_after(START_DEADLINE):
                await self._fill_start(client)
            self._past.set()
        while True:
            await self._wait_nats(is_gone=True)
            await self._fill_outage(client)

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
        # A machine's clock may be wrong, so lines of this time may have come before it.
        for run in self.memory.recent(int((since - UNNOTICED) * 1_000)):
            merge.had(run)
            await trio.lowlevel.checkpoint()
        first_ns, last_ns = int(since * 1e9), int(until * 1e9)
        question = Question(client, self.base, merge, self.is_hidden, first_ns, last_ns)
        return await question.ask(await self._polled_apps(client))

    def give_up_start(self) -> None:
        """Let the readers of the past wait no longer."""
        self._past.set()

    # --- the start -----------------------------------------------------------------------

    async def _fill_start(self, client: FlyClient) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._be_patient)
            await self.memory.wait_opened()
            if self.stored:
                await self._fill_stored(client)
            else:
                await self._fill_empty(client)
            nursery.cancel_scope.cancel()

    async def _be_patient(self) -> None:
        await trio.sleep(START_PATIENCE)
        self._past.set()

    async def _fill_empty(self, client: FlyClient) -> None:
        """Put the past before the lines of this process, sorted by time."""
        apps = await self._all_apps(client)
        if not apps:
            return
        lines = max(100, START_LINES // len(apps))
        since_ns = time.time_ns() - int(self.seconds * 1e9)
        filling = await self._begin(since_ns)
        past: list[LogEntry] = []

        async def read(app: str) -> None:
            with filling.noting(app):
                past.extend(await read_past(client, self.base, app, since_ns=since_ns, lines=lines))

        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(read, app)
        past.sort(key=lambda entry: entry.unix_ns)
        new = filling.merge.new_from_fly(self._visible(past)[-START_LINES:])
        filling.lines = self.memory.prepend(new)
        self._report(filling, f"The last lines before the start ({filling.lines:,}) were read")
        await self._linger()

    async def _fill_stored(self, client: FlyClient) -> None:
        """Store the lines since the newest stored one, which no process has read."""
        since_ms = time.time_ns() // 1_000_000 - int(self.seconds * 1_000)
        newest_ms = 0
        for run in self.memory.recent(since_ms):
            newest_ms = max(newest_ms, max(entry.unix_ns for entry in run) // 1_000_000)
            await trio.lowlevel.checkpoint()
        since_ms = max(since_ms, newest_ms - int(MARGIN * 1_000))
        filling = await self._begin(since_ms * 1_000_000)
        with self.nats_sink.holding():
            await self._round(client, filling, await self._all_apps(client))
        self._report(
            filling, f"The lines that were missing at the start ({filling.lines:,}) were read"
        )
        await self._linger()

    async def _linger(self) -> None:
        """Keep the merge for a moment, because lines may still be on their way by NATS."""
        self._past.set()
        with trio.move_on_after(MARGIN):
            await self._wait_nats(is_gone=True)
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

    async def _fill_outage(self, client: FlyClient) -> None:
        """Publish what NATS misses while it is away, and the rest when it is back."""
        lost_ms = int(self.nats.since * 1_000)
        last_ms = int(max(self.nats.last_line, self.nats.checked) * 1_000)
        if self.nats.state is SourceState.MUTE:
            lost_ms = max(self._started_ms, last_ms)  # It was told later, after the silence.
        else:
            last_ms = max(last_ms, lost_ms - int(UNNOTICED * 1_000))
        since_ms = max(self._started_ms, last_ms) - int(MARGIN * 1_000)
        filling = await self._begin(since_ms * 1_000_000)
        while True:
            with self.nats_sink.holding():
                await self._poll_while_gone(client, filling)
                with trio.move_on_after(FILL_DEADLINE):
                    await self._round(client, filling, await self._all_apps(client))
            if await self._fill_stragglers(client, filling):
                break
        self._tell(filling, lost_ms)
        await self._linger()

    async def _poll_while_gone(self, client: FlyClient, filling: _Filling) -> None:
        pause = POLL
        while self._is_gone:
            apps = await self._polled_apps(client)
            await self._round(client, filling, apps)
            # An interface that refuses every question is asked less and less often.
            refused = bool(apps) and all(app in filling.problems for app in apps)
            pause = min(2 * pause, LONGEST_POLL) if refused else POLL
            with trio.move_on_after(pause):
                await self._wait_nats(is_gone=False)

    async def _fill_stragglers(self, client: FlyClient, filling: _Filling) -> bool:
        """Ask again for lines that the interface had late; return False if NATS is gone again."""
        for pause in STRAGGLERS:
            with trio.move_on_after(pause):
                await self._wait_nats(is_gone=True)
                return False
            await self._round(client, filling, self._latest_apps())
        return True

    def _tell(self, filling: _Filling, lost_ms: int) -> None:
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

    async def _begin(self, since_ns: int) -> _Filling:
        """Return a filling that knows the lines that were shown since then."""
        merge = Merge()
        self.nats_sink.merge = merge
        # The lines that come meanwhile are seen twice, so only those before this moment are added.
        for run in self.memory.recent(since_ns // 1_000_000 - int(MARGIN * 1_000)):
            merge.had(run)
            await trio.lowlevel.checkpoint()
        return _Filling(since_ns, merge)

    async def _round(self, client: FlyClient, filling: _Filling, apps: Sequence[str]) -> None:
        """Publish the new lines of some apps."""
        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(self._read_app, client, filling, app)

    async def _read_app(self, client: FlyClient, filling: _Filling, app: str) -> None:
        reader = filling.readers.get(app)
        if reader is None:
            reader = LogReader(client, self.base, app, filling.since_ns)
            filling.readers[app] = reader
        with filling.noting(app):
            while True:
                new = filling.merge.new_from_fly(self._visible(await reader.next_page()))
                await self.sink.publish(new)
                filling.lines += len(new)
                if reader.is_at_end:
                    return

    async def _polled_apps(self, client: FlyClient) -> Sequence[str]:
        """Return the apps that spoke last, or any apps if none has spoken."""
        return self._latest_apps() or (await self._all_apps(client))[:POLLED_APPS]

    def _visible(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        return [entry for entry in entries if not self.is_hidden(entry)]

    def _latest_apps(self) -> list[str]:
        """Return the apps that spoke last, at most so many as can be asked often."""
        apps = [app for app in reversed(self._spoke) if APP_NAME.fullmatch(app)]
        if self.apps:
            apps = list(dict.fromkeys([app for app in apps if app in self.apps] + [*self.apps]))
        return apps[:POLLED_APPS]

    def _report(self, filling: _Filling, done: str) -> None:
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
        self._changed.set()
        self._changed = trio.Event()

    async def _wait_nats(self, *, is_gone: bool) -> None:
        while self._is_gone is not is_gone:
            await self._changed.wait()
