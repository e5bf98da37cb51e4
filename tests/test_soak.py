"""The faults of benchmarks.soak, each for a few seconds: what is right or wrong, and no figures."""

from __future__ import annotations

import pytest
import trio
from benchmarks.soak.findings import Soak
from benchmarks.soak.table import FAULTS

# A fiftieth of the table; each fault has a least that it does.
SHARE = 0.02
# Ten times what it takes: something hangs.
PATIENCE = 150


@pytest.mark.parametrize("fault", FAULTS)
async def test_it_survives(fault: str) -> None:
    """Nothing is lost, doubled, leaked or hung."""
    with trio.fail_after(PATIENCE):
        findings = await FAULTS[fault](Soak(SHARE))
    assert findings.found
    assert findings.wrong == []
