"""Security headers, host names, paths, and requests from other sites.

Every answer carries the security headers, also errors and files. The `Host` header must be a name
of this service if its names are known, or if no token protects the answers. Otherwise another site
could let its own name resolve to our address (DNS rebinding), and the browser would treat it as
this service. Pages of other origins may read the API if the settings name them (CORS), but they can
never log in or out.

A path has one spelling only, so that a proxy's rules for paths hold for all requests.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

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


def add_security(app: Quart, settings: Settings, *, default_names: bool = False) -> None:
    """Check the path, the host name and the origin of all requests of `app`, and add the headers.

    Call this before any other handler or route is added, so that these checks run first.

    Args:
        default_names: the names that are ours without a setting are answered also if the settings
            have names, because a scraper uses the address of the machine.
    """
    names = _names(settings)
    any_name = bool(settings.tokens) and not settings.hosts
    default_names = default_names or not settings.hosts

    def is_ours(name: str) -> bool:
        return any_name or name in names or (default_names and _is_default_name(name))

    app.url_map.merge_slashes = False  # A path with `//` would be redirected, without JSON.

    @app.before_request
    async def check_path() -> Response | None:
        raw: bytes = request.scope.get("raw_path") or request.path.encode()
        path = raw if raw.startswith(b"/") else urlsplit(raw).path
        if path.startswith(b"/") and b"%" not in path and b"//" not in path and path.isascii():
            return None
        return refusal(
            404,
            "There is nothing at this address. "
            "Write its path without percent signs and without double slashes.",
        )

    @app.before_request
    async def check_host() -> Response | None:
        # Health checks use an IP address instead of a name, and their answer holds no data.
        if request.endpoint == "healthz" or is_ours(_hostname(request.host)):
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
        if response.status_code == 204:
            response.headers.pop("Content-Length", None)  # RFC 9110, 8.6
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
    return host != request.host.lower() and _hostname(host) not in _names(settings)


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


def _names(settings: Settings) -> set[str]:
    """Return the names that the settings give to this service."""
    return {*settings.hosts, settings.public_host} - {""}


def _is_default_name(name: str) -> bool:
    """Return whether a host name is ours without a setting, because no other site can own it.

    A browser sends another site's name only if that site let its name resolve to our address. A
    request without a `Host` header comes from no browser.
    """
    return (
        name in ("", "localhost")
        or name.endswith((".localhost", ".internal", ".flycast"))
        or _is_ip_address(name)
    )


def _is_ip_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _hostname(host: str) -> str:
    """Return the value of a `Host` header without its port, and without the root's final dot."""
    name, _, port = host.lower().rpartition(":")
    return (name if name and port.isdecimal() else host.lower()).removesuffix(".")
