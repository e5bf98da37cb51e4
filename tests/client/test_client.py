"""A service read from a program, over real connections and through what befalls them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from tests.support.fake_service import (
    Answer,
    FakeService,
    event_id,
    line,
    notice,
    open_fake_service,
)
from tests.support.service import RunningService, open_service

from natstream.client import client
from natstream.client.client import is_private, open_log_stream, parse_url
from natstream.entries.entry import Gap, Notice
from natstream.errors import BadQuery, ConfigurationError, SourceDenied, SourceUnavailable


@pytest.fixture(autouse=True)
def quick_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits before another attempt are told in `test_waits_grow`; nobody need sit them out."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


async def messages(service: FakeService, count: int, **parameters: object) -> list[str]:
    async with open_log_stream(service.url, **parameters) as entries:  # type: ignore[arg-type]  # parameters of any kind
        return [(await entries.receive()).message for _ in range(count)]


async def test_entries_arrive_as_they_are_sent() -> None:
    """What the service sends is received, in order, while the stream stays open."""
    async with open_fake_service(Answer([notice(), line(1), line(2, "two\nlines"), b"\n"])) as fake:
        assert await messages(fake, 2) == ["line 1", "two\nlines"]


async def test_the_request_is_the_callers() -> None:
    """Parameters go as they were given, the token as a bearer's, and NDJSON is asked for."""
    async with open_fake_service(Answer([line(1)])) as fake:
        url = f"{fake.url}/prefix/?app=api&region=sjc"
        async with open_log_stream(
            url, token="secret", app="web", level=["warn", "error"], tail=5, follow=True, not_="x y"
        ):
            pass
    (request,) = fake.requests
    assert request.path == "/prefix/api/logs"
    assert sorted(request.query) == [
        *[("app", "api"), ("app", "web"), ("follow", "true"), ("level", "error")],
        *[("level", "warn"), ("not", "x y"), ("region", "sjc"), ("tail", "5")],
    ]
    assert request.headers["accept"] == "application/x-ndjson"
    assert request.headers["authorization"] == "Bearer secret"
    assert "last-event-id" not in request.headers


async def test_a_replay_ends() -> None:
    """A stream that is not followed ends where the service ends it."""
    async with (
        open_fake_service(Answer([notice(), line(1), line(2)], "end")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        assert [entry.message async for entry in entries] == ["line 1", "line 2"]
        with pytest.raises(trio.EndOfChannel):
            await entries.receive()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("end", ["cut", "end"])
async def test_a_cut_is_taken_up_where_it_was(end: str) -> None:
    """After a cut, in the middle of a line even, nothing is missing and nothing comes twice."""
    notices: list[Notice] = []
    script = [
        Answer([notice(), line(1), line(2), line(3)[:30]], end),
        Answer([], end),
        Answer([notice(), line(3), line(4)]),
    ]
    async with open_fake_service(*script) as fake:
        got = await messages(fake, 4, on_notice=notices.append, tail=9)
    assert got == ["line 1", "line 2", "line 3", "line 4"]
    ids = [request.headers.get("last-event-id") for request in fake.requests]
    assert ids == [None, event_id(2), event_id(2)]
    assert [told.type for told in notices] == ["system", "error", "error", "system"]
    assert notices[1].message.endswith("; trying again")


async def test_a_replay_that_is_cut_is_taken_up_too() -> None:
    """Without following, only the service's own end is the end."""
    script = [Answer([line(1)], "cut"), Answer([line(2)], "end")]
    async with (
        open_fake_service(*script) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        assert [entry.message async for entry in entries] == ["line 1", "line 2"]


async def test_a_gap_is_told_at_its_place() -> None:
    """`on_notice` hears of a gap after the last entry before it, and before the next."""
    heard: list[object] = []
    gap = Gap(7, 5, at_most=True)
    body = [line(1) + notice("7 are missing", gap=gap, place=event_id(8)) + line(9)]
    async with (
        open_fake_service(Answer(body)) as fake,
        open_log_stream(fake.url, on_notice=lambda told: heard.append(told.gap)) as entries,
    ):
        heard.append((await entries.receive_some())[0].message)
        heard.append((await entries.receive()).message)
    assert heard == ["line 1", gap, "line 9"]


async def test_a_cut_after_a_gap_does_not_tell_it_again() -> None:
    """The gap's own id is where the next connection resumes."""
    script = [Answer([notice("7 are missing", place=event_id(8))], "cut"), Answer([line(9)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1)
    assert fake.requests[1].headers["last-event-id"] == event_id(8)


async def test_a_cut_before_the_first_entry_leaves_no_hole() -> None:
    """What arrives while nobody listens is asked for by the time of the first connection."""
    script = [Answer([notice(unix_ms=1234), b"\n"], "cut"), Answer([line(1)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1, tail=3, app="web")
    assert fake.requests[1].query == [("app", "web"), ("since", "1234")]


async def test_a_cut_before_the_replay_asks_for_it_again() -> None:
    """As long as the past may still be on its way, the same is asked for."""
    script = [Answer([notice()], "cut"), Answer([line(1)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1, tail=3)
    assert fake.requests[1].query == [("tail", "3")]


async def test_a_service_that_is_full_is_given_its_time() -> None:
    """On the way back, `Retry-After` is waited out; at first it is the caller's to know."""
    full = Answer([b'{"error": "all places are taken"}'], "end", 503, {"Retry-After": "1"})
    notices: list[str] = []
    async with open_fake_service(Answer([line(1)], "cut"), full, Answer([line(2)]), full) as fake:
        start = trio.current_time()
        await messages(fake, 2, on_notice=lambda told: notices.append(told.message))
        assert trio.current_time() - start >= 1
        with pytest.raises(SourceUnavailable, match="answers 503: all places are taken") as caught:
            await messages(fake, 1)
    assert caught.value.retry_after == 1
    assert "all places are taken" in notices[-1]


async def test_a_silent_connection_is_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even keep-alives come any more, another connection is made."""
    monkeypatch.setattr(client, "TIMEOUT", httpx.Timeout(10, read=0.2))
    async with open_fake_service(Answer([line(1)]), Answer([line(2)])) as fake:
        assert await messages(fake, 2) == ["line 1", "line 2"]


REFUSALS = [
    (Answer(status=401, end="end"), SourceDenied, "wants a token"),
    (
        Answer([b'{"error": "tail takes a number", "parameter": "tail"}'], "end", 400),
        BadQuery,
        "tail takes a number",
    ),
    (Answer([b"<h1>What?</h1>"], "end", 404), SourceUnavailable, "answers 404: Not Found"),
    (
        Answer([b"<h1>Hi</h1>"], "end", 200, {"Content-Type": "text/html"}),
        SourceUnavailable,
        "answers, but not as a natstream: text/html",
    ),
    (Answer(end="cut", status=502), SourceUnavailable, "answers 502"),
    (Answer([b"x" * 100_000], "stay", 500), SourceUnavailable, "answers 500"),
]


@pytest.mark.parametrize(("answer", "error", "says"), REFUSALS)
async def test_a_refusal_says_what_is_wrong(
    answer: Answer, error: type[Exception], says: str
) -> None:
    """Each answer that is no stream is one error of ours with one sentence."""
    async with open_fake_service(answer) as fake:
        with pytest.raises(error, match=says):
            await messages(fake, 1)


async def test_a_token_that_is_refused_is_not_told() -> None:
    """The sentence says that it was refused, not what it was."""
    async with open_fake_service(Answer(status=401, end="end")) as fake:
        with pytest.raises(SourceDenied, match="refuses the token") as caught:
            await messages(fake, 1, token="hunter2")
    assert "hunter2" not in str(caught.value)


async def test_a_refusal_later_on_is_raised_where_the_stream_ends() -> None:
    """A service that wants another token after a cut is not asked over and over."""
    async with (
        open_fake_service(Answer([line(1)], "cut"), Answer(status=401, end="end")) as fake,
        open_log_stream(fake.url) as entries,
    ):
        assert (await entries.receive()).message == "line 1"
        with pytest.raises(SourceDenied):
            await entries.receive()


async def test_nobody_there() -> None:
    """The reason is the system's, in its few words."""
    async with open_fake_service() as fake:
        url = fake.url
    with pytest.raises(SourceUnavailable, match=r"cannot be reached: Connection refused$"):
        async with open_log_stream(url):
            pass


async def test_no_such_name() -> None:
    """A name that does not resolve is not a mystery either."""
    with pytest.raises(SourceUnavailable, match=r"http://nowhere.invalid:1 cannot be reached: \w+"):
        async with open_log_stream("nowhere.invalid:1"):
            pass


async def test_redirects_are_followed() -> None:
    """A platform that sends everybody to https does not stop a reader."""
    async with open_fake_service(Answer([line(1)])) as fake:
        moved = Answer(status=301, end="end", headers={"Location": f"{fake.url}/api/logs"})
        async with open_fake_service(moved) as old:
            assert await messages(old, 1) == ["line 1"]


async def test_leaving_closes_the_connection() -> None:
    """The service sees at once that its reader has gone."""
    async with open_fake_service(Answer([line(1), line(2)])) as fake:
        await messages(fake, 1)
        await fake.gone.wait()


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    """The reader's own task is not the caller's business: no exception group."""
    async with open_fake_service(Answer([line(1)])) as fake:
        with pytest.raises(LookupError, match="mine"):
            async with open_log_stream(fake.url):
                raise LookupError("mine")


async def test_giving_up_a_wait_loses_nothing() -> None:
    """A receive that is cancelled leaves the stream whole, on the same connection."""
    async with (
        open_fake_service(Answer([line(1)])) as fake,
        open_log_stream(fake.url) as entries,
    ):
        await entries.receive()
        for _ in range(3):
            with trio.move_on_after(0.01) as scope:
                await entries.receive()
            assert scope.cancelled_caught
        assert len(fake.requests) == 1


async def test_a_reader_that_does_not_read_holds_the_service_back() -> None:
    """What is buffered here is bounded: the rest waits on the other side."""
    body = [line(1, "x" * 10_000) * 10] * 1_000  # 100 MB
    async with (
        open_fake_service(Answer(body, "end")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        while not entries._batches.statistics().tasks_waiting_send:
            await trio.sleep(0.01)
        assert entries._batches.statistics().current_buffer_used == client.BATCHES


async def test_it_outlives_the_service(nats_server: Any) -> None:
    """A real service that is replaced by another: its reader goes on, and is told of the gap."""
    notices: list[Notice] = []
    subject = "logs.web.sjc.0e286551c30586"
    over = trio.Event()

    async def serve(bind: str, *, task_status: trio.TaskStatus[RunningService]) -> None:
        async with open_service(nats_server, NATSTREAM_BIND=bind) as service:
            task_status.started(service)
            await service.stop.wait()
        over.set()

    async with trio.open_nursery() as nursery:
        first = await nursery.start(serve, "127.0.0.1:0")
        bind = str(first.service.bind)
        async with open_log_stream(bind, app="web", on_notice=notices.append) as entries:
            await nats_server.publish(subject, [b'{"message": "one"}', b'{"message": "two"}'])
            assert [(await entries.receive()).message for _ in range(2)] == ["one", "two"]
            first.stop.set()
            await over.wait()
            second = await nursery.start(serve, bind)
            await second.readers(1)
            await nats_server.publish(subject, [b'{"message": "three"}'])
            entry = await entries.receive()
        second.stop.set()
    assert (entry.message, entry.machine_id, entry.source) == ("three", "0e286551c30586", "nats")
    assert [told.gap.missed for told in notices if told.gap] == [None]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/logs"),
        ("localhost", "http://localhost:8080/api/logs"),
        ("[::1]", "http://[::1]:8080/api/logs"),
        ("10.0.0.1", "http://10.0.0.1:8080/api/logs"),
        ("logs.internal", "http://logs.internal:8080/api/logs"),
        ("logs.flycast", "http://logs.flycast/api/logs"),
        ("logs.fly.dev", "https://logs.fly.dev/api/logs"),
        ("logs.fly.dev:8080", "http://logs.fly.dev:8080/api/logs"),
        ("https://example.com/logs/", "https://example.com/logs/api/logs"),
        ("https://example.com/api/logs?app=web#x", "https://example.com/api/logs?app=web"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    """An address may be as short as it is clear."""
    assert str(parse_url(text)) == address


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "http://x:port", "http://x:99999999"])
def test_no_addresses(text: str) -> None:
    """What is no address is named as such."""
    with pytest.raises(ConfigurationError, match="is not an address"):
        parse_url(text)


async def test_what_cannot_be_a_token() -> None:
    """A token with a line break in it is a mistake, said before anything is sent."""
    with pytest.raises(ConfigurationError, match="token"):
        async with open_log_stream(token="abc\n"):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fdaa::3", "web.flycast", "logs.internal"])
def test_private_hosts(host: str) -> None:
    """Fly's own network counts as private."""
    assert is_private(host)
    assert not is_private("logs.fly.dev")
    assert not is_private("2a09:8280:1::3")


def test_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts grow up to a limit, and no two readers wait alike."""
    monkeypatch.undo()
    waits = client._waits()
    drawn = [next(waits) for _ in range(20)]
    assert 0.5 <= drawn[0] <= 1.5
    assert all(5 <= wait <= 15 for wait in drawn[5:])
    assert len(set(drawn)) == 20
