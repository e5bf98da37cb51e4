"""What Fly's Machines interface knows of the machines that speak: a cache, and its filling.

In: published entries, which name machines. Out: each machine's name, process group and release, as
far as they are known, and entries with the group and the release of their machine. A line never
waits for them: a machine that speaks for the first time is looked up, with all machines of its app,
and is known a moment later. What was published without them stays so.

The interface: `GET {base}/v1/apps/{app}/machines`.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import trio

from natstream.config.setting_types import APP_NAME
from natstream.entries.entry import LogEntry, of_machine
from natstream.entries.times import parse_time
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.hub.health import SourceState, SourceStatus

__all__ = ["FlyMachine", "Machines", "parse_machines"]

# Machines that are remembered, those that were looked up longest ago forgotten first.
MAX_MACHINES = 10_000
# Seconds between two questions about one app, because a deployment starts many machines at once.
APP_PAUSE = 10.0
# The same after a machine of the app gets another image, and after those of its machines start that
# do so within a minute. Readers wait to see what the new release has broken, and the first answer
# may still describe the old one.
CHANGE_PAUSE, CHANGE_SECONDS = 2.0, 60.0
# Seconds after which a question that waits looks whether it may be asked.
LOOK_INTERVAL = 0.5
# Seconds after which a machine that the interface does not know is asked about again.
UNKNOWN_PAUSE = 300.0
# Apps that wait to be asked about, so that odd names on lines cannot make the queue grow.
MAX_WAITING = 1_000
# Apps that are asked about at once. The pace is shared with the history, which has to get its part
# of it even if a thousand apps speak for the first time.
AT_ONCE = 2

# The providers of the platform's own lines. One of them says when a machine starts, or gets another
# image, as in "Pulling container image registry.fly.io/web:deployment-01".
_PLATFORM = frozenset({"runner", "machine", "fly"})
_IMAGE = re.compile(r"\bimage \S+:([\w.-]+)")

_T = TypeVar("_T")


@attrs.frozen
class FlyMachine:
    """One machine, as the interface described it last."""

    id: str
    app: str
    name: str = ""
    state: str = ""
    region: str = ""
    group: str = ""
    """The process group, for example `web` or `worker`."""
    release: str = ""
    """The number of the release that it runs."""
    image: str = ""
    """The tag of its image."""
    since_ms: int = attrs.field(default=0, eq=False)
    """Unix ms from which on it surely ran this release; 0 if the interface did not say."""
    seen_ms: int = attrs.field(default=0, eq=False)
    """Unix ms at which the interface described it."""


def parse_machines(app: str, answer: Any) -> list[FlyMachine]:
    """Return the machines of an answer. Items of another shape are passed over.

    Raises:
        FlyApiError: the answer is no list of machines.
    """
    if not isinstance(answer, list):
        raise FlyApiError("The Machines interface gave an answer without machines", "unreadable")
    return [
        FlyMachine(
            id=id,
            app=app,
            name=_text(item.get("name")),
            state=_text(item.get("state")),
            region=_text(item.get("region")),
            group=_text(metadata.get("fly_process_group")),
            release=_text(metadata.get("fly_release_version")),
            image=_text(_object(item.get("image_ref")).get("tag")),
            # A machine that was only restarted has a later time than necessary.
            since_ms=(parse_time(_text(item.get("updated_at"))) or 0) // 1_000_000,
        )
        for item in answer
        if isinstance(item, dict) and (id := _text(item.get("id")))
        for metadata in [_object(_object(item.get("config")).get("metadata"))]
    ]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Return a short text or number as text, and anything else as the empty text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)[:200]


@attrs.define(eq=False)
class Machines:
    """The machines that are known."""

    base: str
    """The address of the interface."""
    status: SourceStatus
    apps: Sequence[str] = ()
    """The apps that are looked up at once, so that their first lines name their machines."""
    _known: OrderedDict[str, FlyMachine] = attrs.field(factory=OrderedDict, init=False)
    _unknown: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)
    """Machines that the interface does not know, and when it may be asked again."""
    _waiting: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Apps to ask about, and their machines that are not known."""
    _new: list[str] = attrs.field(factory=list, init=False)
    """Those of these apps for which no task waits yet."""
    _asked: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)
    """When each app may be asked about again."""
    _changing: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)
    """Apps of which a machine has got another image, and until when that matters."""
    _work: trio.Event = attrs.field(factory=trio.Event, init=False)

    def get(self, machine_id: str) -> FlyMachine | None:
        """Return what is known of a machine."""
        return self._known.get(machine_id)

    def released_at(self, app: str, release: str) -> int | None:
        """Return the Unix ms from which on a machine of the app surely ran a release, if known."""
        known = (m.since_ms for m in self if m.app == app and m.release == release)
        return min(filter(None, known), default=None)

    def __iter__(self) -> Iterator[FlyMachine]:
        return iter(self._known.values())

    def label(self, entries: Sequence[LogEntry], arrivals: Sequence[int]) -> Sequence[LogEntry]:
        """Return the entries with the groups and the releases of the machines that are known.

        An entry that arrived (Unix ms) before its machine surely ran its release gets none.
        """
        known = self._known
        labelled: list[LogEntry] | None = None
        for index, entry in enumerate(entries):
            machine = known.get(entry.machine_id)
            if machine is not None and (machine.group or machine.release):
                if labelled is None:
                    labelled = list(entries)
                release = machine.release if arrivals[index] >= machine.since_ms else ""
                labelled[index] = of_machine(entry, machine.group, release)
        return entries if labelled is None else labelled

    def observe(self, entries: Sequence[LogEntry]) -> None:
        """Note published entries; machines that are new, or were started, will be looked up."""
        known = self._known
        for entry in entries:
            machine = known.get(entry.machine_id)
            if machine is None and entry.machine_id:
                self._want(entry.app_name, entry.machine_id)
            if entry.provider in _PLATFORM:
                self._heed(machine, entry)

    def _heed(self, machine: FlyMachine | None, entry: LogEntry) -> None:
        """Look a machine up soon if a line of the platform says that it may have changed."""
        image = _IMAGE.search(entry.message)
        if image is not None and (machine is None or image[1] != machine.image):
            # Its next lines are of another release. Until that is known they name none, because the
            # old one would be wrong for just the first lines of a deployment.
            if machine is not None:
                self._known[machine.id] = attrs.evolve(machine, release="", image="")
                self._want(entry.app_name, "")
            _remember(self._changing, entry.app_name, trio.current_time() + CHANGE_SECONDS)
            self._hurry(entry.app_name)
        elif machine is not None and "start" in entry.message.casefold():
            self._want(entry.app_name, "")
            self._hurry(entry.app_name)

    def _hurry(self, app: str) -> None:
        """Put the next question about an app forward if its machines are changing."""
        now = trio.current_time()
        again = self._asked.get(app)
        if again is not None and self._changing.get(app, 0) > now:
            self._asked[app] = min(again, now + CHANGE_PAUSE)

    def _want(self, app: str, machine_id: str) -> None:
        if self._unknown.get(machine_id, 0) > trio.current_time():
            return
        wanted = self._waiting.get(app)
        if wanted is None:
            if len(self._waiting) >= MAX_WAITING or not APP_NAME.fullmatch(app):
                return
            wanted = self._waiting[app] = set()
            self._new.append(app)
            self._work.set()
        if machine_id and len(wanted) < MAX_WAITING:
            wanted.add(machine_id)

    async def run(self, client: FlyClient) -> None:
        """Look up the machines that are wanted, until it is cancelled."""
        for app in self.apps:
            self._want(app, "")
        room = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                apps, self._new = self._new, []
                for app in apps:
                    nursery.start_soon(self._look_up, client, app, room)

    async def _look_up(self, client: FlyClient, app: str, room: trio.CapacityLimiter) -> None:
        # The time may be put forward meanwhile.
        while self._asked.get(app, -math.inf) > trio.current_time():  # noqa: ASYNC110 - a time
            await trio.sleep(LOOK_INTERVAL)
        _remember(self._asked, app, trio.current_time() + APP_PAUSE)
        wanted = self._waiting.pop(app, set())
        found: list[FlyMachine] = []
        try:
            async with room:
                answer = await client.get(f"{self.base}/v1/apps/{app}/machines")
            found = parse_machines(app, answer)
        except FlyApiError as error:
            # A drain's sender may name an app that Fly does not have, which is no failure.
            if error.reason != "missing" or app in self.apps or not self._known:
                detail = f"The machines of {app} have no names: {error}"
                self.status.change(SourceState.LOST, detail, error.reason)
        else:
            self.status.change(SourceState.UP, "The Machines interface names the machines")
        now_ms = time.time_ns() // 1_000_000
        for machine in found:
            self._learn(machine, now_ms)
        for machine_id in wanted:
            if machine_id not in self._known:
                _remember(self._unknown, machine_id, trio.current_time() + UNKNOWN_PAUSE)

    def _learn(self, machine: FlyMachine, now_ms: int) -> None:
        known = self._known.get(machine.id)
        since_ms = min(machine.since_ms or now_ms, now_ms)
        if known is not None and known.release == machine.release:
            since_ms = min(since_ms, known.since_ms)
        machine = attrs.evolve(machine, since_ms=since_ms, seen_ms=now_ms)
        _remember(self._known, machine.id, machine)


def _remember(memory: OrderedDict[str, _T], key: str, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_MACHINES:
        memory.popitem(last=False)
