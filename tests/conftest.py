"""Fixtures that every test may use: real nats-servers, a new one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer


@pytest.fixture
async def nats_server() -> AsyncIterator[MistreatedServer]:
    """Run a nats-server that can be mistreated."""
    async with MistreatedServer.run() as server:
        yield server


@pytest.fixture
async def journal() -> AsyncIterator[JournalServer]:
    """Run a nats-server with JetStream, for a journal."""
    async with JournalServer.run() as server:
        yield server
