"""The load harness works and loses no line; its figures are left to `make bench`."""

import sys
from pathlib import Path

import pytest
import trio
from benchmarks import calibration
from benchmarks.drain import measure, serve_natstream
from benchmarks.report import conditions

from natstream.demo.nats_server import NatsServer

ROOT = Path(__file__).parent.parent
# A service starts in half a second, but a measurement may start six in turn.
PATIENCE = 120


async def table_of(*arguments: str) -> list[dict[str, str]]:
    """Return the rows of the table that a measurement prints, by column."""
    with trio.fail_after(PATIENCE):
        run = await trio.run_process(
            [sys.executable, "-m", "benchmarks", "--seconds", "0.5", *arguments],
            cwd=ROOT,
            capture_stdout=True,
        )
    lines = run.stdout.decode().splitlines()
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.mark.parametrize("peer", ["natstream", "bare"])
async def test_a_short_load_loses_nothing(peer: str) -> None:
    """Each line that the harness publishes reaches each of its readers."""
    [row] = await table_of("loads", "--loads", "3x200", "--peers", peer)
    assert row["readers × lines/s"] == "3 × 200"
    assert row["delivered"] == "all"


async def test_a_short_load_through_the_journal_loses_nothing() -> None:
    """Each line reaches each reader also by way of the journal."""
    rows = await table_of("journal", "--loads", "3x200")
    assert [row["natstream"] for row in rows] == ["embedded", "with the journal"]
    assert [row["delivered"] for row in rows] == ["all", "all"]


async def test_a_short_load_on_two_processes_loses_nothing() -> None:
    """Each line reaches each reader also when two processes share the readers of one port."""
    rows = await table_of("processes", "--loads", "20x100")
    assert [row["processes"][0] for row in rows] == ["1", "1", "2"]
    assert [row["delivered"] for row in rows] == ["all"] * 3


async def test_reading_a_little_that_is_stored_finds_all_of_it() -> None:
    """Readers of one machine or word get its stored lines, and live readers lose nothing."""
    nothing, *rows = await table_of("archive", "--stored", "20000", "--seconds", "0.2")
    assert nothing["readings"] == "–"
    for row in rows:
        assert int(row["readings"]) > 0
        assert row["lines of each"] == "10"
    assert [row["live: delivered"] for row in (nothing, *rows)] == ["all"] * 3


def test_a_table_says_how_fast_its_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute times can be compared, because the conditions say the factor of the machine."""
    monkeypatch.setattr(calibration, "loop_time", lambda: 0.8 * calibration.REFERENCE)
    assert "takes 0.80 times as long as the reference machine" in conditions([], [])


def test_the_calibration_is_a_moment_of_work() -> None:
    """The loop takes milliseconds, so that the cheapest of its repetitions is undisturbed."""
    assert 1e-4 < calibration.loop_time() < 0.1


async def test_a_short_load_on_the_drain_loses_nothing() -> None:
    """Each line that the drain takes reaches its reader over HTTP, also from eight full senders."""
    async with NatsServer.open(user="bench") as nats:
        for lines in (1, 100, 1_000):
            with trio.fail_after(PATIENCE):
                assert (await measure(serve_natstream, nats, lines, 0.5)).lines > 0
