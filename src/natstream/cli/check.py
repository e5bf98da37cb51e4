"""`natstream check`: find problems before `natstream serve` has them.

In: the environment that `natstream serve` would read. Out: findings, one a line: `ok`,
`warning` or `failure`, with what to do. The check does what the service would do, with the
service's own code: it reads the settings, binds the addresses, connects to NATS and subscribes,
asks Fly's own interfaces, and asks the journal's servers for the stream. It leaves nothing behind,
and never shows a token.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import click
import httpx
import trio

from natstream.background import running_beside
from natstream.cli.check_fly import check_fly
from natstream.cli.check_journal import check_journal
from natstream.client.address import parse_url
from natstream.client.service import json_body
from natstream.config.diagnostics import Finding, check_sharing, check_sources, check_tokens
from natstream.config.environment import read_settings
from natstream.config.listening import bound, naming_setting
from natstream.config.process import tune_process
from natstream.config.settings import Bind, Settings
from natstream.config.unused import unused_variables
from natstream.entries.entry import LogEntry
from natstream.entries.escapes import one_line
from natstream.errors import ConfigurationError, ListenError, SourceError, SourceUnavailable
from natstream.hub.batch import Selection
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub, open_hub
from natstream.nats.connection import Login
from natstream.nats.source import NatsSource
from natstream.watches.file import read_watches

__all__ = ["check", "check_addresses", "check_nats", "settings_to_check"]

# An app that is in use logs every second. A person who runs the check should not have to wait for
# longer, except with --wait.
DEFAULT_WAIT = 5.0
# Seconds. A running natstream answers immediately; another program at its port may never answer.
ANSWER_DEADLINE = 3.0


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=3600),
    default=DEFAULT_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a log line.",
)
@click.option(
    "--url",
    metavar="URL",
    help="Address of a running natstream. Asks it for its state, and shows it the token.",
)
def check(wait: float, url: str | None) -> None:
    """Find problems before `natstream serve` has them.

    Reads the same environment as `natstream serve`, and checks the settings, the addresses to
    listen on, every NATS server with its credentials and permissions, whether a log line arrives,
    what the token may read by Fly's own interfaces, and whether the journal can keep lines. If
    natstream is already running at these addresses, the check asks it for its state. It shows the
    token to no program except at the address that --url gives. Nothing is created or altered.

    \b
    Exit status:
      0  nothing failed, but there may be warnings
      1  a check failed
      2  a setting is wrong or missing
    """
    for sentence in unused_variables(os.environ):
        click.echo(Finding("warning", sentence))
    try:
        settings = settings_to_check(os.environ)
    except ExceptionGroup as group:
        for error in group.exceptions:
            click.echo(Finding("failure", str(error)))
        sys.exit(2)
    try:
        watches = _check_watches(settings, os.environ)
    except ConfigurationError as error:
        click.echo(one_line(str(Finding("failure", str(error)))))
        sys.exit(2)
    sys.exit(trio.run(_report, settings, watches, wait, url))


async def _report(
    settings: Settings, watches: Sequence[Finding], wait: float, url: str | None
) -> int:
    status = 0

    def show(findings: Iterable[Finding]) -> None:
        nonlocal status
        for finding in findings:
            # A finding may hold words of a server, which could control the terminal.
            click.echo(one_line(str(finding)))
            if finding.state == "failure":
                status = 1

    show([check_sources(settings)])
    show(check_tokens(settings))
    if problem := tune_process(settings.max_readers):
        show([Finding("warning", problem)])
    show(check_sharing(settings))
    show(watches)
    show([await _ask_given(url, settings)] if url else await check_addresses(settings))
    if "nats" in settings.sources:
        for server in settings.nats_servers:
            show(await check_nats(server, settings, wait))
        show(await check_fly(settings))
    if settings.journal_servers:
        show(await check_journal(settings))
    return status


def _check_watches(settings: Settings, environ: Mapping[str, str]) -> Sequence[Finding]:
    """Report which watches there are; nothing if there are none.

    Raises:
        ConfigurationError: the file is wrong.
    """
    if not settings.watches:
        return []
    names = ", ".join(watch.name for watch in read_watches(settings.watches, environ))
    findings = [Finding("ok", f"NATSTREAM_WATCHES: the file is right, and watches {names}")]
    if not settings.public_url:
        text = "Messages of watches have no link to the page: NATSTREAM_PUBLIC_URL is not set"
        findings.append(Finding("warning", text))
    return findings


def settings_to_check(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment.

    Raises:
        ExceptionGroup: of one `ConfigurationError` for each wrong variable. If no variable is wrong
            by itself, the group holds the one error about the combination.
    """
    problems: list[ConfigurationError] = []
    for field in attrs.fields(Settings):
        variable = field.metadata["variable"]
        # This variable is checked alone, except for the two that the NATS source needs, and at
        # addresses where a short token is allowed.
        alone = {
            "FLY_ORG": "x",
            "ACCESS_TOKEN": "x",
            "NATSTREAM_BIND": "127.0.0.1:0",
            "NATSTREAM_DRAIN_BIND": "127.0.0.1:0",
        }
        if environ.get(variable):
            alone[variable] = environ[variable]
        try:
            read_settings(alone)
        except ConfigurationError as error:
            problems.append(error)
    if not problems:
        try:
            return read_settings(environ)
        except ConfigurationError as error:
            problems.append(error)
    raise ExceptionGroup("the settings are wrong", problems)


async def check_addresses(settings: Settings) -> Sequence[Finding]:
    """Report whether natstream can listen on its addresses.

    If a natstream listens there already, report its state instead.
    """
    shared = settings.share_port
    page = _check_address("NATSTREAM_BIND", settings.bind, shared=shared)
    if page.state == "failure" and (running := await _ask_running(settings)):
        return [running]
    findings = [page]
    if settings.drain_bind and "drain" in settings.sources:
        drain = _check_address("NATSTREAM_DRAIN_BIND", settings.drain_bind, shared=shared)
        findings.append(drain)
    if settings.metrics_bind:
        findings.append(_check_address("NATSTREAM_METRICS_BIND", settings.metrics_bind))
    return findings


async def check_nats(server: str, settings: Settings, wait: float) -> Sequence[Finding]:
    """Report whether `server` lets us read, and whether a line comes within `wait` seconds."""
    login = Login([server], user=settings.org, password=settings.access_token)
    status = SourceStatus("nats", lambda message, type: None)
    try:
        async with open_hub() as hub:
            source = NatsSource(login, settings.subjects, hub, status)
            first = await _first_entry(source, hub, wait)
    except SourceError as error:
        is_flys = server in Settings().nats_servers and isinstance(error, SourceUnavailable)
        hint = "; Fly's own server answers only inside Fly's private network" if is_flys else ""
        return [Finding("failure", f"{error}{hint}")]
    access = f"{server} takes the credentials and lets us read {', '.join(settings.subjects)}"
    if first is not None:
        origin = one_line(f"{first.app_name}[{first.machine_id}] {first.region}")
        lines = Finding("ok", f"Log lines arrive, the first of {origin}")
    else:
        lines = Finding(
            "warning",
            f"No log line has come in {wait:g} s: is FLY_APP the name of an app, and does it run? "
            "For an app that logs rarely, wait longer: natstream check --wait 60",
        )
    return [Finding("ok", access), lines]


async def _first_entry(source: NatsSource, hub: Hub, wait: float) -> LogEntry | None:
    """Return the first entry that comes within `wait` seconds after the source has subscribed."""
    with hub.subscribe() as reader:
        async with running_beside(source.run):
            with trio.move_on_after(wait):
                async for item in reader:
                    if isinstance(item, Selection) and item.entries:
                        return item.entries[0]
    return None


def _check_address(variable: str, bind: Bind, *, shared: bool = False) -> Finding:
    try:
        # The check binds the address and does not listen, because on a shared address the kernel
        # would send it some of the readers of the running service.
        with naming_setting(variable):
            bound(bind, shared=shared).close()
    except ListenError as error:
        return Finding("failure", str(error))
    return Finding("ok", f"{variable}: natstream can listen on {bind}")


async def _ask_running(settings: Settings) -> Finding | None:
    """Return the state of the natstream that listens at our address; `None` for another program.

    It is shown no token, because another program may listen there in its place. The metrics' port
    needs none. At the page's port, a service with a token answers only its health check.
    """
    bind = settings.metrics_bind or settings.bind  # where /readyz is
    if bind.host in ("::", "0.0.0.0"):  # noqa: S104 - only compared
        bind = Bind("127.0.0.1", bind.port)
    if settings.tokens and not settings.metrics_bind:
        if await _get(f"http://{bind}/healthz") != {"status": "ok"}:
            return None
        text = (
            f"natstream seems to run already at {bind}. The check shows its token only to an "
            f"address that is given: for the state, run natstream check --url http://{bind}"
        )
        return Finding("warning", text)
    return _readiness(str(bind), await _get(f"http://{bind}/readyz"))


async def _ask_given(url: str, settings: Settings) -> Finding:
    """Return the state of the natstream at the address that the operator has given.

    Raises:
        ConfigurationError: `url` is not an address.
    """
    ready = parse_url(url).join("../readyz")  # beside the /api of this URL
    headers = {"Authorization": f"Bearer {settings.tokens[0]}"} if settings.tokens else {}
    text = (
        f"{ready} did not answer as a natstream that accepts the token. Is it the address of the "
        "page, without a NATSTREAM_METRICS_BIND, and is NATSTREAM_TOKEN its token?"
    )
    answer = await _get(str(ready), headers)
    return _readiness(str(ready.join(".")), answer) or Finding("failure", text)


async def _get(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON object that answers a request, or an empty one if there is none."""
    try:
        with trio.fail_after(ANSWER_DEADLINE):
            async with httpx.AsyncClient(timeout=ANSWER_DEADLINE, trust_env=False) as client:
                request = client.build_request("GET", url, headers=headers)
                return await json_body(await client.send(request, stream=True))
    except (httpx.HTTPError, UnicodeError, trio.TooSlowError):
        return {}


def _readiness(where: str, answer: Any) -> Finding | None:
    """Return what an answer of /readyz says; `None` if it is not an answer of natstream."""
    try:
        problems = [
            one_line(f"{name}: {source['detail'] or source['state']}")
            for name, source in answer["sources"].items()
            if source["state"] != SourceState.UP
        ]
    except (LookupError, TypeError, AttributeError):
        return None
    if problems:
        text = f"natstream runs already at {where}, but is not ready: {'; '.join(problems)}"
        return Finding("failure", text)
    return Finding("ok", f"natstream runs already at {where}, and is ready")
