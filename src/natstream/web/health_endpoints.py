"""The endpoints for operators: `/healthz`, `/readyz` and `/metrics`.

`/healthz` is about the process alone. A router checks it, since the page must stay reachable when
a source is down. `/readyz` is about all sources and tasks, and alerts watch it. `/readyz` and
`/metrics` name apps and count their lines, so at the page's port they need a token for all lines.
They can also have a port of their own, without a token, for a private network. Trusting local
client addresses instead would be unsafe, because behind a proxy on the same machine every client
looks local.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from quart import Quart, Response, jsonify, request
from quart_trio import QuartTrio

from natstream.config.settings import Settings
from natstream.hub.health import Health, SourceStatus
from natstream.web.errors import answer_errors
from natstream.web.metrics import Metrics
from natstream.web.security import add_security

__all__ = [
    "add_health_endpoints",
    "add_healthz",
    "create_metrics_app",
    "source_statuses",
    "statuses",
]


def create_metrics_app(settings: Settings, health: Health, metrics: Metrics) -> QuartTrio:
    """Return the application for `NATSTREAM_METRICS_BIND`, which has only these endpoints."""
    app = QuartTrio(__name__, static_folder=None)
    # No token protects it, so it has the names of a page without one. Pages of other origins have
    # no use for it.
    open_to_all = attrs.evolve(settings, tokens=(), cors_origins=())
    add_security(app, open_to_all, default_names=True)
    answer_errors(app)
    add_healthz(app)
    add_health_endpoints(app, health, metrics)
    return app


def add_healthz(app: Quart) -> None:
    """Add `/healthz`, which needs no token."""

    @app.get("/healthz")
    async def healthz() -> Response:
        return jsonify({"status": "ok"})


def add_health_endpoints(
    app: Quart,
    health: Health,
    metrics: Metrics,
    *,
    shows_watches: Callable[[], bool] = lambda: True,
) -> None:
    """Add `/readyz` and `/metrics`; on the page's application, a check asks for a token first.

    Args:
        app: gets the endpoints.
        health: the state of the sources and tasks.
        metrics: what `/metrics` shows.
        shows_watches: whether the client of the present request may see the names of watches.
    """

    @app.get("/readyz")
    async def readyz() -> Response:
        response = jsonify(
            {
                "status": "ready" if health.ready else "not ready",
                "sources": source_statuses(health),
                "tasks": statuses(health.tasks),
                "interfaces": statuses(health.interfaces),
                "watches": {
                    watch.name: watch.summary() for watch in metrics.watches if shows_watches()
                },
            }
        )
        response.status_code = 200 if health.ready else 503
        return response

    @app.get("/metrics")
    async def exposition() -> Response:
        body, content_type = metrics.exposition(
            request.headers.get("Accept", ""), with_watches=shows_watches()
        )
        return Response(body, content_type=content_type)


def source_statuses(health: Health) -> dict[str, dict[str, Any]]:
    """Return what `statuses` returns of the sources, and when their lines came (Unix ms).

    `checked` says when a silent source was last found to be well, and `uncheckable` that this could
    not be found out.
    """
    answer = statuses(health.sources)
    for name, status in health.sources.items():
        answer[name]["last_line"] = int(status.last_line * 1000) if status.last_line else None
        if status.checked:
            answer[name]["checked"] = int(status.checked * 1000)
        if status.is_uncheckable:
            answer[name]["uncheckable"] = True
    return answer


def statuses(of: Mapping[str, SourceStatus]) -> dict[str, dict[str, Any]]:
    """Return the state and counts of sources or tasks, by name; `reason` only if there is one."""
    return {
        name: {
            "state": status.state,
            **({"reason": status.reason} if status.reason else {}),
            "detail": status.detail,
            "since": int(status.since * 1000),
            "lines": status.lines,
            "lost": status.lost,
            "restarts": status.restarts,
        }
        for name, status in of.items()
    }
