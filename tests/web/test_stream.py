"""End to end, with a real nats-server, the real service and real sockets."""

from __future__ import annotations

import json
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import pytest
import trio
from tests.support.payloads import payload, payloads
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE

from natstream.hub.loop_delay import LoopDelay

PAYLOADS = [
    json.loads(row)
    for row in (Path(__file__).parents[1] / "fixtures/payloads.jsonl").read_text().splitlines()
]
SUBJECT = "logs.web.sjc.0e286551c30586"


async def test_every_fixture_arrives_as_it_should(nats_server: Any) -> None:
    """Each NATS fixture, published on its subject, arrives as expected in a real SSE response."""
    rows = [row for row in PAYLOADS if row["via"] == "nats"]
    names = {"machine_id": "machine", "app_name": "app"}
    async with open_service(nats_server) as service, service.stream() as stream:
        for row in rows:
            await nats_server.publish(row["subject"], [row["payload"].encode()])
        events = await stream.lines(len(rows))
    for row, event in zip(rows, events, strict=True):
        for field, value in row["expect"].items():
            if field == "timestamp":
                assert event.data["timestamp"] in (1664310877252, 1664310877000), row["name"]
            else:
                assert event.data[names.get(field, field)] == value, row["name"]


async def test_curl_gets_every_line_once_and_in_order(nats_server: Any) -> None:
    """A real `curl -N` gets a thousand lines in order, each once."""
    async with open_service(nats_server) as service:
        process = await trio.lowlevel.open_process(
            ["curl", "-sN", f"{service.url}/api/logs"], stdout=-1
        )
        assert process.stdout is not None
        try:
            await service.readers(1)
            await nats_server.publish(SUBJECT, payloads(0, 1_000))
            text = b""
            with trio.fail_after(PATIENCE):
                while text.count(b'"source":"nats"}\n\n') < 1_000:
                    text += await process.stdout.receive_some()
        finally:
            process.kill()
            await process.wait()
    retry, connected, *_ = text.decode().split("\n")
    assert 1_000 <= int(retry.removeprefix("retry: ")) <= 3_000
    notice = json.loads(connected.removeprefix("data: "))
    assert list(notice) == ["message", "timestamp", "type", "persistent"]
    events = [
        json.loads(line.removeprefix("data: "))
        for line in text.decode().split("\n")
        if line.startswith("data: ")
    ][1:]
    assert [event["message"] for event in events] == [str(number) for number in range(1_000)]
    assert events[0] == {
        "message": "0",
        "timestamp": 1664310877252,
        "type": "log",
        "persistent": False,
        "app": "web",
        "region": "sjc",
        "machine": "0e286551c30586",
        "stream": "stdout",
        "level": "info",
        "provider": "app",
        "source": "nats",
    }


async def test_an_sse_library_reads_the_stream(nats_server: Any) -> None:
    """A common SSE library, httpx-sse, reads the same events with their ids."""
    async with (
        open_service(nats_server) as service,
        httpx_sse.aconnect_sse(service.client, "GET", f"{service.url}/api/logs") as source,
    ):
        assert source.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert source.response.headers["cache-control"] == "no-cache, no-store, no-transform"
        assert source.response.headers["x-accel-buffering"] == "no"
        await nats_server.publish(SUBJECT, payloads(0, 10))
        got: list[httpx_sse.ServerSentEvent] = []
        with trio.fail_after(PATIENCE):
            async for event in source.aiter_sse():
                if event.data and "app" in event.json():
                    got.append(event)
                if len(got) == 10:
                    break
        assert [event.json()["message"] for event in got] == [str(number) for number in range(10)]
        assert len({event.id for event in got}) == 10
        assert {event.event for event in got} == {"message"}


async def test_two_readers_both_get_every_line(nats_server: Any) -> None:
    """Two readers both get every line, since each has a channel of its own."""
    async with (
        open_service(nats_server) as service,
        service.stream() as one,
        service.stream() as two,
    ):
        await nats_server.publish(SUBJECT, payloads(0, 500))
        first, second = await one.lines(500), await two.lines(500)
        assert [event.message for event in first] == [str(number) for number in range(500)]
        assert [(e.id, e.data) for e in first] == [(e.id, e.data) for e in second]


async def test_a_reader_that_leaves_is_gone_within_a_second() -> None:
    """A reader that leaves is noticed within a second, even if no lines are written to it."""
    async with open_service() as service:
        bind = service.service.bind
        stream = await trio.open_tcp_stream(bind.host, bind.port)
        await stream.send_all(b"GET /api/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await service.readers(1)
        await stream.aclose()
        with trio.fail_after(1):
            await service.readers(0)


async def test_two_hundred_readers_leave_nothing_behind() -> None:
    """Two hundred readers leave no task, channel or file descriptor behind, however they leave."""
    async with open_service() as service:

        async def visit(number: int) -> None:
            stream = await trio.open_tcp_stream(
                service.service.bind.host, service.service.bind.port
            )
            async with stream:
                await stream.send_all(b"GET /api/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await stream.receive_some()
                if number % 3 == 0:
                    await stream.send_eof()
                    await stream.receive_some()

        async def visits(count: int) -> None:
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(visit, number)
            await service.readers(0)

        def descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))

        await visits(10)
        with trio.fail_after(PATIENCE):
            tasks, open_files = trio.lowlevel.current_statistics().tasks_living, descriptors()
            await visits(200)
            while (
                trio.lowlevel.current_statistics().tasks_living > tasks
                or descriptors() > open_files
            ):
                await trio.sleep(0.01)


async def test_filters_replay_and_formats(nats_server: Any) -> None:
    """The filters, the replay and the formats work over the wire."""
    async with open_service(nats_server) as service, service.stream() as live:
        for app in ("web", "api"):
            for number in range(10):
                level = "error" if number % 2 else "info"
                await nats_server.publish(
                    f"logs.{app}.iad.m1", [payload(f"{app} {number}", log={"level": level})]
                )
        await live.until("api 9")

        async def replay(query: str) -> list[str]:
            response = await service.get(f"/api/logs?follow=false&format=ndjson&{query}")
            assert response.status_code == 200, response.text
            events = [json.loads(row) for row in response.text.splitlines()]
            assert "id" not in events[0]
            return [event["message"] for event in events[1:]]

        assert len(await replay("")) == 20
        assert await replay("app=web&level=error&tail=2") == ["web 7", "web 9"]
        assert await replay("app=web,api&q=9") == ["web 9", "api 9"]
        assert await replay("q=/^WEB%2B [12]$/&app=web&app=api") == ["web 1", "web 2"]
        assert await replay("not=web&min_level=error&tail=1") == ["api 9"]
        assert len(await replay("since=10m")) == 20
        assert await replay("type=system") == []
        assert await replay("tail=0") == []

        text = await service.get("/api/logs?follow=false&tail=1", headers={"Accept": "text/plain"})
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert text.text.splitlines() == [
            "# Connected to log stream",
            "2022-09-27T20:34:37Z api[m1] iad [error] api 9",
        ]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("tail=x", "tail"),
        ("tail=-1", "tail"),
        ("since=yesterday", "since"),
        ("follow=perhaps", "follow"),
        ("format=xml", "format"),
        ("level=", "level"),
        ("min_level=loud", "min_level"),
        ("q=/(/", "q"),
        ("type=both", "type"),
        ("colour=red", "colour"),
        ("tail=1&tail=2", "tail"),
    ],
)
async def test_a_wrong_parameter_is_a_json_error(query: str, parameter: str) -> None:
    """A wrong parameter gets a 400 in JSON that names the parameter."""
    async with open_service() as service:
        response = await service.get(f"/api/logs?{query}")
        assert response.status_code == 400
        assert response.json()["parameter"] == parameter
        assert response.json()["error"]


async def test_errors_are_json() -> None:
    """A wrong path, a wrong method and too many readers get errors in JSON instead of a stream."""
    async with open_service(NATSTREAM_MAX_READERS="1") as service:
        assert "error" in (await service.get("/nowhere")).json()
        wrong = await service.client.post(f"{service.url}/api/logs")
        assert (wrong.status_code, "error" in wrong.json()) == (405, True)
        async with service.stream():
            full = await service.get("/api/logs")
            assert (full.status_code, "error" in full.json()) == (503, True)
            assert int(full.headers["Retry-After"]) > 0
        head = await service.client.head(f"{service.url}/api/logs")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "Content-Length" not in head.headers
        await service.readers(0)


async def test_readers_need_a_token_if_one_is_set() -> None:
    """A request without a token gets a 401 with WWW-Authenticate, but /healthz stays reachable."""
    async with open_service(NATSTREAM_TOKEN="old-secret, new-secret") as service:
        for path in ("/api/logs", "/api/status", "/readyz"):
            for credentials in (None, "Bearer wrong", "Basic new-secret"):
                headers = {} if credentials is None else {"Authorization": credentials}
                refused = await service.get(path, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["WWW-Authenticate"].startswith("Bearer")
                assert "error" in refused.json()
        for token in ("old-secret", "new-secret"):
            response = await service.get(
                "/api/logs?follow=false", headers={"Authorization": f"Bearer {token}"}
            )
            assert response.status_code == 200
        assert (await service.get("/healthz")).status_code == 200


async def test_a_quiet_stream_says_that_it_is_alive_and_where_it_is(nats_server: Any) -> None:
    """A quiet stream gets keep-alives, with an id once the filter has left out lines."""
    async with open_service(nats_server, NATSTREAM_KEEPALIVE="0.2") as service:
        async with service.client.stream("GET", f"{service.url}/api/logs?app=other") as response:
            rows = response.aiter_lines()

            async def until(text: str) -> list[str]:
                got: list[str] = []
                with trio.fail_after(PATIENCE):
                    async for row in rows:
                        got.append(row)
                        if row.startswith(text):
                            break
                return got

            await until(": keep-alive")
            await nats_server.publish(SUBJECT, payloads(0, 3))
            await until("id: ")
            ours = service.service.core.hub
            assert (await until(": keep-alive"))[-1] == ": keep-alive"
        resume_id = f"{ours.backlog.newest_ms}-{ours.epoch}-3"
        async with service.stream(headers={"Last-Event-ID": resume_id}) as stream:
            await nats_server.publish(SUBJECT, payloads(3, 1))
            assert (await stream.next()).message == "3"


async def test_a_reader_that_resumes_gets_every_line_once(nats_server: Any) -> None:
    """A reader that is cut anywhere and resumes gets every line once."""
    total = 3_000
    async with open_service(nats_server) as service, trio.open_nursery() as nursery:

        async def publish() -> None:
            for first in range(0, total, 50):
                await nats_server.publish(SUBJECT, payloads(first, 50))

        got: list[str] = []
        async with service.stream() as stream:
            last_id = stream.id
        nursery.start_soon(publish)
        cuts = 0
        while len(got) < total:
            async with service.stream(headers={"Last-Event-ID": last_id}) as stream:
                for event in await stream.lines(min(1 + cuts * 7 % 97, total - len(got))):
                    assert "gap" not in event.data
                    got.append(event.message)
                    last_id = event.id
            cuts += 1
    assert got == [str(number) for number in range(total)]
    assert cuts > 20


@pytest.mark.parametrize("last_event_id", ["garbage", "1664310877252-00ff00ff-12", "é" * 300])
async def test_an_unknown_id_is_a_gap_not_an_error(last_event_id: str, nats_server: Any) -> None:
    """An unknown id gives a gap, because an EventSource would give up after an error."""
    async with open_service(nats_server) as service:
        async with service.stream() as stream:
            await nats_server.publish(SUBJECT, payloads(0, 3))
            await stream.lines(3)
        headers = {"Last-Event-ID": last_event_id.encode("utf-8")}
        async with service.stream(headers=headers) as stream:  # type: ignore[arg-type]
            gap = await stream.next()
            assert gap.data["gap"]["missed"] is None
            assert gap.data["type"] == "system"
            await stream.lines(1)


async def test_a_gap_is_counted_and_not_announced_twice(nats_server: Any) -> None:
    """A gap has its exact count, and a reader that is cut right after it does not get it again."""
    async with open_service(nats_server, NATSTREAM_BACKLOG_LINES="10") as service:
        async with service.stream() as stream:
            await nats_server.publish(SUBJECT, payloads(0, 5))
            (*_, last) = await stream.lines(5)
        for first in range(5, 105, 5):
            await nats_server.publish(SUBJECT, payloads(first, 5))
        with trio.fail_after(PATIENCE):
            while service.service.core.hub.statistics().published < 105:
                await trio.sleep(0.01)
        async with service.stream(headers={"Last-Event-ID": last.id}) as stream:
            gap = await stream.next()
            assert gap.data["gap"]["missed"] == 90
            assert gap.data["gap"]["since"] == int(last.id.partition("-")[0])
            line = await stream.next()
            assert line.message == "95"
            number = int(line.id.rpartition("-")[2])
        resume_id = line.id.rpartition("-")[0] + f"-{number - 1}"
        async with service.stream(headers={"Last-Event-ID": resume_id}) as stream:
            assert (await stream.next()).message == "95"


def random_lines(count: int, length: int, letters: str = "aei ") -> list[str]:
    """Return lines of random text, for which RE2 has to make new states all the time."""
    draw = random.Random(2)
    return ["".join(draw.choices(letters, k=length)) for _ in range(count)]


async def test_an_expression_that_is_too_slow_ends_its_stream(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, an expression that is too slow ends only its own stream, at last."""
    monkeypatch.setattr(LoopDelay, "is_late", True)
    monkeypatch.setattr("natstream.hub.budget.MAX_WAIT", 0.5)
    lines = random_lines(400, 2_000)
    async with open_service(nats_server) as service:
        await service.state("nats", "up")
        async with service.stream() as other, service.stream("?q=/e.{120}zq/") as slow:
            await nats_server.publish(SUBJECT, [payload(line) for line in lines])
            assert len(await other.lines(len(lines))) == len(lines)
            error = await slow.next()
            assert error.data["type"] == "error"
            assert error.message.startswith("q is too slow a regular expression")
            with pytest.raises(StopAsyncIteration):
                await slow.next()


async def test_slow_expressions_leave_the_service_responsive(nats_server: Any) -> None:
    """Five requests with twenty expressions each are served, and so is `/healthz` meanwhile.

    Without turns, `/healthz` waited for 10 s or more. Each slow reader gets all lines in the end.
    """
    slow = "&".join(f"not=/%5Bab%5D*a%5Bab%5D%7B{n}%7Dx/" for n in range(40, 59))
    lines = random_lines(300, 200, "ab")
    async with open_service(nats_server) as service:
        await service.state("nats", "up")
        async with service.stream() as other, AsyncExitStack() as stack:
            await nats_server.publish(SUBJECT, [payload(line) for line in lines])
            await other.lines(len(lines))
            query = f"?since=1h&follow=false&{slow}"
            readers = [
                await stack.enter_async_context(service.stream(f"{query}&not=none{n}"))
                for n in range(5)
            ]
            for _ in range(10):
                started = trio.current_time()
                await service.get("/healthz")
                assert trio.current_time() - started < 2
            for reader in readers:
                assert len(await reader.lines(len(lines))) == len(lines)


async def test_hostile_payloads_cost_no_line(nats_server: Any) -> None:
    """A hostile payload becomes one event, and the next line follows it."""
    hostile = [
        b"",
        b"\xff\xfe\x00",
        b"[" * 10_000,
        b'{"message": "\\ud800"}',
        b'{"message": {"a": 1}, "fly": 7, "log": [], "timestamp": {}}',
        b"data: forged\n\nid: 1\n\n",
        payload("two\n\nlines\r\ndata: x\u2028"),
        payload("x" * 300_000),
    ]
    async with open_service(nats_server) as service, service.stream() as stream:
        await nats_server.publish(SUBJECT, [*hostile, payload("after")])
        events = await stream.until("after")
        assert len(events) == len(hostile) + 1
        assert "cut here" in events[-2].message
        assert events[-3].message == "two\n\nlines\r\ndata: x\u2028"


async def test_a_reader_that_stops_reading_delays_no_other(nats_server: Any) -> None:
    """A reader that stops reading is cut, and another reader gets all of 20,000 lines meanwhile."""
    async with open_service(nats_server, NATSTREAM_STALL="1") as service:
        bind = service.service.bind
        stalled = await trio.open_tcp_stream(bind.host, bind.port)
        await stalled.send_all(b"GET /api/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with service.stream() as stream:
            await service.readers(2)
            for first in range(0, 20_000, 1_000):
                await nats_server.publish(SUBJECT, payloads(first, 1_000))
                got = await stream.lines(1_000)
                assert [event.message for event in got] == [
                    str(number) for number in range(first, first + 1_000)
                ]
            await service.readers(1)
        await stalled.aclose()


# --- what happens to the NATS server ---------------------------------------------------------


async def ready(service: RunningService, status: int) -> httpx.Response:
    """Wait until `/readyz` answers with this status."""
    with trio.fail_after(PATIENCE):
        while (response := await service.get("/readyz")).status_code != status:
            await trio.sleep(0.02)
    return response


async def test_a_server_that_is_killed_and_comes_back(nats_server: Any) -> None:
    """Readers and /readyz see that a server is lost, and lines flow again once it is back."""
    async with open_service(nats_server) as service, service.stream() as stream:
        await ready(service, 200)
        await nats_server.publish(SUBJECT, payloads(0, 2))
        await stream.lines(2)
        await nats_server.kill()
        await stream.until("NATS")
        response = await ready(service, 503)
        assert response.json()["sources"]["nats"]["state"] in ("lost", "connecting")
        assert (await service.get("/healthz")).status_code == 200
        async with service.stream() as late:
            assert (await late.next()).data["type"] in ("error", "system")
        await nats_server.restart()
        await ready(service, 200)
        await nats_server.publish(SUBJECT, payloads(2, 2))
        assert [event.message for event in await stream.lines(2)] == ["2", "3"]


async def test_a_server_that_is_down_at_start(nats_server: Any) -> None:
    """A service whose server is down at the start shows the state, and lines flow once it is up."""
    await nats_server.kill()
    async with open_service(nats_server, until="lost") as service, service.stream() as stream:
        await ready(service, 503)
        await nats_server.restart()
        await ready(service, 200)
        await nats_server.publish(SUBJECT, payloads(0, 1))
        assert (await stream.lines(1))[0].message == "0"


async def test_a_refused_password_names_the_variable(nats_server: Any) -> None:
    """The error event for a refused password names the variable, but does not show the password."""
    async with open_service(nats_server, until="denied", ACCESS_TOKEN="wrong-s3cret") as service:
        response = await ready(service, 503)
        assert "ACCESS_TOKEN" in response.json()["sources"]["nats"]["detail"]
        async with service.stream() as stream:
            event = await stream.next()
            assert event.data["type"] == "error"
            assert "ACCESS_TOKEN" in event.message
            assert "wrong-s3cret" not in event.message


async def test_a_password_that_is_revoked_live_and_given_back(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source whose password is revoked is denied, and lines flow again once it is restored."""
    monkeypatch.setattr("natstream.errors.SourceDenied.retry_after", 0.5)
    async with open_service(nats_server) as service, service.stream() as stream:
        nats_server.revoke()
        event = (await stream.until("ACCESS_TOKEN"))[-1]
        assert event.data["type"] == "error"
        await service.state("nats", "denied")
        nats_server.allow()
        await ready(service, 200)
        await nats_server.publish(SUBJECT, payloads(0, 1))
        assert (await stream.lines(1))[0].message == "0"


async def test_a_subject_that_is_denied(nats_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source whose subject is denied gives an error, and lines flow again once it is allowed."""
    monkeypatch.setattr("natstream.errors.SourceDenied.retry_after", 0.5)
    nats_server.deny("logs.>")
    await nats_server.restart()
    async with open_service(nats_server, until="denied") as service, service.stream() as stream:
        assert (await stream.next()).data["type"] == "error"
        nats_server.allow()
        await ready(service, 200)
        await nats_server.publish(SUBJECT, payloads(0, 1))
        assert (await stream.lines(1))[0].message == "0"


async def test_only_the_named_apps_are_read(nats_server: Any) -> None:
    """The service reads only the named apps, with one subscription for each."""
    async with (
        open_service(nats_server, FLY_APP="web,api") as service,
        service.stream() as stream,
    ):
        for app in ("web", "other", "api", "webs"):
            await nats_server.publish(f"logs.{app}.iad.m1", [payload(app)])
        assert [event.message for event in await stream.lines(2)] == ["web", "api"]


async def test_readers_get_a_closing_notice(nats_server: Any) -> None:
    """When the service closes, readers first get the remaining lines and a closing notice."""
    async with open_service(nats_server) as service, service.stream() as stream:
        await nats_server.publish(SUBJECT, payloads(0, 5_000))
        await stream.lines(1)
        service.stop.set()
        got = await stream.until("closing")
        assert [event.message for event in got[:-1] if event.is_line] == [
            str(number) for number in range(1, 5_000)
        ]
        with pytest.raises(StopAsyncIteration), trio.fail_after(PATIENCE):
            await stream.next()
