"""Rules of the tests themselves: shared helpers stand in `tests/support`, each of them once."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The benchmarks' own environments lie in hidden folders.
FILES = sorted(
    path
    for folder in ("tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
SUPPORT = sorted(ROOT.glob("tests/support/*.py"))


def name_of(path: Path) -> str:
    """Return the path of a file in this repository, for the message of a failure."""
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """Return the modules that a file imports, and the names in them, which may be modules too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_imports_a_file_of_tests(path: Path) -> None:
    """Neither a test nor a benchmark imports a `test_` module; helpers are in `tests/support`."""
    parts = [part for module in imported(path) for part in module.split(".")]
    assert [part for part in parts if part.startswith("test_")] == []


@pytest.mark.parametrize("path", SUPPORT, ids=name_of)
def test_helpers_do_not_depend_on_the_benchmarks(path: Path) -> None:
    """Benchmarks import the helpers of the tests, so the helpers import no benchmark."""
    assert [module for module in imported(path) if module.startswith("benchmarks")] == []


@pytest.mark.parametrize("path", SUPPORT, ids=name_of)
def test_each_helper_module_opens_with_its_promise(path: Path) -> None:
    """A helper module has a docstring with its promise."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_helpers_exist_once() -> None:
    """No function for free ports or for waiting is defined beside the shared one."""
    shared = {"free_port": "loopback.py", "until": "waiting.py"}
    found = {(name, name_of(path)) for path, name, _ in functions() if name in shared}
    assert found == {(name, f"tests/support/{file}") for name, file in shared.items()}


def test_no_helper_is_written_twice() -> None:
    """No two files have a helper with the same statements, whatever its name and its docstring."""
    files: dict[str, set[str]] = defaultdict(set)
    for path, name, body in functions():
        if not name.startswith("test_") and len(body) > LONG_HELPER:
            files[body].add(f"{name_of(path)}: {name}")
    assert [sorted(names) for names in files.values() if len(names) > 1] == []


SHARED = """
import pytest

@pytest.fixture(scope="module")
def shared(): return object()

@pytest.mark.parametrize("number", range(8))
def test_something(shared, number): pass
"""


def test_tests_that_share_a_fixture_run_on_one_worker(tmp_path: Path) -> None:
    """With the settings of this suite, pytest-xdist gives a module's fixture to one worker only."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_shared.py").write_text(SHARED)
    command = "-m pytest -v -p no:cacheprovider --numprocesses=2 --dist=loadgroup"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    workers = re.findall(r"\[(gw\d)\] .* PASSED", done.stdout)
    assert len(workers) == 8, done.stdout
    assert len(set(workers)) == 1


# A helper with fewer characters, for example one that makes an entry, may stand in several files.
LONG_HELPER = 80


def functions() -> Iterator[tuple[Path, str, str]]:
    """Yield the functions of all modules: the file, the name, and the body without docstring."""
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                has_docstring = ast.get_docstring(node) is not None
                yield path, node.name, "\n".join(map(ast.unparse, node.body[has_docstring:]))
