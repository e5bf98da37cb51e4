"""Requests as clients and proxies send them: odd names, odd bytes, and the answers' headers."""

from __future__ import annotations

import json

import pytest
from tests.support.closed import TOKEN, bearer, closed_service, log_in
from tests.support.payloads import sent
from tests.support.service import exchange, open_service

ENDPOINTS = {
    "/api/logs?follow=false": 200,
    "/api/facets?app=web": 200,
    "/api/fields?app=web": 200,
    "/api/raw?id=x": 404,
    "/api/machine?id=x": 404,
}


@pytest.mark.parametrize(("path", "status"), ENDPOINTS.items())
async def test_every_endpoint_reads_its_parameters_alike(path: str, status: int) -> None:
    """Each endpoint passes over parameters against caches, and refuses bytes that are not UTF-8."""
    async with closed_service() as service:
        answer = await service.get(path, headers=bearer())
        cached = await service.get(f"{path}&_=17&_t=18", headers=bearer())
        assert answer.status_code == cached.status_code == status
        for name in ("q", "_"):
            answer = await service.get(f"{path}&{name}=caf%E9", headers=bearer())
            assert answer.status_code == 400, name
            assert answer.json()["parameter"] == name
            assert "UTF-8" in answer.json()["error"]


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId", "Last-Event-ID"])
async def test_a_reader_resumes_by_the_name_that_its_library_uses(name: str) -> None:
    """A stream resumes after the id of the query, and after the header's if both are given."""
    async with open_service() as service:
        service.service.core.hub.publish_nowait([sent(message=str(n)) for n in range(5)])
        async with service.stream("?tail=5") as stream:
            ids = [event.id for event in await stream.lines(5)]
        query = f"?follow=false&{name}={ids[0]}&{name}={ids[2]}"
        async with service.stream(query) as stream:
            assert [event.message for event in await stream.lines(2)] == ["3", "4"]
        async with service.stream(query, {"Last-Event-ID": ids[1]}) as stream:
            assert [event.message for event in await stream.lines(3)] == ["2", "3", "4"]


@pytest.mark.parametrize("query", ["café", "caf%C3%A9", "CAF%c3%89"])
async def test_a_query_may_have_text_as_it_is_typed(query: str) -> None:
    """`curl '…?q=café'` finds what `?q=caf%C3%A9` finds."""
    async with open_service() as service:
        service.service.core.hub.publish_nowait([sent(message="Das Café"), sent(message="caf")])
        path = f"/api/logs?follow=false&format=text&q={query}"
        head, body = await exchange(
            service, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert " 200 " in head
        assert "Das Café" in body
        assert body.count("caf") == 0


GETS = ["/", "/link", "/static/js/link.js", "/healthz", "/readyz", "/metrics", "/nowhere",
        "/api/logs", "/api/logs?format=text", "/api/logs?format=ndjson&follow=false",
        "/api/logs?around={id}", "/api/logs?x=1", "/api/facets", "/api/fields", "/api/raw?id={id}",
        "/api/status", "/api//logs", "/api/login"]  # fmt: skip


@pytest.mark.parametrize("path", GETS)
async def test_a_head_request_gets_the_headers_that_get_gets(path: str) -> None:
    """HEAD has a Content-Length only where GET has one, and the same status and headers."""
    async with open_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait([sent(message="a line")])
        async with service.stream("?tail=1") as stream:
            [line] = await stream.lines(1)
        url = service.url + path.format(id=line.id)
        async with service.client.stream("GET", url) as get:
            head = await service.client.head(url)
            assert head.status_code == get.status_code
            assert head.content == b""
            assert list(head.headers) == list(get.headers)
            for name in ("Content-Type", "Cache-Control", "Transfer-Encoding"):
                assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize(
    "path",
    ["//", "///", "//evil.example", "//evil.example/..", "/api/logs/", "/link/", "/static",
     "/static/", "/static//js", "/api", "/healthz/", "/.", "/..", "/static/js", "/%2f/"],
)  # fmt: skip
async def test_nothing_redirects(path: str) -> None:
    """No answer leads elsewhere: behind TLS, an address made here would begin with http://."""
    forwarded = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: logs.example\r\n"
    async with closed_service(NATSTREAM_CLIENT_HEADER="X-Forwarded-For") as service:
        head, body = await exchange(
            service, f"GET {path} HTTP/1.0\r\nHost: logs.example\r\n{forwarded}\r\n"
        )
        assert head.startswith(("HTTP/1.1 404 ", "HTTP/1.1 401 "))
        assert "location:" not in head.lower()
        assert list(json.loads(body)) == ["error"]


@pytest.mark.parametrize("path", ["/api/login", "/api/logout"])
async def test_a_proxy_that_rewrites_the_host_is_told_of(path: str) -> None:
    """Where the browser names no site, the refusal says what to set at the proxy."""
    async with closed_service() as service:
        own, rewritten = {"Origin": "http://logs.example"}, {"Host": "127.0.0.1:8080"}
        for headers, refused, says in (
            (own | rewritten, True, "proxy_set_header Host $http_host"),
            (own | {"Host": "logs.example"}, False, ""),
            (own | rewritten | {"Sec-Fetch-Site": "same-origin"}, False, ""),
            (own | rewritten | {"Sec-Fetch-Site": "same-site"}, True, "another site"),
            (own | {"Host": "logs.example", "Sec-Fetch-Site": "cross-site"}, True, "another site"),
        ):
            answer = await service.client.post(
                service.url + path, json={"token": TOKEN}, headers=headers
            )
            assert answer.status_code == (403 if refused else 204), headers
            if refused:
                assert says in answer.json()["error"]


async def test_a_page_behind_a_proxy_can_be_named_in_the_settings() -> None:
    """A login whose page has a configured name is accepted, although a proxy rewrites the Host."""
    async with closed_service(NATSTREAM_HOSTS="logs.example,127.0.0.1") as service:
        answer = await log_in(service, headers={"Origin": "http://logs.example"})
        assert answer.status_code == 204
