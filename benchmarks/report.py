"""Measurements as tables in Markdown, and writing them into docs/."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from benchmarks.calibration import slowness
from natstream.demo.nats_server import find_nats_server

__all__ = ["Table", "conditions", "decimals", "megabytes", "milliseconds", "write"]

PAGES = Path(__file__).parent.parent / "docs"


@attrs.frozen
class Table:
    """A table: its columns, its rows, and the notes that a reader needs."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, rule, *self.rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


def milliseconds(seconds: float) -> str:
    return f"{decimals(seconds * 1_000)}"


def megabytes(size: int) -> str:
    return decimals(size / 2**20)


def decimals(value: float) -> str:
    """Format a figure with three significant digits, because it is not more precise."""
    if value != value:
        return "–"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def conditions(
    arguments: Iterable[str], versions: Iterable[str], program: str = "benchmarks"
) -> str:
    """Return the machine, the software and the command of a measurement, as a list."""
    nats = subprocess.run([find_nats_server(), "--version"], capture_output=True, text=True)
    software = (*versions, nats.stdout.strip(), f"Python {platform.python_version()}")
    machine = (
        f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}; "
        f"takes {slowness():.2f} times as long as the reference machine"
    )
    return "\n".join(
        (
            f"* {datetime.now(UTC):%Y-%m-%d}; {machine}",
            f"* {'; '.join(software)}",
            f"* `{' '.join(('python -m', program, *arguments))}`",
        )
    )


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def write(name: str, text: str) -> None:
    """Replace the measurement `name` between its two comments, in each page that has them."""
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    written = False
    for page in sorted(PAGES.glob("*.md")):
        before, found, rest = page.read_text().partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
            written = True
    if not written:
        raise SystemExit(f"No page in {PAGES} has a place for the measurement {name!r}")
