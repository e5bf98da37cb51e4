"""The machines that speak: names, groups and releases, looked up beside the lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.support.fly_api import Answer, FlyStandIn
from tests.support.waiting import until

from natstream.entries.entry import LogEntry
from natstream.fly_api import client, machines
from natstream.fly_api.client import FlyApiError, open_fly_client
from natstream.fly_api.machines import FlyMachine, Machines, parse_machines
from natstream.hub.health import SourceState, SourceStatus

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
async def looking(fly: FlyStandIn) -> AsyncIterator[Machines]:
    """Run the look-up of machines until the end of the block."""
    known = Machines(fly.url, SourceStatus("fly_machines", lambda message, type: None))
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
