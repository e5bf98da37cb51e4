"""Which requests the drain accepts, judged by their heads alone. Pure.

In: the head of a request. Out: the token that its sender shows, and the answer to a request whose
body need not be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from natstream.drain.answers import HELLO, refusal
from natstream.drain.http1 import Answer, Request
from natstream.server.token_guard import find_token

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
        self._tokens = [token.strip() for token in tokens]
        if not all(self._tokens):
            raise ValueError("a token must not be empty: senders that show none would be let in")

    @property
    def is_open(self) -> bool:
        """Whether senders need no token."""
        return not self._tokens

    def shown(self, request: Request) -> str | None:
        """Return the token that the sender of a request shows, or `None` if it shows none."""
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        return token.strip().decode(errors="replace") if scheme.lower() == b"bearer" else None

    def find(self, token: str) -> str | None:
        """Return the token of the drain that equals `token`, or `None`."""
        return find_token(token, self._tokens)

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
