"""`natstream check`: what would go wrong, found before it does.

In: the environment that `natstream serve` would read. Out: findings, one a line: `ok`,
`warning` or `failure`, with what to do. It tries what the service would do, with the service's
own code: it reads the settings, listens on the addresses, connects to NATS and subscribes. It
leaves nothing behind, and never shows a token.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import attrs
import click
import httpx
import trio

from natstream.entry import Gap, LogEntry
from natstream.errors import ConfigurationError, ListenError, SourceError, SourceUnavailable
from natstream.health import SourceState, SourceStatus
from natstream.listening import listen
from natstream.natsclient import Login
from natstream.process import tune_process
from natstream.settings import Bind, Settings
from natstream.sources.nats import NatsSource
from natstream.terminal import one_line

__all__ = [
    "Finding",
    "check",
    "check_addresses",
    "check_nats",
    "check_tokens",
    "read_settings",
]

# An app that is in use logs every second; nobody waits longer who has not asked for it.
DEFAULT_WAIT = 5.0
# A random text of this length cannot be guessed over a network.
SHORT_TOKEN = 16
# A service that runs answers at once; whatever else listens there need not.
ANSWER_DEADLINE = 3.0


@attrs.frozen
class Finding:
    """One line of the report."""

    state: Literal["ok", "warning", "failure"]
    text: str
    """What is so; and what to do, where it should not be."""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.text.rstrip('.')}"


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=3600),
    default=DEFAULT_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a log line.",
)
def check(wait: float) -> None:
    """Find what would go wrong, before it does.

    Reads the same environment as `natstream serve`, and tries what that would do: the settings,
    the addresses to listen on, every NATS server with the credentials and permissions for it,
    and whether a log line arrives. Where natstream runs already, it is asked how it is.

    \b
    Exit status:
      0  nothing has failed, though there may be warnings
      1  something has failed
      2  a setting is wrong or missing
    """
    try:
        settings = read_settings(os.environ)
    except ExceptionGroup as group:
        for error in group.exceptions:
            click.echo(Finding("failure", str(error)))
        sys.exit(2)
    sys.exit(trio.run(_report, settings, wait))


async def _report(settings: Settings, wait: float) -> int:
    status = 0

    def show(findings: Iterable[Finding]) -> None:
        nonlocal status
        for finding in findings:
            click.echo(finding)
            if finding.state == "failure":
                status = 1

    show([_check_sources(settings)])
    show(check_tokens(settings))
    if problem := tune_process(settings.max_readers):
        show([Finding("warning", problem)])
    show(await check_addresses(settings))
    if "nats" in settings.sources:
        for server in settings.nats_servers:
            show(await check_nats(server, settings, wait))
    return status


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings.

    Raises:
        ExceptionGroup: of a `ConfigurationError` for each variable that is wrong, not only the
            first; or, where none is, of the one that says what is missing.
    """
    problems: list[ConfigurationError] = []
    for field in attrs.fields(Settings):
        variable = field.metadata["variable"]
        # Beside what the NATS source cannot do without, this one variable is judged alone.
        alone = {"FLY_ORG": "x", "ACCESS_TOKEN": "x"}
        if environ.get(variable):
            alone[variable] = environ[variable]
        try:
            Settings.from_environ(alone)
        except ConfigurationError as error:
            problems.append(error)
    if not problems:
        try:
            return Settings.from_environ(environ)
        except ConfigurationError as error:
            problems.append(error)
    raise ExceptionGroup("the settings are wrong", problems)


def check_tokens(settings: Settings) -> Iterator[Finding]:
    """Who may read the logs, and who may add to them."""
    yield _check_token("NATSTREAM_TOKEN", settings.tokens, settings.bind, "read the logs")
    if settings.drain_bind and "drain" in settings.sources:
        yield _check_token(
            *("NATSTREAM_DRAIN_TOKEN", settings.drain_tokens, settings.drain_bind),
            "pass off whatever it likes as log lines",
        )


async def check_addresses(settings: Settings) -> Sequence[Finding]:
    """Whether natstream can listen where it is to listen; or else, how the one there is."""
    page = _check_address("NATSTREAM_BIND", settings.bind)
    if page.state == "failure" and (running := await _ask_running(settings)):
        return [running]
    findings = [page]
    if settings.drain_bind and "drain" in settings.sources:
        findings.append(_check_address("NATSTREAM_DRAIN_BIND", settings.drain_bind))
    if settings.metrics_bind:
        findings.append(_check_address("NATSTREAM_METRICS_BIND", settings.metrics_bind))
    return findings


async def check_nats(server: str, settings: Settings, wait: float) -> Sequence[Finding]:
    """Whether `server` lets us read, and whether a line comes within `wait` seconds."""
    patience = trio.CancelScope()

    def on_change(detail: str, type: str) -> None:
        if status.state is SourceState.UP:
            patience.deadline = trio.current_time() + wait

    status = SourceStatus("nats", on_change)
    witness = _Witness(patience)
    source = NatsSource(
        Login([server], settings.org, settings.access_token), settings.subjects, witness, status
    )
    try:
        with patience:
            await source.run()
    except SourceError as error:
        is_flys = server in Settings().nats_servers and isinstance(error, SourceUnavailable)
        hint = "; Fly's own answers only inside its private network" if is_flys else ""
        return [Finding("failure", f"{error}{hint}")]
    access = f"{server} takes the credentials and lets us read {', '.join(settings.subjects)}"
    if first := witness.first:
        origin = one_line(f"{first.app_name}[{first.machine_id}] {first.region}")
        lines = Finding("ok", f"Log lines arrive, the first of {origin}")
    else:
        lines = Finding(
            "warning",
            f"No log line has come in {wait:g} s: is FLY_APP the name of an app, and does it run? "
            "A quiet one takes more patience: natstream check --wait 60",
        )
    return [Finding("ok", access), lines]


@attrs.define
class _Witness:
    """In the hub's place: sees the first line, and then has seen enough."""

    patience: trio.CancelScope
    first: LogEntry | None = None

    def publish(self, entries: Sequence[LogEntry], receipt: object = None) -> None:
        """No source of messages does that."""

    async def feed(self, entries: Sequence[LogEntry], receipt: object = None) -> None:
        self.first = self.first or entries[0]
        self.patience.cancel()
        await trio.lowlevel.checkpoint()

    def open_receipt(self, key: str) -> None:
        """Nothing is stored."""

    def announce(
        self,
        message: str,
        type: Literal["system", "error"] = "system",
        *,
        gap: Gap | None = None,
        public: bool = False,
    ) -> None:
        """Nobody is there to be told."""


def _check_address(variable: str, bind: Bind) -> Finding:
    try:
        listen(bind).close()
    except ListenError as error:
        return Finding("failure", f"{variable}: {error}")
    return Finding("ok", f"{variable}: natstream can listen on {bind}")


async def _ask_running(settings: Settings) -> Finding | None:
    """How the natstream is that listens where ours would; `None` if it is something else."""
    bind = settings.metrics_bind or settings.bind  # where /readyz is
    if bind.host in ("::", "0.0.0.0"):  # noqa: S104 - those who listen everywhere listen here
        bind = Bind("127.0.0.1", bind.port)
    headers = {"Authorization": f"Bearer {settings.tokens[0]}"} if settings.tokens else {}
    try:
        async with httpx.AsyncClient(timeout=ANSWER_DEADLINE, trust_env=False) as client:
            answer = (await client.get(f"http://{bind}/readyz", headers=headers)).json()
        problems = [
            one_line(f"{name}: {source['detail'] or source['state']}")
            for name, source in answer["sources"].items()
            if source["state"] != SourceState.UP
        ]
    except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if problems:
        text = f"natstream runs already at {bind}, and is not ready: {'; '.join(problems)}"
        return Finding("failure", text)
    return Finding("ok", f"natstream runs already at {bind}, and is ready")


def _check_token(variable: str, tokens: Sequence[str], bind: Bind, may: str) -> Finding:
    if any(len(token) < SHORT_TOKEN for token in tokens):
        text = f"{variable} holds a token that can be guessed: make one with `openssl rand -hex 24`"
        return Finding("warning", text)
    if tokens:
        return Finding("ok", f"{variable} is set: who does not show it is turned away")
    if _is_loopback(bind.host):
        return Finding("ok", f"{variable} is not set, but only this machine reaches {bind}")
    return Finding(
        "warning",
        f"{variable} is not set: whoever reaches {bind} can {may}. "
        "Set it, or be sure that the network is your own",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_sources(settings: Settings) -> Finding:
    sources = []
    if "nats" in settings.sources:
        sources.append(f"{', '.join(settings.apps) or 'every app'} of {settings.org} from NATS")
    if "drain" in settings.sources and settings.drain_bind:
        sources.append(f"drains at {settings.drain_bind}")
    if sources:
        return Finding("ok", f"The settings are right, and ask for {'; '.join(sources)}")
    return Finding(
        "failure", "NATSTREAM_SOURCES=drain and NATSTREAM_DRAIN_BIND=off leave nothing to read"
    )
