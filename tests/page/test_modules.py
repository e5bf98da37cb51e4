"""The page's pure modules, tested by Node's own test runner; and their types, checked by tsc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-5_000:] + result.stderr[-5_000:]


def find(program: str, hint: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} on this machine: {hint}")
    return path


def test_the_modules_keep_their_promises() -> None:
    """The tests of tests/page/js pass, which mirror the folders of the page's modules."""
    node = find("node", "the page's unit tests are left out (Node 20 or later)")
    run(node, "--test", *map(str, sorted((ROOT / "tests/page/js").rglob("*.test.js"))))


def test_the_types_agree() -> None:
    """`tsc --checkJs` accepts the page's modules."""
    run(
        find("tsc", "the page's types are not checked (npm install -g typescript)"),
        "-p",
        "tests/page/js",
    )
