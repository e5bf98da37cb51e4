"""Sends one request to a receiver, and says how it went, in words that hold no secret. On httpx.

In: the receiver's address, and a body. Out: an `Outcome`. The address is a secret, so nothing that
is said here quotes it, its host, an answer, or the text of an exception. An answer's body is never
read, redirects are not followed, and neither a proxy nor a `.netrc` of the environment is used.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import attrs
import httpx
import trio

from natstream.watches.bodies import Body

__all__ = ["DEADLINE", "Outcome", "Send", "open_sender"]

# Seconds for one request, from the lookup of the name to the head of the answer.
DEADLINE = 10.0
# Seconds to connect, with TLS. It is shorter, because httpcore 1.0 closes the socket of a handshake
# that times out, and leaves that of a cancelled one to the collector.
CONNECT_DEADLINE = 8.0
# Errors of OpenSSL: the certificate is for another name or address. Its own text names it.
_OTHER_HOST = (62, 64)


@attrs.frozen
class Outcome:
    """How a request went."""

    problem: str = ""
    """A clause that says why the message was not delivered; empty if it was."""
    may_pass: bool = True
    """Whether the same request may succeed later."""
    retry_after: float = 0.0
    """Seconds for which the receiver asks to be left alone."""


Send = Callable[[str, Body], Awaitable[Outcome]]
"""Sends a body to an address. Cancelling ends the request."""


@asynccontextmanager
async def open_sender() -> AsyncIterator[Send]:
    """Open a client for all receivers, and close it at the end of the block."""
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_DEADLINE),
        trust_env=False,
        follow_redirects=False,
        # Messages are rare, and the bodies of answers are not read.
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as http:

        async def send(url: str, body: Body) -> Outcome:
            return await _send(http, url, body)

        yield send


async def _send(http: httpx.AsyncClient, url: str, body: Body) -> Outcome:
    headers = {**body.headers, "User-Agent": "natstream", "Accept-Encoding": "identity"}
    try:
        with trio.fail_after(DEADLINE):
            async with http.stream("POST", url, headers=headers, content=body.content) as response:
                return _outcome(response)
    except (trio.TooSlowError, httpx.TimeoutException):
        return Outcome("it did not answer in time")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError, ValueError) as error:
        return Outcome(_reason(error))


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        return Outcome()
    name = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    if 300 <= status < 400:
        problem = f"it answered {name}, and redirects are not followed"
    else:
        problem = f"it answered {name}"
    # Other answers of 4xx say that the request is wrong, or that the hook was deleted.
    may_pass = status >= 500 or status in (408, 425, 429)
    return Outcome(problem, may_pass, _retry_after(response.headers.get("Retry-After", "")))


def _retry_after(text: str) -> float:
    """Return the seconds of the header, which holds seconds or a date; 0 if it holds neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _reason(error: BaseException) -> str:
    """Return why a request failed, in fixed words, because an error may quote the address."""
    found: BaseException | None = error
    while found is not None:
        match found:
            case ssl.SSLCertVerificationError():
                if found.verify_code in _OTHER_HOST:
                    return "its certificate is for another host"
                return f"its certificate is not valid: {found.verify_message}"
            case ssl.SSLError():
                return "TLS with it fails"
            case socket.gaierror(errno=int(number)):
                return f"its name cannot be resolved ({_resolver_words(number)})"
            case OSError(errno=int(number)) if number > 0:
                return f"it cannot be reached: {os.strerror(number)}"
            case httpx.RemoteProtocolError():
                return "it closed the connection without a whole answer, or its answer is not HTTP"
            case BaseExceptionGroup(exceptions=(first, *_)):
                found = first
            case _:
                found = found.__cause__ or found.__context__
    return f"the request failed ({type(error).__name__})"


def _resolver_words(number: int) -> str:
    names = {socket.EAI_NONAME: "there is no such host", socket.EAI_AGAIN: "no answer for now"}
    return names.get(number, "the lookup failed")
