"""Proxies in front of a real service, as docs/deploy.md configures them.

The configurations are read from that page, so that an operator who copies one gets what the tests
have seen. Only its addresses are replaced.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest
import trio
from tests.support.closed import TOKEN, bearer
from tests.support.payloads import sent
from tests.support.proxies import NGINX, open_proxy
from tests.support.service import RunningService, Stream, open_service
from tests.support.waiting import PATIENCE, seconds_until

from natstream.config.settings import Settings

FOLDER = Path(__file__).parent
PAGE = (FOLDER.parents[1] / "docs/deploy.md").read_text()

# Seconds after which a proxy ends a silent response: nginx's default, and the page's for HAProxy.
# The tests use a proxy and keep-alives that are both faster in the same proportion.
PROXY_TIMEOUT, FASTER = 60, 15


def shown(language: str) -> str:
    """Return the configuration that the page shows for a proxy, for `open_proxy`."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text).replace("{", "{{").replace("}", "}}")


def nginx() -> str:
    text = shown("nginx").replace("http://127.0.0.1:8080", "http://127.0.0.1:{backend}")
    fast = f"proxy_read_timeout {PROXY_TIMEOUT // FASTER}s; gzip on; gzip_types *;"
    return NGINX.replace("{server}", f"{fast}\n{text}")


def haproxy() -> str:
    text = shown("haproxy").replace("127.0.0.1:8080", "127.0.0.1:{backend}")
    text = re.sub(r"bind .*", "bind 127.0.0.1:{port}", text)
    return text.replace(f"{PROXY_TIMEOUT}s", f"{PROXY_TIMEOUT // FASTER}s")


def caddy() -> str:
    text = shown("caddy").replace("127.0.0.1:8080", "127.0.0.1:{backend}")
    text = text.replace("logs.example.com", "http://127.0.0.1:{port}")
    return "{{\n admin off\n auto_https off\n}}\n" + text


def node() -> str:
    text = shown("js").replace("http://127.0.0.1:8080", "http://127.0.0.1:{backend}")
    text = text.replace("listen(8000)", "listen({port}, '127.0.0.1')")
    for name in ("compression", "http-proxy"):
        text = text.replace(f"'{name}'", f"'{FOLDER}/node_modules/{name}/index.js'")
    return text


CONFIGURATIONS = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "node": node}


@attrs.frozen
class Front:
    """A proxy that runs, and the service behind it."""

    service: RunningService
    url: str

    @asynccontextmanager
    async def stream(self, query: str = "") -> AsyncIterator[Stream]:
        """Open a stream through the proxy, as a browser that takes compressed answers."""
        async with self.service.client.stream(
            "GET",
            f"{self.url}/api/logs{query}",
            headers=bearer() | {"Accept-Encoding": "gzip", "Accept": "text/event-stream"},
        ) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(response)
            with trio.fail_after(PATIENCE):
                assert (await stream.next()).message == "Connected to log stream"
            yield stream

    async def get(self, path: str) -> httpx.Response:
        """Send a GET request through the proxy."""
        return await self.service.client.get(self.url + path, headers=bearer())

    def say(self, message: str) -> None:
        """Publish a line."""
        self.service.service.core.hub.publish_nowait([sent(message=message)])


@asynccontextmanager
async def open_front(
    name: str, directory: Path, configuration: str = "", *, keepalive: float = PATIENCE
) -> AsyncIterator[Front]:
    """Run a service and a proxy in front of it, as the page shows it."""
    if name == "node" and not (FOLDER / "node_modules").is_dir():
        pytest.skip("there is no http-proxy: run `npm ci` in tests/proxies")
    async with open_service(NATSTREAM_TOKEN=TOKEN, NATSTREAM_KEEPALIVE=f"{keepalive:g}") as service:
        configuration = configuration or CONFIGURATIONS[name]()
        backend = service.service.bind.port
        async with open_proxy(name, configuration, directory, backend=backend) as port:
            yield Front(service, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_lines_come_at_once(name: str, tmp_path: Path) -> None:
    """A line passes the proxy without waiting for the next one, in each format."""
    async with open_front(name, tmp_path) as front, front.stream() as stream:
        for number in range(5):
            front.say(f"line {number} – café")
            with trio.fail_after(PATIENCE / 2):  # no keep-alive has pushed it
                assert (await stream.next()).message == f"line {number} – café"
        for format in ("text", "ndjson"):
            address = f"{front.url}/api/logs?format={format}"
            headers = bearer() | {"Accept-Encoding": "gzip"}
            async with front.service.client.stream("GET", address, headers=headers) as response:
                text = ""
                with trio.fail_after(PATIENCE / 2):
                    async for part in response.aiter_text():
                        text += part
                        if "Connected" in text and "one more" not in text:
                            front.say("one more")
                        if "one more" in text:
                            break


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_reader_that_leaves_is_gone_within_a_second(name: str, tmp_path: Path) -> None:
    """The service notices within a second that a reader behind the proxy has left."""
    async with open_front(name, tmp_path) as front:
        hub = front.service.service.core.hub
        async with front.stream():
            assert hub.statistics().readers == 1
        assert await seconds_until(lambda: hub.statistics().readers == 0) < 1


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_errors_arrive_as_json(name: str, tmp_path: Path) -> None:
    """The proxy passes on the sentence of each error, and its headers."""
    async with open_front(name, tmp_path) as front:
        for path, status in (
            ("/api/logs?tial=1", 400),
            ("/api/logs?q=%FF", 400),
            ("/nowhere", 404),
            ("/api/raw?id=x", 404),
        ):
            answer = await front.get(path)
            assert (answer.status_code, "error" in answer.json()) == (status, True), path
        answer = await front.service.client.get(f"{front.url}/api/status")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        answer = await front.get("/api/status")
        assert answer.headers["Cache-Control"] == "no-cache, no-store, no-transform"


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_keep_alives_are_enough_for_the_time_outs_of_proxies(
    name: str, tmp_path: Path
) -> None:
    """A silent stream outlives the time-out of the proxy, as it does with the default settings."""
    default = Settings().keepalive
    assert default * 2 < PROXY_TIMEOUT
    async with (
        open_front(name, tmp_path, keepalive=default / FASTER) as front,
        front.stream() as stream,
    ):
        await trio.sleep(PROXY_TIMEOUT / FASTER * 1.6)
        front.say("still here")
        await stream.until("still here")


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_the_page_can_log_in(name: str, tmp_path: Path) -> None:
    """A login over plain http passes, because the proxy leaves the Host header as it is."""
    async with open_front(name, tmp_path) as front:
        login = await front.service.client.post(
            f"{front.url}/api/login", json={"token": TOKEN}, headers={"Origin": front.url}
        )
        assert login.status_code == 204, login.text


async def test_nginx_as_it_comes_is_told_what_to_set(tmp_path: Path) -> None:
    """nginx rewrites the Host header by default, and the refusal of the login says what to set."""
    bare = "location / {{ proxy_pass http://127.0.0.1:{backend}; }}"
    async with open_front("nginx", tmp_path, NGINX.replace("{server}", bare)) as front:
        login = await front.service.client.post(
            f"{front.url}/api/login", json={"token": TOKEN}, headers={"Origin": front.url}
        )
        assert login.status_code == 403
        assert "proxy_set_header Host $http_host" in login.json()["error"]
        # Streams pass all the same, since nginx's HTTP/1.0 has no chunks.
        async with front.stream() as stream:
            front.say("a line")
            await stream.until("a line")
