"""The one place that looks at secrets: it compares tokens, counts wrong ones, and delays them.

In: a secret that a client shows, in a header, a cookie, a login or a request of the drain. Out: the
right that the secret gives, or `None` after the delay for a wrong secret. All listeners of a
process share one `TokenGuard`, so that an attacker cannot guess twice as often at two of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import TypeVar

from natstream.server.login_throttle import LoginThrottle

__all__ = ["TokenGuard", "find_token"]

Right = TypeVar("Right")


def find_token(secret: str | bytes, tokens: Iterable[str]) -> str | None:
    """Return the token that equals `secret`, or `None`.

    Every token is compared, and each comparison takes constant time, so that the delay of the
    answer tells a client nothing about the tokens.
    """
    given = secret if isinstance(secret, bytes) else secret.encode(errors="replace")
    matches = [token for token in tokens if hmac.compare_digest(given, token.encode())]
    return matches[0] if matches else None


class TokenGuard:
    """Counts and delays wrong secrets. `wrong` is their number since the start."""

    def __init__(self) -> None:
        self.wrong: int = 0
        self._throttle = LoginThrottle()

    async def look_at(
        self, secret: str, find: Callable[[str], Right | None], *, address: str = ""
    ) -> Right | None:
        """Return the right that `find` gives to the secret; `None`, late, if it is wrong.

        Args:
            secret: a token, or a text that is signed with one.
            find: returns the right, or `None` for a wrong secret.
            address: the client's address, if a trusted proxy names it.

        Raises:
            TooManyAttempts: the address has sent too many wrong secrets. Its secret is not looked
                at.
        """
        self._throttle.check(address)
        right = find(secret)
        if right is None:
            await self.refuse(address)
        return right

    async def refuse(self, address: str = "") -> None:
        """Count a wrong secret, and wait until its sender may be told."""
        self.wrong += 1
        await self._throttle.fail(address)
