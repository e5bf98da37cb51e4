"""Fly tokens: how a request shows one, and whether it looks complete. Pure.

A token is a list of macaroons between commas (`fm2_…,fm2_…`), or an older opaque text. A macaroon
is MessagePack in base64 behind its prefix (https://fly.io/blog/operationalizing-macaroons/), so a
token that was cut off while it was copied does not decode, whereas a wrong one does.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

__all__ = ["authorization", "token_fault"]

_SCHEME = re.compile(r"\s*FlyV1\s+", re.IGNORECASE)
_MACAROON = re.compile(r"fm1r_|fm1a_|fm2_")
# What may stand in a header and cannot end it. The value of a wrong token is never quoted.
_SENDABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)


def authorization(token: str) -> str:
    """Return the value of the `Authorization` header for a token.

    Macaroons have the scheme `FlyV1`, and older tokens have `Bearer`. The scheme may stand in the
    setting already, since `fly tokens create` prints it.

    Raises:
        ValueError: the token holds a character that cannot stand in a header.
    """
    bare = _bare(token)
    if not _SENDABLE.fullmatch(bare):
        raise ValueError("the token holds blanks, line breaks or other characters of no token")
    return f"{'FlyV1' if _MACAROON.search(bare) else 'Bearer'} {bare}"


def token_fault(token: str) -> str:
    """Return what is wrong with the form of a token, as one clause; empty if it looks complete."""
    bare = _bare(token)
    if not _SENDABLE.fullmatch(bare):
        return "it holds blanks, line breaks or other characters of no token"
    for part in bare.split(","):
        prefix = _MACAROON.match(part)
        if prefix is not None and not _is_whole(part[prefix.end() :]):
            return "it looks cut off, because one of its parts does not decode"
    if bare.endswith(",") or bare in ("fm1r_", "fm1a_", "fm2_"):
        return "it looks cut off at its end"
    return ""


def _bare(token: str) -> str:
    return _SCHEME.sub("", token, count=1).strip()


def _is_whole(encoded: str) -> bool:
    alphabet = b"-_" if re.search("[-_]", encoded) else b"+/"
    padded = encoded.rstrip("=")
    try:
        packed = base64.b64decode(
            padded + "=" * (-len(padded) % 4), altchars=alphabet, validate=True
        )
        msgspec.msgpack.decode(packed)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return False
    return True
