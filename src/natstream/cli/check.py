"""`natstream check`: what would go wrong, found before it does.

In: the environment that `natstream serve` would read. Out: findings, one a line: `ok`,
`warning` or `failure`, with what to do. It tries what the service would do, with the service's
own code: it reads the settings, listens on the addresses, connects to NATS and subscribes, and
asks the journal's servers for the stream. It leaves nothing behind, and never shows a token.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import click
import httpx
import trio

from natstream.background import running_beside
from natstream.config.diagnostics import Finding, check_sharing, check_sources, check_tokens
from natstream.config.listening import bound
from natstream.config.process import tune_process
from natstream.config.settings import Bind, Settings
from natstream.config.unused import unused_variables
from natstream.entries.entry import LogEntry
from natstream.entries.escapes import one_line
from natstream.errors import ConfigurationError, ListenError, SourceError, SourceUnavailable
from natstream.hub.backlog import Selection
from natstream.hub.health import SourceState, SourceStatus
from natstream.hub.hub import Hub, open_hub
from natstream.journal.jetstream import JetStream
from natstream.nats.connection import Login, NatsConnection
from natstream.nats.source import NatsSource

__all__ = [
    "check",
    "check_addresses",
    "check_journal",
    "check_nats",
    "read_settings",
]

# An app that is in use logs every second; nobody waits longer who has not asked for it.
DEFAULT_WAIT = 5.0
# A service that runs answers at once; whatever else listens there need not.
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
def check(wait: float) -> None:
    """Find what would go wrong, before it does.

    Reads the same environment as `natstream serve`, and tries what that would do: the settings,
    the addresses to listen on, every NATS server with the credentials and permissions for it,
    whether a log line arrives, and whether the journal can keep it. Where natstream runs already,
    it is asked how it is. Nothing is created or altered.

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

    show(Finding("warning", sentence) for sentence in unused_variables(os.environ))
    show([check_sources(settings)])
    show(check_tokens(settings))
    if problem := tune_process(settings.max_readers):
        show([Finding("warning", problem)])
    show(check_sharing(settings))
    show(await check_addresses(settings))
    if "nats" in settings.sources:
        for server in settings.nats_servers:
            show(await check_nats(server, settings, wait))
    if settings.journal_servers:
        show(await check_journal(settings))
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


async def check_addresses(settings: Settings) -> Sequence[Finding]:
    """Whether natstream can listen where it is to listen; or else, how the one there is."""
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
    login = Login([server], settings.org, settings.access_token)
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


async def check_journal(settings: Settings) -> Sequence[Finding]:
    """Whether each server of the journal lets us keep lines there, and in which stream.

    Nothing is created or altered: what needs a permission is asked for in words that the server
    cannot take.
    """
    findings: list[Finding] = []
    streams: set[str] = set()
    for server in settings.journal_servers:
        found, stream = await _check_journal_server(server, settings)
        findings += found
        streams |= {stream} if stream is not None else set()
    if len(streams) > 1:
        text = (
            "The servers of NATSTREAM_JOURNAL_URL do not hold the same stream: "
            "they have to be of one cluster"
        )
        findings.append(Finding("failure", text))
    return findings


async def _check_journal_server(
    server: str, settings: Settings
) -> tuple[Sequence[Finding], str | None]:
    """What there is to say, and which stream it is, if that is known; empty if there is none."""
    login = Login(
        [server], settings.journal_user, settings.journal_password, settings.journal_token
    )
    name = settings.journal_stream
    connection = NatsConnection(login, lambda: jetstream.end())  # it is made of the connection
    jetstream = JetStream(connection, login.address, name, lambda number, payload, headers: None)
    access = Finding("ok", f"{server} takes the credentials, and lets us keep lines in {name}.>")
    async with connection.connected(jetstream.subjects):
        try:
            if connection.end is None:
                config, stream = await _find_stream(jetstream)
                if config is None:
                    return [access, await _check_creation(jetstream, settings)], stream
                return [access, *_check_stream(jetstream, config, settings)], stream
        except SourceError as error:
            if connection.end is None:
                return [Finding("failure", str(error))], None
        lost = jetstream.connection_error(was_up=False)
    return [Finding("failure", str(lost))], None


async def _find_stream(jetstream: JetStream) -> tuple[dict[str, Any] | None, str]:
    """The stream's configuration and identity, if there is one.

    Raises:
        SourceError: there is no JetStream or no answer, or a permission is missing.
    """
    name = jetstream.name.encode()
    headers = b"NATS/1.0\r\nNats-Expected-Stream: of-nobody\r\n\r\n"
    commands = [b"HPUB %b.check %d %d\r\n%b\r\n" % (name, len(headers), len(headers), headers)]
    commands += [
        b"PUB $JS.API.%b 1\r\n{\r\n" % (api % name)
        for api in (
            b"CONSUMER.CREATE.%b.check",
            b"CONSUMER.MSG.NEXT.%b.check",
            b"CONSUMER.DELETE.%b.check",
            b"STREAM.MSG.GET.%b",
        )
    ]
    jetstream.connection.send(b"".join(commands))
    # What the server objects to in them, it says before it answers this.
    answer = await jetstream.request(f"STREAM.INFO.{jetstream.name}")
    if "error" not in answer:
        return answer["config"], answer["created"]
    trouble = jetstream.trouble(answer["error"])
    if trouble.reason != "deleted":
        raise trouble
    await jetstream.request(f"STREAM.CREATE.{jetstream.name}", "no stream's configuration")
    return None, ""


async def _check_creation(jetstream: JetStream, settings: Settings) -> Finding:
    """Whether nothing stands in the way of a stream that is to be created."""
    try:
        answer = await jetstream.request("STREAM.NAMES", {"subject": f"{jetstream.name}.>"})
    except SourceError:
        answer = {}  # the service does without this
    if others := answer.get("streams"):
        text = (
            f"The journal's stream {jetstream.name} cannot be created: "
            f"{one_line(', '.join(others))} takes {jetstream.name}.> already; "
            "NATSTREAM_JOURNAL_STREAM may name another"
        )
        return Finding("failure", text)
    text = (
        f"There is no stream {jetstream.name} yet: natstream will create it, "
        f"for {_age(settings.journal_max_age)} and {settings.journal_max_bytes:,} bytes, "
        f"on {settings.journal_replicas}; whether there is room for that shows then"
    )
    return Finding("ok", text)


def _check_stream(
    jetstream: JetStream, config: dict[str, Any], settings: Settings
) -> Iterator[Finding]:
    """Whether a stream that exists can serve, and keeps what is asked for."""
    try:
        jetstream.check(config)
    except SourceError as error:
        yield Finding("failure", str(error))
        return
    age, size, copies = config["max_age"] / 10**9, config["max_bytes"], config["num_replicas"]
    kept = f"{_age(age)} and {f'{size:,}' if size > 0 else 'any number of'} bytes, on {copies}"
    yield Finding(
        "ok", f"The journal's stream {jetstream.name} can serve: it keeps lines for {kept}"
    )
    default = Settings()
    different = [
        variable
        for variable, asked, usual, has in (
            ("MAX_AGE", settings.journal_max_age, default.journal_max_age, age),
            ("MAX_BYTES", settings.journal_max_bytes, default.journal_max_bytes, size),
            ("REPLICAS", settings.journal_replicas, default.journal_replicas, copies),
        )
        if asked not in (usual, has)
    ]
    if different:
        text = (
            f"NATSTREAM_JOURNAL_{', _'.join(different)} will not change it, since it exists: "
            f"`nats stream edit {jetstream.name}` does"
        )
        yield Finding("warning", text)


def _age(seconds: float) -> str:
    """As the settings have it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s" if seconds else "ever"


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
        # Listening there would be worse: where the address is shared, readers would come to us.
        bound(bind, shared=shared).close()
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
