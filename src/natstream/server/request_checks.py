"""Requests that reach no application, and what they are told. Pure.

In: the head of a request over HTTP/1.1. Out: nothing, or a `Refused`, which knows
its own answer: JSON, `{"error": …}`, with the headers that all our answers carry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

__all__ = ["SECURITY_HEADERS", "Headers", "Refused", "check_head"]

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


# HTTP/2's preface is a request of HTTP/1.1's form, `PRI * HTTP/2.0`, so that old servers refuse it.
ONLY_HTTP_1 = (
    "natstream speaks HTTP/1.1 only, and no HTTP/2 in clear text. "
    "Set the proxy or the client that sent this request to HTTP/1.1."
)

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


class Refused(Exception):
    """The client's, or nobody's: a request that gets this answer in place of the application's."""

    def __init__(
        self, status: int, sentence: str = "", *, retry_after: int = 0, bodiless: bool = False
    ) -> None:
        self.status = status
        self._phrase = _PHRASES.get(status, "Refused")
        super().__init__(sentence or f"{self._phrase}.")
        self._retry_after = retry_after
        self.body = b"" if bodiless else json.dumps({"error": str(self)}).encode() + b"\n"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """In lower case, as ASGI and hypercorn want them."""
        headers = SECURITY_HEADERS | {
            "Cache-Control": "no-store",
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
        }
        if self._retry_after:
            headers["Retry-After"] = str(self._retry_after)
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    @property
    def message(self) -> bytes:
        """All of an answer of HTTP/1.1, after which the connection is closed."""
        lines = [b"%b: %b" % header for header in self.headers]
        status = f"HTTP/1.1 {self.status} {self._phrase}".encode()
        return b"\r\n".join([status, b"connection: close", *lines, b"", self.body])


def check_head(
    method: bytes, target: bytes, headers: Headers, *, http_version: bytes, limit: int
) -> None:
    """Whether a request can be given to the application.

    Args:
        method: as sent.
        target: what it asks for, path and query.
        headers: names in lower case.
        http_version: as sent, `1.1`.
        limit: bytes of all of it.

    Raises:
        Refused: it cannot.
    """
    headers = tuple(headers)

    def refused(status: int, sentence: str) -> Refused:
        return Refused(status, sentence, bodiless=method == b"HEAD")

    if not http_version.startswith(b"1."):
        raise refused(505, ONLY_HTTP_1)
    size = len(method) + len(target) + sum(len(n) + len(v) + 4 for n, v in headers)
    if size > limit:
        raise refused(431, f"The request line and the headers may have {limit:,} bytes.")
    names = {name for name, _ in headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        # A proxy in front may have believed the other one: then what follows is not its request.
        raise refused(400, "A body has Content-Length or Transfer-Encoding, not both.")
    # hypercorn's own reading of that header.
    upgrades = [v.decode("latin-1").strip().lower() for n, v in headers if n == b"upgrade"]
    if method.upper() == b"CONNECT" or "websocket" in upgrades:
        raise refused(400, "There are no WebSockets and no tunnels here.")
    if not _is_target(target):
        raise refused(400, "This is not an address.")


def _is_target(target: bytes) -> bool:
    """Whether a path can be made of it."""
    path = target.partition(b"?")[0]
    if not path or not path.isascii():
        return False
    try:
        # As Quart does, which would fail.
        return path.startswith(b"/") or bool(urlsplit(unquote(path.decode())).path)
    except ValueError:
        return False
