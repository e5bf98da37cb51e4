"""Requests that must not reach an application, and their answers. Pure.

In: the head of a request over HTTP/1.1. Out: nothing, or a `Refused` that holds its own answer:
JSON, `{"error": …}`, with the headers that all our answers carry. If a page of another origin may
read the answer, `cors_headers` says so to its browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Container, Iterable, Mapping
from ipaddress import IPv6Address
from urllib.parse import unquote, urlsplit

__all__ = [
    "NOT_STORED",
    "SECURITY_HEADERS",
    "Refused",
    "check_framing",
    "check_head",
    "check_version",
    "cors_headers",
]

Headers = Iterable[tuple[bytes, bytes]]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

NOT_STORED = "no-cache, no-store, no-transform"
"""The value of `Cache-Control` for answers that may hold log lines.

No cache stores them, so that they are gone from the disk after the logout. With `no-transform`,
no proxy compresses them: HAProxy and Express would hold the lines back until a buffer is full.
"""

_PHRASES = {
    400: "Bad Request",
    404: "Not Found",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

# A host name of labels that a resolver can look up, or an IPv6 address; then perhaps a port. Quart
# 0.22 fails on other names outside of its error handlers.
_HOST = re.compile(rb"(?P<name>(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)(?::[0-9]{0,5})?", re.I)
_IPV6_HOST = re.compile(rb"\[(?P<address>[0-9a-f:.]+)\](?::[0-9]{0,5})?", re.I)
_LONGEST_HOST = 253

# Bytes of a header beside its name and value: the colon, the space and the end of its line.
_HEADER_OVERHEAD = 4


class Refused(Exception):
    """A request gets this answer in place of the application's.

    Args:
        sentence: for people; by default the status in words.
        retry_after: seconds after which the client should try again, or 0.
        bodiless: the request is a `HEAD`, so the answer has no body.
    """

    def __init__(
        self, status: int, sentence: str = "", *, retry_after: int = 0, bodiless: bool = False
    ) -> None:
        self.status = status
        self._phrase = _PHRASES.get(status, "Refused")
        super().__init__(sentence or f"{self._phrase}.")
        self._retry_after = retry_after
        body = json.dumps({"error": str(self)}).encode() + b"\n"
        self._length = len(body)
        self.body: bytes = b"" if bodiless else body
        self.cors: Mapping[str, str] = {}
        """The result of `cors_headers` for the request."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The answer's headers, in lower case, as ASGI has them."""
        headers = SECURITY_HEADERS | {
            "Cache-Control": NOT_STORED,
            "Content-Type": "application/json",
            "Content-Length": str(self._length),  # for HEAD too, as RFC 9110 (8.6) wants it
            **self.cors,
        }
        if self._retry_after:
            headers["Retry-After"] = str(self._retry_after)
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    @property
    def message(self) -> bytes:
        """The whole answer over HTTP/1.1, after which the connection is closed."""
        lines = [b"%b: %b" % header for header in self.headers]
        status = f"HTTP/1.1 {self.status} {self._phrase}".encode()
        return b"\r\n".join([status, b"connection: close", *lines, b"", self.body])


def check_head(
    method: bytes, target: bytes, headers: Headers, *, http_version: bytes, limit: int
) -> None:
    """Raise Refused if a request must not be given to the application.

    Args:
        method: as sent.
        target: the path and query, as sent.
        headers: with names in lower case.
        http_version: as sent, for example `1.1`.
        limit: bytes that the whole head may have.
    """
    check_version(http_version)
    headers = tuple(headers)

    def refused(status: int, sentence: str) -> Refused:
        return Refused(status, sentence, bodiless=method == b"HEAD")

    size = len(method) + len(target)
    size += sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
    if size > limit:
        raise refused(431, f"The request line and the headers may have {limit:,} bytes.")
    names = {name for name, _ in headers}
    check_framing(names, http_version=http_version, bodiless=method == b"HEAD")
    # The header is read as hypercorn reads it.
    upgrades = [v.decode("latin-1").strip().lower() for n, v in headers if n == b"upgrade"]
    if method.upper() == b"CONNECT" or "websocket" in upgrades:
        raise refused(400, "There are no WebSockets and no tunnels here.")
    if not _is_target(target):
        raise refused(400, "This is not an address.")
    if not all(_is_host(value) for name, value in headers if name == b"host"):
        raise refused(400, "The Host header is not a host name or an address.")


def cors_headers(origins: Collection[str], path: str, origin: str) -> dict[str, str]:
    """Return the headers with which a browser lets a page of another origin read an answer.

    Args:
        origins: those whose pages may read our API, in lower case; or only `*`.
        path: that of the request. Only the API has such headers.
        origin: the request's `Origin`, or "".
    """
    if not origins or not path.startswith("/api/"):
        return {}
    headers = {"Vary": "Origin", "Access-Control-Expose-Headers": "Retry-After"}
    if "*" in origins:
        headers["Access-Control-Allow-Origin"] = "*"
    elif origin.lower() in origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def check_framing(names: Container[bytes], *, http_version: bytes, bodiless: bool = False) -> None:
    """Raise Refused if a proxy may see another end of the body than we do, by the headers' names.

    A proxy in front may believe the other of two lengths, or know no chunks because the request is
    HTTP/1.0 (RFC 9112, 6.1). Then it takes the bytes that follow for a part of this body, and we
    would take them for a request that the proxy never checked.
    """
    if http_version == b"1.0" and b"transfer-encoding" in names:
        sentence = "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or HTTP/1.1."
        raise Refused(400, sentence, bodiless=bodiless)
    if b"content-length" in names and b"transfer-encoding" in names:
        sentence = "A body has Content-Length or Transfer-Encoding, not both."
        raise Refused(400, sentence, bodiless=bodiless)


def check_version(http_version: bytes) -> None:
    """Raise Refused if a request is not HTTP/1.

    HTTP/2 in clear text begins with `PRI * HTTP/2.0`, which has the form of a request of HTTP/1.1,
    so that a server that does not speak HTTP/2 refuses it.
    """
    if not http_version.startswith(b"1."):
        raise Refused(
            505,
            "natstream speaks HTTP/1.1 only, and no HTTP/2 in clear text. "
            "Set the proxy or the client that sent this request to HTTP/1.1.",
        )


def _is_host(value: bytes) -> bool:
    """Return whether `value` is a host name or an IP address, perhaps with a port; or empty."""
    if found := _IPV6_HOST.fullmatch(value):
        try:
            return bool(IPv6Address(found["address"].decode()))
        except ValueError:
            return False
    found = _HOST.fullmatch(value)
    return not value or (found is not None and len(found["name"]) <= _LONGEST_HOST)


def _is_target(target: bytes) -> bool:
    """Return whether the application can make a path of `target`."""
    path = target.partition(b"?")[0]
    if not path.isascii():
        return False
    if path.startswith(b"/") or path == b"*":
        return True
    # Quart 0.22 would serve `metrics` as `/metrics`, but a proxy's rule for `/metrics` does not
    # match it.
    if not path.lower().startswith((b"http://", b"https://")):
        return False
    try:
        # Quart does the same, outside of its error handlers, and fails.
        return bool(urlsplit(unquote(path.decode())).path)
    except ValueError:
        return False
