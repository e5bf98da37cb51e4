"""What a reader may see, and until when: tokens and signed texts → `Grant`. Pure.

A token of the settings gives everything. A grant can be signed, and shown instead of a token: by
the page as a cookie, by the holder of a link as a bearer token. The key is made of one of the
tokens, so that all machines of a deployment agree, a restart changes nothing, and taking a token
out of the settings ends all that was signed with it. Nothing else ends a grant before its time:
no list of them is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Iterable

import attrs
from itsdangerous import BadData, URLSafeSerializer

from natstream.entries.filters import Filter
from natstream.errors import BadQuery
from natstream.web.query import parse_filter

__all__ = ["Grant", "Keyring"]

# Whoever holds a link can try tokens against its signature at home: with this each try takes
# 50 ms and 16 MiB. A random token needs no such help, a chosen one does.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}

# One purpose, one key: nothing else that may be signed with a token will ever pass for a grant.
_SALT = b"natstream grant 1"


@attrs.frozen
class Grant:
    """The right to read; the default is to read everything, for ever."""

    expires: float = math.inf
    """Unix seconds."""
    query: tuple[tuple[str, str], ...] = ()
    """Parameters as `/api/logs` takes them, which hold whatever else is asked for."""
    scope: Filter | None = attrs.field(init=False, eq=False, repr=False)
    """The same as a filter; `None` if the holder may read everything."""

    def __attrs_post_init__(self) -> None:
        # Raises BadQuery for a parameter that it does not know: what it passed over would widen.
        scope = attrs.evolve(parse_filter(self.query), scoped=True) if self.query else None
        object.__setattr__(self, "scope", scope)

    def narrow(self, filter: Filter) -> Filter:
        """What the holder sees who asks for `filter`."""
        return filter if self.scope is None else self.scope & filter


class Keyring:
    """The tokens of the settings, and a signing key made of each."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._signers = {token: _signer(token) for token in tokens}

    def __bool__(self) -> bool:
        return bool(self._signers)

    def sign(self, grant: Grant, token: str) -> str:
        """The grant as text that is valid as long as `token` is; of letters, digits, `-_.`."""
        return str(self._signers[token].dumps({"e": int(grant.expires), "q": grant.query}))

    def find(self, shown: str) -> str | None:
        """The token that is shown, if it is one.

        Every token is compared, each in constant time: the answer's delay tells nothing of them.
        """
        given = shown.encode(errors="replace")
        matches = [token for token in self._signers if hmac.compare_digest(given, token.encode())]
        return matches[0] if matches else None

    def grant(self, shown: str) -> Grant | None:
        """What a token or a signed grant gives; nothing if it is neither, or has expired."""
        if self.find(shown) is not None:
            return Grant()
        grant = self._read(shown)
        return grant if grant is not None and grant.expires > time.time() else None

    def _read(self, text: str) -> Grant | None:
        if not text.isascii():
            return None
        for signer in self._signers.values():
            try:
                signed = signer.loads(text)
                return Grant(int(signed["e"]), tuple((str(k), str(v)) for k, v in signed["q"]))
            except BadData:
                continue
            except (BadQuery, KeyError, TypeError, ValueError):
                return None  # signed by another release, in words that this one does not know
        return None


def _signer(token: str) -> URLSafeSerializer:
    key = hashlib.scrypt(token.encode(), salt=_SALT, **_SCRYPT)
    return URLSafeSerializer(
        key,
        salt=_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
