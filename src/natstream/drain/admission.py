"""Which requests the drain accepts, judged by their heads alone. Pure.

In: the head of a request. Out: the token that its sender shows, and the answer to a request whose
body need not be read.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable

from natstream.drain.answers import HELLO, refusal
from natstream.drain.forms import OTLP_LOGS, OTLP_OTHERS, path_of
from natstream.drain.http1 import Answer, Request
from natstream.server.token_guard import find_token

__all__ = ["Admission", "shown_token"]


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
        token = shown_token(request.headers.get(b"authorization", b""))
        return token.decode(errors="replace") if token else None

    def find(self, token: str) -> str | None:
        """Return the token of the drain that equals `token`, or `None`."""
        return find_token(token, self._tokens)

    def answer_to(self, request: Request, may_send: bool) -> Answer | None:
        """Return the answer to a request whose body is not wanted, or None for a wanted one."""
        if request.method in (b"GET", b"HEAD"):
            return HELLO
        if request.method != b"POST":
            return refusal(405, "Send logs with POST.", (b"allow", b"POST, GET, HEAD"))
        from_browser = b"origin" in request.headers or b"sec-fetch-site" in request.headers
        if from_browser and (not self._tokens or _scheme(request) == b"basic"):
            # Any page that is open on this machine could send logs, if there is no token or the
            # browser adds a password that it remembers. Log senders have no origin.
            return refusal(403, "A browser's pages may not send logs: use a drain token.")
        if not may_send:
            return refusal(
                401,
                "Send a valid token, as Authorization: Bearer <token>, or as the password of HTTP "
                "basic authentication; in the address it is not read.",
                (b"www-authenticate", b'Bearer, Basic realm="natstream"'),
            )
        if path_of(request) in OTLP_OTHERS:
            return refusal(
                404,
                f"natstream takes logs, and neither traces nor metrics: let only the exporter of "
                f"logs send here (OTEL_EXPORTER_OTLP_LOGS_ENDPOINT), to {OTLP_LOGS.decode()}.",
            )
        return None


def shown_token(authorization: bytes) -> bytes:
    """Return the token in the value of an Authorization header, or nothing.

    Senders of logs know these schemes: `Bearer`, `Splunk` and `Token` in front of the token, and
    `Basic`, whose password is the token.
    """
    scheme, _, shown = authorization.partition(b" ")
    shown = shown.strip()
    match scheme.lower():
        case b"bearer" | b"splunk" | b"token":
            return shown
        case b"basic":
            try:
                return binascii.a2b_base64(shown).partition(b":")[2]
            except ValueError:
                return b""
    return b""


def _scheme(request: Request) -> bytes:
    return request.headers.get(b"authorization", b"").partition(b" ")[0].lower()
