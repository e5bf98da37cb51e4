"""The stand-in of Fly's interfaces, a new one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.fly_api import FlyStandIn

from natstream.fly_api import client, history


@pytest.fixture
async def fly() -> AsyncIterator[FlyStandIn]:
    """Run a stand-in that has one app without lines."""
    async with FlyStandIn.run() as stand_in:
        stand_in.lines["web"] = []
        yield stand_in


@pytest.fixture
def fast_fly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses that a real interface needs."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(history, "STRAGGLERS", (0.3, 0.3))
    monkeypatch.setattr(history, "POLL", 0.3)
