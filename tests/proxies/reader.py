"""Reads a stream with a library from PyPI, and prints the data of each event as a line.

python reader.py LIBRARY ADDRESS

Of these libraries only sseclient reconnects. The others are read in a loop, as their documentation
says.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import httpx
import httpx_sse
import requests

RETRY = 0.3
TIMEOUT = 60


def show(data: str) -> None:
    """Print the data of an event, if it has any."""
    if data:
        print(data, flush=True)


def headers(last_id: str) -> dict[str, str]:
    """Return the headers of a request that resumes after `last_id`."""
    resume = {"Last-Event-ID": last_id} if last_id else {}
    return {"Accept": "text/event-stream", "Cache-Control": "no-cache", **resume}


def sseclient(address: str) -> None:
    """Read with sseclient, whose module sseclient-py's package of the same name hides."""
    files = importlib.metadata.files("sseclient") or []
    [path] = [file.locate() for file in files if str(file) == "sseclient.py"]
    spec = importlib.util.spec_from_file_location("sseclient_module", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for event in module.SSEClient(address):
        show(event.data)


def again_and_again(read: Callable[[str, str], Iterator[Any]], address: str) -> None:
    """Read events, and reconnect with the last id whenever the response ends."""
    last_id = ""
    while True:
        with suppress(requests.RequestException, httpx.HTTPError):
            for event in read(address, last_id):
                last_id = event.id or last_id
                show(event.data)
        time.sleep(RETRY)


def sseclient_py(address: str, last_id: str) -> Iterator[Any]:
    """Read with sseclient-py, which takes a response of requests."""
    from sseclient import SSEClient

    response = requests.get(address, headers=headers(last_id), stream=True, timeout=TIMEOUT)
    yield from SSEClient(response.iter_content(None)).events()


def httpx_sse_(address: str, last_id: str) -> Iterator[Any]:
    """Read with httpx-sse."""
    with (
        httpx.Client(timeout=TIMEOUT) as client,
        httpx_sse.connect_sse(client, "GET", address, headers=headers(last_id)) as source,
    ):
        yield from source.iter_sse()


async def aiohttp_(address: str) -> None:
    """Read with aiohttp, which knows no events, so that this is how programs do it by hand."""
    last_id = id = data = ""
    while True:
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(address, headers=headers(last_id)) as response,
            ):
                async for line in response.content:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "id":
                        id = value
                    elif field == "data":
                        data = value
                    elif not field:  # Only a blank line ends an event.
                        last_id = id or last_id
                        show(data)
                        id = data = ""
        await asyncio.sleep(RETRY)


def main(library: str, address: str) -> None:
    """Read until the process is ended."""
    match library:
        case "sseclient":
            sseclient(address)
        case "sseclient-py":
            again_and_again(sseclient_py, address)
        case "httpx-sse":
            again_and_again(httpx_sse_, address)
        case "aiohttp":
            asyncio.run(aiohttp_(address))


main(*sys.argv[1:])
