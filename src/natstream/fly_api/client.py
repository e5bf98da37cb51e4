"""Requests to Fly's HTTP interfaces: one client, one pace, and one kind of error.

In: a URL below a configured base. Out: the JSON of the answer. Fly answers fast requests with
bursts of 401 and 429, so all requests of the process wait for their turn, in the order in which
they were made: an app that has many pages to read therefore gets no more than its share.

The token is shown to the hosts of these URLs alone. Redirects are not followed, and neither a proxy
nor a `.netrc` of the environment is used. No error quotes a header or a body.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import attrs
import httpx
import trio

from natstream.entries.entry import decode_json
from natstream.errors import NatstreamError, network_reason
from natstream.fly_api.token import authorization

__all__ = ["ATTEMPTS", "Budget", "FlyApiError", "FlyClient", "Reason", "open_fly_client"]

# Seconds between the starts of two requests: fewer than 8 in a second.
INTERVAL = 0.15
# Requests under way. A slow interface then holds few connections, and others wait for their turn.
AT_ONCE = 4
# Seconds for one request, with its body.
DEADLINE = 10.0
# A page of 100 lines of 256 KiB would be larger, but Fly cuts lines long before that.
MAX_BYTES = 8 * 2**20
# A refusal may be one of a burst, so it is tried again after 1, 2 and 4 s, each with jitter.
ATTEMPTS = 4
FIRST_DELAY = 1.0
LONGEST_RETRY_AFTER = 60.0

Reason = Literal["denied", "limited", "missing", "unreachable", "unreadable"]
"""Fly refuses the token, has had too many requests, knows no such app, cannot be reached or fails
by itself, or answers with something other than the JSON that is expected."""


class FlyApiError(NatstreamError):
    """An interface of Fly does not answer as expected. `str()` is one sentence for a person."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class _RetryError(Exception):
    """A failure that may pass: the error to raise if it does not, and how long Fly asks to wait."""

    def __init__(self, error: FlyApiError, retry_after: float = 0.0) -> None:
        super().__init__()
        self.error, self.retry_after = error, retry_after


@attrs.define
class Budget:
    """Requests that one piece of work may still make, retries included."""

    left: int


class FlyClient:
    """Asks Fly's interfaces in one token's name. Use `open_fly_client`."""

    def __init__(self, http: httpx.AsyncClient, authorization: str) -> None:
        self._http = http
        self._headers = {"Authorization": authorization, "Accept-Encoding": "identity"}
        self._turn = trio.StrictFIFOLock()
        self._next = -float("inf")
        self._room = trio.CapacityLimiter(AT_ONCE)
        self.requests: int = 0
        """Requests that were made, retries included."""

    async def get(
        self, url: str, params: Mapping[str, str] | None = None, *, budget: Budget | None = None
    ) -> Any:
        """Return the decoded JSON of a URL. A failure that may pass is tried again.

        Cancelling ends the request.

        Args:
            budget: pays for the attempts; it must have at least one left.

        Raises:
            FlyApiError: there is no such answer, after up to four attempts.
        """
        delay = FIRST_DELAY
        for attempt in range(1, ATTEMPTS + 1):
            if budget is not None:
                budget.left -= 1
            try:
                async with self._room:
                    await self._wait_turn()
                    return await self._request(url, params or {})
            except _RetryError as failure:
                wait = max(failure.retry_after, delay * random.uniform(0.5, 1.0))
                if failure.error.reason == "limited":
                    # The limit counts all requests of the token, so all of them wait.
                    self._next = max(self._next, trio.current_time() + wait)
                if attempt == ATTEMPTS or (budget is not None and budget.left <= 0):
                    raise failure.error from failure.__cause__
            await trio.sleep(wait)
            delay *= 2
        raise AssertionError("unreachable")

    async def _wait_turn(self) -> None:
        async with self._turn:
            # The turn may be put off while this request waits for it.
            while trio.current_time() < self._next:  # noqa: ASYNC110 - a time, not an event
                await trio.sleep_until(self._next)
            self._next = trio.current_time() + INTERVAL
        self.requests += 1

    async def _request(self, url: str, params: Mapping[str, str]) -> Any:
        host = httpx.URL(url).host
        try:
            with trio.fail_after(DEADLINE):
                async with self._http.stream(
                    "GET", url, params=params, headers=self._headers
                ) as response:
                    _check(response, host)
                    body = await _body(response, host)
        except (trio.TooSlowError, httpx.TimeoutException) as error:
            late = FlyApiError(f"{host} did not answer within {DEADLINE:g} s", "unreachable")
            raise _RetryError(late) from error
        except httpx.RequestError as error:
            why = network_reason(error)
            lost = FlyApiError(f"{host} cannot be reached: {why}", "unreachable")
            raise _RetryError(lost) from error
        try:
            return _decoded(body)
        except ValueError as error:
            raise _RetryError(_unreadable(host, "an answer that is not JSON")) from error


def _check(response: httpx.Response, host: str) -> None:
    """Raise the error of an answer that is not a 200."""
    status = response.status_code
    after = _retry_after(response)
    match status:
        case 200:
            return
        case 401 | 403:
            message = f"{host} refuses ACCESS_TOKEN ({status})"
            raise _RetryError(FlyApiError(message, "denied"), after)
        case 404:
            raise FlyApiError(f"{host} knows no such app, or the token may not see it", "missing")
        case 429:
            raise _RetryError(FlyApiError(f"{host} has had too many requests", "limited"), after)
        case _ if status >= 500:
            raise _RetryError(FlyApiError(f"{host} fails ({status})", "unreachable"), after)
    raise _unreadable(host, f"a {status}, which is not expected")


def _unreadable(host: str, answer: str) -> FlyApiError:
    return FlyApiError(f"{host} gave {answer}", "unreadable")


def _decoded(body: bytes) -> Any:
    """Return the decoded JSON of a body, in which all texts can be encoded."""
    answer = decode_json(body)
    if b"\\ud" in body.lower():
        # JSON may hold the half of a character, which no other text may.
        text = json.dumps(answer, ensure_ascii=False)
        return decode_json(text.encode(errors="replace"))
    return answer


async def _body(response: httpx.Response, host: str) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # A small compressed body may unpack to any size, and none was asked for.
        raise _unreadable(host, "a compressed answer, which was not asked for")
    body = bytearray()
    # The generator is closed here, because httpx (0.28) leaves its inner ones to the collector.
    generator: Any = response.aiter_raw()
    async with aclosing(generator) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_BYTES:
                raise _unreadable(host, f"an answer of more than {MAX_BYTES >> 20} MiB")
    return bytes(body)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds of `Retry-After`, within reason; a date counts as absent."""
    text = response.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return 0.0
    return min(float(text), LONGEST_RETRY_AFTER)


@asynccontextmanager
async def open_fly_client(token: str) -> AsyncIterator[FlyClient]:
    """Open a client that shows `token`, and close its connections at the end of the block.

    Raises:
        FlyApiError: the token cannot be sent, because it holds characters of no token.
    """
    try:
        shown = authorization(token)
    except ValueError as error:
        raise FlyApiError(f"ACCESS_TOKEN cannot be used: {error}", "denied") from None
    async with httpx.AsyncClient(
        timeout=None,  # noqa: S113 - each request has a deadline of ours
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
    ) as http:
        yield FlyClient(http, shown)
