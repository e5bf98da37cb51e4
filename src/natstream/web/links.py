"""Links: the right of a person without a token to read a part of the logs, until some time.

In: a query and a duration, from `natstream link` or from `POST /api/links`. Out: the address of a
page with a signed grant behind its `#`. Only the holder of a token makes links with the endpoint.
If the holder of a link could, then a link would never expire.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from quart import Quart, Response, jsonify, request

from natstream.config.settings import Settings
from natstream.entries.entry import decode_json
from natstream.errors import BadQuery
from natstream.web.auth import current_grant, is_encrypted
from natstream.web.errors import refusal
from natstream.web.grants import Grant, Keyring
from natstream.web.query import parse_duration, read_query
from natstream.web.security import is_cross_site, refuse_other_site

__all__ = ["LONGEST_DAYS", "add_links", "expiring_grant", "link_address"]

# The only way to revoke a link is to change the token. So a link must expire by itself before its
# maker forgets about it.
LONGEST_DAYS = 30
DEFAULT_EXPIRES = "1h"


def expiring_grant(query: tuple[tuple[str, str], ...], expires: str) -> Grant:
    """Return the grant of a link.

    Args:
        query: the parameters of `/api/logs` that choose the lines; none for all lines.
        expires: a duration from now, for example `2h`.

    Raises:
        BadQuery: `expires` or a parameter cannot have its value.
    """
    milliseconds = parse_duration(expires)
    if not milliseconds or milliseconds > LONGEST_DAYS * 86_400_000:
        raise BadQuery(
            f"expires must be a time such as 30m, 2h or 7d, and at most {LONGEST_DAYS}d",
            parameter="expires",
        )
    return Grant(time.time() + milliseconds / 1000, query)


def link_address(page: str, text: str) -> str:
    """Return the link to a signed grant.

    Args:
        page: the address of the page, without a slash at its end.
        text: the grant, as `Keyring.sign` returns it.
    """
    return f"{page}/link#{text}"


def add_links(app: Quart, settings: Settings, keyring: Keyring) -> None:
    """Add the endpoint that makes links."""

    @app.post("/api/links")
    async def make_link() -> Response:
        if is_cross_site(settings):
            return refuse_other_site("request for a link", "make the link")
        if not keyring:
            return refusal(
                409,
                "This service has no token, so it cannot sign a link, and its logs can be read "
                "without one. NATSTREAM_TOKEN sets a token.",
            )
        if not current_grant().has_token:
            return refusal(
                403,
                "Only the holder of a token makes links, and you have a link yourself. Send a "
                "token, or log in with one again.",
            )
        wanted = _wanted(await request.get_data())
        grant = expiring_grant(_query(wanted), wanted.get("expires", DEFAULT_EXPIRES))
        text = keyring.sign(grant, settings.tokens[0])
        response = jsonify(
            {
                "link": link_address(settings.public_url or _origin(), text),
                "token": text,
                "expires": int(grant.expires) * 1000,
                "scope": urlencode(grant.query),
            }
        )
        response.status_code = 201
        return response

    def _origin() -> str:
        """Return the address at which the client reaches this service."""
        scheme = "https" if is_encrypted(settings) else request.scheme
        return f"{scheme}://{request.host}"


def _wanted(body: bytes | str) -> Mapping[str, str]:
    """Return the members of the request's object, which are texts."""
    try:
        wanted: Any = decode_json(body)
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict):
        raise BadQuery(
            'the body must be a JSON object, for example {"query": "app=web", "expires": "2h"}',
            parameter="query",
        )
    for name, value in wanted.items():
        if name not in ("query", "expires"):
            raise BadQuery(f"there is no {name[:100]!r} here, only query and expires", name[:100])
        if not isinstance(value, str):
            raise BadQuery(f"{name} must be a text", parameter=name)
    return wanted


def _query(wanted: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the parameters of the wanted query.

    Raises:
        BadQuery: there is no query, or it has no parameters. Then the link would show everything,
            which its maker must want in so many words.
    """
    text = wanted.get("query")
    if text is None:
        raise BadQuery("query is missing; an empty text is for all lines", parameter="query")
    try:
        pairs = tuple(read_query(text.encode()))
    except UnicodeEncodeError:
        # A link with another character in its place would show other lines.
        raise BadQuery("query holds half of a surrogate pair", parameter="query") from None
    if text and not pairs:
        raise BadQuery("query has no parameter; an empty text is for all lines", parameter="query")
    return pairs
