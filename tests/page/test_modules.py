"""The page's pure modules, tested by Node's own test runner; and their types, checked by tsc."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/natstream/web/static"
IMPORT = re.compile(r"""^(?:import|export)\b[^'"]*?from '(\.[^']+)'""", re.MULTILINE)


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


def imports(module: Path) -> set[Path]:
    """Return the modules that a module imports, directly or through others."""
    found: set[Path] = set()
    ahead = [module]
    while ahead:
        one = ahead.pop()
        new = {(one.parent / name).resolve() for name in IMPORT.findall(one.read_text())} - found
        found |= new
        ahead += new
    return found


def test_every_module_is_used() -> None:
    """Each module belongs to a page or to the shared worker; only `types.js` has no code."""
    pages = [STATIC / f"js/{name}.js" for name in ("main", "link", "stream/worker")]
    used = {*pages, *(one for page in pages for one in imports(page))}
    assert {*STATIC.rglob("*.js")} - used == {STATIC / "js/types.js", STATIC / "js/theme.js"}
