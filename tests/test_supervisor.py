"""A task that fails is restarted with backoff, and each failure is visible."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import pytest
import trio
from tests.support.mistreated import MistreatedServer
from tests.support.service import open_service
from trio.testing import MockClock

from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_messages
from natstream.errors import ListenError, SourceDenied, SourceUnavailable
from natstream.hub.health import Health, SourceState, SourceStatus
from natstream.supervisor import FIRST_DELAY, LONGEST_DELAY, keep_running


class Announced(list[tuple[str, str]]):
    """The notices that readers got."""

    def __call__(self, message: str, type: str) -> None:
        self.append((message, type))


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
def status(announced: Announced) -> SourceStatus:
    return Health(announced).add_source("nats")


def failing(
    status: SourceStatus, *outcomes: Exception | None, up: bool = False
) -> tuple[Callable[[], Awaitable[None]], list[float]]:
    """Return a task and the times of its starts; each run ends as the next outcome says.

    An outcome of `None` means that the task returns.
    """
    starts: list[float] = []
    remaining = iter(outcomes)

    async def run() -> None:
        starts.append(trio.current_time())
        if up:
            status.change(SourceState.UP, "up")
        if (outcome := next(remaining)) is not None:
            raise outcome

    return run, starts


async def test_a_lost_source_is_tried_again_with_growing_jittered_delays(
    status: SourceStatus, announced: Announced, autojump_clock: MockClock
) -> None:
    """The delay grows from a quarter of a second to two, and readers get a single notice."""
    run, starts = failing(status, *[SourceUnavailable("gone")] * 8, None)
    await keep_running(run, status)
    delays = [after - before for before, after in pairwise(starts)]
    expected = FIRST_DELAY
    for delay in delays:
        assert expected / 2 <= delay <= expected
        expected = min(expected * 2, LONGEST_DELAY)
    assert announced == [("gone", "error")]
    assert (status.state, status.restarts) == (SourceState.LOST, 8)


async def test_the_backoff_starts_anew_once_it_was_up(
    status: SourceStatus, autojump_clock: MockClock
) -> None:
    """A source that was up is restarted after the first, short delay."""
    run, starts = failing(status, *[SourceUnavailable("gone")] * 8, None, up=True)
    await keep_running(run, status)
    assert starts[-1] - starts[0] <= 8 * FIRST_DELAY


async def test_refused_credentials_are_tried_slowly(
    status: SourceStatus, announced: Announced, autojump_clock: MockClock
) -> None:
    """A source with refused credentials is tried every 30 seconds, since tokens get rotated."""
    run, starts = failing(status, SourceDenied("ACCESS_TOKEN is refused"), None)
    await keep_running(run, status)
    assert starts[1] - starts[0] == 30
    assert announced == [("ACCESS_TOKEN is refused", "error")]


async def test_a_crash_is_visible_and_restarted(
    status: SourceStatus, announced: Announced, autojump_clock: MockClock
) -> None:
    """A crash is announced without its details, and the task is restarted."""
    run, starts = failing(status, RuntimeError("secret of the crash"), None)
    await keep_running(run, status)
    assert len(starts) == 2
    ((message, type_),) = announced
    assert type_ == "error"
    assert "secret" not in message


async def test_an_address_that_cannot_be_had_at_the_start_ends_it(
    status: SourceStatus, autojump_clock: MockClock
) -> None:
    """A taken address is raised at the start, because only the operator can mend that."""
    run, _ = failing(status, ListenError("taken"))
    with pytest.raises(ListenError):
        await keep_running(run, status)


@pytest.mark.parametrize("task", ["hub", "web"])
async def test_tasks_that_crash_are_restarted(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose hub or server crashes once becomes ready, and counts the restart."""
    crashes: list[str] = []

    def crash_once(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def wrapped(*args: object, **options: object) -> None:
            if not crashes:
                crashes.append(task)
                raise RuntimeError("injected")
            await run(*args, **options)

        return wrapped

    from natstream import supervisor
    from natstream.hub import hub
    from natstream.server import server as serving

    if task == "hub":
        monkeypatch.setattr(hub.Hub, "run", crash_once(hub.Hub.run))
    else:
        monkeypatch.setattr(supervisor, "serve", crash_once(serving.serve))
    async with open_service() as service:
        with trio.fail_after(10):
            while (response := await service.get("/readyz")).status_code != 200:
                await trio.sleep(0.05)
    assert response.json()["tasks"][task]["restarts"] == 1
    assert crashes == [task]


async def test_lines_that_have_arrived_have_a_part_of_the_grace(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers get the number of lines that did not fit into the time, and the closing notice."""

    def parse(messages: Sequence[tuple[bytes, bytes]]) -> list[LogEntry]:
        time.sleep(0.01 * len(messages))  # 6 seconds for all of them
        return parse_messages(messages)

    monkeypatch.setattr("natstream.nats.source.parse_messages", parse)
    monkeypatch.setattr("natstream.nats.inbox.RUN_MESSAGES", 2)
    async with (
        open_service(nats_server, NATSTREAM_GRACE="1.5") as service,
        service.stream() as stream,
    ):
        await nats_server.publish("logs.web.sjc.m1", [b"{}"] * 600)
        await stream.lines(1)
        service.stop.set()
        (*_, gap, closing) = await stream.until("closing")
        assert gap.data["gap"]["missed"] > 100
        assert closing.message == "natstream is closing"


async def test_a_sender_that_never_ends_its_body_has_a_part_of_the_grace() -> None:
    """A sender that never ends its body is disconnected before the service's grace period ends."""
    async with open_service(NATSTREAM_GRACE="0.5") as service:
        await service.state("drain", "up")
        detail = service.service.core.health.sources["drain"].detail
        match = re.search(r"http://([^:]+):(\d+)", detail)
        assert match
        async with await trio.open_tcp_stream(match[1], int(match[2])) as stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            with trio.fail_after(10):
                while "\nnatstream_drain_requests 1.0" not in (await service.get("/metrics")).text:
                    await trio.sleep(0.01)
            service.stop.set()
            with trio.fail_after(1.5):
                assert await stream.receive_some() == b""
