"""`natstream check`: what is wrong is found, said with its remedy, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from fakeservice import Answer, open_fake_service
from natstream.check import (
    Finding,
    check_addresses,
    check_nats,
    check_tokens,
    read_settings,
)
from natstream.listening import listen
from natstream.settings import Bind, Settings

if TYPE_CHECKING:
    from conftest import MistreatedServer

LONG = "a-token-that-nobody-guesses"
SECRETS = {"FLY_ORG": "acme", "ACCESS_TOKEN": "fly-token"}


def settings(**variables: str) -> Settings:
    return read_settings(SECRETS | variables)


def states(findings: object) -> list[str]:
    return [finding.state for finding in findings]  # type: ignore[attr-defined]  # of any kind


async def probe(server: MistreatedServer, wait: float = 0, **variables: str) -> list[Finding]:
    with trio.fail_after(20):
        return [*await check_nats(server.url, settings(**variables), wait)]


def test_every_wrong_setting_is_named() -> None:
    """Not only the first: whoever mends one need not come back for the next."""
    environ = {"NATSTREAM_BIND": "here", "FLY_APP": "web", "NATSTREAM_GRACE": "long"}
    with pytest.raises(ExceptionGroup) as caught:
        read_settings(environ)
    first, second = caught.value.exceptions
    assert str(first).startswith("NATSTREAM_BIND is 'here'")
    assert str(second).startswith("NATSTREAM_GRACE is 'long'")


def test_what_is_missing_is_named() -> None:
    """Settings that are right each for itself may still lack one."""
    with pytest.raises(ExceptionGroup) as caught:
        read_settings({"FLY_ORG": "acme"})
    assert str(caught.value.exceptions[0]).startswith("ACCESS_TOKEN is not set")


def test_tokens() -> None:
    """An open door is a warning where others reach it; so is a token that can be guessed."""
    open_to_all = settings(NATSTREAM_DRAIN_BIND="[::]:8081")
    assert states(check_tokens(open_to_all)) == ["warning", "warning"]
    here_only = settings(NATSTREAM_BIND="127.0.0.1:8080")
    assert states(check_tokens(here_only)) == ["ok", "ok"]
    guarded = settings(NATSTREAM_TOKEN=LONG, NATSTREAM_DRAIN_TOKEN=f"{LONG},short")
    assert states(check_tokens(guarded)) == ["ok", "warning"]
    assert states(check_tokens(settings(NATSTREAM_DRAIN_BIND="off"))) == ["warning"]


async def test_free_addresses() -> None:
    """An address is free if natstream could listen there; it is free afterwards too."""
    free = settings(NATSTREAM_BIND="127.0.0.1:0", NATSTREAM_DRAIN_BIND="localhost:0")
    assert states(await check_addresses(free)) == ["ok", "ok"]
    assert states(await check_addresses(settings(NATSTREAM_SOURCES="nats", NATSTREAM_BIND=":0")))
    metrics = settings(NATSTREAM_METRICS_BIND=":0", NATSTREAM_BIND=":0", NATSTREAM_DRAIN_BIND="off")
    assert states(await check_addresses(metrics)) == ["ok", "ok"]


async def test_taken_addresses() -> None:
    """The variable is named whose address something else has taken."""
    with listen(Bind("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        findings = await check_addresses(
            settings(NATSTREAM_BIND="127.0.0.1:0", NATSTREAM_DRAIN_BIND=bind)
        )
    assert states(findings) == ["ok", "failure"]
    assert findings[1].text.startswith(f"NATSTREAM_DRAIN_BIND: {bind} is taken")


def readiness(state: str, detail: str) -> Answer:
    body = {"status": "?", "sources": {"nats": {"state": state, "detail": detail}}}
    return Answer([json.dumps(body).encode()], "end", 503, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (readiness("up", ""), "ok", "runs already"),
        (readiness("denied", "wrong \x1b[2Jtoken"), "failure", "not ready: nats: wrong token"),
        (Answer([b"<html>"], "end"), "failure", "is taken by another process"),
        (Answer([b'{"sources": []}'], "end"), "failure", "is taken by another process"),
    ],
)
async def test_a_natstream_that_runs_is_asked(answer: Answer, state: str, says: str) -> None:
    """On the machine itself a taken address may be just right: who listens there says how it is."""
    async with open_fake_service(answer) as fake:
        there = settings(NATSTREAM_BIND=f"127.0.0.1:{fake.port}", NATSTREAM_TOKEN=LONG)
        findings = await check_addresses(there)
        assert fake.requests[0].path == "/readyz"
        assert fake.requests[0].headers["authorization"] == f"Bearer {LONG}"
    assert findings[0].state == state
    assert says in findings[0].text


async def test_it_is_asked_where_its_metrics_are() -> None:
    """The page's port has no /readyz then."""
    ready = readiness("up", "")
    async with open_fake_service(ready) as fake, open_fake_service(Answer([], "end")) as page:
        findings = await check_addresses(
            settings(
                NATSTREAM_BIND=f"127.0.0.1:{page.port}",
                NATSTREAM_METRICS_BIND=f"127.0.0.1:{fake.port}",
            )
        )
        assert [request.path for request in fake.requests] == ["/readyz"]
    assert states(findings) == ["ok"]


async def test_nats_where_all_is_well(nats_server: MistreatedServer) -> None:
    """Access and a line that arrives, told of the app that wrote it."""
    async with trio.open_nursery() as nursery:

        async def publish() -> None:
            while True:
                await nats_server.publish("logs.web.sjc.0e28", [b'{"message": "hello"}'])
                await trio.sleep(0.05)

        nursery.start_soon(publish)
        access, line = await probe(nats_server, wait=20, FLY_APP="web")
        nursery.cancel_scope.cancel()
    assert access == Finding(
        "ok", f"{nats_server.url} takes the credentials and lets us read logs.web.>"
    )
    assert line == Finding("ok", "Log lines arrive, the first of web[0e28] sjc")


async def test_nats_where_nothing_is_logged(nats_server: MistreatedServer) -> None:
    """Silence is a warning: the app may be quiet, or its name wrong."""
    findings = await probe(nats_server, wait=0.1, FLY_APP="wbe")
    assert states(findings) == ["ok", "warning"]
    assert "No log line has come in 0.1 s: is FLY_APP the name of an app" in findings[1].text


async def test_nats_that_refuses(nats_server: MistreatedServer) -> None:
    """Credentials, permissions and absence are three failures, each with its own remedy."""
    (finding,) = await probe(nats_server, ACCESS_TOKEN="hunter2")
    assert finding.state == "failure"
    assert "ACCESS_TOKEN" in finding.text
    assert "hunter2" not in finding.text
    nats_server.settings["authorization"]["users"][0] = {
        "user": "acme",
        "password": "fly-token",
        "permissions": {"subscribe": {"deny": ["logs.>"]}},
    }
    await nats_server.restart()
    (finding,) = await probe(nats_server, FLY_APP="*")
    assert finding.state == "failure"
    assert "FLY_APP" in finding.text
    await nats_server.stop()
    (finding,) = await probe(nats_server)
    assert finding.state == "failure"
    assert "Connection refused" in finding.text


async def run(**variables: str) -> tuple[int, str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NATSTREAM_", "FLY_", "ACCESS_"))
    }
    done = await trio.run_process(
        [sys.executable, "-m", "natstream", "check", "--wait", "0"],
        env=environ | variables,
        capture_stdout=True,
        check=False,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.decode()


async def test_exit_statuses(nats_server: MistreatedServer) -> None:
    """0 with warnings at the most, 1 with a failure, 2 for a setting; and never a secret."""
    binds = {"NATSTREAM_BIND": "127.0.0.1:0", "NATSTREAM_DRAIN_BIND": "off"}
    there = SECRETS | binds | {"NATSTREAM_NATS_URL": nats_server.url}
    status, report = await run(**there)
    assert status == 0
    assert [line.split()[0] for line in report.splitlines()] == ["ok", "ok", "ok", "ok", "warning"]
    status, report = await run(**there | {"ACCESS_TOKEN": "hunter2", "NATSTREAM_TOKEN": LONG})
    assert status == 1
    assert report.splitlines()[-1].startswith("failure ")
    assert "hunter2" not in report
    assert LONG not in report
    status, report = await run(**binds)
    assert (status, report.split()[0]) == (2, "failure")
