"""A connected NATS that brings nothing: the apps are silent, or NATS is mute."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.support.journal_server import JournalServer
from tests.support.mute_nats import MuteNats
from tests.support.payloads import SUBJECT, payload
from tests.support.service import RunningService, open_service
from tests.support.waiting import until

from natstream.nats import silence, source, standard_output
from natstream.nats.canary import Canaries

INTERVAL = 0.6
ANSWER = 0.6
OWN = "logs.logs.sjc.0e28"
ON_FLY = {
    "FLY_APP": "web",
    "FLY_APP_NAME": "logs",
    "FLY_MACHINE_ID": "0e28",
    "NATSTREAM_FLY_API": "off",
    "NATSTREAM_SILENCE": str(INTERVAL),
}


class Output:
    """The standard output: what was written, and when; Fly may bring it back."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.written_at: list[float] = []
        self.nats: MuteNats | None = None
        self.is_full = False

    def write(self, fd: int, line: bytes) -> int:
        if self.is_full:
            raise BlockingIOError
        self.lines.append(line)
        self.written_at.append(trio.current_time())
        return len(line)

    async def bring_back(self, nats: MuteNats) -> None:
        """Deliver each line as Fly does, until the end of the test."""
        for n in range(10_000):
            await until(lambda n=n: len(self.lines) > n)
            await nats.publish(OWN, payload(self.lines[n].decode().strip()))

    @property
    def pauses(self) -> list[float]:
        return [b - a for a, b in zip(self.written_at, self.written_at[1:], strict=False)]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    """Return the standard output of the service, which waits shorter than outside of tests."""
    output = Output()
    monkeypatch.setattr(standard_output, "_write", output.write)
    monkeypatch.setattr(sys, "__stdout__", sys.__stderr__)
    monkeypatch.setattr(silence, "ANSWER_DEADLINE", ANSWER)
    monkeypatch.setattr(silence, "LAST_LOOK", ANSWER / 3)
    monkeypatch.setattr(source, "OVERLAP", 0.1)
    return output


@pytest.fixture
async def nats() -> AsyncIterator[MuteNats]:
    """Run a server that can be mute."""
    async with MuteNats.run() as server:
        yield server


@asynccontextmanager
async def brought_back(output: Output, nats: MuteNats) -> AsyncIterator[None]:
    """Bring the lines of the standard output back by NATS, as Fly does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.bring_back, nats)
        yield
        nursery.cancel_scope.cancel()


async def nats_status(service: RunningService) -> dict[str, Any]:
    """Return the source's part of `/readyz`."""
    answer: dict[str, Any] = (await service.get("/readyz")).json()["sources"]["nats"]
    return answer


async def test_a_mute_server_is_told_and_replaced(
    nats: MuteNats, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told in time, with a 503 and a notice; connections are made anew, ever less often."""
    monkeypatch.setattr(source, "FIRST_RENEWAL", 0.4)
    nats.is_mute = True
    async with open_service(nats, **ON_FLY) as service, service.stream() as stream:
        with trio.fail_after(INTERVAL + ANSWER + 1):
            notice = (await stream.until("brings no lines"))[-1]
        told_at = trio.current_time()
        assert notice.data["type"] == "error"
        assert "did not come back within" in notice.message
        assert (await service.get("/readyz")).status_code == 503
        assert (await nats_status(service))["state"] == "mute"
        await until(lambda: len(nats.connected_at) >= 4)
        assert nats.connected_at[1] - told_at < 0.3
        first, second = (nats.connected_at[n + 1] - nats.connected_at[n] for n in (1, 2))
        assert second > 1.3 * first
        # New connections do not end it, and no further notice comes.
        assert (await nats_status(service))["state"] == "mute"
        nats.is_mute = False
        await until(lambda: len(nats.subscriptions) == 2)
        await nats.publish(SUBJECT, payload("alive"))
        events = await stream.until("lines again")
        assert [event.message for event in events if event.is_line] == []
        assert events[-1].data["gap"]["missed"] is None
        assert (await stream.lines(1))[0].message == "alive"
        assert [event.message.split()[0] for event in events] == ["Connected", "NATS"]
        assert (await service.get("/readyz")).status_code == 200
    assert min(output.pauses, default=9) > INTERVAL * 0.99


async def test_silent_apps_are_no_trouble(nats: MuteNats, output: Output) -> None:
    """Canaries come back: nothing is told, replaced, shown or counted, and the page may say so."""
    async with (
        brought_back(output, nats),
        open_service(nats, **ON_FLY) as service,
        service.stream() as stream,
    ):
        await until(lambda: len(output.lines) >= 3)
        await trio.sleep(0.1)
        status = await nats_status(service)
        assert status["state"] == "up"
        assert status["lines"] == 0
        assert status["last_line"] is None
        assert time.time() - status["checked"] / 1000 < INTERVAL
        assert "uncheckable" not in status
        assert (await service.get("/api/facets")).json()["app"] == {}
        metrics = (await service.get("/metrics")).text
        assert 'natstream_source_lines_total{source="nats"} 0.0' in metrics
        assert 'natstream_source_bytes_total{source="nats"} 0.0' in metrics
        assert 'natstream_log_delay_seconds{source="nats"} 0.' in metrics
        assert 'natstream_source_last_line_seconds{source="nats"}' not in metrics
        await nats.publish(SUBJECT, payload("alive"))
        assert [event.message for event in await stream.until("alive")] == ["alive"]
        assert time.time() - (await nats_status(service))["last_line"] / 1000 < 5
        metrics = (await service.get("/metrics")).text
        assert 'natstream_source_last_line_seconds{source="nats"}' in metrics
    assert len(nats.connected_at) == 1
    assert min(output.pauses) > INTERVAL * 0.99


async def test_the_own_app_may_be_among_those_that_are_read(nats: MuteNats, output: Output) -> None:
    """Its canaries are hidden, its other lines are shown, and there is one subscription."""
    async with (
        brought_back(output, nats),
        open_service(nats, **{**ON_FLY, "FLY_APP": "*"}) as service,
        service.stream() as stream,
    ):
        assert list(nats.subscriptions.values()) == ["logs.>"]
        await until(lambda: len(output.lines) >= 2)
        await nats.publish(OWN, payload("a line of natstream"))
        await nats.publish(SUBJECT, payload(output.lines[0].decode().strip()))
        await nats.publish(SUBJECT, payload("end"))
        messages = [event.message for event in await stream.until("end")]
        assert messages == ["a line of natstream", output.lines[0].decode().strip(), "end"]


async def test_other_lines_of_the_own_app_are_dropped(nats: MuteNats, output: Output) -> None:
    """With a subscription for canaries alone, readers see no line of that app."""
    async with open_service(nats, **ON_FLY) as service, service.stream() as stream:
        assert sorted(nats.subscriptions.values()) == ["logs.logs.>", "logs.web.>"]
        await nats.publish(OWN, payload("a line of natstream"))
        await nats.publish(OWN, payload("natstream canary 1 2 3"))
        await nats.publish(SUBJECT, payload("end"))
        assert [event.message for event in await stream.until("end")] == ["end"]
        assert (await nats_status(service))["lines"] == 1


async def test_the_canaries_of_other_instances_count(nats: MuteNats, output: Output) -> None:
    """While another instance's canaries come, none of our own is written."""
    other = Canaries(nats.password, "logs")
    async with open_service(nats, **ON_FLY) as service:
        for _ in range(12):
            await nats.publish(OWN, payload(other.make().decode().strip()))
            await trio.sleep(INTERVAL / 4)
        status = await nats_status(service)
        assert status["state"] == "up"
        assert status["checked"]
        assert output.lines == []


async def test_a_repeated_canary_is_no_answer(nats: MuteNats, output: Output) -> None:
    """An old canary that comes again does not show that NATS delivers."""
    old = Canaries(nats.password, "logs").make().decode().strip()
    async with open_service(nats, **ON_FLY) as service, service.stream() as stream:
        await nats.publish(OWN, payload(old))
        await until(lambda: len(output.lines) == 1)
        await nats.publish(OWN, payload(old))
        await service.state("nats", "mute")
        # A canary of now shows that NATS delivers again.
        await nats.publish(OWN, payload(output.lines[0].decode().strip()))
        await service.state("nats", "up")
        events = await stream.until("lines again")
        assert not any(event.is_line for event in events)


@pytest.mark.parametrize("why", ["elsewhere", "full", "refused"])
async def test_a_silence_that_cannot_be_checked_is_not_called_mute(
    nats: MuteNats, output: Output, why: str
) -> None:
    """The state stays up, and `/api/status` says that it cannot be checked."""
    settings = dict(ON_FLY)
    if why == "elsewhere":
        del settings["FLY_MACHINE_ID"]
    output.is_full = why == "full"
    nats.refused = ("logs.logs.>",) if why == "refused" else ()
    nats.is_mute = True
    async with open_service(nats, **settings) as service:
        await until(lambda: service.service.core.health.sources["nats"].is_uncheckable)
        await trio.sleep(INTERVAL + ANSWER)
        status = (await service.get("/api/status")).json()["sources"]["nats"]
        assert status["state"] == "up"
        assert status["uncheckable"] is True
        nats.is_mute = False
        await nats.publish(SUBJECT, payload("alive"))
        await until(lambda: not service.service.core.health.sources["nats"].is_uncheckable)
        assert output.lines == []
    assert len(nats.connected_at) == 1


async def test_a_refused_canary_is_no_reason_of_a_later_end(nats: MuteNats, output: Output) -> None:
    """A connection that is lost later is told as lost, not as one that forbids a subject."""
    nats.refused = ("logs.logs.>",)
    async with open_service(nats, **ON_FLY) as service:
        nats.disconnect()
        await service.state("nats", "lost")
        assert "the server closed the connection" in (await nats_status(service))["detail"]
        await service.state("nats", "up")


async def test_silence_is_left_alone_if_that_is_wanted(nats: MuteNats, output: Output) -> None:
    """With `off` no canary is written, and others' canaries are still hidden."""
    settings = {**ON_FLY, "NATSTREAM_SILENCE": "off", "FLY_APP": "*"}
    other = Canaries(nats.password, "logs")
    async with open_service(nats, **settings) as service, service.stream() as stream:
        await trio.sleep(2 * INTERVAL)
        await nats.publish(OWN, payload(other.make().decode().strip()))
        await nats.publish(SUBJECT, payload("end"))
        assert [event.message for event in await stream.until("end")] == ["end"]
    assert output.lines == []


async def test_a_mute_server_that_is_lost_comes_back_mute(nats: MuteNats, output: Output) -> None:
    """Only a line ends the state: a connection that was lost meanwhile does not."""
    nats.is_mute = True
    async with open_service(nats, **ON_FLY) as service:
        await service.state("nats", "mute")
        await until(lambda: len(nats.connected_at) == 2 and len(nats.subscriptions) == 2)
        nats.disconnect()
        await service.state("nats", "lost")
        await service.state("nats", "mute")
        nats.is_mute = False
        await nats.publish(SUBJECT, payload("alive"))
        await service.state("nats", "up")


async def test_a_journal_does_not_store_canaries(
    nats: MuteNats, output: Output, journal: JournalServer
) -> None:
    """The stream holds the lines of apps alone."""
    settings = {**ON_FLY, "FLY_APP": "*", **journal.environ}
    async with brought_back(output, nats), open_service(nats, **settings) as service:
        await until(lambda: len(output.lines) >= 2)
        await nats.publish(SUBJECT, payload("alive"))
        await until(lambda: service.service.core.hub.backlog.lines == 1)
        last = (await service.get("/readyz")).json()["sources"]["journal"]["last_line"]
        assert time.time() - last / 1000 < 5
    assert await journal.stored() == 1
