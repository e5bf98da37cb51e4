"""Authentication: each request gets a `Grant`, or is refused.

A reader sends a token, or a text signed with a token, as `Authorization: Bearer …`. A browser's
EventSource cannot send this header, so a browser exchanges the token for a cookie at
`POST /api/login`. The cookie is always a signed text, and a token in a cookie is never accepted.
Tokens and cookies are never part of a URL, because proxies log URLs. If the settings have no
tokens, every client may read everything.

The `TokenGuard` looks at every secret, whichever way it came.

The holder of a scoped link reaches only the endpoints in `READABLE`. Each of these endpoints
limits its answer to `current_grant()`. A new endpoint is closed to such readers until `READABLE`
names it. Links and watches are for holders of a token, because every link expires.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from quart import Quart, Response, g, request

from natstream.config.settings import Settings
from natstream.entries.entry import decode_json
from natstream.server.connection import keep_connection
from natstream.server.token_guard import TokenGuard
from natstream.web.errors import nothing, refusal
from natstream.web.grants import Grant, Keyring
from natstream.web.security import READABLE, is_cross_site, refuse_other_site

__all__ = ["authenticate", "client_address", "current_grant", "current_reader", "is_encrypted"]

# The endpoints that need no token, because the pages must load before they can ask for one.
OPEN = frozenset({"page", "link", "static", "healthz", "login", "logout"})

# Behind TLS, the cookie has a name with which browsers let no other host and no page without TLS
# set it. A browser without TLS would not keep a cookie of this name.
COOKIE, TLS_COOKIE = "natstream", "__Host-natstream"

# A reader types the token once a week. The service keeps no list of logins, so a copied cookie is
# valid until it expires, or until the operator removes the token from the settings.
SESSION_SECONDS = 7 * 86_400


def authenticate(app: Quart, settings: Settings, guard: TokenGuard) -> Keyring:
    """Give each request of `app` its grant or refuse it, and add the login and logout endpoints.

    Return the keys with which grants are signed.
    """
    keyring = Keyring(settings.tokens)

    @app.before_request
    async def check_grant() -> Response | None:
        if request.endpoint in OPEN:
            return None
        g.reader = ""
        grant = await _find_grant()
        if grant is None:
            response = _unauthorized(
                "The request has no valid token, so it was refused. "
                "Send one: Authorization: Bearer …"
            )
            _delete_cookies(response)  # Otherwise the browser would go on to show a wrong secret.
            return response
        keep_connection(request.scope)
        if grant.scope is not None and request.endpoint not in READABLE:
            return refusal(
                403,
                "Your link shows only a part of the logs, so this request was refused. "
                "Ask the operator for a token.",
            )
        g.grant = grant
        return None

    async def _find_grant() -> Grant | None:
        if not keyring:
            return Grant(has_token=True)
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await _grant_for(secret.strip())
        for name in _cookie_names(settings):
            if cookie := request.cookies.get(name):
                return await _grant_for_cookie(cookie)
        return None

    async def _grant_for(secret: str) -> Grant | None:
        grant = await guard.look_at(secret, keyring.grant, address=client_address(settings))
        if grant is not None:
            g.reader = keyring.name(secret)
        return grant

    async def _grant_for_cookie(cookie: str) -> Grant | None:
        grant = keyring.read(cookie)
        if grant is None:
            # The signature may be a guess, since its key is made of a token. An address that is
            # refused may still show a valid cookie, so that one guessing client does not end the
            # sessions of all browsers behind the same address.
            await guard.refuse(client_address(settings))
        if grant is None or grant.expires <= time.time():
            return None
        g.reader = keyring.name(cookie)
        return grant

    @app.post("/api/login")
    async def login() -> Response:
        if is_cross_site(settings):
            return refuse_other_site("login", "log in")
        secret = await _posted_secret()
        if secret is None:
            return refusal(
                400,
                "The request has neither a token nor a link, so you are not logged in. "
                'Send {"token": "…"} or {"link": "…"}, as JSON or as a form.',
            )
        if not keyring:
            return nothing()  # This service needs no login.
        grant = await _grant_for(secret)
        if grant is None:
            return _unauthorized(
                "This token or link is wrong or has expired, so you are not logged in. "
                "Ask the operator for a valid one."
            )
        if token := keyring.find(secret):
            grant = Grant(time.time() + SESSION_SECONDS, has_token=True)
            cookie = keyring.sign(grant, token)
        else:
            cookie = secret
        response = nothing()
        seconds = max(0, math.floor(grant.expires - time.time()))
        _set_cookie(response, TLS_COOKIE if is_encrypted(settings) else COOKIE, cookie, seconds)
        return response

    @app.post("/api/logout")
    async def logout() -> Response:
        if is_cross_site(settings):
            return refuse_other_site("logout", "log out")
        response = nothing()
        _delete_cookies(response)
        return response

    return keyring


def current_grant() -> Grant:
    """Return the grant of the request that is being answered."""
    grant: Grant = g.grant
    return grant


def current_reader() -> str:
    """Return a name for the token, link or login of the request that is being answered.

    It is "" if the service needs none. The tabs of a browser share a stream only if the name is the
    same, because the browser hides the cookie itself from the page.
    """
    name: str = g.reader
    return name


def _cookie_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the cookies that count, in the order in which they count.

    If a trusted proxy says that the client uses TLS, another cookie than that of TLS does not
    count, because another host of the same domain could have set it.
    """
    return (TLS_COOKIE,) if is_encrypted(settings) else (TLS_COOKIE, COOKIE)


def _set_cookie(response: Response, name: str, value: str, seconds: int) -> None:
    secure = name == TLS_COOKIE
    response.set_cookie(
        name, value, max_age=seconds, secure=secure, httponly=True, samesite="Strict"
    )


def _delete_cookies(response: Response) -> None:
    """Delete the cookies that the request has shown, because the reader logs out or has none."""
    for name in (TLS_COOKIE, COOKIE):
        if name in request.cookies:
            _set_cookie(response, name, "", 0)


def _unauthorized(message: str) -> Response:
    response = refusal(401, message)
    response.headers["WWW-Authenticate"] = 'Bearer realm="natstream"'
    return response


async def _posted_secret() -> str | None:
    """Return the token or the link in the body of the request, or `None` if it has neither."""
    fields: Any = await request.form
    if request.mimetype == "application/json":
        try:
            fields = decode_json(await request.get_data())
        except ValueError:
            return None
    if not isinstance(fields, Mapping):
        return None
    secret = fields.get("token") or fields.get("link")
    return secret.strip() if isinstance(secret, str) else None


def client_address(settings: Settings) -> str:
    """Return the client's IP address, or "" if no trusted proxy names it.

    The last address of the header counts, because the proxy appends it. The client may have
    written the addresses before it.
    """
    if not settings.client_header:
        return ""
    values = request.headers.getlist(settings.client_header)
    return values[-1].rpartition(",")[2].strip() if values else ""


def is_encrypted(settings: Settings) -> bool:
    """Return whether the client uses TLS, according to its browser or to a trusted proxy."""
    schemes = [request.scheme, request.headers.get("Origin", "").partition(":")[0]]
    if settings.client_header:
        schemes += [request.headers.get(f"{name}-Forwarded-Proto", "") for name in ("Fly", "X")]
    return "https" in schemes
