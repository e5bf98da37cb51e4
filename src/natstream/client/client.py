"""Read a natstream service over HTTP from any trio program: `open_log_stream`.

In: the address of a service, and parameters of its HTTP API. Out: entries in order, each once,
until the block ends. After a disconnect the stream resumes where it stopped. If lines are missing
nevertheless, `on_notice` gets a notice of the gap, in its order between the entries.

Errors: the service cannot be reached (`SourceUnavailable`), refuses the token (`SourceDenied`) or
refuses a parameter (`BadQuery`), or the given text is not an address (`ConfigurationError`).

The stream is read as NDJSON, because one read then gives many lines, each with its own id to
resume from.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx
import trio

from natstream.client.address import DEFAULT_URL, link_token, parse_url
from natstream.client.receiver import EntryReceiver
from natstream.client.service import RemoteService
from natstream.entries.entry import Notice
from natstream.errors import ConfigurationError, NatstreamError, SourceUnavailable
from natstream.formats.ndjson import Received

__all__ = ["NO_PROXY", "TIMEOUT", "Parameter", "check_token", "open_log_stream", "query_pairs"]

# The service sends a keep-alive every 15 s by default. If three are missing, the connection is
# dead. Nothing else would show this, because a dead connection looks like a quiet one.
TIMEOUT = httpx.Timeout(10, read=45)
# The waits differ, so that a thousand readers do not return at the same moment. They grow, so
# that readers do not overload a service that is starting.
FIRST_WAIT = 1.0
LONGEST_WAIT = 10.0
# The client reads ahead by so many batches while the caller is busy. When the buffer is full,
# TCP makes the service wait.
BATCHES = 8
# Connections to our own machine use no proxy, because a proxy cannot reach our loopback address.
NO_PROXY: dict[str, None] = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}

Parameter = str | int | float | Iterable[str | int | float] | None


@asynccontextmanager
async def open_log_stream(
    url: str = DEFAULT_URL,
    *,
    token: str = "",
    on_notice: Callable[[Notice], None] = lambda notice: None,
    **parameters: Parameter,
) -> AsyncIterator[EntryReceiver]:
    """Connect to the service at `url`, and receive its entries until the end of the block.

    `parameters` are those of the HTTP API: `app="web"`, `level=["warn", "error"]`, `tail=100`,
    `follow=False`, `not_="health check"` (`not` cannot be a name in Python). `url` may lack the
    scheme, and it may have a path before `/api/logs` and parameters of its own. It may also be a
    link that `natstream link` has made. The link's token is then used instead of `token`.

    Unless `follow` is off, or `until` or `around` is given, the stream does not end. After a
    disconnect the client connects again and resumes after the last entry, except with `around`.
    The waits between its attempts grow. `on_notice` is called with the notices of the service, and
    with a notice for each gap and each disconnect. It must be a plain function, because an async
    function would never be awaited.

    Raises:
        ConfigurationError: `url` is not an address, or `token` cannot be a token.
        SourceUnavailable: the service does not answer, or it is not a natstream. `retry_after`
            is set if the service has said when to come back.
        SourceDenied: the service needs a token, or refuses this one.
        BadQuery: the service does not know a parameter or refuses its value, or does not have the
            line of `around`.
    """
    endpoint, token = parse_url(url), link_token(url) or token
    for name, value in query_pairs(parameters):
        endpoint = endpoint.copy_add_param(name, value)
    check_token(token)
    error: BaseException | None = None
    send, batches = trio.open_memory_channel[Received](BATCHES)
    async with httpx.AsyncClient(timeout=TIMEOUT, mounts=NO_PROXY) as client:
        service = RemoteService(client, endpoint, token)
        response = await service.connect()
        receiver = EntryReceiver(batches, on_notice)
        try:
            async with receiver, trio.open_nursery() as nursery:
                nursery.start_soon(_run, service, response, send, receiver)
                yield receiver
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            error = group.exceptions[0]
    if error is not None:
        raise error  # The caller gets its own exception, because our nursery is an inner matter.


def check_token(token: str) -> None:
    """Raise ConfigurationError if a text cannot be a token."""
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError(
            "The token holds characters that a token cannot have, so it was not sent. "
            "Check that it was copied as a whole and without a line break."
        )


async def _run(
    service: RemoteService,
    response: httpx.Response,
    send: trio.MemorySendChannel[Received],
    receiver: EntryReceiver,
) -> None:
    """Pass on the batches of the service, and connect again after each disconnect."""
    waits = _waits()
    with send, suppress(trio.BrokenResourceError):  # The receiver has been closed.
        try:
            while True:
                began = trio.current_time()
                try:
                    await service.deliver(response, send)
                    if not service.follow:
                        return
                    problem = SourceUnavailable(f"{service.name} has ended the stream")
                except SourceUnavailable as error:
                    if not service.is_resumable:
                        raise
                    problem = error
                if trio.current_time() - began > LONGEST_WAIT:
                    waits = _waits()
                response = await _connect_again(service, problem, waits, send)
        except NatstreamError as error:
            receiver.fail(error)


async def _connect_again(
    service: RemoteService,
    problem: SourceUnavailable,
    waits: Iterator[float],
    send: trio.MemorySendChannel[Received],
) -> httpx.Response:
    """Return a response as soon as the service answers; send a notice for each new problem."""
    announced = ""
    while True:
        if announced != str(problem):
            announced = str(problem)
            await send.send([Notice(f"{announced}; trying again", "error")])
        await trio.sleep(max(next(waits), problem.retry_after))
        try:
            return await service.connect()
        except SourceUnavailable as error:
            problem = error


def query_pairs(parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, str]]:
    """Yield the parameters as pairs for a query string, several for a list of values."""
    for name, value in parameters.items():
        values = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        for each in values:
            if each is not None:
                yield name.rstrip("_"), str(each).lower() if isinstance(each, bool) else str(each)


def _waits() -> Iterator[float]:
    """Yield the seconds before each attempt, which grow and have a random part."""
    wait = FIRST_WAIT
    while True:
        yield wait * random.uniform(0.5, 1.5)
        wait = min(2 * wait, LONGEST_WAIT)
