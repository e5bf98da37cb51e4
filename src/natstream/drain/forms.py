"""The form of a body, by its request's address and Content-Type. Pure.

In: a request's head. Out: a `Form`, which chooses the parser of the body and the form of the
answer. OpenTelemetry's exporters send to `/v1/logs`; every other form may be sent to any path.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache

from natstream.drain.http1 import Request

__all__ = ["OTLP_LOGS", "OTLP_OTHERS", "Form", "form_of", "media_type", "path_of"]

OTLP_LOGS = b"/v1/logs"
# Bytes of a Content-Type and a target that are known by heart; a client chooses them.
MAX_KNOWN = 256
OTLP_OTHERS = (b"/v1/traces", b"/v1/metrics")
"""Where exporters with one base address send traces and metrics."""

_LOGPLEX = frozenset({"application/logplex-1", "application/x-logplex"})
# What exporters send, and curl without an option. Lines of text may be sent to `/v1/logs` too.
_OTLP_JSON = frozenset({"application/json", "application/x-www-form-urlencoded", ""})


class Form(Enum):
    """How a body is written."""

    LINES = auto()
    """Lines of JSON and text."""
    LOGPLEX = auto()
    """Heroku's frames of syslog."""
    OTLP_JSON = auto()
    OTLP_PROTOBUF = auto()

    @property
    def is_otlp(self) -> bool:
        """Whether it is OpenTelemetry's protocol."""
        return self in (Form.OTLP_JSON, Form.OTLP_PROTOBUF)


def form_of(request: Request) -> Form:
    """Return the form of a request's body."""
    content_type, target = request.headers.get(b"content-type", b""), request.target
    if len(content_type) + len(target) > MAX_KNOWN:
        return _form(content_type, target)
    return _known_form(content_type, target)


def _form(content_type: bytes, target: bytes) -> Form:
    media = _media_type(content_type)
    if media in _LOGPLEX:
        return Form.LOGPLEX
    if _path(target) == OTLP_LOGS:
        if "protobuf" in media:
            return Form.OTLP_PROTOBUF
        if media in _OTLP_JSON:
            return Form.OTLP_JSON
    return Form.LINES


_known_form = lru_cache(maxsize=256)(_form)


def media_type(request: Request) -> str:
    """Return the Content-Type of a request without its parameters, in lower case."""
    return _media_type(request.headers.get(b"content-type", b""))


def path_of(request: Request) -> bytes:
    """Return the path of a request, without slashes at its end."""
    return _path(request.target)


def _media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


def _path(target: bytes) -> bytes:
    return target.partition(b"?")[0].rstrip(b"/")
