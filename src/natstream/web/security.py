"""Security headers, host names, and requests from other sites.

Every answer carries the security headers, also errors and files. If host names are configured,
the `Host` header must be one of them. Otherwise another site could let its own name resolve to
our address (DNS rebinding), and the browser would treat it as this service. Pages of other
origins may read the API if the settings name them (CORS), but they can never log in or out.
"""

from __future__ import annotations

from quart import Quart, Response, request

from natstream.config.settings import Settings
from natstream.server.request_checks import SECURITY_HEADERS
from natstream.web.errors import nothing, refusal

__all__ = ["READABLE", "add_security", "is_cross_site"]

# The endpoints that pages of other origins and holders of scoped links may read: the log lines,
# their counts, fields and machines, earlier lines, and the state of the service.
READABLE = frozenset({"logs", "counts", "earlier", "fields", "machine", "status"})

PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, Last-Event-ID",
    # Seconds. It is short, so that removing an origin from the settings takes effect soon.
    "Access-Control-Max-Age": "600",
}


def add_security(app: Quart, settings: Settings) -> None:
    """Check the host name and the origin of all requests of `app`, and add the headers.

    Call this before any other handler is added, so that these checks run first.
    """

    @app.before_request
    async def check_host() -> Response | None:
        # Health checks use an IP address instead of a name, and their answer holds no data.
        if not settings.hosts or request.endpoint == "healthz":
            return None
        if _hostname(request.host) in settings.hosts:
            return None
        return refusal(
            421,
            "This service does not answer under this host name. "
            "Use one of its names, or ask the operator to add this name to NATSTREAM_HOSTS.",
        )

    @app.before_request
    async def answer_preflight() -> Response | None:
        # A browser sends a preflight request without credentials, so it must get its answer before
        # credentials are checked.
        preflight = (
            request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )
        if not (preflight and settings.cors_origins and request.path.startswith("/api/")):
            return None
        response = _allow_origin(nothing(), settings)
        response.headers.update(PREFLIGHT_HEADERS)
        return response

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        # A shared cache must not store the answers, because each reader may see different lines.
        response.headers.setdefault("Cache-Control", "no-store")
        if settings.cors_origins and request.endpoint in READABLE:
            _allow_origin(response, settings)
        return response


def is_cross_site(settings: Settings) -> bool:
    """Return whether a page of another site sends this request, by the browser's headers."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return False  # The client is not a browser.
    host = origin.lower().partition("://")[2]
    # A proxy may have changed the Host header, so a configured name counts as ours as well.
    return host != request.host.lower() and _hostname(host) not in settings.hosts


def _allow_origin(response: Response, settings: Settings) -> Response:
    """Return the answer with the headers that let pages of the configured origins read it."""
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
    """Return the value of a `Host` header without its port."""
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdecimal() else host.lower()
