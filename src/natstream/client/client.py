"""A natstream service read over HTTP, from any trio program: `open_log_stream`.

In: the address and the parameters of the HTTP API. Out: entries, in order, each once, for as
long as they are wanted: a connection that is cut is taken up where it ended, and what could not
be made up for is told to `on_notice`, at its place between the entries.

What can go wrong: the service cannot be reached (`SourceUnavailable`), refuses the token
(`SourceDenied`) or a parameter (`BadQuery`), or what was given is no address
(`ConfigurationError`).

Only httpx knows of sockets, TLS, proxies and redirects here. The form is NDJSON: one read gives
many lines, each with the id to resume from.
"""

from __future__ import annotations

import ipaddress
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import httpx
import trio

from natstream.entries.entry import LogEntry, Notice, decode_json
from natstream.errors import (
    BadQuery,
    ConfigurationError,
    NatstreamError,
    SourceDenied,
    SourceUnavailable,
    network_reason,
)
from natstream.formats.ndjson import CONTENT_TYPE, Batch, Reading

__all__ = ["DEFAULT_URL", "EntryReceiver", "is_private", "open_log_stream", "parse_url"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_PORT = 8080
PATH = "/api/logs"

# The service says that it is alive every 15 s by default: three of these missed is a dead
# connection, which nothing else would ever tell.
TIMEOUT = httpx.Timeout(10, read=45)
# A thousand readers must not return in one instant, nor hammer a service that is starting.
FIRST_WAIT = 1.0
LONGEST_WAIT = 10.0
LONGEST_RETRY_AFTER = 300.0
# Enough to read on while the caller is at work; past it, TCP holds the service back.
BATCHES = 8
# A refusal is one sentence in JSON; what is longer comes from something else.
LONGEST_REFUSAL = 64 * 2**10
# Closing is the kernel's work; a TLS peer that does not answer must not keep us.
CLOSE_DEADLINE = 1.0
# A proxy for the outside world, set in the environment, cannot reach our own loopback.
NO_PROXY: dict[str, None] = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}

Parameter = str | int | float | Iterable[str | int | float] | None


class EntryReceiver(trio.abc.ReceiveChannel[LogEntry]):
    """The receive end of a log stream. Several tasks may receive; each entry goes to one."""

    def __init__(
        self, batches: trio.MemoryReceiveChannel[Batch], on_notice: Callable[[Notice], object]
    ) -> None:
        self._batches = batches
        self._on_notice = on_notice
        self._arrived: deque[LogEntry | Notice] = deque()
        self._failure: NatstreamError | None = None

    async def receive(self) -> LogEntry:
        """The next entry. `on_notice` is called from here, with what stands before it.

        Raises:
            trio.EndOfChannel: all of a stream that was not to be followed has been received.
            SourceDenied, BadQuery: the connection was lost, and the service refuses another.
        """
        return (await self._take(1))[0]

    async def receive_some(self) -> list[LogEntry]:
        """All entries that are here, at least one. Raises what `receive` does."""
        return await self._take(math.inf)

    def close(self) -> None:
        """Receive no more."""
        self._batches.close()
        self._arrived.clear()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def fail(self, failure: NatstreamError) -> None:
        """Let the stream end with `failure`."""
        self._failure = failure

    async def _take(self, most: float) -> list[LogEntry]:
        await trio.lowlevel.checkpoint()
        taken: list[LogEntry] = []
        while not taken:
            if not self._arrived:
                self._arrived.extend(await self._next_batch())
            while self._arrived and len(taken) < most:
                item = self._arrived[0]
                if isinstance(item, LogEntry):
                    taken.append(item)
                elif taken:
                    break  # a notice keeps its place: what stands before it goes first
                else:
                    self._on_notice(item)
                self._arrived.popleft()
        return taken

    async def _next_batch(self) -> Batch:
        try:
            return await self._batches.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            raise


@asynccontextmanager
async def open_log_stream(
    url: str = DEFAULT_URL,
    *,
    token: str = "",
    on_notice: Callable[[Notice], object] = lambda notice: None,
    **parameters: Parameter,
) -> AsyncIterator[EntryReceiver]:
    """Connect to the service at `url`, and receive its entries until the block is left.

    `parameters` are the HTTP API's: `app="web"`, `level=["warn", "error"]`, `tail=100`,
    `follow=False`, `not_="health check"` (`not` cannot be a name in Python). The address may
    come without a scheme, with a path before `/api/logs`, and with parameters of its own.

    Unless `follow` is off, the stream does not end: after a cut it connects again, with growing
    waits, from the last entry on. Notices of the service, gaps and cuts are told to `on_notice`.

    Raises:
        ConfigurationError: `url` is no address, or `token` no token.
        SourceUnavailable: nobody answers, or no natstream; `retry_after` where it said so.
        SourceDenied: it wants a token, or another one.
        BadQuery: it does not know a parameter, or a value.
    """
    endpoint = parse_url(url)
    for name, value in _pairs(parameters):
        endpoint = endpoint.copy_add_param(name, value)
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError("The token holds characters that no token has.")
    error: BaseException | None = None
    send, batches = trio.open_memory_channel[Batch](BATCHES)
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=True, mounts=NO_PROXY) as client:
        service = _Service(client, endpoint, token)
        response = await service.connect()
        receiver = EntryReceiver(batches, on_notice)
        try:
            async with receiver, trio.open_nursery() as nursery:
                nursery.start_soon(service.run, response, send, receiver)
                yield receiver
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            error = group.exceptions[0]
    if error is not None:
        raise error  # just as the caller's block raised it: our nursery is not its business


@attrs.define
class _Service:
    """The other side, and where in its stream we are."""

    client: httpx.AsyncClient
    endpoint: httpx.URL
    token: str = attrs.field(repr=False)
    reading: Reading = attrs.field(factory=Reading)

    @property
    def name(self) -> str:
        return f"{self.endpoint.scheme}://{self.endpoint.netloc.decode()}"

    @property
    def follow(self) -> bool:
        return str(self.endpoint.params.get("follow")).lower() not in ("false", "0", "no")

    async def connect(self) -> httpx.Response:
        """A response whose body is the stream, from the place where we are."""
        headers = {"Accept": CONTENT_TYPE, "Accept-Encoding": "identity"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        endpoint = self.endpoint
        reading = self.reading
        if reading.resume_id:
            headers["Last-Event-ID"] = reading.resume_id
        elif reading.idle and self.follow:
            # No entry, so no id: what we want has arrived since the service first let us in.
            endpoint = endpoint.copy_remove_param("tail").copy_set_param("since", reading.opened)
        request = self.client.build_request("GET", endpoint, headers=headers)
        try:
            response = await self.client.send(request, stream=True)
        except httpx.RequestError as error:
            raise SourceUnavailable(f"{self.name} cannot be reached: {_reason(error)}") from error
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if response.status_code == httpx.codes.OK and content_type == CONTENT_TYPE:
            return response
        raise await self._refusal(response)

    async def run(
        self, response: httpx.Response, send: trio.MemorySendChannel[Batch], receiver: EntryReceiver
    ) -> None:
        """Hand on what the service sends; connect again where that ends too soon."""
        waits = _waits()
        with send, suppress(trio.BrokenResourceError):  # nobody receives any more
            try:
                while True:
                    began = trio.current_time()
                    try:
                        await self._deliver(response, send)
                        if not self.follow:
                            return
                        problem = SourceUnavailable(f"{self.name} has ended the stream")
                    except SourceUnavailable as error:
                        problem = error
                    if trio.current_time() - began > LONGEST_WAIT:
                        waits = _waits()
                    response = await self._connect_again(problem, waits, send)
            except NatstreamError as error:
                receiver.fail(error)

    async def _deliver(self, response: httpx.Response, send: trio.MemorySendChannel[Batch]) -> None:
        self.reading.begin()
        try:
            async with _chunks(response) as chunks:
                async for chunk in chunks:
                    if batch := self.reading.feed(chunk):
                        await send.send(batch)
        except httpx.RequestError as error:
            raise SourceUnavailable(f"{self.name} was lost: {_reason(error)}") from error

    async def _connect_again(
        self,
        problem: SourceUnavailable,
        waits: Iterator[float],
        send: trio.MemorySendChannel[Batch],
    ) -> httpx.Response:
        told = ""
        while True:
            if told != str(problem):
                told = str(problem)
                await send.send([Notice(f"{told}; trying again", "error")])
            await trio.sleep(max(next(waits), problem.retry_after))
            try:
                return await self.connect()
            except SourceUnavailable as error:
                problem = error

    async def _refusal(self, response: httpx.Response) -> NatstreamError:
        """What an answer that is no stream means."""
        said = await _json_body(response)
        detail = str(said.get("error") or httpx.codes.get_reason_phrase(response.status_code))
        match response.status_code:
            case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
                what = "refuses the token" if self.token else "wants a token"
                return SourceDenied(f"{self.name} {what}")
            case httpx.codes.BAD_REQUEST:
                return BadQuery(detail, str(said.get("parameter") or ""))
            case httpx.codes.OK:
                kind = response.headers.get("Content-Type") or "something without a type"
                return SourceUnavailable(f"{self.name} answers, but not as a natstream: {kind}")
        error = SourceUnavailable(f"{self.name} answers {response.status_code}: {detail}")
        after = response.headers.get("Retry-After", "")
        if after.isascii() and after.isdigit():
            error.retry_after = min(float(after), LONGEST_RETRY_AFTER)
        return error


@asynccontextmanager
async def _chunks(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body as it comes; closed at the end of the block.

    httpx (0.28) iterates through nested generators, and leaves the inner ones unfinished when
    the outer one is given up, of which trio warns: reading on after the close ends them all.
    """
    chunks = response.aiter_bytes()
    try:
        yield chunks
    finally:
        with trio.move_on_after(CLOSE_DEADLINE, shield=True):
            await response.aclose()
            with suppress(httpx.RequestError, httpx.StreamError):
                async for _ in chunks:
                    pass


async def _json_body(response: httpx.Response) -> dict[str, Any]:
    """The object that a refusal explains itself with; empty where there is none."""
    body = b""
    with suppress(httpx.RequestError), trio.move_on_after(CLOSE_DEADLINE):
        async with _chunks(response) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > LONGEST_REFUSAL:
                    return {}
    with suppress(ValueError):
        value = decode_json(body)
        if isinstance(value, dict):
            return value
    return {}


def parse_url(text: str) -> httpx.URL:
    """The address of a service's stream, from the service's own, however short.

    Without a scheme a public name is https, and all else http; a private one that has no port
    either (see `is_private`) gets the service's own, unless it is Flycast's, which is at port 80.

    Raises:
        ConfigurationError: it is not an address.
    """
    text = text.strip()
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        if "://" not in text and url.port is None:
            if not is_private(url.host):
                url = url.copy_with(scheme="https")
            elif not url.host.endswith(".flycast"):
                url = url.copy_with(port=DEFAULT_PORT)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{text!r} is not an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise ConfigurationError(f"{text!r} is not an address: http://host:port, or https://…")
    path = url.path.rstrip("/")
    return url.copy_with(path=path if path.endswith(PATH) else path + PATH, fragment=None)


def is_private(host: str) -> bool:
    """Whether it is this machine, or an address or name in a network of one's own.

    Fly's private network counts: WireGuard encrypts there what http does not.
    """
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".internal", ".flycast", ".local", ".localhost"))


def _pairs(parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        values = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        for each in values:
            if each is not None:
                yield name.rstrip("_"), str(each).lower() if isinstance(each, bool) else str(each)


def _waits() -> Iterator[float]:
    wait = FIRST_WAIT
    while True:
        yield wait * random.uniform(0.5, 1.5)
        wait = min(2 * wait, LONGEST_WAIT)


def _reason(error: httpx.RequestError) -> str:
    return "no answer" if isinstance(error, httpx.TimeoutException) else network_reason(error)
