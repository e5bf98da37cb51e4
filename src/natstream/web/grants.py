"""Grants: the right to read a part of the logs until some time. Pure.

In: tokens and signed texts. Out: a `Grant` for each valid one. A token from the settings gives
the right to read everything. A signed grant works like a token: the page sends it as a cookie,
and the holder of a link sends it as a bearer token.

The signing key is made from one of the tokens. So all machines of a deployment accept the same
grants, and a restart changes nothing. When the operator removes a token from the settings, every
grant that was signed with it becomes invalid. There is no other way to end a grant early, because
the service keeps no list of grants.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable
from weakref import WeakValueDictionary

import attrs
from itsdangerous import BadData, URLSafeSerializer

from natstream.entries.entry import LogEntry
from natstream.entries.filters import PATTERNS, Filter
from natstream.errors import BadQuery
from natstream.server.token_guard import find_token

__all__ = ["Grant", "Keyring"]

# The holder of a link can test guessed tokens against its signature without asking the service.
# With these parameters, each test takes 50 ms and 16 MiB. This protects tokens that people have
# made up; a random token cannot be guessed anyway.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}

# Each purpose has a key of its own, so that a text signed with a token for another purpose is
# never accepted as a grant.
_SALT = b"natstream grant 1"


# What is known of a machine differs between processes, because each looks it up for itself. So a
# scope of these would show different lines at different machines.
NOT_IN_SCOPES = ("group", "release", "not_group", "not_release")

# The readers of one link share the filter of its scope.
_scopes: WeakValueDictionary[tuple[tuple[str, str], ...], Filter] = WeakValueDictionary()


@attrs.frozen
class Grant:
    """The right to read. By default, everything and without an end."""

    expires: float = math.inf
    """Unix seconds."""
    query: tuple[tuple[str, str], ...] = ()
    """Parameters of `/api/logs` that always apply, in addition to those of a request."""
    has_token: bool = attrs.field(default=False, kw_only=True)
    """Whether the holder has shown a token, at the latest when it logged in, or needs none."""
    scope: Filter | None = attrs.field(init=False, eq=False, repr=False)
    """The filter made from `query`, or `None` if the holder may read everything."""

    def __attrs_post_init__(self) -> None:
        # An unknown parameter raises BadQuery, because ignoring it would show more than intended.
        for name in PATTERNS:
            if name in dict(self.query):
                raise BadQuery(
                    f"{name} cannot be part of a link, because another release of natstream may "
                    "mask lines in another way; limit the link by app, level or text",
                    parameter=name,
                )
        for name in NOT_IN_SCOPES:
            if name in dict(self.query):
                raise BadQuery(
                    f"{name} cannot be part of a link, because the processes of the service may "
                    "know different machines; limit the link by app, region or machine",
                    parameter=name,
                )
        scope = _scopes.get(self.query)
        if scope is None and self.query:
            scope = attrs.evolve(Filter.from_query(self.query), scoped=True)
            _scopes[self.query] = scope
        object.__setattr__(self, "scope", scope)

    def narrow(self, filter: Filter) -> Filter:
        """Return the filter of a reader that asks for `filter` and holds this grant."""
        return filter if self.scope is None else self.scope & filter

    def shows(self, entry: LogEntry) -> bool:
        """Return whether the holder may see this entry."""
        return self.scope is None or self.scope.matches(entry)


class Keyring:
    """The tokens from the settings, and a signing key made from each of them."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._signers = {token: _signer(token) for token in tokens}

    def __bool__(self) -> bool:
        return bool(self._signers)

    def sign(self, grant: Grant, token: str) -> str:
        """Return the grant as a signed text, which is valid as long as `token` is.

        The text consists of letters, digits and `-_.`.
        """
        signed = {"e": int(grant.expires), "q": grant.query}
        if grant.has_token:
            signed["l"] = True
        return str(self._signers[token].dumps(signed))

    def find(self, secret: str) -> str | None:
        """Return the token that equals `secret`, or `None`."""
        return find_token(secret, self._signers)

    def name(self, secret: str) -> str:
        """Return a short name for a token or a signed text, from which it cannot be computed."""
        token = self.find(secret)
        # Guessing a signed text takes one scrypt for each guess of its token.
        text = secret if token is None else self.sign(Grant(0), token)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def grant(self, secret: str) -> Grant | None:
        """Return the grant for a token or a signed text.

        Returns `None` if `secret` is neither, or if the signed grant has expired.
        """
        if self.find(secret) is not None:
            return Grant(has_token=True)
        grant = self.read(secret)
        return grant if grant is not None and grant.expires > time.time() else None

    def read(self, text: str) -> Grant | None:
        """Return the grant that `text` is signed for, also if it has expired; else `None`."""
        if not text.isascii():
            return None
        for signer in self._signers.values():
            try:
                signed = signer.loads(text)
                return Grant(
                    int(signed["e"]),
                    tuple((str(k), str(v)) for k, v in signed["q"]),
                    has_token=signed.get("l") is True,
                )
            except BadData:
                continue
            except (BadQuery, KeyError, TypeError, ValueError):
                return None  # Another release signed it, with fields or parameters unknown here.
        return None


def _signer(token: str) -> URLSafeSerializer:
    key = hashlib.scrypt(token.encode(), salt=_SALT, **_SCRYPT)
    return URLSafeSerializer(
        key,
        salt=_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
