"""Environment variables → one frozen `Settings`, read once at start.

Each field carries the name of its variable, how its text is read (see `values`), and one line of
help; the table in the documentation is made from them. A wrong value raises `ConfigurationError`
with one sentence: which variable, what it held, what it takes. Secrets are never in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from natstream.config import setting_types as values
from natstream.config.setting_types import Bind
from natstream.errors import ConfigurationError

__all__ = ["Bind", "Settings", "markdown_table"]


def _setting(
    variable: str,
    parse: Callable[[str], Any],
    default: Any,
    help: str,
    *,
    shown: str = "",
    secret: bool = False,
) -> Any:
    """A field of `Settings` read from `variable`; `shown` is its default in the documentation."""
    metadata = {
        "variable": variable,
        "parse": parse,
        "help": help,
        "shown": shown,
        "secret": secret,
    }
    return attrs.field(default=default, repr=not secret, metadata=metadata)


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that can be set, with each default's reason in its help."""

    org: str = _setting(
        "FLY_ORG",
        values.slug,
        "",
        "organisation slug, the NATS user; required for the NATS source",
        shown="–",
    )
    access_token: str = _setting(
        "ACCESS_TOKEN",
        str,
        "",
        "Fly token, the NATS password; required for the NATS source",
        shown="–",
        secret=True,
    )
    apps: tuple[str, ...] = _setting(
        "FLY_APP",
        values.apps,
        (),
        "app to read; several separated by commas; `*`: every app of the organisation",
        shown="`FLY_APP_NAME`, which Fly sets on every machine; else `*`",
    )
    nats_servers: tuple[str, ...] = _setting(
        "NATSTREAM_NATS_URL",
        values.servers,
        ("nats://[fdaa::3]:4223",),
        "NATS servers, separated by commas; the default is Fly's own, inside every machine",
        shown="`nats://[fdaa::3]:4223`",
    )
    bind: Bind = _setting(
        "NATSTREAM_BIND",
        values.parse_bind,
        Bind("::", 8080),
        "where the page and the API listen",
        shown="`[::]:8080`",
    )
    drain_bind: Bind | None = _setting(
        "NATSTREAM_DRAIN_BIND",
        values.bind_or_off,
        Bind("127.0.0.1", 8081),
        "where the drain listener listens; `off` disables it",
        shown="`127.0.0.1:8081`, or `[::]:8081` once a drain token is set",
    )
    tokens: tuple[str, ...] = _setting(
        "NATSTREAM_TOKEN",
        values.tokens,
        (),
        "bearer token(s) a reader must show; several, so that one can be rotated out",
        shown="none: open to whoever can reach it, with a warning at start",
        secret=True,
    )
    drain_tokens: tuple[str, ...] = _setting(
        "NATSTREAM_DRAIN_TOKEN",
        values.tokens,
        (),
        "bearer token(s) a drain sender must show",
        shown="none",
        secret=True,
    )
    metrics_bind: Bind | None = _setting(
        "NATSTREAM_METRICS_BIND",
        values.bind_or_off,
        None,
        "where `/metrics` and `/readyz` listen, without a token: a port for the private network; "
        "the page's port then has them no more",
        shown="off: they are at the page's port, for readers of everything",
    )
    hosts: tuple[str, ...] = _setting(
        "NATSTREAM_HOSTS",
        values.hosts,
        (),
        "names under which the page is reached, separated by commas; a request for another one is "
        "told 421 (against DNS rebinding)",
        shown="any",
    )
    cors_origins: tuple[str, ...] = _setting(
        "NATSTREAM_CORS_ORIGINS",
        values.origins,
        (),
        "origins whose pages may read the API, separated by commas; `*`: any, without cookies",
        shown="none",
    )
    client_header: str = _setting(
        "NATSTREAM_CLIENT_HEADER",
        values.header,
        "",
        "header in which the proxy in front names the client's address (on Fly `Fly-Client-IP`): "
        "limits then hold for each address, and `Fly-Forwarded-Proto` and `X-Forwarded-Proto` are "
        "believed; only where nobody gets past the proxy",
        shown="none: no such header is believed",
    )
    sources: tuple[str, ...] = _setting(
        "NATSTREAM_SOURCES",
        values.sources,
        values.SOURCES,
        "which sources run",
        shown="`nats,drain`",
    )
    journal_servers: tuple[str, ...] = _setting(
        "NATSTREAM_JOURNAL_URL",
        values.servers,
        (),
        "NATS servers with JetStream, separated by commas: lines are kept there, durably, and all "
        "processes that name the same serve the same stream (see docs/scaling.md)",
        shown="none: lines are kept in memory alone",
    )
    journal_user: str = _setting(
        "NATSTREAM_JOURNAL_USER", str, "", "the journal's user", shown="none"
    )
    journal_password: str = _setting(
        "NATSTREAM_JOURNAL_PASSWORD", str, "", "its password", shown="none", secret=True
    )
    journal_token: str = _setting(
        "NATSTREAM_JOURNAL_TOKEN",
        str,
        "",
        "the journal's token, in place of a user",
        shown="none",
        secret=True,
    )
    journal_stream: str = _setting(
        "NATSTREAM_JOURNAL_STREAM",
        values.stream_name,
        "natstream",
        "the stream's name; it is created if it is missing, and never altered",
    )
    journal_max_age: float = _setting(
        "NATSTREAM_JOURNAL_MAX_AGE",
        values.duration,
        86_400.0,
        "how long a stream that is created keeps lines",
        shown="`24h`",
    )
    journal_max_bytes: int = _setting(
        "NATSTREAM_JOURNAL_MAX_BYTES",
        values.count(1 << 20, 1 << 50),
        1 << 30,
        "how many bytes of them; the first limit reached counts",
        shown="`1073741824` (1 GiB)",
    )
    journal_replicas: int = _setting(
        "NATSTREAM_JOURNAL_REPLICAS",
        values.count(1, 5),
        1,
        "how many servers of a cluster keep a copy: 3 survive the loss of one",
    )
    share_port: bool = _setting(
        "NATSTREAM_SHARE_PORT",
        values.switch,
        False,
        "`on`: other processes on this machine may listen on the same ports, and the kernel "
        "spreads readers over them; each uses one core",
        shown="`off`: a taken port is an error",
    )
    backlog_lines: int = _setting(
        "NATSTREAM_BACKLOG_LINES",
        values.count(1, 10_000_000),
        50_000,
        "lines the hub remembers, for `tail`, `since` and resuming",
    )
    backlog_bytes: int = _setting(
        "NATSTREAM_BACKLOG_BYTES",
        values.count(65_536, 2**40),
        64 * 2**20,
        "bytes of memory it may take for them; the first limit reached counts",
        shown="`67108864` (64 MiB)",
    )
    max_readers: int = _setting(
        "NATSTREAM_MAX_READERS",
        values.count(1, 1_000_000),
        5_000,
        "readers at once; one more is told 503 and when to come back. One link, and one address "
        "where they are known, may have half of the places: nobody takes all of them",
    )
    max_connections: int | None = _setting(
        "NATSTREAM_MAX_CONNECTIONS",
        values.count(10, 1_000_000),
        None,
        "connections to the page and the API at once; for one more, the one that has been idle for "
        "longest is closed, or it is told 503. Never more than open files allow: drain, NATS and "
        "journal need some",
        shown="300 above `NATSTREAM_MAX_READERS`, for pages, checks and polls",
    )
    max_header: int = _setting(
        "NATSTREAM_MAX_HEADER",
        values.count(4_096, 1 << 20),
        16_384,
        "bytes of a request's line and headers; more than the 8 KiB that most proxies pass. One "
        "with more is told 431",
        shown="`16384` (16 KiB)",
    )
    header_timeout: float = _setting(
        "NATSTREAM_HEADER_TIMEOUT",
        values.seconds(0.1, 300),
        10.0,
        "seconds in which they have to come; who is slower only holds a connection",
    )
    drain_max_body: int = _setting(
        "NATSTREAM_DRAIN_MAX_BODY",
        values.count(1_024, 1 << 30),
        16 * 2**20,
        "bytes of a drain's body, as sent and as unpacked; senders make batches of 1 to 10 MB. A "
        "larger one is told 413",
        shown="`16777216` (16 MiB)",
    )
    drain_max_requests: int = _setting(
        "NATSTREAM_DRAIN_MAX_REQUESTS",
        values.count(1, 10_000),
        64,
        "bodies that a drain takes at once, each of which may take twice that memory; one more is "
        "told 503 and when to come back",
    )
    max_lag: float = _setting(
        "NATSTREAM_MAX_LAG",
        values.seconds(0.1, 86_400),
        30.0,
        "seconds a reader may stay behind before it is moved to the newest line",
    )
    stall: float = _setting(
        "NATSTREAM_STALL",
        values.seconds(0.1, 86_400),
        20.0,
        "seconds after which a reader that accepts nothing at all is cut",
    )
    keepalive: float = _setting(
        "NATSTREAM_KEEPALIVE",
        values.seconds(0.1, 3_600),
        15.0,
        "seconds without data after which a stream says that it is alive",
    )
    grace: float = _setting(
        "NATSTREAM_GRACE",
        values.seconds(0.1, 300),
        5.0,
        "seconds a SIGTERM takes at the most; keep the platform's kill timeout above it",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable; an empty one counts as unset.

        Raises:
            ConfigurationError: names the first variable that is wrong or missing.
        """
        given: dict[str, Any] = {}
        for field in attrs.fields(cls):
            variable = field.metadata["variable"]
            if text := environ.get(variable, "").strip():
                given[field.name] = _read(
                    variable, text, field.metadata["parse"], secret=field.metadata["secret"]
                )
        if "apps" not in given and (text := environ.get("FLY_APP_NAME", "").strip()):
            given["apps"] = _read("FLY_APP_NAME", text, values.one_app)
        if given.get("drain_tokens") and "drain_bind" not in given:
            given["drain_bind"] = Bind("::", 8081)
        settings = cls(**given)
        settings._check_sources()
        settings._check_nats()
        settings._check_journal()
        return settings

    @classmethod
    def misspelt(cls, environ: Mapping[str, str]) -> list[str]:
        """A sentence for each variable that is none of ours, and looks as if it were meant to be.

        What a misspelt one was to set, a token for example, is silently not set.
        """
        known = {field.metadata["variable"] for field in attrs.fields(cls)} | {"NATSTREAM_URL"}
        sentences: list[str] = []
        for name in sorted(environ):
            if name.startswith("NATSTREAM_") and name not in known:
                sentences += [
                    f"{name} is no setting, and is passed over: {meant} may be meant."
                    for meant in get_close_matches(name, sorted(known), 1, cutoff=0.85)
                ]
        return sentences

    @property
    def subjects(self) -> tuple[str, ...]:
        """The NATS subjects to subscribe to: one for each app, or one for all of them."""
        return tuple(f"logs.{app}.>" for app in self.apps) or ("logs.>",)

    def _check_sources(self) -> None:
        if self.sources == ("drain",) and self.drain_bind is None and not self.journal_servers:
            raise ConfigurationError(
                "Nothing would be read: NATSTREAM_SOURCES is drain, and the drain is off; "
                "NATSTREAM_DRAIN_BIND says where it listens."
            )
        binds = [("NATSTREAM_DRAIN_BIND", self.drain_bind)] if "drain" in self.sources else []
        binds.append(("NATSTREAM_METRICS_BIND", self.metrics_bind))
        for variable, bind in binds:
            if bind == self.bind and bind.port:
                raise ConfigurationError(
                    f"NATSTREAM_BIND and {variable} are both {bind}: each needs a port of its own."
                )

    def _check_nats(self) -> None:
        if "nats" not in self.sources:
            return
        missing = [
            variable
            for variable, value in (("FLY_ORG", self.org), ("ACCESS_TOKEN", self.access_token))
            if not value
        ]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise ConfigurationError(
                f"{' and '.join(missing)} {verb} not set, and the NATS source needs both: "
                "set them, or NATSTREAM_SOURCES=drain to read drains only, "
                "or try `natstream demo`, which needs neither."
            )

    def _check_journal(self) -> None:
        if not self.journal_servers:  # nobody is shown any of it
            return
        if self.journal_token and (self.journal_user or self.journal_password):
            raise ConfigurationError(
                "NATSTREAM_JOURNAL_TOKEN is set, and so is a user or a password: the journal takes "
                "either the token, or NATSTREAM_JOURNAL_USER and NATSTREAM_JOURNAL_PASSWORD."
            )
        if bool(self.journal_user) is not bool(self.journal_password):
            there, missing = "NATSTREAM_JOURNAL_USER", "NATSTREAM_JOURNAL_PASSWORD"
            if self.journal_password:
                there, missing = missing, there
            raise ConfigurationError(
                f"{there} is set and {missing} is not: the journal takes both, or neither."
            )


def markdown_table() -> str:
    """Every variable, what it means and its default: the table in `docs/settings.md`."""
    rows = ["| variable | meaning | default |", "|---|---|---|"]
    for field in attrs.fields(Settings):
        default = field.metadata["shown"] or f"`{str(field.default).removesuffix('.0')}`"
        rows.append(f"| `{field.metadata['variable']}` | {field.metadata['help']} | {default} |")
    return "\n".join(rows)


def _read(variable: str, text: str, parse: Callable[[str], Any], *, secret: bool = False) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        held = "a value that it cannot take" if secret else _shown(text)
        raise ConfigurationError(f"{variable} is {held}; it takes {error}.") from None


def _shown(text: str) -> str:
    """A wrong value as an error may show it, on one line and without what may be a secret."""
    # Credentials in an address; a Fly token in the wrong variable.
    text = re.sub(r".*@", "***@", text, flags=re.DOTALL)
    text = re.sub(r"(FlyV1 |f[mo][0-9][a-z]?_).*", "***", text, flags=re.DOTALL)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
