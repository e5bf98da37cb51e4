"""`GET /api/fields`: the names and values of the newest lines, in turns and bounded."""

from __future__ import annotations

import gc
import json
import time
from typing import cast

import pytest
import trio
from tests.support.closed import bearer, closed_service, grant_text

from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.hub.backlog import Backlog
from natstream.hub.hub import Hub
from natstream.hub.timeline import Archive, Outage
from natstream.web.fields import LINES, MAX_NAMES, MAX_VALUES, TURN, read_fields


def line(**members: object) -> LogEntry:
    return LogEntry("m", json.dumps(members), "stdout", app_name=str(members.get("app", "web")))


async def test_names_lines_and_values() -> None:
    """Each field comes with the number of its lines and its values, the most frequent first."""
    hub = Hub()
    hub.publish_nowait([line(status=200)] * 2 + [line(status=500, user={"id": None})] * 4)
    hub.publish_nowait([LogEntry("m", "status=200 by logfmt", "stdout"), line(text="x" * 1_000)])
    assert await read_fields(hub, EVERYTHING) == {
        "fields": {
            "status": {"lines": 7, "values": ["500", "200"]},
            "user.id": {"lines": 4, "values": ["null"]},
            "text": {"lines": 1, "values": []},
        }
    }


async def test_only_the_newest_lines_through_the_filter() -> None:
    """The answer is about the newest 2,000 lines that the filter selects."""
    hub = Hub()
    hub.publish_nowait([line(old=1)] * 10)
    hub.publish_nowait([line(app="api", new=n) for n in range(LINES)] + [line(other=1)] * 50)
    filter = Filter.from_query([("app", "api"), ("field", "new>=0")])
    fields = (await read_fields(hub, filter))["fields"]
    assert {name: field["lines"] for name, field in fields.items()} == {"app": LINES, "new": LINES}
    assert "old" in (await read_fields(hub, Filter.from_query([("app", "web")])))["fields"]


async def test_lines_of_an_outage_are_counted_once() -> None:
    """Lines that were shown while the journal was away count once, although it stores them, too."""
    hub, outage, archive = Hub(), Outage(0), cast(Archive, object())
    journal, fallback = (
        Backlog(epoch, max_lines=1_000, max_bytes=2**20, persistent=epoch == "j")
        for epoch in ("j", "f")
    )
    hub.rejoin(journal, archive)
    hub.fall_back(fallback, outage)
    hub.publish_nowait([line(status=200)] * 5)
    journal.append([line(status=200)] * 5, [1] * 5, [0] * 5)
    outage.numbers |= set(range(1, 6))
    hub.rejoin(journal, archive)
    fields = (await read_fields(hub, EVERYTHING))["fields"]
    assert fields["status"]["lines"] == 5


async def test_the_answer_is_bounded() -> None:
    """An answer has at most 200 names and 20 values of each."""
    hub = Hub()
    hub.publish_nowait([line(**{f"name{n}": n, "same": n}) for n in range(1_000)])
    fields = (await read_fields(hub, EVERYTHING))["fields"]
    assert len(fields) == MAX_NAMES
    assert len(fields["same"]["values"]) == MAX_VALUES
    assert fields["same"]["lines"] == 1_000


async def test_other_tasks_run_meanwhile() -> None:
    """A search over a full backlog of large lines gives other tasks a turn every few ms."""
    hub = Hub()
    large = line(**{f"key{n}": {"a": [n] * 20} for n in range(150)})
    hub.publish_nowait([large] * 2_000)
    hub.publish_nowait([line(a=1)] * 20_000)
    turns: list[float] = []

    async def watch() -> None:
        while True:
            started = time.thread_time()
            await trio.lowlevel.checkpoint()
            turns.append(time.thread_time() - started)

    gc.freeze()  # Otherwise collections of the objects of all other tests would be measured, too.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await read_fields(hub, Filter.from_query([("field", "key1.a.3")]))
        nursery.cancel_scope.cancel()
    gc.unfreeze()
    assert len(turns) > 10
    assert max(turns) < TURN + 0.02


async def test_a_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes too long ends with what it has found."""
    monkeypatch.setattr("natstream.web.fields.MAX_SECONDS", 0.0)
    monkeypatch.setattr("natstream.web.fields.TURN", 0.0)
    hub = Hub()
    hub.publish_nowait([line(a=1)] * 100)
    fields = (await read_fields(hub, EVERYTHING))["fields"]
    assert fields.get("a", {"lines": 0})["lines"] < 100


async def test_a_link_gets_the_fields_of_its_lines() -> None:
    """The holder of a link gets the fields of the lines that the link shows, by its fields, too."""
    async with closed_service() as service:
        service.service.core.hub.publish_nowait(
            [line(status=200, secret="s"), line(status=500), line(app="api", status=501)]
        )
        for scope, query, expected in (
            ((("app", "web"),), "field=status>=500", {"status": ["500"]}),
            ((("app", "web"), ("field", "!secret")), "", {"status": ["500"]}),
            ((("field", "!secret"),), "app=api", {"app": ["api"], "status": ["501"]}),
            ((("field", "status>=500"),), "field=status<500", {}),
        ):
            response = await service.get(f"/api/fields?{query}", headers=bearer(grant_text(*scope)))
            fields = response.json()["fields"]
            assert {name: field["values"] for name, field in fields.items()} == expected
        response = await service.get("/api/fields?tail=5", headers=bearer())
        assert response.status_code == 400
        assert response.json()["parameter"] == "tail"
        whole = (await service.get("/api/facets", headers=bearer())).json()
        assert whole["app"]
        scoped = bearer(grant_text(("field", "!secret")))
        assert (await service.get("/api/facets", headers=scoped)).json()["app"] == {}
