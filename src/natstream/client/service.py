"""One service over HTTP: requests for its stream, and what its answers mean.

In: the address of the stream and a token. Out: batches of entries and notices. `RemoteService`
remembers how far it has read, so that the next request resumes there. Sockets, TLS, proxies and
redirects are httpx's part.

Errors: those of `open_log_stream`, which passes them on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import httpx
import trio

from natstream.entries.entry import decode_json
from natstream.errors import (
    BadQuery,
    NatstreamError,
    SourceDenied,
    SourceUnavailable,
    network_reason,
)
from natstream.formats.ndjson import CONTENT_TYPE, Reading, Received

__all__ = ["RemoteService", "json_body"]

LONGEST_RETRY_AFTER = 300.0
MAX_REDIRECTS = 10
# A refusal of the service is one sentence in JSON. A longer body comes from another program.
LONGEST_REFUSAL = 64 * 2**10
LONGEST_SENTENCE = 500  # characters
# 200 patterns with a text and an example of 300 characters each take 250 KB.
LONGEST_ANSWER = 4 * 2**20
JSON = "application/json"
# Seconds for the head of an answer. A service that starts takes some seconds to look up the past. A
# limit for each read alone would let a hostile service send interim answers (100) for ever.
ANSWER_DEADLINE = 60.0
# Closing a socket is quick. The deadline is for a TLS peer that does not answer.
CLOSE_DEADLINE = 1.0


@attrs.define
class RemoteService:
    """The stream of a service, and how far it has been read."""

    client: httpx.AsyncClient
    endpoint: httpx.URL
    token: str = attrs.field(repr=False)
    reading: Reading = attrs.field(factory=Reading)

    @property
    def name(self) -> str:
        return f"{self.endpoint.scheme}://{self.endpoint.netloc.decode()}"

    @property
    def follow(self) -> bool:
        """Whether the stream goes on until the client leaves."""
        given = self.endpoint.params
        is_replay = str(given.get("follow")).lower() in ("false", "0", "no")
        return not (is_replay or "until" in given or "around" in given)

    @property
    def is_resumable(self) -> bool:
        """Whether a stream that was cut can go on; the lines around a line are asked for anew."""
        return "around" not in self.endpoint.params

    async def connect(self) -> httpx.Response:
        """Return a response whose body is the stream, from where `reading` has got to.

        Raises:
            SourceUnavailable, SourceDenied, BadQuery: the answer is not a stream.
        """
        headers = {}
        endpoint = self.endpoint
        reading = self.reading
        if reading.resume_id:
            headers["Last-Event-ID"] = reading.resume_id
        elif reading.idle and self.follow:
            # There is no id to resume from, because no entry has come yet. All of the past has
            # been sent, so the missing entries are those since the first connection.
            endpoint = endpoint.copy_remove_param("tail").copy_set_param("since", reading.opened)
        return await self._get(endpoint, CONTENT_TYPE, headers)

    async def ask(self) -> dict[str, Any]:
        """Return the JSON object of an endpoint that is no stream.

        Raises:
            SourceUnavailable, SourceDenied, BadQuery: the answer is no such object.
        """
        response = await self._get(self.endpoint, JSON, {})
        body = await json_body(response, longest=LONGEST_ANSWER, seconds=ANSWER_DEADLINE)
        if not body:
            raise SourceUnavailable(f"{self.name} gave an answer that cannot be read")
        return body

    async def _get(
        self, endpoint: httpx.URL, accept: str, headers: dict[str, str]
    ) -> httpx.Response:
        """Return a response of this content type, whose body is still to be read."""
        headers = {"Accept": accept, "Accept-Encoding": "identity", **headers}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = self.client.build_request("GET", endpoint, headers=headers)
        try:
            with trio.fail_after(ANSWER_DEADLINE):
                response = await self._send(request)
        except trio.TooSlowError as error:
            raise SourceUnavailable(f"{self.name} cannot be reached: no answer") from error
        except (httpx.RequestError, UnicodeError) as error:
            # UnicodeError: the service redirects to a name, or sets a cookie, that cannot exist.
            raise SourceUnavailable(f"{self.name} cannot be reached: {_reason(error)}") from error
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        is_plain = response.headers.get("Content-Encoding", "identity").lower() == "identity"
        if response.status_code == httpx.codes.OK and content_type == accept and is_plain:
            return response
        raise await self._refusal(response)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Return the response to a request, and to those to which it is redirected.

        httpx would read the body of a redirect, which may have no end. It drops the token of a
        request that goes to another origin.
        """
        for _ in range(MAX_REDIRECTS):
            response = await self.client.send(request, stream=True)
            if response.next_request is None:
                return response
            await response.aclose()
            request = response.next_request
        raise httpx.TooManyRedirects("it redirects without end", request=request)

    async def deliver(
        self, response: httpx.Response, send: trio.MemorySendChannel[Received]
    ) -> None:
        """Send the batches of a response to `send`, until the service ends it.

        Raises:
            SourceUnavailable: the connection was lost.
        """
        self.reading.begin()
        try:
            async with _chunks(response) as chunks:
                async for chunk in chunks:
                    if batch := self.reading.feed(chunk):
                        await send.send(batch)
        except httpx.RequestError as error:
            raise SourceUnavailable(f"{self.name} was lost: {_reason(error)}") from error

    async def _refusal(self, response: httpx.Response) -> NatstreamError:
        """Return the error that stands for a response which is not a stream."""
        body = await json_body(response)
        detail = str(body.get("error") or httpx.codes.get_reason_phrase(response.status_code))
        detail = detail[:LONGEST_SENTENCE]
        match response.status_code:
            case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
                verb = "refuses the token" if self.token else "needs a token"
                return SourceDenied(f"{self.name} {verb}")
            case httpx.codes.BAD_REQUEST:
                return BadQuery(detail, parameter=str(body.get("parameter") or "")[:100])
            case httpx.codes.NOT_FOUND if not self.is_resumable and "error" in body:
                return BadQuery(detail, parameter="around")
            case httpx.codes.OK:
                kind = response.headers.get("Content-Type", "")[:LONGEST_SENTENCE]
                kind = kind or "without a content type"
                return SourceUnavailable(f"{self.name} answers, but is not a natstream: {kind}")
        error = SourceUnavailable(f"{self.name} answers {response.status_code}: {detail}")
        after = response.headers.get("Retry-After", "")
        if after.isascii() and after.isdigit():
            error.retry_after = min(float(after), LONGEST_RETRY_AFTER)
        return error


@asynccontextmanager
async def _chunks(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the body of a response in chunks as they arrive, and close it after the block.

    httpx (0.28) iterates through nested generators. When the outer generator is abandoned, the
    inner ones stay unfinished, and trio warns about them. Reading on after the close ends them
    all.
    """
    # Without decompression, because a few bytes of a hostile answer could become gigabytes.
    chunks = response.aiter_raw()
    try:
        yield chunks
    finally:
        with trio.move_on_after(CLOSE_DEADLINE, shield=True):
            await response.aclose()
            with suppress(httpx.RequestError, httpx.StreamError):
                async for _ in chunks:
                    pass


async def json_body(
    response: httpx.Response, *, longest: int = LONGEST_REFUSAL, seconds: float = CLOSE_DEADLINE
) -> dict[str, Any]:
    """Return the JSON object in the body of a response, or an empty one if there is none.

    Another program than natstream may send a body without an end, so its size (`longest`, in bytes)
    and its time are limited.
    """
    body = b""
    with suppress(httpx.RequestError), trio.move_on_after(seconds):
        async with _chunks(response) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > longest:
                    return {}
    with suppress(ValueError):
        value = decode_json(body)
        if isinstance(value, dict):
            return value
    return {}


def _reason(error: httpx.RequestError | UnicodeError) -> str:
    return "no answer" if isinstance(error, httpx.TimeoutException) else network_reason(error)
