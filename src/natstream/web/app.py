"""The web application: the page, the stream and the small JSON endpoints, on quart-trio.

The application reads the hub and the health of the sources, but owns neither, because the
supervisor makes all three. Every answer except a stream or a file is JSON. An error is
`{"error": …}`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import attrs
import trio
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from natstream.config.settings import Settings
from natstream.entries.entry import Notice
from natstream.entries.filters import Filter
from natstream.hub.budget import ReaderBudget
from natstream.hub.finding import find_line
from natstream.hub.health import Health, SourceState, SourceStatus
from natstream.hub.hub import Hub
from natstream.server.connection import piece_sender
from natstream.web.auth import authenticate, client_address, current_grant, current_reader
from natstream.web.earlier import read_earlier
from natstream.web.errors import answer_errors, refusal
from natstream.web.facets import Facets
from natstream.web.fair_turns import FairTurns
from natstream.web.fields import read_fields
from natstream.web.files import Files
from natstream.web.health_endpoints import (
    add_health_endpoints,
    add_healthz,
    source_statuses,
    statuses,
)
from natstream.web.links import add_links
from natstream.web.metrics import Metrics
from natstream.web.pattern_counts import PatternCounts
from natstream.web.pattern_spans import parse_comparison
from natstream.web.patterns import Patterns
from natstream.web.quart_request import QuartRequest
from natstream.web.query import parse_stream_request
from natstream.web.reader_quota import ReaderQuota, holder_of
from natstream.web.request import ApiRequest
from natstream.web.security import add_security
from natstream.web.stream import LogStreamBody

if TYPE_CHECKING:
    from natstream.fly_api.interfaces import FlyInterfaces

__all__ = ["create_app"]

# Clients post only tokens, links and queries for links to this application, and these are short.
MAX_BODY_BYTES = 64 * 1024
# Seconds within which the body of a request must arrive.
BODY_TIMEOUT = 10

NO_LINE = (
    "The service no longer has a line with this id, or never had one. Use the id of a newer line."
)

NO_EARLIER = (
    "This service does not ask Fly's logs interface, so it has no earlier lines. "
    "NATSTREAM_FLY_API=on turns it on."
)


def create_app(
    settings: Settings,
    hub: Hub,
    health: Health,
    facets: Facets,
    pattern_counts: PatternCounts,
    metrics: Metrics,
    fly: FlyInterfaces | None = None,
) -> QuartTrio:
    """Return the application over a hub, the health of its sources, and the counts of its lines.

    `fly` are Fly's own interfaces, if they are asked.
    """
    app = QuartTrio(__name__, static_folder=None)
    app.request_class = ApiRequest
    app.asgi_http_class = QuartRequest
    quota = ReaderQuota(settings.max_readers)
    patterns = Patterns(hub, pattern_counts)
    # Searches for fields run one after the other, so that many together do not delay the readers.
    searches = FairTurns()
    files = Files(Path(__file__).parent / "static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    answer_errors(app)
    add_security(app, settings)
    keyring = authenticate(app, settings, metrics.guard)
    add_links(app, settings, keyring)
    add_healthz(app)
    if settings.metrics_bind is None:
        add_health_endpoints(app, health, metrics, shows_watches=lambda: current_grant().has_token)

    def budget() -> ReaderBudget:
        """Return the budget of the request that is being answered."""
        return hub.budgets.reader(holder_of(current_grant(), client_address(settings)))

    @app.get("/")
    async def page() -> Response:
        return await files.send("index.html")

    @app.get("/link")
    async def link() -> Response:
        return await files.send("link.html")

    @app.get("/static/<path:name>")
    async def static(name: str) -> Response:
        return await files.send(name)

    @app.get("/api/logs")
    async def logs() -> Response:
        wanted = parse_stream_request(
            request.args.items(multi=True),
            last_event_id=",".join(request.headers.getlist("Last-Event-ID")),
            accept=request.accept_mimetypes,
        )
        grant, address = current_grant(), client_address(settings)
        wanted = attrs.evolve(wanted, filter=grant.narrow(wanted.filter))
        await hub.wait_opened()
        if not wanted.is_live_only:
            await hub.wait_past()
        hub.check_room()
        quota.check(grant, address)
        line = None
        if wanted.around is not None:
            line = await find_line(hub, wanted.around)
            # Both answers are the same, so that the holder of a link learns nothing of other lines.
            if line is None or not grant.shows(line.entry):
                return refusal(404, NO_LINE)
        body: LogStreamBody | bytes = b""  # A HEAD request must not start a stream.
        if request.method == "GET":
            body = LogStreamBody(
                hub,
                wanted,
                line=line,
                until=trio.current_time() + grant.expires - time.time(),
                standing_notices=lambda: _standing_notices(health),
                counters=metrics.counters,
                quota=quota.reserve(grant, address),
                budget=budget(),
                find_sender=partial(piece_sender, request.scope),
            )
        response = Response(body, content_type=wanted.format.content_type)
        response.headers.pop("Content-Length", None)  # HEAD must not have what GET has not.
        response.timeout = None  # Otherwise Quart ends the stream silently after a minute.
        response.headers["X-Accel-Buffering"] = "no"
        response.headers["Natstream-Reader"] = current_reader()
        return response

    @app.get("/api/raw")
    async def raw() -> Response:
        line = await find_line(hub, request.args.get("id", ""))
        if line is None:
            return refusal(404, NO_LINE)
        return Response(line.entry.raw_json, content_type="application/json")

    @app.get("/api/machine")
    async def machine() -> Response:
        line = await find_line(hub, request.args.get("id", ""))
        # A reader names a line and not a machine, so that the holder of a link learns nothing of
        # machines whose lines it may not see.
        if line is None or not current_grant().shows(line.entry):
            return refusal(404, NO_LINE)
        known = None if fly is None else fly.machines.get(line.entry.machine_id)
        if known is None or known.app != line.entry.app_name:
            return jsonify({"machine": None})
        return jsonify({"machine": attrs.asdict(known, filter=attrs.filters.exclude("since_ms"))})

    @app.get("/api/earlier")
    async def earlier() -> Response:
        if fly is None:
            return refusal(404, NO_EARLIER)
        query = list(request.args.items(multi=True))
        body = await read_earlier(fly.earlier, query, current_grant(), hub.label)
        return Response(body, content_type="application/json")

    @app.get("/api/facets")
    async def counts() -> Response:
        filter = Filter.from_query(request.args.items(multi=True))
        return jsonify(await facets.read_in_turns(filter, current_grant().scope, budget()))

    @app.get("/api/patterns")
    async def kinds() -> Response:
        filter, compare = parse_comparison(request.args.items(multi=True))
        return jsonify(await patterns.read(current_grant().narrow(filter), compare, budget()))

    @app.get("/api/fields")
    async def fields() -> Response:
        filter = current_grant().narrow(Filter.from_query(request.args.items(multi=True)))
        asking = budget()
        async with searches.turn(asking.holder):
            return jsonify(await read_fields(hub, filter, asking))

    @app.get("/api/watches")
    async def watched() -> Response:
        if not current_grant().has_token:
            return refusal(
                403,
                "Watches are shown to holders of a token, and you have a link. Send a token, or "
                "log in with one again.",
            )
        return jsonify({"watches": [watch.shown() for watch in metrics.watches]})

    @app.get("/api/status")
    async def status() -> Response:
        grant = current_grant()
        answer: dict[str, Any] = {
            "version": version("natstream"),
            "epoch": hub.epoch,
            "keepalive": settings.keepalive,
            "authentication": bool(settings.tokens),
        }
        if grant.scope is None:
            answer |= _status(settings, hub, health)
        else:
            answer |= {
                "scope": urlencode(grant.query),
                "expires": int(grant.expires * 1000),
                "sources": {name: _reduced(status) for name, status in health.sources.items()},
            }
        return jsonify(answer)

    return app


def _status(settings: Settings, hub: Hub, health: Health) -> dict[str, Any]:
    statistics = hub.statistics()
    oldest = statistics.oldest_ms
    drain = health.sources.get("drain")
    return {
        "sources": source_statuses(health),
        "interfaces": statuses(health.interfaces),
        "subjects": settings.subjects if "nats" in settings.sources else [],
        "drain": {"url": drain.url, "authentication": bool(settings.drain_tokens)}
        if drain is not None and drain.url
        else None,
        "readers": statistics.readers,
        "backlog": {
            "lines": statistics.backlog_lines,
            "bytes": statistics.backlog_bytes,
            "first_ms": oldest,
            "reach_seconds": 0 if oldest is None else round(time.time() - oldest / 1000, 1),
        },
    }


def _reduced(status: SourceStatus) -> dict[str, Any]:
    """Return the state of a source for a reader that may see only a part of its lines.

    The counts, the texts and the time of the last line are left out, because they tell of the other
    lines.
    """
    return {"state": status.state, "since": int(status.since * 1000)}


def _standing_notices(health: Health) -> Iterator[Notice]:
    """Yield a notice for each source that is not up.

    A new reader needs these, because otherwise a dead source looks like a quiet one.
    """
    for status in health.sources.values():
        if status.state is not SourceState.UP:
            detail = status.detail or f"{status.name} is {status.state}"
            yield Notice(detail, "error" if status.state.is_bad else "system")
