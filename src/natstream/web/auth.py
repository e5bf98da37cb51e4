"""Who may read: bearer tokens, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

__all__ = ["bearer_is_valid"]


def bearer_is_valid(authorization: str | None, tokens: Iterable[str]) -> bool:
    """Whether an `Authorization` header shows one of `tokens`.

    Every token is compared, each in constant time: the answer's delay tells nothing of them.
    """
    scheme, _, shown = (authorization or "").partition(" ")
    given = shown.strip().encode()
    valid = False
    for token in tokens:
        valid |= hmac.compare_digest(given, token.encode())
    return valid and scheme.lower() == "bearer"
