"""Security headers, host names, and requests from other sites."""

from __future__ import annotations

import pytest
import trio
from tests.support.closed import bearer, closed_service
from tests.support.service import open_service
from tests.support.waiting import PATIENCE

from natstream.server.request_checks import SECURITY_HEADERS


async def test_every_answer_carries_the_security_headers() -> None:
    """Every answer has the security headers, also errors, files and streams."""
    async with closed_service() as service:
        paths = ["/", "/link", "/static/js/link.js", "/healthz", "/nowhere", "/api/status",
                 "/api/facets?x=1", "/metrics", "/readyz", "/static/nothing"]  # fmt: skip
        for path in paths:
            for headers in ({}, bearer()):
                response = await service.get(path, headers=headers)
                for name in SECURITY_HEADERS:
                    assert name in response.headers, (path, name)
                assert response.headers["Cache-Control"] in ("no-store", "no-cache"), path
        async with service.stream(headers=bearer()) as stream:
            assert stream.response.headers["X-Content-Type-Options"] == "nosniff"
        response = await service.client.put(f"{service.url}/api/logs", headers=bearer())
        assert response.status_code == 405
        assert "Content-Security-Policy" in response.headers


async def test_a_crash_is_answered_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash gives a 500 in JSON with all headers, and only the log has the reason."""

    def fail(*_: object) -> None:
        raise RuntimeError("zebra reason")

    async with closed_service(may_fail=True) as service:
        monkeypatch.setattr("natstream.web.app._status", fail)
        response = await service.get("/api/status", headers=bearer())
        assert response.status_code == 500
        assert "zebra" not in response.text
        assert list(response.json()) == ["error"]
        assert "Content-Security-Policy" in response.headers


async def test_no_other_origin_reads_by_default() -> None:
    """By default there is no CORS header, and a preflight request is refused."""
    async with closed_service() as service:
        headers = {"Origin": "https://other.example"}
        response = await service.get("/api/status", headers={**headers, **bearer()})
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control")]
        preflight = {**headers, "Access-Control-Request-Method": "GET"}
        response = await service.client.options(f"{service.url}/api/logs", headers=preflight)
        assert response.status_code == 401
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_configured_origins_read() -> None:
    """The configured origins may read with credentials, and they may read errors as well."""
    async with closed_service(NATSTREAM_CORS_ORIGINS="https://one.example") as service:
        for headers, status in (({}, 401), (bearer(), 200)):
            for origin, allowed in (
                ("https://one.example", True),
                ("https://one.example.evil", False),
                ("http://one.example", False),
                ("null", False),
            ):
                response = await service.get("/api/status", headers={"Origin": origin, **headers})
                assert response.status_code == status
                assert response.headers["Vary"] == "Origin"
                assert response.headers.get("Access-Control-Allow-Origin") == (
                    origin if allowed else None
                )
                assert ("Access-Control-Allow-Credentials" in response.headers) is allowed
        for path in ("/api/logs", "/api/facets", "/api/status"):
            response = await service.client.options(
                f"{service.url}{path}",
                headers={
                    "Origin": "https://one.example",
                    "Access-Control-Request-Method": "GET",
                    "Access-Control-Request-Headers": "authorization",
                },
            )
            assert response.status_code == 204
            assert response.headers["Access-Control-Allow-Origin"] == "https://one.example"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        for path in ("/metrics", "/readyz", "/healthz", "/"):
            response = await service.get(
                path, headers={"Origin": "https://one.example", **bearer()}
            )
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_star_never_comes_with_credentials() -> None:
    """With `*`, any page may read without credentials, or with a token of its own."""
    async with closed_service(NATSTREAM_CORS_ORIGINS="*") as service:
        response = await service.get(
            "/api/status", headers={"Origin": "https://x.example", **bearer()}
        )
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_only_configured_names_are_served() -> None:
    """A name that is not configured gets a 421, except for a health check."""
    async with open_service(NATSTREAM_HOSTS="logs.example,[::1]") as service:
        for host, status in (
            ("logs.example", 200),
            ("LOGS.example:8080", 200),
            ("[::1]:8080", 200),
            ("evil.example", 421),
            ("logs.example.evil", 421),
            ("evil.example:logs.example", 421),
            ("127.0.0.1:8080", 421),
        ):
            for path in ("/", "/api/status", "/static/js/link.js"):
                response = await service.get(path, headers={"Host": host})
                assert response.status_code == status, (host, path)
            assert (await service.get("/healthz", headers={"Host": host})).status_code == 200
        stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
        async with stream:
            await stream.send_all(b"GET /api/status HTTP/1.0\r\n\r\n")
            assert b" 421 " in await stream.receive_some()


async def test_a_websocket_is_refused() -> None:
    """A request for a WebSocket is refused, so that it cannot avoid the checks."""
    async with closed_service() as service:
        stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
        async with stream:
            await stream.send_all(
                b"GET /api/logs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            with trio.fail_after(PATIENCE):
                answer = await stream.receive_some()
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
