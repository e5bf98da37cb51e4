"""Environment variables → `Settings`; and docs/settings.md describes the same settings."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.config.environment import read_settings
from natstream.config.process import prepare_process
from natstream.config.setting_types import parse_bind
from natstream.config.settings import Bind, Settings, markdown_table
from natstream.errors import ConfigurationError

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
NATS = {"FLY_ORG": "acme", "ACCESS_TOKEN": "FlyV1 fm2_secret"}


def read(**environ: str) -> Settings:
    """Return the settings of an environment that has all that the NATS source needs."""
    return read_settings(NATS | environ)


NEW, OLD, SENDER = "a-token-of-readers", "a-former-token-of-readers", "a-token-of-senders"


def refusal(**environ: str) -> str:
    """Return the sentence of the error for such an environment."""
    with pytest.raises(ConfigurationError) as caught:
        read(**environ)
    return str(caught.value)


def test_the_defaults_are_those_of_the_documentation() -> None:
    """An environment with only the credentials of the NATS source gives the defaults."""
    assert read() == Settings(
        org="acme",
        access_token="FlyV1 fm2_secret",
        apps=(),
        nats_servers=("nats://[fdaa::3]:4223",),
        bind=Bind("::", 8080),
        drain_bind=Bind("127.0.0.1", 8081),
        tokens=(),
        drain_tokens=(),
        metrics_bind=None,
        hosts=(),
        public_url="",
        cors_origins=(),
        client_header="",
        sources=("nats", "drain"),
        journal_servers=(),
        journal_user="",
        journal_password="",
        journal_token="",
        journal_stream="natstream",
        journal_max_age=86_400.0,
        journal_max_bytes=1024 * 1024 * 1024,
        journal_replicas=1,
        watches="",
        share_port=False,
        backlog_lines=50_000,
        backlog_bytes=64 * 1024 * 1024,
        max_readers=5_000,
        drain_max_body=16 * 1024 * 1024,
        max_lag=30.0,
        stall=20.0,
        keepalive=15.0,
        grace=5.0,
    )


def test_every_variable_is_read() -> None:
    """Each variable's value arrives in its field."""
    settings = read(
        FLY_APP="web, api",
        FLY_APP_NAME="logs",
        FLY_MACHINE_ID="148ed",
        NATSTREAM_NATS_URL="nats://127.0.0.1:4222,tls://nats.example.com",
        NATSTREAM_BIND="0.0.0.0:80",
        NATSTREAM_DRAIN_BIND="[::1]:81",
        NATSTREAM_TOKEN=f"{NEW}, {OLD}",
        NATSTREAM_DRAIN_TOKEN=SENDER,
        NATSTREAM_METRICS_BIND="[::]:9091",
        NATSTREAM_HOSTS="Logs.example.com, [::1]",
        NATSTREAM_PUBLIC_URL="https://Logs.example.com/",
        NATSTREAM_CORS_ORIGINS="https://one.example, http://localhost:3000",
        NATSTREAM_CLIENT_HEADER="Fly-Client-IP",
        NATSTREAM_SOURCES="nats",
        NATSTREAM_FLY_API="on",
        NATSTREAM_FLY_API_URL="http://127.0.0.1:4000/",
        NATSTREAM_MACHINES_API_URL="http://_api.internal:4280",
        NATSTREAM_FLY_HISTORY="1h",
        NATSTREAM_SILENCE="5",
        NATSTREAM_JOURNAL_URL="nats://one.internal:4222,tls://[fdaa::7]",
        NATSTREAM_JOURNAL_USER="keeper",
        NATSTREAM_JOURNAL_PASSWORD="of the keeper",
        NATSTREAM_JOURNAL_STREAM="Logs_of-acme",
        NATSTREAM_JOURNAL_MAX_AGE="7D",
        NATSTREAM_JOURNAL_MAX_BYTES="10_000_000_000",
        NATSTREAM_JOURNAL_REPLICAS="3",
        NATSTREAM_WATCHES="/etc/natstream/watches.toml",
        NATSTREAM_SHARE_PORT="On",
        NATSTREAM_BACKLOG_LINES="10",
        NATSTREAM_BACKLOG_BYTES="1_000_000",
        NATSTREAM_MAX_READERS="7",
        NATSTREAM_DRAIN_MAX_BODY="1_000_000",
        NATSTREAM_MAX_LAG="0.5",
        NATSTREAM_STALL="1",
        NATSTREAM_KEEPALIVE="2.25",
        NATSTREAM_GRACE="300",
    )
    assert attrs.asdict(settings, recurse=False) == {
        "org": "acme",
        "access_token": "FlyV1 fm2_secret",
        "apps": ("web", "api"),
        "own_app": "logs",
        "silence": 5.0,
        "nats_servers": ("nats://127.0.0.1:4222", "tls://nats.example.com"),
        "bind": ("0.0.0.0", 80),
        "drain_bind": ("::1", 81),
        "tokens": (NEW, OLD),
        "drain_tokens": (SENDER,),
        "metrics_bind": ("::", 9091),
        "hosts": ("logs.example.com", "[::1]"),
        "public_url": "https://Logs.example.com",
        "cors_origins": ("https://one.example", "http://localhost:3000"),
        "client_header": "Fly-Client-IP",
        "sources": ("nats",),
        "fly_api": True,
        "fly_api_url": "http://127.0.0.1:4000",
        "machines_api_url": "http://_api.internal:4280",
        "fly_history": 3600.0,
        "journal_servers": ("nats://one.internal:4222", "tls://[fdaa::7]"),
        "journal_user": "keeper",
        "journal_password": "of the keeper",
        "journal_token": "",
        "journal_stream": "Logs_of-acme",
        "watches": "/etc/natstream/watches.toml",
        "journal_max_age": 604_800.0,
        "journal_max_bytes": 10_000_000_000,
        "journal_replicas": 3,
        "share_port": True,
        "backlog_lines": 10,
        "backlog_bytes": 1_000_000,
        "max_readers": 7,
        "drain_max_body": 1_000_000,
        "max_lag": 0.5,
        "stall": 1.0,
        "keepalive": 2.25,
        "grace": 300.0,
    }


@pytest.mark.parametrize(
    ("environ", "subjects"),
    [
        ({"FLY_APP": "*", "FLY_APP_NAME": "web"}, ("logs.>",)),
        ({"FLY_APP": "api", "FLY_APP_NAME": "web"}, ("logs.api.>",)),
        ({"FLY_APP": "api,web"}, ("logs.api.>", "logs.web.>")),
        ({"FLY_APP": "api,web,api"}, ("logs.api.>", "logs.web.>")),
        ({"FLY_APP_NAME": "web"}, ("logs.web.>",)),
        ({"FLY_APP": "", "FLY_APP_NAME": "web"}, ("logs.web.>",)),
        ({"FLY_APP": " ", "FLY_APP_NAME": "web"}, ("logs.web.>",)),
        ({"FLY_APP": "", "FLY_APP_NAME": ""}, ("logs.>",)),
        ({}, ("logs.>",)),
        ({"FLY_APP": "a" * 63}, (f"logs.{'a' * 63}.>",)),
    ],
)
def test_subject_selection(environ: dict[str, str], subjects: tuple[str, ...]) -> None:
    """`FLY_APP` wins over `FLY_APP_NAME`, an empty one is unset, and without both all is read."""
    assert read(**environ).subjects == subjects


@pytest.mark.parametrize("variable", ["FLY_APP", "FLY_APP_NAME"])
@pytest.mark.parametrize(
    "name",
    ["Web", "-web", "web.>", "web.*", ">", "*,web", "web,*", "**", ",", " , ", "we b", "wéb",
     "web²", "a" * 64, "web\napi", "$SYS", "web\x00"],
)  # fmt: skip
def test_what_is_no_app_name_is_an_error_and_never_a_wider_subscription(
    variable: str, name: str
) -> None:
    """The sentence names the variable and the value that it held."""
    said = refusal(**{variable: name})
    assert said.startswith(f"{variable} is {name.strip()!r}; it takes ")


@pytest.mark.parametrize("name", ["*", "web,api"])
def test_flys_own_variable_holds_one_app(name: str) -> None:
    """A list or a star in `FLY_APP_NAME` is an error, since Fly never sets it to one."""
    assert refusal(FLY_APP_NAME=name).startswith(f"FLY_APP_NAME is {name!r}; it takes one app name")


@given(st.text())
def test_an_app_can_only_narrow(text: str) -> None:
    """All apps are read only if `FLY_APP` is a star or empty, for any text."""
    try:
        subjects = read(FLY_APP=text).subjects
    except ConfigurationError:
        return
    assert subjects != ("logs.>",) or text.strip() in ("", "*") or text.strip(" ,\t\n") == "*"


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        (["FLY_ORG"], "FLY_ORG is not set"),
        (["ACCESS_TOKEN"], "ACCESS_TOKEN is not set"),
        (["FLY_ORG", "ACCESS_TOKEN"], "FLY_ORG and ACCESS_TOKEN are not set"),
    ],
)
def test_without_credentials_it_says_which_is_missing_and_what_needs_none(
    missing: list[str], names: str
) -> None:
    """The sentence names each missing or empty variable, and the demo, which needs none."""
    said = refusal(**dict.fromkeys(missing, ""))
    assert said.startswith(names)
    assert "`natstream demo`" in said
    assert "NATSTREAM_SOURCES=drain" in said


def test_a_drain_only_deployment_needs_no_credentials() -> None:
    """With `NATSTREAM_SOURCES=drain` the credentials of NATS may be missing."""
    assert read_settings({"NATSTREAM_SOURCES": "drain"}).sources == ("drain",)


def test_the_drain_leaves_loopback_once_it_has_a_token() -> None:
    """A drain token opens the drain to other machines, unless its own address variable is set."""
    assert read(NATSTREAM_DRAIN_TOKEN=SENDER).drain_bind == Bind("::", 8081)
    assert read(NATSTREAM_DRAIN_TOKEN=SENDER, NATSTREAM_DRAIN_BIND=":9").drain_bind == Bind("::", 9)
    assert read(NATSTREAM_DRAIN_TOKEN=SENDER, NATSTREAM_DRAIN_BIND="Off").drain_bind is None


@pytest.mark.parametrize(
    ("text", "bind", "back"),
    [
        ("[::]:8080", ("::", 8080), "[::]:8080"),
        ("127.0.0.1:0", ("127.0.0.1", 0), "127.0.0.1:0"),
        ("[fdaa:0:1::2]:80", ("fdaa:0:1::2", 80), "[fdaa:0:1::2]:80"),
        ("fly-local-6pn:65535", ("fly-local-6pn", 65535), "fly-local-6pn:65535"),
        (":8080", ("::", 8080), "[::]:8080"),
    ],
)
def test_an_address_reads_and_prints(text: str, bind: tuple[str, int], back: str) -> None:
    """An address is printed with an IPv6 host in brackets, and can be read again."""
    assert parse_bind(text) == bind
    assert str(parse_bind(text)) == back


@pytest.mark.parametrize(
    "text",
    ["8080", "::1:8080", "::", "[::1]", "[::]:", "[::1:80", "::1]:80", "host:", "host:http",
     "host:65536", "host:-1", "host:+1", "host: 80", "host:٨٠", "host:" + "9" * 5_000, "http://host:80"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """The sentence shows the form of an address."""
    for variable in ("NATSTREAM_BIND", "NATSTREAM_DRAIN_BIND", "NATSTREAM_METRICS_BIND"):
        said = refusal(**{variable: text})
        assert said.startswith(f"{variable} is '{text[:200]}")
        off = "" if variable == "NATSTREAM_BIND" else "off, or "
        assert f"; it takes {off}host:port" in said


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("FLY_ORG", "acme inc"),
        ("FLY_ORG", "acme.*\x00"),
        ("NATSTREAM_NATS_URL", ","),
        ("NATSTREAM_NATS_URL", "demo.nats.io:4222"),
        ("NATSTREAM_NATS_URL", "http://demo.nats.io"),
        ("NATSTREAM_NATS_URL", "nats://demo.nats.io:99999"),
        ("NATSTREAM_NATS_URL", "nats://fdaa::3:4223"),
        ("NATSTREAM_NATS_URL", "nats://a:1 nats://b:2"),
        ("NATSTREAM_HOSTS", ","),
        ("NATSTREAM_HOSTS", "logs.example.com:443"),
        ("NATSTREAM_HOSTS", "https://logs.example.com"),
        ("NATSTREAM_HOSTS", "*"),
        ("NATSTREAM_CORS_ORIGINS", ","),
        ("NATSTREAM_CORS_ORIGINS", "one.example"),
        ("NATSTREAM_CORS_ORIGINS", "https://one.example/"),
        ("NATSTREAM_CORS_ORIGINS", "https://one.example,*"),
        ("NATSTREAM_CORS_ORIGINS", "null"),
        ("NATSTREAM_CLIENT_HEADER", "Fly-Client-IP, X-Real-IP"),
        ("NATSTREAM_CLIENT_HEADER", "X-Real-IP: 1.2.3.4"),
        ("NATSTREAM_SOURCES", "nats,kafka"),
        ("NATSTREAM_SOURCES", ","),
        ("NATSTREAM_JOURNAL_URL", ","),
        ("NATSTREAM_JOURNAL_URL", "journal.internal:4222"),
        ("NATSTREAM_JOURNAL_URL", "nats://a:1 nats://b:2"),
        ("NATSTREAM_JOURNAL_STREAM", "natstream.>"),
        ("NATSTREAM_JOURNAL_STREAM", "two words"),
        ("NATSTREAM_JOURNAL_STREAM", "_INBOX"),
        ("NATSTREAM_JOURNAL_STREAM", "logs"),
        ("NATSTREAM_JOURNAL_STREAM", "x" * 65),
        ("NATSTREAM_JOURNAL_MAX_AGE", "0s"),
        ("NATSTREAM_JOURNAL_MAX_AGE", "24"),
        ("NATSTREAM_JOURNAL_MAX_AGE", "1h30m"),
        ("NATSTREAM_JOURNAL_MAX_AGE", "1.5h"),
        ("NATSTREAM_JOURNAL_MAX_AGE", "٢٤h"),
        ("NATSTREAM_JOURNAL_MAX_BYTES", "1GiB"),
        ("NATSTREAM_JOURNAL_REPLICAS", "three"),
        ("NATSTREAM_SHARE_PORT", "yes"),
        ("NATSTREAM_SHARE_PORT", "1"),
        ("NATSTREAM_BACKLOG_LINES", "0"),
        ("NATSTREAM_BACKLOG_LINES", "-1"),
        ("NATSTREAM_BACKLOG_LINES", "many"),
        ("NATSTREAM_BACKLOG_LINES", "_"),
        ("NATSTREAM_BACKLOG_LINES", "1e3"),
        ("NATSTREAM_BACKLOG_LINES", "9" * 5_000),
        ("NATSTREAM_BACKLOG_BYTES", "64MB"),
        ("NATSTREAM_MAX_READERS", "0"),
        ("NATSTREAM_MAX_LAG", "0"),
        ("NATSTREAM_MAX_LAG", "inf"),
        ("NATSTREAM_STALL", "nan"),
        ("NATSTREAM_KEEPALIVE", "15s"),
        ("NATSTREAM_KEEPALIVE", "١٥"),
        ("NATSTREAM_GRACE", "-5"),
        ("NATSTREAM_GRACE", "5\n6"),
    ],
)
def test_a_wrong_value_is_one_sentence(variable: str, text: str) -> None:
    """The sentence names the variable, its value and the values that it takes, on one line."""
    said = refusal(**{variable: text})
    assert said.startswith(f"{variable} is {text[:200]!r}"[:100])
    assert "; it takes " in said
    assert said.isprintable()
    assert len(said) < 500


@pytest.mark.parametrize(
    ("variable", "limits", "beyond"),
    [
        ("NATSTREAM_BACKLOG_LINES", ("1", "10_000_000"), ("0", "10000001")),
        ("NATSTREAM_BACKLOG_BYTES", ("65536", str(2**40)), ("65535", str(2**40 + 1))),
        ("NATSTREAM_MAX_READERS", ("1", "1000000"), ("0", "1000001")),
        ("NATSTREAM_DRAIN_MAX_BODY", ("1024", str(2**30)), ("1023", str(2**30 + 1))),
        ("NATSTREAM_MAX_LAG", ("0.1", "86400"), ("0.09", "86400.1")),
        ("NATSTREAM_STALL", ("0.1", "86400"), ("0.09", "86400.1")),
        ("NATSTREAM_KEEPALIVE", ("0.1", "3600"), ("0.09", "3600.1")),
        ("NATSTREAM_GRACE", ("0.1", "300"), ("0.09", "300.1")),
        ("NATSTREAM_JOURNAL_MAX_AGE", ("1s", "60m", "1h", "3650d"), ("0m", "3651d", "315360001s")),
        ("NATSTREAM_JOURNAL_MAX_BYTES", (str(2**20), str(2**50)), (str(2**20 - 1), str(2**50 + 1))),
        ("NATSTREAM_JOURNAL_REPLICAS", ("1", "5"), ("0", "6")),
    ],
)
def test_a_number_has_limits(
    variable: str, limits: tuple[str, ...], beyond: tuple[str, ...]
) -> None:
    """A number beyond its limits is refused, because it is most likely a typing error."""
    for text in limits:
        assert read(**{variable: text})
    for text in beyond:
        assert " from " in refusal(**{variable: text})


JOURNAL = {"NATSTREAM_JOURNAL_URL": "nats://journal.internal:4222"}
USER = {"NATSTREAM_JOURNAL_USER": "keeper"}
PASSWORD = {"NATSTREAM_JOURNAL_PASSWORD": "hunter2"}
TOKEN = {"NATSTREAM_JOURNAL_TOKEN": "hunter3"}


@pytest.mark.parametrize("credentials", [{}, USER | PASSWORD, TOKEN])
def test_the_journal_takes_a_user_or_a_token_or_neither(credentials: dict[str, str]) -> None:
    """The journal accepts a user with a password, a token, or no credentials."""
    assert read(**JOURNAL, **credentials).journal_servers == ("nats://journal.internal:4222",)


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (USER, "NATSTREAM_JOURNAL_USER is set and NATSTREAM_JOURNAL_PASSWORD is not: "),
        (PASSWORD, "NATSTREAM_JOURNAL_PASSWORD is set and NATSTREAM_JOURNAL_USER is not: "),
        (USER | PASSWORD | TOKEN, "NATSTREAM_JOURNAL_TOKEN is set, and so is a user"),
        (USER | TOKEN, "NATSTREAM_JOURNAL_TOKEN is set, and so is a user"),
        (PASSWORD | TOKEN, "NATSTREAM_JOURNAL_TOKEN is set, and so is a user or a password"),
    ],
)
def test_credentials_of_the_journal_that_do_not_fit_together_are_refused(
    credentials: dict[str, str], says: str
) -> None:
    """The sentence holds no credential. Without a journal they are not used, and are no error."""
    said = refusal(**JOURNAL, **credentials)
    assert said.startswith(says)
    assert said.count(". ") == 0
    assert "hunter" not in said
    assert "keeper" not in said
    assert read(**credentials).journal_servers == ()


@pytest.mark.parametrize("text", [",", " , ,", "two words", "tökén", "a\x00b", "a\nb"])
@pytest.mark.parametrize("variable", ["NATSTREAM_TOKEN", "NATSTREAM_DRAIN_TOKEN"])
def test_what_is_no_token_never_opens_the_door(variable: str, text: str) -> None:
    """A list without a valid token is an error, and the error does not show the value."""
    said = refusal(**{variable: text})
    assert said.startswith(f"{variable} is a value that it cannot take; it takes ")
    assert text.strip() == "," or text not in said


@pytest.mark.parametrize(
    ("variable", "bind"),
    [("NATSTREAM_TOKEN", "NATSTREAM_BIND"), ("NATSTREAM_DRAIN_TOKEN", "NATSTREAM_DRAIN_BIND")],
)
def test_a_short_token_is_refused_where_other_machines_reach_it(
    variable: str, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token under 16 characters is refused, except on loopback, where the start warns of it."""
    monkeypatch.setattr("natstream.config.process.tune_process", lambda readers: None)
    short, long = "x" * 15, "x" * 16
    for address in (":80", "0.0.0.0:80", "10.0.0.1:80", "[fdaa::3]:80", "logs.example:80"):
        for token in (short, f"{long},{short}"):
            said = refusal(**{variable: token, bind: address})
            assert said.startswith(f"{variable} holds a token of fewer than 16 characters")
            assert token not in said
        assert read(**{variable: long, bind: address})
    assert variable in refusal(**{variable: short})
    for address in ("127.0.0.1:80", "[::1]:80", "localhost:80"):
        settings = read(**{variable: short, bind: address})
        (warning,) = [
            text for text in prepare_process(settings) if text.startswith(variable + " h")
        ]
        assert short not in warning


def test_a_short_token_of_a_drain_that_does_not_listen_is_no_error() -> None:
    """A drain token has no effect without a drain, so its length does not matter."""
    assert read(NATSTREAM_DRAIN_TOKEN="t", NATSTREAM_DRAIN_BIND="off").drain_tokens == ("t",)
    assert read(NATSTREAM_DRAIN_TOKEN="t", NATSTREAM_SOURCES="nats").drain_tokens == ("t",)


@pytest.mark.parametrize("text", ["on", "Off", "true", "yes", "1", "no", "none"])
def test_a_switch_is_no_header(text: str) -> None:
    """A client header that is a switch is refused with the values that the setting takes."""
    said = refusal(NATSTREAM_CLIENT_HEADER=text)
    assert "it takes the name of one header, such as Fly-Client-IP" in said


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://logs.example.com", "logs.example.com"),
        ("https://Logs.Example.com:8443/logs/", "logs.example.com"),
        ("http://[FDAA::3]:8080", "[fdaa::3]"),
        ("http://[::1]", "[::1]"),
    ],
)
def test_the_public_address_has_a_host(url: str, host: str) -> None:
    """The host of the public address is in lower case and has no port."""
    settings = read(NATSTREAM_PUBLIC_URL=url)
    assert settings.public_host == host
    assert not settings.public_url.endswith("/")


@pytest.mark.parametrize(
    "url",
    ["logs.example", "ftp://logs.example", "https://", "https://user:hunter2@logs.example",
     "https://logs.example?q=x", "https://logs.example/#x", "https://a b", "https://a:99999"],
)  # fmt: skip
def test_another_text_is_no_public_address(url: str) -> None:
    """A public address with another form is refused, and credentials in it are not shown."""
    said = refusal(NATSTREAM_PUBLIC_URL=url)
    assert "it takes an address such as https://logs.example.com" in said
    assert "hunter2" not in said


def test_something_has_to_be_read() -> None:
    """A service without any source is refused, since it would be ready and never show a line."""
    off = {"NATSTREAM_SOURCES": "drain", "NATSTREAM_DRAIN_BIND": "off"}
    assert refusal(**off).endswith("set NATSTREAM_DRAIN_BIND to an address.")
    assert read(**off, NATSTREAM_JOURNAL_URL="nats://journal.internal").drain_bind is None


@pytest.mark.parametrize("variable", ["NATSTREAM_DRAIN_BIND", "NATSTREAM_METRICS_BIND"])
def test_one_address_is_not_given_twice(variable: str) -> None:
    """Two listeners with one address are refused before the second finds the address in use."""
    binds = {"NATSTREAM_BIND": "127.0.0.1:9000", variable: "127.0.0.1:9000"}
    assert f"NATSTREAM_BIND and {variable} are both 127.0.0.1:9000" in refusal(**binds)
    assert read(**dict.fromkeys(binds, "127.0.0.1:0"))


def test_settings_are_frozen() -> None:
    """A setting cannot change after it was read."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        read().org = "other"  # type: ignore[misc]  # that is the point


def test_secrets_are_never_shown() -> None:
    """Neither `repr` nor `str`, which logs and tracebacks use, shows a secret."""
    settings = read(
        NATSTREAM_TOKEN="secret-of-the-readers",
        NATSTREAM_DRAIN_TOKEN="secret-of-the-senders",
        NATSTREAM_JOURNAL_PASSWORD="journal-secret",
        NATSTREAM_JOURNAL_TOKEN="journal-secret",
    )
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "secret" not in shown


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("NATSTREAM_NATS_URL", "nats://user:hunter2@nats.example.com:4222"),
        ("NATSTREAM_NATS_URL", "nats://hunter2@nats.example.com:4222"),
        ("NATSTREAM_NATS_URL", "nats://a:hun@ter2/hunter2@one,nats://b:hunter2@[fdaa::3]:4223"),
        ("NATSTREAM_JOURNAL_URL", "nats://user:hunter2@journal.internal:4222"),
        ("NATSTREAM_JOURNAL_URL", "nats://hunter2@journal.internal"),
        ("NATSTREAM_JOURNAL_URL", "nats://one,tls://a:hunter2@[fdaa::3]:4223"),
        ("NATSTREAM_BIND", "http://user:hunter2@host:80"),
        ("FLY_ORG", "FlyV1 fm2_hunter2,fm2_hunter2"),
        ("FLY_ORG", "fo1_hunter2 x"),
        ("FLY_APP", "fm2_hunter2"),
        ("FLY_APP", "fm1r_hunter2"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown_either(variable: str, text: str) -> None:
    """Credentials in an address, and a Fly token in a wrong variable, are refused and hidden."""
    said = refusal(**{variable: text})
    assert said.startswith(f"{variable} is '***")
    assert "hunter2" not in said


def test_the_documents_table_is_made_from_the_settings() -> None:
    """The document holds the text of `natstream.config.settings.markdown_table()`."""
    assert f"\n\n{markdown_table()}\n\n" in DOCUMENT.read_text(encoding="utf-8")


def test_every_setting_names_the_person_who_changes_it() -> None:
    """A setting that no person would change is a constant, and has no variable."""
    for field in attrs.fields(Settings):
        assert re.match(r"(Operators|Developers)\b", field.metadata["who"]), field.name


def test_every_variable_that_is_read_is_documented() -> None:
    """The variables that are read are exactly those that the document names."""
    asked = set()

    class Environ(dict[str, str]):
        def get(self, name: str, default: str) -> str:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)

    read_settings(Environ(NATS))
    names = r"(?:NATSTREAM|FLY)_[A-Z_]+|ACCESS_TOKEN"
    assert asked == set(re.findall(names, DOCUMENT.read_text(encoding="utf-8")))


def test_flys_interfaces_are_used_on_fly() -> None:
    """On a machine of Fly the interfaces are on if there is a token, and off elsewhere."""
    on_fly = read(FLY_MACHINE_ID="148ed")
    assert on_fly.fly_api
    assert on_fly.machines_api_url == "http://_api.internal:4280"
    assert not read().fly_api
    assert not read(FLY_MACHINE_ID="148ed", NATSTREAM_FLY_API="off").fly_api
    assert not read(FLY_MACHINE_ID="148ed", ACCESS_TOKEN="", NATSTREAM_SOURCES="drain").fly_api


def test_flys_interfaces_need_a_token() -> None:
    """The interfaces cannot be on without a token to show them."""
    with pytest.raises(ConfigurationError, match="NATSTREAM_FLY_API is on, and ACCESS_TOKEN"):
        read(NATSTREAM_FLY_API="on", ACCESS_TOKEN="", NATSTREAM_SOURCES="drain")


@pytest.mark.parametrize(
    "url",
    ["api.fly.io", "ftp://x", "https://user:secret@x", "https://x?y=1", "https://x/#y", "//x"],
)
def test_an_interfaces_address_has_no_credentials_and_no_query(url: str) -> None:
    """The base of an interface is a scheme, a host and perhaps a path."""
    with pytest.raises(ConfigurationError, match="NATSTREAM_FLY_API_URL is") as wrong:
        read(NATSTREAM_FLY_API_URL=url)
    assert "secret" not in str(wrong.value)


def test_the_own_app_is_known_on_fly() -> None:
    """Only on Fly does the standard output come back by NATS, as a line of the own app."""
    assert read(FLY_APP_NAME="logs", FLY_MACHINE_ID="148ed").own_app == "logs"
    assert read(FLY_APP_NAME="logs").own_app == ""


def test_silence_may_be_left_alone() -> None:
    """`off` says that silence is not looked into, and a wrong text says what it takes."""
    assert read(NATSTREAM_SILENCE="off").silence is None
    assert refusal(NATSTREAM_SILENCE="no").endswith("it takes off, or seconds from 0.1 to 86400.")
