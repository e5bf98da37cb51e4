"""`GET /api/earlier`: lines from before the backlog, by a stand-in of Fly's logs interface."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trio
from tests.support.fly_api import Answer, FlyLine, FlyStandIn
from tests.support.mistreated import MistreatedServer
from tests.support.service import open_service

from natstream.entries.entry import LogEntry
from natstream.entries.filters import Filter
from natstream.errors import BadQuery, SourceUnavailable
from natstream.fly_api import client, earlier
from natstream.fly_api.client import FlyClient, open_fly_client
from natstream.fly_api.earlier import Earlier, EarlierLines
from natstream.web.earlier import read_earlier
from natstream.web.grants import Grant

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses that a real interface needs."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(client, "INTERVAL", 0.001)


async def list_apps(client: FlyClient) -> Sequence[str]:
    return ["web"]


def unchanged(entries: Sequence[LogEntry], arrivals: Sequence[int]) -> Sequence[LogEntry]:
    return entries


@asynccontextmanager
async def asking(fly: FlyStandIn, apps: Sequence[str] = ("web",)) -> AsyncIterator[Ask]:
    """Yield a function that asks for earlier lines."""
    async with open_fly_client("token") as api:
        reads = Earlier(fly.url, apps, list_apps, api)

        async def ask(
            lines: int = 100, before_ms: int = 2**50, query: str = "", app: str = "web"
        ) -> EarlierLines:
            with trio.fail_after(20):
                filter = Filter.from_query(parse_qsl(query))
                before_ms = min(before_ms, time.time_ns() // 1_000_000)
                return await reads.read(app, before_ms, lines, filter, unchanged)

        yield ask


def spread(count: int, *, ago: float, step: float) -> list[FlyLine]:
    """Return lines of one machine, `step` seconds apart, the first of which is `ago` s old."""
    start = time.time_ns() - int(ago * 1e9)
    return [
        FlyLine(start + int(n * step * 1e9), f"line {n}", level="error" if n % 50 == 0 else "info")
        for n in range(count)
    ]


def texts(found: EarlierLines) -> list[str]:
    return [entry.message for entry in found.entries]


@pytest.mark.parametrize(
    ("count", "ago", "step"),
    [
        (50, 3_000, 1),
        (3_000, 3_000, 0.5),
        (5_000, 100, 0.001),
        (5_000, 100, 0.0),
        (40, 86_400 * 6, 10_000),
    ],
)
async def test_the_last_lines_before_a_time_come_whole(
    fly: FlyStandIn, count: int, ago: float, step: float
) -> None:
    """Whatever an app's pace is, going back from answer to answer gives each line once."""
    fly.add("web", spread(count, ago=ago, step=step))
    wanted = min(count, 900)
    got: list[str] = []
    async with asking(fly) as ask:
        before_ms, is_complete = 2**50, False
        while len(got) < wanted and not is_complete:
            fly.asked.clear()
            found = await ask(300, before_ms)
            assert len(fly.asked) <= earlier.MAX_REQUESTS
            if step:
                assert len(found.entries) <= 301
            got = texts(found) + got
            assert found.from_ms <= before_ms
            before_ms, is_complete = found.from_ms, found.is_complete
            if not step:
                break
    if step:
        assert got == [f"line {n}" for n in range(count)][-len(got) :]
        assert len(got) >= wanted


async def test_a_rare_line_costs_no_more_requests_than_allowed(fly: FlyStandIn) -> None:
    """A filter that nothing meets ends with the budget, and says from where to go on."""
    fly.add("web", spread(20_000, ago=7_200, step=0.36))
    async with asking(fly) as ask:
        found = await ask(100, query="q=nothing+like+it")
        assert found.entries == []
        assert not found.is_complete
        assert 0 < len(fly.asked) <= earlier.MAX_REQUESTS
        now_ms = time.time_ns() // 1_000_000
        assert found.from_ms < now_ms - 60_000
        errors = await ask(20, query="min_level=error")
        assert [entry.level for entry in errors.entries] == ["error"] * 20
        assert texts(errors)[-1] == "line 19950"


async def test_faults_count_as_requests(fly: FlyStandIn) -> None:
    """With a burst of 429 in between, an answer makes no more requests than without."""
    fly.add("web", spread(20_000, ago=7_200, step=0.36))
    count = 0

    def limit(asked: Any) -> Answer | None:
        nonlocal count
        count += 1
        return Answer(429) if count % 3 else None

    fly.answer = limit
    async with asking(fly) as ask:
        await ask(1_000, query="q=nothing+like+it")
    assert len(fly.asked) <= earlier.MAX_REQUESTS


async def test_what_was_found_before_a_fault_is_kept(fly: FlyStandIn) -> None:
    """A fault after the first lines ends the answer, and a fault at the start is an error."""
    fly.add("web", spread(3_000, ago=3_000, step=1))
    async with asking(fly) as ask:
        fly.answer = lambda asked: Answer(500) if len(fly.asked) > 3 else None
        found = await ask(1_000)
        assert 0 < len(found.entries) < 1_000
        assert not found.is_complete
        fly.answer = lambda asked: Answer(401)
        with pytest.raises(SourceUnavailable, match="Earlier lines of web are not there"):
            await ask()


async def test_only_apps_that_are_read_are_asked_about(fly: FlyStandIn) -> None:
    """Another app is refused before the interface is asked for its lines."""
    for apps in (("web",), ()):
        async with asking(fly, apps) as ask:
            for app in ("api", "../web", ""):
                with pytest.raises(BadQuery, match="app is not one that this service reads"):
                    await ask(app=app)
    assert fly.asked == []


async def test_the_endpoint(nats_server: MistreatedServer, fly: FlyStandIn) -> None:
    """Lines from before the start's history come with their time and level, and without ids."""
    fly.add("web", spread(200, ago=3_600, step=1))
    more = {"FLY_APP": "web", **fly.environ}
    async with open_service(nats_server, **more) as service:
        answer = (await service.get("/api/earlier?app=web&lines=10")).json()
        assert [line["message"] for line in answer["lines"]] == [
            f"line {n}" for n in range(190, 200)
        ]
        assert {line["source"] for line in answer["lines"]} == {"fly"}
        assert not any("id" in line for line in answer["lines"])
        assert (answer["complete"], answer["resumable"]) == (False, False)
        query = f"/api/earlier?app=web&lines=3&before={answer['from_ms']}&level=error"
        levels = [line["level"] for line in (await service.get(query)).json()["lines"]]
        assert levels == ["error"] * 3
        for wrong in ("", "app=web,api", "app=web&lines=1001", "app=web&before=x", "app=api",
                      "app=web&tail=5", "app=web&lines=1&lines=2"):  # fmt: skip
            refused = await service.get(f"/api/earlier?{wrong}")
            assert (refused.status_code, bool(refused.json()["parameter"])) == (400, True), wrong
        fly.answer = lambda asked: Answer(500)
        assert (await service.get("/api/earlier?app=web")).status_code == 503


@pytest.mark.parametrize("scope", [("not_app", "web"), ("app", "api")])
async def test_an_app_outside_of_a_link_is_not_asked_about(
    fly: FlyStandIn, scope: tuple[str, str]
) -> None:
    """Fly is not asked about an app that the link of a reader excludes or does not name."""
    fly.add("web", spread(20, ago=3_600, step=1))
    async with open_fly_client("token") as api:
        reads = Earlier(fly.url, ["web", "api"], list_apps, api)
        whole = await read_earlier(reads, [("app", "web")], Grant(), unchanged)
        assert json.loads(whole)["lines"], "the test itself must see them"
        asked = len(fly.asked)
        answer = await read_earlier(reads, [("app", "web")], Grant(query=(scope,)), unchanged)
    assert json.loads(answer)["lines"] == []
    assert len(fly.asked) == asked


async def test_without_the_interface_there_is_no_such_thing(nats_server: MistreatedServer) -> None:
    """A service that does not ask Fly says so."""
    async with open_service(nats_server) as service:
        answer = await service.get("/api/earlier?app=web")
    assert answer.status_code == 404
    assert "NATSTREAM_FLY_API=on" in answer.json()["error"]
