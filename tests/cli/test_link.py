"""`natstream link`, from the command to the stream."""

from __future__ import annotations

import socket
import time

import pytest
from click.testing import CliRunner
from tests.support.closed import TOKEN, bearer, closed_service, cookie_of, keyring, log_in

from natstream.cli.main import main
from natstream.entries.entry import LogEntry

LINES = [
    LogEntry("m1", message, "stdout", app_name=app, level=level)
    for message, app, level in (
        ("shown", "web", "error"),
        ("another app", "api", "error"),
        ("another level", "web", "info"),
        ("another password", "web", "warn"),
    )
]


def make_link(*arguments: str, **environ: str) -> tuple[str, str, int]:
    result = CliRunner().invoke(
        main, ["link", *arguments], env={"NATSTREAM_TOKEN": TOKEN, "NATSTREAM_URL": None} | environ
    )
    return result.stdout, result.stderr, result.exit_code


async def test_a_link_becomes_a_cookie_and_is_a_bearer_token() -> None:
    """A link that the command prints works as a login and as a bearer token for its part."""
    async with closed_service() as service:
        service.service.core.hub.publish_nowait(LINES)
        arguments = ("--app", "web", "--min-level", "warn", "--not", "password", "--expires", "2h")
        printed, summary, status = make_link(*arguments, "--url", service.url)
        assert status == 0
        assert "This link shows app web, min_level warn, not password, until" in summary
        page, _, text = printed.strip().partition("#")
        assert page == f"{service.url}/link"
        response = await log_in(service, json={"link": text})
        assert response.status_code == 204
        for headers in (cookie_of(response), bearer(text)):
            got = await service.get("/api/logs?follow=false&format=text", headers=headers)
            assert "shown" in got.text
            assert "another" not in got.text
            assert (await service.get("/metrics", headers=headers)).status_code == 403


def test_a_minus_before_a_value_excludes_it() -> None:
    """A link for `--app -billing` shows all other apps, and its summary says so."""
    printed, summary, _ = make_link("--app", "-billing", "-m", "668f*,-668f7", "--level=-debug")
    grant = keyring().grant(printed.strip().partition("#")[2])
    assert grant is not None
    assert sorted(grant.query) == [
        ("machine", "668f*"),
        ("not_app", "billing"),
        ("not_level", "debug"),
        ("not_machine", "668f7"),
    ]
    assert "no app billing" in summary
    _, error, status = make_link("--group", "-web")
    assert status == 2
    assert "--group" in error
    _, error, status = make_link("--app", "-")
    assert status == 2
    assert "--app -… is empty" in error


def test_what_a_link_shows_is_what_the_options_say() -> None:
    """The options become the parameters of the grant, and by default it expires in an hour."""
    printed, _, _ = make_link("--level", "warn", "-a", "web", "-a", "api", "--grep", "/a b/")
    grant = keyring().grant(printed.strip().partition("#")[2])
    assert grant is not None
    assert sorted(grant.query) == [
        ("app", "api"),
        ("app", "web"),
        ("level", "warn"),
        ("q", "/a b/"),
    ]
    assert grant.expires == pytest.approx(time.time() + 3_600, abs=30)


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["--expires", "31d"], {}, "--expires"),
        (["--expires", "0s"], {}, "--expires"),
        (["--expires", "tomorrow"], {}, "--expires"),
        (["--min-level", "loud"], {}, "Error: --min-level takes one of"),
        (["--app", ""], {}, "Error: --app is empty"),
        (["--grep", "/(/"], {}, "Error: --grep is not a regular expression"),
        (["--url", "ftp://host"], {}, "--url"),
        (["--group", "web"], {}, "--group cannot be part of a link, because the processes"),
        (["--release", "42"], {}, "--release cannot be part of a link"),
        ([], {"NATSTREAM_TOKEN": ""}, "NATSTREAM_TOKEN is not set"),
        ([], {"NATSTREAM_TOKEN": ","}, "NATSTREAM_TOKEN is a value that it cannot take"),
    ],
)
def test_a_link_that_cannot_be_made_is_refused(
    arguments: list[str], environ: dict[str, str], says: str
) -> None:
    """A link that cannot be made gives status 2, one sentence, and nothing on stdout."""
    printed, error, status = make_link(*arguments, **environ)
    assert (printed, status) == ("", 2)
    assert says in error
    assert TOKEN not in error


@pytest.mark.parametrize(
    ("url", "environ", "page"),
    [
        ("https://logs.example/", {}, "https://logs.example/link"),
        ("logs.example/sub?x=1#y", {}, "https://logs.example/sub/link"),
        ("http://[::1]:8080", {}, "http://[::1]:8080/link"),
        ("", {"NATSTREAM_URL": "https://one.example"}, "https://one.example/link"),
        ("", {"NATSTREAM_PUBLIC_URL": "https://two.example/"}, "https://two.example/link"),
        ("", {}, "http://127.0.0.1:8080/link"),
        ("", {"FLY_APP_NAME": "my-logs", "FLY_MACHINE_ID": "0"}, "https://my-logs.fly.dev/link"),
    ],
)
def test_the_address_of_a_link(url: str, environ: dict[str, str], page: str) -> None:
    """A link starts with --url, else with an address of the settings or the name of the Fly app."""
    printed, _, _ = make_link(*(["--url", url] if url else []), **environ)
    assert printed.partition("#")[0] == page


@pytest.mark.parametrize("is_public", [True, False])
def test_an_app_without_a_public_address_is_told(
    is_public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Fly, a link to a name without an address comes with the command that helps."""
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[object]:
        asked.append(host)
        if is_public:
            return [()]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    on_fly = {"FLY_APP_NAME": "my-logs", "FLY_MACHINE_ID": "0"}
    printed, said, status = make_link(**on_fly)
    assert (status, asked) == (0, ["my-logs.fly.dev"])
    assert printed.startswith("https://my-logs.fly.dev/link#")
    assert ("--url http://my-logs.internal:8080" in said) is not is_public
    asked.clear()
    make_link("--url", "http://my-logs.internal:8080", **on_fly)
    assert asked == []
