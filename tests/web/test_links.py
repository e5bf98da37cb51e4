"""`POST /api/links`: what it makes for the holder of a token, and what it refuses."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from tests.support.closed import TOKEN, bearer, closed_service, grant_text, keyring
from tests.support.service import RunningService, open_service

from natstream.entries.entry import LogEntry
from natstream.entries.filters import FILTER_PARAMETERS, PATTERNS
from natstream.web.auth import COOKIE
from natstream.web.earlier import EARLIER_PARAMETERS
from natstream.web.grants import NOT_IN_SCOPES, Grant
from natstream.web.query import STREAM_PARAMETERS

INSIDE = LogEntry(
    "m-web",
    '{"message":"shown","status":502}',
    "stdout",
    app_name="web",
    region="iad",
    level="error",
    source="nats",
)
OUTSIDE = LogEntry(
    "m-zebra",
    '{"message":"zebra","status":200}',
    "system",
    app_name="zebra",
    region="sjc",
    level="info",
    source="drain",
)
# For each parameter of a filter, a value that lets only the first entry through.
SHOWN = {
    "app": "web",
    "region": "iad",
    "machine": "m-web",
    "stream": "stdout",
    "level": "error",
    "source": "nats",
    "type": "log",
    "not_app": "zebra",
    "not_region": "sjc",
    "not_machine": "m-z*",
    "not_stream": "system",
    "not_level": "info",
    "not_source": "drain",
    "not_type": "system",
    "min_level": "warn",
    "q": "shown",
    "not": "/zebra/",
    "field": "status>=500",
}
HEADERS = {**bearer(), "Content-Type": "application/json"}


async def ask(service: RunningService, body: Any, **headers: str) -> httpx.Response:
    """Post a body to the endpoint with the token, and return the answer."""
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return await service.client.post(
        f"{service.url}/api/links", content=content, headers={**HEADERS, **headers}
    )


async def text_for(service: RunningService, token: str) -> str:
    answer = await service.get("/api/logs?follow=false&format=ndjson", headers=bearer(token))
    assert answer.status_code == 200
    return answer.text


def test_every_parameter_of_a_filter_has_a_test() -> None:
    """The test below knows a value for each parameter that a link may have."""
    assert set(SHOWN) == FILTER_PARAMETERS - {*NOT_IN_SCOPES, *PATTERNS}


@pytest.mark.parametrize("name", sorted(SHOWN))
async def test_a_link_shows_what_its_parameter_says_and_nothing_else(name: str) -> None:
    """A reader with the link sees the lines of its query, past and live, and no other line."""
    async with closed_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait([OUTSIDE, INSIDE, OUTSIDE])
        answer = await ask(service, {"query": urlencode({name: SHOWN[name]}), "expires": "2h"})
        made = answer.json()
        assert (answer.status_code, [*made]) == (201, ["link", "token", "expires", "scope"])
        assert made["link"] == f"{service.url}/link#{made['token']}"
        assert abs(made["expires"] - (time.time() + 7_200) * 1_000) < 30_000
        assert parse_qsl(made["scope"]) == [(name, SHOWN[name])]
        past = await text_for(service, made["token"])
        assert past.count("shown") == 1
        assert "zebra" not in past
        async with service.stream("?tail=9", headers=bearer(made["token"])) as stream:
            await stream.lines(1)
            hub.publish_nowait([OUTSIDE, INSIDE])
            assert (await stream.lines(1))[0].data["app"] == "web"
        status = await service.get("/api/status", headers=bearer(made["token"]))
        assert status.json()["scope"] == made["scope"]
        assert status.json()["expires"] == made["expires"]
        for path in ("/api/raw?id=x", "/metrics", "/readyz"):
            assert (await service.get(path, headers=bearer(made["token"]))).status_code == 403


async def test_several_parameters_narrow_a_link() -> None:
    """A link for two parameters shows the lines for which both hold, as `natstream link` has it."""
    async with closed_service() as service:
        service.service.core.hub.publish_nowait([INSIDE, OUTSIDE])
        made = (await ask(service, {"query": "app=web,zebra&q=%22502%22&q=shown"})).json()
        assert "shown" not in await text_for(service, made["token"])
        made = (await ask(service, {"query": "app=web&app=zebra&not=z%C3%A9bra+a"})).json()
        query = (("app", "web"), ("app", "zebra"), ("not", "zébra a"))
        grant = keyring().read(made["token"])
        assert grant == Grant(made["expires"] // 1000, query)
        assert keyring().sign(grant, TOKEN) == made["token"]


async def test_a_link_for_everything_must_be_wanted_in_so_many_words() -> None:
    """An empty query is for everything; a missing one, and one without a parameter, is a 400."""
    async with closed_service() as service:
        service.service.core.hub.publish_nowait([INSIDE, OUTSIDE])
        made = (await ask(service, {"query": ""})).json()
        assert made["scope"] == ""
        assert "zebra" in await text_for(service, made["token"])
        assert abs(made["expires"] - (time.time() + 3_600) * 1_000) < 30_000, "an hour by default"
        for wanted in ({}, {"expires": "2h"}, {"query": "&"}, {"query": "_=5"}):
            answer = await ask(service, wanted)
            assert (answer.status_code, answer.json()["parameter"]) == (400, "query"), wanted


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        *(({"query": f"app=web&{name}=1"}, name) for name in sorted(STREAM_PARAMETERS)),
        *(({"query": f"app=web&{name}=1"}, name) for name in sorted(EARLIER_PARAMETERS)),
        *(({"query": f"app=web&{name}=1"}, name) for name in NOT_IN_SCOPES),
        *(({"query": f"{name}="}, name) for name in sorted(SHOWN)),
        ({"query": "colour=red"}, "colour"),
        ({"query": "?app=web"}, "?app"),
        ({"query": "app"}, "app"),
        ({"query": "min_level=loud"}, "min_level"),
        ({"query": "type=zebra"}, "type"),
        ({"query": "q=/(/"}, "q"),
        ({"query": "field=>5"}, "field"),
        ({"query": "q=%FF"}, "q"),
        ({"query": "q=" + "x" * 20_000}, "q"),
        (b'{"query":"q=\\ud800"}', "query"),
        ({"query": 5}, "query"),
        ({"query": None}, "query"),
        ({"query": {"app": "web"}}, "query"),
        ({"query": "app=web", "app": "web"}, "app"),
        ({"query": "app=web", "expires": "31d"}, "expires"),
        ({"query": "app=web", "expires": "0s"}, "expires"),
        ({"query": "app=web", "expires": "-1h"}, "expires"),
        ({"query": "app=web", "expires": "tomorrow"}, "expires"),
        ({"query": "app=web", "expires": ""}, "expires"),
        ({"query": "app=web", "expires": 3600}, "expires"),
        ({"query": "app=web", "expires": None}, "expires"),
        ([], "query"),
        ("", "query"),
        ("app=web", "query"),
        (b'{"query":"app=web"', "query"),
        ("[" * 50_000, "query"),
    ],
    ids=str,
)
async def test_a_bad_request_names_the_parameter(
    body: Any, parameter: str, one_service: RunningService
) -> None:
    """A wrong query or expiry is a 400 that names the parameter, and no link is made."""
    answer = await ask(one_service, body)
    assert answer.status_code == 400, answer.text
    assert [*answer.json()] == ["error", "parameter"]
    assert answer.json()["parameter"] == parameter
    assert TOKEN not in answer.text


@pytest.fixture
async def one_service() -> Any:
    async with closed_service() as service:
        yield service


async def test_only_the_holder_of_a_token_makes_links() -> None:
    """No token is a 401, and a link is a 403, even a link for everything and as a cookie."""
    wanted = {"query": "app=web", "expires": "2h"}
    async with closed_service() as service:
        address = f"{service.url}/api/links"
        for headers in ({}, bearer("wrong"), {"Cookie": f"{COOKIE}={TOKEN}"}):
            answer = await service.client.post(address, json=wanted, headers=headers)
            assert answer.status_code == 401
            assert "WWW-Authenticate" in answer.headers
        made = (await ask(service, {"query": ""})).json()["token"]
        for text in (grant_text(("app", "web")), grant_text(), made):
            for headers in (bearer(text), {"Cookie": f"{COOKIE}={text}"}):
                answer = await service.client.post(address, json=wanted, headers=headers)
                assert answer.status_code == 403
                assert "token" in answer.json()["error"]
            async with httpx.AsyncClient(base_url=service.url) as browser:
                assert (await browser.post("/api/login", json={"link": text})).status_code == 204
                assert (await browser.post("/api/links", json=wanted)).status_code == 403


async def test_a_browser_that_is_logged_in_with_a_token_makes_links() -> None:
    """The cookie of a login with a token makes links, as long as the page is our own."""
    wanted = {"query": "app=web"}
    async with closed_service() as service, httpx.AsyncClient(base_url=service.url) as browser:
        await browser.post("/api/login", json={"token": TOKEN})
        own = {"Origin": service.url}
        assert (await browser.post("/api/links", json=wanted, headers=own)).status_code == 201
        for other in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await browser.post("/api/links", json=wanted, headers=other)
            assert answer.status_code == 403
            assert "token" not in answer.json()


async def test_a_page_of_another_origin_makes_no_link_even_if_it_may_read() -> None:
    """CORS lets other origins read, but never make links, with whatever credentials."""
    origin = "https://shop.example"
    async with closed_service(NATSTREAM_CORS_ORIGINS=origin) as service:
        answer = await ask(service, {"query": "app=web"}, Origin=origin)
        assert answer.status_code == 403


async def test_without_a_token_of_the_service_there_is_nothing_to_sign_with() -> None:
    """A service without tokens answers 409, because it has no key and needs no links."""
    async with open_service() as service:
        answer = await ask(service, {"query": "app=web"})
        assert answer.status_code == 409
        assert "NATSTREAM_TOKEN" in answer.json()["error"]


async def test_the_link_leads_to_the_public_address() -> None:
    """The link begins with NATSTREAM_PUBLIC_URL, and otherwise with the address of the request."""
    async with closed_service(NATSTREAM_PUBLIC_URL="https://logs.example.com/") as service:
        made = (await ask(service, {"query": "app=web"}, Host="other.internal:8080")).json()
        assert made["link"] == f"https://logs.example.com/link#{made['token']}"
    async with closed_service(NATSTREAM_CLIENT_HEADER="Fly-Client-IP") as service:
        made = (await ask(service, {"query": "app=web"}, Host="my.internal:8080")).json()
        assert made["link"] == f"http://my.internal:8080/link#{made['token']}"
        behind_tls = {"Host": "logs.example.com", "X-Forwarded-Proto": "https"}
        made = (await ask(service, {"query": "app=web"}, **behind_tls)).json()
        assert made["link"] == f"https://logs.example.com/link#{made['token']}"


async def test_a_link_ends_with_the_token_that_signed_it() -> None:
    """The first token of the settings signs, whichever token its maker holds."""
    async with closed_service(NATSTREAM_TOKEN=f"{TOKEN},another-long-token") as service:
        answer = await ask(service, {"query": "app=web"}, **bearer("another-long-token"))
        assert keyring().read(answer.json()["token"]) is not None
        assert answer.headers["Cache-Control"].startswith("no-cache, no-store")
        assert (await service.get("/api/links", headers=bearer())).status_code == 405
