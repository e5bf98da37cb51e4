"""The limits of what clients may use: each has an answer, and other clients are served."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from unittest.mock import Mock

import httpx
import pytest
import trio
import trio.testing
from tests.support.closed import bearer, closed_service, grant_text
from tests.support.loopback import free_port
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE, until
from tests.support.web_server import open_server, receive_all, receive_until

from natstream.config.environment import read_settings
from natstream.config.process import share_files, tune_process
from natstream.drain.server import DrainLimits
from natstream.errors import TooManyReaders
from natstream.server.connection import Limits
from natstream.web.auth import COOKIE
from natstream.web.grants import Grant
from natstream.web.reader_quota import ReaderQuota

# --- connections ------------------------------------------------------------------------------


async def test_past_the_limit_the_connection_is_closed_that_was_idle_for_longest() -> None:
    """The connection that was idle for longest is closed, and the new client is served."""
    async with open_server(limits=Limits(max_connections=3)) as server:
        reader = await server.get("/stream")
        await receive_until(reader, b"hello")
        first = await server.get("/short/one")
        await receive_until(first, b"one")
        silent = await server.connect()
        await trio.testing.wait_all_tasks_blocked(0.05)
        await first.send_all(b"GET /short/two HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(first, b"two")
        newcomer = await server.get("/short/three")
        await receive_until(newcomer, b"three")
        assert await receive_all(silent) == b""
        await first.send_all(b"GET /short/four HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(first, b"four")
        server.account.end.set()
        await receive_until(reader, b"goodbye")


async def test_where_none_is_idle_the_new_client_is_told_to_come_again() -> None:
    """The new client gets a 503 with `Retry-After`, and is served once a reader has gone."""
    async with open_server(limits=Limits(max_connections=2)) as server:
        readers = [await server.get("/stream") for _ in range(2)]
        for reader in readers:
            await receive_until(reader, b"hello")
        answer = await receive_all(await server.get("/short/one"))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 2\r\n" in answer
        await readers[0].aclose()
        await until(lambda: server.account.living == 1)
        await receive_until(await server.get("/short/one"), b"one")


async def test_idle_connections_and_garbage_leave_nothing_behind() -> None:
    """A client is served after many idle clients and clients that sent garbage."""
    async with open_server(limits=Limits(max_connections=5)) as server:
        for _ in range(100):
            await server.connect()
            await (await server.connect()).send_all(b"\x00\r\n\r\n")
        await receive_until(await server.get("/short/one"), b"one")


@pytest.mark.parametrize("files", [150, 1_024, 6_500, 10**6, resource.RLIM_INFINITY])
@pytest.mark.parametrize("variables", [{}, {"NATSTREAM_MAX_READERS": "100000"}])
def test_listeners_together_leave_files_for_the_rest(
    files: int, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listeners leave a tenth of the open files, or 200, for sources, journal and files."""
    settings = read_settings({"NATSTREAM_SOURCES": "drain", **variables})
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
    shares = share_files(settings)
    assert min(shares.page, shares.drain, shares.metrics) > 0
    if files > 10**5 * 2 or files == resource.RLIM_INFINITY:
        assert shares.page == settings.max_readers + 300
    else:
        assert shares.page + shares.drain + shares.metrics <= files - min(200, files // 10)


@pytest.mark.parametrize(
    ("readers", "hard", "named"),
    [
        (5_000, 6_500, ""),
        (5_000, 6_499, "NATSTREAM_MAX_READERS is 5,000"),
        (20_000, 21_500, ""),
        (20_000, 21_499, "NATSTREAM_MAX_READERS is 20,000"),
    ],
)
def test_the_limit_of_open_files_is_raised_or_there_is_a_warning(
    readers: int, hard: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is raised for all readers, or a warning names the setting that is too large."""
    raised: list[tuple[int, int]] = []
    # So that the collector of this process stays as it is.
    monkeypatch.setattr("natstream.config.process.gc", Mock())
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: raised.append(limits))
    warning = tune_process(readers)
    assert raised == [(hard, hard)]
    assert (warning is None) if not named else (warning and named in warning)


@contextmanager
def few_files(files: int) -> Iterator[tuple[int, int]]:
    """Run a service that may open `files` files, and return the ports of its page and drain."""
    page, drain = free_port(), free_port()
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NATSTREAM_", "FLY_"))
    }
    environ |= {
        "NATSTREAM_SOURCES": "drain",
        "NATSTREAM_BIND": f"127.0.0.1:{page}",
        "NATSTREAM_DRAIN_BIND": f"127.0.0.1:{drain}",
    }
    # The limit is lowered in the child's own shell: a hook before exec is unsafe with threads.
    command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"]
    command += [sys.executable, "-m", "natstream", "serve"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            yield page, drain
        finally:
            process.kill()


async def test_a_process_with_few_files_still_answers_when_connections_fill_it() -> None:
    """Both ports answer although more idle clients connect than the process may have files."""
    with few_files(150) as ports:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE))
            with trio.fail_after(PATIENCE):
                while True:
                    try:
                        await client.get(f"http://127.0.0.1:{ports[0]}/healthz")
                        await client.get(f"http://127.0.0.1:{ports[1]}/")
                        break
                    except httpx.TransportError:
                        await trio.sleep(0.1)
            for port in ports:
                for _ in range(100):
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                    stack.push_async_callback(stream.aclose)
                    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    with trio.fail_after(PATIENCE):
                        assert b"HTTP/1.1 " in await stream.receive_some()
            async with httpx.AsyncClient(timeout=PATIENCE) as newcomer:
                for path in ("/healthz", "/readyz", "/", "/api/logs?follow=false"):
                    answer = await newcomer.get(f"http://127.0.0.1:{ports[0]}{path}")
                    assert answer.status_code == 200
                answer = await newcomer.get(f"http://127.0.0.1:{ports[1]}/")
                assert answer.status_code in (200, 503)


# --- the settings act -------------------------------------------------------------------------


async def connect(service: RunningService) -> trio.SocketStream:
    return await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)


async def drain_of(service: RunningService) -> str:
    """Return the address on which the drain of the service listens."""
    await service.state("drain", "up")
    found = re.search(
        r"http://127\.0\.0\.1:\d+", service.service.core.health.sources["drain"].detail
    )
    assert found
    return found[0]


async def test_the_number_of_connections_follows_from_the_number_of_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service for ten readers, without any spare connection, refuses the eleventh connection.

    A health check is still answered, because a platform ends a process that does not answer.
    """
    monkeypatch.setattr("natstream.config.process.SPARE_CONNECTIONS", 0)
    async with open_service(NATSTREAM_MAX_READERS="10") as service, AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(service.stream())
        for _ in range(5):
            answer = await service.get("/api/status")
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "2"
            assert (await service.get("/healthz")).status_code == 200


async def test_a_head_may_have_16_kib() -> None:
    """The service answers a larger head with 431."""
    async with open_service() as service:
        for size, status in ((15_000, 200), (17_000, 431)):
            answer = await service.get("/healthz", headers={"X": "a" * size})
            assert answer.status_code == status


async def test_a_client_that_sends_no_head_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service uses the server's time limit for a head, which is shortened here."""
    monkeypatch.setattr("natstream.supervisor.Limits", partial(Limits, header_timeout=0.2))
    async with (
        open_service() as service,
        await connect(service) as stream,
    ):
        with trio.fail_after(5):
            assert await receive_all(stream) == b""


async def test_the_size_of_a_drains_body_is_a_setting() -> None:
    """A body that is larger than `NATSTREAM_DRAIN_MAX_BODY` gets a 413."""
    async with open_service(NATSTREAM_DRAIN_MAX_BODY="2_000") as service:
        drain = await drain_of(service)
        for size, status in ((1_000, 200), (3_000, 413)):
            answer = await service.client.post(drain, content=b"x" * size)
            assert answer.status_code == status


async def test_the_number_of_a_drains_requests_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that reads as many bodies as it may answers the next request with 503."""
    limits = partial(DrainLimits, max_requests=2)
    monkeypatch.setattr("natstream.drain.server.DrainLimits", limits)
    async with open_service() as service:
        drain = await drain_of(service)
        statistics = service.service.core.metrics.drain
        assert statistics is not None
        port = int(drain.rpartition(":")[2])
        async with AsyncExitStack() as stack:
            for _ in range(2):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await stack.enter_async_context(stream)
                await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1")
            await until(lambda: statistics().requests == 2)
            assert (await service.client.post(drain, content=b"x")).status_code == 503


# --- strangers ---------------------------------------------------------------------------------


REQUESTS_OF_STRANGERS = {
    "silent": b"",
    "an unfinished login": b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n{",
    "a file behind a closed window": b"GET /static/js/main.js HTTP/1.1\r\nHost: x\r\n\r\n" * 500,
    "a wrong token": b"GET /api/logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n",
    "a wrong cookie": b"GET /api/logs HTTP/1.1\r\nHost: x\r\nCookie: natstream=wrong\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS_OF_STRANGERS.values(), ids=REQUESTS_OF_STRANGERS)
async def test_strangers_keep_out_no_holder_of_a_token(
    request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 connections of strangers end no reader with a token, and keep out no new one."""
    monkeypatch.setattr("natstream.config.process.SPARE_CONNECTIONS", 0)
    async with closed_service(NATSTREAM_MAX_READERS="40") as service, AsyncExitStack() as stack:
        reader = await stack.enter_async_context(service.stream(headers=bearer()))
        for number in range(200):
            stranger = await connect(service)
            stack.push_async_callback(stranger.aclose)
            with trio.move_on_after(0.2):
                await stranger.send_all(request_)
            if number % 40 == 0:
                with trio.fail_after(2):
                    answer = await service.get("/api/status", headers=bearer())
                    assert answer.status_code == 200
                    assert (await service.get("/healthz")).status_code == 200
        async with service.stream(headers=bearer(grant_text())):
            service.service.core.hub.announce("still here")
            await reader.until("still here")


async def test_a_request_without_a_token_loses_the_place_of_the_one_before() -> None:
    """A proxy's connection is a stranger's again when it brings a stranger's request."""
    async with open_server(limits=Limits(max_connections=2, needs_token=True)) as server:
        reader = await server.get("/stream?token")
        await receive_until(reader, b"hello")
        shared = await server.get("/short/one?token")
        await receive_until(shared, b"one")
        newcomer = await server.get("/stream?token")
        await receive_until(newcomer, b"hello")  # instead of the idle connection
        assert await receive_all(shared) == b""
        refused = await server.get("/short/two")
        assert (await receive_all(refused)).startswith(b"HTTP/1.1 503 ")
        server.account.end.set()
        await receive_until(reader, b"goodbye")


async def test_a_strangers_requests_do_not_make_its_connection_younger() -> None:
    """The oldest stranger's connection is closed, although it has just sent another request."""
    async with open_server(limits=Limits(max_connections=2, needs_token=True)) as server:
        oldest = await server.get("/short/one")
        await receive_until(oldest, b"one")
        younger = await server.get("/short/two")
        await receive_until(younger, b"two")
        await oldest.send_all(b"GET /short/three HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(oldest, b"three")
        newcomer = await server.get("/short/four")
        await receive_until(newcomer, b"four")
        assert await receive_all(oldest) == b""
        await younger.send_all(b"GET /short/five HTTP/1.1\r\nHost: x\r\n\r\n")
        await receive_until(younger, b"five")


# --- the quota of a link and of an address ----------------------------------------------------


async def test_one_link_cannot_hold_the_whole_quota() -> None:
    """A link may hold half of the quota; the owner and another link are still let in.

    When a reader of the link leaves, the link may have another reader.
    """
    link, other = grant_text(("app", "web")), grant_text(("app", "api"))
    async with closed_service(NATSTREAM_MAX_READERS="5") as service, AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(service.stream(headers=bearer(link)))
        cookie = {"Cookie": f"{COOKIE}={link}"}  # the same link, as the page shows it
        for _ in range(2):
            await stack.enter_async_context(service.stream(headers=cookie))
        await service.readers(3)
        for shown in (bearer(link), cookie):
            refused = await service.get("/api/logs", headers=shown)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert "link" in refused.json()["error"]
        await stack.enter_async_context(service.stream(headers=bearer(other)))
        async with service.stream(headers=bearer()):
            assert "5 readers" in (await service.get("/api/logs", headers=bearer())).json()["error"]
        await first.aclose()
        await service.readers(3)
        await stack.enter_async_context(service.stream(headers=bearer(link)))


async def test_one_known_address_cannot_hold_the_whole_quota() -> None:
    """An address of IPv6 counts with its /64; without a trusted header, no address counts."""
    for variables, status in (({"NATSTREAM_CLIENT_HEADER": "Fly-Client-IP"}, 503), ({}, 200)):
        async with (
            open_service(NATSTREAM_MAX_READERS="4", **variables) as service,
            AsyncExitStack() as stack,
        ):
            for number in range(2):
                headers = {"Fly-Client-IP": f"2001:db8::{number}"}
                await stack.enter_async_context(service.stream(headers=headers))
            await service.readers(2)
            for address, expected in (("2001:db8::9", status), ("2001:db8:1::9", 200)):
                headers = {"Fly-Client-IP": address}
                answer = await service.get("/api/logs?follow=false", headers=headers)
                assert answer.status_code == expected
                assert "address" in answer.text if expected == 503 else True


def test_a_quota_that_is_no_longer_used_takes_no_memory() -> None:
    """The quota forgets links and addresses without readers, since there is no end of new ones."""
    quota = ReaderQuota(10)
    grant = Grant(time.time() + 60, (("app", "web"),))
    with quota.reserve(grant, "192.0.2.1"), quota.reserve(grant, "192.0.2.2"):
        assert len(quota._readers) == 3
    assert not quota._readers


def test_the_last_reader_of_a_quota_is_reserved_once() -> None:
    """A second reader is refused even if both passed the check before either reserved."""
    quota = ReaderQuota(2)
    grant = Grant(time.time() + 60, (("app", "web"),))
    quota.check(grant, "")
    with quota.reserve(grant, ""), pytest.raises(TooManyReaders), quota.reserve(grant, ""):
        pass
