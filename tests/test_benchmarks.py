"""The load harness of benchmarks/ works; its figures are for `make bench`, not for here."""

import sys
from pathlib import Path

import pytest
import trio

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("peer", ["natstream", "bare"])
async def test_a_short_load_loses_nothing(peer: str) -> None:
    """Every line that the harness publishes reaches every one of its readers."""
    options = ["--loads", "3x200", "--seconds", "0.5", "--peers", peer]
    with trio.fail_after(60):
        run = await trio.run_process(
            [sys.executable, "-m", "benchmarks", "loads", *options],
            cwd=ROOT,
            capture_stdout=True,
        )
    row = run.stdout.decode().splitlines()[2].split(" | ")
    assert row[0] == "| 3 × 200"
    assert row[2] == "all"
