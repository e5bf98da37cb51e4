"""Who may read, and what: each request gets a `Grant`, or is refused.

Readers show a token, or what was signed with one, as `Authorization: Bearer …`; browsers, whose
EventSource cannot send that, exchange it for a cookie at `POST /api/login`. Neither is ever part
of a URL, which proxies log. Without tokens in the settings everybody may read everything.

Whoever holds a scoped link reaches the endpoints in `READABLE` alone, each of which narrows what
it answers to `current_grant()`. A new endpoint is closed to them until it is named there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from quart import Quart, Response, g, request

from natstream.config.settings import Settings
from natstream.entries.entry import decode_json
from natstream.web.errors import nothing, refusal
from natstream.web.grants import Grant, Keyring
from natstream.web.login_throttle import LoginThrottle
from natstream.web.metrics import Counters
from natstream.web.security import READABLE, is_cross_site

__all__ = ["authenticate", "client_address", "current_grant"]

# What may be seen without a token: the pages must be able to ask for one.
OPEN = frozenset({"page", "link", "static", "healthz", "login", "logout"})

COOKIE = "natstream"

# A week of log reading without typing a token. No list of logins is kept: a copied cookie is good
# until then, or until the token is taken out of the settings.
SESSION_SECONDS = 7 * 86_400


def authenticate(app: Quart, settings: Settings, counters: Counters) -> None:
    """Give each request of `app` its grant, or refuse it; and offer logging in and out."""
    keyring = Keyring(settings.tokens)
    attempts = LoginThrottle()

    @app.before_request
    async def check_grant() -> Response | None:
        if request.endpoint in OPEN:
            return None
        grant = await _find_grant()
        if grant is None:
            return _wants_token("Show a token: Authorization: Bearer …")
        if grant.scope is not None and request.endpoint not in READABLE:
            return refusal(403, "This is not a part of what your link shows.")
        g.grant = grant
        return None

    async def _find_grant() -> Grant | None:
        if not keyring:
            return Grant()
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await _grant_shown(shown.strip())
        # Nobody guesses a signature: a cookie that is not valid has only expired.
        return keyring.grant(request.cookies.get(COOKIE, ""))

    async def _grant_shown(shown: str) -> Grant | None:
        address = client_address(settings)
        attempts.check(address)
        grant = keyring.grant(shown)
        if grant is None:
            counters.wrong_tokens += 1
            await attempts.fail(address)
        return grant

    @app.post("/api/login")
    async def login() -> Response:
        if is_cross_site(settings):
            return refusal(403, "Another site cannot log you in.")
        shown = await _shown_secret()
        if shown is None:
            return refusal(400, 'Send {"token": "…"} or {"link": "…"}, as JSON or as a form.')
        if not keyring:
            return nothing()  # there is nothing to be let in to
        grant = await _grant_shown(shown)
        if grant is None:
            return _wants_token("This token or link is not valid, or not any more.")
        if token := keyring.find(shown):
            grant = Grant(time.time() + SESSION_SECONDS)
            shown = keyring.sign(grant, token)
        response = nothing()
        _set_cookie(response, shown, max(0, math.floor(grant.expires - time.time())))
        return response

    @app.post("/api/logout")
    async def logout() -> Response:
        if is_cross_site(settings):
            return refusal(403, "Another site cannot log you out.")
        response = nothing()
        _set_cookie(response, "", 0)
        return response

    def _set_cookie(response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE,
            value,
            max_age=seconds,
            secure=_is_encrypted(settings),
            httponly=True,
            samesite="Strict",
        )


def current_grant() -> Grant:
    """What the request being answered may see."""
    grant: Grant = g.grant
    return grant


def _wants_token(message: str) -> Response:
    response = refusal(401, message)
    response.headers["WWW-Authenticate"] = 'Bearer realm="natstream"'
    return response


async def _shown_secret() -> str | None:
    """The token or the link in the body of the request; `None` if there is neither."""
    fields: Any = await request.form
    if request.mimetype == "application/json":
        try:
            fields = decode_json(await request.get_data())
        except ValueError:
            return None
    if not isinstance(fields, Mapping):
        return None
    shown = fields.get("token") or fields.get("link")
    return shown.strip() if isinstance(shown, str) else None


def client_address(settings: Settings) -> str:
    """The client's address where a trusted proxy names it, as the last of several."""
    if not settings.client_header:
        return ""
    values = request.headers.getlist(settings.client_header)
    return values[-1].rpartition(",")[2].strip() if values else ""


def _is_encrypted(settings: Settings) -> bool:
    """Whether the client came over TLS, as its browser says, or a trusted proxy."""
    schemes = [request.scheme, request.headers.get("Origin", "").partition(":")[0]]
    if settings.client_header:
        schemes += [request.headers.get(f"{name}-Forwarded-Proto", "") for name in ("Fly", "X")]
    return "https" in schemes
