"""Rules for paths in a proxy: nginx and HAProxy in front of the real service, and real attacks.

Each proxy denies `/metrics`, and passes everything else, with the settings for WebSockets that many
operators copy. An attack tries to get the metrics through it. Each of them has worked against some
pair of proxy and server: another spelling of the path, a change of the protocol, or a request that
is hidden in the body of another one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from tests.support.proxies import NGINX, open_proxy
from tests.support.service import open_service
from tests.support.waiting import until

SERVER = """
    location /metrics {{ return 403; }}
    location / {{
      proxy_pass http://127.0.0.1:{backend};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_request_buffering off;
    }}
"""
# With `option accept-invalid-http-request`, HAProxy passes on more than it should.
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
frontend page
  bind 127.0.0.1:{port}
  option accept-invalid-http-request
  http-request deny deny_status 403 if {{ path_beg /metrics }}
  default_backend natstream
backend natstream
  option accept-invalid-http-response
  server one 127.0.0.1:{backend}
"""
PROXIES = {"nginx": NGINX.replace("{server}", SERVER), "haproxy": HAPROXY}

SECRET = b"natstream_build_info"
"""This is in an answer of /metrics, and in no other answer."""

HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
WEBSOCKET = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
H2C = b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"

SPELLINGS = r"""
/metrics /metrics/ /metrics?x /%6detrics /m%65trics //metrics ///metrics /./metrics /x/../metrics
/x/..%2fmetrics /x/%2e%2e/metrics /%2e/metrics /%2fmetrics /metrics%2f /;/metrics /metrics;x
/METRICS /.//metrics /x//../metrics /%2f%2fmetrics /%25%36%64etrics \metrics /\metrics
http://localhost/metrics http://localhost//metrics http://localhost/%6detrics
HTTP://localhost/metrics http://x@localhost/metrics metrics ?/metrics /metrics#x /#/../metrics
/static/../metrics /static/%2e%2e/metrics /static/..%252fmetrics x:metrics x:/metrics //x/metrics
"""


def post(headers: bytes, body: bytes) -> bytes:
    return b"POST /api/login HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n" + body


def hidden_in_bodies() -> dict[str, bytes]:
    """Return requests whose body's end a proxy and a server may see in different places."""
    chunked = b"0\r\n\r\n" + HIDDEN
    length = b"Content-Length: %d\r\n" % len(chunked)
    wholly = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    encodings = (b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked",
                 b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: xchunked",
                 b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
                 b"Transfer-Encoding: Chunked", b"Transfer-Encoding:chunked ",
                 b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
                 b"X: y\r\n Transfer-Encoding: chunked", b"Transfer-Encoding\r\n : chunked",
                 b"X: y\nTransfer-Encoding: chunked", b"Transfer_Encoding: chunked",
                 b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: chunk")  # fmt: skip
    both = {f"{encoding!r} and a length": post(length + encoding + b"\r\n", chunked)
            for encoding in encodings}  # fmt: skip
    return both | {
        "two lengths": post(b"Content-Length: 0\r\n" + length, chunked),
        "two lengths in one": post(b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
        "a signed length": post(b"Content-Length: +0\r\n", HIDDEN),
        "a length in another base": post(b"Content-Length: 0x0\r\n", HIDDEN),
        "an underscore": post(b"Content-Length: 0_0\r\n", HIDDEN),
        "a negative length": post(b"Content-Length: -1\r\n", HIDDEN),
        "a chunk": post(b"Transfer-Encoding: chunked\r\n", wholly),
        "a chunk with an odd size": post(b"Transfer-Encoding: chunked\r\n", b"0x" + wholly),
        "an overflow": post(b"Transfer-Encoding: chunked\r\n", b"10000000000000000\r\n" + HIDDEN),
        "a chunk's extension": post(
            b"Transfer-Encoding: chunked\r\n", b"0;\n\r\n" + HIDDEN + b"0\r\n\r\n"
        ),
        "bare line feeds": post(b"Transfer-Encoding: chunked\r\n", b"0\n\n" + HIDDEN),
        "a trailer": post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX: y\n\n" + HIDDEN),
        "a body of GET": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + length + b"\r\n" + chunked,
        "a permission": post(b"Expect: 100-continue\r\n" + length, chunked),
        "HTTP/1.0": b"POST /api/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
        "a header's line break": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\n\n" + HIDDEN,
    }


def changes_of_protocol() -> dict[str, bytes]:
    """Return requests after which a proxy might pass on all bytes unseen."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade%b\r\nUpgrade: %b\r\n"
    upgrades = {
        "h2c": head % (b", HTTP2-Settings", b"h2c") + H2C,
        "h2c in a list": head % (b"", b"h2c, foo"),
        "a WebSocket": head % (b"", b"websocket") + WEBSOCKET,
        "a WebSocket of another version": head % (b"", b"websocket")
        + WEBSOCKET.replace(b"3", b"9"),
        "a foreign protocol": head % (b"", b"foo"),
    }
    tunnels = {
        f"{name} with {what}": upgrade + b"\r\n" + bytes_
        for name, upgrade in upgrades.items()
        for what, bytes_ in (("a request", HIDDEN), ("HTTP/2", PREFACE + HIDDEN))
    }
    return tunnels | {
        "HTTP/2 at once": PREFACE + HIDDEN,
        "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    }


ATTACKS = {
    f"the path {path}": f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for path in SPELLINGS.split()
} | hidden_in_bodies() | changes_of_protocol()  # fmt: skip


async def exchange(port: int, sent: bytes) -> bytes:
    """Send an attack and then a harmless request, and return all that comes back for a while.

    The answer to a hidden request would come in place of the one to the harmless request.
    """
    received = b""
    with trio.move_on_after(1.5):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(sent)
                await trio.sleep(0.1)
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while data := await stream.receive_some():
                    received += data
            except trio.BrokenResourceError:
                pass
    return received


@pytest.mark.parametrize("name", PROXIES)
async def test_rules_for_paths_cannot_be_passed(name: str, tmp_path: Path) -> None:
    """No spelling, hidden request or change of protocol gets a denied path through the proxy."""
    passed: list[str] = []
    got: dict[str, bytes] = {}
    async with (
        open_service() as service,
        open_proxy(name, PROXIES[name], tmp_path, backend=service.service.bind.port) as port,
    ):
        assert SECRET in await exchange(service.service.bind.port, HIDDEN)
        assert b" 403 " in await exchange(port, HIDDEN)
        assert b'{"status":"ok"}' in await exchange(port, b"")

        async def attack(attack: str) -> None:
            got[attack] = await exchange(port, ATTACKS[attack])
            if SECRET in got[attack]:
                passed.append(attack)

        async with trio.open_nursery() as nursery:
            for number, each in enumerate(ATTACKS):
                nursery.start_soon(attack, each)
                if number % 20 == 0:
                    await until(lambda: len(nursery.child_tasks) < 10)
        # The service is unharmed, and most attacks got an answer, so that they were real.
        assert SECRET in await exchange(service.service.bind.port, HIDDEN)
    assert passed == []
    assert sum(bool(answer) for answer in got.values()) > len(ATTACKS) / 2
    assert not any(b" 500 " in answer or b" 101 " in answer for answer in got.values())
