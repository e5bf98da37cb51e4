"""The ways in which an application's body reaches the server."""

from __future__ import annotations

import pytest
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from natstream.web.quart_request import QuartRequest


@pytest.fixture(params=[TrioASGIHTTPConnection, QuartRequest], ids=["messages", "pieces"])
def sending(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with bodies in messages of ASGI, and in pieces to the connection."""
    monkeypatch.setattr(QuartTrio, "asgi_http_class", request.param)
