"""The client over real connections, also when these fail."""

from __future__ import annotations

from contextlib import suppress
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

from natstream.client import client, service
from natstream.client.address import is_private, parse_url
from natstream.client.client import open_log_stream
from natstream.entries.entry import Gap, Notice
from natstream.errors import BadQuery, ConfigurationError, SourceDenied, SourceUnavailable


@pytest.fixture(autouse=True)
def quick_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between attempts, since `test_waits_grow` alone is about them."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


async def messages(service: FakeService, count: int, **parameters: object) -> list[str]:
    async with open_log_stream(service.url, **parameters) as entries:  # type: ignore[arg-type]  # parameters of any kind
        return [(await entries.receive()).message for _ in range(count)]


async def test_entries_arrive_as_they_are_sent() -> None:
    """Entries are received in order while the stream stays open."""
    async with open_fake_service(Answer([notice(), line(1), line(2, "two\nlines"), b"\n"])) as fake:
        assert await messages(fake, 2) == ["line 1", "two\nlines"]


async def test_the_request_is_the_callers() -> None:
    """The request has the caller's parameters, the token as a bearer token, and asks for NDJSON."""
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
    """A stream that does not follow ends when the service ends it."""
    async with (
        open_fake_service(Answer([notice(), line(1), line(2)], "end")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        assert [entry.message async for entry in entries] == ["line 1", "line 2"]
        with pytest.raises(trio.EndOfChannel):
            await entries.receive()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("end", ["cut", "end"])
async def test_a_reader_resumes_where_it_was_cut(end: str) -> None:
    """A reader that is cut, even in the middle of a line, gets every line once."""
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
    assert [notice.type for notice in notices] == ["system", "error", "error", "system"]
    assert notices[1].message.endswith("; trying again")


async def test_a_replay_that_is_cut_resumes_too() -> None:
    """A stream that does not follow resumes after a cut, and ends only when the service ends it."""
    script = [Answer([line(1)], "cut"), Answer([line(2)], "end")]
    async with (
        open_fake_service(*script) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        assert [entry.message async for entry in entries] == ["line 1", "line 2"]


async def test_a_gap_is_reported_in_order() -> None:
    """`on_notice` gets a gap after the last entry before it, and before the next entry."""
    events: list[object] = []
    gap = Gap(7, 5, at_most=True)
    body = [line(1) + notice("7 are missing", gap=gap, resume_id=event_id(8)) + line(9)]
    async with (
        open_fake_service(Answer(body)) as fake,
        open_log_stream(fake.url, on_notice=lambda notice: events.append(notice.gap)) as entries,
    ):
        events.append((await entries.receive_some())[0].message)
        events.append((await entries.receive()).message)
    assert events == ["line 1", gap, "line 9"]


async def test_a_cut_after_a_gap_does_not_report_it_again() -> None:
    """After a gap, the next connection resumes from the id of the gap itself."""
    script = [Answer([notice("7 are missing", resume_id=event_id(8))], "cut"), Answer([line(9)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1)
    assert fake.requests[1].headers["last-event-id"] == event_id(8)


async def test_a_cut_before_the_first_entry_leaves_no_hole() -> None:
    """A reader that is cut before its first entry asks for all lines since it first connected."""
    script = [Answer([notice(unix_ms=1234), b"\n"], "cut"), Answer([line(1)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1, tail=3, app="web")
    assert fake.requests[1].query == [("app", "web"), ("since", "1234")]


async def test_a_cut_before_the_replay_asks_for_it_again() -> None:
    """A reader that is cut before the past has arrived repeats its first request."""
    script = [Answer([notice()], "cut"), Answer([line(1)])]
    async with open_fake_service(*script) as fake:
        await messages(fake, 1, tail=3)
    assert fake.requests[1].query == [("tail", "3")]


async def test_retry_after_is_respected() -> None:
    """A reader that comes back waits for `Retry-After`; on the first connection the caller may."""
    full = Answer([b'{"error": "too many readers"}'], "end", 503, {"Retry-After": "1"})
    notices: list[str] = []
    async with open_fake_service(Answer([line(1)], "cut"), full, Answer([line(2)]), full) as fake:
        start = trio.current_time()
        await messages(fake, 2, on_notice=lambda notice: notices.append(notice.message))
        assert trio.current_time() - start >= 1
        with pytest.raises(SourceUnavailable, match="answers 503: too many readers") as caught:
            await messages(fake, 1)
    assert caught.value.retry_after == 1
    assert "too many readers" in notices[-1]


async def test_a_silent_connection_is_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client connects again if not even keep-alives arrive."""
    monkeypatch.setattr(client, "TIMEOUT", httpx.Timeout(10, read=0.2))
    async with open_fake_service(Answer([line(1)]), Answer([line(2)])) as fake:
        assert await messages(fake, 2) == ["line 1", "line 2"]


REFUSALS = [
    (Answer(status=401, end="end"), SourceDenied, "needs a token"),
    (
        Answer([b'{"error": "tail takes a number", "parameter": "tail"}'], "end", 400),
        BadQuery,
        "tail takes a number",
    ),
    (Answer([b"<h1>What?</h1>"], "end", 404), SourceUnavailable, "answers 404: Not Found"),
    (
        Answer([b"<h1>Hi</h1>"], "end", 200, {"Content-Type": "text/html"}),
        SourceUnavailable,
        "answers, but is not a natstream: text/html",
    ),
    (Answer(end="cut", status=502), SourceUnavailable, "answers 502"),
    (Answer([b"x" * 100_000], "stay", 500), SourceUnavailable, "answers 500"),
]


@pytest.mark.parametrize(("answer", "error", "says"), REFUSALS)
async def test_a_refusal_says_what_is_wrong(
    answer: Answer, error: type[Exception], says: str
) -> None:
    """Each answer that is not a stream raises one error of ours with one sentence."""
    async with open_fake_service(answer) as fake:
        with pytest.raises(error, match=says):
            await messages(fake, 1)


async def test_a_refused_token_is_not_shown() -> None:
    """The error says that the token was refused, but does not show the token."""
    async with open_fake_service(Answer(status=401, end="end")) as fake:
        with pytest.raises(SourceDenied, match="refuses the token") as caught:
            await messages(fake, 1, token="hunter2")
    assert "hunter2" not in str(caught.value)


async def test_a_refusal_later_on_is_raised_where_the_stream_ends() -> None:
    """A client whose token is refused after a cut does not ask again, but raises the error."""
    async with (
        open_fake_service(Answer([line(1)], "cut"), Answer(status=401, end="end")) as fake,
        open_log_stream(fake.url) as entries,
    ):
        assert (await entries.receive()).message == "line 1"
        with pytest.raises(SourceDenied):
            await entries.receive()


async def test_a_refused_connection() -> None:
    """The error for a refused connection has the system's own reason."""
    async with open_fake_service() as fake:
        url = fake.url
    with pytest.raises(SourceUnavailable, match=r"cannot be reached: Connection refused$"):
        async with open_log_stream(url):
            pass


async def test_an_unknown_host_name() -> None:
    """The error for a host name that does not resolve has the system's own reason."""
    with pytest.raises(SourceUnavailable, match=r"http://nowhere.invalid:1 cannot be reached: \w+"):
        async with open_log_stream("nowhere.invalid:1"):
            pass


async def test_redirects_are_followed() -> None:
    """A reader follows redirects, since a platform may redirect all requests to https."""
    async with open_fake_service(Answer([line(1)])) as fake:
        moved = Answer(status=301, end="end", headers={"Location": f"{fake.url}/api/logs"})
        async with open_fake_service(moved) as old:
            assert await messages(old, 1) == ["line 1"]


async def test_leaving_closes_the_connection() -> None:
    """The service sees a disconnect as soon as the reader leaves its block."""
    async with open_fake_service(Answer([line(1), line(2)])) as fake:
        await messages(fake, 1)
        await fake.gone.wait()


async def test_an_exception_of_the_block_is_not_wrapped() -> None:
    """An exception of the caller's block is not wrapped in an exception group."""
    async with open_fake_service(Answer([line(1)])) as fake:
        with pytest.raises(LookupError, match="mine"):
            async with open_log_stream(fake.url):
                raise LookupError("mine")


async def test_a_cancelled_receive_loses_nothing() -> None:
    """A cancelled receive leaves the stream intact on the same connection."""
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


async def test_a_reader_that_does_not_read_makes_the_service_wait() -> None:
    """The client's buffer is bounded, so that further lines wait in the service."""
    body = [line(1, "x" * 10_000) * 10] * 1_000  # 100 MB
    async with (
        open_fake_service(Answer(body, "end")) as fake,
        open_log_stream(fake.url, follow=False) as entries,
    ):
        while not entries._batches.statistics().tasks_waiting_send:
            await trio.sleep(0.01)
        assert entries._batches.statistics().current_buffer_used == client.BATCHES


async def test_a_reader_outlives_the_service(nats_server: Any) -> None:
    """A reader whose service is replaced by another goes on, and gets a notice of the gap."""
    notices: list[Notice] = []
    subject = "logs.web.sjc.0e286551c30586"
    closed = trio.Event()

    async def serve(bind: str, *, task_status: trio.TaskStatus[RunningService]) -> None:
        async with open_service(nats_server, NATSTREAM_BIND=bind) as service:
            task_status.started(service)
            await service.stop.wait()
        closed.set()

    async with trio.open_nursery() as nursery:
        first = await nursery.start(serve, "127.0.0.1:0")
        bind = str(first.service.bind)
        async with open_log_stream(bind, app="web", on_notice=notices.append) as entries:
            await nats_server.publish(subject, [b'{"message": "one"}', b'{"message": "two"}'])
            assert [(await entries.receive()).message for _ in range(2)] == ["one", "two"]
            first.stop.set()
            await closed.wait()
            second = await nursery.start(serve, bind)
            await second.readers(1)
            await nats_server.publish(subject, [b'{"message": "three"}'])
            entry = await entries.receive()
        second.stop.set()
    assert (entry.message, entry.machine_id, entry.source) == ("three", "0e286551c30586", "nats")
    assert [notice.gap.missed for notice in notices if notice.gap] == [None]


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
    """An address may lack the scheme, the port and the path."""
    assert str(parse_url(text)) == address


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "http://x:port", "http://x:99999999"])
def test_wrong_addresses(text: str) -> None:
    """A text that is not an address raises an error that says so."""
    with pytest.raises(ConfigurationError, match="is not an address"):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h/link#1.s3cr3t",
        "htps://u:s3cr3t@h/x",
        "http://u:s3cr3t@h:99999/",
        "https://u:a/s3cr3t@h:port/",
        "u:s3cr3t@h:99999",
    ],
)
def test_an_error_shows_no_secret_of_an_address(text: str) -> None:
    """Neither the token of a link nor a password is repeated."""
    with pytest.raises(ConfigurationError, match="is not an address") as caught:
        parse_url(text)
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_token_with_a_line_break() -> None:
    """A token with a line break raises an error before anything is sent."""
    with pytest.raises(ConfigurationError, match="token"):
        async with open_log_stream(token="abc\n"):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fdaa::3", "web.flycast", "logs.internal"])
def test_private_hosts(host: str) -> None:
    """Loopback and the names and addresses of Fly's own network are private."""
    assert is_private(host)
    assert not is_private("logs.fly.dev")
    assert not is_private("2a09:8280:1::3")


def test_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts grow up to a limit, and differ from reader to reader."""
    monkeypatch.undo()
    waits = client._waits()
    drawn = [next(waits) for _ in range(20)]
    assert 0.5 <= drawn[0] <= 1.5
    assert all(5 <= wait <= 15 for wait in drawn[5:])
    assert len(set(drawn)) == 20


@pytest.mark.parametrize(
    "location",
    [
        *("http://[::1", "ftp://x/", "/api/logs", "http://127.0.0.1:99999/", "http://a..b/"),
        *("http://xn--0.com/", "http://" + "a" * 3_000 + "/", "http://%00/", "//\x7f/"),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_a_service_that_cannot_be_reached(
    location: str,
) -> None:
    """A redirect to itself, or to an address that cannot exist, is one sentence."""
    script = [Answer(status=302, end="end", headers={"Location": location})] * 20
    async with open_fake_service(*script) as fake:
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            await messages(fake, 1)


async def test_a_redirect_is_followed_without_its_body() -> None:
    """A redirect leads to the service, and its body is not read, which may have no end."""
    async with open_fake_service(Answer([line(1)])) as fake:
        moved = Answer([b"x" * 100_000], "stay", 308, {"Location": f"{fake.url}/api/logs"})
        async with open_fake_service(moved) as other:
            assert await messages(other, 1) == ["line 1"]


async def test_a_cookie_that_cannot_be_sent_is_a_sentence() -> None:
    """A cookie with characters that no request can hold ends in a sentence."""
    headers = {"Location": "/x", "Set-Cookie": "\xff\xfe=1; Path=/"}
    async with open_fake_service(Answer(status=302, end="end", headers=headers)) as fake:
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            await messages(fake, 1)


async def test_interim_answers_without_an_end_are_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service that only sends interim answers is given up at a deadline."""
    monkeypatch.setattr(service, "ANSWER_DEADLINE", 0.5)

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(20), pytest.raises(SourceUnavailable, match="no answer"):
            async with open_log_stream(f"127.0.0.1:{port}"):
                pass
        nursery.cancel_scope.cancel()


async def test_a_compressed_answer_is_refused() -> None:
    """An answer that is compressed, although that was not asked for, is not unpacked."""
    body, headers = [b"\x1f\x8b"], {"Content-Encoding": "gzip, gzip"}
    async with open_fake_service(Answer(body, "end", headers=headers)) as fake:
        with pytest.raises(SourceUnavailable, match="not a natstream"):
            await messages(fake, 1)


@pytest.mark.parametrize("status", [400, 503])
async def test_a_long_refusal_is_cut(status: int) -> None:
    """The sentence of a refusal has a bounded length, however much the service says."""
    body = [b'{"error": "' + b"x" * 60_000 + b'"}']
    async with open_fake_service(Answer(body, "end", status)) as fake:
        with pytest.raises((BadQuery, SourceUnavailable)) as caught:
            await messages(fake, 1)
    assert len(str(caught.value)) < 1_000


async def test_lines_around_a_line_are_not_resumed() -> None:
    """A cut answer with the lines around a line is an error, because it cannot be resumed."""
    async with open_fake_service(Answer([notice(), line(1), line(2)], "cut")) as fake:
        async with open_log_stream(fake.url, around=event_id(2), before=1) as entries:
            with pytest.raises(SourceUnavailable, match="was lost"):
                async for _ in entries:
                    pass
        assert fake.requests[0].query == [("around", event_id(2)), ("before", "1")]
        assert len(fake.requests) == 1


async def test_an_unknown_line_is_a_bad_query() -> None:
    """A line that the service does not have is the fault of the parameter `around`."""
    async with open_service() as service:
        with pytest.raises(BadQuery, match="no longer has a line") as caught:
            async with open_log_stream(service.url, around="1-a-1"):
                pass
    assert caught.value.parameter == "around"


async def test_a_stream_with_until_ends() -> None:
    """A stream with `until` is over when the service ends it, and is not begun again."""
    async with (
        open_fake_service(Answer([notice(), line(1)], "end")) as fake,
        open_log_stream(fake.url, since="1h", until="5m") as entries,
    ):
        assert [entry.message async for entry in entries] == ["line 1"]
        assert len(fake.requests) == 1


async def test_a_link_is_an_address_with_its_token() -> None:
    """A link's token goes into the header, and its path is that of the service."""
    async with open_fake_service(Answer([line(1)])) as fake:
        async with open_log_stream(f"{fake.url}/logs/link#abc.def-1", token="other") as entries:
            await entries.receive()
        assert fake.requests[0].path == "/logs/api/logs"
        assert fake.requests[0].headers["authorization"] == "Bearer abc.def-1"
    for link in ("https://x.example/link", "x.example/link/", "https://x.example/link#"):
        with pytest.raises(ConfigurationError, match="lacks the part after the #"):
            parse_url(link)
