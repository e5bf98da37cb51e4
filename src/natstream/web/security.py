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
from natstream.server.request_checks import NOT_STORED, SECURITY_HEADERS, cors_headers
from natstream.web.errors import nothing, refusal

__all__ = ["READABLE", "add_security", "is_cross_site", "refuse_other_site"]

# The endpoints that pages of other origins and holders of scoped links may read: the log lines,
# their counts, patterns, fields and machines, earlier lines, and the state of the service.
READABLE = frozenset({"logs", "counts", "earlier", "fields", "kinds", "machine", "status"})

PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    # Libraries add the others, for example eventsource 2 adds Cache-Control.
    "Access-Control-Allow-Headers": (
        "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-Requested-With"
    ),
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
    async def answer_preflight() -> Response | None:
        # A browser sends a preflight request without credentials, so it must get its answer before
        # they are checked. The other checks come later too, because a page that gets no answer to
        # the preflight cannot read the sentence with which its request is refused.
        preflight = (
            request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )
        if not (preflight and settings.cors_origins and request.path.startswith("/api/")):
            return None
        response = nothing()
        response.headers.update(PREFLIGHT_HEADERS)
        return response

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

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", NOT_STORED)
        if response.status_code == 204:
            response.headers.pop("Content-Length", None)  # RFC 9110, 8.6
        # A page of another origin may read every error, so that it can show the sentence.
        if (
            request.endpoint in READABLE
            or request.method == "OPTIONS"
            or response.status_code >= 400
        ):
            origin = request.headers.get("Origin", "")
            response.headers.update(cors_headers(settings.cors_origins, request.path, origin))
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


def refuse_other_site(what: str, instead: str) -> Response:
    """Return the answer to a request for which `is_cross_site` is true.

    Args:
        what: the request in a word, for example `login`.
        instead: what to do on the page of this service, for example `log in`.
    """
    if "Sec-Fetch-Site" in request.headers:
        return refusal(
            403,
            f"This {what} came from a page of another site, so it was refused. "
            f"Open the page of this service and {instead} there.",
        )
    # Browsers send Sec-Fetch-Site over https and to localhost only. Over plain http, a proxy that
    # rewrites the Host header makes our own page look like another site.
    return refusal(
        403,
        f"This {what} was refused, because its page has another address than the Host header says. "
        "If this is the page of this service, then a proxy has changed the header: set the proxy "
        "to pass it on (nginx: proxy_set_header Host $http_host), or add the name of the page to "
        "NATSTREAM_HOSTS.",
    )


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
