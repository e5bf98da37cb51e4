"""`natstream check`: it finds problems, says what to do about them, and reports no others."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import trio
from tests.support.fake_nats import FakeNatsSession, open_fake_nats
from tests.support.fake_service import Answer, open_fake_service
from tests.support.fly_api import Answer as Answered
from tests.support.fly_api import FlyStandIn
from tests.support.journal_server import USER, JournalServer

from natstream.cli.check import check_addresses, check_nats, settings_to_check
from natstream.cli.check_fly import check_fly
from natstream.cli.check_journal import check_journal
from natstream.config.diagnostics import Finding, check_sharing, check_sources, check_tokens
from natstream.config.listening import listen
from natstream.config.settings import Bind, Settings
from natstream.fly_api import client

if TYPE_CHECKING:
    from tests.support.mistreated import MistreatedServer

LONG = "a-token-that-nobody-guesses"
SECRETS = {"FLY_ORG": "acme", "ACCESS_TOKEN": "fly-token"}


def settings(**variables: str) -> Settings:
    return settings_to_check(SECRETS | variables)


def states(findings: object) -> list[str]:
    return [finding.state for finding in findings]  # type: ignore[attr-defined]  # of any kind


async def probe(server: MistreatedServer, wait: float = 0, **variables: str) -> list[Finding]:
    with trio.fail_after(20):
        return [*await check_nats(server.url, settings(**variables), wait)]


def test_every_wrong_setting_is_named() -> None:
    """The check names all wrong settings, so that the operator can mend them together."""
    environ = {"NATSTREAM_BIND": "here", "FLY_APP": "web", "NATSTREAM_GRACE": "long"}
    with pytest.raises(ExceptionGroup) as caught:
        settings_to_check(environ)
    first, second = caught.value.exceptions
    assert str(first).startswith("NATSTREAM_BIND is 'here'")
    assert str(second).startswith("NATSTREAM_GRACE is 'long'")


def test_what_is_missing_is_named() -> None:
    """A setting that is missing is named if no setting is wrong by itself."""
    with pytest.raises(ExceptionGroup) as caught:
        settings_to_check({"FLY_ORG": "acme"})
    assert str(caught.value.exceptions[0]).startswith("ACCESS_TOKEN is not set")


def test_tokens() -> None:
    """A missing token is a warning if other machines reach the address; so is a short token."""
    open_to_all = settings(NATSTREAM_DRAIN_BIND="[::]:8081")
    assert states(check_tokens(open_to_all)) == ["warning", "warning"]
    here_only = settings(NATSTREAM_BIND="127.0.0.1:8080")
    assert states(check_tokens(here_only)) == ["ok", "ok"]
    guarded = settings(
        NATSTREAM_TOKEN=LONG,
        NATSTREAM_DRAIN_TOKEN=f"{LONG},short",
        NATSTREAM_DRAIN_BIND="127.0.0.1:0",
    )
    assert states(check_tokens(guarded)) == ["ok", "warning"]
    assert states(check_tokens(settings(NATSTREAM_DRAIN_BIND="off"))) == ["warning"]


async def test_free_addresses() -> None:
    """An address is free if natstream can listen there, and the check leaves it free."""
    free = settings(NATSTREAM_BIND="127.0.0.1:0", NATSTREAM_DRAIN_BIND="localhost:0")
    assert states(await check_addresses(free)) == ["ok", "ok"]
    assert states(await check_addresses(settings(NATSTREAM_SOURCES="nats", NATSTREAM_BIND=":0")))
    metrics = settings(NATSTREAM_METRICS_BIND=":0", NATSTREAM_BIND=":0", NATSTREAM_DRAIN_BIND="off")
    assert states(await check_addresses(metrics)) == ["ok", "ok"]


async def test_taken_addresses() -> None:
    """The finding names the variable whose address another program uses."""
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


STATES: list[tuple[Answer, str, str]] = [
    (readiness("up", ""), "ok", "runs already"),
    (readiness("denied", "wrong \x1b[2Jtoken"), "failure", "not ready: nats: wrong token"),
]
OTHERS = [Answer([b"<html>"], "end"), Answer([b'{"sources": []}'], "end"), Answer([b"7"], "end")]


@pytest.mark.parametrize(("answer", "state", "says"), STATES)
async def test_a_natstream_that_runs_is_asked(answer: Answer, state: str, says: str) -> None:
    """The check asks a natstream at the address for its state, since it may belong there."""
    async with open_fake_service(answer) as fake:
        findings = await check_addresses(settings(NATSTREAM_BIND=f"127.0.0.1:{fake.port}"))
        assert fake.requests[0].path == "/readyz"
    assert findings[0].state == state
    assert says in findings[0].text


@pytest.mark.parametrize("answer", OTHERS)
@pytest.mark.parametrize("token", ["", LONG])
async def test_another_program_is_shown_no_token(answer: Answer, token: str) -> None:
    """Another program that listens at the address is named, and is shown no token."""
    async with open_fake_service(answer) as fake:
        there = settings(NATSTREAM_BIND=f"127.0.0.1:{fake.port}", NATSTREAM_TOKEN=token)
        findings = await check_addresses(there)
        assert LONG not in repr(fake.requests)
    assert findings[0].state == "failure"
    assert "is taken by another process" in findings[0].text


@pytest.mark.parametrize("with_metrics", [True, False])
async def test_a_natstream_with_a_token_is_shown_none(with_metrics: bool) -> None:
    """The check shows no token to the program at its own address, even if it looks like natstream.

    At the address of the metrics it needs none. Elsewhere it names the command that asks.
    """
    answer = readiness("up", "") if with_metrics else Answer([b'{"status": "ok"}'], "end")
    async with open_fake_service(answer) as fake:
        bind = f"127.0.0.1:{fake.port}"
        more = {"NATSTREAM_METRICS_BIND": bind} if with_metrics else {}
        with listen(Bind("127.0.0.1", 0)) as taken:
            page = f"127.0.0.1:{taken.getsockname()[1]}" if with_metrics else bind
            there = settings(NATSTREAM_BIND=page, NATSTREAM_TOKEN=LONG, **more)
            findings = await check_addresses(there)
        assert [request.path for request in fake.requests] == [
            "/readyz" if with_metrics else "/healthz"
        ]
        assert LONG not in repr(fake.requests)
    assert states(findings) == ["ok" if with_metrics else "warning"]
    assert with_metrics or f"natstream check --url http://{bind}" in findings[0].text


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [*STATES, *((answer, "failure", "did not answer as a natstream") for answer in OTHERS)],
)
async def test_a_given_address_is_shown_the_token(answer: Answer, state: str, says: str) -> None:
    """With --url, the check asks the natstream there with the token, and shows its state."""
    async with open_fake_service(answer) as fake:
        environ = SECRETS | {
            "NATSTREAM_SOURCES": "drain",
            "NATSTREAM_TOKEN": LONG,
            "NATSTREAM_BIND": "127.0.0.1:0",
        }
        status, report = await run(f"--url=127.0.0.1:{fake.port}", **environ)
        assert fake.requests[0].path == "/readyz"
        assert fake.requests[0].headers["authorization"] == f"Bearer {LONG}"
    assert status == (0 if state == "ok" else 1)
    assert says in report
    assert LONG not in report


async def test_it_is_asked_where_its_metrics_are() -> None:
    """The check asks for /readyz at the address of the metrics, if they have one of their own."""
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
    """The check reports access and the first line, with the app that wrote it."""
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
    """A silent app is a warning, because it may be quiet or its name wrong."""
    findings = await probe(nats_server, wait=0.1, FLY_APP="wbe")
    assert states(findings) == ["ok", "warning"]
    assert "No log line has come in 0.1 s: is FLY_APP the name of an app" in findings[1].text


async def test_nats_that_refuses(nats_server: MistreatedServer) -> None:
    """Wrong credentials, missing permissions and no server are failures with their own advice."""
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


# --- the journal -----------------------------------------------------------------------------


async def probe_journal(server: JournalServer, **variables: str) -> list[Finding]:
    with trio.fail_after(30):
        return [*await check_journal(settings(**server.environ | variables))]


async def test_a_journal_that_will_be_made() -> None:
    """The check describes the stream that natstream would create, and creates none."""
    async with JournalServer.run() as server:
        access, stream = await probe_journal(
            server, NATSTREAM_JOURNAL_MAX_AGE="90m", NATSTREAM_JOURNAL_REPLICAS="3"
        )
        assert access == Finding(
            "ok", f"{server.url} takes the credentials, and lets us keep lines in natstream.>"
        )
        assert stream.state == "ok"
        assert "no stream natstream yet" in stream.text
        assert "for 90m and 1,073,741,824 bytes, on 3" in stream.text
        assert (await server.ask("STREAM.NAMES"))["streams"] is None


FITTING = {
    "name": "natstream",
    "subjects": ["natstream.>"],
    "storage": "file",
    "retention": "limits",
    "max_age": 3_600 * 10**9,
    "max_bytes": 5_000_000,
    "num_replicas": 1,
}


async def test_a_journal_that_is_there() -> None:
    """The check reports which settings an existing stream ignores, and leaves it as it was."""
    async with JournalServer.run() as server:
        assert "error" not in await server.ask("STREAM.CREATE.natstream", FITTING)
        before = await server.stream()
        findings = await probe_journal(server)
        assert states(findings) == ["ok", "ok"]
        assert "keeps lines for 1h and 5,000,000 bytes, on 1" in findings[1].text
        findings = await probe_journal(
            server, NATSTREAM_JOURNAL_MAX_AGE="7d", NATSTREAM_JOURNAL_MAX_BYTES="5000000"
        )
        assert states(findings) == ["ok", "ok", "warning"]
        assert findings[2].text.startswith("NATSTREAM_JOURNAL_MAX_AGE will not change it")
        assert "`nats stream edit natstream`" in findings[2].text
        after = await server.stream()
        assert [after[part] for part in ("config", "state", "created")] == [
            before[part] for part in ("config", "state", "created")
        ]
        assert after["state"]["consumer_count"] == after["state"]["messages"] == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"storage": "memory"}, "its storage has to be file"),
        ({"subjects": ["natstream.logs.>"]}, "its only subject has to be natstream.>"),
        ({"retention": "workqueue"}, "its retention has to be limits"),
    ],
)
async def test_a_stream_that_cannot_serve(wrong: dict[str, object], says: str) -> None:
    """The failure says what is wrong with the stream, and which variable may name another one."""
    async with JournalServer.run() as server:
        assert "error" not in await server.ask("STREAM.CREATE.natstream", FITTING | wrong)
        findings = await probe_journal(server)
        assert states(findings) == ["ok", "failure"]
        assert says in findings[1].text
        assert "NATSTREAM_JOURNAL_STREAM" in findings[1].text


async def test_a_stream_that_cannot_be_made() -> None:
    """A stream cannot be created if another one stores its subjects."""
    async with JournalServer.run() as server:
        other = FITTING | {"name": "other", "subjects": ["natstream.logs.>"]}
        assert "error" not in await server.ask("STREAM.CREATE.other", other)
        findings = await probe_journal(server)
        assert states(findings) == ["ok", "failure"]
        assert "cannot be created: other takes natstream.> already" in findings[1].text


async def test_a_server_without_jetstream(nats_server: MistreatedServer) -> None:
    """The failure says in one sentence that JetStream has to be enabled."""
    there = settings(
        NATSTREAM_JOURNAL_URL=nats_server.url,
        NATSTREAM_JOURNAL_USER=nats_server.user,
        NATSTREAM_JOURNAL_PASSWORD=nats_server.password,
    )
    with trio.fail_after(20):
        (finding,) = await check_journal(there)
    assert finding.state == "failure"
    assert "has no JetStream: it has to be enabled there" in finding.text


async def test_a_journal_that_refuses() -> None:
    """Wrong credentials and no server are different failures; neither shows the password."""
    async with JournalServer.run() as server:
        (finding,) = await probe_journal(server, NATSTREAM_JOURNAL_PASSWORD="hunter2")
        assert finding.state == "failure"
        assert "refuses the credentials: NATSTREAM_JOURNAL_USER" in finding.text
        assert "hunter2" not in finding.text
        await server.stop()
        (finding,) = await probe_journal(server)
        assert finding.state == "failure"
        assert "Connection refused; NATSTREAM_JOURNAL_URL says where it is" in finding.text


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("permissions", "subject"),
    [
        ({"publish": {"deny": ["natstream.>"]}}, "natstream.check"),
        ({"publish": {"deny": ["$JS.API.STREAM.INFO.>"]}}, "$JS.API.STREAM.INFO.natstream"),
        ({"publish": {"deny": ["$JS.API.CONSUMER.>"]}}, "$JS.API.CONSUMER.CREATE.natstream.check"),
        ({"publish": {"deny": ["$JS.API.CONSUMER.MSG.>"]}}, "$JS.API.CONSUMER.MSG.NEXT.natstream"),
        ({"publish": {"deny": ["$JS.API.STREAM.MSG.>"]}}, "$JS.API.STREAM.MSG.GET.natstream"),
        ({"publish": {"deny": ["$JS.API.STREAM.CREATE.>"]}}, "$JS.API.STREAM.CREATE.natstream"),
        ({"subscribe": {"deny": ["_INBOX.>"]}}, "_INBOX."),
    ],
)
async def test_a_journal_that_forbids_something(
    permissions: dict[str, object], subject: str, exists: bool
) -> None:
    """The check tries every permission that the service needs, and stores nothing by that."""
    async with JournalServer.run() as server:
        if exists:
            assert "error" not in await server.ask("STREAM.CREATE.natstream", FITTING)
        users = server.settings["authorization"]["users"]
        users.append({**USER, "user": "poor", "permissions": permissions})
        await server.restart()
        findings = await probe_journal(server, NATSTREAM_JOURNAL_USER="poor")
        if exists and "CREATE.>" in str(permissions):
            assert states(findings) == ["ok", "ok"]  # it need not be created
        else:
            assert states(findings) == ["failure"]
            # nats-py writes all that a server objects to in small letters.
            assert f"does not let us use {subject.lower()}" in findings[0].text
            assert "needs $JS.API.>, natstream.> and _INBOX.>" in findings[0].text
        assert await server.stored() == 0


async def test_a_permission_that_only_the_check_would_use_is_not_missed() -> None:
    """A user with exactly the permissions of the service passes the check."""
    async with JournalServer.run() as server:
        needed = [f"$JS.API.{api}" for api in ("STREAM.INFO.*", "STREAM.CREATE.*", "CONSUMER.>")]
        permissions = {
            "publish": ["natstream.>", *needed, "$JS.API.STREAM.MSG.GET.*"],
            "subscribe": ["_INBOX.>"],
        }
        users = server.settings["authorization"]["users"]
        users.append({**USER, "user": "poor", "permissions": permissions})
        await server.restart()
        findings = await probe_journal(server, NATSTREAM_JOURNAL_USER="poor")
        assert states(findings) == ["ok", "ok"]


async def test_servers_of_different_clusters_are_no_journal() -> None:
    """The check asks each server, since lines of one journal must not be in two clusters."""
    async with JournalServer.run() as one, JournalServer.run() as other:
        both = {"NATSTREAM_JOURNAL_URL": f"{one.url},{other.url}"}
        assert "error" not in await one.ask("STREAM.CREATE.natstream", FITTING)
        findings = await probe_journal(one, **both)
        assert states(findings) == ["ok", "ok", "ok", "ok", "failure"]
        assert "they have to be of one cluster" in findings[-1].text
        await other.stop()
        findings = await probe_journal(one, **both)
        assert states(findings) == ["ok", "ok", "failure"]


def test_what_is_asked_for_is_said() -> None:
    """The finding names the apps, the drain's address and the journal."""
    kept = settings(NATSTREAM_JOURNAL_URL="nats://journal.internal", FLY_APP="web,api")
    assert check_sources(kept).text.endswith(
        "web, api of acme from NATS; drains at 127.0.0.1:8081, kept in the journal natstream"
    )
    off = {"NATSTREAM_SOURCES": "drain", "NATSTREAM_DRAIN_BIND": "off"}
    reader = settings(NATSTREAM_JOURNAL_URL="nats://journal.internal", **off)
    assert "reads nothing itself" in check_sources(reader).text


# --- one port for several --------------------------------------------------------------------


def test_what_several_processes_on_one_port_cannot_do() -> None:
    """Without a journal or an address for metrics, a shared port is a warning."""
    assert states(check_sharing(settings())) == []
    first, second = check_sharing(settings(NATSTREAM_SHARE_PORT="on"))
    assert (first.state, second.state) == ("warning", "warning")
    assert "NATSTREAM_JOURNAL_URL" in first.text
    assert "NATSTREAM_METRICS_BIND" in second.text
    right = {"NATSTREAM_SHARE_PORT": "on", "NATSTREAM_METRICS_BIND": ":9091"}
    assert states(check_sharing(settings(**right, NATSTREAM_DRAIN_BIND="off"))) == []
    assert states(check_sharing(settings(**right, NATSTREAM_SOURCES="nats"))) == []
    journal = {"NATSTREAM_JOURNAL_URL": "nats://journal.internal"}
    assert states(check_sharing(settings(**right, **journal))) == []


async def test_a_shared_address_is_free_for_one_more() -> None:
    """A shared address is free if its processes share it, and no client connects to the check."""
    on = {"NATSTREAM_SHARE_PORT": "on"}

    def there(sock: socket.socket, **more: str) -> Settings:
        bind = f"127.0.0.1:{sock.getsockname()[1]}"
        return settings(NATSTREAM_BIND="127.0.0.1:0", NATSTREAM_DRAIN_BIND=bind, **more)

    with listen(Bind("127.0.0.1", 0), shared=True) as ours:
        assert states(await check_addresses(there(ours, **on))) == ["ok", "ok"]
        _, finding = await check_addresses(there(ours))
        assert finding.text.endswith(
            "is taken by another process: stop it, or choose another port."
        )
    with listen(Bind("127.0.0.1", 0)) as theirs:
        _, finding = await check_addresses(there(theirs, **on))
        assert "by a process that does not share it" in finding.text


async def run(*options: str, **variables: str) -> tuple[int, str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NATSTREAM_", "FLY_", "ACCESS_"))
    }
    done = await trio.run_process(
        [sys.executable, "-m", "natstream", "check", "--wait", "0", *options],
        env=environ | variables,
        capture_stdout=True,
        check=False,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.decode()


async def test_a_removed_setting_is_a_warning() -> None:
    """The report names the variable and not its value, and the variable is no failure."""
    binds = {"NATSTREAM_BIND": "127.0.0.1:0", "NATSTREAM_DRAIN_BIND": "127.0.0.1:0"}
    drain = {"NATSTREAM_SOURCES": "drain", "NATSTREAM_MAX_HEADER": "nonsense"}
    status, report = await run(**binds | drain)
    assert status == 0
    assert report.startswith("warning  NATSTREAM_MAX_HEADER was removed and has no effect: ")
    assert "nonsense" not in report
    status, report = await run(**binds | drain | {"NATSTREAM_GRACE": "long"})
    assert (status, [line.split()[0] for line in report.splitlines()]) == (
        2,
        ["warning", "failure"],
    )


async def test_exit_statuses(nats_server: MistreatedServer) -> None:
    """The status is 0 with warnings, 1 with a failure and 2 for a setting; no secret is shown."""
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
    async with JournalServer.run() as server:
        status, report = await run(**there | server.environ)
        assert (status, report.splitlines()[-2].split()[0]) == (0, "ok")
        status, report = await run(**there | server.environ | {"NATSTREAM_JOURNAL_PASSWORD": LONG})
        assert status == 1
        assert report.splitlines()[-1].startswith("failure ")
        assert LONG not in report


async def test_a_server_that_never_answers_the_subscriptions_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check does not say ok when the server's first line is a PING and nothing follows."""
    monkeypatch.setattr("natstream.nats.connection.CONNECT_DEADLINE", 0.3)

    async def talk(session: FakeNatsSession) -> None:
        await session.inform()
        await session.hear(b"PING\r\n")
        await session.say("PING")
        await trio.sleep_forever()

    async with open_fake_nats(talk) as url:
        settings = Settings(org="acme", access_token="x", nats_servers=(url,))
        findings = await check_nats(url, settings, wait=0)
    assert [finding.state for finding in findings] == ["failure"]
    assert "does not answer" in findings[0].text


# --- Fly's own interfaces --------------------------------------------------------------------


@pytest.fixture
async def fly(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FlyStandIn]:
    """Run a stand-in of the interfaces that knows two apps."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    async with FlyStandIn.run() as stand_in:
        for app in ("api", "web"):
            stand_in.lines[app] = []
            stand_in.machines[app] = []
        yield stand_in


async def probe_fly(fly: FlyStandIn, **variables: str) -> list[Finding]:
    with trio.fail_after(30):
        return [*await check_fly(settings(**fly.environ | variables))]


MACAROON = "fm2_" + base64.b64encode(b"\x93\x01\xa5https\xc4\x20" + b"x" * 32).decode()


async def test_what_the_token_may_read(fly: FlyStandIn) -> None:
    """The check reads the past and the machines of each app, and says that the token may."""
    findings = await probe_fly(fly, FLY_APP="web,api", ACCESS_TOKEN=f"FlyV1 {MACAROON}")
    assert findings == [
        Finding("ok", "ACCESS_TOKEN may read the past of api, web"),
        Finding("ok", "ACCESS_TOKEN may read the machines of api, web"),
    ]
    assert {asked.headers["authorization"] for asked in fly.asked} == {f"FlyV1 {MACAROON}"}


async def test_one_app_of_an_organisation_is_tried(fly: FlyStandIn) -> None:
    """With FLY_APP=*, the check lists the apps and reads one of them."""
    findings = await probe_fly(fly, FLY_APP="*")
    assert states(findings) == ["ok"] * 3
    assert "may list the apps of acme: 2, of which one is tried" in findings[0].text
    assert findings[1].text.endswith("the past of api")


async def test_an_app_that_the_token_may_not_read(fly: FlyStandIn) -> None:
    """Each interface is judged by itself, and each app that cannot be read is named."""
    fly.answer = lambda asked: Answered(403) if asked.path.endswith("/machines") else None
    findings = await probe_fly(fly, FLY_APP="web,nope")
    assert states(findings) == ["ok", "warning", "warning"]
    assert findings[0].text.endswith("the past of web")
    assert "The past of nope" in findings[1].text
    assert "the name of an app of acme?" in findings[1].text
    assert "The machines of nope, web" in findings[2].text
    assert "does not look cut off, so it is wrong, has expired" in findings[2].text


async def test_a_token_that_was_cut_off_is_told_from_a_wrong_one(fly: FlyStandIn) -> None:
    """Only a token whose parts do not decode looks cut off, and neither is shown."""
    fly.answer = lambda asked: Answered(401, b"no " + asked.headers["authorization"].encode())
    cut = MACAROON[:-9]
    findings = await probe_fly(fly, FLY_APP="web", ACCESS_TOKEN=cut)
    assert states(findings) == ["failure", "warning", "warning"]
    assert "looks cut off" in findings[0].text
    assert "Copy it once more" in findings[0].text
    assert not any("does not look cut off" in finding.text for finding in findings)
    wrong = await probe_fly(fly, FLY_APP="web", ACCESS_TOKEN=MACAROON)
    assert states(wrong) == ["warning", "warning"]
    assert all("does not look cut off" in finding.text for finding in wrong)
    assert cut[4:12] not in str([*findings, *wrong])


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"", "fails (500)"),
        (429, b"", "too many requests"),
        (200, b"<html>", "not JSON"),
        (200, b'{"data": [{', "not JSON"),
        (302, b"", "a 302, which is not expected"),
    ],
)
async def test_an_interface_that_fails_is_a_warning(
    fly: FlyStandIn, status: int, body: bytes, says: str
) -> None:
    """The service runs without the interfaces, so the check does not fail over one."""
    fly.answer = lambda asked: Answered(status, body, {"Location": "http://127.0.0.1:1/"})
    findings = await probe_fly(fly, FLY_APP="web")
    assert states(findings) == ["warning", "warning"]
    assert all(says in finding.text for finding in findings)
    findings = await probe_fly(fly, FLY_APP="*")
    assert states(findings) == ["warning"]
    assert says in findings[0].text


async def test_interfaces_that_are_off_are_not_asked(fly: FlyStandIn) -> None:
    """Without the interfaces the check looks only at the form of the token."""
    assert await probe_fly(fly, NATSTREAM_FLY_API="off") == []
    findings = await probe_fly(fly, NATSTREAM_FLY_API="off", ACCESS_TOKEN=MACAROON[:-9])
    assert states(findings) == ["failure"]
    assert fly.asked == []
