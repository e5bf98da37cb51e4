"""The watches of a running service: real lines, real receivers, and what must not fire."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from tests.support.fly_api import FlyLine, FlyStandIn
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.payloads import payload
from tests.support.receiver import hang, open_receiver
from tests.support.service import open_service
from tests.support.waiting import PATIENCE, until
from tests.support.watches import log_lines, messages, status_of, watch_file

from natstream.entries.entry import Gap, LogEntry
from natstream.fly_api import history
from natstream.hub import budget
from natstream.hub.budget import Budgets
from natstream.hub.health import Health, SourceState
from natstream.hub.hub import Hub, open_hub
from natstream.watches.bodies import Body
from natstream.watches.file import parse_watches
from natstream.watches.senders import Outcome
from natstream.watches.sight import Sight
from natstream.watches.watcher import Watcher

# Expressions all of which search each line, since each line has what the next one needs.
SLOW = 'query = "' + "&".join(f"not=/[ab]*a[ab]{{{n}}}x/" for n in range(40, 60)) + '"'
PANIC = 'query = "app=web&q=panic"'


async def test_a_thousand_matches_a_second_are_one_message(tmp_path: Path) -> None:
    """A thousand matches a second make one message in a cooldown, and each line is told once."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=f'{PANIC}\ncooldown = "5s"')
        async with open_service(**settings) as service:
            for number in range(30):
                await log_lines(service, [f"panic {number * 100 + n}" for n in range(100)])
                await trio.sleep(0.1)
            await receiver.has(1)
            await trio.sleep(2.5)
            assert len(receiver.requests) == 1
            await log_lines(service, ["panic: the last one"])
            await receiver.has(2)
    first, second = messages(receiver.requests)
    assert 500 <= first["count"] <= 1_100
    assert [line["message"] for line in first["lines"]] == [f"panic {n}" for n in range(5)]
    assert first["suppressed"] == 0
    assert second["count"] == 1
    assert first["count"] + second["suppressed"] == 3_000


async def test_a_burst_in_one_body_has_the_right_count(tmp_path: Path) -> None:
    """A thousand matching lines of one body, among others, are one message with their count."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=f'{PANIC}\ncount = 1000\nwithin = "10s"')
        async with open_service(**settings) as service:
            await log_lines(service, ["panic" if n % 2 else "calm" for n in range(1_998)])
            await log_lines(service, ["panic"])
            [request] = await receiver.has(1)
    assert request.json["count"] == 1_000


async def test_the_link_leads_to_the_first_line(tmp_path: Path) -> None:
    """The id in a message, which its link has too, is that of the first line that matched."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        settings["NATSTREAM_PUBLIC_URL"] = "https://logs.example.com"
        async with open_service(**settings) as service:
            await log_lines(service, ["calm", "panic 1", "panic 2"])
            [request] = await receiver.has(1)
            first_id = request.json["first_id"]
            query = f"around={first_id}&before=0&after=0&format=ndjson"
            answer = await service.get(f"/api/logs?{query}")
            fired = (await service.get("/api/watches")).json()["watches"][0]["fired"]
    assert request.json["link"].endswith(f"#line={first_id}")
    assert '"message":"panic 1"' in answer.text
    [event] = fired
    assert (event["kind"], event["count"], event["first_id"]) == ("matched", 2, first_id)


async def test_a_watch_takes_no_readers_place(tmp_path: Path) -> None:
    """Watches take neither the place of a reader nor the CPU time of readers' filters."""
    settings = watch_file(tmp_path, "http://127.0.0.1:9/", a=PANIC, b=PANIC)
    async with open_service(**settings, NATSTREAM_MAX_READERS="1") as service:
        hub, watches = service.service.core.hub, service.service.core.watches
        await until(lambda: len(hub._fan_out.subscriptions) == 2)
        assert hub.statistics().readers == 0
        assert watches is not None
        assert all(each._budgets is not hub.budgets for each in watches._watchers)
        async with service.stream():
            assert hub.statistics().readers == 1
            assert (await service.get("/api/logs")).status_code == 503
            with hub.subscribe(counted=False):  # as a watch that is restarted
                assert hub.statistics().readers == 1
        await service.readers(0)


async def test_a_receiver_that_hangs_does_not_hold_the_end(tmp_path: Path) -> None:
    """A service that closes while a receiver hangs ends within its grace period."""
    async with open_receiver(hang) as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        async with open_service(**settings, NATSTREAM_GRACE="3") as service:
            await log_lines(service, ["panic"])
            await receiver.has(1)
            started = trio.current_time()
        assert trio.current_time() - started < 3


async def test_a_message_that_waits_is_sent_at_the_end(tmp_path: Path) -> None:
    """A line that matches just before the service ends is still told."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        async with open_service(**settings) as service:
            await log_lines(service, ["panic"])
        assert [message["count"] for message in messages(receiver.requests)] == [1]


async def test_the_watch_goes_on_after_a_crash_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that ends the task of the watches is visible, and does not end the watching."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC)
        see, crashes = Watcher._see, iter([True])

        def crash(self: Watcher, selection: Any) -> None:
            if selection.indices and next(crashes, False):
                raise RuntimeError("a bug")
            see(self, selection)

        monkeypatch.setattr(Watcher, "_see", crash)
        async with open_service(**settings) as service:
            await log_lines(service, ["panic 1"])
            task = service.service.core.health.tasks["watches"]
            await until(lambda: task.restarts == 1 and task.state is SourceState.UP)
            await log_lines(service, ["panic 2"])
            [request] = await receiver.has(1)
    assert request.json["lines"][0]["message"] == "panic 2"


# --- what does not fire ----------------------------------------------------------------------


async def test_stored_lines_do_not_fire_at_the_start(
    tmp_path: Path, journal: JournalServer
) -> None:
    """A service that starts over a journal does not fire for the lines that are stored there."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w=PANIC) | journal.environ
        async with open_service(**journal.environ) as service:
            await service.state("journal", "up")
            await log_lines(service, ["panic: old"])
            await until(lambda: service.waiting_lines == 0)
        async with open_service(**settings) as service:
            await service.state("journal", "up")
            async with service.stream("?tail=10&follow=false") as replay:
                assert len(await replay.lines(1)) == 1
            await log_lines(service, ["panic: new"])
            [request] = await receiver.has(1)
    assert [line["message"] for line in request.json["lines"]] == ["panic: new"]


async def test_filled_lines_do_not_fire(
    tmp_path: Path, nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of Fly's logs interface, at the start and after an outage of NATS, do not fire."""
    monkeypatch.setattr(history, "STRAGGLERS", (0.3, 0.3))
    monkeypatch.setattr(history, "POLL", 0.3)
    async with FlyStandIn.run() as fly, open_receiver() as receiver:
        fly.add("web", [FlyLine(time.time_ns() - 10**9, "panic: before the start")])
        settings = watch_file(tmp_path, receiver.url, w=PANIC) | fly.environ
        async with open_service(nats_server, FLY_APP="web", **settings) as service:
            async with service.stream("?tail=10") as stream:
                await stream.until("before the start")
                await nats_server.kill()
                await service.state("nats", "lost")
                fly.add("web", [FlyLine(time.time_ns(), "panic: in the hole")])
                await nats_server.restart()
                await service.state("nats", "up")
                await stream.until("in the hole")
                await nats_server.publish("logs.web.iad.m1", [payload("panic: live")])
                await stream.until("panic: live")
            [request] = await receiver.has(1)
    assert [line["message"] for line in request.json["lines"]] == ["panic: live"]
    assert request.json["count"] == 1


# --- lines that do not come ------------------------------------------------------------------


async def test_absence_and_return_are_told_once_each(tmp_path: Path) -> None:
    """A watch tells once that nothing matches, although others come, and once of the return."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w='query = "q=beat"\nabsent = "1s"')
        async with open_service(**settings) as service:
            for _ in range(30):
                await log_lines(service, ["other"])
                await trio.sleep(0.1)
            assert [message["kind"] for message in messages(receiver.requests)] == ["absent"]
            watched = (await service.get("/api/watches")).json()["watches"][0]
            assert watched["state"] == "absent"
            await log_lines(service, ["beat 1"])
            await receiver.has(2)
            assert status_of(service).state == "watching"
            await receiver.has(3)
    kinds = [message["kind"] for message in messages(receiver.requests)]
    assert kinds == ["absent", "back", "absent"]
    assert messages(receiver.requests)[1]["lines"][0]["message"] == "beat 1"


async def test_a_lost_source_is_told_instead_of_absence(
    tmp_path: Path, nats_server: MistreatedServer
) -> None:
    """While NATS is lost, a watch says that absence is unknown, and tells absence later."""
    async with open_receiver() as receiver:
        settings = watch_file(tmp_path, receiver.url, w='query = "q=beat"\nabsent = "2s"')
        async with open_service(nats_server, **settings) as service:
            await nats_server.stop()
            await service.state("nats", "lost")
            [request] = await receiver.has(1)
            assert request.json["kind"] == "unknown"
            assert "because NATS is lost" in request.json["text"]
            await nats_server.start()
            await service.state("nats", "up")
            await receiver.has(2)
    assert [message["kind"] for message in messages(receiver.requests)] == ["unknown", "absent"]


def health(**states: SourceState) -> Health:
    """Return sources in these states."""
    health = Health(lambda message, type: None)
    for name, state in states.items():
        health.add_source(name).state = state
    return health


@pytest.mark.parametrize("state", sorted(set(SourceState) - {SourceState.UP}))
def test_a_source_that_is_not_up_is_trouble(state: SourceState) -> None:
    """A source in any state but up, such as mute, means that absence is unknown."""
    sight = Sight(health(nats=state, drain=SourceState.UP), 60.0)
    assert sight.trouble() == f"NATS is {state}"
    assert Sight(health(nats=SourceState.UP), 60.0).trouble() == ""


def test_lines_of_other_processes_count() -> None:
    """A process that has lost NATS sees while others store its lines, and not its own drain's."""
    states = health(nats=SourceState.LOST, journal=SourceState.UP)
    lost_at = states.sources["nats"].since = time.time() - 30
    stored = states.sources["journal"].last_lines
    assert Sight(states, 60.0).trouble() == "NATS is lost"
    stored["drain"] = time.time()
    assert Sight(states, 60.0).trouble() == "NATS is lost"
    stored["nats"] = lost_at + 1  # It was read before the loss.
    assert Sight(states, 60.0).trouble() == "NATS is lost"
    stored["nats"] = time.time()
    assert Sight(states, 60.0).trouble() == ""
    states.sources["journal"].state = SourceState.LOST
    assert Sight(states, 60.0).trouble() != ""


def test_a_silent_source_is_checked_first() -> None:
    """Absence waits while it is found out whether NATS is mute, and not for longer."""
    states = health(nats=SourceState.UP)
    nats, now = states.sources["nats"], time.time()
    nats.since = now - 1_000
    for silent, is_checking in ((59, False), (61, True), (84, True), (86, False)):
        nats.last_line = now - silent
        assert Sight(states, 60.0).is_checking() is is_checking
        assert not Sight(states, None).is_checking()
    nats.last_line = now - 65
    nats.checked = now - 1
    assert not Sight(states, 60.0).is_checking()
    nats.checked = 0
    nats.is_uncheckable = True
    assert not Sight(states, 60.0).is_checking()


# --- lines that the watch does not see -------------------------------------------------------


@attrs.define
class Alone:
    """One watch over a hub, without a service; its receiver takes everything."""

    budgets: Budgets
    watcher: Watcher
    bodies: list[bytes] = attrs.field(factory=list)

    async def send(self, url: str, body: Body) -> Outcome:
        self.bodies.append(body.content)
        await trio.lowlevel.checkpoint()
        return Outcome()


def alone(hub: Hub, keys: str) -> Alone:
    """Return a watch over a hub."""
    [watch] = parse_watches(f'[watches.w]\nurl = "http://x"\n{keys}', {})
    budgets = Budgets(hub.loop_delay)
    watcher = Watcher(
        watch,
        hub,
        budgets=budgets,
        sight=Sight(health(), None),
        public_url="",
        claims=None,
        owner="one",
    )
    return Alone(budgets, watcher)


def entries(*messages: str) -> list[LogEntry]:
    """Return lines of the app `web`."""
    return [LogEntry("m1", text, "stdout", app_name="web", source="nats") for text in messages]


async def test_the_lines_of_a_cooldown_are_counted() -> None:
    """Each line that comes after the burst and before the end of the cooldown is counted."""
    async with open_hub() as hub, trio.open_nursery() as nursery:
        one = alone(hub, 'query = "q=panic"\ncooldown = "1h"')
        nursery.start_soon(one.watcher.run, one.send)
        await until(lambda: len(hub._fan_out.subscriptions))
        for _ in range(3):
            hub.publish_nowait(entries("panic", "panic"))
            await trio.sleep(1.2)
        await until(lambda: one.watcher.status.suppressed == 4)
        assert one.watcher.status.fired == 1
        hub.close()


async def test_lines_that_were_lost_are_told() -> None:
    """Lines that left the backlog unseen, or that a source has lost, are told in the message."""
    async with open_hub(backlog_lines=10) as hub, trio.open_nursery() as nursery:
        one = alone(hub, PANIC)
        nursery.start_soon(one.watcher.run, one.send)
        await trio.testing.wait_all_tasks_blocked()
        for start in range(0, 100, 2):  # without a pause in which the watch could read
            hub.publish_nowait(entries(f"panic {start}", f"panic {start + 1}"))
        hub.announce("NATS has dropped some", gap=Gap(missed=3, since=None))
        await trio.sleep(0.1)
        hub.close()
    [content] = one.bodies
    assert b'"count":10,' in content
    assert b'"missed":93,' in content
    assert one.watcher.status.missed == 93


def slow_lines(count: int) -> list[LogEntry]:
    """Return random lines, for which RE2 has to make new states all the time."""
    draw = random.Random(1)
    return entries(*("".join(draw.choices("ab", k=200)) for _ in range(count)))


async def test_a_slow_watch_does_not_slow_readers() -> None:
    """A watch with slow expressions sees every line, and spends nothing of readers' CPU time."""
    async with open_hub() as hub, trio.open_nursery() as nursery:
        one = alone(hub, SLOW)
        nursery.start_soon(one.watcher.run, one.send)
        await trio.testing.wait_all_tasks_blocked()
        hub.publish_nowait(slow_lines(200))
        with trio.fail_after(PATIENCE):
            while not one.bodies:
                await trio.sleep(0.01)
        hub.close()
    assert b'"count":200,' in one.bodies[0]
    assert one.budgets._process is not None  # The watches have spent something,
    assert hub.budgets._process is None  # and readers nothing.


async def test_a_watch_that_is_too_slow_loses_lines_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine, a watch whose expression is too slow skips lines, and says so."""
    monkeypatch.setattr(budget, "MAX_WAIT", 0.05)
    async with open_hub() as hub, trio.open_nursery() as nursery:
        one = alone(hub, SLOW)
        monkeypatch.setattr(type(hub.loop_delay), "is_late", True)
        nursery.start_soon(one.watcher.run, one.send)
        await trio.testing.wait_all_tasks_blocked()
        await hub.publish(slow_lines(2_000))
        await until(lambda: one.watcher.status.missed)
        monkeypatch.setattr(type(hub.loop_delay), "is_late", False)
        hub.publish_nowait(entries("panic"))
        await until(lambda: one.bodies)
        hub.close()
    assert f'"missed":{one.watcher.status.missed},'.encode() in one.bodies[-1]
