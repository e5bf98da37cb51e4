"""The past and the holes of NATS, filled from a stand-in of Fly's logs interface."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
import trio
from tests.support.fly_api import Answer, FlyLine, FlyStandIn
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until

from natstream.fly_api import history

pytestmark = pytest.mark.usefixtures("fast_fly")


def environ(fly: FlyStandIn, **more: str) -> dict[str, str]:
    """Return the settings of a service that asks the stand-in."""
    interfaces = {"NATSTREAM_FLY_API_URL": fly.url, "NATSTREAM_MACHINES_API_URL": fly.url}
    return {"FLY_APP": "web", "NATSTREAM_FLY_API": "on", **interfaces, **more}


def past(first: int, count: int, *, ago: float, step: float = 0.01) -> list[FlyLine]:
    """Return numbered lines of one machine, the first of which is `ago` seconds old."""
    start = time.time_ns() - int(ago * 1e9)
    return [FlyLine(start + int(n * step * 1e9), f"line {first + n}") for n in range(count)]


def as_payload(line: FlyLine) -> bytes:
    """Return the line as NATS brings it."""
    return payload(line.message, timestamp=line.timestamp)


def subject(line: FlyLine) -> str:
    """Return the line's subject."""
    return f"logs.web.{line.region}.{line.instance}"


async def replay(service: RunningService, query: str = "follow=false") -> list[dict[str, Any]]:
    """Return the events of a replay, notices included."""
    text = (await service.get(f"/api/logs?format=ndjson&{query}")).text
    return [json.loads(row) for row in text.splitlines() if row]


def messages(events: Iterable[dict[str, Any]]) -> list[str]:
    """Return the messages of the lines among some events."""
    return [event["message"] for event in events if "machine" in event]


async def test_the_last_lines_are_there_at_the_start(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """A new service has the 450 lines of before, in order, marked, and within ten seconds."""
    fly.add("web", past(0, 450, ago=600, step=1))
    with trio.fail_after(10):
        async with open_service(nats_server, **environ(fly)) as service:
            events = await replay(service)
    assert messages(events) == [f"line {n}" for n in range(450)]
    lines = [event for event in events if "machine" in event]
    assert {event["source"] for event in lines} == {"fly"}
    assert [event["id"] for event in lines] == sorted(
        (event["id"] for event in lines), key=lambda id: int(id.rpartition("-")[2])
    )


async def test_only_the_newest_lines_of_a_busy_app_are_read(
    nats_server: MistreatedServer, fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that says more than fits is not read from the beginning of the quarter of an hour."""
    monkeypatch.setattr(history, "START_LINES", 300)
    fly.add("web", past(0, 8_000, ago=800, step=0.1))
    async with open_service(nats_server, **environ(fly)) as service:
        events = await replay(service)
    assert messages(events) == [f"line {n}" for n in range(7_700, 8_000)]
    assert len(fly.asked) < 12


async def test_a_burst_at_the_end_does_not_hide_the_quiet_lines_before(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """Where the newest page is a burst, the lines before it are read too."""
    fly.add("web", past(0, 200, ago=800, step=3))
    fly.add("web", past(200, 150, ago=1, step=0.001))
    async with open_service(nats_server, **environ(fly)) as service:
        events = await replay(service)
    assert messages(events) == [f"line {n}" for n in range(350)]


async def test_lines_that_both_ways_bring_are_shown_once(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """A line of the past that also comes by NATS, before or after, is one line."""
    lines = past(0, 20, ago=3, step=0.01)
    fly.add("web", lines)
    fly.delay = 0.5
    async with open_service(nats_server, **environ(fly)) as service:
        async with nats_server.publisher() as publisher:
            await publisher.publish((subject(line), as_payload(line)) for line in lines[15:])
        status = service.service.core.health.interfaces["fly_logs"]
        await until(lambda: str(status.state) == "up")
        async with nats_server.publisher() as publisher:
            await publisher.publish((subject(line), as_payload(line)) for line in lines[10:15])
            await publisher.publish([(subject(lines[0]), payload("new"))])

        async def has_come() -> bool:
            return "new" in messages(await replay(service))

        with trio.fail_after(5):
            while not await has_come():
                await trio.sleep(0.05)
        events = await replay(service)
    assert sorted(messages(events)) == sorted([*(line.message for line in lines), "new"])


async def test_an_outage_is_filled(nats_server: MistreatedServer, fly: FlyStandIn) -> None:
    """Each line of an outage comes once and in order, and a notice says that it was filled."""
    numbers = iter(range(10_000))
    async with (
        open_service(nats_server, **environ(fly)) as service,
        service.stream() as stream,
        trio.open_nursery() as nursery,
    ):
        expected: list[str] = []
        is_away = False

        async def log() -> None:
            while True:
                line = FlyLine(time.time_ns(), f"line {next(numbers)}")
                expected.append(line.message)
                fly.add("web", [line])
                if not is_away:
                    async with nats_server.publisher() as publisher:
                        await publisher.publish([(subject(line), as_payload(line))])
                await trio.sleep(0.02)

        nursery.start_soon(log)
        before = await stream.until("line 20")
        is_away = True
        await nats_server.kill()
        await service.state("nats", "lost")
        await trio.sleep(2)
        await nats_server.start()
        is_away = False
        events = before + await stream.until("were filled from Fly's logs interface")
        events += await stream.until(f"line {len(expected) + 10}")
        nursery.cancel_scope.cancel()
        lines = [event for event in events if event.is_line]
        assert [event.message for event in lines] == expected[: len(lines)]
        assert {event.data["source"] for event in lines} == {"nats", "fly"}
        notices = [event.message for event in events if not event.is_line]
        gap = next(n for n, text in enumerate(notices) if "are missing" in text)
        assert any("were filled" in text for text in notices[gap:])
        # A reader that resumes over the hole gets the same lines.
        id = next(event.id for event in before if event.is_line)
        async with service.stream(headers={"Last-Event-ID": id}) as resumed:
            again = await resumed.lines(len(lines) - 1)
        assert [event.message for event in again] == [event.message for event in lines[1:]]


FAILURES = [
    pytest.param(Answer(401), "refuses ACCESS_TOKEN", id="401"),
    pytest.param(Answer(429), "too many requests", id="429"),
    pytest.param(Answer(500), "fails (500)", id="500"),
    pytest.param(Answer(200, b"<html>"), "not JSON", id="html"),
    pytest.param(Answer(200, b'{"data":['), "not JSON", id="cut"),
    pytest.param(Answer(404), "no such app", id="404"),
]


@pytest.mark.parametrize(("fault", "words"), FAILURES)
async def test_a_failing_interface_leaves_the_service_as_it_is(
    nats_server: MistreatedServer, fly: FlyStandIn, fault: Answer, words: str
) -> None:
    """Live lines come, the service is ready, and one sentence says what is not there."""
    fly.answer = lambda asked: fault
    async with open_service(nats_server, **environ(fly)) as service:
        with trio.fail_after(5):
            await until(lambda: words in service.service.core.health.interfaces["fly_logs"].detail)
        async with service.stream("?tail=1") as stream:
            await nats_server.publish("logs.web.sjc.m1", [payload("alive")])
            assert (await stream.lines(1))[0].message == "alive"
        ready = await service.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["interfaces"]["fly_logs"]["state"] == "lost"
    assert nats_server.password not in ready.text


async def test_an_outage_that_cannot_be_filled_says_so(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """After the outage, an error notice with a gap says why lines are not known."""
    async with open_service(nats_server, **environ(fly)) as service, service.stream() as stream:
        await until(lambda: str(service.service.core.health.interfaces["fly_logs"].state) == "up")
        fly.answer = lambda asked: Answer(401)
        await nats_server.kill()
        await service.state("nats", "lost")
        await nats_server.start()
        notice = (await stream.until("are not known"))[-1]
    assert notice.data["type"] == "error"
    assert notice.data["gap"]["missed"] is None
    assert "refuses ACCESS_TOKEN" in notice.message


async def test_two_processes_with_a_journal_fill_once(
    nats_server: MistreatedServer, journal: JournalServer, fly: FlyStandIn
) -> None:
    """The past is stored once, although two processes start and read it."""
    fly.add("web", past(0, 150, ago=300, step=1))
    settings = environ(fly) | journal.environ
    async with (
        open_service(nats_server, **settings) as one,
        open_service(nats_server, **settings) as two,
    ):
        for service in (one, two):
            status = service.service.core.health.interfaces["fly_logs"]
            with trio.fail_after(10):
                await until(lambda status=status: str(status.state) == "up")
            await until(lambda service=service: service.waiting_lines == 0)
        assert messages(await replay(one)) == [f"line {n}" for n in range(150)]
        assert messages(await replay(two)) == [f"line {n}" for n in range(150)]
    assert await journal.stored() == 150


async def test_a_journal_gets_the_lines_of_the_time_without_any_process(
    nats_server: MistreatedServer, journal: JournalServer, fly: FlyStandIn
) -> None:
    """A process that starts later stores what was said since the last stored line, once."""
    settings = environ(fly) | journal.environ
    fly.add("web", past(0, 50, ago=100, step=1))
    async with open_service(nats_server, **settings) as first:
        await until(lambda: len(first.service.core.hub.backlog._entries) == 50)
    fly.add("web", past(50, 30, ago=40, step=1))
    async with open_service(nats_server, **settings) as second:
        await until(lambda: second.service.core.hub.backlog.lines == 80)
        assert messages(await replay(second)) == [f"line {n}" for n in range(80)]


async def test_every_app_of_an_organisation_is_read(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """With FLY_APP=*, the apps are those that the Machines interface lists."""
    fly.lines.clear()
    for app in ("api", "web", "worker"):
        fly.add(app, [FlyLine(line.unix_ns, f"{app} {line.message}") for line in past(0, 3, ago=9)])
    async with open_service(nats_server, **environ(fly, FLY_APP="*")) as service:
        events = await replay(service)
    assert {event["app"] for event in events if "machine" in event} == {"api", "web", "worker"}
    times = [event["timestamp"] for event in events if "machine" in event]
    assert times == sorted(times)
    assert len(times) == 9


async def test_the_interface_is_not_asked_when_it_is_off(
    nats_server: MistreatedServer, fly: FlyStandIn
) -> None:
    """Outside Fly the interface is off unless it is asked for."""
    more = environ(fly)
    del more["NATSTREAM_FLY_API"]
    async with open_service(nats_server, **more) as service:
        await service.get("/healthz")
        assert (await service.get("/readyz")).json()["interfaces"] == {}
    assert fly.asked == []
