"""The machines that speak: names, groups and releases, looked up beside the lines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import attrs
import pytest
import trio
from tests.support.fly_api import Answer, FlyStandIn
from tests.support.waiting import until
from trio.testing import MockClock

from natstream.entries.entry import LogEntry
from natstream.fly_api import client, machines
from natstream.fly_api.client import FlyApiError, FlyClient, open_fly_client
from natstream.fly_api.machines import FlyMachine, Machines, parse_machines
from natstream.hub.batch import Position
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import open_hub

ITEM = {
    "id": "148ed",
    "name": "blue-sky-1",
    "state": "started",
    "region": "ams",
    "image_ref": {"repository": "web", "tag": "deployment-01"},
    "config": {"metadata": {"fly_process_group": "worker", "fly_release_version": "42"}},
}
MACHINE = FlyMachine(
    "148ed", "web", "blue-sky-1", "started", "ams", "worker", "42", image="deployment-01"
)


@asynccontextmanager
async def looking(fly: FlyStandIn, apps: Sequence[str] = ()) -> AsyncIterator[Machines]:
    """Run the look-up of machines until the end of the block."""
    known = Machines(fly.url, SourceStatus("fly_machines", lambda message, type: None), apps)
    async with open_fly_client("token") as api, trio.open_nursery() as nursery:
        nursery.start_soon(known.run, api)
        yield known
        nursery.cancel_scope.cancel()


def said(machine: str, message: str = "hello", provider: str = "app") -> LogEntry:
    """Return a line of a machine."""
    return LogEntry(machine, message, "stdout", app_name="web", provider=provider)


def test_a_machine_is_read_from_the_interface() -> None:
    """Each field of a machine comes from its place in the answer."""
    assert parse_machines("web", [ITEM]) == [MACHINE]


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        {},
        {"id": None},
        {"id": ["a"]},
        {"id": True},
    ],
)
def test_an_item_without_an_id_is_passed_over(item: Any) -> None:
    """One odd item does not cost the machines beside it."""
    assert parse_machines("web", [item, ITEM]) == [MACHINE]


@pytest.mark.parametrize("config", [None, 7, {}, {"metadata": None}, {"metadata": {"x": {}}}])
def test_missing_fields_are_empty(config: Any) -> None:
    """A machine without a group or a release is known by its name."""
    (machine,) = parse_machines("web", [{"id": "a", "name": "b", "config": config}])
    assert (machine.name, machine.group, machine.release, machine.image) == ("b", "", "", "")


@pytest.mark.parametrize("answer", [None, {}, "x", {"machines": []}])
def test_an_answer_without_machines_is_unreadable(answer: Any) -> None:
    """JSON of another shape is an error."""
    with pytest.raises(FlyApiError, match="without machines"):
        parse_machines("web", answer)


async def test_a_machine_that_speaks_is_known_a_moment_later(fly: FlyStandIn) -> None:
    """The line itself does not wait, and one question is enough for all machines of the app."""
    fly.machines["web"] = [ITEM, {**ITEM, "id": "other"}]
    async with looking(fly) as known:
        known.observe([said("148ed"), said("148ed"), said("other")])
        assert known.get("148ed") is None
        await until(lambda: known.get("148ed") == MACHINE)
        known.observe([said("148ed"), said("other")])
        await trio.sleep(0.3)
    assert len(fly.asked) == 1


async def test_a_started_machine_is_looked_up_again(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the platform says that a machine was started, its release is the new one."""
    monkeypatch.setattr(machines, "APP_PAUSE", 0.2)
    fly.machines["web"] = [ITEM]
    async with looking(fly) as known:
        known.observe([said("148ed")])
        await until(lambda: known.get("148ed") is not None)
        metadata = {"fly_process_group": "worker", "fly_release_version": "43"}
        fly.machines["web"] = [{**ITEM, "config": {"metadata": metadata}}]
        known.observe([said("148ed", "Machine started in 1.2s", "runner")])
        await until(lambda: known.get("148ed") != MACHINE)
        machine = known.get("148ed")
    assert machine is not None
    assert machine.release == "43"


async def test_an_app_line_about_starting_asks_nothing(fly: FlyStandIn) -> None:
    """Only the platform's own lines cause another question."""
    fly.machines["web"] = [ITEM]
    async with looking(fly) as known:
        known.observe([said("148ed")])
        await until(lambda: known.get("148ed") is not None)
        known.observe([said("148ed", "worker started")])
        await trio.sleep(0.3)
    assert len(fly.asked) == 1


async def test_an_unknown_machine_is_asked_about_seldom(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that the interface does not know causes one question, however often it speaks."""
    monkeypatch.setattr(machines, "APP_PAUSE", 0.05)
    fly.machines["web"] = [ITEM]
    async with looking(fly) as known:
        for _ in range(20):
            known.observe([said("gone")])
            await trio.sleep(0.03)
    assert len(fly.asked) == 1


async def test_a_broken_interface_is_told_and_names_nothing(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says in one sentence what is not there."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    fly.answer = lambda asked: Answer(500)
    async with looking(fly) as known:
        known.observe([said("148ed")])
        await until(lambda: known.status.state is SourceState.LOST)
        assert "The machines of web have no names" in known.status.detail
        assert list(known) == []


async def test_an_app_that_fly_does_not_have_is_no_failure(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign app on a drain's line changes nothing, but an app of the settings is told."""
    fly.machines["web"] = [ITEM]
    async with looking(fly, apps=["web"]) as known:
        await until(lambda: known.status.state is SourceState.UP)
        known.observe([LogEntry("m", "x", "stdout", app_name="foreign")])
        await until(lambda: len(fly.asked) == 2)
        await trio.sleep(0.2)
        assert known.status.state is SourceState.UP
    async with looking(fly, apps=["wbe"]) as known:
        await until(lambda: known.status.state is SourceState.LOST)
        assert "The machines of wbe have no names" in known.status.detail


async def test_hostile_names_are_bounded(fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of countless machines and odd apps neither fill the memory nor make odd requests."""
    monkeypatch.setattr(machines, "MAX_MACHINES", 50)
    monkeypatch.setattr(machines, "MAX_WAITING", 50)
    async with looking(fly) as known:
        known.observe([said(f"m{number}") for number in range(1_000)])
        known.observe(
            [LogEntry("m", "x", "stdout", app_name=app) for app in ("../v1", "a/b", "", "a?b")]
        )
        assert len(known._waiting) == 1
        assert len(known._waiting["web"]) <= 50
        await until(lambda: len(fly.asked) == 1)
        await trio.sleep(0.3)
    assert {asked.path for asked in fly.asked} == {"/v1/apps/web/machines"}


async def test_an_app_that_is_read_is_looked_up_before_it_speaks(fly: FlyStandIn) -> None:
    """The machines of a configured app are known before their first line."""
    fly.machines["web"] = [ITEM]
    async with looking(fly, apps=["web"]) as known:
        await until(lambda: known.get("148ed") == MACHINE)


async def test_a_line_has_what_was_known_when_it_was_published(fly: FlyStandIn) -> None:
    """A published line never changes: not when its machine is found, and not at a deployment."""
    fly.machines["web"] = [ITEM]
    line = said("148ed")
    async with looking(fly) as known, open_hub() as hub:
        hub.label = known.label
        hub.publish_nowait([line])
        known.observe([line])
        await until(lambda: known.get("148ed") is not None)
        hub.publish_nowait([line])
        known._learn(attrs.evolve(MACHINE, release="43"), time.time_ns() // 1_000_000)
        hub.publish_nowait([line, said("other")])
        got = hub.backlog.read(Position(1, 0), hub.backlog.end.entry, 10, 10**6).entries
    labels = [(entry.group, entry.release) for entry in got]
    assert labels == [("", ""), ("worker", "42"), ("worker", "43"), ("", "")]


def test_an_old_line_names_no_release_that_came_later() -> None:
    """A line from before the machine's last change has its group, but no release."""
    known = Machines("", SourceStatus("fly_machines", lambda message, type: None))
    known._learn(attrs.evolve(MACHINE, since_ms=1_000), 5_000)
    labelled = known.label([said("148ed"), said("148ed")], [999, 1_000])
    assert [(entry.group, entry.release) for entry in labelled] == [
        ("worker", ""),
        ("worker", "42"),
    ]
    known._learn(attrs.evolve(MACHINE, since_ms=3_000), 5_000)  # it was only restarted
    assert known.label([said("148ed")], [1_000])[0].release == "42"
    known._learn(attrs.evolve(MACHINE, since_ms=4_000, release="43"), 5_000)
    assert known.label([said("148ed")], [3_999])[0].release == ""


def test_a_label_changes_nothing_else() -> None:
    """A line with its group and release has all other fields as before, with its payload."""
    known = Machines("", SourceStatus("fly_machines", lambda message, type: None))
    known._learn(MACHINE, 1)
    line = attrs.evolve(said("148ed"), raw=b'{"a":1}', level="warn", continues=True, region="ams")
    (labelled,) = known.label([line], [1])
    assert attrs.evolve(labelled, group="", release="") == line
    assert labelled.raw == {"a": 1}


async def test_the_release_is_unknown_while_an_image_is_replaced(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lines of a new release do not carry the number of the old one."""
    monkeypatch.setattr(machines, "APP_PAUSE", 0.2)
    fly.machines["web"] = [ITEM]
    pulling = "Pulling container image registry.fly.io/web:deployment-0{}"
    async with looking(fly) as known:
        known.observe([said("148ed")])
        await until(lambda: known.get("148ed") is not None)
        known.observe(
            [said("148ed", pulling.format(1), "runner"), said("148ed", pulling.format(2))]
        )
        assert known.label([said("148ed")], [2**60])[0].release == "42"
        metadata = {"fly_process_group": "worker", "fly_release_version": "43"}
        fly.machines["web"] = [{**ITEM, "config": {"metadata": metadata}}]
        known.observe([said("148ed", pulling.format(2), "runner")])
        between = known.label([said("148ed")], [2**60])[0]
        assert (between.group, between.release) == ("worker", "")
        await until(lambda: known.label([said("148ed")], [2**60])[0].release == "43")


@attrs.define
class Interface:
    """A client of the Machines interface for the virtual clock, on which no socket can wait."""

    items: list[Any]
    asked: list[float] = attrs.field(factory=list)

    async def get(self, url: str) -> Any:
        self.asked.append(trio.current_time())
        return self.items


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("machine", ["148ed", "new"])
async def test_machines_are_looked_up_soon_while_they_get_another_image(
    machine: str, is_late: bool, autojump_clock: MockClock
) -> None:
    """A release is known 2.5 s after its image is pulled, although its app was just asked about.

    If the interface is late, and machines start then, it is known 2.5 s after they have started.
    """
    interface = Interface([ITEM])
    known = Machines("", SourceStatus("fly_machines", lambda message, type: None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(known.run, cast(FlyClient, interface))
        known.observe([said("148ed")])
        await trio.sleep(0.1)
        started = said("148ed", "Machine started in 1.2s", "runner")
        for _ in range(20):  # Machines that only start are asked about at the usual pace.
            known.observe([started])
            await trio.sleep(1.25)
        assert len(interface.asked) == 3
        metadata = {"fly_release_version": "43"}
        items = [ITEM, {**ITEM, "id": machine, "config": {"metadata": metadata}}]
        pull = "Pulling container image registry.fly.io/web:deployment-02"
        if not is_late:
            interface.items = items
        known.observe([said(machine, pull, "runner")])
        await trio.sleep(2.5)
        assert len(interface.asked) == 4
        if is_late:
            interface.items = items
            known.observe([started])
            await trio.sleep(2.5)
        found = known.get(machine)
        assert found is not None
        assert found.release == "43"
        assert min(b - a for a, b in pairwise(interface.asked)) >= 2
        nursery.cancel_scope.cancel()


async def test_many_apps_leave_room_for_other_questions(fly: FlyStandIn) -> None:
    """A hundred apps that speak for the first time delay another request by a few of them."""
    async with open_fly_client("token") as api, trio.open_nursery() as nursery:
        known = Machines(fly.url, SourceStatus("fly_machines", lambda message, type: None))
        nursery.start_soon(known.run, api)
        known.observe([LogEntry("m", "x", "stdout", app_name=f"app-{n}") for n in range(100)])
        await until(lambda: len(fly.asked) > 0)
        await api.get(f"{fly.url}/v1/apps")
        assert len(fly.asked) <= 5
        nursery.cancel_scope.cancel()
