"""The faults of benchmarks.soak, each for a few seconds: right or wrong, without figures."""

from __future__ import annotations

import pytest
import trio
from benchmarks.soak.findings import Soak
from benchmarks.soak.table import FAULTS

# A fiftieth of what the table of faults asks for; each fault does a minimum.
SHARE = 0.02
# Ten times what a fault takes; after that, something hangs.
PATIENCE = 150


@pytest.mark.parametrize("fault", FAULTS)
async def test_it_survives(fault: str) -> None:
    """The service loses, doubles and leaks nothing, and does not hang, under each fault."""
    with trio.fail_after(PATIENCE):
        findings = await FAULTS[fault](Soak(SHARE))
    assert findings.found
    assert findings.wrong == []
