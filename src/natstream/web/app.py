"""The web application: the page, the stream and the small JSON endpoints, on quart-trio.

It reads the hub and the sources' health, and owns neither: the supervisor makes all three.
Every answer that is not a stream or a file is JSON; errors are `{"error": …}`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from quart import Response, jsonify, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from natstream.entry import Notice
from natstream.errors import BadQuery, TooManyReaders
from natstream.facets import Facets
from natstream.health import Health, SourceState, SourceStatus
from natstream.hub import Hub
from natstream.settings import Settings
from natstream.web.auth import bearer_is_valid
from natstream.web.query import parse_filter, parse_stream_request
from natstream.web.stream import LogStreamBody

__all__ = ["create_app"]

# Nothing is ever posted to this application but a token.
MAX_BODY_BYTES = 64 * 1024

# What may be seen without a token: the page must be able to ask for one.
_OPEN_ENDPOINTS = frozenset({"page", "static", "healthz"})

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(settings: Settings, hub: Hub, health: Health, facets: Facets) -> QuartTrio:
    """The application over a hub, the health of its sources and the counts of what passed."""
    app = QuartTrio(__name__, static_folder="static", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it

    @app.before_request
    async def authenticate() -> Response | None:
        if not settings.tokens or request.endpoint in _OPEN_ENDPOINTS:
            return None
        if bearer_is_valid(request.headers.get("Authorization"), settings.tokens):
            return None
        response = _error(401, "Show a token: Authorization: Bearer …")
        response.headers["WWW-Authenticate"] = 'Bearer realm="natstream"'
        return response

    @app.after_request
    async def add_security_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        response = _error(error.code or 500, error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(BadQuery)
    async def bad_query(error: BadQuery) -> Response:
        return _error(400, str(error), parameter=error.parameter)

    @app.errorhandler(TooManyReaders)
    async def too_many_readers(error: TooManyReaders) -> Response:
        response = _error(503, str(error))
        response.headers["Retry-After"] = f"{error.retry_after:.0f}"
        return response

    @app.get("/")
    async def page() -> Response:
        return await app.send_static_file("index.html")

    @app.get("/api/logs")
    async def logs() -> Response:
        wishes = parse_stream_request(
            request.args.items(multi=True),
            last_event_id=request.headers.get("Last-Event-ID"),
            accept=request.accept_mimetypes,
        )
        hub.check_room()
        body = (
            LogStreamBody(hub, wishes, settings.keepalive, lambda: _standing_notices(health))
            if request.method == "GET"
            else b""  # HEAD must not start a stream
        )
        response = Response(body, content_type=wishes.format.content_type)
        response.timeout = None  # Quart would end the stream after a minute, in silence
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    @app.get("/api/facets")
    async def counts() -> Response:
        return jsonify(facets.read(parse_filter(request.args.items(multi=True))))

    @app.get("/api/status")
    async def status() -> Response:
        statistics = hub.statistics()
        oldest = statistics.oldest_ms
        return jsonify(
            {
                "version": version("natstream"),
                "epoch": hub.epoch,
                "sources": _statuses(health.sources),
                "subjects": settings.subjects if "nats" in settings.sources else [],
                "readers": statistics.readers,
                "backlog": {
                    "lines": statistics.backlog_lines,
                    "bytes": statistics.backlog_bytes,
                    "first_ms": oldest,
                    "reach_seconds": 0 if oldest is None else round(time.time() - oldest / 1000, 1),
                },
                "authentication": bool(settings.tokens),
            }
        )

    @app.get("/healthz")
    async def healthz() -> Response:
        return jsonify({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        response = jsonify(
            {
                "status": "ready" if health.ready else "not ready",
                "sources": _statuses(health.sources),
                "tasks": _statuses(health.tasks),
            }
        )
        response.status_code = 200 if health.ready else 503
        return response

    return app


def _error(status: int, message: str, **more: Any) -> Response:
    response = jsonify({"error": message, **more})
    response.status_code = status
    return response


def _statuses(statuses: Mapping[str, SourceStatus]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "state": status.state,
            "detail": status.detail,
            "since": int(status.since * 1000),
            "lines": status.lines,
            "lost": status.lost,
            "restarts": status.restarts,
        }
        for name, status in statuses.items()
    }


def _standing_notices(health: Health) -> Iterator[Notice]:
    """What somebody who connects now must know: a silent stream may be a dead source."""
    for status in health.sources.values():
        if status.state is not SourceState.UP:
            bad = status.state in (SourceState.LOST, SourceState.DENIED, SourceState.CRASHED)
            detail = status.detail or f"{status.name} is {status.state}"
            yield Notice(detail, "error" if bad else "system")
