"""Errors as HTTP answers.

In: an exception from a handler. Out: an answer with its status, whose body is JSON, `{"error": …}`.
"""

from __future__ import annotations

import math
from typing import Any

from quart import Quart, Response, jsonify
from werkzeug.exceptions import HTTPException

from natstream.errors import BadQuery, SourceUnavailable, TooManyAttempts, TooManyReaders

__all__ = ["answer_errors", "nothing", "refusal"]


def nothing() -> Response:
    """Return an empty answer with status 204.

    It has an explicit empty body, because Quart's default body needs asyncio.
    """
    return Response(b"", status=204)


def refusal(status: int, message: str, **more: Any) -> Response:
    """Return an answer with `message` as its `error`, and with the fields in `more`."""
    response = jsonify({"error": message, **more})
    response.status_code = status
    return response


def answer_errors(app: Quart) -> None:
    """Make `app` answer every error with a `refusal`."""

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        response = refusal(error.code or 500, error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(BadQuery)
    async def bad_query(error: BadQuery) -> Response:
        return refusal(400, str(error), parameter=error.parameter)

    @app.errorhandler(TooManyReaders)
    async def too_many_readers(error: TooManyReaders) -> Response:
        return _retry_later(503, error)

    @app.errorhandler(TooManyAttempts)
    async def too_many_attempts(error: TooManyAttempts) -> Response:
        return _retry_later(429, error)

    @app.errorhandler(SourceUnavailable)
    async def source_unavailable(error: SourceUnavailable) -> Response:
        response = refusal(503, str(error))
        # Seconds. The service tries to reach the journal as often.
        response.headers["Retry-After"] = "2"
        return response


def _retry_later(status: int, error: TooManyReaders | TooManyAttempts) -> Response:
    response = refusal(status, str(error))
    response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return response
