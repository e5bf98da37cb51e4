"""Fixtures that every test may use: above all, a real nats-server that can be mistreated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.journal_server import JournalServer
from tests.support.mistreated import PUBLISHER, READER, MistreatedServer, authorization

__all__ = ["PUBLISHER", "READER", "MistreatedServer", "authorization", "journal", "nats_server"]


@pytest.fixture
async def nats_server() -> AsyncIterator[MistreatedServer]:
    """A real nats-server on loopback, with a user for the reader and one that publishes."""
    async with MistreatedServer.run() as server:
        yield server


@pytest.fixture
async def journal() -> AsyncIterator[JournalServer]:
    """A real nats-server that keeps streams."""
    async with JournalServer.run() as server:
        yield server
