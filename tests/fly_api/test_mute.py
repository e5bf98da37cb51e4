"""While NATS is mute, Fly's logs interface shows that, and gives the lines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import trio
from tests.support.fly_api import Answer, FlyLine, FlyStandIn
from tests.support.mute_nats import MuteNats
from tests.support.payloads import payload
from tests.support.service import open_service
from tests.support.waiting import until

from natstream.fly_api import client, history
from natstream.nats import silence, source
from natstream.nats.canary import Canaries

INTERVAL, ANSWER = 0.8, 0.8


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses that a real interface needs."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(history, "STRAGGLERS", (0.2,))
    monkeypatch.setattr(history, "POLL", 0.2)
    monkeypatch.setattr(silence, "ANSWER_DEADLINE", ANSWER)
    monkeypatch.setattr(silence, "LAST_LOOK", ANSWER / 2)
    monkeypatch.setattr(source, "OVERLAP", 0.1)


@pytest.fixture
async def nats() -> AsyncIterator[MuteNats]:
    """Run a server that can be mute."""
    async with MuteNats.run() as server:
        yield server


def environ(fly: FlyStandIn, **more: str) -> dict[str, str]:
    """Return the settings of a service outside Fly that asks the stand-in."""
    return {
        "FLY_APP": "web",
        "NATSTREAM_FLY_API": "on",
        "NATSTREAM_FLY_API_URL": fly.url,
        "NATSTREAM_MACHINES_API_URL": fly.url,
        "NATSTREAM_SILENCE": str(INTERVAL),
        **more,
    }


async def test_lines_go_on_while_nats_is_mute(nats: MuteNats, fly: FlyStandIn) -> None:
    """The interface shows that NATS is mute and gives each line once; a line of NATS ends it."""
    async with (
        open_service(nats, **environ(fly)) as service,
        service.stream() as stream,
        trio.open_nursery() as nursery,
    ):
        expected: list[str] = []

        async def log() -> None:
            while True:
                line = FlyLine(time.time_ns(), f"line {len(expected)}")
                expected.append(line.message)
                fly.add("web", [line])
                subject = f"logs.web.{line.region}.{line.instance}"
                await nats.publish(subject, payload(line.message, timestamp=line.timestamp))
                await trio.sleep(0.05)

        nursery.start_soon(log)
        events = await stream.until("line 5")
        nats.is_mute = True
        mute_at = trio.current_time()
        events += await stream.until("brings no lines")
        assert trio.current_time() - mute_at < INTERVAL + ANSWER + 1
        assert "interface has lines that it did not bring" in events[-1].message
        assert (await service.get("/readyz")).status_code == 503
        events += await stream.until(f"line {len(expected) + 5}")
        nats.is_mute = False
        events += await stream.until("lines again")
        events += await stream.until("were filled from Fly's logs interface")
        events += await stream.until(f"line {len(expected) + 5}")
        nursery.cancel_scope.cancel()
        lines = [event for event in events if event.is_line]
        assert [event.message for event in lines] == expected[: len(lines)]
        assert {event.data["source"] for event in lines} == {"nats", "fly"}
        assert (await service.get("/readyz")).status_code == 200


async def test_apps_that_are_silent_on_both_ways_are_no_trouble(
    nats: MuteNats, fly: FlyStandIn
) -> None:
    """The interface has nothing newer: the state is up, and it is known when that was checked."""
    old = FlyLine(time.time_ns() - 60 * 10**9, "old")
    fly.add("web", [old])
    async with open_service(nats, **environ(fly)) as service:
        status = service.service.core.health.sources["nats"]
        await until(lambda: status.checked)
        first = status.checked
        await until(lambda: status.checked > first)
        assert str(status.state) == "up"
        assert not status.is_uncheckable
    assert len(nats.connected_at) == 1


async def test_an_interface_that_fails_proves_nothing(nats: MuteNats, fly: FlyStandIn) -> None:
    """Where the interface refuses, nothing is called mute, and it is said that it is unknown."""
    nats.is_mute = True
    fly.answer = lambda asked: Answer(401)
    async with open_service(nats, **environ(fly)) as service:
        status = service.service.core.health.sources["nats"]
        await until(lambda: status.is_uncheckable)
        assert str(status.state) == "up"


async def test_a_clock_that_is_ahead_makes_nothing_mute(nats: MuteNats, fly: FlyStandIn) -> None:
    """A line that NATS brought counts as brought, although its time is after its arrival."""
    async with open_service(nats, **environ(fly)) as service:
        line = FlyLine(time.time_ns() + int(INTERVAL * 0.4 * 1e9), "early")
        fly.add("web", [line])
        subject = f"logs.web.{line.region}.{line.instance}"
        await nats.publish(subject, payload(line.message, timestamp=line.timestamp))
        status = service.service.core.health.sources["nats"]
        await until(lambda: status.checked)
        assert str(status.state) == "up"


async def test_canaries_of_the_interface_are_hidden_and_prove_nothing(
    nats: MuteNats, fly: FlyStandIn
) -> None:
    """The app's own canaries are neither lines of the past nor lines that NATS did not bring."""
    canaries = Canaries(nats.password, "web")

    def canary(ago: float) -> FlyLine:
        return FlyLine(time.time_ns() - int(ago * 1e9), canaries.make().decode().strip())

    fly.add("web", [canary(30), FlyLine(time.time_ns() - 20 * 10**9, "past"), canary(10)])
    on_fly = environ(fly, FLY_APP_NAME="web", FLY_MACHINE_ID="0e28")
    async with open_service(nats, **on_fly) as service:
        text = (await service.get("/api/logs?format=text&follow=false")).text
        assert "past" in text
        assert "canary" not in text
        status = service.service.core.health.sources["nats"]
        with trio.fail_after(10):
            while not status.checked:
                fly.add("web", [canary(0)])
                await nats.publish("logs.web.sjc.m1", payload(canaries.make().decode().strip()))
                await trio.sleep(0.2)
            newer = service.service.core.sources[0].run.__self__.history.anything_newer  # type: ignore[attr-defined]  # the source is an object of ours
            assert await newer(time.time() - 5, time.time()) is False
        assert str(status.state) == "up"
