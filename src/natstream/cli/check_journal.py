"""The part of `natstream check` that asks the journal's servers.

In: the settings. Out: findings about each server, its permissions and the stream, or about the
stream that natstream would create. The servers stay exactly as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from natstream.config.diagnostics import Finding
from natstream.config.settings import Settings
from natstream.entries.escapes import one_line
from natstream.errors import SourceError
from natstream.journal.jetstream import JetStream
from natstream.journal.loop_check import check_for_loop
from natstream.nats.connection import Login, NatsConnection

__all__ = ["check_journal"]


async def check_journal(settings: Settings) -> Sequence[Finding]:
    """Report for each server of the journal whether it lets us keep lines, and in which stream.

    Nothing is created or altered. To find out about a permission, the check sends a request that
    needs it and that the server has to reject for another reason.
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
    """Return findings, and the stream's identity: `None` if unknown, empty if it does not exist."""
    login = Login(
        [server],
        user=settings.journal_user,
        password=settings.journal_password,
        token=settings.journal_token,
    )
    name = settings.journal_stream
    # The lambda is needed because `jetstream` is made from the connection, and exists only later.
    connection = NatsConnection(login, lambda: jetstream.end())
    jetstream = JetStream(
        connection, address=login.address, name=name, on_ack=lambda number, payload, headers: None
    )
    access = Finding("ok", f"{server} takes the credentials, and lets us keep lines in {name}.>")
    async with connection.connected(jetstream.subjects):
        try:
            if connection.end is None:
                jetstream.check_server()
                config, stream = await _find_stream(jetstream)
                if config is None:
                    return [access, await _check_creation(jetstream, settings)], stream
                reads = settings.subjects if "nats" in settings.sources else ()
                findings = [*_check_stream(jetstream, config, settings, reads)]
                if findings[0].state == "ok":
                    findings += await _find_loop(jetstream, reads)
                return [access, *findings], stream
        except SourceError as error:
            if connection.end is None:
                return [Finding("failure", str(error))], None
        lost = jetstream.connection_error(was_up=False)
    return [Finding("failure", str(lost))], None


async def _find_stream(jetstream: JetStream) -> tuple[dict[str, Any] | None, str]:
    """Return the stream's configuration and identity; `None` and an empty text if there is none.

    Raises:
        SourceError: the server has no JetStream or does not answer, or a permission is missing.
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
    # The server answers in order, so it reports missing permissions before it answers this request.
    answer = await jetstream.request(f"STREAM.INFO.{jetstream.name}")
    if "error" not in answer:
        return answer["config"], answer["created"]
    trouble = jetstream.trouble(answer["error"])
    if trouble.reason != "deleted":
        raise trouble
    await jetstream.request(f"STREAM.CREATE.{jetstream.name}", "no stream's configuration")
    return None, ""


async def _check_creation(jetstream: JetStream, settings: Settings) -> Finding:
    """Report whether a missing stream can be created."""
    try:
        answer = await jetstream.request("STREAM.NAMES", {"subject": f"{jetstream.name}.>"})
    except SourceError:
        answer = {}  # the service does not need this permission, so its lack is not a failure
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
        f"on {settings.journal_replicas}; only then does the server check that there is room"
    )
    return Finding("ok", text)


async def _find_loop(jetstream: JetStream, read_subjects: Sequence[str]) -> Sequence[Finding]:
    """Report a stream that publishes the journal's lines where they are read."""
    try:
        await check_for_loop(jetstream, read_subjects)
    except SourceError as error:
        if error.reason == "unfit":
            return [Finding("failure", str(error))]
        # Otherwise the credentials may not list streams, which the service does not need.
    return []


def _check_stream(
    jetstream: JetStream, config: dict[str, Any], settings: Settings, read_subjects: Sequence[str]
) -> Iterator[Finding]:
    """Report whether an existing stream can serve, and whether the settings ask for another."""
    try:
        jetstream.check(config, read_subjects)
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
        for variable, asked, usual, actual in (
            ("MAX_AGE", settings.journal_max_age, default.journal_max_age, age),
            ("MAX_BYTES", settings.journal_max_bytes, default.journal_max_bytes, size),
            ("REPLICAS", settings.journal_replicas, default.journal_replicas, copies),
        )
        if asked not in (usual, actual)
    ]
    if different:
        text = (
            f"NATSTREAM_JOURNAL_{', _'.join(different)} will not change it, because the stream "
            f"exists already: change it with `nats stream edit {jetstream.name}`"
        )
        yield Finding("warning", text)


def _age(seconds: float) -> str:
    """Return a duration as the settings have it, such as `24h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s" if seconds else "ever"
