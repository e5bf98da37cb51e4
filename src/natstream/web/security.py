"""What browsers are told about every answer, and which requests of other sites are heard.

Security headers on everything, errors and files included. The `Host` header where names are
configured: else a site that lets its own name resolve to this address (DNS rebinding) reads as
if it were this one. Other origins may read the API if they are configured (CORS), and may never
log in or out.
"""

from __future__ import annotations

from quart import Quart, Response, request

from natstream.config.settings import Settings
from natstream.server.request_checks import SECURITY_HEADERS
from natstream.web.errors import nothing, refusal

__all__ = ["READABLE", "guard", "is_cross_site"]

# What pages of other origins may read, and holders of scoped links: log lines, and what is
# counted or told about them.
READABLE = frozenset({"logs", "counts", "status"})

PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, Last-Event-ID",
    # Seconds. Taking an origin out of the settings should show soon.
    "Access-Control-Max-Age": "600",
}


def guard(app: Quart, settings: Settings) -> None:
    """Watch over all requests of `app`. First of all: what it refuses, nobody else sees."""

    @app.before_request
    async def check_host() -> Response | None:
        # Health checks come by address, and learn nothing.
        if not settings.hosts or request.endpoint == "healthz":
            return None
        if _hostname(request.host) in settings.hosts:
            return None
        return refusal(421, "This name is not served here; NATSTREAM_HOSTS has those that are.")

    @app.before_request
    async def answer_preflight() -> Response | None:
        # Browsers ask without credentials, so before these are looked at.
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not (asks and settings.cors_origins and request.path.startswith("/api/")):
            return None
        response = _share(nothing(), settings)
        response.headers.update(PREFLIGHT_HEADERS)
        return response

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        # A cache that is shared must not keep what one reader may see.
        response.headers.setdefault("Cache-Control", "no-store")
        if settings.cors_origins and request.endpoint in READABLE:
            _share(response, settings)
        return response


def is_cross_site(settings: Settings) -> bool:
    """Whether a page of another site sends this request, as far as the browser tells."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return False  # no browser
    host = origin.lower().partition("://")[2]
    # A proxy may have changed the Host, but not what is configured.
    return host != request.host.lower() and _hostname(host) not in settings.hosts


def _share(response: Response, settings: Settings) -> Response:
    """Let pages of the configured origins read the answer."""
    response.vary.add("Origin")
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    origin = request.headers.get("Origin", "").lower()
    if settings.cors_origins == ("*",):
        response.headers["Access-Control-Allow-Origin"] = "*"
    elif origin in settings.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


def _hostname(host: str) -> str:
    """A `Host` header's value without its port."""
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()
