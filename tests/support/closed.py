"""A service that requires a token, and the credentials of its readers.

`closed_service()` runs it and fails the test if it logs an error, because no request may cause one.
The other functions make what a request shows: a token, a signed grant, or a cookie.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from tests.support.service import RunningService, open_service

from natstream.web.auth import COOKIE, TLS_COOKIE
from natstream.web.grants import Grant, Keyring

TOKEN = "a-token-for-the-tests"


def bearer(text: str = TOKEN) -> dict[str, str]:
    """Return the header for a token or a signed grant."""
    return {"Authorization": f"Bearer {text}"}


def grant_text(*query: tuple[str, str], seconds: float = 60, token: str = TOKEN) -> str:
    """Return a grant as `natstream link` signs it."""
    return keyring(token).sign(Grant(time.time() + seconds, query), token)


@cache
def keyring(token: str = TOKEN) -> Keyring:
    """Return the keys of one token; they are kept because making them is slow on purpose."""
    return Keyring([token])


@asynccontextmanager
async def closed_service(
    *, may_fail: bool = False, **environ: Any
) -> AsyncIterator[RunningService]:
    """Run a service with a drain that requires a token and, unless it `may_fail`, logs no error."""
    errors = _Errors(logging.ERROR)
    logging.getLogger().addHandler(errors)
    try:
        async with open_service(**({"NATSTREAM_TOKEN": TOKEN} | environ)) as service:
            await service.state("drain", "up")
            yield service
    finally:
        logging.getLogger().removeHandler(errors)
    assert may_fail or not errors.messages


class _Errors(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.getMessage()} {record.exc_info}")


async def log_in(service: RunningService, **options: Any) -> httpx.Response:
    """Send `POST /api/login` with the token; `options` of httpx replace it."""
    options = {"json": {"token": TOKEN}} | options
    return await service.client.post(f"{service.url}/api/login", **options)


def cookie_of(response: httpx.Response) -> dict[str, str]:
    """Return the header for a response's cookie, since httpx sends no secure one over HTTP."""
    name, _, value = response.headers["Set-Cookie"].partition(";")[0].partition("=")
    assert name in (COOKIE, TLS_COOKIE)
    return {"Cookie": f"{name}={value}"}
