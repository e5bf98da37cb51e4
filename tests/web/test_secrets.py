"""No secret leaks, and no text of others forges a line of the log.

The tests put marked secrets into every setting that holds one, and send right and wrong secrets in
every way that a client can. Then they search all output for them: answers, both logs, the metrics,
the help and the errors.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import httpx
import pytest
import structlog
import trio
from tests.support.journal_server import JournalServer
from tests.support.waiting import PATIENCE

from natstream.config.environment import read_settings
from natstream.config.service_log import configure_logging
from natstream.core import make_core
from natstream.errors import ConfigurationError
from natstream.hub.health import Health, SourceState
from natstream.hub.hub import Hub
from natstream.nats.connection import Login, NatsConnection
from natstream.nats.source import NatsSource
from natstream.supervisor import keep_running
from natstream.web.grants import Grant, Keyring

MARK = "MARKED"
READER, OLD_READER, DRAIN, FLY = (
    f"{MARK}-{name}-secret" for name in ("reader", "former", "drain", "fly")
)
JOURNAL = f"{MARK}-journal"
WRONG = f"{MARK}-wrong"
SECRETS = {
    "ACCESS_TOKEN": f"FlyV1 fm2_{FLY}",
    "NATSTREAM_TOKEN": f"{READER},{OLD_READER}",
    "NATSTREAM_DRAIN_TOKEN": DRAIN,
}
JOURNAL_SECRETS = {
    "password": {"NATSTREAM_JOURNAL_USER": "keeper", "NATSTREAM_JOURNAL_PASSWORD": JOURNAL},
    "token": {"NATSTREAM_JOURNAL_TOKEN": JOURNAL},
}


@attrs.define
class Process:
    """`natstream serve` in a process of its own, and all that it writes."""

    process: trio.Process
    url: str = ""
    drain: str = ""
    output: bytes = b""

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for chunk in self.process.stderr:
            self.output += chunk

    async def wait_for(self, pattern: bytes) -> str:
        """Wait for a text that matches, and return its first group."""
        with trio.fail_after(PATIENCE):
            while (match := re.search(pattern, self.output)) is None:
                await trio.sleep(0.02)
        return match[1].decode()

    async def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            assert await self.process.wait() == 0


def environ(**more: str) -> dict[str, str]:
    """Return the environment of this process, with marked secrets for natstream."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NATSTREAM_", "FLY_", "ACCESS_TOKEN"))
    }
    return kept | SECRETS | {"FLY_ORG": "acme"} | more


@asynccontextmanager
async def open_process(**more: str) -> AsyncIterator[Process]:
    binds = {"NATSTREAM_BIND": "127.0.0.1:0", "NATSTREAM_DRAIN_BIND": "127.0.0.1:0"}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "natstream", "serve"],
        env=environ(**binds, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    running = Process(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.read)
            running.url = "http://" + await running.wait_for(rb"listens on (127\.0\.0\.1:[0-9]+)")
            running.drain = await running.wait_for(rb"Taking logs on (http://127\.0\.0\.1:[0-9]+)")
            yield running
            await running.end()
    finally:
        process.kill()


def ways_to_show(secret: str) -> Iterator[dict[str, Any]]:
    """Yield requests that send a secret correctly, or as people send it by mistake."""
    yield {"headers": {"Authorization": f"Bearer {secret}"}}
    yield {"headers": {"Authorization": secret}}
    yield {"headers": {"Authorization": f"Basic {secret}"}}
    yield {"headers": {"Cookie": f"natstream={secret}"}}
    yield {"headers": {"Last-Event-ID": secret, "X-Token": secret, "Origin": f"https://{secret}"}}
    yield {"params": {"token": secret}}
    yield {"params": {"q": secret, "follow": "false"}}


@pytest.mark.parametrize("journal_secret", JOURNAL_SECRETS)
async def test_no_secret_leaks(nats_server: Any, journal_secret: str) -> None:
    """A service whose NATS password is refused shows no secret in its answers and its log."""
    answers: list[str] = []
    async with (
        JournalServer.run() as journal,
        open_process(
            NATSTREAM_NATS_URL=nats_server.url,
            NATSTREAM_JOURNAL_URL=journal.url,
            **JOURNAL_SECRETS[journal_secret],
        ) as service,
        httpx.AsyncClient(timeout=PATIENCE) as client,
    ):

        async def ask(method: str, url: str, **options: Any) -> httpx.Response:
            response = await client.request(method, url, **options)
            answers.append(f"{method} {url} {dict(response.headers)} {response.text}")
            client.cookies.clear()
            return response

        await service.wait_for(rb"(NATS at [0-9.:]+ refuses the credentials: FLY_ORG)")
        await service.wait_for(rb"(journal's NATS at [0-9.:]+ refuses the credentials: NATSTREAM)")
        paths = ["/", "/link", "/healthz", "/readyz", "/metrics", "/api/status", "/api/facets",
                 "/api/logs?follow=false", "/api/login", "/nowhere"]  # fmt: skip
        grant = Keyring([READER]).sign(Grant(2e9, (("app", "web"),)), READER)
        for secret in (READER, OLD_READER, DRAIN, FLY, JOURNAL, WRONG, grant):
            async with trio.open_nursery() as nursery:
                for path in paths:
                    for options in ways_to_show(secret):
                        options = {"method": "GET", "url": service.url + path, **options}
                        nursery.start_soon(partial(ask, **options))
            for body in (
                {"json": {"token": secret}},
                {"data": {"link": secret}},
                {"content": secret},
            ):
                response = await ask("POST", f"{service.url}/api/login", **body)
                assert (response.status_code == 204) is (
                    secret in (READER, OLD_READER, grant) and "content" not in body
                )
            headers = {"Authorization": f"Bearer {secret}"}
            await ask("POST", service.drain, headers=headers, content=b"a line")
            await ask("PUT", f"{service.drain}/{secret}"[:100], headers=headers)
            await ask("POST", service.drain, headers={**headers, "Content-Encoding": secret})
    assert len(answers) > 400
    shown_back = re.compile(rf"^[A-Z]+ \S*{MARK}\S* ")
    for answer in answers:
        # Each text starts with the address of the request, which may contain the secret.
        assert MARK not in shown_back.sub("", answer)
    assert MARK.encode() not in service.output
    assert grant.encode() not in service.output


NO_JOURNAL = {
    "NATSTREAM_JOURNAL_URL": "nats://127.0.0.1:1",
    "NATSTREAM_NATS_URL": "nats://127.0.0.1:1",
}


async def test_no_secret_is_in_the_errors_and_the_help() -> None:
    """No command shows a secret in its errors or its help, with right or with wrong settings."""
    runs: list[tuple[list[str], Mapping[str, str]]] = [
        (["serve", "--help"], {}),
        (["check", "--help"], {}),
        (["tail", "--help"], {}),
        (["link", "--help"], {}),
        (["link", "--app", ""], {}),
        (["link", "--expires", "never"], {}),
        (["serve"], {"NATSTREAM_TOKEN": f"{MARK} with spaces"}),
        (["serve"], {"NATSTREAM_DRAIN_TOKEN": f"{MARK}\n{MARK}"}),
        (["serve"], {"NATSTREAM_NATS_URL": f"nats://user:{MARK}@host:4222"}),
        (["serve"], {"NATSTREAM_JOURNAL_URL": f"nats://user:{MARK}@host:4222"}),
        (["serve"], NO_JOURNAL | {"NATSTREAM_JOURNAL_PASSWORD": JOURNAL}),
        (["serve"], NO_JOURNAL | JOURNAL_SECRETS["password"] | JOURNAL_SECRETS["token"]),
        (["check", "--wait", "0"], NO_JOURNAL | JOURNAL_SECRETS["password"]),
        (["check", "--wait", "0"], NO_JOURNAL | JOURNAL_SECRETS["token"]),
        (["serve"], {"FLY_ORG": f"FlyV1 fm2_{MARK}"}),
        (["serve"], {"FLY_ORG": "not a slug"}),
        (["serve"], {"NATSTREAM_BIND": "192.0.2.1:1"}),
        (["check", "--wait", "0"], {"NATSTREAM_NATS_URL": "nats://127.0.0.1:1"}),
        (["tail", "http://127.0.0.1:1"], {}),
        (["tail", "no://address"], {}),
    ]
    for arguments, more in runs:
        result = await trio.run_process(
            [sys.executable, "-m", "natstream", *arguments],
            env=environ(NATSTREAM_DRAIN_BIND="127.0.0.1:0") | dict(more),
            check=False,
            capture_stdout=True,
            capture_stderr=True,
        )
        output = result.stdout + result.stderr
        assert output, arguments
        assert MARK.encode() not in output, (arguments, output)
        assert b"Traceback" not in output, (arguments, output)


@pytest.mark.parametrize("journal_secret", JOURNAL_SECRETS)
def test_no_secret_is_in_a_repr(journal_secret: str) -> None:
    """No secret is in the repr of the settings, of objects made from them, or of their errors."""
    settings = read_settings(environ(**NO_JOURNAL | JOURNAL_SECRETS[journal_secret]))
    assert settings.tokens == (READER, OLD_READER)
    assert JOURNAL in (settings.journal_password, settings.journal_token)
    core = make_core(settings)
    assert core.journal is not None
    hub = Hub()
    health = Health(hub.announce)
    source = NatsSource(
        Login(settings.nats_servers, settings.org, settings.access_token),
        subjects=settings.subjects,
        sink=hub,
        status=health.add_source("nats"),
    )
    login = Login(
        settings.journal_servers, "keeper", settings.journal_password, settings.journal_token
    )
    journal = (core, core.journal, core.health, login, NatsConnection(login, lambda: None))
    for object_ in (settings, source, Keyring(settings.tokens), health, hub, *journal):
        assert MARK not in f"{object_!r} {object_}"
    with pytest.raises(ConfigurationError) as caught:
        read_settings(environ(NATSTREAM_TOKEN=f"{MARK} {MARK}"))
    assert MARK not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- the log ---------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["elsewhere", "terminal"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give the output of the service's log, once for a terminal and once for a file."""
    stderr: io.StringIO = request.param()
    monkeypatch.setattr(sys, "stderr", stderr)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging()
    # A logger that is cached would go on to write here in later tests of this process.
    structlog.configure(cache_logger_on_first_use=False)
    yield stderr
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


FORGED = 'x\n{"event": "forged"}\r\n\x1b[2J\x1b]0;title\x07\x9b2J\u2028\x00forged'


def test_a_text_of_others_is_one_line(log: io.StringIO) -> None:
    """A text of others is one line without control sequences, in the message and in a field."""
    structlog.stdlib.get_logger("natstream").warning(FORGED, header=FORGED)
    logging.getLogger("hypercorn.error").error("Exception on request GET /%s", FORGED)
    text = log.getvalue()
    assert text.count("\n") == 2
    assert not set("\r\x07\x9b\x00") & set(text)
    assert "\x1b[2J" not in text
    assert "\x1b]0" not in text
    if not log.isatty():
        for line in text.splitlines():
            assert json.loads(line)["event"].endswith("forged")


async def test_a_crash_is_logged_without_secrets_or_forged_lines(log: io.StringIO) -> None:
    """A logged traceback shows no variables, and its message starts no line of its own."""
    status = Health(lambda message, type: None).add_task("hub")

    async def crash() -> None:
        settings = read_settings(environ())
        secret = settings.tokens[0]
        assert secret
        raise RuntimeError(FORGED)

    with trio.move_on_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_running, crash, status)
            while status.state is not SourceState.CRASHED:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    text = log.getvalue()
    assert "RuntimeError" in text
    assert MARK not in text
    assert "\x1b[2J" not in text
    assert '\n{"event": "forged"}' not in text
    if not log.isatty():
        assert text.count("\n") == 1


async def test_a_path_forges_no_line() -> None:
    """Line breaks in the path of a request start no line in the log of the real service."""
    async with open_process(NATSTREAM_SOURCES="drain") as service:
        stream = await trio.open_tcp_stream("127.0.0.1", int(service.url.rpartition(":")[2]))
        async with stream:
            await stream.send_all(
                b"GET /api/logs%0A%0Dforged%1B[2J?q=%0Aforged HTTP/1.1\r\nHost: localhost\r\n"
                b"Last-Event-ID: a\xa0\x80forged\r\nConnection: close\r\n\r\n"
            )
            with trio.fail_after(PATIENCE):
                while await stream.receive_some():
                    pass
    for line in service.output.splitlines():
        assert not line.startswith(b"forged")
        assert b"\x1b" not in line
