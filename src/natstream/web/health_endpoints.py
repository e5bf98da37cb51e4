"""What operators ask: `/healthz`, `/readyz`, `/metrics`.

`/healthz` is the process: what a router checks, since the page must stay reachable when a source
is down. `/readyz` is all sources and tasks: what alerts watch. That and `/metrics` name apps and
count their lines: at the page's port they are for readers of everything. Or they have a port of
their own, without a token, which only a private network reaches; a rule over client addresses
would break the day a proxy on the same machine makes every stranger local.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from quart import Quart, Response, jsonify, request
from quart_trio import QuartTrio

from natstream.config.settings import Settings
from natstream.hub.health import Health, SourceStatus
from natstream.web.errors import answer_errors
from natstream.web.metrics import Metrics
from natstream.web.security import guard

__all__ = ["add_healthz", "add_operations", "create_metrics_app", "statuses"]


def create_metrics_app(settings: Settings, health: Health, metrics: Metrics) -> QuartTrio:
    """What listens at `NATSTREAM_METRICS_BIND`."""
    app = QuartTrio(__name__, static_folder=None)
    # It is reached by address, and by no browser's page.
    guard(app, attrs.evolve(settings, hosts=(), cors_origins=()))
    answer_errors(app)
    add_healthz(app)
    add_operations(app, health, metrics)
    return app


def add_healthz(app: Quart) -> None:
    """`/healthz`, which is for everybody."""

    @app.get("/healthz")
    async def healthz() -> Response:
        return jsonify({"status": "ok"})


def add_operations(app: Quart, health: Health, metrics: Metrics) -> None:
    """`/readyz` and `/metrics`, which are not."""

    @app.get("/readyz")
    async def readyz() -> Response:
        response = jsonify(
            {
                "status": "ready" if health.ready else "not ready",
                "sources": statuses(health.sources),
                "tasks": statuses(health.tasks),
            }
        )
        response.status_code = 200 if health.ready else 503
        return response

    @app.get("/metrics")
    async def exposition() -> Response:
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)


def statuses(of: Mapping[str, SourceStatus]) -> dict[str, dict[str, Any]]:
    """What is known of sources or tasks, by name; `reason` only where there is one."""
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
