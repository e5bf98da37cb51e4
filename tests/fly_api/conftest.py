"""The stand-in of Fly's interfaces, a new one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.fly_api import FlyStandIn


@pytest.fixture
async def fly() -> AsyncIterator[FlyStandIn]:
    """Run a stand-in that has one app without lines."""
    async with FlyStandIn.run() as stand_in:
        stand_in.lines["web"] = []
        yield stand_in
