"""Which requests the drain accepts, judged by their heads alone. Pure.

In: the head of a request. Out: whether its sender showed a valid token, and the answer to a request
whose body need not be read.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from natstream.drain.answers import HELLO, refusal
from natstream.drain.http1 import Answer, Request

__all__ = ["Admission"]


class Admission:
    """The drain's tokens. Without any, every sender that reaches the drain may send.

    Raises:
        ValueError: a token is empty.
        TypeError: `tokens` is a string.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        if isinstance(tokens, str):
            raise TypeError("tokens must be a list of tokens, not a string")
        self._tokens = [token.strip().encode() for token in tokens]
        if not all(self._tokens):
            raise ValueError("a token must not be empty: senders that show none would be let in")

    @property
    def is_open(self) -> bool:
        """Whether senders need no token."""
        return not self._tokens

    def may_send(self, request: Request) -> bool:
        """Return whether the sender of a request may send logs."""
        if not self._tokens:
            return True
        scheme, _, shown = request.headers.get(b"authorization", b"").partition(b" ")
        # Every token is compared, each in constant time, so that the delay reveals none of them.
        matches = [hmac.compare_digest(shown.strip(), token) for token in self._tokens]
        return any(matches) and scheme.lower() == b"bearer"

    def answer_to(self, request: Request, may_send: bool) -> Answer | None:
        """Return the answer to a request whose body is not wanted, or None for a wanted one."""
        if request.method in (b"GET", b"HEAD"):
            return HELLO
        if request.method != b"POST":
            return refusal(405, "Send logs with POST.", (b"allow", b"POST, GET, HEAD"))
        if not self._tokens and request.headers.keys() & {b"origin", b"sec-fetch-site"}:
            # Any page that is open on this machine could send logs. Log senders have no origin.
            return refusal(403, "A browser's pages may not send logs: use a drain token.")
        if not may_send:
            return refusal(
                401,
                "Send a valid token, as Authorization: Bearer <token>.",
                (b"www-authenticate", b"Bearer"),
            )
        return None
