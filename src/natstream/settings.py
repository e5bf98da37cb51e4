"""Environment variables → one frozen `Settings`, read once at start.

Each field carries the name of its variable, how its text is read, and one line of help;
the table in the documentation is made from them. A wrong value raises `ConfigurationError`
with one sentence: which variable, what it held, what it takes. Secrets are never in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import attrs

from natstream.errors import ConfigurationError

__all__ = ["Bind", "Settings", "markdown_table", "parse_bind"]

APP_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SOURCES = ("nats", "drain")

_NATS_URL = re.compile(
    # No user or password in the address: it would be shown in logs and notices.
    r"(?:nats|tls)://(?:\[[0-9a-fA-F:.]+\]|[^\s/@:\[\]]+)(?::(\d{1,5}))?/?",
    re.ASCII,
)


class Bind(NamedTuple):
    """An address to listen on. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """`host:port`, `[ipv6]:port` or `:port` (every address).

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("host:port, with an IPv6 host in brackets")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("host:port, with a port from 0 to 65535")
    return Bind(host or "::", int(port))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _apps(text: str) -> tuple[str, ...]:
    names = _words(text)
    if names == ("*",):
        return ()
    # A comma alone names no app; every app would be more than was asked for.
    if not names or not all(map(APP_NAME.fullmatch, names)):
        raise ValueError("app names of a-z, 0-9 and -, separated by commas, or * alone")
    return tuple(dict.fromkeys(names))


def _app(text: str) -> tuple[str, ...]:
    if not APP_NAME.fullmatch(text):
        raise ValueError("one app name of a-z, 0-9 and -")
    return (text,)


def _slug(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        raise ValueError("an organisation's slug, as `fly orgs list` shows it")
    return text


def _servers(text: str) -> tuple[str, ...]:
    urls = _words(text)
    matches = [_NATS_URL.fullmatch(url) for url in urls]
    if not urls or any(match is None or int(match[1] or 4222) > 65535 for match in matches):
        raise ValueError("nats://host:port without credentials, several separated by commas")
    return urls


def _bind_or_off(text: str) -> Bind | None:
    return None if text.lower() == "off" else parse_bind(text)


def _tokens(text: str) -> tuple[str, ...]:
    tokens = _words(text)
    # A comma alone is no token: without one, the door would be open.
    if not tokens or any(not re.fullmatch(r"[!-~]+", token) for token in tokens):
        raise ValueError("printable ASCII without spaces, several tokens separated by commas")
    return tokens


def _sources(text: str) -> tuple[str, ...]:
    names = _words(text.lower())
    if not names or any(name not in SOURCES for name in names):
        raise ValueError("nats, drain, or nats,drain")
    return tuple(dict.fromkeys(names))


def _hosts(text: str) -> tuple[str, ...]:
    hosts = _words(text.lower())
    if not hosts or any(not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("host names or addresses without ports, separated by commas")
    return hosts


def _origins(text: str) -> tuple[str, ...]:
    origins = _words(text.lower())
    one = r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    if origins != ("*",) and (
        not origins or any(not re.fullmatch(one, origin) for origin in origins)
    ):
        raise ValueError("origins as https://host, separated by commas, or * alone")
    return origins


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text):
        raise ValueError("the name of one header, as Fly-Client-IP")
    return text


def _count(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.replace("_", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        number = int(digits)
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        return number

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.lower())
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]] if match else 0
    # JetStream counts in nanoseconds, which end after 292 years.
    if not 1 <= seconds <= 3_650 * 86_400:
        raise ValueError("a duration from 1s to 3650d, as 90m, 24h or 7d")
    return float(seconds)


def _stream_name(text: str) -> str:
    # The stream takes all subjects that begin with its name. Where the journal's server is the one
    # that lines come from, those of Fly must not be among them, nor those of answers.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text) or text == "logs":
        raise ValueError("a stream's name of A-Z, a-z, 0-9, _ and -, other than logs")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return text.lower() == "on"


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
        _slug,
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
        _apps,
        (),
        "app to read; several separated by commas; `*`: every app of the organisation",
        shown="`FLY_APP_NAME`, which Fly sets on every machine; else `*`",
    )
    nats_servers: tuple[str, ...] = _setting(
        "NATSTREAM_NATS_URL",
        _servers,
        ("nats://[fdaa::3]:4223",),
        "NATS servers, separated by commas; the default is Fly's own, inside every machine",
        shown="`nats://[fdaa::3]:4223`",
    )
    bind: Bind = _setting(
        "NATSTREAM_BIND",
        parse_bind,
        Bind("::", 8080),
        "where the page and the API listen",
        shown="`[::]:8080`",
    )
    drain_bind: Bind | None = _setting(
        "NATSTREAM_DRAIN_BIND",
        _bind_or_off,
        Bind("127.0.0.1", 8081),
        "where the drain listener listens; `off` disables it",
        shown="`127.0.0.1:8081`, or `[::]:8081` once a drain token is set",
    )
    tokens: tuple[str, ...] = _setting(
        "NATSTREAM_TOKEN",
        _tokens,
        (),
        "bearer token(s) a reader must show; several, so that one can be rotated out",
        shown="none: open to whoever can reach it, with a warning at start",
        secret=True,
    )
    drain_tokens: tuple[str, ...] = _setting(
        "NATSTREAM_DRAIN_TOKEN",
        _tokens,
        (),
        "bearer token(s) a drain sender must show",
        shown="none",
        secret=True,
    )
    metrics_bind: Bind | None = _setting(
        "NATSTREAM_METRICS_BIND",
        _bind_or_off,
        None,
        "where `/metrics` and `/readyz` listen, without a token: a port for the private network; "
        "the page's port then has them no more",
        shown="off: they are at the page's port, for readers of everything",
    )
    hosts: tuple[str, ...] = _setting(
        "NATSTREAM_HOSTS",
        _hosts,
        (),
        "names under which the page is reached, separated by commas; a request for another one is "
        "told 421 (against DNS rebinding)",
        shown="any",
    )
    cors_origins: tuple[str, ...] = _setting(
        "NATSTREAM_CORS_ORIGINS",
        _origins,
        (),
        "origins whose pages may read the API, separated by commas; `*`: any, without cookies",
        shown="none",
    )
    client_header: str = _setting(
        "NATSTREAM_CLIENT_HEADER",
        _header,
        "",
        "header in which the proxy in front names the client's address (on Fly `Fly-Client-IP`): "
        "limits then hold for each address, and `Fly-Forwarded-Proto` and `X-Forwarded-Proto` are "
        "believed; only where nobody gets past the proxy",
        shown="none: no such header is believed",
    )
    sources: tuple[str, ...] = _setting(
        "NATSTREAM_SOURCES", _sources, SOURCES, "which sources run", shown="`nats,drain`"
    )
    journal_servers: tuple[str, ...] = _setting(
        "NATSTREAM_JOURNAL_URL",
        _servers,
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
        _stream_name,
        "natstream",
        "the stream's name; it is created if it is missing, and never altered",
    )
    journal_max_age: float = _setting(
        "NATSTREAM_JOURNAL_MAX_AGE",
        _duration,
        86_400.0,
        "how long a stream that is created keeps lines",
        shown="`24h`",
    )
    journal_max_bytes: int = _setting(
        "NATSTREAM_JOURNAL_MAX_BYTES",
        _count(1 << 20, 1 << 50),
        1 << 30,
        "how many bytes of them; the first limit reached counts",
        shown="`1073741824` (1 GiB)",
    )
    journal_replicas: int = _setting(
        "NATSTREAM_JOURNAL_REPLICAS",
        _count(1, 5),
        1,
        "how many servers of a cluster keep a copy: 3 survive the loss of one",
    )
    share_port: bool = _setting(
        "NATSTREAM_SHARE_PORT",
        _switch,
        False,
        "`on`: other processes on this machine may listen on the same ports, and the kernel "
        "spreads readers over them; each uses one core",
        shown="`off`: a taken port is an error",
    )
    backlog_lines: int = _setting(
        "NATSTREAM_BACKLOG_LINES",
        _count(1, 10_000_000),
        50_000,
        "lines the hub remembers, for `tail`, `since` and resuming",
    )
    backlog_bytes: int = _setting(
        "NATSTREAM_BACKLOG_BYTES",
        _count(65_536, 2**40),
        64 * 2**20,
        "bytes of memory it may take for them; the first limit reached counts",
        shown="`67108864` (64 MiB)",
    )
    max_readers: int = _setting(
        "NATSTREAM_MAX_READERS",
        _count(1, 1_000_000),
        5_000,
        "readers at once; one more is told 503 and when to come back",
    )
    max_lag: float = _setting(
        "NATSTREAM_MAX_LAG",
        _seconds(0.1, 86_400),
        30.0,
        "seconds a reader may stay behind before it is moved to the newest line",
    )
    stall: float = _setting(
        "NATSTREAM_STALL",
        _seconds(0.1, 86_400),
        20.0,
        "seconds after which a reader that accepts nothing at all is cut",
    )
    keepalive: float = _setting(
        "NATSTREAM_KEEPALIVE",
        _seconds(0.1, 3_600),
        15.0,
        "seconds without data after which a stream says that it is alive",
    )
    grace: float = _setting(
        "NATSTREAM_GRACE",
        _seconds(0.1, 300),
        5.0,
        "seconds a SIGTERM takes at the most; keep the platform's kill timeout above it",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable; an empty one counts as unset.

        Raises:
            ConfigurationError: names the first variable that is wrong or missing.
        """
        values: dict[str, Any] = {}
        for field in attrs.fields(cls):
            variable = field.metadata["variable"]
            if text := environ.get(variable, "").strip():
                values[field.name] = _read(
                    variable, text, field.metadata["parse"], secret=field.metadata["secret"]
                )
        if "apps" not in values and (text := environ.get("FLY_APP_NAME", "").strip()):
            values["apps"] = _read("FLY_APP_NAME", text, _app)
        if values.get("drain_tokens") and "drain_bind" not in values:
            values["drain_bind"] = Bind("::", 8081)
        settings = cls(**values)
        settings._check_nats()
        settings._check_journal()
        return settings

    @property
    def subjects(self) -> tuple[str, ...]:
        """The NATS subjects to subscribe to: one for each app, or one for all of them."""
        return tuple(f"logs.{app}.>" for app in self.apps) or ("logs.>",)

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
