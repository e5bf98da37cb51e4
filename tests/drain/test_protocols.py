"""OpenTelemetry's protocol and Logplex over HTTP: answers, encodings, limits and credentials."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from tests.support.otlp import Export, Sent, in_json, in_protobuf

from natstream.drain import intake
from natstream.drain.body_memory import BodyMemory
from natstream.drain.collector import LogCollector
from natstream.drain.server import DrainLimits, LogDrainServer
from natstream.entries.entry import LogEntry
from natstream.hub.sink import Receipt

JSON, PROTOBUF = "application/json", "application/x-protobuf"
ENCODINGS = {JSON: in_json, PROTOBUF: in_protobuf}
EXPORT = Export(records=[Sent(body="one"), Sent(body="two")])
BODIES = [(JSON, in_json(EXPORT)), (PROTOBUF, in_protobuf(EXPORT))]
FRAME = b"<190>1 2026-01-02T03:04:05+00:00 host app web.1 - hello\n"
FRAMES = b"%d %b" % (len(FRAME), FRAME) * 2


class ListJournal:
    """A `Storage` that keeps all entries, and the names of their batches."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.entries: list[LogEntry] = []

    def open_receipt(self, key: str) -> ListJournal:
        self.keys.append(key)
        return self

    async def confirmed(self) -> None:
        await trio.lowlevel.checkpoint()

    async def publish(self, entries: Sequence[LogEntry], receipt: Receipt | None = None) -> None:
        await trio.lowlevel.checkpoint()
        self.entries += entries

    @property
    def messages(self) -> list[str]:
        return [entry.message for entry in self.entries]


@attrs.frozen
class Drain:
    server: LogDrainServer
    journal: ListJournal
    client: httpx.AsyncClient

    async def post(self, body: bytes, type: str = JSON, path: str = "", **headers: str) -> Any:
        return await self.client.post(
            path or "/v1/logs", content=body, headers={"Content-Type": type, **headers}
        )


@asynccontextmanager
async def drain(**options: Any) -> AsyncIterator[Drain]:
    journal = ListJournal()
    async with LogDrainServer(LogCollector(), journal=journal, **options) as server:
        assert server.url is not None
        async with httpx.AsyncClient(base_url=server.url) as client:
            yield Drain(server, journal, client)


def status_message(body: bytes) -> str:
    """Return the message of a google.rpc.Status, which is its field 2."""
    assert body[0] == 2 << 3 | 2
    size = body[1] & 127 | (body[2] << 7 if body[1] > 127 else 0)
    text = body[3 if body[1] > 127 else 2 :]
    assert len(text) == size
    return text.decode()


def error_in(answer: httpx.Response, type: str) -> str:
    """Return the sentence of a refusal in the encoding of its request."""
    assert answer.headers["Content-Type"] == type
    if type == PROTOBUF:
        return status_message(answer.content)
    assert answer.json()["message"] == answer.json()["error"]
    return str(answer.json()["message"])


# --- OpenTelemetry --------------------------------------------------------------------------------


@pytest.mark.parametrize(("type", "body"), BODIES, ids=["JSON", "protobuf"])
async def test_a_whole_body_is_answered_with_an_empty_message(type: str, body: bytes) -> None:
    """The answer to a body that was taken is the empty response, in the request's encoding."""
    async with drain() as here:
        for path in ("/v1/logs", "/v1/logs/", "/v1/logs?region=sjc"):
            answer = await here.post(body, type, path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, type)
            assert answer.content.strip() == (b"{}" if type == JSON else b"")
        assert here.journal.messages == ["one", "two"] * 3
        assert {entry.region for entry in here.journal.entries[4:]} == {"sjc"}
        assert here.server.statistics().accepted == 6


@pytest.mark.parametrize("type", [JSON, PROTOBUF])
async def test_a_part_that_is_rejected_is_counted_and_told(type: str) -> None:
    """The answer has the number of rejected records and a reason, and so do the drain's counts."""
    deep: Any = "leaf"
    for _ in range(25):
        deep = [deep]
    body = ENCODINGS[type](Export(records=[Sent(body="one"), Sent(body=deep)]))
    async with drain() as here:
        answer = await here.post(body, type)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, type)
        if type == JSON:
            partial = answer.json()["partialSuccess"]
            rejected, sentence = partial["rejectedLogRecords"], partial["errorMessage"]
            assert rejected == "1", "numbers of 64 bits are texts in protobuf's JSON"
        else:
            from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

            message = logs_service_pb2.ExportLogsServiceResponse.FromString(answer.content)
            assert message.partial_success.rejected_log_records == 1
            sentence = message.partial_success.error_message
        assert sentence == (
            "1 record was dropped: 1 nest too deeply. A value nests deeper than 20 levels."
        )
        assert here.journal.messages == ["one"]
        assert here.server.statistics().dropped == {"too_deep": 1}


@pytest.mark.parametrize("type", [JSON, PROTOBUF])
async def test_compressed_bodies_are_read(type: str) -> None:
    """Gzip and deflate are read, and a small body that unpacks to a large one is a 413."""
    body = ENCODINGS[type](EXPORT)
    limits = DrainLimits(max_body=100_000)
    async with drain(limits=limits) as here:
        for encoding, sent in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
            answer = await here.post(sent, type, **{"Content-Encoding": encoding})
            assert answer.status_code == 200
        assert here.journal.messages == ["one", "two"] * 2
        large = ENCODINGS[type](Export(records=[Sent(body="x" * 200_000)]))
        for sent, more in ((gzip.compress(large), {"Content-Encoding": "gzip"}), (large, {})):
            answer = await here.post(sent, type, **more)
            assert answer.status_code == 413
            assert "smaller batches" in error_in(answer, type)
        answer = await here.post(gzip.compress(body)[:-9], type, **{"Content-Encoding": "gzip"})
        assert answer.status_code == 400
        answer = await here.post(body, type, **{"Content-Encoding": "zstd"})
        assert answer.status_code == 415
        assert here.journal.messages == ["one", "two"] * 2


@pytest.mark.parametrize(("type", "body"), BODIES, ids=["JSON", "protobuf"])
async def test_refusals_are_in_the_encoding_of_the_request(type: str, body: bytes) -> None:
    """A broken body, a wrong method and a missing token are told as the protocol has it."""
    async with drain() as here:
        answer = await here.post(b"\xff" * 9, type)
        assert answer.status_code == 400
        assert error_in(answer, type)
        answer = await here.client.put("/v1/logs", content=body, headers={"Content-Type": type})
        assert answer.status_code == 405
        assert "POST" in error_in(answer, type)
    async with drain(tokens=["secret"]) as here:
        answer = await here.post(body, type)
        assert answer.status_code == 401
        assert "token" in error_in(answer, type)
        answer = await here.post(body, type, Authorization="Bearer secret")
        assert answer.status_code == 200


@pytest.mark.parametrize(("type", "body"), BODIES, ids=["JSON", "protobuf"])
async def test_a_busy_drain_asks_exporters_to_wait(type: str, body: bytes) -> None:
    """Too many requests and too little memory are a 503 with Retry-After, and deliver nothing."""
    async with drain(limits=DrainLimits(max_requests=0)) as here:
        answer = await here.post(body, type)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "too many requests" in error_in(answer, type)
    async with drain() as here:
        here.server._intake._memory = BodyMemory(10)
        answer = await here.post(body, type)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "memory" in error_in(answer, type)
        assert here.journal.entries == []


async def test_without_the_extra_protobuf_is_refused_and_json_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A protobuf body gets a 415 that names the extra, in JSON, and it is counted as a loss."""
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.logs.v1.logs_pb2", None)
    async with drain() as here:
        answer = await here.post(in_protobuf(EXPORT), PROTOBUF)
        assert answer.status_code == 415
        assert "natstream[otlp]" in answer.json()["error"]
        assert here.journal.entries == []
        assert (await here.post(in_json(EXPORT))).status_code == 200


def test_a_process_without_such_bodies_does_not_import_protobuf() -> None:
    """The drain and a body in JSON load neither the library nor its messages."""
    program = (
        "import sys; from natstream.drain.server import LogDrainServer\n"
        "from natstream.drain.otlp_json import parse_otlp_json\n"
        "from natstream.entries.fly import Origin\n"
        "body = sys.stdin.buffer.read()\n"
        "parsed = parse_otlp_json(body, origin=Origin(), needs_machine=False, max_lines=9)\n"
        "assert len(parsed.entries) == 2\n"
        "print(*[name for name in sys.modules if 'opentelemetry' in name or 'google' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=in_json(EXPORT), capture_output=True, check=True
    )
    assert done.stdout.strip() == b""


async def test_protobuf_is_for_the_path_of_logs() -> None:
    """At another path protobuf is a 415 that names the right one, and traces are a 404."""
    async with drain() as here:
        answer = await here.post(in_protobuf(EXPORT), PROTOBUF, "/")
        assert answer.status_code == 415
        assert "/v1/logs" in answer.json()["error"]
        for path in ("/v1/traces", "/v1/metrics"):
            for type in (JSON, PROTOBUF):
                answer = await here.post(b"{}", type, path)
                assert answer.status_code == 404
                assert "/v1/logs" in answer.json()["error"]
        assert here.journal.entries == []


async def test_lines_may_be_sent_to_the_path_of_logs() -> None:
    """Lines of JSON and text are taken at every path, if their content type is one of lines."""
    async with drain() as here:
        await here.post(b'{"message":"a"}\n{"message":"b"}', "application/x-ndjson")
        await here.post(b"c\nd", "text/plain; charset=utf-8")
        await here.post(in_json(EXPORT), "application/json; charset=utf-8")
        await here.post(in_json(EXPORT), "")
        assert here.journal.messages == ["a", "b", "c", "d", "one", "two", "one", "two"]
        answer = await here.post(b'{"message":"a"}')
        assert answer.status_code == 400
        assert "resourceLogs" in answer.json()["error"]


async def test_a_body_that_is_repeated_has_the_same_name() -> None:
    """A journal knows a repeated body by its bytes, because exporters give it no name."""
    other = attrs.evolve(EXPORT, records=[Sent(body="three")])
    async with drain() as here:
        for body in (in_protobuf(EXPORT), in_protobuf(EXPORT), in_protobuf(other)):
            await here.post(body, PROTOBUF)
        await here.post(in_protobuf(EXPORT), PROTOBUF, **{"Idempotency-Key": "mine"})
        one, again, another, named = here.journal.keys
        assert one == again
        assert len({one, another, named}) == 3
        assert named == "mine"
        await here.post(b"a line", "text/plain")
        assert here.journal.keys[-1] == "", "a line of text has no time, so it may be sent twice"


@pytest.mark.parametrize("count", [10, 3_000])
@pytest.mark.parametrize("type", [JSON, PROTOBUF])
async def test_large_bodies_are_parsed_beside_the_readers(
    type: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of many records is parsed in a thread, and one of few where it arrives."""
    threads: list[bool] = []
    name = "parse_otlp_json" if type == JSON else "parse_otlp_protobuf"
    parse = getattr(intake, name)

    def spy(*args: Any, **options: Any) -> Any:
        parsed = parse(*args, **options)
        threads.append(threading.current_thread() is not threading.main_thread())
        return parsed

    monkeypatch.setattr(intake, name, spy)
    async with drain() as here:
        body = ENCODINGS[type](Export(records=[Sent()] * count))
        assert (await here.post(body, type)).status_code == 200
        assert len(here.journal.entries) == count
    assert threads == [count > 10]


# --- Logplex --------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["application/logplex-1", "application/x-logplex"])
async def test_logplex_is_taken_with_the_credentials_of_its_address(type: str) -> None:
    """A drain's address has user and password, which Logplex sends as basic credentials."""
    async with drain(tokens=["secret"]) as here:
        address = f"{here.server.url}/logs?app=shop"
        headers = {
            "Content-Type": type,
            "Logplex-Msg-Count": "2",
            "Logplex-Frame-Id": "09C557EAFCFB6",
            "Logplex-Drain-Token": "d.73ea7440-270a-435a-a0ea-adf50b4e5f5a",
        }
        with_password = address.replace("http://", "http://heroku:secret@")
        answer = await here.client.post(with_password, content=FRAMES, headers=headers)
        assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
        assert here.journal.keys == ["09C557EAFCFB6"]
        assert [(e.app_name, e.machine_id, e.message) for e in here.journal.entries] == [
            ("shop", "web.1", "hello")
        ] * 2
        wrong = address.replace("http://", "http://heroku:wrong@")
        for target in (address, wrong):
            answer = await here.client.post(target, content=FRAMES, headers=headers)
            assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "announced"),
    [(FRAMES[:-1], "2"), (FRAMES[1:], "2"), (FRAMES + b"\n", "2"), (FRAMES, "3"), (FRAMES, "1")],
)
async def test_wrong_counts_are_a_400_and_deliver_nothing(body: bytes, announced: str) -> None:
    """Half a frame, a wrong count and a wrong number of frames refuse the whole body."""
    async with drain() as here:
        answer = await here.post(
            body, "application/logplex-1", "/", **{"Logplex-Msg-Count": announced}
        )
        assert answer.status_code == 400
        assert "send the whole body again" in answer.json()["error"] or "length" in answer.text
        assert here.journal.entries == []


async def test_frames_may_arrive_byte_by_byte() -> None:
    """A body that arrives one byte at a time, or in chunks of one byte, is the same body."""
    head = (
        b"POST /?app=shop HTTP/1.1\r\nHost: drain\r\nContent-Type: application/logplex-1\r\n"
        b"Connection: close\r\n"
    )
    sized = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(FRAMES), FRAMES)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in FRAMES)
    chunked = b"%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (head, chunks)
    async with drain() as here:
        for request in (sized, chunked):
            assert b" 200 OK" in await raw(here, request, piece=1)
        assert here.journal.messages == ["hello"] * 4


async def raw(here: Drain, request: bytes, *, piece: int = 1 << 16) -> bytes:
    """Send exactly these bytes, in pieces, and return the answer."""
    assert here.server.actual_port is not None
    answer = b""
    with trio.fail_after(20):
        async with await trio.open_tcp_stream("127.0.0.1", here.server.actual_port) as stream:
            for start in range(0, len(request), piece):
                await stream.send_all(request[start : start + piece])
            async for data in stream:
                answer += data
    return answer


async def test_chunks_in_http_1_0_are_refused() -> None:
    """HTTP/1.0 has no chunks, so a proxy and the drain might see two ends of such a body."""
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    request = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    async with drain() as here:
        answer = await raw(here, request)
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert "HTTP/1.0" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert here.journal.entries == []
        sized = b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"
        assert b" 200 " in (await raw(here, sized)).partition(b"\r\n")[0]
        assert here.journal.messages == ["hello"]
