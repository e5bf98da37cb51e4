"""Holes and pasts of hard shapes: many machines, many apps, odd pages, and clocks that are off."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections import defaultdict
from typing import Any

import pytest
import trio
from tests.support.event_stream import Event
from tests.support.fly_api import Answer, Asked, FlyLine, FlyStandIn
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until

from natstream.fly_api import client, history
from natstream.fly_api.client import open_fly_client
from natstream.fly_api.logs import LogReader
from natstream.fly_api.past import read_past

pytestmark = pytest.mark.usefixtures("fast_fly")

MACHINES = [f"148e{n:010x}" for n in range(4)]


def fly_logs(service: RunningService) -> Any:
    """Return the status of the logs interface."""
    return service.service.core.health.interfaces["fly_logs"]


async def send(nats_server: MistreatedServer, line: FlyLine) -> None:
    """Publish a line by NATS."""
    subject = f"logs.web.{line.region}.{line.instance}"
    await nats_server.publish(subject, [payload(line.message, timestamp=line.timestamp)])


def by_machine(events: list[Event]) -> dict[str, list[str]]:
    """Return the messages of each machine's lines, in order."""
    found = defaultdict(list)
    for event in events:
        if event.is_line:
            found[event.data["machine"]].append(event.message)
    return dict(found)


async def test_an_outage_of_several_machines_is_filled(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """With 50 lines/s of four machines, each machine's lines come once and in order."""
    fly.lines["web"] = []
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
        trio.open_nursery() as nursery,
    ):
        expected: dict[str, list[str]] = {machine: [] for machine in MACHINES}
        total = 0
        is_away = False

        async def log() -> None:
            nonlocal total
            while True:
                machine = MACHINES[total % 4]
                line = FlyLine(time.time_ns(), f"line {total}", machine)
                total += 1
                expected[machine].append(line.message)
                fly.add("web", [line])
                if not is_away:
                    await send(nats_server, line)
                await trio.sleep(0.02)

        nursery.start_soon(log)
        events = await stream.until("line 20")
        is_away = True
        await nats_server.kill()
        await service.state("nats", "lost")
        await trio.sleep(3)
        await nats_server.start()
        is_away = False
        events += await stream.until("were filled from Fly's logs interface")
        events += await stream.until(f"line {total + 10}")
        nursery.cancel_scope.cancel()
    found = by_machine(events)
    assert found.keys() == expected.keys()
    for machine, lines in found.items():
        assert lines == expected[machine][: len(lines)]
    assert sum(map(len, found.values())) >= total - 10


async def test_lines_that_cannot_be_read_in_time_are_told(
    nats_server: MistreatedServer, fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole that is longer than its deadline allows ends in a gap, and is not called filled."""
    monkeypatch.setattr(history, "FILL_DEADLINE", 0.5)
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
    ):
        await until(lambda: str(fly_logs(service).state) == "up")
        await nats_server.kill()
        now = time.time_ns()
        fly.add("web", [FlyLine(now - 10**9 + n * 10**5, f"line {n}") for n in range(20_000)])
        await service.state("nats", "lost")
        await nats_server.start()
        notice = (await stream.until("are not known"))[-1]
    assert "not all of them could be read within 0.5 s" in notice.message
    assert notice.data["gap"]["missed"] is None


async def test_a_busy_app_does_not_hide_that_nats_is_back(
    nats_server: MistreatedServer, fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question during an outage ends when NATS is back, however much there is to read."""
    monkeypatch.setattr(history, "FILL_DEADLINE", 0.5)

    def endless(asked: Asked) -> Answer | None:
        if not asked.path.endswith("/logs"):
            return None
        start = int(asked.query.get("next_token", time.time_ns())) + 1
        lines = [FlyLine(start + n, f"{start + n}") for n in range(100)]
        return page(lines, start + 99)

    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
    ):
        await until(lambda: str(fly_logs(service).state) == "up")
        fly.answer = endless
        await nats_server.kill()
        await service.state("nats", "lost")
        await trio.sleep(1)
        await nats_server.start()
        await service.state("nats", "up")
        with trio.fail_after(10):
            await stream.until("are not known")


def page(lines: list[FlyLine], cursor: int | str, ids: list[Any] | None = None) -> Answer:
    """Return an answer with these lines."""
    data = [
        {
            "id": f"{line.unix_ns}" if ids is None else ids[n],
            "attributes": {
                "timestamp": line.timestamp,
                "message": line.message,
                "instance": line.instance,
                "region": line.region,
                "level": "info",
                "meta": {},
            },
        }
        for n, line in enumerate(lines)
    ]
    return Answer(body=json.dumps({"data": data, "meta": {"next_token": cursor}}).encode())


async def test_an_outage_during_the_start_is_filled(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """Lines that NATS misses while the past is still read are filled afterwards."""
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
    ):
        await service.state("nats", "up")
        fly.delay = 2
        await nats_server.kill()
        await service.state("nats", "lost")
        fly.add("web", [FlyLine(time.time_ns(), "missed")])
        await nats_server.start()
        await service.state("nats", "up")
        fly.delay = 0
        events = await stream.until("were filled from Fly's logs interface")
    assert [event.message for event in events if event.is_line] == ["missed"]


async def test_many_apps_do_not_delay_the_first_one(
    nats_server: MistreatedServer, fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 apps, those that were read first are there after the patience, the rest later."""
    monkeypatch.setattr(history, "START_PATIENCE", 3.0)
    fly.lines.clear()
    now = time.time_ns()
    for n in range(200):
        fly.add(f"app-{n:03}", [FlyLine(now - 10**9 * (500 - k), f"{n} {k}") for k in range(9)])
    async with open_service(nats_server, FLY_APP="*", **fly.environ) as service:
        text = (await service.get("/api/logs?format=ndjson&follow=false")).text
        events = [json.loads(row) for row in text.splitlines()]
    messages = [event["message"] for event in events if event.get("app") == "app-000"]
    assert messages == [f"0 {k}" for k in range(9)]
    asked = [request.time for request in fly.asked]
    for start in asked:
        assert sum(start <= moment < start + 1 for moment in asked) <= 8


async def test_a_start_that_takes_too_long_keeps_what_it_has_read(
    nats_server: MistreatedServer, fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the deadline the apps that were read have their past, and the state says so."""
    monkeypatch.setattr(history, "START_DEADLINE", 3.0)
    fly.lines.clear()
    for n in range(20):
        fly.add(f"app-{n:03}", [FlyLine(time.time_ns() - 10**10, f"of {n}")])
    async with open_service(nats_server, FLY_APP="*", **fly.environ) as service:
        await until(lambda: str(fly_logs(service).state) == "lost")
        assert "not all of them could be read within 3 s" in fly_logs(service).detail
        text = (await service.get("/api/logs?format=ndjson&follow=false")).text
    assert "of 0" in text


@pytest.mark.parametrize("skew", [-300, 300])
async def test_clocks_that_are_off_cost_no_line_and_double_none(
    nats_server: MistreatedServer, fly: FlyStandIn, skew: int
) -> None:
    """An outage is filled once although Fly's clock is minutes behind or ahead of ours."""

    def line(message: str) -> FlyLine:
        found = FlyLine(time.time_ns() + skew * 10**9, message)
        fly.add("web", [found])
        return found

    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
    ):
        await until(lambda: str(fly_logs(service).state) == "up")
        events = []
        for n in range(5):
            await send(nats_server, line(f"line {n}"))
            events += await stream.until(f"line {n}")
        await nats_server.kill()
        await service.state("nats", "lost")
        line("line 5")
        await nats_server.start()
        events += await stream.until("were filled from Fly's logs interface")
    assert [event.message for event in events if event.is_line] == [f"line {n}" for n in range(6)]


async def read_all(fly: FlyStandIn, since_ns: int) -> list[str]:
    """Return the messages that a reader gets until it has caught up."""
    async with open_fly_client("token") as api:
        reader = LogReader(api, fly.url, "web", since_ns=since_ns)
        got: list[str] = []
        with trio.fail_after(10):
            while not reader.is_caught_up:
                got += [entry.message for entry in await reader.next_page()]
    return got


START = 1_790_000_000_123_456_789


async def test_pages_may_have_any_size(fly: FlyStandIn) -> None:
    """A page of a few lines between full ones does not end the reading."""
    lines = [FlyLine(START + n, f"{n}") for n in range(250)]
    sizes = iter([100, 3, 2, 100, 20])

    def answer(asked: Asked) -> Answer:
        token = int(asked.query["next_token"])
        part = [line for line in lines if line.unix_ns >= token][: next(sizes, 100)]
        return page(part, part[-1].unix_ns)

    fly.answer = answer
    assert await read_all(fly, START) == [str(n) for n in range(250)]


@pytest.mark.parametrize("id", [None, "same", True, ""])
async def test_ids_that_are_missing_or_repeated_cost_no_line(fly: FlyStandIn, id: Any) -> None:
    """Lines without ids of their own are told apart, and equal ones of one page all count."""
    lines = [FlyLine(START + n // 2, "twice") for n in range(20)]
    fly.answer = lambda asked: page(
        part := [line for line in lines if line.unix_ns >= int(asked.query["next_token"])][:7],
        part[-1].unix_ns,
        [id] * 7,
    )
    assert await read_all(fly, START) == ["twice"] * 20


@pytest.mark.parametrize("cursor", [str(START), START - 5, 1.7e18, "", 10**30, 2**70])
async def test_a_useless_cursor_is_replaced_by_the_time(fly: FlyStandIn, cursor: Any) -> None:
    """A cursor that stands still, goes back or is no time is replaced by the newest line's time."""
    lines = [FlyLine(START + n, f"{n}") for n in range(250)]
    fly.answer = lambda asked: page(
        [line for line in lines if line.unix_ns >= int(asked.query["next_token"])][:100], cursor
    )
    assert await read_all(fly, START) == [str(n) for n in range(250)]


async def test_an_interface_that_ignores_the_cursor_is_told(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """The same page for every question is a problem with a sentence, and no endless reading."""
    lines = [FlyLine(time.time_ns() - 10**9 + n, f"{n}") for n in range(100)]
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
    ):
        await until(lambda: str(fly_logs(service).state) == "up")
        fly.answer = lambda asked: page(lines, lines[-1].unix_ns)
        await nats_server.kill()
        await service.state("nats", "lost")
        await nats_server.start()
        events = await stream.until("are not known")
    assert "gives the same lines again" in events[-1].message
    assert [event.message for event in events if event.is_line] == [str(n) for n in range(100)]


async def test_the_half_of_a_character_ends_nothing(fly: FlyStandIn) -> None:
    """A text that cannot be encoded costs a question mark and not the task that reads."""
    lines = [FlyLine(START, "a \ud800 b", instance="\udc00"), FlyLine(START + 1, "c")]
    fly.answer = lambda asked: page(
        [line for line in lines if line.unix_ns >= int(asked.query["next_token"])], START + 1
    )
    assert await read_all(fly, START) == ["a ? b", "c"]


async def test_a_million_lines_take_little_memory(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last 5,000 of a million lines are read with the memory of a few thousand."""
    monkeypatch.setattr(client, "INTERVAL", 0.0)
    step = 900_000  # A million lines in a quarter of an hour.
    end = time.time_ns()
    first = end - 1_000_000 * step

    def answer(asked: Asked) -> Answer:
        token = asked.query.get("next_token")
        number = 999_900 if token is None else max(0, -(-(int(token) - first) // step))
        numbers = range(number, min(number + 100, 1_000_000))
        lines = [FlyLine(first + n * step, f"line {n} " + "x" * 200) for n in numbers]
        return page(lines, lines[-1].unix_ns if lines else "")

    fly.answer = answer
    async with open_fly_client("token") as api:
        tracemalloc.start()
        try:
            with trio.fail_after(60):
                past = await read_past(api, fly.url, "web", first, 5_000, 2**22)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert 1_000 < len(past) <= 5_000
    assert past[-1].message.startswith("line 999999 ")
    assert sum(entry.cost for entry in past) <= 2**22
    assert len(fly.asked) < 200
    assert peak < 40 * 2**20


async def test_a_slow_interface_delays_no_live_line(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """While every answer takes seconds, lines of NATS come as fast as without the interface."""
    fly.delay = 3
    delays = []
    async with (
        open_service(nats_server, FLY_APP="web", **fly.environ) as service,
        service.stream() as stream,
        nats_server.publisher() as publisher,
    ):
        await service.state("nats", "up")
        for n in range(200):
            begun = trio.current_time()
            await publisher.publish([("logs.web.sjc.m1", payload(f"live {n}"))])
            await stream.until(f"live {n}")
            delays.append(trio.current_time() - begun)
    assert sorted(delays)[198] < 0.5


async def test_the_token_is_shown_nowhere(
    nats_server: MistreatedServer, fly: FlyStandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    """After refusals that quote the token, no log line, metric or answer holds it."""
    fly.answer = lambda asked: Answer(401, asked.headers["authorization"].encode())
    async with open_service(nats_server, FLY_APP="web", **fly.environ) as service:
        await until(lambda: str(fly_logs(service).state) == "lost")
        paths = ("/readyz", "/metrics", "/api/status", "/api/earlier?app=web", "/api/logs?follow=0")
        answers = [(await service.get(path)).text for path in paths]
        assert nats_server.password in fly.asked[0].headers["authorization"]
    captured = capfd.readouterr()
    for text in (*answers, captured.out, captured.err):
        assert nats_server.password not in text
