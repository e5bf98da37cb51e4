"""The settings of the service, as one frozen object. Pure.

Each field carries the name of its variable, the function that reads its text (see
`setting_types`), its help, and the person who changes it. `environment` reads the variables, and
the table in the documentation is made from the fields.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import attrs

from natstream.config import setting_types as values
from natstream.config.setting_types import Bind
from natstream.config.variables import setting

__all__ = ["Bind", "Settings", "markdown_table"]


@attrs.frozen(kw_only=True)
class Settings:
    """All settings of the service."""

    org: str = setting(
        "FLY_ORG",
        values.slug,
        "",
        "organisation's slug, the NATS user; required for the NATS source",
        who="Operators of the NATS source: once, to name their organisation",
        default_text="–",
    )
    access_token: str = setting(
        "ACCESS_TOKEN",
        str,
        "",
        "Fly token, the NATS password; required for the NATS source",
        who="Operators of the NATS source: once, and whenever the token is rotated",
        default_text="–",
        secret=True,
    )
    apps: tuple[str, ...] = setting(
        "FLY_APP",
        values.apps,
        (),
        "app to read; several separated by commas; `*`: every app of the organisation",
        who="Operators on Fly: to read other apps than natstream's own",
        default_text="`FLY_APP_NAME`, which Fly sets on every machine; else `*`",
    )
    own_app: str = setting(
        "FLY_APP_NAME",
        values.one_app,
        "",
        "natstream's own app. NATS must bring back a line that natstream writes when no other line "
        "comes (see `NATSTREAM_SILENCE`)",
        who="Developers, to test as on Fly; Fly sets it, and `FLY_MACHINE_ID`, on every machine",
        default_text="none, so that no such line is written; outside Fly it only stands for "
        "`FLY_APP`",
    )
    nats_servers: tuple[str, ...] = setting(
        "NATSTREAM_NATS_URL",
        values.servers,
        ("nats://[fdaa::3]:4223",),
        "NATS servers, separated by commas; the default is Fly's own, inside every machine",
        who="Operators outside Fly: to reach NATS through a tunnel, or to use another server",
        default_text="`nats://[fdaa::3]:4223`",
    )
    bind: Bind = setting(
        "NATSTREAM_BIND",
        values.parse_bind,
        Bind("::", 8080),
        "where the page and the API listen",
        who="Operators whose port 8080 is in use, or who want to listen on one address only",
        default_text="`[::]:8080`",
    )
    drain_bind: Bind | None = setting(
        "NATSTREAM_DRAIN_BIND",
        values.bind_or_off,
        Bind("127.0.0.1", 8081),
        "where the drain listener listens; `off` disables it",
        who="Operators whose port 8081 is in use, or who have no senders (`off`)",
        default_text="`127.0.0.1:8081`, or `[::]:8081` once a drain token is set",
    )
    tokens: tuple[str, ...] = setting(
        "NATSTREAM_TOKEN",
        values.tokens,
        (),
        "bearer tokens, separated by commas; a reader must show one of them. There may be "
        "several, so that one can be rotated out",
        who="Operators of every service that others can reach; again when a token is rotated",
        default_text="none: every client that reaches the address can read, and the start warns of "
        "it",
        secret=True,
    )
    drain_tokens: tuple[str, ...] = setting(
        "NATSTREAM_DRAIN_TOKEN",
        values.tokens,
        (),
        "bearer tokens, separated by commas; a drain sender must show one of them",
        who="Operators whose senders run on other machines; again when a token is rotated",
        default_text="none",
        secret=True,
    )
    metrics_bind: Bind | None = setting(
        "NATSTREAM_METRICS_BIND",
        values.bind_or_off,
        None,
        "where `/metrics` and `/readyz` listen, without a token: a port for the private network. "
        "The page's port then no longer has them",
        who="Operators with a Prometheus that cannot show a token, such as Fly's",
        default_text="off: they are at the page's port, for readers of everything",
    )
    hosts: tuple[str, ...] = setting(
        "NATSTREAM_HOSTS",
        values.hosts,
        (),
        "host names of the page, separated by commas; a request for another name gets a 421, "
        "which protects against DNS rebinding",
        who="Operators of a page without a token, once it has a host name",
        default_text="with a token any; without one, and on the metrics' port, IP addresses, "
        "`localhost`, `*.localhost`, `*.internal`, `*.flycast` and the host of "
        "`NATSTREAM_PUBLIC_URL`",
    )
    public_url: str = setting(
        "NATSTREAM_PUBLIC_URL",
        values.public_url,
        "",
        "address where people reach the page, for links to it; its host is one of the page's names",
        who="Operators of a page with an address of its own",
        default_text="none",
    )
    cors_origins: tuple[str, ...] = setting(
        "NATSTREAM_CORS_ORIGINS",
        values.origins,
        (),
        "origins whose pages may read the API, separated by commas; `*`: any, without cookies",
        who="Developers whose own page, such as a dashboard, reads the API",
        default_text="none",
    )
    client_header: str = setting(
        "NATSTREAM_CLIENT_HEADER",
        values.header,
        "",
        "header in which a proxy names the client's address (on Fly `Fly-Client-IP`). Limits then "
        "hold for each address, and `Fly-Forwarded-Proto` and `X-Forwarded-Proto` are believed",
        who="Operators behind a proxy, if no client can reach natstream without passing it",
        default_text="none: no such header is believed",
    )
    sources: tuple[str, ...] = setting(
        "NATSTREAM_SOURCES",
        values.sources,
        values.SOURCES,
        "which sources run",
        who="Operators with drains only (`drain`), who then need no Fly token",
        default_text="`nats,drain`",
    )
    fly_api: bool = setting(
        "NATSTREAM_FLY_API",
        values.switch,
        False,
        "`on`: Fly's own interfaces are asked, with `ACCESS_TOKEN`, for the lines before the "
        "start, the lines of an outage, and the names of machines",
        who="Operators whose token may read logs only by NATS (`off`), or outside Fly (`on`)",
        default_text="`on` on Fly (where `FLY_MACHINE_ID` is set) if there is an `ACCESS_TOKEN`; "
        "else `off`",
    )
    fly_api_url: str = setting(
        "NATSTREAM_FLY_API_URL",
        values.base_url,
        "https://api.fly.io",
        "address of Fly's logs interface; the token is shown there",
        who="Developers, to test against a server of their own",
    )
    machines_api_url: str = setting(
        "NATSTREAM_MACHINES_API_URL",
        values.base_url,
        "https://api.machines.dev",
        "address of Fly's Machines interface; the token is shown there",
        who="Developers, to test against a server of their own",
        default_text="`http://_api.internal:4280` on Fly; else `https://api.machines.dev`",
    )
    fly_history: float = setting(
        "NATSTREAM_FLY_HISTORY",
        values.duration,
        900.0,
        "how far the start looks back in Fly's logs interface; at most 5,000 lines",
        who="Operators whose quiet apps say little in a quarter of an hour",
        default_text="`15m`",
    )
    silence: float | None = setting(
        "NATSTREAM_SILENCE",
        values.seconds_or_off(0.1, 86_400),
        60.0,
        "seconds without a line from NATS after which natstream finds out whether the apps are "
        "silent or NATS is mute; `off`: it does not find out",
        who="Operators who want to know sooner, or whose token may not read natstream's own app "
        "(`off`)",
    )
    journal_servers: tuple[str, ...] = setting(
        "NATSTREAM_JOURNAL_URL",
        values.servers,
        (),
        "NATS servers with JetStream, separated by commas. Lines are kept there, durably, and all "
        "processes that name the same servers serve the same stream (see docs/scaling.md)",
        who="Operators who run several processes, or whose lines must survive a restart",
        default_text="none: lines are kept only in memory",
    )
    journal_user: str = setting(
        "NATSTREAM_JOURNAL_USER",
        str,
        "",
        "the journal's user",
        who="Operators of a journal whose servers ask for a user",
        default_text="none",
    )
    journal_password: str = setting(
        "NATSTREAM_JOURNAL_PASSWORD",
        str,
        "",
        "the password of the journal's user",
        who="Operators of a journal whose servers ask for a user; again when it is rotated",
        default_text="none",
        secret=True,
    )
    journal_token: str = setting(
        "NATSTREAM_JOURNAL_TOKEN",
        str,
        "",
        "the journal's token, instead of a user",
        who="Operators of a journal whose servers ask for a token; again when it is rotated",
        default_text="none",
        secret=True,
    )
    journal_stream: str = setting(
        "NATSTREAM_JOURNAL_STREAM",
        values.stream_name,
        "natstream",
        "the stream's name; a missing stream is created, and an existing one is never altered",
        who="Operators with two services, such as staging and production, on the same servers",
    )
    journal_max_age: float = setting(
        "NATSTREAM_JOURNAL_MAX_AGE",
        values.duration,
        86_400.0,
        "how long a newly created stream keeps lines",
        who="Operators of a journal, before its first start: to look back for longer than a day",
        default_text="`24h`",
    )
    journal_max_bytes: int = setting(
        "NATSTREAM_JOURNAL_MAX_BYTES",
        values.count(1 << 20, 1 << 50),
        1 << 30,
        "how many bytes of lines it keeps; the first limit reached counts",
        who="Operators of a journal, before its first start: to fit the servers' disks",
        default_text="`1073741824` (1 GiB)",
    )
    journal_replicas: int = setting(
        "NATSTREAM_JOURNAL_REPLICAS",
        values.count(1, 5),
        1,
        "how many servers of a cluster keep a copy: 3 survive the loss of one",
        who="Operators of a journal on a cluster, before its first start",
    )
    watches: str = setting(
        "NATSTREAM_WATCHES",
        str,
        "",
        "path of a TOML file that says of which lines, or of whose absence, natstream sends a "
        "message (see docs/watches.md)",
        who="Operators who want to be told when an app logs something, or falls silent",
        default_text="none",
    )
    share_port: bool = setting(
        "NATSTREAM_SHARE_PORT",
        values.switch,
        False,
        "`on`: other processes on this machine may listen on the same ports, and the kernel "
        "spreads readers over them; each uses one core",
        who="Operators with more readers than one core can serve",
        default_text="`off`: a port that is in use is an error",
    )
    backlog_lines: int = setting(
        "NATSTREAM_BACKLOG_LINES",
        values.count(1, 10_000_000),
        50_000,
        "lines the hub remembers, for `tail`, `since` and resuming",
        who="Operators whose readers want to look back further",
    )
    backlog_bytes: int = setting(
        "NATSTREAM_BACKLOG_BYTES",
        values.count(65_536, 2**40),
        64 * 2**20,
        "bytes of memory that these lines may use; the first limit reached counts",
        who="Operators whose readers want to look back further, or with little memory",
        default_text="`67108864` (64 MiB)",
    )
    max_readers: int = setting(
        "NATSTREAM_MAX_READERS",
        values.count(1, 1_000_000),
        5_000,
        "readers at once; one more gets a 503 that says when to come back. One link may have half "
        "of them at most, and so may one address where addresses are known, so that others can "
        "always read too",
        who="Operators of a small machine, or of more readers",
    )
    drain_max_body: int = setting(
        "NATSTREAM_DRAIN_MAX_BODY",
        values.count(1_024, 1 << 30),
        16 * 2**20,
        "bytes of a drain's body, as sent and as decompressed; a larger body gets a 413",
        who="Operators whose senders make larger batches (1 to 10 MB are usual), or with "
        "little memory",
        default_text="`16777216` (16 MiB)",
    )
    max_lag: float = setting(
        "NATSTREAM_MAX_LAG",
        values.seconds(0.1, 86_400),
        30.0,
        "seconds a reader may stay behind before it is moved to the newest line",
        who="Operators whose readers need every line more than they need the newest one",
    )
    stall: float = setting(
        "NATSTREAM_STALL",
        values.seconds(0.1, 86_400),
        20.0,
        "seconds after which a reader that accepts nothing at all is disconnected",
        who="Operators whose readers are on networks with longer pauses",
    )
    keepalive: float = setting(
        "NATSTREAM_KEEPALIVE",
        values.seconds(0.1, 3_600),
        15.0,
        "seconds without data after which a stream sends a keep-alive",
        who="Operators behind a proxy that closes idle connections sooner",
    )
    grace: float = setting(
        "NATSTREAM_GRACE",
        values.seconds(0.1, 300),
        5.0,
        "seconds that a shutdown after SIGTERM takes at most",
        who="Operators whose platform kills a process sooner, or gives it more time",
    )

    @property
    def public_host(self) -> str:
        """The host of `public_url` in lower case, without its port; "" if there is none."""
        return re.sub(r":[0-9]+$", "", urlsplit(self.public_url).netloc.lower())

    @property
    def subjects(self) -> tuple[str, ...]:
        """The NATS subjects to subscribe to: one for each app, or a single one for all apps."""
        return tuple(f"logs.{app}.>" for app in self.apps) or ("logs.>",)


def markdown_table() -> str:
    """Return the table of `docs/settings.md`: each variable with its meaning and default."""
    rows = ["| variable | meaning | default | who changes it, and when |", "|---|---|---|---|"]
    for field in attrs.fields(Settings):
        about = field.metadata
        default = about["default_text"] or f"`{str(field.default).removesuffix('.0')}`"
        rows.append(f"| `{about['variable']}` | {about['help']} | {default} | {about['who']} |")
    return "\n".join(rows)
