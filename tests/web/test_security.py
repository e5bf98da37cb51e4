"""Security headers, host names, and requests from other sites."""

from __future__ import annotations

import json

import pytest
import trio
from tests.support.closed import TOKEN, bearer, closed_service
from tests.support.service import exchange, open_service
from tests.support.waiting import PATIENCE

from natstream.server.request_checks import SECURITY_HEADERS

FILES = ["/", "/link", "/static/js/link.js"]


async def test_every_answer_carries_the_security_headers() -> None:
    """Every answer has the security headers, also errors, files and streams."""
    async with closed_service() as service:
        paths = [*FILES, "/healthz", "/nowhere", "/api/status", "/api/facets?x=1", "/api/facets",
                 "/api/fields", "/api/raw?id=x", "/metrics", "/readyz",
                 "/static/nothing"]  # fmt: skip
        for path in paths:
            for headers in ({}, bearer()):
                response = await service.get(path, headers=headers)
                for name in SECURITY_HEADERS:
                    assert name in response.headers, (path, name)
                is_file = path in FILES and response.status_code == 200
                expected = "no-cache" if is_file else "no-cache, no-store, no-transform"
                assert response.headers["Cache-Control"] == expected, path
        async with service.stream(headers=bearer()) as stream:
            assert stream.response.headers["X-Content-Type-Options"] == "nosniff"
            assert "no-store" in stream.response.headers["Cache-Control"]
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
            for name in ("Authorization", "Cache-Control", "Content-Type", "Last-Event-ID",
                         "X-Requested-With"):  # fmt: skip
                assert name in response.headers["Access-Control-Allow-Headers"].split(", ")
        for path in ("/metrics", "/readyz", "/healthz", "/"):
            response = await service.get(
                path, headers={"Origin": "https://one.example", **bearer()}
            )
            assert "Access-Control-Allow-Origin" not in response.headers


ORIGIN = "https://one.example"

# Requests under /api/ that are refused, each with the status of its answer. Those with an odd head
# never reach the application.
REFUSED = {
    "no token": ("GET /api/logs", "", 401),
    "a wrong token": ("GET /api/logs", "Authorization: Bearer wrong", 401),
    "a wrong parameter": ("GET /api/logs?x=1", f"Authorization: Bearer {TOKEN}", 400),
    "bytes that are not UTF-8": ("GET /api/facets?q=%FF", f"Authorization: Bearer {TOKEN}", 400),
    "nothing there": ("GET /api/nowhere", f"Authorization: Bearer {TOKEN}", 404),
    "another spelling": ("GET /api//logs", "", 404),
    "no such line": ("GET /api/raw?id=x", f"Authorization: Bearer {TOKEN}", 404),
    "another method": ("PUT /api/logs", f"Authorization: Bearer {TOKEN}", 405),
    "another host name": ("GET /api/logs", "Host: evil.example", 421),
    "a host that is none": ("GET /api/logs", "Host: a..b", 400),
    "too many headers": ("GET /api/logs", f"Cookie: {'x' * 17_000}", 431),
    "a WebSocket": ("GET /api/logs", "Upgrade: websocket", 400),
    "another site": ("POST /api/login", "Sec-Fetch-Site: cross-site", 403),
}


@pytest.mark.parametrize(("request_line", "header", "status"), REFUSED.values(), ids=REFUSED)
async def test_pages_of_configured_origins_read_every_error(
    request_line: str, header: str, status: int
) -> None:
    """Each error under /api/ has the CORS headers, so that a page can read its sentence."""
    async with closed_service(
        NATSTREAM_CORS_ORIGINS=ORIGIN, NATSTREAM_HOSTS="logs.example"
    ) as service:
        for origin, allowed in ((ORIGIN, True), ("https://other.example", False)):
            lines = [f"{request_line} HTTP/1.1", f"Origin: {origin}", header, "Connection: close"]
            if "Host" not in header:
                lines.append("Host: logs.example")
            head, body = await exchange(service, "\r\n".join([*filter(None, lines), "", ""]))
            assert head.startswith(f"HTTP/1.1 {status} ")
            assert "error" in json.loads(body)
            assert (f"\r\naccess-control-allow-origin: {origin}\r\n" in head.lower()) is allowed
            assert ("access-control-allow-credentials: true" in head.lower()) is allowed
            assert "\r\nvary: origin\r\n" in head.lower()


async def test_a_page_reads_a_crash_and_a_full_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500, and a 503 because of too many readers, have the CORS headers as well."""

    def fail(*_: object) -> None:
        raise RuntimeError

    async with closed_service(
        may_fail=True, NATSTREAM_CORS_ORIGINS="*", NATSTREAM_MAX_READERS="1"
    ) as service:
        monkeypatch.setattr("natstream.web.app._status", fail)
        async with service.stream(headers=bearer()):
            for path, status in (("/api/status", 500), ("/api/logs", 503)):
                response = await service.get(path, headers=bearer())
                assert response.status_code == status
                assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_preflight_is_answered_whatever_the_request_gets() -> None:
    """A preflight is answered under another name too, or the page could not read the 421."""
    async with closed_service(
        NATSTREAM_CORS_ORIGINS=ORIGIN, NATSTREAM_HOSTS="logs.example"
    ) as service:
        for path in ("/api/logs", "/api//logs", "/api/nowhere", "/api/raw"):
            response = await service.client.options(
                f"{service.url}{path}",
                headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"},
            )
            assert response.status_code == 204
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        # Beside the API there is nothing for pages of other origins, not even an error.
        response = await service.client.get(
            f"{service.url}/nowhere", headers={"Origin": ORIGIN, "Host": "logs.example"}
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


OURS = ["127.0.0.1:8080", "10.1.2.3", "[fdaa::3]:9091", "localhost", "LOCALHOST:1", "localhost.",
        "a.localhost:8080", "my-logs.internal", "iad.my-logs.internal:8080", "my-logs.flycast",
        "logs.example"]  # fmt: skip
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "evil-localhost",
           "internal", "127.0.0.1.evil.example", "2130706433", "xlogs.example"]  # fmt: skip


async def test_without_a_token_only_names_are_served_that_no_other_site_can_own() -> None:
    """Another site's name gets a 421 that names the setting, at the page and at the metrics."""
    async with open_service(
        NATSTREAM_PUBLIC_URL="https://Logs.Example:8443/", NATSTREAM_METRICS_BIND="127.0.0.1:0"
    ) as service:
        metrics = f"http://{service.service.metrics_bind}"
        addresses = [f"{service.url}/", f"{service.url}/api/status", f"{metrics}/metrics",
                     f"{metrics}/readyz", f"{metrics}/nowhere"]  # fmt: skip
        for hosts, is_ours in ((OURS, True), (FOREIGN, False)):
            for host in hosts:
                for address in addresses:
                    answer = await service.client.get(address, headers={"Host": host})
                    assert (answer.status_code != 421) is is_ours, (host, address)
                    if not is_ours:
                        assert "NATSTREAM_HOSTS" in answer.json()["error"]
        stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
        async with stream:
            await stream.send_all(b"GET /api/status HTTP/1.0\r\n\r\n")
            assert b" 200 " in await stream.receive_some()


async def test_with_a_token_any_name_is_served_except_at_the_metrics() -> None:
    """A token protects the page under every name, but no token protects the metrics' port."""
    async with closed_service(NATSTREAM_METRICS_BIND="127.0.0.1:0") as service:
        headers = {"Host": "evil.example"} | bearer()
        assert (await service.get("/api/status", headers=headers)).status_code == 200
        for host, status in (("evil.example", 421), ("localhost", 200)):
            answer = await service.client.get(
                f"http://{service.service.metrics_bind}/metrics", headers={"Host": host}
            )
            assert answer.status_code == status


@pytest.mark.parametrize(
    "host",
    ["a..b", ".a", "a b", "a" * 64, f"{'a.' * 127}a", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[zz]",
     "[1:2]", "é", "a%41", "\xff", "a:70000000", "evil.example:@localhost", "a\x00"],
)  # fmt: skip
async def test_a_malformed_host_is_refused(host: str) -> None:
    """A `Host` header that is no host name gets a 400 with one sentence, and no traceback."""
    async with closed_service() as service:
        stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
        async with stream:
            head = f"GET /api/status HTTP/1.1\r\nHost: {host}\r\n\r\n"
            await stream.send_all(head.encode("latin-1"))
            with trio.fail_after(PATIENCE):
                answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"error": "' in answer


@pytest.mark.parametrize(
    "host",
    ["-", "_", "xn--a", "xn--", "a-", "-a", "1", "a.", "0x7f.1", "a:", "a:0", "[::]", "[::1]:", "",
     "a" * 63, "xn--99999999999"],
)  # fmt: skip
async def test_an_odd_host_is_no_error(host: str) -> None:
    """An odd `Host` header that is a host name gets an answer other than a 500."""
    for environ in ({}, {"NATSTREAM_HOSTS": "logs.example"}):
        async with open_service(**environ) as service:
            answer = await service.get("/api/status", headers={"Host": host})
            assert answer.status_code in (200, 421)


PATHS = ["//api/status", "/api//status", "/%61pi/status", "/api%2fstatus", "/./api/status",
         "/x/../api/status", "/x/..%2fapi/status", "/api/status/", "/api/status;x", "/API/status",
         "/api/status%00", "/api\\status"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_has_one_spelling(path: str) -> None:
    """Another spelling of a path is a 404 in JSON, so that no proxy's rule can be passed by it."""
    async with open_service() as service:
        stream = await trio.open_tcp_stream(service.service.bind.host, service.service.bind.port)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            with trio.fail_after(PATIENCE):
                while part := await stream.receive_some():
                    answer += part
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]


async def test_an_answer_without_a_body_has_no_length() -> None:
    """A 204 has neither a body nor a length, and its connection can be used again."""
    async with closed_service() as service:
        response = await service.client.post(f"{service.url}/api/logout")
        assert response.status_code == 204
        assert "Content-Length" not in response.headers
        assert "Transfer-Encoding" not in response.headers
        assert (await service.get("/healthz")).status_code == 200


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
