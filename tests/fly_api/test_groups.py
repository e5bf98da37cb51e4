"""Groups and releases of machines, from Fly's Machines interface to a reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from tests.support.fly_api import Answer, FlyStandIn
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE, until

OLD = "2022-09-27T20:00:00Z"


def item(id: str, group: str, release: str, updated_at: str = OLD) -> dict[str, Any]:
    """Return a machine as the interface describes it."""
    metadata = {"fly_process_group": group, "fly_release_version": release}
    return {
        "id": id,
        "name": f"name of {id}",
        "state": "started",
        "updated_at": updated_at,
        "config": {"metadata": metadata},
    }


async def named(service: RunningService) -> None:
    """Wait until the service knows the machines of its app."""
    status = service.service.core.health.interfaces["fly_machines"]
    await until(lambda: str(status.state) == "up")


async def lines(service: RunningService, query: str = "") -> list[dict[str, Any]]:
    """Return the events of the lines that the service has."""
    text = (await service.get(f"/api/logs?follow=false&format=ndjson{query}")).text
    return [
        event for event in map(json.loads, filter(None, text.splitlines())) if "machine" in event
    ]


async def say(server: MistreatedServer, machine: str, *texts: str) -> None:
    """Let a machine write some lines without blanks in them."""
    await server.publish(f"logs.web.sjc.{machine}", [payload(text) for text in texts])


async def test_lines_carry_what_is_known_of_their_machine(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """Events, filters and counts have the group and release, and lines of other machines do not."""
    fly.machines["web"] = [item("m1", "web", "41"), item("m2", "worker", "42")]
    async with open_service(nats_server, FLY_APP="web", **fly.environ) as service:
        await named(service)
        async with service.stream("?group=worker") as live:
            for machine in ("m1", "m2", "other"):
                await say(nats_server, machine, f"of-{machine}")
            (event,) = await live.lines(1)
            assert (event.data["group"], event.data["release"]) == ("worker", "42")
        events = {event["message"]: event for event in await lines(service)}
        assert events["of-m1"]["release"] == "41"
        assert not {"group", "release"} & set(events["of-other"])
        for query, wanted in (
            ("&group=web,worker", ["of-m1", "of-m2"]),
            ("&release=42", ["of-m2"]),
            ("&group=web&release=42", []),
        ):
            assert [event["message"] for event in await lines(service, query)] == wanted
        facets = (await service.get("/api/facets?release=41")).json()
        assert {value: each["lines"] for value, each in facets["release"].items()} == {
            "41": 1,
            "42": 1,
        }
        assert list(facets["group"]) == ["web"]
        answer = await service.get(f"/api/machine?id={events['of-m2']['id']}")
        assert answer.json()["machine"]["name"] == "name of m2"
        nothing = await service.get(f"/api/machine?id={events['of-other']['id']}")
        assert nothing.json() == {"machine": None}


async def test_a_stored_line_has_what_its_reader_knows(
    nats_server: MistreatedServer, journal: JournalServer, fly: FlyStandIn
) -> None:
    """With a journal, lines carry groups and releases in memory and after they have left it."""
    fly.machines["web"] = [item("m1", "web", "41")]
    more = fly.environ | journal.environ | {"NATSTREAM_BACKLOG_LINES": "10"}
    async with open_service(nats_server, FLY_APP="web", **more) as service:
        await named(service)
        await service.state("journal", "up")
        await say(nats_server, "m1", *(f"line-{n}" for n in range(50)))
        await until(lambda: service.service.core.hub.statistics().published == 50)
        assert service.service.core.hub.backlog.lines == 10
        events = await lines(service, "&release=41&group=web")
        assert [event["message"] for event in events] == [f"line-{n}" for n in range(50)]
        (line,) = await lines(service, f"&around={events[3]['id']}&before=0&after=0")
        assert (line["message"], line["group"], line["release"]) == ("line-3", "web", "41")


async def test_a_line_does_not_wait_for_a_machine(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """While the interface hangs, lines come at once and as they are without it."""
    fly.answer = lambda asked: Answer(hang=True) if "machines" in asked.path else None
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as live,
    ):
        await until(lambda: any("machines" in asked.path for asked in fly.asked))
        with trio.fail_after(2):
            await say(nats_server, "m1", "hello")
            (event,) = await live.lines(1)
        assert not {"group", "release"} & set(event.data)


@pytest.mark.parametrize("body", [b"<html>", b"[{", b'{"error":"x"}', b"[null, 7, {}]"])
async def test_a_broken_interface_shows_what_was_shown_before(
    nats_server: MistreatedServer, fly: FlyStandIn, body: bytes
) -> None:
    """Unreadable answers leave lines, counts and /readyz as they are without the interface."""
    fly.answer = lambda asked: Answer(200, body) if "machines" in asked.path else None
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as live,
    ):
        await say(nats_server, "m1", "hello")
        with trio.fail_after(PATIENCE):
            (event,) = await live.lines(1)
        assert not {"group", "release"} & set(event.data)
        facets = (await service.get("/api/facets")).json()
        assert facets["group"] == facets["release"] == {}
        assert (await service.get("/readyz")).status_code == 200
