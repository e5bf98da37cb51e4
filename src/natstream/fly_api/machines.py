"""What Fly's Machines interface knows of the machines that speak: a cache, and its filling.

In: published entries, which name machines. Out: each machine's name, process group and release, as
far as they are known. A line never waits for them: a machine that speaks for the first time is
looked up, with all machines of its app, and is known a moment later.

The interface: `GET {base}/v1/apps/{app}/machines`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import trio

from natstream.config.setting_types import APP_NAME
from natstream.entries.entry import LogEntry
from natstream.fly_api.client import FlyApiError, FlyClient
from natstream.hub.health import SourceState, SourceStatus

__all__ = ["FlyMachine", "Machines", "parse_machines"]

# Machines that are remembered, those that were looked up longest ago forgotten first.
MAX_MACHINES = 10_000
# Seconds between two questions about one app, because a deployment starts many machines at once.
APP_PAUSE = 10.0
# Seconds after which a machine that the interface does not know is asked about again.
UNKNOWN_PAUSE = 300.0
# Apps that wait to be asked about, so that odd names on lines cannot make the queue grow.
MAX_WAITING = 1_000

# The providers of the platform's own lines. One of them says when a machine starts.
_PLATFORM = frozenset({"runner", "machine", "fly"})


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
    _known: OrderedDict[str, FlyMachine] = attrs.field(factory=OrderedDict, init=False)
    _unknown: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)
    """Machines that the interface does not know, and when it may be asked again."""
    _waiting: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Apps to ask about, and their machines that are not known."""
    _new: list[str] = attrs.field(factory=list, init=False)
    """Those of these apps for which no task waits yet."""
    _asked: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)
    """When each app may be asked about again."""
    _work: trio.Event = attrs.field(factory=trio.Event, init=False)

    def get(self, machine_id: str) -> FlyMachine | None:
        """Return what is known of a machine."""
        return self._known.get(machine_id)

    def __iter__(self) -> Iterator[FlyMachine]:
        return iter(self._known.values())

    def observe(self, entries: Sequence[LogEntry]) -> None:
        """Note published entries; machines that are new, or were started, will be looked up."""
        known = self._known
        for entry in entries:
            if entry.machine_id not in known:
                if entry.machine_id:
                    self._want(entry.app_name, entry.machine_id)
            elif entry.provider in _PLATFORM and "start" in entry.message.casefold():
                self._want(entry.app_name, "")

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
        async with trio.open_nursery() as nursery:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                apps, self._new = self._new, []
                for app in apps:
                    nursery.start_soon(self._look_up, client, app)

    async def _look_up(self, client: FlyClient, app: str) -> None:
        await trio.sleep_until(self._asked.get(app, -float("inf")))
        _remember(self._asked, app, trio.current_time() + APP_PAUSE)
        wanted = self._waiting.pop(app, set())
        found: list[FlyMachine] = []
        try:
            found = parse_machines(app, await client.get(f"{self.base}/v1/apps/{app}/machines"))
        except FlyApiError as error:
            self.status.change(
                SourceState.LOST, f"The machines of {app} have no names: {error}", error.reason
            )
        else:
            self.status.change(SourceState.UP, "The Machines interface names the machines")
        for machine in found:
            _remember(self._known, machine.id, machine)
        for machine_id in wanted:
            if machine_id not in self._known:
                _remember(self._unknown, machine_id, trio.current_time() + UNKNOWN_PAUSE)


def _remember(memory: OrderedDict[str, _T], key: str, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_MACHINES:
        memory.popitem(last=False)
